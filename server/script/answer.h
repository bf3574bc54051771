/* SPDX-License-Identifier: MIT
 *
 * What a script returns, as the reply to its client.
 */
#ifndef SERVER_SCRIPT_ANSWER_H
#define SERVER_SCRIPT_ANSWER_H

#include "server/resp/reply.h"

struct script_vm;

/* The value on the top, which is popped. proto: what redis.setresp() says. */
void script_answer(struct script_vm *vm, struct reply *out, int proto);
/* The error on the top, which is popped; name: of the script or function. */
void script_answer_error(struct script_vm *vm, struct reply *out, const char *name);

#endif

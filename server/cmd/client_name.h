/* SPDX-License-Identifier: MIT
 *
 * The names a client gives itself (CLIENT SETNAME, HELLO SETNAME, CLIENT SETINFO).
 */
#ifndef SERVER_CLIENT_NAME_H
#define SERVER_CLIENT_NAME_H

#include "server/exec/call.h"

/* Replies with the error and returns false for names with spaces, newlines or special characters. An empty name
 * takes it away. */
bool client_set_name(struct call *c, struct bytes name);
void client_clear_name(struct client *cl);

#endif

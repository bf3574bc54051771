/* SPDX-License-Identifier: MIT
 *
 * Inside of a client: what client.c and client_output.c have of each other.
 */
#ifndef SERVER_NET_CLIENT_PARTS_H
#define SERVER_NET_CLIENT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "demi/types.h"

struct client;
struct reply;

/* client.c */
void client_ask_for_input(struct client *cl);
/* The result of a pop that came while a script ran for it. Not before that command has ended: the input would take the
 * place of what the command is read from. */
void client_take_put_off(struct client *cl);
/* What was executed is dropped; what is left must not stay in a receive buffer. */
void client_settle_input(struct client *cl);
/* What it does not read shall not be kept for it: demi_close() would go on sending it. */
void client_close_without_rest(struct client *cl);
/* A line that describes it, between the two. */
void client_log(const struct client *cl, int level, const char *before, const char *after);

/* Room that its input has, or is to have at the end of the turn. */
size_t client_input_memory(const struct client *cl);

/* client_output.c */
/* Its replies and messages are to take memory: they may not beyond the hard limit of its class, and it owes when they
 * are many. */
bool client_may_grow(struct reply *r, size_t bytes);
/* Limits of what is unsent, and stalls. */
void client_check_output(struct client *cl);
/* The result of the push of a client that owes. */
void client_pushed(struct client *cl, const demi_qresult_t *qr);
/* It goes away. */
void client_forget_held(struct client *cl);

#endif

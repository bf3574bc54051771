/* SPDX-License-Identifier: MIT
 *
 * Somebody who scrapes: a connection that speaks HTTP. Private to the room.
 */
#ifndef SERVER_METRICS_CONNECTION_H
#define SERVER_METRICS_CONNECTION_H

#include "alloc/base/list.h"
#include "demi/types.h"
#include "server/metrics/http_request.h"
#include "server/metrics/scrape.h"
#include "server/net/endpoint.h"

struct metrics;
struct worker;

enum connection_state {
    CONNECTION_IDLE,     /* nothing of a request has come */
    CONNECTION_READING,  /* a part of one has */
    CONNECTION_ANSWERED, /* a piece of the answer is on its way, or the next one is to be made */
    CONNECTION_ENDING,   /* all is answered: until the peer has closed, too */
};

struct connection {
    struct endpoint endpoint;
    struct list all;
    struct metrics *m;
    struct worker *w;
    int qd;
    enum connection_state state;
    uint64_t deadline_ns; /* of the state, as turn_ns */
    demi_qtoken_t pop, push;
    demi_sgarray_t in; /* what was popped and not taken yet */
    size_t taken, dropped;
    char head[HTTP_HEAD_MAX];
    size_t head_n;
    bool has_line; /* head has an end of line */
    struct http_request request;
    bool scrapes; /* scrape is under way */
    struct scrape scrape;
};

/* qd is this room's from here on. `refused` other than HTTP_OK is what it is answered, whatever it
 * asks. */
void connection_open(struct metrics *m, struct worker *w, int qd, enum http_status refused);
/* Whether it has been reading its answer for a while. */
bool connection_is_slow(const struct connection *c);
/* At once: what it has not been sent is dropped. */
void connection_close(struct connection *c);

#endif

/* SPDX-License-Identifier: MIT
 *
 * TCP's part of struct net_stack: its tables and lists.
 */
#ifndef TCP_TCP_LAYER_H
#define TCP_TCP_LAYER_H

#include "alloc/base/list.h"
#include "alloc/base/wheel.h"
#include "tcp/addr.h"
#include "tcp/ports.h"
#include "tcp/shared_opts.h"

struct conn;

/* Connections by addresses and ports: open addressing, grows by doubling; a slot's tag spares most looks at conns.
 * conn_table.h. */
struct conn_table {
    struct conn **slots;
    uint32_t *tags; /* hash, 0: empty */
    uint32_t mask, count;
};

struct tcp_layer {
    struct conn_table conns;
    struct list all;     /* struct conn.all */
    struct list dirty;   /* struct conn.dirty: have something to send */
    struct list ended;   /* struct conn.all of those that are over and whose user has not let go */
    struct list doomed;  /* freed at the end of the call: hooks may still hold them */
    struct synq *synq;   /* half-open passive opens: synq.h */
    struct timewait *tw; /* connections in TIME-WAIT: timewait.h */
    struct listener_set *listeners;
    uint32_t conn_count;
    struct opts_share opts;                /* of connections */
    struct ports ports;                    /* of active opens (RFC 6056) */
    uint32_t resets_left, challenges_left; /* in this second */
    uint64_t second;
    unsigned depth; /* of calls into TCP that may run hooks */
};

/* Answers to segments with which something is wrong are bounded (RFC 5961 7): each connection gives at most
 * ANSWERS_PER_5S in five seconds; challenge ACKs of all together are bounded by limits.challenge_per_s, resets by
 * limits.resets_per_s. */
#define ANSWERS_PER_5S 10 /* RFC 5961 7's example; at most 15 */
struct answer_count {     /* private, of a connection */
    uint32_t since_s : 28, count : 4;
};

struct net_stack;
/* n NULL: of no connection. */
bool tcp_may_answer(struct net_stack *s, struct answer_count *n);
bool tcp_may_challenge(struct net_stack *s, struct answer_count *n);
bool tcp_may_reset(struct net_stack *s);

void tcp_layer_check(const struct net_stack *s); /* stack_check()'s work */
void tcp_visit_conns(struct net_stack *s, void (*fn)(void *arg, struct conn *c), void *arg);

#endif

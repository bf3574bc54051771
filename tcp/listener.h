/* SPDX-License-Identifier: MIT
 *
 * Listeners of a stack, the inside (tcp.h has the outside): RFC 9293's LISTEN. Found by port, exact address before
 * wildcard. What of a handshake is not done yet lies in synq; what is done, in the listener's queue until the program
 * accepts it.
 */
#ifndef TCP_LISTENER_H
#define TCP_LISTENER_H

#include "tcp/tcp.h"

#include "alloc/base/list.h"

#define LISTENER_HALF_OPEN_MIN 16 /* half-open ones a listener may have whatever its backlog */

struct listener {
    struct net_stack *stack;
    struct listener *next; /* of the same bucket */
    struct ip_port local;
    bool v6_only, reuse_port;
    unsigned backlog, waiting; /* bound of, and connections in queue */
    unsigned half_open;        /* entries of synq that are its own */
    nsec cookies_until;        /* cookies of ours may come back until then */
    struct list queue;         /* struct conn.accepting */
    struct conn_opts opts;     /* of those that come */
    void *user;
};

int listeners_init(struct net_stack *s);
void listeners_fini(struct net_stack *s); /* without a word to anybody; connections in queues are the caller's */
/* Who takes a SYN to this address and port. NULL: nobody. */
struct listener *listener_find(const struct net_stack *s, const struct ip_addr *local, uint16_t port);
static inline bool listener_is_full(const struct listener *l) { return l->waiting >= l->backlog; }
static inline unsigned listener_half_open_max(const struct listener *l)
{
    return l->backlog > LISTENER_HALF_OPEN_MIN ? l->backlog : LISTENER_HALF_OPEN_MIN;
}
void listener_enqueue(struct listener *l, struct conn *c);
void listener_dequeue(struct conn *c); /* it ends before anybody accepted it */

#endif

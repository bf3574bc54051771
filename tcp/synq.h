/* SPDX-License-Identifier: MIT
 *
 * Half-open passive opens: RFC 9293's SYN-RECEIVED before there is a connection. An entry is small, since a flood of
 * SYNs makes as many as limits.half_open allows; beyond it, and beyond a listener's share, SYN cookies (cookie.h) keep
 * nothing.
 *
 * SYN-ACKs are repeated after 1, 2, 4… seconds: five times, then the entry goes. Entries with equally many tries wait
 * in one list, which is in order of time by itself; one timer serves all.
 */
#ifndef TCP_SYNQ_H
#define TCP_SYNQ_H

#include "tcp/listener.h"
#include "tcp/options.h"
#include "tcp/stack_impl.h"

#define SYNQ_TRIES 5

enum { /* of synq_entry.flags: what was agreed on */
       SYNQ_TS = 1,
       SYNQ_SACK = 2,
       SYNQ_WSCALE = 4,
       SYNQ_ECN = 8,
};

struct synq_entry {
    struct synq_entry *next; /* of the same bucket */
    struct list link;        /* in its list of tries */
    struct listener *listener;
    struct ip_addr local, remote;
    uint32_t ports; /* conn_ports() */
    uint32_t hash;
    tcp_seq iss, irs;
    nsec due;     /* of the next SYN-ACK, or the end */
    nsec sent_at; /* of the first SYN-ACK: RTT, unless it was repeated */
    uint32_t ts_recent, ts_offset;
    uint16_t peer_mss, window; /* window: as offered in the SYN-ACK */
    uint8_t flags, snd_wscale, rcv_wscale, tries;
    uint8_t tos;
    struct answer_count answers;
};
_Static_assert(sizeof(struct synq_entry) <= 160, "a flood of SYNs pays this each");

int synq_init(struct net_stack *s);
void synq_fini(struct net_stack *s);
struct synq_entry *synq_find(const struct net_stack *s, uint32_t hash, const struct ip_addr *local,
                             const struct ip_addr *remote, uint32_t ports);
/* For tests. */
uint32_t synq_count(const struct net_stack *s);
/* *e but for its links, due and tries is filled in: takes a copy and sends the first SYN-ACK. -ENOBUFS: a bound is
 * reached; -ENOMEM. */
int synq_add(struct net_stack *s, const struct synq_entry *e);
void synq_send(struct net_stack *s, const struct synq_entry *e); /* the SYN-ACK, once more */
void synq_remove(struct net_stack *s, struct synq_entry *e);
void synq_remove_listener(struct net_stack *s, struct listener *l);
void synq_remove_address(struct net_stack *s, const struct ip_addr *a);
void synq_check(const struct net_stack *s);

#endif

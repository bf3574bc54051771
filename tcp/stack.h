/* SPDX-License-Identifier: MIT
 *
 * The network stack: Ethernet, ARP, IPv4, IPv6, ICMP, UDP and TCP, without I/O. Frames and the time go in; frames,
 * events and the next deadline come out. It reads no clock, rolls no dice of its own (its generator is seeded by the
 * caller), opens nothing and allocates only from its thread's heap.
 *
 *     device --frames--> stack_input() --hooks--> libos/inet --tokens--> program
 *     device <--frames-- stack_frames() <-- stack_flush() <-- conn_push(), udp_push()
 *
 * One stack, one thread. A turn of whoever drives it: stack_advance(now) for timers, stack_input() for each burst, then
 * the program works, then stack_flush() and the frames of stack_frames() to the device. Hooks may call back into the
 * stack as each says.
 *
 * Every bound on what a peer can make grow is in struct stack_limits, with its default in stack.c.
 */
#ifndef TCP_STACK_H
#define TCP_STACK_H

#include "tcp/addr.h"
#include "tcp/netdev.h"

struct conn;
struct listener;
struct udp_sock;
struct net_stack;

/* What a peer may make grow. 0: the default. */
struct stack_limits {
    uint32_t conns;     /* connections in all states but TIME-WAIT */
    uint32_t half_open; /* handshakes of passive opens; beyond: SYN cookies */
    uint32_t time_wait; /* the oldest makes room */
    /* bytes a connection may have waiting for the program, out of order ones included: the window */
    uint32_t rcv_buffer;
    /* bytes a connection may have unacknowledged and unsent before pushes are refused (EBUSY) */
    uint32_t snd_buffer;
    uint32_t unsent_max; /* bytes of that which were never sent, before pushes are refused; the default is no bound */
    uint32_t neighbours; /* entries of the ARP and ND caches together */
    uint32_t neighbour_queue;  /* frames waiting for one neighbour's address */
    uint32_t neighbour_queues; /* for all; each may have four beside */
    uint32_t fragment_bytes;   /* of all datagrams being reassembled */
    uint32_t fragments;        /* of one datagram */
    uint32_t udp_queue;        /* datagrams waiting in one socket */
    uint32_t tx_frames;        /* frames waiting for the device; power of two */
    uint32_t icmp_per_s;       /* errors and echo replies sent */
    uint32_t resets_per_s;     /* RSTs for segments of no connection */
    /* challenge ACKs of all connections, around which the real number is random (RFC 5961 7) */
    uint32_t challenge_per_s;
    uint32_t paths; /* path MTUs remembered */
};

struct stack_config {
    uint8_t mac[ETH_ALEN];
    uint16_t mtu;
    uint32_t offloads; /* what of the device's shall be used */
    uint32_t tso_max;
    uint16_t segs_max;
    uint8_t seed[32]; /* secrets: sequence numbers, cookies, hashes, ports, identifiers */
    /* Addresses; more by stack_add_address(). */
    bool dhcp;         /* IPv4 by DHCP until an address is set by hand */
    bool ipv6;         /* link-local address and router advertisements (SLAAC) */
    bool arp;          /* false: static neighbours only */
    bool icmp_echo;    /* answer pings */
    uint16_t pmtu_min; /* of IPv4, whatever routers say; 0: 552, at least 68. IPv6: 1280 (RFC 8200 5) */
    /* no RST, no port unreachable: on an interface shared with the kernel, which answers itself */
    bool quiet_closed_ports;
    /* TCP */
    const char *cc;   /* "cubic", "newreno", "bbr", "none"; NULL: cubic */
    uint16_t mss_max; /* 0: what the MTU allows */
    /* for tests, and peers that need it; ECN is answered, not asked for, by default */
    bool no_timestamps, no_sack, no_wscale, no_ecn;
    bool ask_ecn;
    /* 0: 200 ms, 1 s, 60 s (RFC 6298, 2.1 and 2.4, marked deviation: Linux's minimum) */
    nsec rto_min, rto_initial, rto_max;
    /* each flush acknowledges what came since the one before: a reply of the same turn carries it, and a program
     * that waits for its pushes to be acknowledged never waits for a peer's timer. False: RFC 9293 3.8.6.3, every
     * second full segment or delayed_ack later */
    bool ack_turns;
    nsec delayed_ack;             /* 0: 40 ms */
    nsec time_wait;               /* 0: 60 s, 2 MSL */
    nsec arp_lifetime, arp_retry; /* 0: 60 s, 1 s */
    unsigned arp_tries;           /* 0: 3 */
    struct stack_limits limits;
};

/* Events. Called from stack_input() and stack_advance(); arg is stack_new()'s. A hook may push, pop, accept,
 * connect, close and abort whatever it likes, the connection it is called about included: a conn stays valid until
 * the hook returns. */
struct stack_hooks {
    void (*acceptable)(void *arg, struct listener *l); /* listener_accept() has something to give */
    /* an active open has ended: 0 or a positive errno; then c is gone */
    void (*connected)(void *arg, struct conn *c, int err);
    void (*readable)(void *arg, struct conn *c); /* conn_pop() gives something new: data, the end, or an error */
    /* Data in order, with nothing before it in the queue: whoever waits for it takes b, and returns true. False: it
     * is queued as any, and readable() is called. user: conn_user(), never NULL here. It may not end or close the
     * connection. NULL: nobody is ever asked. */
    bool (*data)(void *user, struct buf *b);
    void (*acked)(void *arg, struct conn *c); /* conn_acked() or the room for pushes has grown */
    /* nothing more comes or goes: ECONNRESET, ETIMEDOUT…; 0: both sides have ended in order. What was received can
     * still be popped. */
    void (*closed)(void *arg, struct conn *c, int err);
    void (*udp_readable)(void *arg, struct udp_sock *u); /* a datagram, or an error */
    /* A datagram of udp_send() that waited has left (0), or cannot: EHOSTUNREACH: nobody has the next hop's address;
     * ENOBUFS: there were too many others to ask for. Also from stack_flush(). NULL: nobody waits. */
    void (*udp_sent)(void *arg, struct udp_sock *u, void *ticket, int err);
    void (*address)(void *arg, const struct ip_addr *a, unsigned bits, bool gone); /* DHCP, SLAAC; may be NULL */
};

/* -EINVAL: a value that cannot be; -ENOMEM. */
int stack_new(const struct stack_config *conf, const struct stack_hooks *hooks, void *arg, nsec now,
              struct net_stack **out);
/* Everything is dropped without a word to anybody (abort connections first if they shall hear). */
void stack_free(struct net_stack *s);

/* A burst that came in: the frames are the stack's. */
void stack_input(struct net_stack *s, const struct frame *f, unsigned n, nsec now);
/* Timers that are due. */
void stack_advance(struct net_stack *s, nsec now);
/* Before a call of the program's that begins to wait for something (a connect, a close with linger, keep-alive): it
 * counts from now, and the last turn may be long ago. */
void stack_set_now(struct net_stack *s, nsec now);
/* When to call stack_advance() next; NSEC_NEVER. Never earlier than what was asked of it, up to a wheel's tick late. */
nsec stack_deadline(const struct net_stack *s);

/* Lets connections that have something to say say it, as far as windows and tx_frames go. Call at the end of a turn. */
void stack_flush(struct net_stack *s, nsec now);
bool stack_wants_flush(const struct net_stack *s);
/* What is not through: frames that wait for the device, datagrams that wait for a neighbour, bytes and the FIN behind
 * them that a peer has not acknowledged. TIME-WAIT does not count: who ends does not wait for it. Looks at every
 * connection. */
uint64_t stack_unconfirmed(struct net_stack *s);
/* Frames for the device, the first of *n that lie side by side; NULL: none. stack_sent() says how many of them the
 * device took. */
struct frame *stack_frames(struct net_stack *s, unsigned *n);
void stack_sent(struct net_stack *s, unsigned n);

/* The wire was changed under us: the device has come back, perhaps as another one. mac and mtu are valid from now on;
 * neighbours are asked again before they are believed, and hear of our addresses. -EINVAL: they cannot be. */
int stack_relink(struct net_stack *s, const uint8_t mac[ETH_ALEN], uint16_t mtu);

/* --- addresses and routes --- */

/* -EEXIST, -ENOSPC, -EINVAL. An IPv6 address is tried for duplicates first (RFC 4862 5.4) unless sure. */
int stack_add_address(struct net_stack *s, const struct ip_addr *a, unsigned bits, bool sure);
int stack_remove_address(struct net_stack *s, const struct ip_addr *a);
int stack_set_gateway(struct net_stack *s, const struct ip_addr *gateway);
int stack_add_neighbour(struct net_stack *s, const struct ip_addr *a, const uint8_t mac[ETH_ALEN]); /* static */
bool stack_is_local(const struct net_stack *s, const struct ip_addr *a);
/* The i-th address, or false. */
bool stack_address(const struct net_stack *s, unsigned i, struct ip_addr *a, unsigned *bits);

/* --- seeing inside --- */

/* Calls fn for every named counter ("tcp.rx_segments", "drop.ip4_checksum"…); the values live as long as the stack. */
void stack_counters(const struct net_stack *s, void (*fn)(void *arg, const char *name, const uint64_t *value),
                    void *arg);
/* What of the device's is used. */
uint32_t stack_offloads(const struct net_stack *s);
/* All invariants (debug and simulation). */
void stack_check(const struct net_stack *s);
/* Every live connection. */
void stack_visit_conns(struct net_stack *s, void (*fn)(void *arg, struct conn *c), void *arg);

#endif

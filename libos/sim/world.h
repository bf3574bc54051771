/* SPDX-License-Identifier: MIT
 *
 * What the files of this folder share: the simulation, its hosts, and the two ends of a stream.
 *
 *      program --push--> out ==transmit==> wire ~~delay~~> arrive ==> in --pop--> program
 *                        segments held     copies, in order     at most `window` bytes on the wire and in `in` together
 *
 * Bytes are copied when they leave `out`, not when they are pushed: a program that changes what it has lent is found
 * out.
 *
 * A connection lives as long as somebody refers to it: either socket, a listener's backlog, or an event.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "alloc/base/list.h"
#include "libos/runtime/context.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/seg_ring.h"
#include "libos/runtime/stream.h"
#include "libos/sim/event.h"
#include "libos/sim/sim.h"

#include <netinet/in.h>

struct sim {
    uint64_t now;
    struct rng rng;
    struct events events;
    struct context *self; /* the scheduler's stack */
    struct sim_host *hosts[SIM_HOSTS_MAX];
    unsigned host_count, live;
    struct sim_link everywhere; /* of pairs without a link of their own */
    struct sim_link *links[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
    bool cut[SIM_HOSTS_MAX][SIM_HOSTS_MAX]; /* from, to */
    uint64_t *gates;                        /* sim_gate()'s, SIM_HOSTS_MAX from each; NULL: there are none */
    struct list conns, dgrams;              /* those on their way */
    struct list disks;                      /* struct sim_disk */
    struct net *net;                        /* the switch: net.c; NULL: nobody hangs on it */
    uint32_t conn_ids;
    uint64_t trace;
    bool tells; /* SIM_TRACE is set: what happens goes to stderr */
    struct sim_stats stats;
};

struct disk_mount;
struct sim_disk;

enum host_state { HOST_IDLE, HOST_RUNNING, HOST_ENDED };

struct sim_host {
    struct sim *sim;
    unsigned index;
    in_addr_t addr;
    char name[INET_ADDRSTRLEN];
    struct runtime *rt; /* NULL: it has ended its runtime */
    struct context *stack;
    int (*fn)(void *arg);
    void *arg;
    int result;
    enum host_state state;
    bool resume_due;   /* an event will run it */
    uint64_t deadline; /* when it wants to go on if nothing happens */
    uint64_t alarm_at; /* of the earliest event that looks at the deadline */
    uint64_t tick_ns;  /* how long it works between two looks at the clock */
    int64_t skew_us;   /* of its wall clock */
    uint16_t next_port;
    struct list socks;       /* struct sim_sock */
    struct simdev *dev;      /* a net host's device: net.c */
    struct libos *inet;      /* and the libOS over it; NULL: it has ended */
    struct disk_mount *disk; /* disk.c; NULL: it has none */
    bool crashed;            /* nobody hears from it any more, whatever its program still does */
};

/* A host without a libOS that knows sockets: the caller adds one. */
struct sim_host *sim_host_new(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg, bool sockets);
void sim_net_host_forget(struct sim_host *h); /* its runtime ends: the device goes */
void sim_net_free(struct sim *s);
void sim_disk_free(struct sim_disk *d);
void sim_disk_crash(struct disk_mount *m);
void sim_net_tell(const struct sim *s); /* every connection, to stderr */
/* Something has happened that its program may wait for. */
void sim_host_wake(struct sim_host *h);
void sim_host_end(struct sim_host *h); /* its runtime, if it has one */
void sim_host_free(struct sim_host *h);
struct sim_host *sim_host_find(const struct sim *s, in_addr_t addr);

const struct sim_link *sim_link_of(const struct sim *s, const struct sim_host *from, const struct sim_host *to);
uint64_t sim_link_delay(struct sim *s, const struct sim_link *l);
/* In this direction. */
bool sim_link_is_cut(const struct sim *s, const struct sim_host *from, const struct sim_host *to);
/* NULL: as many bytes as they like. */
uint64_t *sim_gate_of(const struct sim *s, const struct sim_host *from, const struct sim_host *to);
bool sim_chance(struct sim *s, uint32_t ppm);

/* Adds to the trace: what, about which connection or host, how much. */
void sim_tell(struct sim *s, const char *what, uint64_t who, uint64_t n);

/* --- streams ------------------------------------------------------------------------------------------------------ */

enum item_kind { ITEM_OPEN, ITEM_DATA, ITEM_CREDIT, ITEM_FIN, ITEM_RST };

/* Something on its way to an end. */
struct sim_item {
    struct sim_item *next;
    enum item_kind kind;
    uint32_t n;       /* bytes */
    uint32_t at_byte; /* of those that arrived: how many have been popped */
    uint64_t at;
    char bytes[];
};

struct items {
    struct sim_item *head, **tail;
};

struct sim_conn;

struct sim_end {
    struct sim_conn *conn;
    struct sim_host *host;
    struct sim_sock *sock; /* NULL: not accepted yet, or closed */
    struct sockaddr_in addr;
    bool open;   /* the handshake is over for it */
    bool closed; /* nobody pops or pushes any more */
    bool dead;   /* was reset */
    /* out */
    struct seg_ring out;
    char *tail; /* what a closed end still sends */
    uint64_t queued, sent;
    uint32_t credit;
    bool resting; /* an event will go on sending */
    bool shut, fin_sent;
    /* on the way here */
    struct items wire;
    uint64_t wire_last_at;
    bool wire_event;   /* for the head of the wire */
    bool wire_stalled; /* the head was due while the link was cut */
    /* in */
    struct items in;
    uint64_t in_bytes;
    bool ended; /* FIN came, or SHUT_RD */
    bool fin_came;
    int error; /* it was reset before somebody accepted it: its socket is still to hear */
};

struct sim_conn {
    struct sim *sim;
    struct list all;
    uint32_t id, refs;
    unsigned attempts;
    struct sim_end ends[2]; /* who connected, who listens */
};

static inline struct sim_end *peer_of(struct sim_end *e) { return &e->conn->ends[e == &e->conn->ends[0]]; }

struct sim_conn *sim_conn_new(struct sim *s);
static inline struct sim_conn *sim_conn_ref(struct sim_conn *c)
{
    c->refs++;
    return c;
}
void sim_conn_unref(struct sim_conn *c);
void sim_conn_free(struct sim_conn *c);
/* The host of an end has crashed: its peer hears of that, of all that had left, or of less. */
void sim_conn_lose(struct sim_end *e);
/* Takes it down from the middle: both ends get a reset, and what is on the way is lost. */
void sim_conn_break(struct sim_conn *c);

/* Lines of items. */
void sim_items_init(struct items *l);
void sim_items_add(struct items *l, struct sim_item *it);
struct sim_item *sim_items_shift(struct items *l);
void sim_items_free(struct items *l);

/* Puts something on the way to an end; bytes may be NULL. */
void sim_wire_send(struct sim_end *to, enum item_kind kind, const char *bytes, uint32_t n);
/* The link has been healed. */
void sim_wire_heal(struct sim_end *to);

/* Sends what window and chance allow. */
void sim_end_transmit(struct sim_end *e);
void sim_end_transmit_later(struct sim_end *e);              /* in an event of its own */
void sim_end_arrive(struct sim_end *e, struct sim_item *it); /* it is the end's now */
/* Its socket is closed. */
void sim_end_close(struct sim_end *e, bool abort);

/* --- sockets ------------------------------------------------------------------------------------------------------ */

enum sim_sock_state { SOCK_NEW, SOCK_BOUND, SOCK_LISTENING, SOCK_CONNECTING, SOCK_CONNECTED };

#define SIM_UNSENT_MAX  65536u /* segments waiting on one socket: then EBUSY */
#define SIM_DGRAMS_MAX  256    /* waiting to be popped; more are lost */
#define SIM_DGRAM_BYTES 65507u

struct sim_dgram {
    struct list all; /* in sim->dgrams, or empty */
    struct sim_dgram *next;
    struct sim *sim;
    struct sockaddr_in from, to;
    uint32_t n;
    char bytes[];
};

struct sim_sock {
    struct queue q;
    struct sim_host *host;
    struct list link; /* in host->socks */
    enum sim_sock_state state;
    bool dgram, linger_none;
    bool bound;        /* by the program: it stays so when a connection fails */
    uint8_t hops, tos; /* options of the IP header */
    struct sockaddr_in local, peer;
    struct stream st; /* of datagram sockets only who waits */
    struct op_list accepts;
    struct op *connecting;
    struct sim_end *end;
    struct list dirty; /* in libos's list, or empty */
    /* a listener's */
    unsigned backlog, waiting_count;
    struct sim_end *waiting[128];
    /* a datagram socket's */
    struct sim_dgram *dgrams, **dgrams_tail;
    unsigned dgram_count;
};

struct sim_libos {
    struct libos base;
    struct sim_host *host;
    bool sockets;      /* false: a net host's, which only lends its share of the turn */
    struct list dirty; /* socks with something to send */
};

static inline struct sim_sock *sock_of(struct queue *q) { return (struct sim_sock *)q; }

struct sim_sock *sim_sock_new(struct sim_host *h, bool dgram);
void sim_sock_check(const struct sim_sock *s); /* invariants, after every event and call */
void sim_sock_dirty(struct sim_sock *s);
/* Who listens at addr; NULL: nobody. */
struct sim_sock *sim_sock_listener(struct sim_host *h, const struct sockaddr_in *addr);
int sim_sock_autobind(struct sim_sock *s);
void sim_sock_answer_accepts(struct sim_sock *s);

int sim_conn_start(struct sim_sock *s, struct op *op, const struct sockaddr_in *addr);
void sim_conn_cancel(struct sim_sock *s); /* of one that is CONNECTING */

int sim_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                    socklen_t size, unsigned flags);
int sim_stream_pop(struct queue *q, struct op *op);
void sim_stream_flush(struct sim_sock *s);
void sim_stream_answer_pops(struct sim_sock *s);

int sim_dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                   socklen_t size, unsigned flags);
int sim_dgram_pop(struct queue *q, struct op *op);
void sim_dgram_drop(struct sim_sock *s);

#endif

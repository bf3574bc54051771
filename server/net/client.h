/* SPDX-License-Identifier: MIT
 *
 * A client: one connection, what it sent and has not been executed, what it selected, queued, watches and waits for. A
 * client belongs to one worker and is touched by no other thread.
 */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include "alloc/base/list.h"
#include "demi/sga.h"
#include "server/exec/session.h"
#include "server/net/endpoint.h"
#include "server/resp/parse.h"
#include "server/resp/reply.h"

enum client_flag {
    CLIENT_BLOCKED = 1u << 3,     /* waits for a key or the log: client->blocked */
    CLIENT_CLOSE_AFTER = 1u << 4, /* close once the reply is out */
    CLIENT_CLOSE_NOW = 1u << 5,   /* close at the end of this turn, reply or not */
    CLIENT_UNIX = 1u << 10,
    CLIENT_RDMA = 1u << 12, /* came to rdma-port */
    CLIENT_NO_EVICT = 1u << 11,
    CLIENT_PAUSED = 1u << 14, /* its next command is held: CLIENT PAUSE, a save (persist_holds()) */
    CLIENT_WAITS = CLIENT_BLOCKED | CLIENT_PAUSED,
    CLIENT_FLUSH_QUEUED = 1u << 17, /* on the worker's list of clients with output */
    CLIENT_READY_QUEUED = 1u << 18, /* on the worker's list of clients with input */
    CLIENT_STALLED = 1u << 19,      /* not popped: too much unsent */
    CLIENT_HELD = 1u << 22, /* on the worker's list of clients whose output waits for the disk, instead of that above */
    CLIENT_IN_SCRIPT = 1u << 23, /* its script runs for too long, and others are served: it is not touched meanwhile */
    CLIENT_WEIGHED = 1u << 24,   /* server/net/client_weight.h */
    CLIENT_OWING = 1u << 21,     /* no further command runs before more of its output was sent (client_output.c) */
    CLIENT_ENDED = 1u << 25,     /* its input has ended, and what came of it waits for its output */
};

struct config;
struct feed;
struct replica;
struct server;
struct blocked;       /* server/exec/blocked.c */
struct subscriptions; /* server/net/pubsub.c */

struct client {
    struct session s; /* s.client is this one, s.out its out */
    struct endpoint endpoint;
    struct list all; /* worker->clients */
    struct client *next_ready, *next_flush, *next_dying;
    demi_qtoken_t pop;  /* the outstanding one; 0: none */
    demi_qtoken_t push; /* of a client that owes: tells when its output was sent; 0: none */
    uint64_t id;
    int qd;
    uint32_t flags; /* enum client_flag */
    struct worker *w;
    struct reply out;    /* out.proto is 2 or 3 */
    uint64_t durable_at; /* what it changed since there is a log lies before this offset of the journal */
    uint64_t changed_at; /* and since there is a history, not behind this offset of that */

    /* Input: one contiguous buffer, either the array just popped (in_sga) or our own (in_own), and how far it is
     * parsed. */
    const char *in;
    size_t in_off, in_len;
    demi_sgarray_t in_sga;
    char *in_own;
    size_t in_cap;  /* of in_own; 0: none */
    size_t in_want; /* the parser needs this many bytes from in_off on before it can go on */
    struct resp_parser parser;
    demi_qresult_t *put_off; /* a result that came while its script ran */
    char error[64];          /* protocol error on its way to the client */

    struct blocked *blocked;
    struct subscriptions *subs;
    struct tracking_client *tracking; /* server/net/tracking.h; NULL: it tracks nothing */

    size_t weight; /* as it was found last (server/net/client_weight.h) */
    struct list weight_class;

    int64_t created_ms, active_ms;
    int64_t stalled_ms;              /* since when nothing of its output moved, 0: it moves */
    size_t unsent;                   /* bytes the libOS still holds, as of the last look */
    size_t copied;                   /* pushed in pieces that it copies, since it held nothing: of these at most */
    int64_t soft_limit_ms;           /* since when the output is over its soft limit */
    size_t args_bytes;               /* of the command in execution */
    char *name, *lib_name, *lib_ver; /* NUL-terminated or NULL */
    char peer[64], local[64];        /* "127.0.0.1:4711", "[::1]:4711", "/tmp/redis.sock:0" */
    uint64_t net_in, net_out, commands;
    struct replica *replica; /* server/repl/replica.h; NULL: it has said nothing of a replica's */
    struct feed *feed;       /* server/net/feed.h; NULL: it reads no stream */
    uint64_t feed_from;      /* where in its output, counted as net_out, the effects begin */
};

/* Life: accepted queue and its peer as accept told it in, client out. client_free() at the end of a turn only:
 * client_close_soon() from anywhere else. */
struct client *client_new(struct worker *w, int qd, const struct sockaddr_storage *peer);
/* Who is "local" for protected mode and the options that know this word. What is not known is not local. */
bool client_is_on_this_host(const struct sockaddr_storage *peer);
void client_free(struct client *cl);
/* Of a connection that somebody else has read from: what has come over it and was not read, of which `taken` bytes
 * were. */
void client_take_input(struct client *cl, const demi_sgarray_t *in, size_t taken);
void client_close_soon(struct client *cl); /* no further command runs */
/* The same, by our will and not its own: the kernel or our stack sends what it has of the output; if there is more, its
 * memory comes free at once and the peer hears of a reset. The client waits for nothing and hears of nothing from now
 * on. */
void client_kill(struct client *cl);
void client_close_after_reply(struct client *cl);

/* Puts the client on the list of those with output (and input to settle) for the end of the turn. Whoever appends to
 * cl->out outside of the client's own command (pub/sub, MONITOR, served blockers) calls it afterwards. */
void client_output(struct client *cl);
/* End of the turn: pushes the output, settles the input, asks for more. */
void client_flush(struct client *cl);
/* w->durable has grown: who waited for no more is flushed in this turn, or, if a task says so while the loop sleeps, in
 * one that begins now. */
void client_release_held(struct worker *w);

/* Its command runs on while others are served, and its input lies where it is; until that is over. */
void client_enter_script(struct client *cl);
void client_leave_script(struct client *cl);

/* While its script waits (server/script/debugger.c). What is to be sent at once, past its output: said is empty
 * afterwards. */
void client_say(struct client *cl, struct reply *said);
/* It has not taken what it was sent; it should be told no more now. */
bool client_is_behind(struct client *cl);
/* It has taken none of it for a while. */
bool client_is_stuck(const struct client *cl);
/* What it has sent behind the command in execution, and what has come since, is handed over; hear: false, this is too
 * much. More is asked for if there was nothing. */
enum client_heard { CLIENT_HEARD_NOTHING, CLIENT_HEARD, CLIENT_HEARD_TOO_MUCH, CLIENT_GONE };
enum client_heard client_hear(struct client *cl, bool (*hear)(void *ctx, struct bytes said), void *ctx);

/* Replaces the input not yet parsed (from in_off on) by `text` and what follows offset `rest`. */
void client_unparse(struct client *cl, const char *text, size_t n, size_t rest);
/* Ten times a second: limits of output, idle time and stalls. */
void client_cron(struct client *cl);

enum client_class { CLASS_NORMAL, CLASS_REPLICA, CLASS_PUBSUB, CLASS_COUNT };
enum client_class client_class_of(const struct client *cl);
/* client-output-buffer-limit, the hard one; 0: none. A replica's is never below the backlog, since one that asks for
 * all of that is so far behind at once. */
size_t client_hard_limit(const struct worker *w, enum client_class class);
/* Bytes of output waiting: built here and held by the libOS. */
size_t client_output_bytes(const struct client *cl);
/* Closes it, with Redis's line in the log. */
void client_close_over_limit(struct client *cl);
/* Memory of output that was handed to the libOS and freed here, and the bytes of all clients of a worker that are
 * unsent: everybody's share of the one is as large as his share of the other. */
struct output_held {
    size_t memory, unsent;
};
struct output_held client_output_held(const struct worker *w);
/* What its output takes, and all that it has, for it alone: values that its reply lends are data, however many clients
 * they are on their way to, and what lies in the kernel is not ours. */
size_t client_output_memory(const struct client *cl, const struct output_held *held);
size_t client_memory(const struct client *cl, const struct output_held *held);
/* The line of CLIENT LIST, without newline, into out, cut to size with its 0; returns the length of the whole one. */
size_t client_describe(const struct client *cl, const struct output_held *held, char *out, size_t size);

/* A worker's clients by their number: before the first and after the last. */
void client_index_init(struct worker *w);
void client_index_fini(struct worker *w);
/* After the rules of users changed. Who waits is let in for as long as the default user needs no password. */
void client_users_changed(struct worker *w);
/* It has come in: its connection costs what a client's may (demi/ext.h, DEMI_RDMA_TRUSTED). */
void client_trust(struct client *cl);
/* By id over all workers; NULL: none. */
struct client *client_find(struct server *srv, uint64_t id);

#endif

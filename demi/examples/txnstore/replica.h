/* SPDX-License-Identifier: MIT
 *
 * One replica of TxnStore. README.md explains the protocol; the parts are
 *
 *     replica.c   start, loop, end
 *     elect.c     terms, votes, who leads
 *     append.c    from the leader's log to the others', copies of the store, what has committed
 *     serve.c     clients: sessions, reads, validation of transactions
 *     keep.c      what goes to the disk and comes back from it, checkpoints
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_REPLICA_H
#define DEMI_EXAMPLES_TXNSTORE_REPLICA_H

#include "demi/examples/txnstore/disk.h"
#include "demi/examples/txnstore/entries.h"
#include "demi/examples/txnstore/store.h"

#include <netinet/in.h>
#include <signal.h>

struct txn_options {
    unsigned id; /* which of the addresses is ours */
    struct sockaddr_in replicas[TXN_REPLICAS];
    const char *log_path;                     /* a file or device for demi_open("log:") */
    bool create;                              /* the log may be new: at a replica's very first start, and never again */
    uint32_t keys_max;                        /* at most so many keys */
    uint32_t entries_max;                     /* of the log, in memory */
    uint64_t checkpoint_bytes;                /* of log, then a checkpoint */
    uint64_t seed;                            /* of the times of elections */
    const volatile sig_atomic_t *stop;        /* set: end in order, within a tick */
    void (*say)(void *arg, const char *line); /* what an operator should know; may be NULL */
    void *arg;
};
#define TXN_OPTIONS_DEFAULT                                                                                            \
    {                                                                                                                  \
        .keys_max = 10000, .entries_max = 2048, .checkpoint_bytes = 12u << 20                                          \
    }

#define TXN_MS           ((uint64_t)1000000)
#define TXN_TICK_NS      (5 * TXN_MS)
#define TXN_HEARTBEAT_NS (20 * TXN_MS)
#define TXN_ELECTION_NS  (150 * TXN_MS) /* of silence; and up to as much again */
#define TXN_WINDOW       256u           /* entries sent to a follower and not acknowledged */

enum txn_role { TXN_FOLLOWER, TXN_CANDIDATE, TXN_LEADER };

struct txn_follower {             /* what the leader knows of each */
    uint64_t next;                /* index to send */
    uint64_t match, match_before; /* durable there, the same as ours; at the last heartbeat */
    uint64_t heard_ns;
};

struct txn_waiting {       /* a client's request that is in the log, by slot */
    uint64_t index, nonce; /* 0: none */
    struct sockaddr_in from;
};

struct txn_checkpoint {
    bool runs;
    uint32_t position;
    uint64_t mark, mark_term;       /* the store has all up to there */
    uint64_t begin_push, mark_push; /* its first record, its last one */
    uint64_t begin_offset;
};

struct txn_counts {
    uint64_t received, refused, committed, conflicts, elections, checkpoints, copies;
};

struct txn_replica {
    const struct txn_options *o;
    int qd;
    int error; /* ends the replica */
    uint64_t now_ns, seed;
    struct txn_disk disk;
    struct txn_entries log;
    struct txn_store store;
    struct txn_counts counts;

    /* On the disk: what was promised. meta_push 0: it has yet to be pushed. */
    uint64_t term;
    int vote; /* -1: none */
    uint64_t meta_push;
    uint64_t pushed;      /* index: the log's records up to there are pushed, */
    uint64_t durable;     /* and durable */
    uint64_t mark;        /* of the last checkpoint that is durable */
    uint64_t mark_offset; /* where the log was then */
    uint64_t base_push;   /* of the mark that moved the base: until it is durable, nothing behind it is */
    uint64_t log_offset;  /* of the newest record */
    struct txn_checkpoint checkpoint;

    enum txn_role role;
    unsigned leader;      /* TXN_CLIENT: unknown */
    uint64_t heard_ns;    /* from it, or the vote given */
    uint64_t patience_ns; /* of this election */
    unsigned votes;       /* bits */
    uint64_t beat_ns;     /* the last heartbeat, of a leader or candidate */
    uint64_t commit, applied;
    uint64_t match;          /* a follower's: the same as the leader's log up to there, in this term */
    uint64_t acked;          /* of that, what the leader was told is on the disk */
    int vote_owed, ack_owed; /* answers that wait for the disk: to whom, or -1 */
    uint64_t copy_mark, copy_term, copy_position; /* of a follower's copy of the store that is under way; 0: none */

    struct txn_follower others[TXN_REPLICAS];
    uint64_t ready; /* a leader's: when this is applied, it knows all that was committed before it */
    struct txn_waiting waiting[TXN_SESSIONS];
    uint64_t writes[4096]; /* newest index in the log that writes a key of that hash: a leader's, of its term */
};

/* Runs until *o->stop, 0, or until the disk fails or the log is none: an errno. The thread has its library OS. */
int txn_replica_run(const struct txn_options *o);

/* --- between the parts -------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) void txn_say(const struct txn_replica *r, const char *fmt, ...);
/* Fills in from. What does not go out is lost, as datagrams are. */
void txn_send(struct txn_replica *r, const struct sockaddr_in *to, struct txn_message *m);
void txn_send_to(struct txn_replica *r, unsigned id, struct txn_message *m);
/* Something that no honest peer sends. */
void txn_refuse(struct txn_replica *r);

/* A term that is new to us: nothing is promised in it yet. */
void txn_elect_term(struct txn_replica *r, uint64_t term);
void txn_elect_tick(struct txn_replica *r);
void txn_elect_durable(struct txn_replica *r);
void txn_elect_asked(struct txn_replica *r, const struct txn_message *m);
void txn_elect_voted(struct txn_replica *r, const struct txn_message *m);

void txn_append_send(struct txn_replica *r); /* what the followers do not have yet */
void txn_append_heartbeat(struct txn_replica *r);
void txn_append_durable(struct txn_replica *r);
void txn_append_take(struct txn_replica *r, const struct txn_message *m);
void txn_append_acked(struct txn_replica *r, const struct txn_message *m);
void txn_append_copy(struct txn_replica *r, const struct txn_message *m);
void txn_append_copy_asked(struct txn_replica *r, const struct txn_message *m);
/* A leader's: writes an entry into the log. Its index, 0: no room. */
uint64_t txn_append_entry(struct txn_replica *r, struct txn_entry *e);

void txn_serve(struct txn_replica *r, const struct sockaddr_in *from, const struct txn_message *m);
void txn_serve_applied(struct txn_replica *r, const struct txn_entry *e, uint64_t index);
void txn_serve_forget(struct txn_replica *r);

int txn_keep_recover(struct txn_replica *r); /* 0 or an errno, of which a line was said */
void txn_keep_flush(struct txn_replica *r);
bool txn_keep_take(struct txn_replica *r, const demi_qresult_t *qr);
bool txn_keep_room(struct txn_replica *r); /* for one more entry */
static inline bool txn_keep_meta_is_durable(const struct txn_replica *r)
{
    return r->meta_push && r->meta_push <= r->disk.durable;
}
/* A piece of a copy, and its end: on the disk, too. False: not now. */
bool txn_keep_items(struct txn_replica *r, const uint8_t *bytes, size_t size);
bool txn_keep_mark(struct txn_replica *r, uint64_t index, uint64_t term);

#endif

/* SPDX-License-Identifier: MIT
 *
 * From the keyspace to the packer: the walk of a save, and what its entries are written as. While a large collection is
 * written in steps, what commands hand over of other entries is written aside, and comes behind it.
 *
 * Commands wait (exec_request() asks) that would change a large collection which is not written yet, unless they change
 * elements of a set, hash or sorted set alone; and all that write while what they have handed over takes more memory
 * than snapshot-memory-limit allows.
 */
#ifndef SERVER_PERSIST_SAVE_WALK_H
#define SERVER_PERSIST_SAVE_WALK_H

#include "server/exec/call.h"
#include "server/persist/aof_commands.h"
#include "server/persist/packer.h"
#include "server/rdb/snapshot.h"
#include "server/rdb/write.h"

struct request;
struct save_walk;
struct session;
struct walk;
struct worker;

struct save_lane { /* private: one sequence of entries */
    struct save_walk *of;
    enum packer_when when;
    struct rdb_sink sink;
    struct rdb_deferred deferred;
    struct rdb_writer rdb;
    struct aof_commands commands;
};

struct save_walk {
    uint64_t keys_done, keys_all;
    size_t memory_peak;
    uint64_t progress; /* counted by who writes: more of the file is on its way */
    /* private */
    struct worker *w;
    struct packer *packer;
    demi_wake_t *wake; /* rung when somebody begins to wait */
    struct call call;
    struct walk *walk; /* NULL: it has ended */
    bool as_commands, background;
    int version;
    bool walking;     /* what is shown is shown by the walk */
    bool waited_for;  /* a command waits for what is written next */
    bool in_large;    /* a large one is being written, in the main lane ... */
    bool in_another;  /* ... and another one in the lane beside it */
    size_t bytes_max; /* that commands may have handed over and nobody has written, or the walk keeps for them */
    struct rdb_steps steps;
    struct save_lane main, aside;
};

struct save_walk_options {
    bool background;   /* clients are served meanwhile */
    bool aof_base;     /* commands come behind it */
    bool as_commands;  /* no RDB, but the commands that make the data */
    int version;       /* of RDB; 0: rdb-version */
    demi_wake_t *wake; /* rung when somebody begins to wait; the caller's */
};

/* Of the data of now, into p. */
void save_walk_begin(struct save_walk *s, struct worker *w, struct packer *p, const struct save_walk_options *o);
/* Goes on until the deadline, or until much waits for the packer; true: everything is with it. */
bool save_walk_some(struct save_walk *s, uint64_t deadline_ns);
/* So much waits for the packer that the walk waits, too. */
bool save_walk_is_ahead(const struct save_walk *s);
/* Nothing is wanted of commands any more, and none waits. Harmless when it has ended. */
void save_walk_end(struct save_walk *s);
/* The packer has gone on: whoever may go on does. */
void save_walk_let_go(struct save_walk *s);
/* What it takes. */
size_t save_walk_memory(const struct save_walk *s);

/* Some request waits. */
bool save_walk_is_waited_for(const struct save_walk *s);
/* The request has to wait. */
bool save_walk_holds(struct save_walk *s, const struct session *session, const struct request *r);

#endif

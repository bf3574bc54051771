/* SPDX-License-Identifier: MIT
 *
 * When the data are saved and whether that works: save points, SAVE, BGSAVE, LASTSAVE, what INFO persistence shows and
 * what stop-writes-on-bgsave-error goes by. The writing itself is save.h's, the reading load.h's.
 */
#ifndef SERVER_PERSIST_PERSIST_H
#define SERVER_PERSIST_PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/persist/claim.h"
#include "server/rdb/snapshot.h"

struct call;
struct load;
struct request;
struct save;
struct save_walk;
struct server;
struct session;
struct worker;

struct persist {
    struct claim claim;     /* of the file that is saved to */
    bool replaying;         /* commands of an append-only file run: what they were checked for they were checked for */
    struct save_walk *walk; /* the one clients are served during, of a save or a rewrite; NULL: there is none */
    struct save *saving;    /* in the background; NULL: no */
    struct save *streaming; /* one for replicas, into their connections; NULL: there is none (persist_stream_begin()) */
    struct save *cancelled; /* one that was given up and has not ended yet; NULL: there is none */
    uint64_t seen_progress; /* of the save that commands wait for, and since when there was no more */
    int64_t stalled_ms;
    bool stalled;                                            /* the cancelled one had none for long */
    bool scheduled;                                          /* BGSAVE SCHEDULE, or one inside EXEC */
    bool failed;                                             /* the last one in the background */
    void (*told)(struct worker *w, struct save *s, int err); /* who else wants to know how the one under way ends */
    int64_t saved_s;                                         /* when the data were last saved, or the server began */
    int64_t tried_s;                                         /* when one in the background last began */
    int64_t took_s;                                          /* the last one in the background; -1: there was none */
    int64_t dirty_before;                                    /* changes when the one under way began */
    uint64_t saves;                                          /* begun since the start */
    size_t memory_peak;                                      /* of the last one */
    struct load *loading;                                    /* the data are being loaded; NULL: no */
    void (*ready)(struct server *srv);                       /* who is told when they are */
    struct load *beside;                /* data for a replica are, while the old ones are served; NULL: no */
    struct rdb_origin origin;           /* of what was loaded at the start */
    void (*arrived)(struct worker *w);  /* who is told of that first */
    uint64_t keys_loaded, keys_expired; /* by the last load */
};

void persist_init(struct server *srv);
/* Loads the data, in the background, and calls ready then; what is loaded in a moment is before this returns. What
 * cannot be loaded stops the server, with exit code 1. */
void persist_load_begin(struct worker *w, void (*ready)(struct server *srv));
/* Puts what the file holds into the keyspace with nobody served meanwhile. flags: enum rdb_load_flag. 0 or -errno; the
 * log says why. */
int persist_load(struct worker *w, unsigned flags);
/* At the end: a save under way is given up, a load too. */
void persist_fini(struct worker *w);
/* Some times a second: whether it is time for a save. */
void persist_cron(struct worker *w);

/* Saves with nobody served meanwhile. 0 or -errno; the log says why. A save in the background must not be under way. */
int persist_save(struct worker *w);
/* Begins one in the background. 0; -EBUSY: one is under way; another -errno: the log says why. */
int persist_save_begin(struct worker *w);
/* The same for replicas, of an RDB version: told() is called before the save is gone, and may take the file that was
 * left open to be read (save_take_open()). */
int persist_save_for_replicas(struct worker *w, int version, void (*told)(struct worker *w, struct save *s, int err));
/* Begins one into their connections instead; told() as above. False: the log says why. */
struct save_stream;
bool persist_stream_begin(struct worker *w, const struct save_stream *to, int version,
                          void (*told)(struct worker *w, struct save *s, int err));
/* Gives that up, or ends the wait for room in it. Harmless without one. */
void persist_stream_cancel(struct worker *w);
void persist_stream_go_on(struct worker *w);
/* A save may begin now: no other walks the data. */
bool persist_may_walk(const struct server *srv);
/* Gives one in the background up, if there is one; which is no failure. */
void persist_save_cancel(struct worker *w);
/* Everything was flushed: the file is to say so, too, if there are save points. */
void persist_flushed_all(struct call *c);
/* Commands that change data are to be refused: the last save failed, and the operator wants to know. */
bool persist_refuses_writes(const struct server *srv);
/* Memory that a save or a rewrite under way takes. */
size_t persist_save_memory(const struct server *srv);
/* The request has to wait for a save or for the log. To be asked while the server is SERVER_SAVING, SERVER_AOF_FULL,
 * SERVER_HISTORY_FULL. */
bool persist_holds(const struct session *s, const struct request *r);
/* After anything that the answer depends on has changed (the configuration, too). */
void persist_update(struct server *srv);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Append-only files: every effect on the disk, in the multi-part layout of Redis 7 (aof_manifest.h). The log is a
 * reader of the journal; a task writes what it has not written yet, and syncs as appendfsync says:
 *
 *     always     a reply to a command that changed something waits until that is on the disk (w->durable)
 *     everysec   at most a second, or as long as one sync takes, is not
 *     no         the kernel decides
 *
 * The loop itself neither writes nor waits. With aof-device the log is three log queues instead of files
 * (aof_device.h).
 */
#ifndef SERVER_PERSIST_AOF_H
#define SERVER_PERSIST_AOF_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "demi/ext.h"
#include "server/journal/broadcast.h"
#include "server/persist/aof_device.h"
#include "server/persist/aof_group.h"
#include "server/persist/aof_manifest.h"

struct load;
struct save;
struct server;
struct worker;

enum aof_state {
    AOF_OFF,
    AOF_WAIT_REWRITE, /* switched on, and the first base is being written: what is there is no log yet */
    AOF_ON,
};

struct aof {
    enum aof_state state;
    char folder[PATH_MAX];
    int lock_fd;                  /* of the folder, while the log is ours; -1: it is not */
    struct aof_manifest manifest; /* as it is on the disk */
    struct aof_device device;     /* instead of those: aof-device */
    bool on_device;               /* it is set */

    /* the increment in the writing: the task's */
    struct broadcast_reader reader;
    int qd;
    uint64_t bytes;            /* of this increment that are written */
    uint64_t safe_bytes;       /* of those, synced, or there when it was opened */
    uint64_t written, durable; /* offsets in the journal */
    uint64_t boundary;         /* one where no record is cut */
    int64_t stamp_s;           /* aof-timestamp-enabled: the last one */
    demi_wake_t *wake;
    demi_qtoken_t wake_qt, task;
    bool runs, idle, gathering, stopping, settling;
    bool put_off; /* no sync now: no-appendfsync-on-rewrite */
    uint64_t synced_ns;
    struct aof_group group;
    /* where the next increment begins; next_qd -1: there is none */
    int next_qd;
    uint64_t next_at;

    int error;       /* -errno of the last write or sync; 0: fine */
    bool poisoned;   /* a sync failed: what the file has nobody knows, only a rewrite helps */
    bool ended;      /* that was under `always`: nothing is written any more */
    bool wants_sync; /* something of the file that was not written by this task since its last sync may not be safe */
    int64_t error_log_s;

    /* rewriting */
    bool rewriting, scheduled, failed, given_up;
    struct save *save; /* under way */
    demi_qtoken_t rewrite_task;
    int64_t rewrite_began_s, rewrite_took_s; /* -1: none */
    uint64_t rewrites;
    size_t memory_peak; /* of the last one */
    unsigned failures;  /* in a row */
    int64_t retry_s;    /* not before this; 0: at once */
    unsigned retry_minutes;

    uint64_t base_bytes;   /* of all files, after the last rewrite or the start */
    uint64_t closed_bytes; /* of the files before the increment in the writing */
    uint64_t delayed_syncs;
    uint64_t took_ns;       /* writes so far, and under `always` syncs: what commands may wait for */
    uint64_t full_ns;       /* since when commands wait for it, if they do */
    int64_t write_delay_us; /* DEBUG AOF-FLUSH-SLEEP */
};

void aof_init(struct aof *a);
/* A load_fn: what the files have. 0, -ENOENT: there are none; or another -errno, and the log says why. */
int aof_load(struct load *l);
/* After loading, in a task: the log goes on, with a base and an increment if there are none. 0 or -errno. */
int aof_open(struct worker *w);
/* CONFIG SET appendonly. 0 or -errno. */
int aof_switch_on(struct worker *w);
void aof_switch_off(struct worker *w);
/* Everything is written and synced, or (false) it cannot be: before the server ends. */
bool aof_settle(struct worker *w);
/* At the end of the server: everything is written and synced. False: that failed. */
bool aof_close(struct worker *w);
/* Everything that was appended is written (and synced), before this returns. */
void aof_flush(struct worker *w);

/* BGREWRITEAOF. 0; -EBUSY: one is under way; another -errno. */
int aof_rewrite_begin(struct worker *w);
void aof_rewrite_cancel(struct worker *w);
/* The same as a failure, and without waiting for its end. */
void aof_rewrite_give_up(struct worker *w);
/* Some times a second: errors are tried again, growth is looked at. */
void aof_cron(struct worker *w);

/* The journal has grown. */
void aof_appended(struct server *srv);
/* The loop has ended a turn: to be told while a->group waits. */
void aof_turn(struct worker *w);
/* It has grown, or is written further: whether commands that write wait until it is (SERVER_AOF_FULL). */
void aof_see_lag(struct server *srv);
uint64_t aof_unwritten(const struct aof *a);
/* Bytes of all files. */
uint64_t aof_size(const struct aof *a);
/* What was changed before this offset of the journal is on the disk. While a log is switched on nothing is. */
bool aof_is_durable(const struct server *srv, uint64_t offset);
/* Replies wait for the disk. */
bool aof_is_always(const struct server *srv);
/* After the configuration has changed. */
void aof_take_config(struct worker *w);

#endif

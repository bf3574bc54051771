/* SPDX-License-Identifier: MIT
 *
 * The append-only file on a device (aof-device): aof_logs.h has its layout. Here is what the server does with it: room
 * that is kept for rewrites, bases in the writing, and what its log says of errors.
 *
 * Functions wait where they are called; 0 or -errno, and the log says why, where it is not said otherwise.
 */
#ifndef SERVER_PERSIST_AOF_DEVICE_H
#define SERVER_PERSIST_AOF_DEVICE_H

#include "server/persist/aof_logs.h"

struct save;
struct server;
struct worker;

struct aof_device {
    struct aof_logs logs;
    bool is_open;
    /* of loading: the tail is void from somewhere on, and the log can only go on behind a line that says so */
    bool needs_resume;
    uint64_t dropped;
    bool is_broken;  /* an error of the device: it has to be opened again before anything is pushed */
    bool lacks_room; /* only a rewrite may be written: commands that write wait for that */
    /* the base in the writing */
    enum aof_log next_log;
    struct aof_record next; /* its "end", as far as it is known */
    bool has_mark;          /* next.mark is */
    struct save *save;
    int error;         /* of it */
    uint64_t expected; /* bytes that it will have, about */
    size_t unsynced;
    demi_qtoken_t sync;
    bool syncing;
};

/* aof-device is set. */
bool aof_device_is_wanted(const struct server *srv);
void aof_device_init(struct aof_device *d);
/* Opens the logs, and makes those that are not there. Harmless if they are open. */
int aof_device_open(struct server *srv);
/* Harmless if they are not. */
void aof_device_close(struct server *srv);

/* Bytes that a record of the journal may have. And whether n more may be pushed, or -ENOSPC, since the rest of the room
 * is a rewrite's. Nothing is logged. */
size_t aof_device_lot(const struct server *srv);
int aof_device_check_room(const struct server *srv, size_t n);
/* The room is so small that a rewrite had better make some. */
bool aof_device_is_short(const struct server *srv);
/* Lines in the increments: where those of the next base begin; that the log goes on. Nothing is logged. */
int aof_device_push_mark(struct aof_device *d, bool begins);
int aof_device_push_resume(struct aof_device *d);
/* The error of a push or sync says that nothing can be pushed any more. */
bool aof_device_error_is_final(int err);

/* A base is begun; written by what aof_device_save() returns (NULL: the log says why), save_run(), save_end(), whose
 * error aof_device_save_error() knows; then ended, which puts it in force. Or given up, which frees its room. */
int aof_device_begin_base(struct server *srv, bool is_rdb);
struct save *aof_device_save(struct worker *w, bool background);
int aof_device_save_error(struct aof_device *d, int err);
int aof_device_end_base(struct server *srv);
void aof_device_give_up_base(struct server *srv);

#endif

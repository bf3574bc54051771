/* SPDX-License-Identifier: MIT
 *
 * One RDB file in the writing: the data as they were when it began, from a point-in-time walk (server/db/walk.h),
 * packed by a thread (packer.h), written through the library's files. The file appears under its name when it is whole
 * and safe; whatever fails, the one that was there stays.
 *
 * In the background a task does it, a millisecond at a time while clients have requests; in the foreground the thread.
 */
#ifndef SERVER_PERSIST_SAVE_H
#define SERVER_PERSIST_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct save;
struct worker;

struct save_stream;

struct save_request {
    const char *name, *temporary; /* paths: of the file, and of what becomes it */
    bool background;              /* in a task, which lets clients be served */
    bool aof_base;                /* commands come behind it */
    bool as_commands;             /* no RDB, but the commands that make the data */
    int version;                  /* of RDB; 0: rdb-version */
    const struct save_stream *to; /* instead of a file */
};
/* One of the data of now; NULL: it cannot be, and the log says why. Then save_run(), which returns 0 or -errno, and
 * save_end(). */
struct save *save_begin(struct worker *w, const struct save_request *r);
int save_run(struct save *s);
void save_end(struct save *s);

/* Writes the file `name` of the working directory, whole, and returns 0 or -errno; the log says why. */
int save_foreground(struct worker *w, const char *name);

/* Removes the temporary file of one that is under way, in a handler of a signal that ends the process. */
void save_remove_temporary(void);

/* Begins to; the data are those of now. `ended` is called once, by the task, when it is over; the struct is gone
 * afterwards. NULL: it could not begin; the log says why. */
typedef void save_ended_fn(struct worker *w, struct save *s, int err);
struct save *save_background(struct worker *w, const char *name, int version, save_ended_fn *ended);
/* Before it ends: the file stays open to be read, whatever takes its name later. */
void save_keep_open(struct save *s);
/* By `ended`: the queue of that; the caller closes it. -1: there is none. */
int save_take_open(struct save *s);

/* The same into no file: its bytes are put, a piece at a time, where there is room for them. Whoever says that there is
 * none says so when there is (save_go_on()). All three are called by the task. */
struct save_stream {
    bool (*has_room)(void *arg);
    void (*put)(void *arg, const char *bytes, size_t n);
    void *arg;
};
struct save *save_background_to(struct worker *w, const struct save_stream *to, int version, save_ended_fn *ended);
void save_go_on(struct save *s);
/* It ends as soon as it can, with -ECANCELED, and leaves nothing behind. A file saved from now on stays. */
void save_cancel(struct save *s);
/* Waits until it is over. */
void save_wait(struct save *s);

/* Keys it has written, and has to write in all. */
uint64_t save_keys_done(const struct save *s);
uint64_t save_keys_all(const struct save *s);
/* Memory it keeps: pieces on their way to the file, old values of what has changed, buffers; now, and at most so far.
 * Where a fork would have copied pages. */
size_t save_memory(const struct save *s);
size_t save_memory_peak(const struct save *s);

#endif

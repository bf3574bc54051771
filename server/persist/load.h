/* SPDX-License-Identifier: MIT
 *
 * The data out of a file: at the start by a task, so that clients are served what may be served meanwhile (LOADING is
 * the answer to the rest), or in one go (DEBUG RELOAD).
 */
#ifndef SERVER_PERSIST_LOAD_H
#define SERVER_PERSIST_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/rdb/snapshot.h"

struct call;
struct load;
struct read_ahead;
struct worker;

/* What loads: it may read files, and is asked between two steps whether to go on. */
typedef int load_fn(struct load *l);

/* Adds what the file `dbfilename` of the working directory holds to the keyspace. flags: enum rdb_load_flag. 0, -errno
 * of opening and reading, or what rdb_read_snapshot() returns; the log says why. */
int load_foreground(struct worker *w, unsigned flags);

/* The same in a task that runs fn; `ended` is called once, by the task, with arg and what fn returned; the struct is
 * gone by then. NULL: it could not begin; the log says why. */
typedef void load_ended_fn(struct worker *w, void *arg, int err);
struct load *load_background(struct worker *w, load_fn *fn, load_ended_fn *ended, void *arg);
/* fn in the foreground. */
int load_now(struct worker *w, load_fn *fn);
/* A load_fn: the file `dbfilename`, as load_foreground() has it; no file is -ENOENT and not logged. */
int load_rdb(struct load *l);
/* It ends, with -ECANCELED; returns when it has. */
void load_cancel(struct load *l);
/* The same, and it will have ended some time. */
void load_give_up(struct load *l);

/* --- for what loads --- */

struct worker *load_worker(const struct load *l);
void *load_arg(const struct load *l);
/* A file is read from its beginning; one at a time. 0 or -errno. */
int load_open(struct load *l, const char *path);
/* The same of pieces in a log queue, from the record at the offset on (read_ahead_open_log()). */
int load_open_log(struct load *l, const char *name, uint64_t offset);
void load_close(struct load *l);
/* The next bytes of it, up to size; 0: the end; -errno. */
long load_read(struct load *l, char *buf, size_t size);
/* RDB from the file, which may go on behind it: what of that was read already is *rest, until the
 * next load_read(). flags: enum
 * rdb_load_flag. As rdb_read_snapshot(); the log says why. */
int load_rdb_part(struct load *l, unsigned flags, struct bytes *rest);
/* The same of what is fed in (read_ahead_open_fed(); the caller's), into databases and libraries of the caller's own
 * (NULL: those of the server). Of what comes behind it nothing is said, and nobody reads it any more. */
struct load_stream {
    struct read_ahead *ahead;
    struct db *dbs;
    struct libraries *libraries;
};
int load_rdb_stream(struct load *l, unsigned flags, const struct load_stream *from);
/* What the RDB that was read last said of the history it is of. */
struct rdb_origin load_origin(const struct load *l);
/* So many bytes were read by other means. */
void load_count(struct load *l, uint64_t bytes);
/* How long it was. */
uint64_t load_rdb_bytes(const struct load *l);
/* False: it is to end, with -ECANCELED. Lets the loop go on now and then. */
bool load_goes_on(struct load *l);
/* Bytes of files that come in all. */
void load_expect(struct load *l, uint64_t bytes);

struct load_progress {
    int64_t started_s;
    uint64_t bytes_done, bytes_all, used_mem; /* used_mem: of the server that wrote the file */
};
struct load_progress load_progress(const struct load *l);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The data out of a file: at the start by a task, so that clients are served what may be served meanwhile (LOADING is
 * the answer to the rest), or in one go (DEBUG RELOAD).
 */
#ifndef SERVER_PERSIST_LOAD_H
#define SERVER_PERSIST_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct load;
struct worker;

/* Adds what the file `dbfilename` of the working directory holds to the keyspace. flags: enum rdb_load_flag. 0, -errno
 * of opening and reading, or what rdb_read_snapshot() returns; the log says why. */
int load_foreground(struct worker *w, unsigned flags);

/* Begins to; `ended` is called once, by the task, with the same; the struct is gone by then. NULL: it could not begin;
 * the log says why. */
typedef void load_ended_fn(struct worker *w, int err);
struct load *load_background(struct worker *w, load_ended_fn *ended);
/* It ends, with -ECANCELED; returns when it has. */
void load_cancel(struct load *l);

struct load_progress {
    int64_t started_s;
    uint64_t bytes_done, bytes_all, used_mem; /* used_mem: of the server that wrote the file */
};
struct load_progress load_progress(const struct load *l);

#endif

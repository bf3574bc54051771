/* SPDX-License-Identifier: MIT
 *
 * What a full synchronisation begins with: RDB, on its way to all replicas that asked for it together. Who makes it
 * puts pieces in, and each replica takes them at its own pace; what the slowest has not taken yet is kept, once, and as
 * soon as that is much the maker waits. So no more of it than PAYLOAD_BEHIND is in the memory at a time, however large
 * the data are.
 *
 *     gathering ---------> flowing ---------> whole
 *     replicas may join    pieces come        all were put
 *
 * It has one of two forms: `$EOF:<mark>`, the bytes, and the mark again; or `$<length>`, and the bytes.
 */
#ifndef SERVER_REPL_PAYLOAD_H
#define SERVER_REPL_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/journal/journal.h"

struct client;
struct server;
struct worker;

#define PAYLOAD_AHEAD     ((size_t)4 << 20)  /* the fastest reader has no more to take, ... */
#define PAYLOAD_BEHIND    ((size_t)64 << 20) /* ... and the slowest */
#define PAYLOAD_MARK_SIZE 40

enum payload_stage { PAYLOAD_GATHERS, PAYLOAD_FLOWS, PAYLOAD_WHOLE };

struct payload {
    enum payload_stage stage;
    uint64_t offset; /* of the history, where the data stand */
    int version;     /* of RDB */
    bool has_mark;   /* the form */
    char mark[PAYLOAD_MARK_SIZE + 1];
    uint64_t bytes;                /* its length, once it flows without a mark */
    struct broadcast text;         /* private */
    struct broadcast_reader since; /* the history from then on, while replicas may join */
    struct journal *journal;
    size_t reader_count;
    bool wants_room;                  /* its maker waits */
    void *maker;                      /* NULL: it is done, and the last reader frees it */
    void (*go_on)(struct payload *p); /* tells the maker that there is room, or that somebody reads it no more */
};

/* Stands where the data are now. by_mark: its length is not known. */
struct payload *payload_new(struct worker *w, int version, bool by_mark);
/* Its maker has done with it. */
void payload_let_go(struct payload *p);
/* cl reads it, and then the history; while it gathers. Another reads it no more: as long as it has a maker that one is
 * told. */
void payload_add_reader(struct payload *p);
void payload_drop_reader(struct payload *p);
/* All of its readers are there: pieces come from now on. bytes: its length, if it has no mark. */
void payload_flow(struct payload *p, uint64_t bytes);
void payload_put(struct payload *p, struct bytes b);
/* That was all; the mark follows. */
void payload_end(struct payload *p);
/* Memory that it takes. */
size_t payload_memory(const struct payload *p);

#endif

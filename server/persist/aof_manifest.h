/* SPDX-License-Identifier: MIT
 *
 * The manifest of append-only files, as Redis 7 lays them out: which files of a folder make up the data, in which
 * order. A line a file:
 *
 *     file appendonly.aof.2.base.rdb seq 2 type b      the base: a snapshot, at most one
 *     file appendonly.aof.1.incr.aof seq 1 type h      history: not needed any more, to be deleted
 *     file appendonly.aof.3.incr.aof seq 3 type i      increments: commands, in the order of seq
 *
 * Text in, text out; no files here.
 */
#ifndef SERVER_PERSIST_AOF_MANIFEST_H
#define SERVER_PERSIST_AOF_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

enum aof_kind { AOF_BASE = 'b', AOF_HISTORY = 'h', AOF_INCR = 'i' };

#define AOF_NAME_SIZE 512  /* of a file, with its end */
#define AOF_LINE_MAX  1024 /* of a manifest, as in Redis */

struct aof_file {
    char name[AOF_NAME_SIZE];
    int64_t seq;
    enum aof_kind kind;
};

struct aof_manifest { /* all zero is empty */
    struct aof_file *files;
    size_t count, cap;
    int64_t base_seq, incr_seq; /* the highest there were */
};

void aof_manifest_fini(struct aof_manifest *m);
void aof_manifest_copy(struct aof_manifest *to, const struct aof_manifest *from);

/* Fills an empty manifest. text is written to. 0, or -EINVAL: *why in words, and *line says where, with a number from 1
 * on. */
struct aof_manifest_fault {
    const char *why;
    struct bytes line;
    unsigned number;
};
int aof_manifest_parse(struct aof_manifest *m, char *text, size_t n, struct aof_manifest_fault *fault);
/* The caller's to free with mem_free(); *n bytes. NULL: a name is too long to be read again. */
char *aof_manifest_text(const struct aof_manifest *m, size_t *n);

/* NULL: there is none. */
const struct aof_file *aof_manifest_base(const struct aof_manifest *m);
const struct aof_file *aof_manifest_last_incr(const struct aof_manifest *m);
size_t aof_manifest_incrs(const struct aof_manifest *m);

/* A further file, named after `prefix` (appendfilename); valid until the next. */
const struct aof_file *aof_manifest_add_incr(struct aof_manifest *m, const char *prefix);
/* A new base; the one there was is history, and so are the increments before the last `keep`. */
const struct aof_file *aof_manifest_add_base(struct aof_manifest *m, const char *prefix, bool is_rdb, size_t keep);
/* `name` itself as the base: a log of Redis 6. */
void aof_manifest_adopt(struct aof_manifest *m, const char *name);
void aof_manifest_forget_history(struct aof_manifest *m);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Libraries of functions: their source, under names that differ, and what they register, under names that differ over
 * all libraries. Who runs them is told by ops; without it (a build without Lua, a look at a file) they are kept as
 * they came.
 */
#ifndef SERVER_RDB_LIBRARIES_H
#define SERVER_RDB_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/bytes.h"

struct rdb_source;
struct rdb_sink;
struct function_index;

#define LIBRARIES_MAX        4096
#define LIBRARIES_SIZE_MAX   ((size_t)256 << 20) /* all sources */
#define LIBRARIES_ERROR_SIZE 512

struct library_function {
    struct bytes name; /* in `what` */
    void *what;        /* who runs it knows */
};

struct library {
    struct bytes code; /* ours */
    char *name;
    struct library_function *functions; /* mem_alloc()ed; in the order in which they were registered */
    unsigned function_count;
};

struct libraries_ops {
    /* Runs the program (the source behind its first line) of one, which registers its functions: l->functions. False:
     * why, in words; none is left then. limited: it has a time. */
    bool (*load)(void *who, struct library *l, struct bytes program, bool limited, char *err, size_t size);
    void (*drop)(void *who, void *what); /* a function goes */
};

struct libraries {        /* zero: none */
    struct library **all; /* in the order in which they came */
    unsigned count;
    size_t bytes; /* of sources */
    unsigned function_count;
    struct function_index *index; /* by name */
    const struct libraries_ops *ops;
    void *who;
};

/* All go; ops stay. */
void libraries_clear(struct libraries *l);

/* One is added, or takes the place of the one of its name. 0; -EEXIST, -EBADMSG: why, in Redis's words without a code.
 * *added is the library. The source is copied. */
int libraries_load(struct libraries *l, struct bytes code, bool replace, bool limited, struct library **added,
                   char *err, size_t size);
/* The same of one that came from s: an error is the source's. */
bool libraries_add(struct libraries *l, struct rdb_source *s, struct bytes code, bool replace);
/* All of `from` at once, which is empty then; or none of them, and why. */
int libraries_join(struct libraries *l, struct libraries *from, bool replace, char *err, size_t size);
/* False: there is none of this name. */
bool libraries_delete(struct libraries *l, struct bytes name);

/* What was registered under this name, in any case; NULL: nothing. */
void *libraries_function(const struct libraries *l, struct bytes name);

/* As a snapshot has them, each behind its opcode. */
void libraries_write(const struct libraries *l, struct rdb_sink *s);
/* FUNCTION DUMP, and what it says read into *l, which is empty; 0; -EPROTO: no such bytes; or as libraries_load(). */
void libraries_dump(const struct libraries *l, struct rdb_sink *s);
int libraries_read_dump(struct libraries *l, struct bytes payload, bool unchecked, bool limited, char *err,
                        size_t size);

/* Bytes that are kept about them, sources included. */
size_t libraries_memory(const struct libraries *l);

#endif

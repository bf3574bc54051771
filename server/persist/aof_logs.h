/* SPDX-License-Identifier: MIT
 *
 * An append-only file on log queues (aof-device): three logs of one device instead of a folder of files.
 *
 *     NAME             the increments: what the journal says, a record a push (aof_record.h); and marks
 *     NAME.base0, 1    the base, in one of the two: the data as they were at its mark, a record a piece
 *
 *                              mark 7                         mark 8
 *     NAME         (trimmed)     |  increments of base 7 ...    |  increments of both; of base 8 when that is whole
 *     NAME.base0   "base 7" pieces "end 7"
 *     NAME.base1                                                "base 8" pieces ...  "end 8": then base0 and what lies
 *                                                                before mark 8 are trimmed
 *
 * The whole base with the highest serial is the one in force: "end" is pushed when its pieces and its mark are durable,
 * and nothing is trimmed before "end" is. So a crash at any instant finds one whole base, and all that came after its
 * mark. The bases take turns in two logs of their own, since a log is freed from its front only: one that was given up
 * is gone when the next one begins, and a base is read in one piece. There is no manifest: where a base ends says that
 * it is one.
 *
 * Functions wait where they are called, return 0 or -errno, and log nothing. No server here.
 */
#ifndef SERVER_PERSIST_AOF_LOGS_H
#define SERVER_PERSIST_AOF_LOGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demi/ext.h"
#include "server/persist/aof_record.h"

struct iovec;

enum aof_log { AOF_LOG_INCR, AOF_LOG_BASE0, AOF_LOG_BASE1, AOF_LOGS };

#define AOF_LOG_NAME_SIZE (PATH_MAX + 64)
#define AOF_LOGS_WHY_SIZE (AOF_LOG_NAME_SIZE + 160)

struct aof_logs {
    char name[PATH_MAX];
    int qd[AOF_LOGS]; /* -1: not open */
    /* the base in force; serial 0: there is none */
    uint64_t serial, begin, mark, bytes;
    enum aof_log base;
    bool is_rdb;
    uint64_t last_serial; /* the highest there was */
};

void aof_logs_init(struct aof_logs *l);
/* Opens "log:PATH#NAME" (flags: of demi_open()) and the two beside it, and finds the base in force. On an error nothing
 * is open, and why is one line. */
int aof_logs_open(struct aof_logs *l, const char *name, int flags, char why[AOF_LOGS_WHY_SIZE]);
void aof_logs_close(struct aof_logs *l); /* harmless if they are not open */
/* The name to open one of them by. */
void aof_logs_name(const char *name, enum aof_log log, char out[AOF_LOG_NAME_SIZE]);
const char *aof_logs_error_text(int err);

struct demi_log_space aof_logs_space(const struct aof_logs *l);
int aof_logs_seek(struct aof_logs *l, enum aof_log log, uint64_t offset);
/* The record at the cursor: 1, and the array is to be freed; 0: the end; -errno. */
int aof_logs_pop(struct aof_logs *l, enum aof_log log, demi_sgarray_t *sga, uint64_t *offset);
/* Of the base in force: where its first piece is, or "end". */
int aof_logs_find_pieces(struct aof_logs *l, uint64_t *offset);
/* Bytes of the increments from the mark to their end, with heads and padding. */
uint64_t aof_logs_incr_bytes(struct aof_logs *l);

/* Pushes a record and waits until it is accepted; where too much is unwritten, for the disk. offset may be NULL. */
int aof_logs_push(struct aof_logs *l, enum aof_log log, const struct iovec *iov, int count, uint64_t *offset);
int aof_logs_push_bytes(struct aof_logs *l, enum aof_log log, const char *p, size_t n);
int aof_logs_push_line(struct aof_logs *l, enum aof_log log, const struct aof_record *r, uint64_t *offset);
int aof_logs_sync(struct aof_logs *l, enum aof_log log);
int aof_logs_trim(struct aof_logs *l, enum aof_log log, uint64_t offset);
/* All of it goes. */
int aof_logs_empty(struct aof_logs *l, enum aof_log log);

/* A base begins in the log that the one in force is not in: *end is what will be pushed behind it, as far as it is
 * known. Pieces, and the mark (*end's, when it is pushed), are the caller's. Then it ends, and is the one in force;
 * *late is the error of trimming what is not needed any more. */
int aof_logs_begin_base(struct aof_logs *l, bool is_rdb, enum aof_log *log, struct aof_record *end);
int aof_logs_end_base(struct aof_logs *l, enum aof_log log, const struct aof_record *end, int *late);

#endif

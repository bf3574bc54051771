/* SPDX-License-Identifier: MIT
 *
 * What the records of an append-only file on a log queue say (aof_device.h). A record is bytes of the stream, or a line
 * of text that says something about it:
 *
 *     "+*2\r\n$6\r\nSELECT\r\n..."                         bytes: of commands in the log, of a snapshot in a base
 *     "!mark v1 serial=7 begins=0\n"                       here the increments of base 7 begin
 *     "!resume v1 serial=7 dropped=12\n"                   the log of base 7 goes on: the last 12 bytes of the stream
 *                                                          so far and all since a mark of another base are void
 *     "!base v1 serial=7 rdb=1\n"                          a base begins: a snapshot, or (rdb=0) commands
 *     "!end v1 serial=7 rdb=1 begin=0 mark=8192 bytes=99\n"   it is whole: where its "base" is, and its "mark"
 *
 * Pure: text in, text out.
 */
#ifndef SERVER_PERSIST_AOF_RECORD_H
#define SERVER_PERSIST_AOF_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

#define AOF_RECORD_BYTES_TAG '+'
#define AOF_RECORD_LINE_MAX  160u   /* with its end */
#define AOF_RECORD_CHUNK_MAX 65536u /* bytes of a base in one record: what a reader takes at once */

enum aof_record_kind {
    AOF_RECORD_MARK,
    AOF_RECORD_RESUME,
    AOF_RECORD_BASE,
    AOF_RECORD_END,
    AOF_RECORD_BYTES,
    AOF_RECORD_LATER, /* a line of a later version */
    AOF_RECORD_BAD    /* nothing of ours */
};

struct aof_record {
    enum aof_record_kind kind;
    uint64_t serial;
    uint64_t begins; /* MARK: 1: what lies before it is no part of it, 0: it is what goes on here */
    uint64_t dropped;
    uint64_t rdb;
    uint64_t begin, mark; /* END: offsets of records */
    uint64_t bytes;       /* END: of the base */
    struct bytes text;    /* BYTES: as they lie in what was read */
};

enum aof_record_kind aof_record_read(struct bytes b, struct aof_record *out);
/* The line of one that is not BYTES; its length. */
size_t aof_record_write(const struct aof_record *r, char out[AOF_RECORD_LINE_MAX]);

#endif

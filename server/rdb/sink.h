/* SPDX-License-Identifier: MIT
 *
 * Where RDB bytes go: a buffer that grows (DUMP), or one of fixed size that is handed on whenever it is full (files,
 * replicas). Errors of the flush callback stick: what is written afterwards is dropped, and rdb_sink_finish() tells.
 *
 * Compressing takes longer than all the rest, and somebody else may do it: a sink that defers writes strings as they
 * are and marks those that are worth a try; who gets the pieces packs them (server/persist/packer.h).
 */
#ifndef SERVER_RDB_SINK_H
#define SERVER_RDB_SINK_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

struct blob;

#define RDB_PACK_OVER 20 /* shorter strings are not compressed */
#define RDB_PACK_GAIN 4  /* by less a string must not get shorter */

/* A string in a piece that was handed on, as rdb_put_length() and its bytes: where it begins, and how many bytes it
 * has. */
struct rdb_mark {
    uint32_t at, size;
};

/* Gets pieces and strings that are too long for one, in order. 0 or -errno. */
struct rdb_deferred {
    int (*piece)(void *arg, const char *p, size_t n, const struct rdb_mark *marks, size_t mark_count);
    int (*string)(void *arg, struct bytes b, struct blob *lent); /* lent: b is all of it; NULL: b is the caller's */
    void *arg;
};

struct rdb_sink {
    bool compress;  /* strings over 20 bytes by LZF, where that is shorter (rdbcompression) */
    bool checksum;  /* keep crc of all bytes (rdbchecksum) */
    int error;      /* of flush: -errno */
    int version;    /* that is written, from RDB_VERSION_MIN to RDB_VERSION */
    uint64_t total; /* bytes written so far */
    /* private */
    int (*flush)(void *arg, const char *p, size_t n);
    void *arg;
    char *buf;
    size_t used, cap;
    uint64_t crc;
    char *lzf; /* room for compressed strings */
    size_t lzf_cap;
    void *lzf_work;
    const struct rdb_deferred *deferred; /* NULL: nothing is */
    struct rdb_mark *marks;
    size_t mark_count;
};

/* flush NULL: the buffer grows. Otherwise it is called with pieces in order, and returns 0 or -errno. */
void rdb_sink_init(struct rdb_sink *s, int (*flush)(void *arg, const char *p, size_t n), void *arg);
/* One that defers; checksum is its reader's to keep. */
void rdb_sink_init_deferred(struct rdb_sink *s, const struct rdb_deferred *to);
void rdb_sink_fini(struct rdb_sink *s);
/* Hands on what is left. 0 or the first error. */
int rdb_sink_finish(struct rdb_sink *s);
/* Of a growing sink: everything written; valid until the next write. */
static inline struct bytes rdb_sink_bytes(const struct rdb_sink *s) { return bytes_of(s->buf, s->used); }
/* The checksum of all bytes so far; not of one that defers. */
uint64_t rdb_sink_crc(struct rdb_sink *s);

/* A length as it stands in front of a string, into out, which has RDB_LENGTH_SIZE_MAX bytes; how many it takes. */
size_t rdb_length_write(char *out, uint64_t n);

void rdb_put_raw(struct rdb_sink *s, const void *p, size_t n);
void rdb_put_byte(struct rdb_sink *s, unsigned char b);
void rdb_put_u64(struct rdb_sink *s, uint64_t v); /* 8 bytes, little-endian */
void rdb_put_length(struct rdb_sink *s, uint64_t n);
void rdb_put_string(struct rdb_sink *s, struct bytes b); /* as an integer or compressed where the format can */
void rdb_put_int_string(struct rdb_sink *s, int64_t v);  /* the string that is its text */
/* The same of a blob, which a sink that defers may hold on to. */
void rdb_put_blob(struct rdb_sink *s, struct blob *b);
/* A string of n bytes that is compressed already. */
void rdb_put_lzf(struct rdb_sink *s, struct bytes packed, size_t n);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A cursor in a log: gives its records one after the other, over a window of bytes of the segment where it stands.
 */
#ifndef LOG_READER_H
#define LOG_READER_H

#include "libos/log/image.h"
#include "libos/log/store.h"

struct alog_reader {
    const struct alog_image *im;
    const struct alog_log *log;
    struct alog_store *store;
    struct alog_walk walk;
    uint64_t limit;   /* of what is read */
    uint64_t skip_to; /* records before it are passed over */
    bool is_guess;    /* walk.at may be in the middle of a record */
    uint64_t index;   /* of the segment where it stands; UINT64_MAX: in none yet */
    struct buf *window;
    uint64_t from; /* the window's first byte, a place in the log */
    uint32_t got;  /* bytes in it */
};

/* At the first record. */
void alog_reader_init(struct alog_reader *r, const struct alog_image *im, const struct alog_log *log,
                      struct alog_store *store);
void alog_reader_fini(struct alog_reader *r);
/* The next record will be the first one at the offset or behind it. */
void alog_reader_seek(struct alog_reader *r, uint64_t offset);
/* 1: *out, whose bytes are there until the next call; 0: there is no further one before limit, and walk.tail is where
 * the last one ends. -EWOULDBLOCK: the store may not wait, and nothing has changed. -ESTALE: the log was trimmed
 * meanwhile. -ENOMEM, or what the store says. */
int alog_reader_next(struct alog_reader *r, uint64_t limit, struct alog_record *out);
/* At least one and up to n bytes that lie at a place of the segment `index`; *got is how many there are. */
int alog_reader_view(struct alog_reader *r, uint64_t at, size_t n, const uint8_t **p, size_t *got);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What is known of a device of logs: its superblock, whose each segment is, and where each log begins and ends.
 */
#ifndef LOG_IMAGE_H
#define LOG_IMAGE_H

#include "alloc/base/list.h"
#include "libos/log/format.h"

#define ALOG_WHY_SIZE 200

struct alog_store;

struct alog_segment {
    uint64_t index, first_seq;
    uint64_t durable; /* as its head says */
    uint32_t number, epoch;
};

struct alog_log {
    unsigned slot; /* among the superblock's logs */
    uint32_t seed;
    struct alog_segment *segments; /* by index, without gaps */
    uint32_t segment_count, segment_room;
    uint64_t trim;
    uint64_t durable;     /* up to here a power cut takes nothing */
    uint64_t written;     /* ... and up to here it can be read */
    uint64_t end;         /* of what was accepted; the next record goes there or behind it */
    uint64_t seq;         /* of the last record that was accepted */
    uint64_t written_seq; /* ... of the last one that can be read */
    bool damaged;         /* there are records behind a place that cannot be read: `end`, until somebody repairs it */
    /* The rest is an open device's (device.h). */
    struct list batches; /* of struct alog_batch, not yet written */
    uint64_t pending;    /* bytes in them */
    uint64_t trim_wanted;
    struct list queues;
};

struct alog_image {
    struct alog_super super;
    struct alog_log *logs[ALOG_LOGS_MAX]; /* of the superblock's slots */
    uint8_t *taken;                       /* by segment: 1, a log has it */
    uint32_t free_count, next_free;
    char why[ALOG_WHY_SIZE]; /* one line, of what failed */
};

/* A new log in a free slot of the superblock, in memory only. -ENOSPC: there are ALOG_LOGS_MAX. -ENOMEM. */
int alog_image_add(struct alog_image *im, const char *name, struct alog_log **out);
/* NULL: there is none of that name. */
struct alog_log *alog_image_find(const struct alog_image *im, const char *name);
void alog_image_fini(struct alog_image *im);

/* The log's segment of that index; NULL: it has none. */
const struct alog_segment *alog_segment_find(const struct alog_log *log, uint64_t index);
/* A free segment becomes the log's next one, of that index. -ENOSPC, -ENOMEM. */
int alog_segment_take(struct alog_image *im, struct alog_log *log, uint64_t index, const struct alog_segment **out);
/* Gives back all segments that lie before log->trim, but the last. */
void alog_segments_give(struct alog_image *im, struct alog_log *log);

/* Reads superblock and segment heads. Fails with im->why: -ENODATA (empty: nothing was ever written), -EMEDIUMTYPE
 * (something else lies there), -EPROTONOSUPPORT (another version), -EUCLEAN (damaged), -ENOMEM, or what the store says.
 * On failure nothing needs to be freed. */
int alog_image_load(struct alog_image *im, struct alog_store *store);
/* Finds where the log ends, by reading what was not known to be durable. -EUCLEAN with im->why: something is missing in
 * the middle; log->damaged then, and log->end is where. */
int alog_find_end(struct alog_image *im, struct alog_log *log, struct alog_store *store);
/* Writes what was found behind the durable mark once more, byte for byte: what a kernel shows may be what it failed to
 * write. Before the flush that makes it durable. */
int alog_rewrite_tail(struct alog_image *im, struct alog_log *log, struct alog_store *store);
/* The superblock, as the next generation. store->run() with a flush before and behind is the caller's. */
int alog_super_store(struct alog_image *im, struct alog_store *store);
/* A fresh device: both superblocks. It fails with -EINVAL where there is no room for two segments. */
int alog_image_format(struct alog_image *im, struct alog_store *store, uint64_t size, uint32_t segment_bytes);

#endif

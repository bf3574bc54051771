/* SPDX-License-Identifier: MIT
 *
 * An open device of logs, and the queues on it. One coroutine has it from its opening to its closing: it opens and
 * recovers, attaches queues, writes and flushes what was pushed, trims, and closes when the last queue has gone.
 *
 *      opens --> device_open() --> attach ... commit() ... commit() --> shut --> gone, or opened again
 */
#ifndef LOG_DEVICE_H
#define LOG_DEVICE_H

#include <limits.h>

#include "libos/log/co.h"
#include "libos/log/log.h"
#include "libos/log/reader.h"

#define ALOG_BATCH_BYTES   (256u << 10) /* that are written at once; a longer record has a batch of its own */
#define ALOG_PENDING_BYTES (4u << 20)   /* of one log that are not written yet: then EBUSY */
#define ALOG_WAITING_MAX   4096u        /* operations of one queue: then EBUSY */
#define ALOG_EARLY_BYTES   (64u << 10)  /* so many are written although nobody asks for it, */
#define ALOG_DELAY_NS      10000000u    /* and fewer after so long */
#define ALOG_HOLD_NS_MAX   1000000u     /* that a sync waits for company */
#define ALOG_FILE_BYTES    (64u << 20)  /* of a file that an O_CREAT makes */
#define ALOG_FILE_SEGMENT  (4u << 20)

struct alog_libos {
    struct libos base;
    struct alog_cos cos;
    struct list devices;
    unsigned news; /* devices that have some */
    uint64_t appends, append_bytes, commits, syncs, records_read, busy, full, errors, open;
};

struct alog_batch {
    struct list link; /* in alog_log.batches */
    struct buf *buf;
    uint64_t at;    /* of its first block: a place in the log, or of the segment's head where has_head */
    uint32_t used;  /* bytes, the head's included */
    uint32_t bytes; /* of records: its share of what is pending */
    uint32_t number;
    bool has_head;
    bool is_sealed; /* nothing more goes in */
    uint32_t records;
    uint64_t last_seq; /* of them */
};

struct alog_device {
    struct list link; /* in alog_libos.devices */
    struct alog_libos *home;
    struct libos *below; /* has files; or controllers of NVMe */
    struct alog_co *co;
    struct queue *file; /* off the table; NULL: not open, or on NVMe */
    struct nvme_device *nvme;
    struct blockdev *dev;
    struct alog_store store;
    struct alog_image im;
    int flags;
    unsigned mode;
    bool is_open, read_only;
    int error; /* the first of a write or flush: nothing is written any more */
    struct list opens;
    struct list calls;    /* of struct io_call: requests that are out, or are to be */
    unsigned out;         /* requests that the device has */
    bool has_news;        /* poll() would give something */
    unsigned queue_count; /* that are attached */
    /* commit.c */
    bool sync_wanted, super_wanted, write_wanted, unflushed, holding;
    uint64_t super_asked, super_done; /* truncates, counted */
    uint64_t bytes_pending;
    uint32_t records_pending, last_records;
    uint64_t last_ns, last_end; /* how long the last sync took, and when it ended */
    struct timer delay;
    char path[];
};

struct alog_queue {
    struct queue q;
    struct alog_device *device;
    struct alog_log *log; /* NULL: not open */
    struct list link;     /* in device.opens, then in log.queues */
    struct op *open_op, *close_op;
    int flags;
    bool is_closed, is_reading;
    struct op_list durable;   /* pushes and syncs: op->arg is the offset that must be durable */
    struct op_list truncates; /* op->arg: device.super_asked */
    struct op_list pops;
    unsigned waiting; /* operations in these lists */
    struct alog_reader reader;
    struct alog_co *co; /* which reads for it; NULL: none yet */
    char name[ALOG_NAME_SIZE];
};

/* --- device.c --- */
void alog_device_main(void *arg);
/* Takes what the device has done. */
void alog_device_poll(struct alog_device *d);
/* Says a line about the device. */
void alog_device_tell(const struct alog_device *d, const char *text);

/* --- commit.c --- */
/* Appends a record. 0, -EMSGSIZE, -ENOSPC, -EBUSY, -ENOMEM, or the error that ended all writing. */
int alog_append(struct alog_device *d, struct alog_log *log, const struct seg *segs, unsigned count, uint64_t n,
                uint64_t *offset);
/* Something is wanted: the coroutine has a look. */
void alog_device_kick(struct alog_device *d);
/* Whether there is something to write or flush now. */
bool alog_has_work(const struct alog_device *d);
/* One round: writes, flushes where that is wanted, then the superblock where that is. */
void alog_commit(struct alog_device *d);
void alog_commit_fini(struct alog_device *d);

/* --- queue.c --- */
int alog_queue_new(struct alog_libos *l, struct alog_queue **out);
/* It is open, on log; or has failed. */
void alog_queue_attach(struct alog_queue *q, struct alog_log *log);
void alog_queue_fail_open(struct alog_queue *q, int err);
/* What is written, durable or trimmed has changed: operations that waited for it end. */
void alog_queue_settle(struct alog_queue *q);
/* Nothing will be written any more. */
void alog_queue_poison(struct alog_queue *q, int err);
/* A closed queue for which nothing is done any more; its close ends with err. */
void alog_queue_free(struct alog_queue *q, int err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A ring of blocks, numbered in their order:
 *
 *     | given out |         looked through          |      arrived      |  asked for
 *                 ^ taken                           ^ looked            ^ arrived
 *
 * Reads move `arrived`, or who feeds: by a block when it is full, or when whoever reads waits for what is in it. Blocks
 * are gone through one after the other, by the thread; by the loop, where there is none or where it has got no
 * processor when a block is wanted. What both read is under the lock, which is held for a few instructions a block.
 */
#include "server/persist/read_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "alloc/base/thread.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "server/mem.h"
#include "server/persist/disk_file.h"
#include "server/rdb/lookahead.h"

#define READS_MAX    4u /* asked for at once; buffers of the library, 64 KiB each */
#define THREAD_AFTER 2u /* blocks that the loop goes through itself: shorter files are not worth a thread */

static_assert(READS_MAX < READ_AHEAD_BLOCKS, "one that is used, and some that wait for it");

struct ahead_block {
    demi_sgarray_t sga;
    struct rdb_notes *notes; /* NULL: nobody goes, or has gone, through it */
};

struct read_ahead {
    int qd, error;
    bool ended;       /* an empty read has come, or an error: there are no further blocks */
    bool is_log;      /* blocks are records, with a byte in front */
    bool has_current; /* the block in front of `taken` is out */
    uint64_t bytes;
    demi_qtoken_t reads[READS_MAX]; /* a ring, the oldest first */
    unsigned first_read, read_count;
    struct rdb_notes *spare[READ_AHEAD_BLOCKS];
    unsigned spare_count;
    struct read_feed {
        bool on;             /* there is no file: blocks are fed */
        bool left;           /* nobody reads them any more */
        bool waits, starved; /* who feeds waits for room; who reads waits for bytes */
        demi_wake_t *room;
        demi_sgarray_t filling; /* the next block, if it has a segment, and how much is in it */
        uint32_t used;
    } feed;

    bool looking, wants_thread, has_thread;
    struct rdb_lookahead lookahead; /* whoever's is going */
    demi_wake_t *wake;              /* the thread is through with a block that was waited for, or more was fed */
    demi_qtoken_t wake_qt;
    bool wake_armed;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;

    uint64_t taken;
    uint64_t looked, arrived; /* under the lock, if there is a thread; and so: */
    bool going;               /* somebody goes through the block at `looked` */
    bool stop, loop_waits;
    struct ahead_block blocks[READ_AHEAD_BLOCKS];
};

static struct ahead_block *block_at(struct read_ahead *r, uint64_t i) { return &r->blocks[i % READ_AHEAD_BLOCKS]; }

static struct bytes bytes_in(const struct ahead_block *b)
{
    return bytes_of(b->sga.sga_segs[0].sgaseg_buf, b->sga.sga_segs[0].sgaseg_len);
}

static void lock(struct read_ahead *r)
{
    if (r->has_thread) pthread_mutex_lock(&r->lock);
}

static void unlock(struct read_ahead *r)
{
    if (r->has_thread) pthread_mutex_unlock(&r->lock);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void *run(void *arg)
{
    struct read_ahead *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (r->going || r->looked == r->arrived) {
            pthread_cond_wait(&r->more, &r->lock);
            continue;
        }
        struct ahead_block *b = block_at(r, r->looked);
        r->going = true;
        pthread_mutex_unlock(&r->lock);
        rdb_lookahead_block(&r->lookahead, bytes_in(b), b->notes);
        pthread_mutex_lock(&r->lock);
        r->going = false;
        r->looked++;
        if (r->loop_waits) demi_wake_ring(r->wake);
        r->loop_waits = false;
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Where there can be none, the loop goes on alone. */
static void start_thread(struct read_ahead *r)
{
    r->wants_thread = false;
    if (!r->wake && demi_wake_new(&r->wake) != 0) return;
    r->has_thread = thread_start(&r->thread, &(struct thread_options){.name = "read-ahead"}, run, r) == 0;
}

static void stop_thread(struct read_ahead *r)
{
    lock(r);
    r->stop = true;
    pthread_cond_signal(&r->more);
    unlock(r);
    pthread_join(r->thread, NULL); /* it is in the middle of one block at most */
}

static void free_wake(struct read_ahead *r)
{
    if (!r->wake) return;
    demi_wake_ring(r->wake);
    if (r->wake_armed) disk_file_wait(r->wake_qt, NULL);
    demi_wake_free(r->wake);
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static struct rdb_notes *take_notes(struct read_ahead *r)
{
    return r->spare_count ? r->spare[--r->spare_count] : mem_alloc(sizeof(struct rdb_notes));
}

static void block_free(struct read_ahead *r, struct ahead_block *b)
{
    demi_sgafree(&b->sga);
    if (b->notes) r->spare[r->spare_count++] = b->notes;
    b->notes = NULL;
}

/* --- reads -------------------------------------------------------------------------------------------------------- */

/* As many as there is room for; fewer where the library refuses, as long as there is one. */
static void start_reads(struct read_ahead *r)
{
    while (!r->ended && r->read_count < READS_MAX && r->arrived + r->read_count - r->taken < READ_AHEAD_BLOCKS) {
        int err = demi_pop(&r->reads[(r->first_read + r->read_count) % READS_MAX], r->qd);
        if (!err) {
            r->read_count++;
            continue;
        }
        if (r->read_count) return;
        r->error = -err;
        r->ended = true;
    }
}

static void block_came(struct read_ahead *r, demi_sgarray_t sga)
{
    struct ahead_block *b = block_at(r, r->arrived);
    *b = (struct ahead_block){.sga = sga};
    if (r->has_thread) b->notes = take_notes(r);
    lock(r);
    r->arrived++;
    if (!r->looking) r->looked = r->arrived;
    if (r->has_thread) pthread_cond_signal(&r->more);
    unlock(r);
}

/* What counts of a record; false: it is none that does. */
static bool take_record(struct read_ahead *r, demi_sgaseg_t *seg)
{
    const char *p = seg->sgaseg_buf;
    if (!seg->sgaseg_len || *p != '+') return false;
    if (seg->sgaseg_len > READ_AHEAD_RECORD) {
        r->error = -EBADMSG;
        return false;
    }
    seg->sgaseg_buf = (char *)seg->sgaseg_buf + 1;
    seg->sgaseg_len--;
    return seg->sgaseg_len != 0;
}

/* The oldest read has come to this. */
static void read_came(struct read_ahead *r, demi_qresult_t *qr)
{
    bool failed = qr->qr_opcode == DEMI_OPC_FAILED, was_ended = r->ended;
    r->first_read = (r->first_read + 1) % READS_MAX;
    r->read_count--;
    if (failed && !was_ended) r->error = -(int)qr->qr_ret;
    r->ended = was_ended || failed || qr->qr_value.sga.sga_segs[0].sgaseg_len == 0;
    if (!r->ended && r->is_log) r->ended = !take_record(r, &qr->qr_value.sga.sga_segs[0]);
    if (r->ended) {
        if (!failed) demi_sgafree(&qr->qr_value.sga);
        return;
    }
    block_came(r, qr->qr_value.sga);
}

/* Those that have ended by now. */
static void collect_reads(struct read_ahead *r)
{
    static const struct timespec now;
    demi_qresult_t qr;
    while (r->read_count && demi_wait(&qr, r->reads[r->first_read], &now) == 0) read_came(r, &qr);
}

/* The thread goes through the block at `taken`, and will ring. False: it does not, or not any more. */
static bool thread_will_ring(struct read_ahead *r)
{
    lock(r);
    bool there = r->looked > r->taken || !r->going;
    r->loop_waits = !there;
    unlock(r);
    return !there;
}

/* Until a read has ended, or the thread is through with a block, or something was fed. */
static int wait_for_more(struct read_ahead *r)
{
    demi_qtoken_t qts[2];
    demi_qresult_t qr;
    int count = 0, which, err = 0;
    bool of_thread = r->has_thread && r->arrived > r->taken;
    if (r->read_count) qts[count++] = r->reads[r->first_read];
    if (of_thread || r->feed.on) {
        if (!r->wake_armed) err = demi_wake_wait(&r->wake_qt, r->wake);
        if (err) return -err;
        r->wake_armed = true;
        qts[count++] = r->wake_qt;
        r->feed.starved = r->arrived == r->taken;
        if (of_thread && !thread_will_ring(r)) return 0;
    }
    err = demi_wait_any(&qr, &which, qts, count, NULL);
    if (err) return -err;
    if (qr.qr_qt == r->wake_qt && r->wake_armed) r->wake_armed = false;
    else read_came(r, &qr);
    return 0;
}

/* Is the block at `taken` ready to be given out? Goes through it if nobody does: there is no thread, or it has not got
 * a processor lately. */
static bool is_ready(struct read_ahead *r)
{
    lock(r);
    bool ready = r->looked > r->taken, to_do = !ready && r->arrived > r->taken && !r->going;
    if (to_do) r->going = true;
    unlock(r);
    if (!to_do) return ready;
    struct ahead_block *b = block_at(r, r->taken);
    if (!b->notes) b->notes = take_notes(r);
    rdb_lookahead_block(&r->lookahead, bytes_in(b), b->notes);
    lock(r);
    r->going = false;
    r->looked++;
    if (r->has_thread) pthread_cond_signal(&r->more);
    unlock(r);
    return true;
}

/* The thread goes through what has arrived, too. */
static void hand_to_thread(struct read_ahead *r)
{
    for (uint64_t i = r->looked; i < r->arrived; i++) block_at(r, i)->notes = take_notes(r);
    start_thread(r);
}

static int open_path(struct read_ahead **out, const char *path, int flags)
{
    struct read_ahead *r = mem_calloc(sizeof *r);
    int err = disk_file_open(&r->qd, path, flags, 0);
    if (err) {
        mem_free(r);
        return err;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    *out = r;
    return 0;
}

int read_ahead_open(struct read_ahead **out, const char *path)
{
    return open_path(out, path, O_RDONLY | O_NONBLOCK); /* a FIFO without writers is empty */
}

int read_ahead_open_log(struct read_ahead **out, const char *name, uint64_t offset)
{
    off_t at;
    int err = open_path(out, name, O_RDWR); /* as it is open already: it is one device */
    if (err) return err;
    (*out)->is_log = true;
    err = -demi_lseek((*out)->qd, (off_t)offset, SEEK_SET, &at);
    if (err) read_ahead_close(*out);
    return err;
}

int read_ahead_open_fed(struct read_ahead **out)
{
    struct read_ahead *r = mem_calloc(sizeof *r);
    r->feed.on = true;
    int err = demi_wake_new(&r->wake);
    if (!err) err = demi_wake_new(&r->feed.room);
    if (err) {
        if (r->wake) demi_wake_free(r->wake);
        mem_free(r);
        return -err;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    *out = r;
    return 0;
}

/* What was read ahead is not wanted any more; its tokens are waited for, the loop knows nothing of them. */
void read_ahead_close(struct read_ahead *r)
{
    if (r->has_thread) stop_thread(r);
    r->has_thread = false;
    free_wake(r);
    r->ended = true;
    if (!r->feed.on) disk_file_close(r->qd); /* nothing was written: its error is of no consequence */
    if (r->feed.room) demi_wake_free(r->feed.room);
    if (r->feed.filling.sga_numsegs) demi_sgafree(&r->feed.filling);
    while (r->read_count) {
        demi_qresult_t qr;
        int err = demi_wait(&qr, r->reads[r->first_read], NULL);
        ASSERT(err == 0);
        read_came(r, &qr);
    }
    for (uint64_t i = r->taken - r->has_current; i < r->arrived; i++) block_free(r, block_at(r, i));
    while (r->spare_count) mem_free(r->spare[--r->spare_count]);
    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/* --- feeding ------------------------------------------------------------------------------------------------------ */

static void hand_on_filling(struct read_ahead *r)
{
    struct read_feed *f = &r->feed;
    if (!f->used) return;
    f->filling.sga_segs[0].sgaseg_len = f->used;
    block_came(r, f->filling);
    f->filling = (demi_sgarray_t){0};
    f->used = 0;
    if (f->starved) demi_wake_ring(r->wake);
    f->starved = false;
}

static int wait_for_room(struct read_ahead *r)
{
    demi_qtoken_t qt;
    r->feed.waits = true;
    int err = demi_wake_wait(&qt, r->feed.room);
    return err ? -err : disk_file_wait(qt, NULL);
}

/* A block to fill; all of them may be in use, the one that was given out last among them. */
static int begin_filling(struct read_ahead *r)
{
    struct read_feed *f = &r->feed;
    int err = 0;
    while (!err && !f->left && r->arrived - r->taken + r->has_current == READ_AHEAD_BLOCKS) err = wait_for_room(r);
    if (err || f->left || f->filling.sga_numsegs) return err;
    f->filling = demi_sgaalloc_large(RDB_BLOCK_MAX);
    return f->filling.sga_numsegs ? 0 : -ENOMEM;
}

int read_ahead_feed(struct read_ahead *r, struct bytes b)
{
    struct read_feed *f = &r->feed;
    while (b.n && !f->left) {
        int err = begin_filling(r);
        if (err || f->left) return err;
        size_t room = RDB_BLOCK_MAX - f->used, n = b.n < room ? b.n : room;
        memcpy((char *)f->filling.sga_segs[0].sgaseg_buf + f->used, b.p, n);
        f->used += (uint32_t)n;
        b = bytes_of(b.p + n, b.n - n);
        if (f->used == RDB_BLOCK_MAX || (f->starved && !b.n)) hand_on_filling(r);
    }
    return 0;
}

void read_ahead_feed_end(struct read_ahead *r, int err)
{
    if (!err && !r->feed.left) hand_on_filling(r); /* there is room: it was asked for before it was begun */
    r->error = err;
    r->ended = true;
    demi_wake_ring(r->wake);
}

void read_ahead_leave(struct read_ahead *r)
{
    r->feed.left = true;
    demi_wake_ring(r->feed.room);
}

/* --- public ------------------------------------------------------------------------------------------------------- */

int read_ahead_size(const struct read_ahead *r, uint64_t *bytes)
{
    return r->feed.on || r->is_log ? -ENOTSUP : disk_file_size(r->qd, bytes);
}

void read_ahead_look(struct read_ahead *r, const struct read_ahead_look *how)
{
    ASSERT(r->taken == 0 && !r->has_thread);
    r->looked = 0; /* blocks that were fed may be there */
    rdb_lookahead_init(&r->lookahead, how->seed, how->summing);
    r->looking = true;
    r->wants_thread = how->own_thread;
}

long read_ahead_next(struct read_ahead *r, struct bytes *block, const struct rdb_notes **notes)
{
    if (r->has_current) block_free(r, block_at(r, r->taken - 1));
    r->has_current = false;
    if (r->feed.waits) demi_wake_ring(r->feed.room);
    r->feed.waits = false;
    if (r->wants_thread && r->taken == THREAD_AFTER) hand_to_thread(r);
    for (;;) {
        if (!r->feed.on) start_reads(r);
        collect_reads(r);
        if (is_ready(r)) break;
        if (r->ended && r->arrived == r->taken) return r->error;
        int err = wait_for_more(r);
        if (!err) continue;
        r->error = err;
        return err;
    }
    struct ahead_block *b = block_at(r, r->taken++);
    r->has_current = true;
    *block = bytes_in(b);
    *notes = b->notes;
    r->bytes += block->n;
    return (long)block->n;
}

uint64_t read_ahead_bytes(const struct read_ahead *r) { return r->bytes; }
int read_ahead_error(const struct read_ahead *r) { return r->error; }

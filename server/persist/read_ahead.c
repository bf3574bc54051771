/* SPDX-License-Identifier: MIT
 *
 * A ring of blocks, numbered in their order:
 *
 *     | given out |         looked through          |      arrived      |  asked for
 *                 ^ taken                           ^ looked            ^ arrived
 *
 * Reads move `arrived`. Blocks are gone through one after the other, by the thread; by the loop, where there is none or
 * where it has got no processor when a block is wanted. What both read is under the lock, which is held for a few
 * instructions a block.
 */
#include "server/persist/read_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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
    bool has_current; /* the block in front of `taken` is out */
    uint64_t bytes;
    demi_qtoken_t reads[READS_MAX]; /* a ring, the oldest first */
    unsigned first_read, read_count;
    struct rdb_notes *spare[READ_AHEAD_BLOCKS];
    unsigned spare_count;

    bool looking, wants_thread, has_thread;
    struct rdb_lookahead lookahead; /* whoever's is going */
    demi_wake_t *wake;              /* the thread is through with a block that was waited for */
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
    if (demi_wake_new(&r->wake) != 0) return;
    r->has_thread = thread_start(&r->thread, &(struct thread_options){.name = "read-ahead"}, run, r) == 0;
    if (!r->has_thread) demi_wake_free(r->wake);
}

static void stop_thread(struct read_ahead *r)
{
    lock(r);
    r->stop = true;
    pthread_cond_signal(&r->more);
    unlock(r);
    pthread_join(r->thread, NULL); /* it is in the middle of one block at most */
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

/* The oldest read has come to this. */
static void read_came(struct read_ahead *r, demi_qresult_t *qr)
{
    bool failed = qr->qr_opcode == DEMI_OPC_FAILED, was_ended = r->ended;
    r->first_read = (r->first_read + 1) % READS_MAX;
    r->read_count--;
    if (failed && !was_ended) r->error = -(int)qr->qr_ret;
    r->ended = was_ended || failed || qr->qr_value.sga.sga_segs[0].sgaseg_len == 0;
    if (r->ended) {
        if (!failed) demi_sgafree(&qr->qr_value.sga);
        return;
    }
    struct ahead_block *b = block_at(r, r->arrived);
    *b = (struct ahead_block){.sga = qr->qr_value.sga};
    if (r->has_thread) b->notes = take_notes(r);
    lock(r);
    r->arrived++;
    if (!r->looking) r->looked = r->arrived;
    if (r->has_thread) pthread_cond_signal(&r->more);
    unlock(r);
}

/* Those that have ended by now. */
static void collect_reads(struct read_ahead *r)
{
    static const struct timespec now;
    demi_qresult_t qr;
    while (r->read_count && demi_wait(&qr, r->reads[r->first_read], &now) == 0) read_came(r, &qr);
}

/* Until a read has ended, or the thread is through with a block. */
static int wait_for_more(struct read_ahead *r)
{
    demi_qtoken_t qts[2];
    demi_qresult_t qr;
    int count = 0, which, err = 0;
    if (r->read_count) qts[count++] = r->reads[r->first_read];
    if (r->has_thread && r->arrived > r->taken) {
        if (!r->wake_armed) err = demi_wake_wait(&r->wake_qt, r->wake);
        if (err) return -err;
        r->wake_armed = true;
        qts[count++] = r->wake_qt;
        lock(r);
        bool there = r->looked > r->taken || !r->going;
        r->loop_waits = !there;
        unlock(r);
        if (there) return 0;
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

/* --- public ------------------------------------------------------------------------------------------------------- */

int read_ahead_open(struct read_ahead **out, const char *path)
{
    struct read_ahead *r = mem_calloc(sizeof *r);
    int err = disk_file_open(&r->qd, path, O_RDONLY | O_NONBLOCK, 0); /* a FIFO without writers is empty */
    if (err) {
        mem_free(r);
        return err;
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
    r->ended = true;
    disk_file_close(r->qd); /* nothing was written: its error is of no consequence */
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

int read_ahead_size(const struct read_ahead *r, uint64_t *bytes) { return disk_file_size(r->qd, bytes); }

void read_ahead_look(struct read_ahead *r, const struct read_ahead_look *how)
{
    ASSERT(r->arrived == 0);
    rdb_lookahead_init(&r->lookahead, how->seed, how->summing);
    r->looking = true;
    r->wants_thread = how->own_thread;
}

long read_ahead_next(struct read_ahead *r, struct bytes *block, const struct rdb_notes **notes)
{
    if (r->has_current) block_free(r, block_at(r, r->taken - 1));
    r->has_current = false;
    if (r->wants_thread && r->taken == THREAD_AFTER) hand_to_thread(r);
    for (;;) {
        start_reads(r);
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

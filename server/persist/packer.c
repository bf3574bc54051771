/* SPDX-License-Identifier: MIT
 *
 *     loop:    put -> waiting ----.                .--> full -> take
 *                                 v                |
 *     thread:               piece by piece -> the buffer in work <- empty <- give
 *
 * One lock for the four lists; it is held for a few instructions, some thousand times a second. A piece is 64 KiB, a
 * buffer 256. The thread waits for pieces and for empty buffers. What was taken in is freed by the loop, since blobs
 * count their holders without locks.
 *
 * Where there are no threads the same is a task of the loop, which waits by a wake-up in place of the condition.
 *
 * In front of a string that is compressed stand both its lengths, so that a mark covers the plain length and the bytes,
 * and takes the place of both.
 */
#include "server/persist/packer.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "alloc/base/thread.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/db/entry.h"
#include "server/ds/lzf.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"

#define SAMPLE_OVER 65536u /* of longer strings the first part is tried before the whole */
#define SAMPLE_SIZE 8192u
#define STACK_SIZE  ((size_t)256 << 10)

struct piece {
    struct piece *next;
    struct blob *lent;
    const char *bytes; /* behind marks, or lent */
    size_t memory;     /* that is freed with it */
    size_t n, mark_count;
    bool is_string; /* bytes is one string without its length */
    struct rdb_mark marks[];
};

struct pieces {
    struct piece *first, **last;
};

struct buffers { /* a ring */
    struct packed_buffer *v[PACKED_BUFFERS];
    unsigned first, count;
};

struct packer {
    struct pieces later; /* the loop's */
    size_t later_bytes;
    size_t memory; /* the loop's: of all that was put and is not taken in and freed yet */
    bool compress, checksum, ends_in_checksum, in_task, started;
    demi_wake_t *wake;
    pthread_t thread;
    const cpu_set_t *cpus;
    demi_wake_t *task_wake; /* in_task: what it waits for has changed */
    demi_qtoken_t task;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    struct pieces waiting, taken;
    struct buffers empty, full;
    bool ending, stop, done; /* done: the thread has nothing left to do */
    size_t waiting_bytes;
    /* the thread's */
    struct packed_buffer *work;
    size_t used;
    uint64_t crc;
    char *lzf;
    size_t lzf_cap;
    void *lzf_work;

    char *space; /* of the buffers */
    struct packed_buffer buffers[PACKED_BUFFERS];
};

static void pieces_init(struct pieces *list) { *list = (struct pieces){NULL, &list->first}; }

static void pieces_put(struct pieces *list, struct piece *x)
{
    x->next = NULL;
    *list->last = x;
    list->last = &x->next;
}

static struct piece *pieces_take(struct pieces *list)
{
    struct piece *x = list->first;
    if (!x) return NULL;
    list->first = x->next;
    if (!list->first) list->last = &list->first;
    return x;
}

static void buffers_put(struct buffers *b, struct packed_buffer *x)
{
    ASSERT(b->count < PACKED_BUFFERS);
    b->v[(b->first + b->count++) % PACKED_BUFFERS] = x;
}

static struct packed_buffer *buffers_take(struct buffers *b)
{
    if (b->count == 0) return NULL;
    struct packed_buffer *x = b->v[b->first];
    b->first = (b->first + 1) % PACKED_BUFFERS;
    b->count--;
    return x;
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

/* Under the lock, which is not held meanwhile. */
static void wait_change(struct packer *p)
{
    if (!p->in_task) {
        pthread_cond_wait(&p->changed, &p->lock);
        return;
    }
    demi_qtoken_t qt;
    demi_qresult_t qr;
    pthread_mutex_unlock(&p->lock);
    if (demi_wake_wait(&qt, p->task_wake) == 0) demi_wait(&qr, qt, NULL);
    else demi_yield(); /* no memory for it: looks again */
    pthread_mutex_lock(&p->lock);
}

static void tell_change(struct packer *p)
{
    if (p->in_task) demi_wake_ring(p->task_wake);
    else pthread_cond_signal(&p->changed);
}

/* An empty buffer to fill; NULL: the packer is stopped. */
static struct packed_buffer *next_buffer(struct packer *p)
{
    pthread_mutex_lock(&p->lock);
    struct packed_buffer *x;
    while (!(x = buffers_take(&p->empty)) && !p->stop) wait_change(p);
    pthread_mutex_unlock(&p->lock);
    return x;
}

/* What is in the buffer in work. By the buffer, not by the piece: long runs of bytes cost an eighth a byte. */
static void sum_up(struct packer *p)
{
    if (p->checksum && p->work) p->crc = crc64(p->crc, p->work->p, p->used);
}

static void hand_out(struct packer *p)
{
    sum_up(p);
    p->work->n = p->used;
    pthread_mutex_lock(&p->lock);
    buffers_put(&p->full, p->work);
    pthread_mutex_unlock(&p->lock);
    demi_wake_ring(p->wake);
    p->work = NULL;
    p->used = 0;
}

/* False: stopped. */
static bool emit(struct packer *p, const char *bytes, size_t n)
{
    while (n) {
        if (!p->work && !(p->work = next_buffer(p))) return false;
        size_t room = PACKED_SIZE - p->used, part = n < room ? n : room;
        memcpy(p->work->p + p->used, bytes, part);
        p->used += part;
        bytes += part;
        n -= part;
        if (p->used == PACKED_SIZE) hand_out(p);
    }
    return true;
}

/* The packed size, in p->lzf; 0: it is not worth it. */
static size_t pack(struct packer *p, struct bytes b)
{
    size_t room = b.n - RDB_PACK_GAIN;
    if (p->lzf_cap < room) {
        mem_free(p->lzf);
        p->lzf_cap = demi_good_size(room);
        p->lzf = mem_alloc(p->lzf_cap);
    }
    if (!p->lzf_work) p->lzf_work = mem_calloc(LZF_WORK_SIZE);
    if (b.n > SAMPLE_OVER && !lzf_compress_in(p->lzf_work, b.p, SAMPLE_SIZE, p->lzf, SAMPLE_SIZE - SAMPLE_SIZE / 32))
        return 0;
    return lzf_compress_in(p->lzf_work, b.p, b.n, p->lzf, room);
}

/* A string, packed where that pays, with its lengths in front. */
static bool emit_string(struct packer *p, struct bytes b)
{
    char head[1 + 2 * RDB_LENGTH_SIZE_MAX];
    size_t packed = p->compress ? pack(p, b) : 0, n = 0;
    if (packed) {
        head[n++] = (char)(RDB_ENC | RDB_ENC_LZF);
        n += rdb_length_write(head + n, packed);
    }
    n += rdb_length_write(head + n, b.n);
    return emit(p, head, n) && (packed ? emit(p, p->lzf, packed) : emit(p, b.p, b.n));
}

static bool emit_piece(struct packer *p, const struct piece *x)
{
    if (x->is_string) return emit_string(p, bytes_of(x->bytes, x->n));
    size_t at = 0;
    for (size_t i = 0; i < x->mark_count; i++) {
        const struct rdb_mark *m = &x->marks[i];
        char head[RDB_LENGTH_SIZE_MAX];
        size_t length = rdb_length_write(head, m->size);
        if (!emit(p, x->bytes + at, m->at - at)) return false;
        if (!emit_string(p, bytes_of(x->bytes + m->at + length, m->size))) return false;
        at = m->at + length + m->size;
    }
    return emit(p, x->bytes + at, x->n - at);
}

static bool emit_end(struct packer *p)
{
    char le[8];
    sum_up(p);
    store_u64(le, p->checksum ? p->crc : 0);
    p->checksum = false; /* it is not part of itself */
    if (p->ends_in_checksum && !emit(p, le, sizeof le)) return false;
    if (p->used) hand_out(p);
    return true;
}

/* The next piece, or NULL: no more comes (*ending) or it is stopped. */
static struct piece *next_piece(struct packer *p, bool *ending)
{
    pthread_mutex_lock(&p->lock);
    struct piece *x = NULL;
    while (!p->stop && !(x = pieces_take(&p->waiting)) && !p->ending) wait_change(p);
    *ending = !x && !p->stop;
    pthread_mutex_unlock(&p->lock);
    return x;
}

static void took(struct packer *p, struct piece *x)
{
    pthread_mutex_lock(&p->lock);
    p->waiting_bytes -= x->n;
    pieces_put(&p->taken, x);
    pthread_mutex_unlock(&p->lock);
    demi_wake_ring(p->wake);
}

static void run(struct packer *p)
{
    struct piece *x;
    bool ending, ok = true;
    while (ok && (x = next_piece(p, &ending))) {
        ok = emit_piece(p, x);
        took(p, x);
        if (!p->in_task) sched_yield();
    }
    if (ok && ending) emit_end(p);
    pthread_mutex_lock(&p->lock);
    p->done = true;
    pthread_mutex_unlock(&p->lock);
    demi_wake_ring(p->wake);
}

static void *run_thread(void *arg)
{
    run(arg);
    return NULL;
}

static int64_t run_task(void *arg)
{
    run(arg);
    return 0;
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static bool launch(struct packer *p)
{
    const struct thread_options o = {.name = "packer", .cpus = p->cpus};
    if (!p->in_task) return thread_start(&p->thread, &o, run_thread, p) == 0;
    return demi_wake_new(&p->task_wake) == 0 && demi_spawn(&p->task, run_task, p, STACK_SIZE) == 0;
}

static void join(struct packer *p)
{
    demi_qresult_t qr;
    if (p->in_task) demi_wait(&qr, p->task, NULL);
    else pthread_join(p->thread, NULL);
}

/* In one piece, of a size whose pages come when they are written: that is, in the thread. The first time that the loop
 * itself wrote into as many small ones cost it 7 ms (Nov 2026), with all clients waiting. */
static bool buffers_new(struct packer *p)
{
    p->space = demi_malloc((size_t)PACKED_BUFFERS * PACKED_SIZE);
    if (!p->space) return false;
    ASSERT((uintptr_t)p->space % PACKED_ALIGN == 0);
    for (unsigned i = 0; i < PACKED_BUFFERS; i++) {
        p->buffers[i] = (struct packed_buffer){p->space + (size_t)i * PACKED_SIZE, 0};
        buffers_put(&p->empty, &p->buffers[i]);
    }
    return true;
}

struct packer *packer_new(const struct packer_options *o)
{
    struct packer *p = mem_calloc(sizeof *p);
    p->compress = o->compress;
    p->checksum = o->checksum;
    p->ends_in_checksum = o->ends_in_checksum;
    p->wake = o->wake;
    p->in_task = o->in_task;
    p->cpus = o->cpus;
    pieces_init(&p->waiting);
    pieces_init(&p->taken);
    pieces_init(&p->later);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->started = buffers_new(p) && launch(p);
    if (p->started) return p;
    packer_free(p);
    return NULL;
}

static void piece_free(struct piece *x)
{
    if (x->lent) blob_unref(x->lent);
    mem_free(x);
}

static void free_taken(struct packer *p)
{
    struct piece *x, *next;
    pthread_mutex_lock(&p->lock);
    x = p->taken.first;
    pieces_init(&p->taken);
    pthread_mutex_unlock(&p->lock);
    for (; x; x = next) {
        next = x->next;
        p->memory -= x->memory;
        piece_free(x);
    }
}

void packer_stop(struct packer *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    tell_change(p);
    pthread_mutex_unlock(&p->lock);
}

bool packer_has_stopped(struct packer *p)
{
    pthread_mutex_lock(&p->lock);
    bool stopped = p->done;
    pthread_mutex_unlock(&p->lock);
    return stopped;
}

void packer_free(struct packer *p)
{
    if (p->started) {
        packer_stop(p);
        join(p);
    }
    free_taken(p);
    struct piece *x;
    while ((x = pieces_take(&p->waiting))) piece_free(x);
    while ((x = pieces_take(&p->later))) piece_free(x);
    demi_free(p->space);
    mem_free(p->lzf);
    mem_free(p->lzf_work);
    if (p->task_wake) demi_wake_free(p->task_wake);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

static void put(struct packer *p, enum packer_when when, struct piece *x)
{
    free_taken(p);
    p->memory += x->memory;
    if (when == PACKER_LATER) {
        p->later_bytes += x->n;
        pieces_put(&p->later, x);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->waiting_bytes += x->n;
    pieces_put(&p->waiting, x);
    tell_change(p);
    pthread_mutex_unlock(&p->lock);
}

void packer_put_later(struct packer *p)
{
    if (!p->later.first) return;
    pthread_mutex_lock(&p->lock);
    *p->waiting.last = p->later.first;
    p->waiting.last = p->later.last;
    p->waiting_bytes += p->later_bytes;
    tell_change(p);
    pthread_mutex_unlock(&p->lock);
    pieces_init(&p->later);
    p->later_bytes = 0;
}

static struct piece *piece_new(const char *bytes, size_t n, const struct rdb_mark *marks, size_t mark_count)
{
    struct piece *x = mem_alloc(sizeof *x + mark_count * sizeof *marks + n);
    *x = (struct piece){.bytes = (char *)(x->marks + mark_count), .n = n, .mark_count = mark_count};
    x->memory = sizeof *x + mark_count * sizeof *marks + n;
    if (mark_count) memcpy(x->marks, marks, mark_count * sizeof *marks);
    memcpy(x->marks + mark_count, bytes, n);
    return x;
}

void packer_put(struct packer *p, enum packer_when when, const char *bytes, size_t n, const struct rdb_mark *marks,
                size_t mark_count)
{
    put(p, when, piece_new(bytes, n, marks, mark_count));
}

void packer_put_string(struct packer *p, enum packer_when when, struct bytes b, struct blob *lent, bool alone)
{
    struct piece *x;
    if (lent) {
        blob_ref(lent);
        x = mem_alloc(sizeof *x);
        *x = (struct piece){.bytes = b.p, .n = b.n, .lent = lent, .memory = sizeof *x + (alone ? b.n : 0)};
    } else {
        x = piece_new(b.p, b.n, NULL, 0);
    }
    x->is_string = true;
    put(p, when, x);
}

void packer_end(struct packer *p)
{
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    tell_change(p);
    pthread_mutex_unlock(&p->lock);
}

size_t packer_waiting(struct packer *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->waiting_bytes;
    pthread_mutex_unlock(&p->lock);
    return n;
}

size_t packer_memory(struct packer *p)
{
    free_taken(p);
    return p->memory;
}

bool packer_take(struct packer *p, struct packed_buffer **out)
{
    free_taken(p);
    pthread_mutex_lock(&p->lock);
    *out = buffers_take(&p->full);
    pthread_mutex_unlock(&p->lock);
    return *out != NULL;
}

void packer_give(struct packer *p, struct packed_buffer *buffer)
{
    pthread_mutex_lock(&p->lock);
    buffers_put(&p->empty, buffer);
    tell_change(p);
    pthread_mutex_unlock(&p->lock);
}

bool packer_is_done(struct packer *p)
{
    pthread_mutex_lock(&p->lock);
    bool done = p->done && p->full.count == 0;
    pthread_mutex_unlock(&p->lock);
    return done;
}

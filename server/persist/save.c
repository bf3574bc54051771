/* SPDX-License-Identifier: MIT
 *
 *     walk -> sink -> packer's thread -> buffers -> pushes, as many as there are buffers -> sync, close, rename, sync
 *
 * The walk (save_walk.h) runs ahead of the packer by a few megabytes, and then waits for it; the packer has
 * PACKED_BUFFERS buffers, and then waits for the disk.
 *
 * The walk has a millisecond, so no request waits longer than that for it; then clients have eight times what they have
 * used since the last one, eight milliseconds at most (one, while some of them wait for what it writes next): what they
 * hand over before they change it costs as much again, and three quarters of their throughput are to stay. Clients who
 * ask for little leave it nearly all of the time: one that sent a PING each millisecond used to have eight ninths of
 * it, and a full synchronisation lasted four times as long (Nov 2026).
 */
#include "server/persist/save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/affinity.h"
#include "server/mem.h"
#include "server/observe/latency.h"
#include "server/observe/log.h"
#include "server/persist/disk_file.h"
#include "server/persist/packer.h"
#include "server/persist/save_walk.h"
#include "server/server.h"
#include "server/worker.h"

#define SLICE_NS       1000000
#define DELAY_NS       20000000 /* between looks whether it is still wanted */
#define CROWDED_SLICES 20       /* so many after a switch that nobody asked for */
#define PAUSE_NS_MIN   50000    /* a turn without work for clients is no reason to wait */
#define CLIENTS_PART   8        /* times what the slice took; only as much while some of them wait for the save */
#define STREAM_PART    3        /* the same where a replica waits, and all that is written meanwhile is kept for it */
#define SYNC_BYTES     ((size_t)4 << 20) /* between syncs with rdb-save-incremental-fsync, as in Redis */
#define STACK_SIZE     ((size_t)256 << 10)

/* An operation of the file that was started: a push of a buffer, or a sync. */
struct started {
    demi_qtoken_t qt;
    struct packed_buffer *buffer; /* NULL: a sync */
};
#define STARTED_MAX (PACKED_BUFFERS + 1 /* the sync */)

struct save {
    struct worker *w;
    char name[PATH_MAX], temporary[PATH_MAX];
    bool cancelled, background, aof_base, keeps_open;
    struct save_stream to; /* has_room NULL: the file */
    int open_qd;           /* keeps_open: to read it; -1 */
    save_ended_fn *ended;
    demi_qtoken_t task;
    int qd;
    const char *doing; /* for the log, if it fails */

    struct save_walk walk;
    struct packer *packer;
    demi_wake_t *wake; /* the packer has done something, or it is over */
    demi_qtoken_t wake_qt;
    uint64_t served_ns; /* the time of clients, when it was last looked at */
    long switches;      /* that the loop did not ask for; the same */
    unsigned crowded_slices;

    struct started started[STARTED_MAX];
    unsigned first, count;
    size_t unsynced;
    bool syncing;
};

/* --- from the packer to the file ---------------------------------------------------------------------------------- */

static int wait_oldest(struct save *s)
{
    struct started *op = &s->started[s->first];
    s->first = (s->first + 1) % STARTED_MAX;
    s->count--;
    int err = disk_file_wait(op->qt, NULL);
    s->walk.progress++;
    if (op->buffer) packer_give(s->packer, op->buffer);
    else s->syncing = false;
    return err;
}

/* All of them, whatever becomes of it: their buffers come back. The first error. */
static int wait_all(struct save *s)
{
    int first = 0;
    while (s->count) {
        int err = wait_oldest(s);
        if (!first) first = err;
    }
    return first;
}

static struct started *next_started(struct save *s)
{
    ASSERT(s->count < STARTED_MAX);
    return &s->started[(s->first + s->count) % STARTED_MAX];
}

static int start_push(struct save *s, struct packed_buffer *buffer)
{
    struct started *op = next_started(s);
    op->buffer = buffer;
    struct iovec iov = {buffer->p, buffer->n};
    int err = demi_pushv(&op->qt, s->qd, &iov, 1, 0);
    if (err) {
        packer_give(s->packer, buffer);
        return -err;
    }
    s->count++;
    s->unsynced += buffer->n;
    return 0;
}

static int start_sync(struct save *s)
{
    struct started *op = next_started(s);
    op->buffer = NULL;
    int err = demi_sync(&op->qt, s->qd, true);
    if (err) return -err;
    s->count++;
    s->syncing = true;
    s->unsynced = 0;
    return 0;
}

static bool syncs_on_the_way(const struct save *s)
{
    const struct config *cfg = s->w->conf.cfg;
    return s->aof_base ? cfg->aof_rewrite_incremental_fsync : cfg->rdb_save_incremental_fsync;
}

static void hand_on_packed(struct save *s)
{
    struct packed_buffer *buffer;
    while (s->to.has_room(s->to.arg) && packer_take(s->packer, &buffer)) {
        s->to.put(s->to.arg, buffer->p, buffer->n);
        packer_give(s->packer, buffer);
        s->walk.progress++;
    }
}

/* What is packed goes to the file. */
static int push_packed(struct save *s)
{
    if (s->to.has_room) {
        hand_on_packed(s);
        return 0;
    }
    struct packed_buffer *buffer;
    int err = 0;
    while (!err && packer_take(s->packer, &buffer)) {
        err = start_push(s, buffer);
        if (!err && s->unsynced >= SYNC_BYTES && !s->syncing && syncs_on_the_way(s)) err = start_sync(s);
    }
    return err;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static int rearm_wake(struct save *s) { return -demi_wake_wait(&s->wake_qt, s->wake); }

static int wait_wake(struct save *s)
{
    int err = disk_file_wait(s->wake_qt, NULL);
    return err ? err : rearm_wake(s);
}

/* Something has changed: a write has ended, or the packer has gone on. */
static int wait_progress(struct save *s) { return s->count ? wait_oldest(s) : wait_wake(s); }

/* So long, or until somebody begins to wait for what is written next. */
static int wait_ns(struct save *s, uint64_t ns)
{
    demi_qresult_t qr;
    demi_qtoken_t qts[2];
    bool waited_for = s->walk.waited_for;
    int which = 1, err = demi_timer(&qts[0], ns);
    while (!err && which == 1) {
        qts[1] = s->wake_qt;
        err = demi_wait_any(&qr, &which, qts, 2, NULL);
        if (err || which == 0) break;
        err = -rearm_wake(s);
        if (!s->cancelled && s->walk.waited_for == waited_for) continue;
        demi_cancel(qts[0]);
        demi_wait(&qr, qts[0], NULL);
        break;
    }
    return -err;
}

/* Times what the walk takes. The longer it lasts, the more of what changes is set aside; so it takes more as that comes
 * up to its limit. */
static uint64_t parts_of_clients(const struct save *s)
{
    size_t held = save_walk_memory(&s->walk), limit = s->walk.bytes_max;
    uint64_t part = s->to.has_room ? STREAM_PART : CLIENTS_PART;
    if (s->walk.waited_for) return 1;
    if (held < limit / 16) return part;
    return held < limit / 2 ? part * 3 / 4 : part / 2;
}

/* Threads want more processors than there are: the kernel has taken it from the loop lately. Then the walk leaves half
 * of the time: a loop that has had its share already waits behind all others for the next, whoever asks it for
 * something meanwhile. */
static bool is_crowded(struct save *s)
{
    struct rusage used;
    if (getrusage(RUSAGE_THREAD, &used) != 0) return false;
    if (used.ru_nivcsw != s->switches) s->crowded_slices = CROWDED_SLICES;
    s->switches = used.ru_nivcsw;
    if (!s->crowded_slices) return false;
    s->crowded_slices--;
    return true;
}

/* After a slice of the walk that took so long. The more clients use of a pause the longer is the next one: who has work
 * without end is at the longest after a few. */
static int let_clients(struct save *s, uint64_t took_ns)
{
    if (!s->background) return 0;
    uint64_t served_ns = s->w->stats.served_ns, used_ns = served_ns - s->served_ns;
    s->served_ns = served_ns;
    uint64_t pause_ns = parts_of_clients(s) * (used_ns < took_ns ? used_ns : took_ns);
    if (s->w->srv->in_a_process && is_crowded(s) && pause_ns < SLICE_NS) pause_ns = SLICE_NS;
    if (pause_ns >= PAUSE_NS_MIN) return wait_ns(s, pause_ns);
    demi_yield();
    return 0;
}

/* --- one save ----------------------------------------------------------------------------------------------------- */

/* rdb-key-save-delay is a test's way to make a save last: so long for each key, and for each step of a large one, while
 * it is set. */
static int delay(struct save *s, uint64_t keys)
{
    uint64_t each_us = (uint64_t)s->w->conf.cfg->rdb_key_save_delay, left_ns = (keys ? keys : 1) * each_us * 1000;
    int err = 0;
    while (!err && left_ns && !s->cancelled && s->w->conf.cfg->rdb_key_save_delay > 0) {
        uint64_t part_ns = left_ns < DELAY_NS ? left_ns : DELAY_NS;
        err = wait_ns(s, part_ns);
        left_ns -= part_ns;
    }
    return err;
}

/* Some entries; *done: those were the last. */
static int walk_on(struct save *s, bool *done)
{
    bool delayed = s->w->conf.cfg->rdb_key_save_delay > 0;
    uint64_t before = s->walk.keys_done, start = demi_clock_ns();
    s->walk.progress++;
    *done = save_walk_some(&s->walk, delayed ? 0 : start + SLICE_NS);
    if (delayed) return delay(s, s->walk.keys_done - before);
    return let_clients(s, demi_clock_ns() - start);
}

static int write_file(struct save *s)
{
    bool walked = false;
    int err = 0;
    s->doing = "writing";
    while (!err && !s->cancelled && !packer_is_done(s->packer)) {
        if (!walked && !save_walk_is_ahead(&s->walk)) {
            err = walk_on(s, &walked);
            if (walked && !s->cancelled) {
                save_walk_end(&s->walk);
                packer_end(s->packer);
            }
        } else {
            err = wait_progress(s);
        }
        if (!err) err = push_packed(s);
        save_walk_let_go(&s->walk);
    }
    save_walk_end(&s->walk); /* it failed: the old values of what changes now would only pile up */
    int late = wait_all(s);
    packer_stop(s->packer); /* which may be at a string of half a gigabyte */
    while (!packer_has_stopped(s->packer) && wait_wake(s) == 0) {
    }
    return s->cancelled ? -ECANCELED : err ? err : late;
}

/* The file is open. */
static int write_and_close(struct save *s)
{
    int err = write_file(s);
    if (!err) {
        s->doing = "flushing the temporary file";
        err = disk_file_sync(s->qd, false);
    }
    int late = disk_file_close(s->qd);
    if (err || !late) return err;
    s->doing = "closing the temporary file";
    return late;
}

static int publish(struct save *s)
{
    if (s->cancelled) return -ECANCELED;
    if (s->keeps_open) {
        s->doing = "opening the temporary file again";
        int err = disk_file_open(&s->open_qd, s->temporary, O_RDONLY, 0);
        if (err) return err;
    }
    s->doing = "renaming the temporary file";
    uint64_t start = demi_clock_ns();
    int err = disk_file_rename(s->temporary, s->name);
    if (s->aof_base) latency_sample_since(s->w->srv, "aof-rename", start);
    if (err) return err;
    s->doing = "flushing the folder";
    return disk_file_sync_folder(s->name);
}

static void log_failure(const struct save *s, const char *doing, int err)
{
    server_log(s->w->srv, LOG_WARNING_LEVEL, "Error saving the DB on disk, %s: %s", doing, strerror(-err));
}

/* In the background past the page cache: copying into it, writing it back and dropping it again are long runs of the
 * kernel's on a processor that clients want. Who waits for the file to be there wants it soon, and who reads it at once
 * wants it in memory. */
static int how_to_write(const struct save *s) { return s->background && !s->keeps_open ? O_DIRECT : 0; }

static int make_file(struct save *s)
{
    int err = disk_file_open(&s->qd, s->temporary, O_WRONLY | O_CREAT | O_TRUNC | how_to_write(s), 0644);
    if (err) {
        log_failure(s, "opening the temporary file", err);
        return err;
    }
    err = write_and_close(s);
    if (!err) err = publish(s);
    if (!err) return 0;
    if (!s->cancelled) log_failure(s, s->doing, err);
    uint64_t start = demi_clock_ns();
    int left = disk_file_unlink(s->temporary);
    if (!s->aof_base) latency_sample_since(s->w->srv, "rdb-unlink-temp-file", start);
    if (left && left != -ENOENT) log_failure(s, "removing the temporary file", left);
    return err;
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

void save_keep_open(struct save *s) { s->keeps_open = true; }

int save_take_open(struct save *s)
{
    int qd = s->open_qd;
    s->open_qd = -1;
    return qd;
}

void save_end(struct save *s)
{
    if (s->open_qd >= 0) disk_file_close(s->open_qd);
    save_walk_end(&s->walk);
    if (s->packer) packer_free(s->packer);
    if (s->wake) demi_wake_free(s->wake);
    mem_free(s);
}

static int begin_packing(struct save *s, bool rdb, bool of_log)
{
    const struct config *cfg = s->w->conf.cfg;
    cpu_set_t cpus;
    int err = demi_wake_new(&s->wake);
    if (err) return -err;
    s->packer = packer_new(
        &(struct packer_options){.compress = rdb && cfg->rdbcompression,
                                 .checksum = rdb && cfg->rdbchecksum,
                                 .ends_in_checksum = rdb,
                                 .in_task = !s->w->srv->in_a_process,
                                 .cpus = affinity_of(of_log ? cfg->aof_rewrite_cpulist : cfg->bgsave_cpulist, &cpus),
                                 .wake = s->wake});
    return s->packer ? 0 : -EAGAIN;
}

struct save *save_begin(struct worker *w, const struct save_request *r)
{
    struct save *s = mem_calloc(sizeof *s);
    s->w = w;
    s->background = r->background;
    s->aof_base = r->aof_base;
    s->open_qd = -1;
    if (r->to) s->to = *r->to;
    s->served_ns = w->stats.served_ns;
    if (!r->to) {
        ASSERT(strlen(r->name) < sizeof s->name && strlen(r->temporary) < sizeof s->temporary);
        memcpy(s->name, r->name, strlen(r->name));
        memcpy(s->temporary, r->temporary, strlen(r->temporary));
    }
    int err = begin_packing(s, !r->as_commands, r->aof_base);
    if (!err) {
        save_walk_begin(&s->walk, w, s->packer,
                        &(struct save_walk_options){.background = r->background,
                                                    .aof_base = r->aof_base,
                                                    .as_commands = r->as_commands,
                                                    .version = r->version,
                                                    .wake = s->wake});
        return s;
    }
    log_failure(s, "beginning", err);
    save_end(s);
    return NULL;
}

/* What waits for the wake-up has to be the task's. */
int save_run(struct save *s)
{
    int err = rearm_wake(s);
    if (err) return err;
    err = s->to.has_room ? write_file(s) : make_file(s);
    demi_wake_ring(s->wake);
    disk_file_wait(s->wake_qt, NULL);
    return err;
}

/* Of the process: a handler has no argument. A process saves in the foreground once at a time. */
static char removable[64];
static volatile sig_atomic_t is_removable;

void save_remove_temporary(void)
{
    if (is_removable) unlink(removable);
}

int save_foreground(struct worker *w, const char *name)
{
    char temporary[sizeof removable];
    snprintf(temporary, sizeof temporary, "temp-%d.rdb", (int)getpid());
    struct save *s = save_begin(w, &(struct save_request){.name = name, .temporary = temporary});
    if (!s) return -EAGAIN;
    memcpy(removable, temporary, sizeof removable);
    is_removable = 1;
    int err = save_run(s);
    is_removable = 0;
    if (!err) server_log(w->srv, LOG_NOTICE_LEVEL, "DB saved on disk");
    save_end(s);
    return err;
}

static int64_t run_task(void *arg)
{
    struct save *s = arg;
    struct worker *w = s->w;
    save_ended_fn *ended = s->ended;
    int err = save_run(s);
    if (!err && !s->to.has_room) server_log(w->srv, LOG_NOTICE_LEVEL, "DB saved on disk");
    ended(w, s, err);
    save_end(s);
    return err;
}

static struct save *spawn(struct save *s, save_ended_fn *ended)
{
    if (!s) return NULL;
    s->ended = ended;
    int err = -demi_spawn(&s->task, run_task, s, STACK_SIZE);
    if (!err) return s;
    log_failure(s, "beginning", err);
    save_end(s);
    return NULL;
}

struct save *save_background_to(struct worker *w, const struct save_stream *to, int version, save_ended_fn *ended)
{
    return spawn(save_begin(w, &(struct save_request){.background = true, .version = version, .to = to}), ended);
}

void save_go_on(struct save *s) { demi_wake_ring(s->wake); }

/* With the folder, since `dir` may be another before the end. */
struct save *save_background(struct worker *w, const char *name, int version, save_ended_fn *ended)
{
    static unsigned serial;
    char folder[PATH_MAX], path[PATH_MAX], temporary[PATH_MAX];
    bool fits = getcwd(folder, sizeof folder) && snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_MAX &&
                snprintf(temporary, sizeof temporary, "%s/temp-%d-%u.rdb", folder, (int)getpid(), ++serial) < PATH_MAX;
    if (!fits) {
        server_log(w->srv, LOG_WARNING_LEVEL, "Error saving the DB on disk: the working directory is gone, or deep");
        return NULL;
    }
    return spawn(
        save_begin(
            w, &(struct save_request){.name = path, .temporary = temporary, .background = true, .version = version}),
        ended);
}

void save_cancel(struct save *s)
{
    s->cancelled = true;
    save_walk_end(&s->walk);
    demi_wake_ring(s->wake);
}

void save_wait(struct save *s)
{
    demi_qresult_t qr;
    demi_wait(&qr, s->task, NULL);
}

uint64_t save_keys_done(const struct save *s) { return s->walk.keys_done; }
uint64_t save_keys_all(const struct save *s) { return s->walk.keys_all; }
size_t save_memory_peak(const struct save *s) { return s->walk.memory_peak + (size_t)PACKED_BUFFERS * PACKED_SIZE; }
size_t save_memory(const struct save *s) { return save_walk_memory(&s->walk) + (size_t)PACKED_BUFFERS * PACKED_SIZE; }

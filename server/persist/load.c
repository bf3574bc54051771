/* SPDX-License-Identifier: MIT
 *
 * A task reads the file and puts the keys in, a millisecond at a time; then the loop has a turn. Reads run ahead, so
 * that values are decoded while the disk works.
 */
#include "server/persist/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/persist/check_file.h"
#include "server/persist/disk_file.h"
#include "server/rdb/snapshot.h"
#include "server/server.h"
#include "server/worker.h"

#define READS_AHEAD 4u /* buffers of the library, 64 KiB each */
#define SLICE_NS    1000000
#define STACK_SIZE  ((size_t)256 << 10)

struct load_reader {
    int qd;
    bool end; /* an empty read has come */
    unsigned first, count;
    demi_qtoken_t qts[READS_AHEAD];
    demi_sgarray_t sga; /* what came last, with sga_numsegs 0 once it is used up */
    uint32_t used;      /* bytes of it */
    uint64_t bytes;     /* in all */
    int error;          /* -errno of the disk, for the log */
};

struct load {
    struct worker *w;
    load_fn *fn;
    unsigned flags;
    bool background, cancelled;
    load_ended_fn *ended;
    demi_qtoken_t task;
    struct load_reader r;
    uint64_t bytes_before;    /* of files read before this one */
    struct rdb_source source; /* of the RDB in it */
    bool has_source;
    struct rdb_loader rdb;
    uint64_t steps, slice_began_ns;
    struct load_progress progress;
};

/* --- bytes -------------------------------------------------------------------------------------------------------- */

/* As many as there is room for; fewer where the library refuses, as long as there is one. */
static int read_ahead(struct load_reader *r)
{
    while (r->count < READS_AHEAD) {
        int err = demi_pop(&r->qts[(r->first + r->count) % READS_AHEAD], r->qd);
        if (err) return r->count ? 0 : -err;
        r->count++;
    }
    return 0;
}

static int wait_read(struct load_reader *r, demi_sgarray_t *out)
{
    demi_qresult_t qr;
    int err = disk_file_wait(r->qts[r->first], &qr);
    r->first = (r->first + 1) % READS_AHEAD;
    r->count--;
    if (!err) *out = qr.qr_value.sga;
    return err;
}

static int next_read(struct load_reader *r)
{
    int err = read_ahead(r);
    if (!err) err = wait_read(r, &r->sga);
    if (err) return err;
    r->used = 0;
    r->end = r->sga.sga_segs[0].sgaseg_len == 0;
    return 0;
}

static long read_some(void *arg, char *buf, size_t size)
{
    struct load_reader *r = arg;
    if (r->end) return 0;
    if (!r->sga.sga_numsegs) r->error = next_read(r);
    if (r->error) return r->error;
    size_t n = r->sga.sga_segs[0].sgaseg_len - r->used;
    if (n > size) n = size;
    if (n) memcpy(buf, (const char *)r->sga.sga_segs[0].sgaseg_buf + r->used, n);
    r->used += (uint32_t)n;
    r->bytes += n;
    if (r->used == r->sga.sga_segs[0].sgaseg_len) demi_sgafree(&r->sga);
    return (long)n;
}

long load_read(struct load *l, char *buf, size_t size) { return read_some(&l->r, buf, size); }

int load_open(struct load *l, const char *path)
{
    l->r = (struct load_reader){0};
    return disk_file_open(&l->r.qd, path, O_RDONLY | O_NONBLOCK, 0); /* a FIFO without writers is empty */
}

/* What was read ahead is not wanted any more; its tokens are waited for, the loop knows nothing of them. */
static void reader_fini(struct load_reader *r)
{
    demi_sgarray_t sga;
    if (r->sga.sga_numsegs) demi_sgafree(&r->sga);
    disk_file_close(r->qd); /* nothing was written: its error is of no consequence */
    while (r->count)
        if (wait_read(r, &sga) == 0) demi_sgafree(&sga);
}

void load_close(struct load *l)
{
    if (l->has_source) rdb_source_fini(&l->source);
    l->has_source = false;
    reader_fini(&l->r);
    l->bytes_before += l->r.bytes;
    l->r.bytes = 0;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

struct worker *load_worker(const struct load *l) { return l->w; }
void load_expect(struct load *l, uint64_t bytes) { l->progress.bytes_all = bytes; }

/* key-load-delay is a test's way to make loading last: microseconds a key; below 0, keys a microsecond. */
static void delay(struct load *l)
{
    int64_t us = l->w->conf.cfg->key_load_delay;
    demi_qtoken_t qt;
    if (us < 0 && l->steps % (uint64_t)-us) return;
    if (demi_timer(&qt, us > 0 ? (uint64_t)us * 1000 : 1000) == 0) disk_file_wait(qt, NULL);
}

bool load_goes_on(struct load *l)
{
    l->steps++;
    if (unlikely(l->w->conf.cfg->key_load_delay != 0)) delay(l);
    if (!l->background) return true;
    uint64_t now = demi_clock_ns();
    if (now - l->slice_began_ns < SLICE_NS) return !l->cancelled;
    l->progress.bytes_done = l->bytes_before + l->r.bytes;
    l->progress.used_mem = l->rdb.used_mem;
    demi_yield();
    l->slice_began_ns = demi_clock_ns();
    return !l->cancelled;
}

static bool go_on(void *arg) { return load_goes_on(arg); }

static void log_end(const struct load *l, int err)
{
    struct server *srv = l->w->srv;
    char shown[CHECK_SHOWN_SIZE];
    bool of_key = l->rdb.fault_key.p != NULL;
    const struct rdb_source *s = &l->source;
    if (err)
        server_log(srv, LOG_WARNING_LEVEL, "Error loading the DB from disk at byte %llu: %s%s%s%s%s%s",
                   (unsigned long long)rdb_source_offset(s), s->why, l->r.error ? ": " : "",
                   l->r.error ? strerror(-l->r.error) : "", of_key ? " (key '" : "",
                   of_key ? check_shown(l->rdb.fault_key, shown) : "", of_key ? "')" : "");
    else
        server_log(
            srv, LOG_NOTICE_LEVEL, "Done loading RDB, keys loaded: %llu, keys expired: %llu, empty keys skipped: %llu.",
            (unsigned long long)l->rdb.keys, (unsigned long long)l->rdb.expired, (unsigned long long)l->rdb.empty);
}

int load_rdb_part(struct load *l, unsigned flags, struct bytes *rest)
{
    struct server *srv = l->w->srv;
    struct call c = run_internal(l->w, &srv->dbs[0]);
    l->rdb = (struct rdb_loader){.flags = flags, .go_on = go_on, .arg = l};
    rdb_source_of_stream(&l->source, read_some, &l->r);
    l->has_source = true;
    int err = rdb_read_snapshot(&l->source, &c, &l->rdb);
    srv->persist.keys_loaded = l->rdb.keys;
    srv->persist.keys_expired = l->rdb.expired;
    if (err != -ECANCELED) log_end(l, err);
    *rest = rdb_source_ahead(&l->source);
    return err;
}

uint64_t load_rdb_bytes(const struct load *l) { return rdb_source_offset(&l->source); }

int load_rdb(struct load *l)
{
    char name[256];
    struct bytes rest;
    struct server *srv = l->w->srv;
    uint64_t start = demi_clock_ns();
    snprintf(name, sizeof name, "%s", l->w->conf.cfg->dbfilename);
    int err = load_open(l, name);
    if (err) {
        if (err != -ENOENT || !l->background)
            server_log(srv, LOG_WARNING_LEVEL, "Error loading the DB from disk, opening %s: %s", name, strerror(-err));
        return err;
    }
    uint64_t size;
    if (disk_file_size(l->r.qd, &size) == 0) load_expect(l, size);
    err = load_rdb_part(l, l->flags, &rest);
    load_close(l);
    if (!err && l->background)
        server_log(srv, LOG_NOTICE_LEVEL, "DB loaded from disk: %.3f seconds",
                   (double)(demi_clock_ns() - start) / 1000000000);
    return err;
}

int load_foreground(struct worker *w, unsigned flags)
{
    struct load l = {.w = w, .flags = flags};
    return load_rdb(&l);
}

int load_now(struct worker *w, load_fn *fn)
{
    struct load l = {.w = w};
    return fn(&l);
}

static int64_t run_task(void *arg)
{
    struct load *l = arg;
    struct worker *w = l->w;
    load_ended_fn *ended = l->ended;
    l->slice_began_ns = demi_clock_ns();
    int err = l->fn(l);
    mem_free(l);
    ended(w, err);
    return err;
}

struct load *load_background(struct worker *w, load_fn *fn, load_ended_fn *ended)
{
    struct load *l = mem_calloc(sizeof *l);
    l->w = w;
    l->fn = fn;
    l->background = true;
    l->ended = ended;
    l->progress.started_s = w->now_ms / 1000;
    int err = demi_spawn(&l->task, run_task, l, STACK_SIZE);
    if (!err) return l;
    server_log(w->srv, LOG_WARNING_LEVEL, "Can't load the DB from disk: %s", strerror(err));
    mem_free(l);
    return NULL;
}

void load_cancel(struct load *l)
{
    demi_qresult_t qr;
    l->cancelled = true;
    demi_wait(&qr, l->task, NULL);
}

struct load_progress load_progress(const struct load *l) { return l->progress; }

/* SPDX-License-Identifier: MIT */
#include "server/repl/full_copy.h"

#include <errno.h>
#include <string.h>

#include "demi/libos.h"
#include "demi/wait.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/persist/disk_file.h"
#include "server/persist/persist.h"
#include "server/persist/save.h"
#include "server/repl/payload.h"
#include "server/repl/full_sync.h"
#include "server/server.h"
#include "server/worker.h"

#define STACK_SIZE ((size_t)64 << 10)

struct full_copy {
    struct worker *w;
    struct payload *payload;
    /* of who reads a file */
    struct list link; /* w->copies */
    demi_qtoken_t task;
    demi_wake_t *wake;
    int qd;
};

/* Takes the payload: it is the maker of it from now on. */
static struct full_copy *copy_new(struct worker *w, struct payload *p, void (*go_on)(struct payload *p))
{
    struct full_copy *f = mem_calloc(sizeof *f);
    f->w = w;
    f->payload = p;
    f->qd = -1;
    p->maker = f;
    p->go_on = go_on;
    return f;
}

static void copy_free(struct full_copy *f)
{
    payload_let_go(f->payload);
    if (f->wake) demi_wake_free(f->wake);
    mem_free(f);
}

/* It is over: whoever reads it is told. */
static void copy_end(struct full_copy *f, int err)
{
    if (!err) payload_end(f->payload);
    full_sync_ended(f->w, f->payload, err);
    copy_free(f);
}

struct payload *full_copy_payload(const struct worker *w) { return w->copy ? w->copy->payload : NULL; }

/* --- straight into the payload ------------------------------------------------------------------------------------ */

static bool has_room(void *arg)
{
    const struct full_copy *f = arg;
    return full_sync_has_room(f->w, f->payload);
}

static void put_packed(void *arg, const char *bytes, size_t n)
{
    struct full_copy *f = arg;
    payload_put(f->payload, bytes_of(bytes, n));
    full_sync_grew(f->w, f->payload);
}

/* Nobody reads it any more: then it is for nothing. */
static void stream_go_on(struct payload *p)
{
    struct full_copy *f = p->maker;
    if (p->reader_count == 0) persist_stream_cancel(f->w);
    else persist_stream_go_on(f->w);
}

static void stream_told(struct worker *w, struct save *s, int err)
{
    struct full_copy *f = w->copy;
    (void)s;
    w->copy = NULL;
    copy_end(f, err);
}

static bool stream_begin(struct worker *w, struct payload *p)
{
    struct full_copy *f = copy_new(w, p, stream_go_on);
    const struct save_stream to = {has_room, put_packed, f};
    w->copy = f;
    if (persist_stream_begin(w, &to, p->version, stream_told)) return true;
    w->copy = NULL;
    p->maker = NULL;
    mem_free(f);
    return false;
}

/* --- through a file ----------------------------------------------------------------------------------------------- */

static void reading_go_on(struct payload *p)
{
    const struct full_copy *f = p->maker;
    demi_wake_ring(f->wake);
}

static int wait_room(struct full_copy *f)
{
    demi_qtoken_t qt;
    int err = demi_wake_wait(&qt, f->wake);
    return err ? -err : disk_file_wait(qt, NULL);
}

/* The next bytes of the file, no more than `most` of them; 0: there are none. */
static long read_some(struct full_copy *f, uint64_t most)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int err = -demi_pop(&qt, f->qd);
    if (!err) err = disk_file_wait(qt, &qr);
    if (err) return err;
    demi_sgarray_t *sga = &qr.qr_value.sga;
    size_t n = sga->sga_numsegs ? sga->sga_segs[0].sgaseg_len : 0;
    if (n > most) n = (size_t)most;
    if (n) payload_put(f->payload, bytes_of(sga->sga_segs[0].sgaseg_buf, n));
    if (sga->sga_numsegs) demi_sgafree(sga);
    if (n) full_sync_grew(f->w, f->payload);
    return (long)n;
}

static int read_all(struct full_copy *f, uint64_t left)
{
    int err = 0;
    while (!err && left && f->payload->reader_count) {
        if (!full_sync_has_room(f->w, f->payload)) {
            err = wait_room(f);
            continue;
        }
        long n = read_some(f, left);
        if (n > 0) left -= (uint64_t)n;
        else err = n < 0 ? (int)n : -EIO; /* somebody has cut it short */
    }
    return err || !left ? err : -ECANCELED;
}

static int64_t run_reading(void *arg)
{
    struct full_copy *f = arg;
    uint64_t size = 0;
    int err = disk_file_size(f->qd, &size);
    if (!err) {
        payload_flow(f->payload, size);
        full_sync_flows(f->w, f->payload);
        err = read_all(f, size);
    }
    disk_file_close(f->qd);
    if (err && err != -ECANCELED)
        server_log(f->w->srv, LOG_WARNING_LEVEL, "Error reading the RDB file that replicas wait for: %s",
                   strerror(-err));
    list_remove(&f->link);
    copy_end(f, err);
    return err;
}

/* The file is whole, and f reads it. */
static int reading_begin(struct full_copy *f, int qd)
{
    struct worker *w = f->w;
    f->payload->go_on = reading_go_on;
    int err = -demi_wake_new(&f->wake);
    if (err) return err;
    f->qd = qd;
    list_push_back(&w->copies, &f->link);
    err = -demi_spawn(&f->task, run_reading, f, STACK_SIZE);
    if (err) list_remove(&f->link);
    return err;
}

/* The save goes on where somebody else wants it, and where giving it up would have to wait for another. */
static void saving_go_on(struct payload *p)
{
    struct full_copy *f = p->maker;
    bool is_wanted = p->reader_count || f->w->conf.cfg->save_count || f->w->srv->persist.cancelled;
    if (!is_wanted) persist_save_cancel(f->w);
}

static void save_told(struct worker *w, struct save *s, int err)
{
    struct full_copy *f = w->copy;
    w->copy = NULL;
    if (err || f->payload->reader_count == 0) {
        copy_end(f, err ? err : -ECANCELED);
        return;
    }
    int qd = save_take_open(s);
    err = reading_begin(f, qd);
    if (!err) return;
    server_log(w->srv, LOG_WARNING_LEVEL, "The RDB file that replicas wait for cannot be read: %s", strerror(-err));
    disk_file_close(qd);
    copy_end(f, err);
}

static bool save_begin_for(struct worker *w, struct payload *p)
{
    struct full_copy *f = copy_new(w, p, saving_go_on);
    w->copy = f;
    if (persist_save_for_replicas(w, p->version, save_told) == 0) return true;
    w->copy = NULL;
    p->maker = NULL;
    mem_free(f);
    return false;
}

bool full_copy_begin(struct worker *w, struct payload *p)
{
    ASSERT(!w->copy);
    return p->has_mark ? stream_begin(w, p) : save_begin_for(w, p);
}

void full_copy_fini(struct worker *w)
{
    ASSERT(!w->copy);
    while (!list_is_empty(&w->copies)) {
        demi_qresult_t qr;
        struct full_copy *f = list_entry(list_first(&w->copies), struct full_copy, link);
        demi_wait(&qr, f->task, NULL);
    }
}

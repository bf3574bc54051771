/* SPDX-License-Identifier: MIT
 *
 * The disk is the library's: its helper threads open, write, flush, close, rename and read, and this thread waits for
 * its own tokens only; whatever else completes meanwhile is the loop's, later. Writes and reads run ahead, so that
 * values are encoded and decoded while the disk works.
 *
 * Some file systems tell of a failed write only when the file is closed, so that its end is waited for, too, before
 * rename() makes the new file the file; the folder is flushed after it, since otherwise a power cut may bring the old
 * name back.
 */
#include "server/rdb/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "demi/libos.h"
#include "demi/wait.h"
#include "server/observe/log.h"
#include "server/server.h"

#define WRITE_SIZE   65536u
#define WRITES_AHEAD 16u /* 1 MiB of copies at most */
#define READS_AHEAD  4u  /* buffers of the library, 64 KiB each */

/* Waits for a token. 0 or -errno; out may be NULL where there is nothing in the result but that. */
static int wait_for(demi_qtoken_t qt, demi_qresult_t *out)
{
    demi_qresult_t qr;
    int err = demi_wait(&qr, qt, NULL);
    if (err) return -err;
    if (qr.qr_opcode == DEMI_OPC_FAILED) return -(int)qr.qr_ret;
    if (out) *out = qr;
    return 0;
}

/* What a call that starts an operation returned, and then the operation's own end. */
static int started_and_done(int err, demi_qtoken_t qt) { return err ? -err : wait_for(qt, NULL); }

static int close_file(int qd)
{
    demi_qtoken_t qt;
    int err = demi_async_close(&qt, qd);
    return started_and_done(err, qt);
}

/* On an error there is no queue. */
static int open_file(int *qd_out, const char *path, int flags, mode_t mode)
{
    int qd;
    demi_qtoken_t qt;
    int err = demi_async_open(&qt, &qd, path, flags, mode);
    if (err) return -err;
    err = wait_for(qt, NULL);
    if (err) close_file(qd);
    else *qd_out = qd;
    return err;
}

/* --- writing --- */

struct writer {
    int qd;
    unsigned first, count; /* of the ring of tokens: the oldest, how many are outstanding */
    demi_qtoken_t qts[WRITES_AHEAD];
};

static int wait_oldest(struct writer *w)
{
    demi_qtoken_t qt = w->qts[w->first];
    w->first = (w->first + 1) % WRITES_AHEAD;
    w->count--;
    return wait_for(qt, NULL);
}

/* The first error of those that are outstanding. */
static int wait_written(struct writer *w)
{
    int first = 0;
    while (w->count) {
        int err = wait_oldest(w);
        if (!first) first = err;
    }
    return first;
}

/* A copy: the sink uses its buffer again at once. */
static int start_write(struct writer *w, const char *p, size_t n)
{
    demi_sgarray_t sga = demi_sgaalloc_large(n);
    if (!sga.sga_numsegs) return -ENOMEM;
    memcpy(sga.sga_segs[0].sgaseg_buf, p, n);
    int err = demi_push(&w->qts[(w->first + w->count) % WRITES_AHEAD], w->qd, &sga);
    if (!err) w->count++;
    demi_sgafree(&sga);
    return -err;
}

static int write_all(void *arg, const char *p, size_t n)
{
    struct writer *w = arg;
    while (n) {
        size_t part = n < WRITE_SIZE ? n : WRITE_SIZE;
        int err = w->count == WRITES_AHEAD ? wait_oldest(w) : 0;
        if (!err) err = start_write(w, p, part);
        if (err) return err;
        p += part;
        n -= part;
    }
    return 0;
}

/* *doing: what failed. */
static int write_to(int qd, struct call *c, const char **doing)
{
    struct writer w = {.qd = qd};
    struct rdb_sink s;
    demi_qtoken_t qt;
    rdb_sink_init(&s, write_all, &w);
    s.compress = c->cfg->rdbcompression;
    s.checksum = c->cfg->rdbchecksum;
    rdb_write_snapshot(&s, c);
    int err = rdb_sink_finish(&s);
    rdb_sink_fini(&s);
    int late = wait_written(&w);
    if (!err) err = late;
    if (err) return err;
    *doing = "flushing the temporary file";
    err = demi_sync(&qt, qd, false);
    return started_and_done(err, qt);
}

static int sync_folder(void)
{
    int qd;
    int err = open_file(&qd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (err) return err;
    demi_qtoken_t qt;
    err = demi_sync(&qt, qd, false);
    err = started_and_done(err, qt);
    close_file(qd);
    return err == -EINVAL ? 0 : err; /* a file system whose folders cannot be flushed */
}

static int rename_file(const char *from, const char *to)
{
    demi_qtoken_t qt;
    int err = demi_rename(&qt, from, to);
    return started_and_done(err, qt);
}

static int failed(struct call *c, const char *doing, int err)
{
    server_log(c->srv, LOG_WARNING_LEVEL, "Error saving the DB on disk, %s: %s", doing, strerror(-err));
    return err;
}

static int abandon(struct call *c, const char *temporary, const char *doing, int err)
{
    demi_qtoken_t qt;
    int left = demi_unlink(&qt, temporary);
    left = started_and_done(left, qt);
    if (left) failed(c, "removing the temporary file", left);
    return failed(c, doing, err);
}

int rdb_file_save(struct call *c)
{
    char temporary[64];
    int qd;
    snprintf(temporary, sizeof temporary, "temp-%d.rdb", (int)getpid());
    int err = open_file(&qd, temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (err) return failed(c, "opening the temporary file", err);
    const char *doing = "writing";
    err = write_to(qd, c, &doing);
    int late = close_file(qd);
    if (err) return abandon(c, temporary, doing, err);
    if (late) return abandon(c, temporary, "closing the temporary file", late);
    err = rename_file(temporary, c->cfg->dbfilename);
    if (err) return abandon(c, temporary, "renaming the temporary file", err);
    err = sync_folder();
    if (err) return failed(c, "flushing the folder", err);
    server_log(c->srv, LOG_NOTICE_LEVEL, "DB saved on disk");
    c->srv->dirty = 0;
    return 0;
}

/* --- reading --- */

struct reader {
    int qd;
    bool end; /* an empty read has come */
    unsigned first, count;
    demi_qtoken_t qts[READS_AHEAD];
    demi_sgarray_t sga; /* what came last, with sga_numsegs 0 once it is used up */
    uint32_t used;      /* bytes of it */
    int error;          /* -errno of the disk, for the log */
};

/* As many as there is room for; fewer where the library refuses, as long as there is one. */
static int read_ahead(struct reader *r)
{
    while (r->count < READS_AHEAD) {
        int err = demi_pop(&r->qts[(r->first + r->count) % READS_AHEAD], r->qd);
        if (err) return r->count ? 0 : -err;
        r->count++;
    }
    return 0;
}

static int wait_read(struct reader *r, demi_sgarray_t *out)
{
    demi_qresult_t qr;
    int err = wait_for(r->qts[r->first], &qr);
    r->first = (r->first + 1) % READS_AHEAD;
    r->count--;
    if (!err) *out = qr.qr_value.sga;
    return err;
}

static int next_read(struct reader *r)
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
    struct reader *r = arg;
    if (r->end) return 0;
    if (!r->sga.sga_numsegs) r->error = next_read(r);
    if (r->error) return r->error;
    size_t n = r->sga.sga_segs[0].sgaseg_len - r->used;
    if (n > size) n = size;
    memcpy(buf, (const char *)r->sga.sga_segs[0].sgaseg_buf + r->used, n);
    r->used += (uint32_t)n;
    if (r->used == r->sga.sga_segs[0].sgaseg_len) demi_sgafree(&r->sga);
    return (long)n;
}

/* What was read ahead is not wanted any more; its tokens are waited for, the loop knows nothing of them. */
static void reader_fini(struct reader *r)
{
    demi_sgarray_t sga;
    if (r->sga.sga_numsegs) demi_sgafree(&r->sga);
    close_file(r->qd); /* nothing was written: its error is of no consequence */
    while (r->count)
        if (wait_read(r, &sga) == 0) demi_sgafree(&sga);
}

int rdb_file_load(struct call *c, unsigned flags)
{
    struct reader r = {0};
    int err = open_file(&r.qd, c->cfg->dbfilename, O_RDONLY | O_NONBLOCK, 0); /* a FIFO without writers is empty */
    if (err) {
        server_log(c->srv, LOG_WARNING_LEVEL, "Error loading the DB from disk, opening %s: %s", c->cfg->dbfilename,
                   strerror(-err));
        return err;
    }
    struct rdb_source s;
    struct rdb_loaded loaded;
    rdb_source_of_stream(&s, read_some, &r);
    err = rdb_read_snapshot(&s, c, flags, &loaded);
    c->srv->rdb_keys_loaded = loaded.keys;
    c->srv->rdb_keys_expired = loaded.expired;
    if (err)
        server_log(c->srv, LOG_WARNING_LEVEL, "Error loading the DB from disk at byte %llu: %s%s%s",
                   (unsigned long long)rdb_source_offset(&s), s.why, r.error ? ": " : "",
                   r.error ? strerror(-r.error) : "");
    else
        server_log(c->srv, LOG_NOTICE_LEVEL,
                   "Done loading RDB, keys loaded: %llu, keys expired: %llu, empty keys skipped: %llu.",
                   (unsigned long long)loaded.keys, (unsigned long long)loaded.expired,
                   (unsigned long long)loaded.empty);
    rdb_source_fini(&s);
    reader_fini(&r);
    return err;
}

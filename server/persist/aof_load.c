/* SPDX-License-Identifier: MIT
 *
 * The files of a manifest, one after the other: RDB (a base, or the beginning of a log of Redis 6), then commands,
 * which run in a session without a connection. Nothing is checked that was checked when they first ran.
 *
 *     "#TS:1700000000\r\n"              a mark of the time: skipped
 *     "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"  a command
 *
 * The last file may end in the middle of a command, or of a transaction, since the machine may have failed there: with
 * aof-load-truncated it is cut behind the last whole one. The last file is the last that has anything in it: a rewrite
 * names the increment that the log will go on in before the one it is in is complete, and goes on there when that is
 * safe. Anything else that is wrong stops the start.
 *
 * Some file systems leave the length of a file ahead of its bytes, which are zero then. No command ends in a zero, so
 * zeroes at the end of the last file are no part of it; taken for one, they could be those of a string that a command
 * has announced, and be loaded.
 *
 * On a device (aof_device.h) a base is pieces in one log, and the increments are what another has from the base's mark
 * on. That is not cut where it ends in the middle of a command: before it goes on there is a line that says so, and by
 * which the next start knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "demi/libos.h"
#include "demi/sga.h"
#include "server/exec/exec.h"
#include "server/exec/multi.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/persist/aof.h"
#include "server/persist/aof_folder.h"
#include "server/persist/disk_file.h"
#include "server/persist/load.h"
#include "server/rdb/snapshot.h"
#include "server/server.h"
#include "server/worker.h"

#define READ_SIZE   65536u
#define STAMP_MAX   1024u /* of a line that begins with '#', as in Redis */
#define SIGNATURE   "REDIS"
#define SIGNATURE_N 5u

/* Of a file: its bytes, and where the zeroes at its end begin. */
struct extent {
    uint64_t size, end;
};
#define WHOLE ((struct extent){0, UINT64_MAX}) /* whatever it has */

struct log_reader {
    struct load *l;
    struct server *srv;
    const char *name;
    char *buf;
    size_t at, end, cap; /* of what was read and has not run */
    uint64_t offset;     /* in the file, of at */
    uint64_t whole;      /* behind the last command that counts: a transaction does when it has ended */
    struct extent extent;
    bool eof;
    uint64_t at_record;    /* that was read last, on a device */
    bool of_incr, is_void; /* of the increments on a device; of another base's, which never was whole */
    struct resp_parser parser;
    struct argv_vec argv;
    struct session session;
    struct reply nowhere;
};

enum step { STEP_DONE, STEP_MORE, STEP_CUT, STEP_BAD, STEP_TOLD /* bad, and the log says why */ };

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void make_room(struct log_reader *r, size_t more)
{
    if (r->at) {
        memmove(r->buf, r->buf + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    if (r->cap - r->end >= more) return;
    while (r->cap - r->end < more) r->cap = r->cap ? r->cap * 2 : 2 * READ_SIZE;
    r->buf = mem_realloc(r->buf, r->cap);
}

static void begin_session(struct log_reader *r)
{
    resp_parser_init(&r->parser);
    session_init(&r->session, load_worker(r->l), &r->nowhere);
}

/* What has not been whole is no part of the log. */
static void drop_partial(struct log_reader *r)
{
    session_fini(&r->session);
    begin_session(r);
    r->at = r->end;
    r->offset = r->whole;
    r->is_void = false;
}

static int not_ours(struct log_reader *r, uint64_t offset)
{
    server_log(r->srv, LOG_WARNING_LEVEL, "Bad record in the append-only log %s at offset %llu (demi-log dump)",
               r->name, (unsigned long long)offset);
    return -EBADMSG;
}

static int take_record(struct log_reader *r, struct bytes b, uint64_t offset)
{
    struct aof_record rec;
    uint64_t serial = r->srv->aof.device.logs.serial;
    switch (aof_record_read(b, &rec)) {
    case AOF_RECORD_BYTES:
        if (r->is_void) return 0;
        make_room(r, rec.text.n);
        memcpy(r->buf + r->end, rec.text.p, rec.text.n);
        r->end += rec.text.n;
        return 0;
    case AOF_RECORD_MARK:
        if (rec.begins && rec.serial != serial) r->is_void = true;
        return 0;
    case AOF_RECORD_RESUME:
        if (rec.serial == serial) drop_partial(r);
        return 0;
    default: return not_ours(r, offset);
    }
}

static int cant_read(struct log_reader *r, int err)
{
    server_log(r->srv, LOG_WARNING_LEVEL, "Can't read the append-only log %s behind offset %llu: %s", r->name,
               (unsigned long long)r->at_record, aof_logs_error_text(err));
    return -EBADMSG;
}

/* The next record of the increments. */
static int read_record(struct log_reader *r)
{
    demi_sgarray_t sga;
    uint64_t offset;
    int got = aof_logs_pop(&r->srv->aof.device.logs, AOF_LOG_INCR, &sga, &offset);
    r->eof = got == 0;
    if (got < 0) return cant_read(r, got);
    if (got == 0) return 0;
    r->at_record = offset;
    struct bytes b = bytes_of(sga.sga_segs[0].sgaseg_buf, sga.sga_segs[0].sgaseg_len);
    int err = take_record(r, b, offset);
    load_count(r->l, b.n);
    demi_sgafree(&sga);
    return err;
}

/* 0 (r->eof: it was the end) or -errno. */
static int read_more(struct log_reader *r)
{
    if (r->of_incr) return read_record(r);
    make_room(r, READ_SIZE);
    uint64_t read = r->offset + (r->end - r->at), left = r->extent.end > read ? r->extent.end - read : 0;
    long n = left ? load_read(r->l, r->buf + r->end, left < READ_SIZE ? (size_t)left : READ_SIZE) : 0;
    if (n < 0) return (int)n;
    r->eof = n == 0;
    r->end += (size_t)n;
    return 0;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void advance(struct log_reader *r, size_t n)
{
    r->at += n;
    r->offset += n;
    if (!(r->session.flags & SESSION_MULTI)) r->whole = r->offset;
}

static enum step skip_stamp(struct log_reader *r)
{
    const char *end = memchr(r->buf + r->at, '\n', r->end - r->at);
    if (!end) return r->end - r->at < STAMP_MAX ? STEP_MORE : STEP_BAD;
    advance(r, (size_t)(end + 1 - (r->buf + r->at)));
    return STEP_DONE;
}

static enum step run_command(struct log_reader *r, const struct resp_request *q)
{
    char why[256];
    if (exec_replay(&r->session, r->argv.v + q->first, q->argc, why, sizeof why) == 0) {
        reply_reset(&r->nowhere);
        return STEP_DONE;
    }
    server_log(r->srv, LOG_WARNING_LEVEL, "%s reading the append only file %s", why, r->name);
    return STEP_TOLD;
}

/* Each string is followed by a line's end, which the parser does not look at: where bytes are missing there is none. */
static bool strings_end_well(const struct log_reader *r, const struct resp_request *q)
{
    for (int32_t i = 0; i < q->argc; i++) {
        struct bytes b = r->argv.v[q->first + (size_t)i];
        if (b.p[b.n] != '\r' || b.p[b.n + 1] != '\n') return false;
    }
    return true;
}

static enum step next_command(struct log_reader *r)
{
    static const struct resp_limits limits = {.bulk_bytes_max = INT64_MAX};
    struct resp_request q;
    if (r->at == r->end) return STEP_MORE;
    char kind = r->buf[r->at];
    if (!resp_parser_is_inside(&r->parser)) {
        if (kind == '#') return skip_stamp(r);
        if (kind != '*') return STEP_BAD;
    }
    argv_vec_reset(&r->argv);
    switch (resp_parse(&r->parser, &limits, r->buf + r->at, r->end - r->at, &r->argv, &q)) {
    case RESP_ERROR: return STEP_BAD;
    case RESP_NEED_MORE: return q.consumed ? STEP_BAD : STEP_MORE; /* "*0\r\n" */
    case RESP_COMMAND: break;
    }
    enum step step = strings_end_well(r, &q) ? run_command(r, &q) : STEP_BAD;
    if (step == STEP_DONE) advance(r, q.consumed);
    return step;
}

/* All of them. STEP_DONE: to the end; STEP_CUT: it ends in the middle of one; *err: of the disk, or given up. */
static enum step run_commands(struct log_reader *r, int *err)
{
    for (;;) {
        enum step step = next_command(r);
        if (step == STEP_BAD || step == STEP_TOLD) return step;
        if (step == STEP_DONE) {
            if (load_goes_on(r->l)) continue;
            *err = -ECANCELED;
            return STEP_BAD;
        }
        if (r->eof) break;
        *err = read_more(r);
        if (*err) return STEP_BAD;
    }
    bool whole = r->at == r->end && r->extent.size <= r->extent.end && !(r->session.flags & SESSION_MULTI);
    if (r->session.flags & SESSION_MULTI)
        server_log(r->srv, LOG_WARNING_LEVEL, "Revert incomplete MULTI/EXEC transaction in AOF file %s", r->name);
    return whole ? STEP_DONE : STEP_CUT;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static int cut_file(const char *path, uint64_t size)
{
    int qd;
    demi_qtoken_t qt;
    int err = disk_file_open(&qd, path, O_WRONLY, 0);
    if (err) return err;
    err = -demi_truncate(&qt, qd, (off_t)size);
    if (!err) err = disk_file_wait(qt, NULL);
    if (!err) err = disk_file_sync(qd, false);
    int late = disk_file_close(qd);
    return err ? err : late;
}

/* The increments on a device end in the middle of a command. */
static int ended_early_there(struct log_reader *r)
{
    struct server *srv = r->srv;
    struct aof_device *d = &srv->aof.device;
    uint64_t dropped = r->offset + (r->end - r->at) - r->whole;
    if (!srv->config->aof_load_truncated) {
        server_log(
            srv, LOG_WARNING_LEVEL,
            "The append-only log %s ends in the middle of a command or transaction, of which %llu bytes are there. "
            "Set 'aof-load-truncated' to yes to start without them.",
            r->name, (unsigned long long)dropped);
        return -EBADMSG;
    }
    server_log(srv, LOG_WARNING_LEVEL,
               "The append-only log %s ends in the middle of a command or transaction: its %llu bytes are left out, "
               "because aof-load-truncated is enabled",
               r->name, (unsigned long long)dropped);
    d->needs_resume = true;
    d->dropped = dropped;
    return 0;
}

static int ended_early(struct log_reader *r, const char *path, bool is_last)
{
    struct server *srv = r->srv;
    if (r->of_incr) return ended_early_there(r);
    if (srv->config->aof_load_truncated && is_last) {
        server_log(srv, LOG_WARNING_LEVEL, "!!! Warning: short read while loading the AOF file %s!!!", r->name);
        server_log(srv, LOG_WARNING_LEVEL, "!!! Truncating the AOF %s at offset %llu !!!", r->name,
                   (unsigned long long)r->whole);
        int err = cut_file(path, r->whole);
        if (err) {
            server_log(srv, LOG_WARNING_LEVEL, "Error truncating the AOF file %s: %s", r->name, strerror(-err));
            return err;
        }
        server_log(srv, LOG_WARNING_LEVEL, "AOF %s loaded anyway because aof-load-truncated is enabled", r->name);
        return 0;
    }
    if (!is_last) server_log(srv, LOG_WARNING_LEVEL, "Fatal error: the truncated file is not the last file");
    server_log(srv, LOG_WARNING_LEVEL,
               "Unexpected end of file reading the append only file %s at offset %llu. You can: 1) Make a backup of "
               "your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the "
               "'aof-load-truncated' configuration option to yes and restart the server.",
               r->name, (unsigned long long)r->whole);
    return -EBADMSG;
}

static int load_commands(struct log_reader *r, const char *path, bool is_last)
{
    int err = 0;
    switch (run_commands(r, &err)) {
    case STEP_DONE: return 0;
    case STEP_CUT: return ended_early(r, path, is_last);
    case STEP_TOLD: return -EBADMSG;
    default: break;
    }
    if (err == -ECANCELED || (r->of_incr && err == -EBADMSG)) return err;
    if (err) {
        server_log(r->srv, LOG_WARNING_LEVEL, "Unrecoverable error reading the append only file %s: %s", r->name,
                   strerror(-err));
        return err;
    }
    server_log(r->srv, LOG_WARNING_LEVEL,
               "Bad file format reading the append only file %s at offset %llu: make a backup of your AOF file, then "
               "use ./redis-check-aof --fix <filename.manifest>",
               r->name, (unsigned long long)r->offset);
    return -EBADMSG;
}

/* What begins with RDB is that first. */
static int load_rdb_first(struct log_reader *r)
{
    struct bytes rest;
    bool old_style = strcmp(r->name, r->srv->config->appendfilename) == 0;
    server_log(r->srv, LOG_NOTICE_LEVEL,
               old_style ? "Reading RDB preamble from AOF file..." : "Reading RDB base file on AOF loading...");
    int err = load_rdb_part(r->l, RDB_LOAD_KEEP_EXPIRED, &rest);
    if (err) {
        if (err != -ECANCELED)
            server_log(r->srv, LOG_WARNING_LEVEL,
                       old_style ? "Error reading the RDB preamble of the AOF file %s, AOF loading aborted"
                                 : "Error reading the RDB base file %s, AOF loading aborted",
                       r->name);
        return err;
    }
    if (old_style) server_log(r->srv, LOG_NOTICE_LEVEL, "Reading the remaining AOF tail...");
    uint64_t start = load_rdb_bytes(r->l);
    if (r->extent.end < start) r->extent.end = start; /* its checksum may be zero */
    uint64_t left = r->extent.end - start;
    size_t n = rest.n < left ? rest.n : (size_t)left;
    make_room(r, n + 1);
    memcpy(r->buf, rest.p, n);
    r->end = n;
    r->offset = r->whole = start;
    return 0;
}

/* The first bytes decide, and are not taken. */
static int begins_as_rdb(struct log_reader *r, const char *path, bool *is_rdb)
{
    int err = load_open(r->l, path);
    while (!err && !r->eof && r->end < SIGNATURE_N) err = read_more(r);
    *is_rdb = r->end >= SIGNATURE_N && memcmp(r->buf, SIGNATURE, SIGNATURE_N) == 0;
    return err;
}

/* Nothing is what is left of a snapshot whose bytes were lost: one of no keys has some. */
static bool is_lost_snapshot(const struct log_reader *r)
{
    size_t n = strlen(r->name);
    return r->eof && r->end == 0 && n > 4 && strcmp(r->name + n - 4, ".rdb") == 0;
}

static int load_opened(struct log_reader *r, const char *path, bool is_last)
{
    bool is_rdb;
    int err = begins_as_rdb(r, path, &is_rdb);
    if (!err && is_rdb) { /* from its beginning */
        load_close(r->l);
        r->end = 0;
        r->eof = false;
        err = load_open(r->l, path);
        if (!err) err = load_rdb_first(r);
    } else if (err) {
        server_log(r->srv, LOG_WARNING_LEVEL, "Fatal error: can't open the append log file %s for reading: %s", r->name,
                   strerror(-err));
    } else if (is_lost_snapshot(r)) {
        server_log(r->srv, LOG_WARNING_LEVEL, "Fatal error: the base file %s is empty", r->name);
        err = -EBADMSG;
    }
    return err ? err : load_commands(r, path, is_last);
}

static void reader_begin(struct log_reader *r)
{
    argv_vec_init(&r->argv);
    reply_init(&r->nowhere, 2);
    begin_session(r);
}

static void reader_end(struct log_reader *r)
{
    session_fini(&r->session);
    reply_fini(&r->nowhere);
    argv_vec_fini(&r->argv);
    mem_free(r->buf);
}

static int load_file(struct load *l, const char *name, bool is_last, struct extent extent)
{
    char path[PATH_MAX];
    struct worker *w = load_worker(l);
    struct log_reader r = {.l = l, .srv = w->srv, .name = name, .extent = extent};
    int err = aof_folder_path(&w->srv->aof, name, path);
    if (err) return err;
    reader_begin(&r);
    err = load_opened(&r, path, is_last);
    load_close(l);
    reader_end(&r);
    return err;
}

/* --- on a device ------------------------------------------------------------------------------------------------- */

static int load_base_there(struct load *l)
{
    struct server *srv = load_worker(l)->srv;
    struct aof_logs *logs = &srv->aof.device.logs;
    char name[AOF_LOG_NAME_SIZE];
    aof_logs_name(logs->name, logs->base, name);
    struct log_reader r = {.l = l, .srv = srv, .name = name, .extent = WHOLE};
    uint64_t start = demi_clock_ns(), pieces;
    reader_begin(&r);
    int err = aof_logs_find_pieces(logs, &pieces);
    if (!err) err = load_open_log(l, name, pieces);
    if (!err && logs->is_rdb) err = load_rdb_first(&r);
    if (!err) err = load_commands(&r, name, false);
    load_close(l);
    reader_end(&r);
    if (!err)
        server_log(srv, LOG_NOTICE_LEVEL, "DB loaded from base %s: %.3f seconds", name,
                   (double)(demi_clock_ns() - start) / 1000000000);
    return err;
}

static int load_incr_there(struct load *l)
{
    struct server *srv = load_worker(l)->srv;
    struct aof *a = &srv->aof;
    struct log_reader r = {.l = l, .srv = srv, .name = srv->config->aof_device, .extent = WHOLE, .of_incr = true};
    uint64_t start = demi_clock_ns();
    reader_begin(&r);
    int err = aof_logs_seek(&a->device.logs, AOF_LOG_INCR, a->device.logs.mark);
    if (!err) err = load_commands(&r, r.name, true);
    if (!err && r.is_void && !a->device.needs_resume) {
        a->device.needs_resume = true;
        a->device.dropped = r.offset + (r.end - r.at) - r.whole;
    }
    if (!err && !a->runs) a->bytes = r.whole;
    reader_end(&r);
    if (!err)
        server_log(srv, LOG_NOTICE_LEVEL, "DB loaded from increments %s: %.3f seconds", srv->config->aof_device,
                   (double)(demi_clock_ns() - start) / 1000000000);
    return err;
}

static int load_device(struct load *l)
{
    struct server *srv = load_worker(l)->srv;
    struct aof *a = &srv->aof;
    int err = aof_device_open(srv);
    if (err) return err;
    if (!a->device.logs.serial) return -ENOENT;
    load_expect(l, a->device.logs.bytes + aof_logs_incr_bytes(&a->device.logs));
    srv->persist.replaying = true;
    err = load_base_there(l);
    if (!err) err = load_incr_there(l);
    srv->persist.replaying = false;
    srv->dirty = 0;
    if (!err && !a->runs) a->base_bytes = a->device.logs.bytes + a->bytes;
    return err;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

/* The size of a file that is to be there. */
static int size_of(struct aof *a, const char *name, uint64_t *bytes)
{
    char path[PATH_MAX];
    int qd;
    int err = aof_folder_path(a, name, path);
    if (!err) err = disk_file_open(&qd, path, O_RDONLY | O_NONBLOCK, 0);
    if (err) return err;
    err = disk_file_size(qd, bytes);
    disk_file_close(qd);
    return err;
}

static int size_of_all(struct server *srv, const struct aof_manifest *m, uint64_t *all, uint64_t *base)
{
    *all = *base = 0;
    for (size_t i = 0; i < m->count; i++) {
        uint64_t bytes;
        const struct aof_file *f = &m->files[i];
        if (f->kind == AOF_HISTORY) continue;
        int err = size_of(&srv->aof, f->name, &bytes);
        if (err) {
            server_log(srv, LOG_WARNING_LEVEL, "The append log file %s doesn't exist: %s", f->name, strerror(-err));
            return err == -ENOENT ? -EBADMSG : err;
        }
        *all += bytes;
        if (f->kind == AOF_BASE) *base = bytes;
    }
    return 0;
}

/* Of the bytes of a file from `from` up to *end: where the last that is no zero ends; `from`: there is none. */
static int find_end(int qd, uint64_t from, uint64_t *end)
{
    off_t at;
    uint64_t found = from;
    int err = -demi_lseek(qd, (off_t)from, SEEK_SET, &at);
    while (!err && from < *end) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        err = -demi_pop(&qt, qd);
        if (!err) err = disk_file_wait(qt, &qr);
        if (err) break;
        const char *p = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
        size_t got = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        for (size_t n = got; n; n--) {
            if (!p[n - 1]) continue;
            found = from + n;
            break;
        }
        demi_sgafree(&qr.qr_value.sga);
        from = got ? from + got : *end;
    }
    *end = found;
    return err;
}

static int measure(struct aof *a, const char *name, struct extent *out)
{
    char path[PATH_MAX];
    int qd;
    int err = aof_folder_path(a, name, path);
    if (!err) err = disk_file_open(&qd, path, O_RDONLY | O_NONBLOCK, 0);
    if (err) return err;
    err = disk_file_size(qd, &out->size);
    out->end = out->size;
    for (bool found = false; !err && !found && out->end;) {
        uint64_t from = out->end > READ_SIZE ? out->end - READ_SIZE : 0;
        err = find_end(qd, from, &out->end);
        found = out->end > from;
    }
    disk_file_close(qd);
    return err;
}

/* The last that has anything in it. */
static int find_last(struct aof *a, const struct aof_manifest *m, size_t *last)
{
    struct extent e;
    *last = 0;
    for (size_t i = m->count; i-- > 0;) {
        if (m->files[i].kind == AOF_HISTORY) continue;
        int err = measure(a, m->files[i].name, &e);
        *last = i;
        if (err || e.end) return err;
    }
    return 0;
}

static int unreadable(struct server *srv, const char *name, int err)
{
    server_log(srv, LOG_WARNING_LEVEL, "Error reading the append only file %s: %s", name, strerror(-err));
    return err;
}

static int load_all(struct load *l, const struct aof_manifest *m)
{
    struct server *srv = load_worker(l)->srv;
    size_t last;
    int err = find_last(&srv->aof, m, &last);
    if (err) return unreadable(srv, m->files[last].name, err);
    for (size_t i = 0; i < m->count; i++) {
        const struct aof_file *f = &m->files[i];
        if (f->kind == AOF_HISTORY) continue;
        uint64_t start = demi_clock_ns();
        struct extent e = WHOLE;
        if (i >= last) err = measure(&srv->aof, f->name, &e);
        if (err) return unreadable(srv, f->name, err);
        err = load_file(l, f->name, i >= last, e);
        if (err) return err;
        server_log(srv, LOG_NOTICE_LEVEL, "DB loaded from %s file %s: %.3f seconds",
                   f->kind == AOF_BASE ? "base" : "incr", f->name, (double)(demi_clock_ns() - start) / 1000000000);
    }
    return 0;
}

/* Is there a log of Redis 6 that has not been taken over? */
static bool has_old_log(struct server *srv, const struct aof_manifest *m)
{
    uint64_t bytes;
    int qd;
    const char *name = srv->config->appendfilename;
    const struct aof_file *base = aof_manifest_base(m);
    if (disk_file_open(&qd, name, O_RDONLY | O_NONBLOCK, 0) != 0) return false;
    disk_file_close(qd);
    if (aof_manifest_incrs(m)) return false;
    return !base || (strcmp(base->name, name) == 0 && size_of(&srv->aof, name, &bytes) == -ENOENT);
}

int aof_load(struct load *l)
{
    struct server *srv = load_worker(l)->srv;
    struct aof *a = &srv->aof;
    struct aof_manifest m = {0};
    uint64_t all;
    if (a->on_device) return load_device(l);
    int err = aof_folder_locate(srv);
    if (!err) err = aof_folder_take(srv); /* before anything in it is cut */
    if (!err) err = aof_folder_read(srv, &m);
    if (err == -ENOENT) err = 0;
    if (!err && has_old_log(srv, &m)) err = aof_folder_adopt(srv, &m);
    if (err) goto out;
    err = m.count ? size_of_all(srv, &m, &all, &a->base_bytes) : -ENOENT;
    if (err) goto out;
    aof_manifest_fini(&a->manifest);
    aof_manifest_copy(&a->manifest, &m);
    load_expect(l, all);
    srv->persist.replaying = true;
    err = load_all(l, &m);
    srv->persist.replaying = false;
    srv->dirty = 0;
    if (!err) size_of_all(srv, &m, &a->closed_bytes, &a->base_bytes); /* one may have been cut */
out:
    aof_manifest_fini(&m);
    return err;
}

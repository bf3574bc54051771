/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "server/persist/disk_file.h"

#define TAIL_BYTES 65536u /* within which the last record of a log is looked for */

void aof_logs_init(struct aof_logs *l)
{
    *l = (struct aof_logs){0};
    for (int i = 0; i < AOF_LOGS; i++) l->qd[i] = -1;
}

/* --- names and errors --------------------------------------------------------------------------------------------- */

/* A log's name follows '#' in a file or a kernel's device; there "main" is the one without. */
void aof_logs_name(const char *name, enum aof_log log, char out[AOF_LOG_NAME_SIZE])
{
    static const char *const ends[AOF_LOGS] = {"", ".base0", ".base1"};
    bool unnamed = !strncmp(name, "log:", 4) && !strrchr(name, '#');
    snprintf(out, AOF_LOG_NAME_SIZE, "%.4095s%s%s", name, unnamed ? "#main" : "", ends[log]);
}

const char *aof_logs_error_text(int err)
{
    switch (err) {
    case -EBUSY: return "another process has it open";
    case -EUCLEAN: return "it is damaged (demi-log check says where)";
    case -EMEDIUMTYPE: return "something else than logs is in it";
    case -EPROTONOSUPPORT: return "a later version of demikv has made it";
    case -ENOSPC: return "there is no room for it";
    case -ENAMETOOLONG: return "its name is too long";
    case -EOPNOTSUPP: return "it is no log queue";
    case -ENODATA: return "it is empty (demi-log create)";
    default: return strerror(-err);
    }
}

struct logs_opening { /* where opening failed, for who wants to say so */
    struct aof_logs *l;
    char *why;
};

static int cant_open(const struct logs_opening *f, enum aof_log log, int err)
{
    char name[AOF_LOG_NAME_SIZE];
    aof_logs_name(f->l->name, log, name);
    snprintf(f->why, AOF_LOGS_WHY_SIZE, "Can't open the append-only log %s: %s", name, aof_logs_error_text(err));
    return err;
}

static int refuse_log(const struct logs_opening *f, enum aof_log log, uint64_t offset, const char *text)
{
    char name[AOF_LOG_NAME_SIZE];
    aof_logs_name(f->l->name, log, name);
    snprintf(f->why, AOF_LOGS_WHY_SIZE, "The append-only log %s is refused: %s, at offset %llu (demi-log dump)", name,
             text, (unsigned long long)offset);
    return -EBADMSG;
}

static int refuse_line(const struct logs_opening *f, enum aof_log log, const struct aof_record *r, uint64_t at)
{
    return refuse_log(f, log, at,
                      r->kind == AOF_RECORD_LATER ? "a later version of demikv has written it"
                                                  : "what is in it is no append-only file of demikv");
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct demi_log_space aof_logs_space(const struct aof_logs *l)
{
    struct demi_log_space space = {0};
    socklen_t n = sizeof space;
    demi_getsockopt(l->qd[AOF_LOG_INCR], DEMI_SOL_LOG, DEMI_LOG_SPACE, &space, &n);
    return space;
}

static int cursor_of(const struct aof_logs *l, enum aof_log log, uint64_t *out)
{
    off_t at;
    int err = -demi_lseek(l->qd[log], 0, SEEK_CUR, &at);
    if (!err) *out = (uint64_t)at;
    return err;
}

static int end_of(const struct aof_logs *l, enum aof_log log, uint64_t *out) { return disk_file_size(l->qd[log], out); }

int aof_logs_seek(struct aof_logs *l, enum aof_log log, uint64_t offset)
{
    off_t at;
    if (offset > INT64_MAX) return -EINVAL;
    return -demi_lseek(l->qd[log], (off_t)offset, SEEK_SET, &at);
}

int aof_logs_pop(struct aof_logs *l, enum aof_log log, demi_sgarray_t *sga, uint64_t *offset)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int err = -demi_pop(&qt, l->qd[log]);
    if (!err) err = disk_file_wait(qt, &qr);
    if (err) return err;
    *sga = qr.qr_value.sga;
    *offset = (uint64_t)qr.qr_ret;
    if (sga->sga_segs[0].sgaseg_len) return 1;
    demi_sgafree(sga);
    return 0;
}

/* The record at the cursor, of bytes only its kind. 1, 0: there is none; -errno. */
static int read_line(struct aof_logs *l, enum aof_log log, struct aof_record *out, uint64_t *offset)
{
    demi_sgarray_t sga;
    int got = aof_logs_pop(l, log, &sga, offset);
    if (got <= 0) return got;
    aof_record_read(bytes_of(sga.sga_segs[0].sgaseg_buf, sga.sga_segs[0].sgaseg_len), out);
    out->text = bytes_of(NULL, 0);
    demi_sgafree(&sga);
    return 1;
}

int aof_logs_find_pieces(struct aof_logs *l, uint64_t *offset)
{
    struct aof_record r;
    int got = aof_logs_seek(l, l->base, l->begin);
    if (!got) got = read_line(l, l->base, &r, offset);
    if (got <= 0 || r.kind != AOF_RECORD_BASE) return got < 0 ? got : -EBADMSG;
    return cursor_of(l, l->base, offset);
}

uint64_t aof_logs_incr_bytes(struct aof_logs *l)
{
    uint64_t end;
    return end_of(l, AOF_LOG_INCR, &end) == 0 && end > l->mark ? end - l->mark : 0;
}

/* --- which base is in force --------------------------------------------------------------------------------------- */

/* The last record from `from` on. */
static int read_last(struct aof_logs *l, enum aof_log log, uint64_t from, struct aof_record *last, uint64_t *at)
{
    struct aof_record r;
    uint64_t offset;
    int got = aof_logs_seek(l, log, from);
    if (got) return got;
    *last = (struct aof_record){.kind = AOF_RECORD_BAD};
    while ((got = read_line(l, log, &r, &offset)) > 0) {
        *last = r;
        *at = offset;
    }
    return got;
}

/* Looks whether the log has a whole base, which may be the one in force. */
static int look_at_base(const struct logs_opening *f, enum aof_log log)
{
    struct aof_logs *l = f->l;
    struct aof_record first, last;
    uint64_t trim, end, at = 0;
    int err = cursor_of(l, log, &trim);
    if (!err) err = end_of(l, log, &end);
    if (err) return cant_open(f, log, err);
    if (trim == end) return 0;
    int got = read_line(l, log, &first, &at);

    if (got < 0) return cant_open(f, log, got);
    if (got == 0) return 0;
    if (first.kind != AOF_RECORD_BASE) return refuse_line(f, log, &first, at);
    if (first.serial > l->last_serial) l->last_serial = first.serial;
    uint64_t first_at = at;
    err = read_last(l, log, end - trim > TAIL_BYTES ? end - TAIL_BYTES : trim, &last, &at);
    if (err) return cant_open(f, log, err);
    if (last.kind != AOF_RECORD_END) return 0; /* a rewrite has not come to its end */
    if (last.serial != first.serial || last.rdb != first.rdb || last.begin != first_at)
        return refuse_line(f, log, &last, at);
    if (last.serial <= l->serial) return 0;
    l->serial = last.serial;
    l->begin = last.begin;
    l->mark = last.mark;
    l->bytes = last.bytes;
    l->is_rdb = last.rdb;
    l->base = log;
    return 0;
}

/* The increments begin with the mark of the base. Without a base there may be what a first one has left that was not
 * finished. */
static int look_at_incr(const struct logs_opening *f)
{
    struct aof_logs *l = f->l;
    struct aof_record r;
    uint64_t at;
    int err = l->serial ? aof_logs_seek(l, AOF_LOG_INCR, l->mark) : 0;
    int got = err ? err : read_line(l, AOF_LOG_INCR, &r, &at);
    if (got == -EINVAL || (got == 0 && l->serial))
        return refuse_log(f, AOF_LOG_INCR, l->mark, "the increments of its base are missing");
    if (got < 0) return cant_open(f, AOF_LOG_INCR, got);
    if (got == 0) return 0;
    if (r.kind != AOF_RECORD_MARK) return refuse_line(f, AOF_LOG_INCR, &r, at);
    if (l->serial && (at != l->mark || r.serial != l->serial))
        return refuse_log(f, AOF_LOG_INCR, l->mark, "the increments of its base are missing");
    if (r.serial > l->last_serial) l->last_serial = r.serial;
    return 0;
}

int aof_logs_open(struct aof_logs *l, const char *name, int flags, char why[AOF_LOGS_WHY_SIZE])
{
    struct logs_opening f = {l, why};
    int err = 0;
    aof_logs_init(l);
    snprintf(l->name, sizeof l->name, "%s", name);
    for (int i = 0; i < AOF_LOGS && !err; i++) {
        char path[AOF_LOG_NAME_SIZE];
        aof_logs_name(l->name, (enum aof_log)i, path);
        err = disk_file_open(&l->qd[i], path, flags, 0644);
        if (err) cant_open(&f, (enum aof_log)i, err);
    }
    if (!err && !aof_logs_space(l).record_max) err = cant_open(&f, AOF_LOG_INCR, -EOPNOTSUPP);
    for (int i = AOF_LOG_BASE0; i < AOF_LOGS && !err; i++) err = look_at_base(&f, (enum aof_log)i);
    if (!err) err = look_at_incr(&f);
    if (err) aof_logs_close(l);
    return err;
}

void aof_logs_close(struct aof_logs *l)
{
    for (int i = 0; i < AOF_LOGS; i++) {
        if (l->qd[i] >= 0) disk_file_close(l->qd[i]); /* what counts was synced */
        l->qd[i] = -1;
    }
}

/* --- pushing ------------------------------------------------------------------------------------------------------ */

int aof_logs_sync(struct aof_logs *l, enum aof_log log)
{
    demi_qtoken_t qt;
    int err = -demi_sync(&qt, l->qd[log], true);
    return err ? err : disk_file_wait(qt, NULL);
}

int aof_logs_push(struct aof_logs *l, enum aof_log log, const struct iovec *iov, int count, uint64_t *offset)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int err = -demi_pushv(&qt, l->qd[log], iov, count, 0);
    while (err == -EBUSY) {
        err = aof_logs_sync(l, log);
        if (!err) err = -demi_pushv(&qt, l->qd[log], iov, count, 0);
    }
    if (!err) err = disk_file_wait(qt, &qr);
    if (!err && offset) *offset = (uint64_t)qr.qr_ret;
    return err;
}

int aof_logs_push_bytes(struct aof_logs *l, enum aof_log log, const char *p, size_t n)
{
    static const char tag[1] = {AOF_RECORD_BYTES_TAG};
    struct iovec iov[2] = {{(void *)(uintptr_t)tag, sizeof tag}, {(void *)(uintptr_t)p, n}};
    return aof_logs_push(l, log, iov, 2, NULL);
}

int aof_logs_push_line(struct aof_logs *l, enum aof_log log, const struct aof_record *r, uint64_t *offset)
{
    char line[AOF_RECORD_LINE_MAX];
    struct iovec iov = {line, aof_record_write(r, line)};
    return aof_logs_push(l, log, &iov, 1, offset);
}

int aof_logs_trim(struct aof_logs *l, enum aof_log log, uint64_t offset)
{
    demi_qtoken_t qt;
    int err = -demi_truncate(&qt, l->qd[log], (off_t)offset);
    return err ? err : disk_file_wait(qt, NULL);
}

int aof_logs_empty(struct aof_logs *l, enum aof_log log)
{
    uint64_t end;
    int err = end_of(l, log, &end);
    if (!err) err = aof_logs_sync(l, log); /* what is not durable is not trimmed */
    return err ? err : aof_logs_trim(l, log, end);
}

/* --- bases -------------------------------------------------------------------------------------------------------- */

int aof_logs_begin_base(struct aof_logs *l, bool is_rdb, enum aof_log *log, struct aof_record *end)
{
    *log = l->serial && l->base == AOF_LOG_BASE0 ? AOF_LOG_BASE1 : AOF_LOG_BASE0;
    *end = (struct aof_record){.kind = AOF_RECORD_END, .serial = l->last_serial + 1, .rdb = is_rdb};
    int err = aof_logs_empty(l, *log);
    struct aof_record begin = {.kind = AOF_RECORD_BASE, .serial = end->serial, .rdb = is_rdb};
    if (!err) err = aof_logs_push_line(l, *log, &begin, &end->begin);
    if (!err) l->last_serial++;
    return err;
}

int aof_logs_end_base(struct aof_logs *l, enum aof_log log, const struct aof_record *end, int *late)
{
    int err = aof_logs_sync(l, AOF_LOG_INCR);
    if (!err) err = aof_logs_sync(l, log);
    if (!err) err = aof_logs_push_line(l, log, end, NULL);
    if (!err) err = aof_logs_sync(l, log);
    if (err) return err;
    enum aof_log old = l->base;
    bool had = l->serial != 0 && old != log;
    l->serial = end->serial;
    l->begin = end->begin;
    l->mark = end->mark;
    l->bytes = end->bytes;
    l->is_rdb = end->rdb;
    l->base = log;
    *late = aof_logs_trim(l, AOF_LOG_INCR, l->mark);
    if (!*late && had) *late = aof_logs_empty(l, old);
    return 0;
}

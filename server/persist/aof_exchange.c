/* SPDX-License-Identifier: MIT
 *
 * What is exported is what a server would load: bytes that a line in the log calls void are left out. A last command
 * that is not whole stays, as in a file; who loads it cuts it off (aof-load-truncated).
 */
#include "server/persist/aof_exchange.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demi/sga.h"
#include "server/mem.h"
#include "server/persist/aof_logs.h"
#include "server/persist/aof_manifest.h"

#define PREFIX         "appendonly.aof"
#define MANIFEST_END   ".manifest"
#define MANIFEST_BYTES ((off_t)1 << 24)
#define SIGNATURE      "REDIS"

static int told(struct aof_exchanged *x, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int told(struct aof_exchanged *x, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(x->why, sizeof x->why, fmt, args);
    va_end(args);
    return err;
}

static int of_file(struct aof_exchanged *x, const char *path, int err)
{
    return told(x, err, "%s: %s", path, strerror(-err));
}

static int of_log(struct aof_exchanged *x, const struct aof_logs *l, int err)
{
    return told(x, err, "%s: %s", l->name, aof_logs_error_text(err));
}

/* --- out of a log ------------------------------------------------------------------------------------------------- */

struct export_file {
    struct aof_exchanged *x;
    char path[PATH_MAX];
    int fd;
    uint64_t bytes;
};

static int target_open(struct export_file *t, struct aof_exchanged *x, const char *folder, const char *name)
{
    *t = (struct export_file){.x = x};
    if (snprintf(t->path, sizeof t->path, "%s/%s", folder, name) >= (int)sizeof t->path)
        return told(x, -ENAMETOOLONG, "%s: its name is too long", folder);
    t->fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return t->fd < 0 ? of_file(x, t->path, -errno) : 0;
}

static int target_write(struct export_file *t, struct bytes b)
{
    while (b.n) {
        ssize_t n = write(t->fd, b.p, b.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return of_file(t->x, t->path, n ? -errno : -EIO);
        t->bytes += (uint64_t)n;
        b = bytes_of(b.p + n, b.n - (size_t)n);
    }
    return 0;
}

/* The last n bytes are none. */
static int target_drop(struct export_file *t, uint64_t n)
{
    if (n > t->bytes)
        return told(t->x, -EBADMSG, "%s: a record drops %llu bytes of %llu", t->path, (unsigned long long)n,
                    (unsigned long long)t->bytes);
    t->bytes -= n;
    bool cut = ftruncate(t->fd, (off_t)t->bytes) == 0 && lseek(t->fd, (off_t)t->bytes, SEEK_SET) >= 0;
    return cut ? 0 : of_file(t->x, t->path, -errno);
}

static int target_close(struct export_file *t, int err)
{
    if (!err && fsync(t->fd) != 0) err = of_file(t->x, t->path, -errno);
    if (close(t->fd) != 0 && !err) err = of_file(t->x, t->path, -errno);
    return err;
}

/* A record of the increments. */
static int take_incr(struct export_file *t, const struct aof_logs *l, const struct aof_record *r, bool *is_void)
{
    switch (r->kind) {
    case AOF_RECORD_BYTES: return *is_void ? 0 : target_write(t, r->text);
    case AOF_RECORD_MARK:
        if (r->begins && r->serial != l->serial) *is_void = true;
        return 0;
    case AOF_RECORD_RESUME:
        if (r->serial != l->serial) return 0;
        *is_void = false;
        return target_drop(t, r->dropped);
    default: return told(t->x, -EBADMSG, "%s: a record that is none of an append-only file", l->name);
    }
}

/* All records of a log from the offset on; of a base, up to its end. */
static int copy_log(struct export_file *t, struct aof_logs *l, enum aof_log log, uint64_t offset)
{
    demi_sgarray_t sga;
    struct aof_record r;
    bool is_void = false;
    int got = aof_logs_seek(l, log, offset), err = 0;
    if (got) return of_log(t->x, l, got);
    while (!err && (got = aof_logs_pop(l, log, &sga, &offset)) > 0) {
        aof_record_read(bytes_of(sga.sga_segs[0].sgaseg_buf, sga.sga_segs[0].sgaseg_len), &r);
        if (log == AOF_LOG_INCR) err = take_incr(t, l, &r, &is_void);
        else if (r.kind == AOF_RECORD_BYTES) err = target_write(t, r.text);
        demi_sgafree(&sga);
    }
    return got < 0 ? of_log(t->x, l, got) : err;
}

static int has_manifest(struct aof_exchanged *x, const char *folder, char name[NAME_MAX + 1]);

static int write_manifest(struct aof_exchanged *x, const char *folder, const struct aof_manifest *m)
{
    struct export_file t;
    char path[PATH_MAX];
    size_t n;
    char *text = aof_manifest_text(m, &n);
    int err = text ? target_open(&t, x, folder, "temp-" PREFIX MANIFEST_END) : told(x, -ENAMETOOLONG, "%s", folder);
    if (!err) err = target_close(&t, target_write(&t, bytes_of(text, n)));
    mem_free(text);
    if (err) return err;
    snprintf(path, sizeof path, "%.4000s/" PREFIX MANIFEST_END, folder);
    if (rename(t.path, path) != 0) return of_file(x, path, -errno);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) err = of_file(x, folder, -errno);
    if (fd >= 0) close(fd);
    return err;
}

static int write_files(struct aof_exchanged *x, struct aof_logs *l, const char *folder, struct aof_manifest *m)
{
    struct export_file t;
    uint64_t pieces;
    int err = aof_logs_find_pieces(l, &pieces);
    if (err) return of_log(x, l, err);
    err = target_open(&t, x, folder, aof_manifest_add_base(m, PREFIX, l->is_rdb, 0)->name);
    if (!err) err = target_close(&t, copy_log(&t, l, l->base, pieces));
    if (err) return err;
    x->base_bytes = t.bytes;
    if (t.bytes != l->bytes)
        return told(x, -EBADMSG, "%s: its base has %llu bytes, not %llu", l->name, (unsigned long long)t.bytes,
                    (unsigned long long)l->bytes);
    err = target_open(&t, x, folder, aof_manifest_add_incr(m, PREFIX)->name);
    if (!err) err = target_close(&t, copy_log(&t, l, AOF_LOG_INCR, l->mark));
    x->incr_bytes = err ? 0 : t.bytes;
    return err;
}

int aof_export(const char *name, const char *folder, struct aof_exchanged *out)
{
    struct aof_logs l;
    struct aof_manifest m = {0};
    char manifest[NAME_MAX + 1];
    *out = (struct aof_exchanged){0};
    int err = aof_logs_open(&l, name, O_RDONLY, out->why);
    if (err) return err;
    if (!l.serial) err = told(out, -ENODATA, "%s: it has no append-only file", name);
    if (!err && mkdir(folder, 0755) != 0 && errno != EEXIST) err = of_file(out, folder, -errno);
    if (!err) err = has_manifest(out, folder, manifest);
    if (err > 0) err = told(out, -EEXIST, "%s: there is an append-only file, %s", folder, manifest);
    if (!err) err = write_files(out, &l, folder, &m);
    if (!err) err = write_manifest(out, folder, &m);
    aof_manifest_fini(&m);
    aof_logs_close(&l);
    return err;
}

/* --- into a log --------------------------------------------------------------------------------------------------- */

/* 1, and the first of that kind; 0: there is none; -errno, told of. */
static int has_manifest(struct aof_exchanged *x, const char *folder, char name[NAME_MAX + 1])
{
    DIR *d = opendir(folder);
    int found = 0;
    if (!d) return of_file(x, folder, -errno);
    for (struct dirent *e; !found && (e = readdir(d));) {
        size_t n = strlen(e->d_name), end = strlen(MANIFEST_END);
        if (n <= end || strcmp(e->d_name + n - end, MANIFEST_END) != 0 || !strncmp(e->d_name, "temp-", 5)) continue;
        strcpy(name, e->d_name);
        found = 1;
    }
    closedir(d);
    return found;
}

static int open_file(struct aof_exchanged *x, const char *folder, const char *name, char path[PATH_MAX], int *fd)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return told(x, -ENAMETOOLONG, "%s: its name is too long", folder);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return *fd < 0 ? of_file(x, path, -errno) : 0;
}

static int read_manifest_text(struct aof_exchanged *x, int fd, const char *path, char **text, size_t *n)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return of_file(x, path, -errno);
    if (!S_ISREG(st.st_mode) || st.st_size > MANIFEST_BYTES) return told(x, -EINVAL, "%s: it is no manifest", path);
    *n = 0;
    *text = mem_alloc((size_t)st.st_size + 1);
    while (*n < (size_t)st.st_size) {
        ssize_t got = read(fd, *text + *n, (size_t)st.st_size - *n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return of_file(x, path, -errno);
        if (got == 0) break;
        *n += (size_t)got;
    }
    return 0;
}

static int read_manifest(struct aof_exchanged *x, const char *folder, struct aof_manifest *m)
{
    char name[NAME_MAX + 1], path[PATH_MAX], *text = NULL;
    struct aof_manifest_fault fault;
    size_t n = 0;
    int fd = -1, found = has_manifest(x, folder, name);
    if (found <= 0) return found ? found : told(x, -ENOENT, "%s: there is no append-only file in it", folder);
    int err = open_file(x, folder, name, path, &fd);
    if (err) return err;
    err = read_manifest_text(x, fd, path, &text, &n);
    close(fd);
    if (!err && aof_manifest_parse(m, text, n, &fault) != 0)
        err = told(x, -EINVAL, "%s: line %u: %s", path, fault.number, fault.why);
    mem_free(text);
    return err;
}

/* A file in pieces; *bytes grows. */
static int push_file(struct aof_exchanged *x, struct aof_logs *l, enum aof_log log, const char *folder,
                     const char *name, uint64_t *bytes)
{
    char path[PATH_MAX];
    int fd = -1, err = open_file(x, folder, name, path, &fd);
    if (err) return err;
    size_t most = aof_logs_space(l).record_max - 1u;
    if (most > AOF_RECORD_CHUNK_MAX) most = AOF_RECORD_CHUNK_MAX;
    char *piece = mem_alloc(most);
    for (ssize_t n = 1; !err && n;) {
        n = read(fd, piece, most);
        if (n < 0 && errno == EINTR) n = 1;
        else if (n < 0) err = of_file(x, path, -errno);
        else if (n && (err = aof_logs_push_bytes(l, log, piece, (size_t)n)) != 0) err = of_log(x, l, err);
        else *bytes += (uint64_t)n;
    }
    mem_free(piece);
    close(fd);
    return err;
}

static int begins_as_rdb(struct aof_exchanged *x, const char *folder, const struct aof_file *f, bool *is_rdb)
{
    char path[PATH_MAX], head[sizeof SIGNATURE - 1];
    int fd = -1, err = open_file(x, folder, f->name, path, &fd);
    if (err) return err;
    ssize_t n = read(fd, head, sizeof head);
    if (n < 0) err = of_file(x, path, -errno);
    *is_rdb = n == sizeof head && memcmp(head, SIGNATURE, sizeof head) == 0;
    close(fd);
    return err;
}

static int push_all(struct aof_exchanged *x, struct aof_logs *l, const char *folder, const struct aof_manifest *m)
{
    const struct aof_file *base = aof_manifest_base(m);
    struct aof_record end, mark = {.kind = AOF_RECORD_MARK, .begins = 1};
    enum aof_log log;
    bool is_rdb = false;
    int late = 0, err = base ? begins_as_rdb(x, folder, base, &is_rdb) : 0;
    if (err) return err;
    err = aof_logs_begin_base(l, is_rdb, &log, &end);
    mark.serial = end.serial;
    if (!err) err = aof_logs_push_line(l, AOF_LOG_INCR, &mark, &end.mark);
    if (err) return of_log(x, l, err);
    if (base) err = push_file(x, l, log, folder, base->name, &end.bytes);
    for (size_t i = 0; !err && i < m->count; i++)
        if (m->files[i].kind == AOF_INCR) err = push_file(x, l, AOF_LOG_INCR, folder, m->files[i].name, &x->incr_bytes);
    if (err) return err;
    x->base_bytes = end.bytes;
    err = aof_logs_end_base(l, log, &end, &late);
    return err || late ? of_log(x, l, err ? err : late) : 0;
}

int aof_import(const char *folder, const char *name, bool replace, struct aof_exchanged *out)
{
    struct aof_logs l;
    struct aof_manifest m = {0};
    *out = (struct aof_exchanged){0};
    int err = read_manifest(out, folder, &m);
    if (!err) err = aof_logs_open(&l, name, O_RDWR | O_CREAT, out->why);
    if (err) {
        aof_manifest_fini(&m);
        return err;
    }
    if (l.serial && !replace)
        err = told(out, -EEXIST, "%s: it has an append-only file, which --force would replace", name);
    if (!err) err = push_all(out, &l, folder, &m);
    aof_manifest_fini(&m);
    aof_logs_close(&l);
    return err;
}

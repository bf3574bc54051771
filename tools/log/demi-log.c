/* SPDX-License-Identifier: MIT
 *
 * demi-log: makes, lists, checks, shows and repairs devices of logs (demi-log(1)). It reads and writes by plain
 * calls, and holds the same lock as a library that has the device open. What a log has of a server's append-only file
 * goes to files and back by the library's queues.
 */
#include "alloc/buf.h"
#include "demi/ext.h"
#include "libos/log/reader.h"
#include "libos/nvme/devices.h"
#include "server/persist/aof_exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct opened {
    const char *path;
    int fd;
    bool is_block;
    uint64_t size;
    struct alog_plain plain;
    struct alog_image im;
};

static int say(const struct opened *o, const char *what, int err)
{
    fprintf(stderr, "demi-log: %s: %s%s%s\n", o->path, what, *what && err ? ": " : "", err ? strerror(err) : "");
    return 1;
}

/* A namespace is one more block device; whoever else has it, has it alone. */
static int open_nvme(struct opened *o, const char *where)
{
    char why[NVME_WHY_SIZE] = "";
    int err = alog_plain_open_nvme(&o->plain, where, why);
    if (err) return say(o, why, why[0] ? 0 : -err);
    o->fd = -1;
    o->is_block = true;
    o->size = o->plain.store.size;
    return 0;
}

static int open_path(struct opened *o, const char *path, int flags)
{
    struct stat st;
    memset(o, 0, sizeof *o);
    o->path = path;
    if (!strncmp(path, NVME_SCHEME, strlen(NVME_SCHEME))) return open_nvme(o, path + strlen(NVME_SCHEME));
    o->fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600); /* a FIFO has no end, and may have no beginning */
    if (o->fd < 0 || fstat(o->fd, &st)) return say(o, "", errno);
    if (flock(o->fd, ((flags & O_ACCMODE) == O_RDONLY ? LOCK_SH : LOCK_EX) | LOCK_NB))
        return say(o, errno == EWOULDBLOCK ? "somebody has it open" : "flock", errno == EWOULDBLOCK ? 0 : errno);
    o->is_block = S_ISBLK(st.st_mode);
    o->size = (uint64_t)st.st_size;
    if (!o->is_block && !S_ISREG(st.st_mode)) return say(o, "it is neither a file nor a block device", 0);
    if (o->is_block && ioctl(o->fd, BLKGETSIZE64, &o->size)) return say(o, "BLKGETSIZE64", errno);
    alog_plain_init(&o->plain, o->fd, o->size);
    return 0;
}

/* With all that is in it, whether a log is damaged or not. *damaged: how many are. */
static int open_device(struct opened *o, const char *path, int flags, unsigned *damaged)
{
    if (open_path(o, path, flags)) return 1;
    int err = alog_image_load(&o->im, &o->plain.store);
    if (err) return say(o, o->im.why, o->im.why[0] ? 0 : -err);
    *damaged = 0;
    for (uint32_t i = 0; i < o->im.super.log_count; i++) {
        err = alog_find_end(&o->im, o->im.logs[i], &o->plain.store);
        if (err == -EUCLEAN) fprintf(stderr, "demi-log: %s: %s\n", path, o->im.why);
        else if (err) return say(o, "", -err);
        *damaged += err == -EUCLEAN;
    }
    return 0;
}

static void close_device(struct opened *o)
{
    alog_image_fini(&o->im);
    if (o->plain.nvme) alog_plain_close_nvme(&o->plain);
    else close(o->fd);
}

static const char *name_of(const struct opened *o, const struct alog_log *log)
{
    return o->im.super.logs[log->slot].name;
}

/* --- making one --------------------------------------------------------------------------------------------------- */

/* "64M": bytes. false: it is no size. */
static bool read_size(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (errno || end == text || *text == '-' || end[shift != 0] || n > UINT64_MAX >> (shift + 1)) return false;
    *out = (uint64_t)n << shift;
    return n > 0;
}

/* Written in advance, a block is written later without a change of the file's extents. */
static int write_zeroes(struct opened *o, uint64_t size)
{
    enum { PIECE = 1 << 20 };
    struct buf *b = alog_buf_new(PIECE);
    if (!b) return ENOMEM;
    memset(b->data, 0, PIECE);
    int err = 0;
    for (uint64_t at = 0; at < size && !err;) {
        uint32_t n = (uint32_t)(size - at < PIECE ? size - at : PIECE);
        err = alog_write_blocks(&o->plain.store, at, b, n);
        at += n;
    }
    buf_unref(b);
    return -err;
}

static int is_ours_or_empty(struct opened *o, bool force)
{
    struct alog_image im;
    int err = o->size ? alog_image_load(&im, &o->plain.store) : -ENODATA;
    if (!err) alog_image_fini(&im);
    if (err == -ENODATA || force) return 1;
    say(o, err ? "something is in it, which --force would overwrite" : "it has logs, which --force would overwrite", 0);
    return 0;
}

static int create(int argc, char **argv)
{
    uint64_t size = 0, segment = 4u << 20;
    bool force = false;
    const char *path = NULL;
    struct opened o;
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--size") && i + 1 < argc && read_size(argv[i + 1], &size)) i++;
        else if (!strcmp(argv[i], "--segment") && i + 1 < argc && read_size(argv[i + 1], &segment)) i++;
        else if (!strcmp(argv[i], "--force")) force = true;
        else if (argv[i][0] != '-' && !path) path = argv[i];
        else return -1;
    }
    if (!path || segment > ALOG_SEGMENT_MAX) return -1;
    if (open_path(&o, path, O_RDWR | O_CREAT)) return 1;
    if (!is_ours_or_empty(&o, force)) return 1;
    if (o.is_block && size > o.size) return say(&o, "it is not that large", 0);
    if (!size) size = o.is_block ? o.size : 64u << 20;
    uint64_t whole = size < ALOG_START ? size : ALOG_START + (size - ALOG_START) / segment * segment;
    if (!o.is_block && ftruncate(o.fd, (off_t)whole)) return say(&o, "ftruncate", errno);
    int err = o.is_block ? write_zeroes(&o, ALOG_START) : write_zeroes(&o, whole);
    if (!err) err = -alog_image_format(&o.im, &o.plain.store, whole, (uint32_t)segment);
    if (err) return say(&o, o.im.why, o.im.why[0] ? 0 : err);
    if (o.fd >= 0 && fsync(o.fd)) return say(&o, "fsync", errno);
    printf("%s: %u segments of %u bytes\n", path, o.im.super.segment_count, o.im.super.segment_bytes);
    close_device(&o);
    return 0;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

static int list(int argc, char **argv)
{
    struct opened o;
    unsigned damaged;
    if (argc != 1) return -1;
    if (open_device(&o, argv[0], O_RDONLY, &damaged)) return 1;
    const struct alog_super *s = &o.im.super;
    printf("version %u, %u segments of %u bytes, %u free, epoch %u, generation %" PRIu64 "\n", ALOG_VERSION,
           s->segment_count, s->segment_bytes, o.im.free_count, s->epoch, s->generation);
    printf("%-24s %16s %16s %16s %9s\n", "log", "begins", "durable", "ends", "segments");
    for (uint32_t i = 0; i < s->log_count; i++) {
        const struct alog_log *log = o.im.logs[i];
        printf("%-24s %16" PRIu64 " %16" PRIu64 " %16" PRIu64 " %9u%s\n", s->logs[i].name, log->trim, log->durable,
               log->end, log->segment_count, log->damaged ? " damaged" : "");
    }
    close_device(&o);
    return damaged ? 1 : 0;
}

/* Reads every record up to where the log ends: there must be no hole before that. */
static int read_log(struct opened *o, struct alog_log *log, uint64_t *records, uint64_t *bytes, uint64_t *end)
{
    struct alog_reader r;
    struct alog_record rec;
    int what;
    *records = *bytes = 0;
    alog_reader_init(&r, &o->im, log, &o->plain.store);
    while ((what = alog_reader_next(&r, INT64_MAX, &rec)) > 0) {
        ++*records;
        *bytes += rec.length;
    }
    *end = r.walk.tail;
    alog_reader_fini(&r);
    return -what;
}

static int check_all(int argc, char **argv)
{
    struct opened o;
    unsigned damaged, wrong = 0;
    if (argc != 1) return -1;
    if (open_device(&o, argv[0], O_RDONLY, &damaged)) return 1;
    for (uint32_t i = 0; i < o.im.super.log_count; i++) {
        struct alog_log *log = o.im.logs[i];
        uint64_t records, bytes, end;
        int err = read_log(&o, log, &records, &bytes, &end);
        bool good = !log->damaged && (!err || err == EUCLEAN) && end >= log->end;
        printf("%s: %" PRIu64 " records, %" PRIu64 " bytes, %s %" PRIu64 "\n", name_of(&o, log), records, bytes,
               good ? "whole up to offset" : "DAMAGED at offset", good ? log->end : end);
        wrong += !good;
    }
    close_device(&o);
    return wrong ? 1 : 0;
}

static void show(const struct alog_record *rec)
{
    printf("%" PRIu64 " #%" PRIu64 " epoch %u, %u bytes: ", rec->offset, rec->seq, rec->epoch, rec->length);
    for (uint32_t i = 0; i < rec->length && i < 64; i++) {
        unsigned char c = rec->bytes[i];
        if (c >= ' ' && c < 127 && c != '\\') putchar(c);
        else printf("\\x%02x", c);
    }
    puts(rec->length > 64 ? "..." : "");
}

static int dump(int argc, char **argv)
{
    struct opened o;
    unsigned damaged;
    bool raw = false;
    const char *path = NULL, *name = NULL;
    uint64_t from = 0;
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--raw")) raw = true;
        else if (!strcmp(argv[i], "--from") && i + 1 < argc) from = strtoull(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && !path) path = argv[i];
        else if (argv[i][0] != '-' && !name) name = argv[i];
        else return -1;
    }
    if (!path || !name) return -1;
    if (open_device(&o, path, O_RDONLY, &damaged)) return 1;
    struct alog_log *log = alog_image_find(&o.im, name);
    if (!log) return say(&o, "it has no log of that name", 0);
    struct alog_reader r;
    struct alog_record rec;
    int what;
    alog_reader_init(&r, &o.im, log, &o.plain.store);
    if (from > log->trim) alog_reader_seek(&r, from);
    while ((what = alog_reader_next(&r, INT64_MAX, &rec)) > 0) {
        if (!raw) show(&rec);
        else if (fwrite(rec.bytes, 1, rec.length, stdout) != rec.length) break;
    }
    bool whole = !log->damaged && r.walk.tail >= log->end;
    alog_reader_fini(&r);
    close_device(&o);
    if (fflush(stdout) || ferror(stdout)) return 1;
    return whole ? 0 : 1;
}

/* --- changing ----------------------------------------------------------------------------------------------------- */

/* The log ends where it cannot be read on; what lies behind belongs to epochs that are over. */
static int cut(struct opened *o, struct alog_log *log)
{
    uint64_t records, bytes, end;
    struct alog_entry *e = &o->im.super.logs[log->slot];
    read_log(o, log, &records, &bytes, &end);
    if (!log->damaged && end >= log->end) return 0;
    printf("%s: %" PRIu64 " records are left, up to offset %" PRIu64 "; what lay behind is given up\n", e->name,
           records, end);
    if (!log->segment_count || end < e->trim) { /* nothing of it can be read: a new one under its name */
        e->id = o->im.super.next_id++;
        e->durable = e->trim = 0;
        e->cut_epoch = 0;
        return 1;
    }
    e->durable = end;
    e->cut_epoch = o->im.super.epoch;
    return 1;
}

static int repair(int argc, char **argv)
{
    struct opened o;
    unsigned damaged, changed = 0;
    if (argc != 1) return -1;
    if (open_device(&o, argv[0], O_RDWR, &damaged)) return 1;
    for (uint32_t i = 0; i < o.im.super.log_count; i++) changed += cut(&o, o.im.logs[i]) != 0;
    if (!changed) printf("%s: nothing to repair\n", argv[0]);
    int err = 0;
    if (changed) {
        o.im.super.epoch++;
        for (int copy = 0; copy < 2 && !err; copy++) err = alog_super_store(&o.im, &o.plain.store);
        if (!err) err = alog_flush(&o.plain.store);
    }
    close_device(&o);
    return err ? say(&o, "", -err) : 0;
}

/* Its segments are free from the next opening on, since no log has its id any more. */
static int drop(int argc, char **argv)
{
    struct opened o;
    unsigned damaged;
    if (argc != 2) return -1;
    if (open_device(&o, argv[0], O_RDWR, &damaged)) return 1;
    struct alog_super *s = &o.im.super;
    struct alog_log *log = alog_image_find(&o.im, argv[1]);
    if (!log) return say(&o, "it has no log of that name", 0);
    memmove(&s->logs[log->slot], &s->logs[log->slot + 1], (s->log_count - log->slot - 1) * sizeof *s->logs);
    s->log_count--;
    int err = 0;
    for (int copy = 0; copy < 2 && !err; copy++) err = alog_super_store(&o.im, &o.plain.store);
    if (!err) err = alog_flush(&o.plain.store);
    close_device(&o);
    return err ? say(&o, "", -err) : 0;
}

/* --- a server's append-only file ---------------------------------------------------------------------------------- */

static int exchange(int argc, char **argv, bool out)
{
    static struct aof_exchanged x;
    bool force = argc > 0 && !out && !strcmp(argv[0], "--force");
    char name[PATH_MAX + 64];
    argc -= force;
    argv += force;
    if (argc != 3 || argv[0][0] == '-') return -1;
    const char *file = argv[!out], *log = argv[1 + !out], *folder = argv[out ? 2 : 0];
    if (snprintf(name, sizeof name, "log:%s#%s", file, log) >= (int)sizeof name) {
        fprintf(stderr, "demi-log: %s\n", strerror(ENAMETOOLONG));
        return 1;
    }
    int err = demi_init_with("posix", NULL);
    if (err) {
        fprintf(stderr, "demi-log: %s\n", strerror(err));
        return 1;
    }
    err = out ? aof_export(name, folder, &x) : aof_import(folder, name, force, &x);
    demi_exit();
    if (err) fprintf(stderr, "demi-log: %s\n", x.why);
    else printf("a base of %" PRIu64 " bytes, increments of %" PRIu64 "\n", x.base_bytes, x.incr_bytes);
    return err ? 1 : 0;
}

static int export_aof(int argc, char **argv) { return exchange(argc, argv, true); }
static int import_aof(int argc, char **argv) { return exchange(argc, argv, false); }

static const struct {
    const char *name, *usage;
    int (*fn)(int argc, char **argv);
} verbs[] = {
    {"create", "create [--size N[K|M|G]] [--segment N[K|M]] [--force] FILE", create},
    {"list", "list FILE", list},
    {"check", "check FILE", check_all},
    {"dump", "dump [--raw] [--from OFFSET] FILE LOG", dump},
    {"repair", "repair FILE", repair},
    {"remove", "remove FILE LOG", drop},
    {"export", "export FILE LOG FOLDER", export_aof},
    {"import", "import [--force] FOLDER FILE LOG", import_aof},
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0) continue;
        int status = verbs[i].fn(argc - 2, argv + 2);
        if (status >= 0) return status;
    }
    fprintf(stderr, "usage:\n");
    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++) fprintf(stderr, "  demi-log %s\n", verbs[i].usage);
    return 2;
}

/* SPDX-License-Identifier: MIT
 *
 * A manifest with its files, a log of Redis 6 (RDB may be its beginning), or one file of commands. Files are opened for
 * writing only where they may be cut: with --fix, once the question is answered, and to a time that was asked for.
 * Only the last file of a manifest may be, since what comes after it would hang in the air.
 */
#include "server/persist/check_aof.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ds/number.h"
#include "server/mem.h"
#include "server/persist/aof_manifest.h"
#include "server/persist/aof_scan.h"
#include "server/persist/check_file.h"
#include "server/persist/check_rdb.h"

#define HEAD_SIZE    ((size_t)1 << 20)    /* what is looked at to tell a manifest */
#define MANIFEST_MAX ((uint64_t)64 << 20) /* a file a line: a million of them */

struct aof_check {
    bool fix;
    int64_t until_s; /* 0: whenever */
    struct aof_scan scan;
};

enum kind { KIND_COMMANDS, KIND_RDB, KIND_MANIFEST, KIND_UNREADABLE };

/* --- what a file is ----------------------------------------------------------------------------------------------- */

static bool begins_with(struct bytes b, const char *word)
{
    size_t n = strlen(word);
    return b.n >= n && memcmp(b.p, word, n) == 0;
}

/* Has it a line that begins with "file"? */
static bool is_manifest(struct bytes head)
{
    while (head.n) {
        if (begins_with(head, "file")) return true;
        const char *end = memchr(head.p, '\n', head.n);
        if (!end) return false;
        head.n -= (size_t)(end + 1 - head.p);
        head.p = end + 1;
    }
    return false;
}

/* A command's argument may look like a line of a manifest, so what begins as commands do is none. */
static enum kind kind_of(struct bytes head)
{
    if (begins_with(head, "REDIS") && head.n >= 8) return KIND_RDB;
    if (begins_with(head, "*") || begins_with(head, "#TS:")) return KIND_COMMANDS;
    return is_manifest(head) ? KIND_MANIFEST : KIND_COMMANDS;
}

/* As much of it as there is room for; the number of bytes, or -errno. */
static long read_head(const char *path, char *buf, size_t room)
{
    struct check_file f;
    long n = 1, all = 0;
    int err = check_file_open(&f, path, 0);
    if (err) return err;
    while (n > 0 && (size_t)all < room) {
        n = check_file_read(&f, buf + all, room - (size_t)all);
        if (n > 0) all += n;
    }
    check_file_close(&f);
    return n < 0 ? n : all;
}

static enum kind kind_of_file(const char *path)
{
    char *head = mem_alloc(HEAD_SIZE);
    long n = read_head(path, head, HEAD_SIZE);
    enum kind kind = n < 0 ? KIND_UNREADABLE : kind_of(bytes_of(head, (size_t)n));
    if (n < 0) printf("Cannot open file %s: %s\n", path, strerror((int)-n));
    mem_free(head);
    return kind;
}

/* --- one file ----------------------------------------------------------------------------------------------------- */

struct part {
    const char *name, *path, *title; /* title: what it is to the manifest */
    bool is_last;
    struct check_file f;
};

static bool cut(struct part *p, uint64_t size)
{
    int err = check_file_cut(&p->f, size);
    if (!err) return true;
    if (err == -EAGAIN) check_say(&p->f, "AOF %s is being written to, nothing was truncated\n", p->name);
    else check_say(&p->f, "Failed to truncate AOF %s: %s\n", p->name, strerror(-err));
    return false;
}

static bool cut_to_time(struct aof_check *c, struct part *p)
{
    long long until_s = c->until_s, to = (long long)c->scan.whole;
    if (to == 0) {
        check_say(&p->f, "AOF %s has nothing before timestamp %lld, aborting...\n", p->path, until_s);
        return false;
    }
    if (!p->is_last) {
        check_say(&p->f,
                  "Failed to truncate AOF %s to timestamp %lld to offset %lld because it is not the last file.\n"
                  "If you insist, please delete all files after this file according to the manifest file and delete "
                  "the corresponding records in manifest file manually. Then re-run demikv-check-aof.\n",
                  p->path, until_s, to);
        return false;
    }
    if (!cut(p, c->scan.whole)) return false;
    check_say(&p->f, "Successfully truncated AOF %s to timestamp %lld\n", p->name, until_s);
    return true;
}

static bool is_agreed(void)
{
    char answer[2];
    printf("Continue? [y/N]: ");
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y')) return true;
    printf("Aborting...\n");
    return false;
}

static bool fix(struct aof_check *c, struct part *p)
{
    uint64_t size = p->f.size, whole = c->scan.whole;
    if (!p->is_last) {
        check_say(&p->f, "Failed to truncate AOF %s because it is not the last file\n", p->name);
        return false;
    }
    check_say(&p->f, "This will shrink the AOF %s from %llu bytes, with %llu bytes, to %llu bytes\n", p->name,
              (unsigned long long)size, (unsigned long long)(size - whole), (unsigned long long)whole);
    if (!is_agreed() || !cut(p, whole)) return false;
    check_say(&p->f, "Successfully truncated AOF %s\n", p->name);
    return true;
}

static void say_analysis(struct aof_check *c, struct part *p)
{
    const struct aof_scan *s = &c->scan;
    if (s->foreign) check_say(&p->f, "AOF %s format error\n", p->name);
    if (s->why[0]) check_say(&p->f, "0x%16llx: %s\n", (unsigned long long)s->why_at, s->why);
}

/* What the scan came to. */
static bool conclude(struct aof_check *c, struct part *p, enum aof_scan_end end)
{
    const struct aof_scan *s = &c->scan;
    switch (end) {
    case AOF_SCAN_LATER: return cut_to_time(c, p);
    case AOF_SCAN_BAD_MARK: check_say(&p->f, "Invalid timestamp annotation\n"); return false;
    case AOF_SCAN_FAILED:
        check_say(&p->f, "Failed to read from AOF %s: %s, aborting...\n", p->name, strerror(-p->f.error));
        return false;
    case AOF_SCAN_WHOLE:
    case AOF_SCAN_BROKEN: break;
    }
    say_analysis(c, p);
    if (end == AOF_SCAN_WHOLE && c->until_s) {
        check_say(&p->f, "Truncate nothing in AOF %s to timestamp %lld\n", p->name, (long long)c->until_s);
    } else {
        check_say(&p->f, "AOF analyzed: filename=%s, size=%llu, ok_up_to=%llu, ok_up_to_line=%llu, diff=%lld\n",
                  p->name, (unsigned long long)p->f.size, (unsigned long long)s->whole, (unsigned long long)s->lines,
                  (long long)(p->f.size - s->whole));
        if (end == AOF_SCAN_BROKEN && c->fix) return fix(c, p);
        if (end == AOF_SCAN_BROKEN) {
            check_say(&p->f, "AOF %s is not valid. Use the --fix option to try fixing it.\n", p->name);
            return false;
        }
    }
    check_say(&p->f, "%s %s is valid\n", p->title, p->name);
    return true;
}

/* *start: behind it. */
static bool check_preamble(struct part *p, uint64_t *start)
{
    if (check_rdb_file(&p->f, p->path, start) && check_file_seek(&p->f, *start) == 0) {
        check_say(&p->f, "RDB preamble is OK, proceeding with AOF tail...\n");
        return true;
    }
    check_say(&p->f, "RDB preamble of AOF file is not sane, aborting.\n");
    return false;
}

static bool check_opened(struct aof_check *c, struct part *p, bool begins_with_rdb)
{
    uint64_t start = 0, lines = c->scan.lines;
    if (p->f.size == 0) {
        check_say(&p->f, "%s %s is empty\n", p->title, p->name);
        return true;
    }
    if (begins_with_rdb && !check_preamble(p, &start)) return false;
    aof_scan_init(&c->scan, check_file_read, &p->f, start);
    c->scan.until_s = c->until_s;
    c->scan.lines = lines; /* all files are counted as one */
    return conclude(c, p, aof_scan_run(&c->scan));
}

static bool check_part(struct aof_check *c, struct part *p, bool begins_with_rdb)
{
    bool may_cut = c->fix || c->until_s;
    int err = check_file_open(&p->f, p->path, CHECK_FILE_BAR | (may_cut ? CHECK_FILE_WRITABLE : 0));
    if (err) {
        printf("Cannot open file %s: %s, aborting...\n", p->path, strerror(-err));
        return false;
    }
    bool ok = p->f.regular;
    if (ok) ok = check_opened(c, p, begins_with_rdb);
    else printf("AOF %s is no regular file, aborting...\n", p->name);
    check_file_close(&p->f);
    return ok;
}

/* --- a manifest --------------------------------------------------------------------------------------------------- */

static bool read_manifest(const char *path, struct aof_manifest *m)
{
    struct check_file f;
    struct aof_manifest_fault fault;
    char shown[CHECK_SHOWN_SIZE];
    int err = check_file_open(&f, path, 0);
    uint64_t size = err ? 0 : f.size;
    if (!err) check_file_close(&f);
    if (size > MANIFEST_MAX) {
        printf("The AOF manifest file %s is too large\n", path);
        return false;
    }
    char *text = mem_alloc((size_t)size + 1);
    long n = err ? err : read_head(path, text, (size_t)size);
    if (n < 0) printf("Cannot read file: %s: %s\n", path, strerror((int)-n));
    else if (aof_manifest_parse(m, text, (size_t)n, &fault) != 0) {
        printf("\n*** FATAL AOF MANIFEST FILE ERROR ***\nReading the manifest file, at line %u\n>>> '%s'\n%s\n",
               fault.number, check_shown(fault.line, shown), fault.why);
        n = -EINVAL;
    }
    mem_free(text);
    return n >= 0;
}

static bool check_named(struct aof_check *c, const struct aof_file *file, const char *folder, bool is_last)
{
    char path[PATH_MAX + AOF_NAME_SIZE];
    bool is_base = file->kind == AOF_BASE;
    snprintf(path, sizeof path, "%s/%s", folder, file->name);
    enum kind kind = kind_of_file(path);
    if (kind == KIND_UNREADABLE) return false;
    if (is_base) printf("Start to check BASE AOF (%s format).\n", kind == KIND_RDB ? "RDB" : "RESP");
    struct part p = {file->name, path, is_base ? "BASE AOF" : "INCR AOF", is_last, {0}};
    return check_part(c, &p, kind == KIND_RDB);
}

/* What the server takes for the end of the log: increments behind it are empty, since a rewrite makes one before the
 * log goes on in it. */
static bool is_end(const struct aof_manifest *m, size_t at, const char *folder)
{
    char path[PATH_MAX + AOF_NAME_SIZE];
    for (size_t i = at + 1; i < m->count; i++) {
        struct check_file f;
        if (m->files[i].kind != AOF_INCR) continue;
        snprintf(path, sizeof path, "%s/%s", folder, m->files[i].name);
        if (check_file_open(&f, path, 0)) return false;
        bool empty = f.size == 0;
        check_file_close(&f);
        if (!empty) return false;
    }
    return true;
}

/* The base, then the increments in their order; history is nobody's any more. */
static bool check_files(struct aof_check *c, const struct aof_manifest *m, const char *folder)
{
    size_t left = aof_manifest_incrs(m);
    const struct aof_file *base = aof_manifest_base(m);
    if (base && !check_named(c, base, folder, left == 0)) return false;
    if (left) printf("Start to check INCR files.\n");
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].kind == AOF_INCR && !check_named(c, &m->files[i], folder, is_end(m, i, folder))) return false;
    return true;
}

static bool check_manifest(struct aof_check *c, const char *path)
{
    char copy[PATH_MAX];
    struct aof_manifest m = {0};
    printf("Start checking Multi Part AOF\n");
    snprintf(copy, sizeof copy, "%s", path);
    bool ok = read_manifest(path, &m) && check_files(c, &m, dirname(copy));
    aof_manifest_fini(&m);
    if (ok) printf("All AOF files and manifest are valid\n");
    return ok;
}

/* --- the program -------------------------------------------------------------------------------------------------- */

static bool check_path(struct aof_check *c, const char *path)
{
    struct part p = {path, path, "AOF", true, {0}};
    enum kind kind = kind_of_file(path);
    if (kind == KIND_UNREADABLE) return false;
    if (kind == KIND_MANIFEST) return check_manifest(c, path);
    printf("Start checking Old-Style AOF\n");
    return check_part(c, &p, kind == KIND_RDB);
}

int check_aof_main(int argc, char **argv)
{
    int64_t until_s = 0;
    bool does_fix = argc == 3 && !strcmp(argv[1], "--fix");
    bool has_time = argc == 4 && !strcmp(argv[1], "--truncate-to-timestamp");
    if (argc != 2 && !does_fix && !has_time) {
        printf("Usage: %s [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>\n", argv[0]);
        return 1;
    }
    if (has_time && !number_parse_i64(bytes_of_str(argv[2]), &until_s)) {
        printf("Invalid timestamp, aborting...\n");
        return 1;
    }
    struct aof_check *c = mem_calloc(sizeof *c);
    c->fix = does_fix;
    c->until_s = until_s;
    c->scan.lines = 1;
    bool ok = check_path(c, argv[argc - 1]);
    mem_free(c);
    return ok ? 0 : 1;
}

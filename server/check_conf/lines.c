/* SPDX-License-Identifier: MIT
 *
 * A configuration line by line, each with the file it stands in. An include stands for the text of its files one behind
 * the other, as for redis-server: where a file does not end with a newline its last line and the next file's first are
 * one. Bounded: bytes of a file and in all, files, depth.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "server/check_conf/state.h"

enum {
    INCLUDE_BYTES_MAX = 16 << 20, /* as in server/conf/conf_file.c */
    INCLUDES_MAX = 16,
    ALL_BYTES_MAX = 64 << 20,
};

struct conf_source_file {
    size_t start;
    unsigned file;
};

struct conf_source {
    struct conf_text text;
    struct conf_source_file *at;
    unsigned count;
};

struct line_reader {
    struct check_conf *k;
    size_t bytes;
    int depth;
};

static void lines_read(struct line_reader *r, const struct conf_source *p);

static void lines_refuse(struct line_reader *r, unsigned file, int line, struct bytes option, struct bytes value,
                         const char *says)
{
    if (file == VERDICT_FILES_MAX) file = 0;
    struct verdict *v = verdicts_add(&r->k->verdicts, VERDICT_REFUSED, file, line, option, value);
    verdict_say(v, says, NULL);
}

/* --- files ----------------------------------------------------------------------------------- */

static void piece_add(struct conf_source *p, unsigned file)
{
    p->at = realloc(p->at, (p->count + 1) * sizeof *p->at);
    ASSERT(p->at != NULL);
    p->at[p->count++] = (struct conf_source_file){p->text.n, file};
}

static void pieces_free(struct conf_source *p)
{
    conf_text_free(&p->text);
    free(p->at);
}

static int fd_take(struct line_reader *r, int fd, struct conf_text *out)
{
    char chunk[8192];
    for (size_t had = out->n;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : 0;
        r->bytes += (size_t)n;
        if (out->n - had + (size_t)n > INCLUDE_BYTES_MAX || r->bytes > ALL_BYTES_MAX) return -EFBIG;
        conf_text_add(out, bytes_of(chunk, (size_t)n));
    }
}

/* An include that is a pipe would keep the server waiting for whoever writes it; the file that was named may be one. */
static int file_take(struct line_reader *r, const char *path, struct conf_source *p)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | (r->depth ? O_NONBLOCK : 0));
    if (fd < 0) return -errno;
    int rc = fstat(fd, &st) ? -errno : r->depth && S_ISFIFO(st.st_mode) ? -ESPIPE : 0;
    unsigned file = rc ? VERDICT_FILES_MAX : verdicts_file(&r->k->verdicts, path);
    if (!rc && file == VERDICT_FILES_MAX) rc = -EMFILE;
    if (!rc) piece_add(p, file), rc = fd_take(r, fd, &p->text);
    close(fd);
    return rc;
}

static const char *file_error(int rc)
{
    if (rc == -EFBIG) return "it is too large for a configuration";
    if (rc == -ESPIPE) return "it is a pipe: the server would wait for whoever writes it";
    if (rc == -EMFILE) return "too many files are included";
    return strerror(-rc);
}

static int pattern_take(struct line_reader *r, const char *path, struct conf_source *p, const char **which)
{
    *which = path;
    if (!strpbrk(path, "*?[")) return file_take(r, path, p);
    static char failed[CONF_LINE_SIZE];
    glob_t found;
    if (glob(path, 0, NULL, &found) != 0) return 0;
    int rc = 0;
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) {
        rc = file_take(r, found.gl_pathv[i], p);
        if (rc) snprintf(failed, sizeof failed, "%s", found.gl_pathv[i]), *which = failed;
    }
    globfree(&found);
    return rc;
}

/* --- lines ----------------------------------------------------------------------------------- */

static struct bytes trim(struct bytes b)
{
    while (b.n && memchr(" \t\r\n", b.p[0], 4)) b = bytes_of(b.p + 1, b.n - 1);
    while (b.n && memchr(" \t\r\n", b.p[b.n - 1], 4)) b.n--;
    return b;
}

static void include(struct line_reader *r, unsigned file, int line, struct bytes path)
{
    struct bytes word = BYTES("include");
    if (r->depth == INCLUDES_MAX) {
        lines_refuse(r, file, line, word, path, "Includes are nested too deep");
        return;
    }
    struct verdict *v = verdicts_add(&r->k->verdicts, VERDICT_SAME, file, line, word, path);
    if (!v) return;
    unsigned at = r->k->verdicts.count - 1;
    struct conf_source p = {0};
    const char *which;
    r->depth++;
    int rc = pattern_take(r, path.p, &p, &which);
    if (rc) {
        char says[CONF_REASON_SIZE];
        snprintf(says, sizeof says, "Fatal error, can't open config file '%.300s': %s", which, file_error(rc));
        v = &r->k->verdicts.at[at];
        verdicts_change(&r->k->verdicts, v, VERDICT_REFUSED);
        verdict_say(v, says, NULL);
    } else {
        lines_read(r, &p);
    }
    r->depth--;
    pieces_free(&p);
}

/* True: the line was one, and is done. */
static bool include_line(struct line_reader *r, unsigned file, int line, struct bytes text)
{
    struct conf_args a;
    if (text.n < 8 || !bytes_is_word(bytes_of(text.p, 7), "include") || conf_split(text, &a) < 0) return false;
    bool yes = a.argc == 2 && bytes_is_word(a.argv[0], "include");
    if (yes) include(r, file, line, a.argv[1]);
    conf_args_free(&a);
    return yes;
}

/* The line's number in the piece that it begins in: newlines are counted once each. */
static void lines_read(struct line_reader *r, const struct conf_source *p)
{
    unsigned piece = 0;
    int number = 1;
    const char *text = p->text.p;
    for (size_t at = 0; at < p->text.n && !r->k->verdicts.full; number++) {
        while (piece + 1 < p->count && p->at[piece + 1].start <= at) {
            piece++;
            number = 1;
            for (size_t i = p->at[piece].start; i < at; i++) number += text[i] == '\n';
        }
        const char *end = memchr(text + at, '\n', p->text.n - at);
        size_t n = end ? (size_t)(end - text) - at : p->text.n - at;
        struct bytes line = trim(bytes_of(text + at, n));
        at += n + 1;
        if (line.n == 0 || line.p[0] == '#') continue;
        unsigned file = p->at[piece].file;
        bool joined = piece + 1 < p->count && at > p->at[piece + 1].start + 1 && p->at[piece + 1].start < p->text.n;
        if (joined) {
            struct verdict *v = verdicts_add(&r->k->verdicts, VERDICT_RISK, file, number, bytes_of(NULL, 0), BYTES(""));
            verdict_say(v, "the file does not end with a newline: this line goes on with the next file's first",
                        "End the file with a newline.");
        }
        if (!include_line(r, file, number, line)) check_conf_line(r->k, file, number, line);
    }
}

void check_conf_text(struct check_conf *k, const char *name, struct bytes text)
{
    struct line_reader r = {.k = k};
    struct conf_source p = {0};
    piece_add(&p, verdicts_file(&k->verdicts, name));
    conf_text_add(&p.text, text);
    lines_read(&r, &p);
    pieces_free(&p);
}

bool check_conf_file(struct check_conf *k, const char *path)
{
    struct line_reader r = {.k = k};
    struct conf_source p = {0};
    const char *which = path;
    int rc = pattern_take(&r, path, &p, &which);
    if (rc) {
        char says[CONF_REASON_SIZE];
        snprintf(says, sizeof says, "Fatal error, can't open config file '%.300s': %s", which, file_error(rc));
        lines_refuse(&r, p.count ? p.at[0].file : verdicts_file(&k->verdicts, path), 0, BYTES(""), BYTES(""), says);
    } else {
        lines_read(&r, &p);
    }
    pieces_free(&p);
    return rc == 0;
}

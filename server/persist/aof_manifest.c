/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_manifest.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/mem.h"
#include "server/resp/parse.h"

#define WORDS_MIN 6
#define SEQ_MAX   (INT64_C(1) << 62) /* there is always a next one */

void aof_manifest_fini(struct aof_manifest *m)
{
    mem_free(m->files);
    *m = (struct aof_manifest){0};
}

void aof_manifest_copy(struct aof_manifest *to, const struct aof_manifest *from)
{
    *to = *from;
    to->files = mem_alloc((from->cap ? from->cap : 1) * sizeof *to->files);
    if (from->count) memcpy(to->files, from->files, from->count * sizeof *to->files);
}

static struct aof_file *insert(struct aof_manifest *m, size_t at)
{
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 8;
        m->files = mem_realloc(m->files, m->cap * sizeof *m->files);
    }
    memmove(m->files + at + 1, m->files + at, (m->count++ - at) * sizeof *m->files);
    m->files[at] = (struct aof_file){0};
    return &m->files[at];
}

/* --- a line ------------------------------------------------------------------------------------------------------- */

static bool needs_quotes(const char *name)
{
    for (; *name; name++)
        if (!isgraph((unsigned char)*name) || strchr("\"'\\", *name)) return true;
    return false;
}

/* The letter behind a backslash that stands for c; 0: there is none. */
static char letter_of(unsigned char c)
{
    switch (c) {
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\a': return 'a';
    case '\b': return 'b';
    case '"':
    case '\\': return (char)c;
    default: return 0;
    }
}

/* As the text of an argument that resp_split_args() reads. */
static size_t put_name(char *out, const char *name)
{
    if (!needs_quotes(name)) return (size_t)sprintf(out, "%s", name);
    size_t n = 0;
    out[n++] = '"';
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        if (letter_of(c)) n += (size_t)sprintf(out + n, "\\%c", letter_of(c));
        else if (isprint(c)) out[n++] = (char)c;
        else n += (size_t)sprintf(out + n, "\\x%02x", c);
    }
    out[n++] = '"';
    return n;
}

#define LINE_SIZE (4 * AOF_NAME_SIZE + 64)

static size_t put_line(char *out, const struct aof_file *f)
{
    size_t n = (size_t)sprintf(out, "file ");
    n += put_name(out + n, f->name);
    return n + (size_t)sprintf(out + n, " seq %lld type %c\n", (long long)f->seq, (char)f->kind);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const char *const no_format = "Invalid AOF manifest file format";

static const char *take_name(struct aof_file *f, struct bytes word)
{
    if (word.n >= sizeof f->name || memchr(word.p, 0, word.n)) return no_format;
    if (memchr(word.p, '/', word.n) || memchr(word.p, '\\', word.n)) return "File can't be a path, just a filename";
    memcpy(f->name, word.p, word.n);
    f->name[word.n] = 0;
    return NULL;
}

static int64_t number_of(struct bytes word)
{
    char text[32];
    size_t n = word.n < sizeof text - 1 ? word.n : sizeof text - 1;
    memcpy(text, word.p, n);
    text[n] = 0;
    return strtoll(text, NULL, 10);
}

/* Keys that are not known are skipped, so that later versions may add some. */
static const char *take_words(struct aof_file *f, const struct argv_vec *words)
{
    const char *why = NULL;
    if (words->used < WORDS_MIN || words->used % 2) return no_format;
    for (size_t i = 0; i < words->used && !why; i += 2) {
        struct bytes key = words->v[i], value = words->v[i + 1];
        if (bytes_is_word(key, "file")) why = take_name(f, value);
        else if (bytes_is_word(key, "seq")) f->seq = number_of(value);
        else if (bytes_is_word(key, "type")) f->kind = value.n ? (enum aof_kind)(unsigned char)value.p[0] : 0;
    }
    if (why) return why;
    char line[LINE_SIZE];
    if (put_line(line, f) >= AOF_LINE_MAX) return no_format; /* it could not be written again */
    return f->name[0] && f->seq > 0 && f->seq <= SEQ_MAX && f->kind ? NULL : no_format;
}

static const char *add_read(struct aof_manifest *m, const struct aof_file *f)
{
    switch (f->kind) {
    case AOF_BASE:
        if (aof_manifest_base(m)) return "Found duplicate base file information";
        m->base_seq = f->seq;
        *insert(m, 0) = *f;
        return NULL;
    case AOF_HISTORY: *insert(m, m->count) = *f; return NULL;
    case AOF_INCR:
        if (f->seq <= m->incr_seq) return "Found a non-monotonic sequence number";
        m->incr_seq = f->seq;
        *insert(m, m->count) = *f;
        return NULL;
    }
    return "Unknown AOF file type";
}

static struct bytes trimmed(struct bytes line)
{
    while (line.n && strchr(" \t\r\n", line.p[0])) line.p++, line.n--;
    while (line.n && strchr(" \t\r\n", line.p[line.n - 1])) line.n--;
    return line;
}

static const char *take_line(struct aof_manifest *m, struct bytes line, struct argv_vec *words)
{
    struct aof_file f = {0};
    line = trimmed(line);
    if (line.n == 0) return no_format;
    words->used = 0;
    if (!resp_split_args((char *)(uintptr_t)line.p, line.n, words)) return no_format;
    const char *why = take_words(&f, words);
    return why ? why : add_read(m, &f);
}

/* The number of what is still to be deleted is not given to a new file: that would be deleted, too. */
static void count_history(struct aof_manifest *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct aof_file *f = &m->files[i];
        if (f->kind != AOF_HISTORY) continue;
        if (f->seq > m->base_seq) m->base_seq = f->seq;
        if (f->seq > m->incr_seq) m->incr_seq = f->seq;
    }
}

int aof_manifest_parse(struct aof_manifest *m, char *text, size_t n, struct aof_manifest_fault *fault)
{
    struct argv_vec words;
    argv_vec_init(&words);
    *fault = (struct aof_manifest_fault){.why = n ? NULL : "Found an empty AOF manifest"};
    for (size_t at = 0; at < n && !fault->why;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t size = end ? (size_t)(end - (text + at)) : n - at;
        fault->number++;
        fault->line = bytes_of(text + at, size);
        if (text[at] == '#') fault->why = NULL;
        else if (!end || size >= AOF_LINE_MAX) fault->why = "The AOF manifest file contains too long line";
        else fault->why = take_line(m, fault->line, &words);
        at += size + 1;
    }
    argv_vec_fini(&words);
    count_history(m);
    return fault->why ? -EINVAL : 0;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

char *aof_manifest_text(const struct aof_manifest *m, size_t *n)
{
    static const enum aof_kind order[] = {AOF_BASE, AOF_HISTORY, AOF_INCR};
    char *text = mem_alloc(m->count * LINE_SIZE + 1);
    *n = 0;
    bool fits = true;
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        for (size_t i = 0; i < m->count; i++) {
            if (m->files[i].kind != order[k]) continue;
            size_t line = put_line(text + *n, &m->files[i]);
            fits = fits && line < AOF_LINE_MAX;
            *n += line;
        }
    }
    if (fits) return text;
    mem_free(text);
    return NULL;
}

/* --- what is in it ------------------------------------------------------------------------------------------------ */

const struct aof_file *aof_manifest_base(const struct aof_manifest *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].kind == AOF_BASE) return &m->files[i];
    return NULL;
}

const struct aof_file *aof_manifest_last_incr(const struct aof_manifest *m)
{
    for (size_t i = m->count; i-- > 0;)
        if (m->files[i].kind == AOF_INCR) return &m->files[i];
    return NULL;
}

size_t aof_manifest_incrs(const struct aof_manifest *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++) n += m->files[i].kind == AOF_INCR;
    return n;
}

const struct aof_file *aof_manifest_add_incr(struct aof_manifest *m, const char *prefix)
{
    struct aof_file *f = insert(m, m->count);
    f->kind = AOF_INCR;
    f->seq = ++m->incr_seq;
    snprintf(f->name, sizeof f->name, "%.400s.%lld.incr.aof", prefix, (long long)f->seq);
    return f;
}

/* What became history last stands first, as in Redis. */
static void make_history(struct aof_manifest *m, size_t i)
{
    struct aof_file f = m->files[i];
    f.kind = AOF_HISTORY;
    memmove(m->files + 1, m->files, i * sizeof f);
    m->files[0] = f;
}

const struct aof_file *aof_manifest_add_base(struct aof_manifest *m, const char *prefix, bool is_rdb, size_t keep)
{
    size_t incrs = aof_manifest_incrs(m);
    for (size_t i = 0; i < m->count; i++) {
        bool goes = m->files[i].kind == AOF_BASE;
        if (m->files[i].kind == AOF_INCR) goes = incrs-- > keep;
        if (goes) make_history(m, i);
    }
    struct aof_file *f = insert(m, 0);
    f->kind = AOF_BASE;
    f->seq = ++m->base_seq;
    snprintf(f->name, sizeof f->name, "%.400s.%lld.base.%s", prefix, (long long)f->seq, is_rdb ? "rdb" : "aof");
    return f;
}

void aof_manifest_adopt(struct aof_manifest *m, const char *name)
{
    struct aof_file *f = insert(m, 0);
    f->kind = AOF_BASE;
    f->seq = m->base_seq = 1;
    snprintf(f->name, sizeof f->name, "%s", name);
}

void aof_manifest_forget_history(struct aof_manifest *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].kind != AOF_HISTORY) m->files[kept++] = m->files[i];
    m->count = kept;
}

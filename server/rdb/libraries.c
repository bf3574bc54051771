/* SPDX-License-Identifier: MIT
 *
 * A list in the order in which they came. The first line is read as Redis reads it, because a library's name stands
 * nowhere else.
 */
#include "server/rdb/libraries.h"

#include <errno.h>

#include "server/mem.h"
#include "server/rdb/format.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"

struct library {
    struct bytes code; /* ours */
    struct bytes name; /* in it */
};

void libraries_clear(struct libraries *l)
{
    for (unsigned i = 0; i < l->count; i++) mem_free((char *)l->all[i].code.p);
    mem_free(l->all);
    *l = (struct libraries){0};
}

static bool is_name(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = (char)(c | 32);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
    }
    return s.n > 0;
}

/* The next word of the line, which is cut off it; empty: there is none. */
static struct bytes next_word(struct bytes *line)
{
    while (line->n && (line->p[0] == ' ' || line->p[0] == '\r')) *line = bytes_of(line->p + 1, line->n - 1);
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\r') n++;
    struct bytes word = bytes_of(line->p, n);
    *line = bytes_of(line->p + n, line->n - n);
    return word;
}

/* "#!engine name=library"; p NULL: it is something else. */
static struct bytes name_of(struct bytes code)
{
    static const char begin[] = "name=";
    const char *end = code.n ? memchr(code.p, '\n', code.n) : NULL;
    struct bytes nothing = bytes_of(NULL, 0), name = nothing;
    if (!end || end - code.p < 3 || memcmp(code.p, "#!", 2) != 0) return nothing;
    struct bytes line = bytes_of(code.p + 2, (size_t)(end - code.p) - 2);
    if (next_word(&line).n == 0) return nothing;
    for (struct bytes word = next_word(&line); word.n; word = next_word(&line)) {
        if (name.p || word.n < sizeof begin || memcmp(word.p, begin, sizeof begin - 1) != 0) return nothing;
        name = bytes_of(word.p + sizeof begin - 1, word.n - (sizeof begin - 1));
    }
    return name.p && is_name(name) ? name : nothing;
}

static struct library *find(const struct libraries *l, struct bytes name)
{
    for (unsigned i = 0; i < l->count; i++)
        if (bytes_equal(l->all[i].name, name)) return &l->all[i];
    return NULL;
}

static struct library *add_place(struct libraries *l)
{
    l->all = mem_realloc(l->all, (l->count + 1) * sizeof *l->all);
    return &l->all[l->count++];
}

static void put(struct libraries *l, struct library *at, struct bytes code)
{
    char *copy = mem_alloc(code.n);
    memcpy(copy, code.p, code.n);
    at->code = bytes_of(copy, code.n);
    at->name = name_of(at->code);
    l->bytes += code.n;
}

static void take_out(struct libraries *l, struct library *at)
{
    l->bytes -= at->code.n;
    mem_free((char *)at->code.p);
}

bool libraries_add(struct libraries *l, struct rdb_source *s, struct bytes code, bool replace)
{
    struct bytes name = name_of(code);
    if (!name.p) return rdb_source_fail(s, -EBADMSG, "a library of functions without a line that names it");
    struct library *had = find(l, name);
    if (had && !replace)
        return rdb_source_failf(s, -EEXIST, "Library '%.*s' already exists", (int)(name.n < 64 ? name.n : 64), name.p);
    if (code.n > LIBRARIES_SIZE_MAX - l->bytes || (!had && l->count == LIBRARIES_MAX))
        return rdb_source_fail(s, -EBADMSG, "more libraries of functions than are kept here");
    if (had) take_out(l, had);
    put(l, had ? had : add_place(l), code);
    return true;
}

void libraries_write(const struct libraries *l, struct rdb_sink *s)
{
    for (unsigned i = 0; i < l->count; i++) {
        rdb_put_byte(s, RDB_OP_FUNCTION2);
        rdb_put_string(s, l->all[i].code);
    }
}

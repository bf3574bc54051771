/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_record.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/assert.h"

#define FIELDS_MAX 5

struct line_field {
    const char *name;
    size_t at;
};
#define FIELD(f)                                                                                                       \
    {                                                                                                                  \
        " " #f "=", offsetof(struct aof_record, f)                                                                     \
    }

static const struct {
    const char *name;
    struct line_field fields[FIELDS_MAX];
} lines[] = {
    [AOF_RECORD_MARK] = {"!mark", {FIELD(serial), FIELD(begins)}},
    [AOF_RECORD_RESUME] = {"!resume", {FIELD(serial), FIELD(dropped)}},
    [AOF_RECORD_BASE] = {"!base", {FIELD(serial), FIELD(rdb)}},
    [AOF_RECORD_END] = {"!end", {FIELD(serial), FIELD(rdb), FIELD(begin), FIELD(mark), FIELD(bytes)}},
};
#define LINES (sizeof lines / sizeof *lines)

static bool take(struct bytes *b, const char *text)
{
    size_t n = strlen(text);
    if (b->n < n || memcmp(b->p, text, n) != 0) return false;
    *b = bytes_of(b->p + n, b->n - n);
    return true;
}

/* As aof_record_write() has it: no sign, no zero in front. */
static bool take_number(struct bytes *b, uint64_t *out)
{
    size_t n = 0;
    *out = 0;
    for (; n < b->n && b->p[n] >= '0' && b->p[n] <= '9'; n++) {
        if (n && *out == 0) return false;
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(b->p[n] - '0'), out))
            return false;
    }
    *b = bytes_of(b->p + n, b->n - n);
    return n != 0;
}

static uint64_t *number_of(struct aof_record *r, const struct line_field *f) { return (uint64_t *)((char *)r + f->at); }

static bool take_fields(struct bytes *b, const struct line_field *f, struct aof_record *out)
{
    for (const struct line_field *end = f + FIELDS_MAX; f < end && f->name; f++)
        if (!take(b, f->name) || !take_number(b, number_of(out, f))) return false;
    return take(b, "\n") && !b->n;
}

static bool is_sane(const struct aof_record *r) { return r->serial && r->begins <= 1 && r->rdb <= 1; }

enum aof_record_kind aof_record_read(struct bytes b, struct aof_record *out)
{
    *out = (struct aof_record){.kind = AOF_RECORD_BAD};
    if (b.n && b.p[0] == AOF_RECORD_BYTES_TAG) {
        out->kind = AOF_RECORD_BYTES;
        out->text = bytes_of(b.p + 1, b.n - 1);
        return out->kind;
    }
    for (unsigned kind = 0; kind < LINES && b.n <= AOF_RECORD_LINE_MAX; kind++) {
        struct bytes rest = b;
        if (!take(&rest, lines[kind].name) || !take(&rest, " v")) continue;
        if (!take(&rest, "1") || (rest.n && rest.p[0] >= '0' && rest.p[0] <= '9')) out->kind = AOF_RECORD_LATER;
        else if (take_fields(&rest, lines[kind].fields, out) && is_sane(out)) out->kind = (enum aof_record_kind)kind;
        return out->kind;
    }
    return out->kind;
}

size_t aof_record_write(const struct aof_record *r, char out[AOF_RECORD_LINE_MAX])
{
    ASSERT(r->kind < LINES);
    int n = snprintf(out, AOF_RECORD_LINE_MAX, "%s v1", lines[r->kind].name);
    const struct line_field *f = lines[r->kind].fields;
    for (const struct line_field *end = f + FIELDS_MAX; f < end && f->name; f++)
        n += snprintf(out + n, AOF_RECORD_LINE_MAX - (size_t)n, "%s%llu", f->name,
                      (unsigned long long)*number_of((struct aof_record *)(uintptr_t)r, f));
    n += snprintf(out + n, AOF_RECORD_LINE_MAX - (size_t)n, "\n");
    ASSERT(n < (int)AOF_RECORD_LINE_MAX);
    return (size_t)n;
}

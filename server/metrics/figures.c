/* SPDX-License-Identifier: MIT
 *
 * INFO is the one place where these figures are computed: its text is made and read again. So a field that INFO gains
 * costs a row and no code, and both always say the same.
 *
 * The table has INFO's order, so that the row of a line is nearly always the one behind the row of the line before.
 */
#include "server/metrics/figures.h"

#include "server/ds/number.h"
#include "server/mem.h"
#include "server/observe/info.h"
#include "server/resp/reply.h"

static bool is_name(const char *name, struct bytes s) { return strncmp(name, s.p, s.n) == 0 && name[s.n] == 0; }

bool figures_line(const struct figures *f, size_t *at, struct bytes *name, struct bytes *value)
{
    while (*at < f->n) {
        const char *from = f->text + *at, *lf = memchr(from, '\n', f->n - *at);
        size_t n = lf ? (size_t)(lf - from) : f->n - *at;
        *at += n + (lf != NULL);
        if (n && from[n - 1] == '\r') n--;
        const char *colon = n && *from != '#' ? memchr(from, ':', n) : NULL;
        if (!colon) continue;
        *name = bytes_of(from, (size_t)(colon - from));
        *value = bytes_of(colon + 1, n - name->n - 1);
        return true;
    }
    return false;
}

/* Its row, looked for from one on; field_count: it has none. */
static unsigned row_from(unsigned expected, struct bytes name)
{
    for (unsigned k = 0; k < field_count; k++) {
        unsigned i = expected + k < field_count ? expected + k : expected + k - field_count;
        if (is_name(fields[i].name, name)) return i;
    }
    return field_count;
}

const struct field *figures_row(struct bytes name)
{
    unsigned i = row_from(0, name);
    return i < field_count ? &fields[i] : NULL;
}

/* The first line of a name counts: what a later one says was in the text of a field, as somebody outside gave it. */
static void read_lines(struct figures *f)
{
    static const char last[] = "# Demikernel";
    struct bytes name, value;
    unsigned expected = 0;
    for (size_t at = 0; figures_line(f, &at, &name, &value);) {
        unsigned i = row_from(expected, name);
        if (i == field_count) continue;
        if (!f->value[i].p) f->value[i] = value;
        expected = i + 1 < field_count ? i + 1 : 0;
    }
    const char *section = f->n ? memmem(f->text, f->n, last, sizeof last - 1) : NULL;
    f->counters_at = section ? (size_t)(section - f->text) : f->n;
}

void figures_read(struct figures *f, const char *text, size_t n)
{
    *f = (struct figures){.text = (char *)(uintptr_t)text, .n = n};
    read_lines(f);
}

/* What stands in sections that are not here is told by others: commands, errors, databases (scrape.c). */
void figures_take(struct figures *f, struct worker *w)
{
    static const struct bytes sections[] = {
        {"server", 6}, {"clients", 7}, {"memory", 6}, {"persistence", 11}, {"stats", 5},       {"replication", 11},
        {"cpu", 3},    {"cluster", 7}, {"debug", 5},  {"tls", 3},          {"demikernel", 10},
    };
    struct reply text;
    reply_init(&text, 2);
    info_write(w, &text, sections, sizeof sections / sizeof *sections);
    size_t n = reply_bytes(&text);
    char *p = mem_alloc(n + 1);
    reply_copy_out(&text, p);
    reply_fini(&text);
    figures_read(f, p, n);
}

void figures_free(struct figures *f)
{
    mem_free(f->text);
    f->text = NULL;
    f->n = 0;
}

struct bytes figures_find(const struct figures *f, const char *wanted)
{
    struct bytes name, value;
    for (size_t at = 0; figures_line(f, &at, &name, &value);)
        if (is_name(wanted, name)) return value;
    return bytes_of(NULL, 0);
}

static bool one_or_zero(bool is, char out[DECIMAL_SIZE], size_t *n)
{
    out[0] = is ? '1' : '0';
    *n = 1;
    return true;
}

bool figures_number(struct bytes value, enum field_unit unit, char out[DECIMAL_SIZE], size_t *n)
{
    double kib;
    switch (unit) {
    case FIELD_PLAIN: return decimal_shift(value, 0, out, n);
    case FIELD_MS: return decimal_shift(value, 3, out, n);
    case FIELD_US: return decimal_shift(value, 6, out, n);
    case FIELD_PERCENT:
        if (value.n && value.p[value.n - 1] == '%') value.n--;
        return decimal_shift(value, 2, out, n);
    case FIELD_KBPS:
        if (!number_parse_double(value, &kib)) return false;
        *n = number_format_double(out, kib * 1024);
        return true;
    case FIELD_OK: return value.n && one_or_zero(bytes_equal(value, BYTES("ok")), out, n);
    case FIELD_UP: return value.n && one_or_zero(bytes_equal(value, BYTES("up")), out, n);
    }
    return false;
}

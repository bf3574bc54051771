/* SPDX-License-Identifier: MIT
 *
 *     # HELP name text
 *     # TYPE name gauge
 *     name{label="value",other="value"} 1.5
 *
 * Numbers are kept as decimal text: what INFO shows is not read as a double and written again.
 */
#include "server/metrics/exposition.h"

#include "alloc/base/assert.h"
#include "server/ds/number.h"

void exposition_init(struct exposition *x, char *p, size_t room) { *x = (struct exposition){.p = p, .room = room}; }

void exposition_go_on(struct exposition *x, char *p, size_t room)
{
    x->p = p;
    x->n = 0;
    x->room = room;
}

bool exposition_has_room(const struct exposition *x) { return x->room - x->n >= EXPOSITION_ITEM; }

void exposition_raw(struct exposition *x, struct bytes text)
{
    ASSERT(text.n <= x->room - x->n);
    if (text.n) memcpy(x->p + x->n, text.p, text.n);
    x->n += text.n;
}

static void put_str(struct exposition *x, const char *s) { exposition_raw(x, bytes_of_str(s)); }

void exposition_family(struct exposition *x, const char *name, enum metric_type type, const char *help)
{
    static const char *const types[] = {" gauge\n", " counter\n", " histogram\n", " summary\n"};
    size_t n = strlen(name);
    ASSERT(n < sizeof x->name);
    memcpy(x->name, name, n + 1);
    put_str(x, "# HELP ");
    put_str(x, name);
    put_str(x, " ");
    put_str(x, help);
    put_str(x, "\n# TYPE ");
    put_str(x, name);
    put_str(x, types[type]);
}

void exposition_begin(struct exposition *x, const char *suffix)
{
    put_str(x, x->name);
    if (*suffix) put_str(x, suffix);
    x->labels = 0;
}

static void begin_label(struct exposition *x, const char *name)
{
    put_str(x, x->labels++ ? "," : "{");
    put_str(x, name);
    put_str(x, "=\"");
}

void exposition_label(struct exposition *x, const char *name, struct bytes value)
{
    static const char hex[] = "0123456789abcdef";
    begin_label(x, name);
    if (value.n > EXPOSITION_LABEL_MAX) value.n = EXPOSITION_LABEL_MAX;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        char escaped[] = {'\\', '\\', 'x', hex[c >> 4], hex[c & 15]};
        bool plain = c >= ' ' && c < 0x7f && c != '\\' && c != '"';
        exposition_raw(x, plain ? bytes_of(value.p + i, 1) : bytes_of(escaped, sizeof escaped));
    }
    put_str(x, "\"");
}

void exposition_labels(struct exposition *x, const char *text)
{
    put_str(x, x->labels++ ? "," : "{");
    put_str(x, text);
}

void exposition_label_number(struct exposition *x, const char *name, uint64_t value)
{
    char text[NUMBER_I64_SIZE];
    exposition_label(x, name, bytes_of(text, number_format_u64(text, value)));
}

void exposition_end_text(struct exposition *x, struct bytes number)
{
    put_str(x, x->labels ? "} " : " ");
    exposition_raw(x, number);
    put_str(x, "\n");
}

void exposition_end(struct exposition *x, uint64_t value)
{
    char text[NUMBER_I64_SIZE];
    exposition_end_text(x, bytes_of(text, number_format_u64(text, value)));
}

void exposition_end_ns(struct exposition *x, uint64_t ns)
{
    char text[NUMBER_I64_SIZE], shifted[DECIMAL_SIZE];
    size_t n;
    bool fits = decimal_shift(bytes_of(text, number_format_u64(text, ns)), 9, shifted, &n);
    ASSERT(fits);
    exposition_end_text(x, bytes_of(shifted, n));
}

/* --- decimal numbers ---------------------------------------------------------------------------------------------- */

/* The digits of a number without its sign and point, and how many stand in front of the point. */
static bool read_decimal(struct bytes s, char *digits, size_t *count, size_t *whole)
{
    bool point = false;
    *count = *whole = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && !point && i) {
            point = true;
            continue;
        }
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        digits[(*count)++] = s.p[i];
        *whole += !point;
    }
    return *whole > 0;
}

bool decimal_shift(struct bytes number, unsigned by, char out[DECIMAL_SIZE], size_t *n)
{
    char digits[DECIMAL_SIZE];
    size_t count, whole, at = 0;
    bool negative = number.n && number.p[0] == '-';
    if (negative) number = bytes_of(number.p + 1, number.n - 1);
    if (number.n + by + 3 >= DECIMAL_SIZE || !read_decimal(number, digits, &count, &whole)) return false;
    if (negative) out[at++] = '-';
    if (whole <= by) out[at++] = '0';
    for (size_t i = 0; whole > by && i < whole - by; i++) out[at++] = digits[i];
    size_t first = whole > by ? whole - by : 0;
    if (first < count || whole < by) out[at++] = '.';
    for (size_t i = whole; i < by; i++) out[at++] = '0';
    for (size_t i = first; i < count; i++) out[at++] = digits[i];
    if (memchr(out, '.', at)) {
        while (out[at - 1] == '0') at--;
        at -= out[at - 1] == '.';
    }
    *n = at;
    return true;
}

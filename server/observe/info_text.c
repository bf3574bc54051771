/* SPDX-License-Identifier: MIT
 *
 * printf() for INFO's lines, of which a monitor wants two hundred at a time: strings and numbers are written here, many
 * times as fast as vsnprintf() does. Only a fraction whose last digit is not clear is handed to it.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/ds/number.h"
#include "server/observe/info_section.h"
#include "server/resp/reply.h"

void info_flush(struct info *in)
{
    reply_raw(in->text, bytes_of(in->waiting, in->n));
    in->n = 0;
}

static void info_put(struct info *in, const char *p, size_t n)
{
    if (unlikely(n > sizeof in->waiting - in->n)) info_flush(in);
    if (unlikely(n > sizeof in->waiting)) {
        reply_raw(in->text, bytes_of(p, n));
        return;
    }
    memcpy(in->waiting + in->n, p, n);
    in->n += n;
}

/* A conversion's letter, and how long the argument is: 0 int, 1 long, 2 long long, 3 size_t. */
struct info_spec {
    char letter;
    unsigned length;
};

static struct info_spec read_spec(const char **p)
{
    struct info_spec c = {0, 0};
    for (; **p == 'l'; ++*p) c.length++;
    if (**p == 'z') {
        c.length = 3;
        ++*p;
    }
    c.letter = *(*p)++;
    return c;
}

/* In place of va_list, which may be an array and so does not go through a function as itself. */
struct arguments {
    va_list list;
};

static int64_t next_signed(struct arguments *a, unsigned length)
{
    if (length == 0) return va_arg(a->list, int);
    return length == 1 ? va_arg(a->list, long) : (int64_t)va_arg(a->list, long long);
}

static uint64_t next_unsigned(struct arguments *a, unsigned length)
{
    if (length == 0) return va_arg(a->list, unsigned);
    if (length == 3) return va_arg(a->list, size_t);
    return length == 1 ? va_arg(a->list, unsigned long) : (uint64_t)va_arg(a->list, unsigned long long);
}

/* As "%.2f" and "%.3f" have it, without the C library's long arithmetic: the part behind the point is exact, and where
 * the last digit is not clear from its product the library is asked. False: it has to be. */
static bool put_fraction(struct info *in, double v, unsigned digits)
{
    const unsigned powers[] = {1, 10, 100, 1000};
    if (signbit(v) || !(v < 1e15) || digits - 1u > 2) return false;
    uint64_t whole = (uint64_t)v;
    double parts = (v - (double)whole) * powers[digits];
    uint64_t below = (uint64_t)parts;
    double rest = parts - (double)below;
    if (rest > 0.499 && rest < 0.501) return false;
    below += rest > 0.5;
    if (below == powers[digits]) whole++, below = 0;
    char text[NUMBER_I64_SIZE + 4];
    size_t n = number_format_u64(text, whole);
    text[n++] = '.';
    for (unsigned i = digits; i-- > 0; below /= 10) text[n + i] = (char)('0' + below % 10);
    info_put(in, text, n + digits);
    return true;
}

/* At least `width` digits, zeroes in front. */
static void put_wide(struct info *in, uint64_t v, size_t width)
{
    static const char zeroes[] = "0000000000";
    char text[NUMBER_I64_SIZE];
    size_t n = number_format_u64(text, v);
    ASSERT(width < sizeof zeroes);
    if (n < width) info_put(in, zeroes, width - n);
    info_put(in, text, n);
}

/* A width or digits behind the point stand in front of the conversion's letter: "06ld" and ".2f", one digit each. */
static void put_sized(struct info *in, const char **p, struct arguments *a)
{
    char how = *(*p)++, digit = *(*p)++;
    struct info_spec c = read_spec(p);
    ASSERT(digit >= '0' && digit <= '9');
    if (how == '0') {
        ASSERT(c.letter == 'd');
        put_wide(in, (uint64_t)next_signed(a, c.length), (size_t)(digit - '0'));
        return;
    }
    double v = va_arg(a->list, double);
    ASSERT(how == '.' && c.letter == 'f');
    if (put_fraction(in, v, (unsigned)(digit - '0'))) return;
    char text[400];
    int n = snprintf(text, sizeof text, "%.*f", digit - '0', v);
    if (n > 0) info_put(in, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void put_spec(struct info *in, const char **p, struct arguments *a)
{
    char number[NUMBER_I64_SIZE];
    if (!strncmp(*p, ".*s", 3)) {
        int n = va_arg(a->list, int);
        *p += 3;
        info_put(in, va_arg(a->list, const char *), (size_t)n);
        return;
    }
    if (**p == '0' || **p == '.') {
        put_sized(in, p, a);
        return;
    }
    struct info_spec c = read_spec(p);
    const char *s;
    switch (c.letter) {
    case 's':
        s = va_arg(a->list, const char *);
        if (unlikely(!s)) s = "(null)"; /* as the C library has it: no libOS runs in unit tests */
        info_put(in, s, strlen(s));
        break;
    case 'd': info_put(in, number, number_format_i64(number, next_signed(a, c.length))); break;
    case 'u': info_put(in, number, number_format_u64(number, next_unsigned(a, c.length))); break;
    case 'c':
        number[0] = (char)va_arg(a->list, int);
        info_put(in, number, 1);
        break;
    default: ASSERT(c.letter == '%'); info_put(in, "%", 1);
    }
}

void info_part(struct info *in, const char *fmt, ...)
{
    struct arguments a;
    va_start(a.list, fmt);
    for (const char *next; *fmt;) {
        next = strchrnul(fmt, '%');
        info_put(in, fmt, (size_t)(next - fmt));
        if (!*next) break;
        fmt = next + 1;
        put_spec(in, &fmt, &a);
    }
    va_end(a.list);
}

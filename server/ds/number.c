/* SPDX-License-Identifier: MIT
 *
 * Numbers as text and back. What must agree with Redis to the byte is said in the header; here is how it is done
 * without libc where it is hot: integers by hand, decimals of up to 15 digits by one exact division (both operands are
 * representable, so the quotient is correctly rounded: Clinger 1990), doubles by shortest.c. The rest goes to
 * strtod/snprintf, which read and write "." because the server sets no locale but that of collation.
 */
#include "server/ds/number.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/ds/shortest.h"
#include "server/mem.h"

#define DECIMAL_DIGITS_EXACT 15  /* 10^15 < 2^53 */
#define TEXT_ON_STACK        512 /* longer doubles are copied to the heap to be NUL-terminated */

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                  "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

static const uint64_t powers_of_10[20] = {
    1ull,
    10ull,
    100ull,
    1000ull,
    10000ull,
    100000ull,
    1000000ull,
    10000000ull,
    100000000ull,
    1000000000ull,
    10000000000ull,
    100000000000ull,
    1000000000000ull,
    10000000000000ull,
    100000000000000ull,
    1000000000000000ull,
    10000000000000000ull,
    100000000000000000ull,
    1000000000000000000ull,
    10000000000000000000ull,
};

static bool is_space(char ch) { return ch == ' ' || (ch >= '\t' && ch <= '\r'); }

/* Digits only, no leading zero, any value a uint64_t holds. */
static bool parse_canonical(const char *p, size_t n, uint64_t *out)
{
    if (n == 0 || n > 20) return false;
    if (p[0] == '0' && n > 1) return false;
    uint64_t v = 0;
    size_t safe = n < 19 ? n : 19; /* 19 digits cannot overflow */
    for (size_t i = 0; i < safe; i++) {
        unsigned digit = (unsigned char)p[i] - (unsigned)'0';
        if (digit > 9) return false;
        v = v * 10 + digit;
    }
    if (n == 20) {
        unsigned digit = (unsigned char)p[19] - (unsigned)'0';
        if (digit > 9) return false;
        if (__builtin_mul_overflow(v, 10ull, &v) || __builtin_add_overflow(v, (uint64_t)digit, &v)) return false;
    }
    *out = v;
    return true;
}

bool number_parse_i64(struct bytes s, int64_t *out)
{
    if (s.n == 0) return false;
    bool negative = s.p[0] == '-';
    uint64_t v;
    if (!parse_canonical(s.p + negative, s.n - negative, &v)) return false;
    if (negative) {
        if (v == 0 || v > (uint64_t)INT64_MAX + 1) return false;
        *out = (int64_t)(0 - v);
        return true;
    }
    if (v > INT64_MAX) return false;
    *out = (int64_t)v;
    return true;
}

/* "-12.375": a sign, digits, at most one point among at least one digit. False: let strtod() judge. */
static bool parse_short_decimal(struct bytes s, double *out)
{
    size_t at = s.n && s.p[0] == '-';
    if (s.n - at > DECIMAL_DIGITS_EXACT + 1) return false;
    uint64_t mantissa = 0;
    unsigned digits = 0, after_point = 0;
    bool point = false;
    for (size_t i = at; i < s.n; i++) {
        unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';
        if (digit <= 9) {
            mantissa = mantissa * 10 + digit;
            digits++;
            after_point += point;
        } else if (s.p[i] == '.' && !point) {
            point = true;
        } else {
            return false;
        }
    }
    if (digits == 0 || digits > DECIMAL_DIGITS_EXACT) return false;
    double v = (double)mantissa;
    if (after_point) v /= (double)powers_of_10[after_point];
    *out = at ? -v : v;
    return true;
}

bool number_parse_double(struct bytes s, double *out)
{
    if (parse_short_decimal(s, out)) return true;
    if (s.n == 0 || is_space(s.p[0])) return false;
    char on_stack[TEXT_ON_STACK];
    char *text = s.n < sizeof on_stack ? on_stack : mem_alloc(s.n + 1);
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    bool whole = end == text + s.n;
    bool lost = errno == ERANGE && (isinf(v) || v == 0);
    if (text != on_stack) mem_free(text);
    if (!whole || lost || isnan(v)) return false;
    *out = v;
    return true;
}

bool number_parse_ldouble(struct bytes s, long double *out)
{
    char text[NUMBER_LDOUBLE_SIZE];
    if (s.n == 0 || s.n >= sizeof text || is_space(s.p[0])) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    char *end;
    errno = 0;
    long double v = strtold(text, &end);
    if (end != text + s.n || isnan(v)) return false;
    if (errno == ERANGE && (isinf(v) || v == 0)) return false;
    *out = v;
    return true;
}

static unsigned u64_width(uint64_t v)
{
    unsigned guess = (unsigned)(64 - __builtin_clzll(v | 1)) * 1233 >> 12; /* bits * log10(2) */
    return guess + (guess < 20 && v >= powers_of_10[guess]) + (v == 0);
}

unsigned number_i64_width(int64_t v) { return v < 0 ? 1 + u64_width(0 - (uint64_t)v) : u64_width((uint64_t)v); }

unsigned number_format_u64(char *buf, uint64_t v)
{
    unsigned width = u64_width(v);
    char *p = buf + width;
    while (v >= 100) {
        uint64_t rest = v / 100;
        p -= 2;
        memcpy(p, digit_pairs + 2 * (v - rest * 100), 2);
        v = rest;
    }
    if (v >= 10) memcpy(buf, digit_pairs + 2 * v, 2);
    else buf[0] = (char)('0' + v);
    return width;
}

unsigned number_format_i64(char *buf, int64_t v)
{
    if (v >= 0) return number_format_u64(buf, (uint64_t)v);
    buf[0] = '-';
    return 1 + number_format_u64(buf + 1, 0 - (uint64_t)v);
}

static unsigned put_text(char *buf, const char *text)
{
    unsigned n = (unsigned)strlen(text);
    memcpy(buf, text, n);
    return n;
}

/* Writes v if it is whole and at most `bound` away from 0; -0 as "0". */
static unsigned format_whole(char *buf, double v, double bound)
{
    if (!(v >= -bound && v <= bound)) return 0;
    int64_t whole = (int64_t)v;
    return (double)whole == v ? number_format_i64(buf, whole) : 0;
}

unsigned number_format_double(char *buf, double v)
{
    if (v == 0 && signbit(v)) return put_text(buf, "-0");
    return number_format_stored_double(buf, v);
}

unsigned number_format_stored_double(char *buf, double v)
{
    if (isnan(v)) return put_text(buf, "nan");
    unsigned n = format_whole(buf, v, 4611686018427387904.0); /* 2^62 */
    return n ? n : number_format_bare_double(buf, v);
}

unsigned number_format_bare_double(char *buf, double v)
{
    if (isinf(v)) return put_text(buf, v > 0 ? "inf" : "-inf");
    if (v == 0) return put_text(buf, signbit(v) ? "-0" : "0");
    return shortest_format(buf, v);
}

unsigned number_format_g17(char *buf, double v)
{
    if (v == 0 && signbit(v)) return put_text(buf, "-0");
    if (isinf(v)) return put_text(buf, v > 0 ? "inf" : "-inf");
    unsigned whole = format_whole(buf, v, 99999999999999984.0); /* the last double before %.17g turns to 1e+17 */
    if (whole) return whole;
    char text[NUMBER_DOUBLE_SIZE];
    int n = snprintf(text, sizeof text, "%.17g", v);
    ASSERT(n > 0 && n < (int)sizeof text);
    memcpy(buf, text, (size_t)n);
    return (unsigned)n;
}

unsigned number_format_ldouble(char *buf, long double v)
{
    if (isinf(v)) return put_text(buf, v > 0 ? "inf" : "-inf");
    char text[NUMBER_LDOUBLE_SIZE];
    int n = snprintf(text, sizeof text, "%.17Lf", v);
    ASSERT(n > 0 && n < (int)sizeof text);
    if (memchr(text, '.', (size_t)n)) {
        while (text[n - 1] == '0') n--;
        if (text[n - 1] == '.') n--;
    }
    if (n == 2 && text[0] == '-' && text[1] == '0') return put_text(buf, "0");
    memcpy(buf, text, (size_t)n);
    return (unsigned)n;
}

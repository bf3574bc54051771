/* SPDX-License-Identifier: MIT
 *
 * Text of numbers. An integer that is read is written as the same text; a double that is read is what strtod() reads,
 * and comes back from its own text; a long double is written and read again.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "server/ds/number.h"
#include "server/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_integer(struct bytes s)
{
    int64_t v;
    char text[NUMBER_I64_SIZE];
    if (!number_parse_i64(s, &v)) return;
    unsigned n = number_format_i64(text, v);
    ASSERT(n == s.n && !memcmp(text, s.p, n));
    ASSERT(number_i64_width(v) == n);
}

static void check_double(struct bytes s, const char *terminated)
{
    double v, again;
    char text[NUMBER_DOUBLE_SIZE];
    if (!number_parse_double(s, &v)) return;
    ASSERT(!isnan(v));
    ASSERT(memcmp(&v, &(double){strtod(terminated, NULL)}, sizeof v) == 0);
    unsigned n = number_format_double(text, v);
    ASSERT(n <= sizeof text);
    ASSERT(number_parse_double(bytes_of(text, n), &again));
    ASSERT(again == v);
    n = number_format_stored_double(text, v);
    ASSERT(n <= sizeof text);
    ASSERT(number_parse_double(bytes_of(text, n), &again));
    ASSERT(again == v);
}

static void check_long_double(struct bytes s)
{
    long double v, again;
    static char text[NUMBER_LDOUBLE_SIZE];
    if (!number_parse_ldouble(s, &v)) return;
    unsigned n = number_format_ldouble(text, v);
    ASSERT(n && n <= sizeof text);
    if (n < NUMBER_LDOUBLE_SIZE) ASSERT(number_parse_ldouble(bytes_of(text, n), &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size), *terminated = mem_alloc(size + 1);
    if (size) memcpy(copy, data, size), memcpy(terminated, data, size);
    terminated[size] = 0;
    struct bytes s = bytes_of(copy, size);
    check_integer(s);
    check_double(s, terminated);
    check_long_double(s);
    mem_free(copy);
    mem_free(terminated);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Glob patterns: what stands before the first newline, against what stands behind it. Whatever both are, the answer
 * comes in bounded time (glob_match() counts its steps in debug builds, as these are) and without a look outside of
 * them; so it is for a channel, which PSUBSCRIBE's patterns are matched against in the same way; text that is quoted
 * matches itself, and a pattern that matches does so behind '*', too.
 */
#include <stdint.h>

#include "alloc/base/assert.h"
#include "server/ds/glob.h"
#include "server/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes copy_of(const void *p, size_t n)
{
    char *copy = mem_alloc(n);
    if (n) memcpy(copy, p, n);
    return bytes_of(copy, n);
}

static void drop(struct bytes b) { mem_free((char *)b.p); }

static void check_quoted(struct bytes text)
{
    char *quoted = mem_alloc(2 * text.n + 1);
    for (size_t i = 0; i < text.n; i++) quoted[2 * i] = '\\', quoted[2 * i + 1] = text.p[i];
    ASSERT(glob_match(bytes_of(quoted, 2 * text.n), text, false));
    ASSERT(glob_match(bytes_of(quoted, 2 * text.n), text, true));
    mem_free(quoted);
}

static void check_behind_star(struct bytes pattern, struct bytes text)
{
    char *longer = mem_alloc(pattern.n + 1);
    longer[0] = '*';
    if (pattern.n) memcpy(longer + 1, pattern.p, pattern.n);
    ASSERT(glob_match(bytes_of(longer, pattern.n + 1), text, false));
    mem_free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    size_t n = line ? (size_t)(line - data) : size;
    struct bytes pattern = copy_of(data, n), text = line ? copy_of(line + 1, size - n - 1) : copy_of(data, 0);
    bool matches = glob_match(pattern, text, false);
    glob_match(pattern, text, true);
    check_quoted(text);
    if (matches && text.n) check_behind_star(pattern, text); /* not even "*" matches nothing, in Redis */
    if (glob_is_literal(pattern)) ASSERT(matches == bytes_equal(pattern, text));
    drop(pattern);
    drop(text);
    return 0;
}

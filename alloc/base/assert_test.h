/* SPDX-License-Identifier: MIT
 *
 * For tests of x_check() functions: that a check sees what it says it sees. A field is spoilt, the check has to fail,
 * and by the condition that names it; then the field is put right. A check that stays silent fails the test.
 *
 *     static void check(void *q) { sndq_check(q, 0, 100); }
 *     SEEN(check, &q, q.bytes, q.bytes + 1, "bytes == q->bytes");
 *
 * A check changes nothing, so that it can be left in the middle (longjmp()).
 */
#ifndef BASE_ASSERT_TEST_H
#define BASE_ASSERT_TEST_H

#include "alloc/base/assert.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static jmp_buf assert_left;
static const char *volatile assert_seen;

static void assert_note(const char *cond, const char *file, int line, const char *func)
{
    assert_seen = cond;
    longjmp(assert_left, 1);
}

/* The condition that failed in check(arg), which says so to nobody; NULL: none. */
__attribute__((noinline)) static const char *assert_of(void (*check)(void *arg), void *arg)
{
    int before = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stderr);
    dup2(nowhere, STDERR_FILENO);
    assert_seen = NULL;
    assert_on_failure(assert_note);
    if (!setjmp(assert_left)) check(arg);
    assert_on_failure(NULL);
    dup2(before, STDERR_FILENO);
    close(before);
    close(nowhere);
    return assert_seen;
}

/* `words`: a part of the condition. */
static inline void assert_is_seen(void (*check)(void *arg), void *arg, const char *what, const char *words, int line)
{
    const char *cond = assert_of(check, arg);
    if (!cond) fail_msg("line %d: nobody sees %s", line, what);
    if (!strstr(cond, words)) fail_msg("line %d: %s is seen by \"%s\", not by \"%s\"", line, what, cond, words);
}

#define SEEN(check, arg, field, wrong, words)                                                                          \
    do {                                                                                                               \
        __typeof__(1 ? (field) : (field)) right_ = (field);                                                            \
        (field) = (wrong);                                                                                             \
        assert_is_seen(check, arg, #field, words, __LINE__);                                                           \
        (field) = right_;                                                                                              \
        (check)(arg);                                                                                                  \
    } while (0)

#endif

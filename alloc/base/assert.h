/* SPDX-License-Identifier: MIT
 *
 * Assertions. ASSERT stays on in release builds and guards against our own bugs, never against what comes from outside;
 * DASSERT is compiled in for debug builds only (DEMI_DEBUG).
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include <assert.h> /* static_assert */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Prints the condition and its place to stderr, then aborts. */
_Noreturn void assert_fail(const char *cond, const char *file, int line, const char *func);
/* Who is told first, and may end the process in its own way. Of the process; NULL: nobody. Not while other threads run.
 * */
void assert_on_failure(void (*tell)(const char *cond, const char *file, int line, const char *func));

#define ASSERT(cond)                                                                                                   \
    do {                                                                                                               \
        if (unlikely(!(cond))) assert_fail(#cond, __FILE__, __LINE__, __func__);                                       \
    } while (0)

#ifdef DEMI_DEBUG
#define DASSERT(cond) ASSERT(cond)
#else
#define DASSERT(cond) ((void)sizeof(!(cond)))
#endif

#endif

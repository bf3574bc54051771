/* SPDX-License-Identifier: MIT */
#include "alloc/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*teller)(const char *cond, const char *file, int line, const char *func);

void assert_on_failure(void (*tell)(const char *cond, const char *file, int line, const char *func)) { teller = tell; }

void assert_fail(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, func, cond);
    fflush(stderr);
    if (teller) teller(cond, file, line, func);
    abort();
}

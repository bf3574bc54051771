/* SPDX-License-Identifier: MIT */
#include "server/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void (*teller)(size_t size);

void mem_on_exhausted(void (*tell)(size_t size)) { teller = tell; }

void mem_exhausted(size_t size)
{
    fprintf(stderr, "Out of memory allocating %zu bytes\n", size);
    if (teller) teller(size);
    abort();
}

/* SPDX-License-Identifier: MIT */
#include "server/mem.h"

#include <stdio.h>
#include <stdlib.h>

void mem_exhausted(size_t size)
{
    fprintf(stderr, "Out of memory allocating %zu bytes\n", size);
    abort();
}

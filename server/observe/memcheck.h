/* SPDX-License-Identifier: MIT
 *
 * A quick look at the memory of a process that crashed (crash-memcheck-enabled): what it holds privately is tested page
 * by page, and each page put back as it was. For a whole machine there is server/observe/memtest.h.
 */
#ifndef SERVER_OBSERVE_MEMCHECK_H
#define SERVER_OBSERVE_MEMCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMCHECK_PAGE 4096

struct memcheck {
    size_t pages, wrong; /* tested; words that did not hold what was written */
    uintptr_t first;     /* the first such word's address; 0: none */
    bool in_time;        /* all of it was tested */
};

/* Resident pages of private anonymous mappings, without the caller's stack, until `deadline_ns` of clock_mono_ns(). No
 * other thread may run, nor a handler of a signal that does not return. */
void memcheck_run(struct memcheck *m, uint64_t deadline_ns);
/* One page; it is put back. The number of wrong words. */
size_t memcheck_page(struct memcheck *m, volatile uint64_t *page);

#endif

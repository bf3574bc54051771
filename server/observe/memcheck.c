/* SPDX-License-Identifier: MIT
 *
 * Writes patterns and each word's own address, and reads them again: bits that stick, and address lines that do. Caches
 * answer most of it, so memory that passes can still be broken; what fails is.
 *
 * While a page is not as it was, nothing runs but memcheck_page(): no call, no system call, no memory but its own
 * stack, which is left out of the test.
 */
#include "server/observe/memcheck.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/clock.h"

#define WORDS       (MEMCHECK_PAGE / sizeof(uint64_t))
#define STACK_BYTES 262144 /* around the caller's frame */
#define RUN_PAGES   512    /* looked at together */
/* proc_pid_pagemap(5). mincore() would tell as much, but a service's filter of system calls may kill for it. */
#define PAGE_PRESENT ((uint64_t)1 << 63)

static inline __attribute__((always_inline)) void hold(struct memcheck *m, volatile uint64_t *page, size_t i,
                                                       uint64_t want)
{
    if (page[i] == want) return;
    m->wrong++;
    if (!m->first) m->first = (uintptr_t)&page[i];
}

__attribute__((noinline)) size_t memcheck_page(struct memcheck *m, volatile uint64_t *page)
{
    static const uint64_t patterns[] = {0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 0, UINT64_MAX};
    volatile uint64_t saved[WORDS];
    struct memcheck found = {0};
    for (size_t i = 0; i < WORDS; i++) saved[i] = page[i];
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
        for (size_t i = 0; i < WORDS; i++) page[i] = patterns[k];
        for (size_t i = 0; i < WORDS; i++) hold(&found, page, i, patterns[k]);
    }
    for (size_t i = 0; i < WORDS; i++) page[i] = (uintptr_t)&page[i];
    for (size_t i = 0; i < WORDS; i++) hold(&found, page, i, (uintptr_t)&page[i]);
    for (size_t i = 0; i < WORDS; i++) page[i] = saved[i];
    m->pages++;
    m->wrong += found.wrong;
    if (!m->first) m->first = found.first;
    return found.wrong;
}

/* --- what there is ------------------------------------------------------------------------------------------------ */

struct memcheck_range {
    uintptr_t from, to;
};

static bool test_range(struct memcheck *m, struct memcheck_range r, struct memcheck_range leave, int pagemap,
                       uint64_t deadline_ns)
{
    uint64_t pages[RUN_PAGES];
    for (uintptr_t at = r.from; at < r.to; at += RUN_PAGES * MEMCHECK_PAGE) {
        ssize_t got = pread(pagemap, pages, sizeof pages, (off_t)(at / MEMCHECK_PAGE * sizeof *pages));
        size_t n = got > 0 ? (size_t)got / sizeof *pages : 0, most = (r.to - at) / MEMCHECK_PAGE;
        for (size_t i = 0; i < n && i < most; i++) {
            uintptr_t page = at + i * MEMCHECK_PAGE;
            bool ours = page + MEMCHECK_PAGE > leave.from && page < leave.to;
            if ((pages[i] & PAGE_PRESENT) && !ours) memcheck_page(m, (volatile uint64_t *)page);
        }
        if (clock_mono_ns() > deadline_ns) return false;
    }
    return true;
}

/* The lines of /proc/self/maps, without the heap of stdio. */
struct lines {
    int fd;
    size_t at, n;
    char text[4096];
};

static int next_char(struct lines *l)
{
    if (l->at == l->n) {
        ssize_t k = read(l->fd, l->text, sizeof l->text);
        l->n = k > 0 ? (size_t)k : 0;
        l->at = 0;
    }
    return l->at < l->n ? (unsigned char)l->text[l->at++] : -1;
}

/* Cut to `size`. False: there is none. */
static bool next_line(struct lines *l, char *out, size_t size)
{
    size_t n = 0;
    int c;
    while ((c = next_char(l)) >= 0 && c != '\n')
        if (n + 1 < size) out[n++] = (char)c;
    out[n] = 0;
    return n || c == '\n';
}

static uintptr_t hex(const char **p)
{
    uintptr_t v = 0;
    for (;; (*p)++) {
        char c = **p;
        if (c >= '0' && c <= '9') v = v * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f') v = v * 16 + (uintptr_t)(c - 'a' + 10);
        else return v;
    }
}

/* "7f01-7f02 rw-p 00000000 00:00 0 [heap]": readable, writable, private, of no file. */
static bool is_ours(const char *line, struct memcheck_range *out)
{
    const char *p = line;
    out->from = hex(&p);
    if (*p++ != '-') return false;
    out->to = hex(&p);
    if (strncmp(p, " rw-p ", 6) != 0) return false;
    p += 6;
    hex(&p);
    bool no_file = strncmp(p, " 00:00 0", 8) == 0 && (p[8] == 0 || p[8] == ' ');
    return no_file && !strstr(p, "[stack") && !strstr(p, "[v");
}

void memcheck_run(struct memcheck *m, uint64_t deadline_ns)
{
    char line[256];
    struct memcheck_range r, leave;
    struct lines l = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    *m = (struct memcheck){.in_time = false};
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (l.fd < 0 || pagemap < 0 || sysconf(_SC_PAGESIZE) != MEMCHECK_PAGE) goto close;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    leave = (struct memcheck_range){here - STACK_BYTES, here + STACK_BYTES};
    m->in_time = true;
    while (m->in_time && next_line(&l, line, sizeof line))
        if (is_ours(line, &r)) m->in_time = test_range(m, r, leave, pagemap, deadline_ns);
close:
    if (pagemap >= 0) close(pagemap);
    if (l.fd >= 0) close(l.fd);
}

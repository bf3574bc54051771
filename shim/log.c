/* SPDX-License-Identifier: MIT
 *
 * See log.h. Lines are written with one call each, on a descriptor opened for it: nothing is kept open in a process
 * whose descriptors are its own.
 */
#include "shim/log.h"

#include "shim/real.h"

#include "demi/ext.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 512

uint64_t shim_counters[COUNTERS];

static const char *const names[COUNTERS] = {"sockets_ours", "sockets_kernel", "accepted",     "connected",
                                            "epoll_sets",   "options_shadow", "calls_refused"};

static void put(int fd, const char *line, size_t n)
{
    if (REAL(write)(fd, line, n) < 0) return; /* nobody to tell */
}

static void say(const char *path, const char *fmt, va_list args)
{
    char line[LINE_SIZE];
    int n = snprintf(line, sizeof line, "demi-shim[%d]: ", (int)getpid());
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
    if (m < 0) return;
    n += m;
    if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
    line[n++] = '\n';
    if (!strcmp(path, "-")) {
        put(STDERR_FILENO, line, (size_t)n);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return;
    put(fd, line, (size_t)n);
    REAL(close)(fd);
}

void shim_log(const char *fmt, ...)
{
    const char *path = getenv("DEMI_SHIM_LOG");
    if (!path || !*path) return;
    va_list args;
    va_start(args, fmt);
    say(path, fmt, args);
    va_end(args);
}

void shim_complain(const char *fmt, ...)
{
    const char *path = getenv("DEMI_SHIM_LOG");
    va_list args;
    va_start(args, fmt);
    say(path && *path ? path : "-", fmt, args);
    va_end(args);
}

static void write_counter(void *arg, const char *name, uint64_t value)
{
    dprintf(*(int *)arg, "%s:%llu\n", name, (unsigned long long)value);
}

void shim_stats_write(void)
{
    const char *path = getenv("DEMI_SHIM_STATS");
    if (!path || !*path) return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return;
    dprintf(fd, "# %s, process %d\n", program_invocation_short_name, (int)getpid());
    for (unsigned i = 0; i < COUNTERS; i++)
        dprintf(fd, "shim.%s:%llu\n", names[i], (unsigned long long)shim_counters[i]);
    demi_counters(write_counter, &fd);
    REAL(close)(fd);
}

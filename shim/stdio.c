/* SPDX-License-Identifier: MIT
 *
 * Streams of stdio on sockets of ours. libc reads and writes by itself there, so a FILE is made whose functions are
 * ours; it has no number (fileno() fails).
 */
#include "shim/engine.h"
#include "shim/real.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_SIZE 1024

static int fd_of(void *cookie) { return (int)(intptr_t)cookie; }

static ssize_t stream_read(void *cookie, char *p, size_t n) { return recv(fd_of(cookie), p, n, 0); }

/* All of it, or 0: fopencookie()'s rule. */
static ssize_t stream_write(void *cookie, const char *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t m = write(fd_of(cookie), p + done, n - done);
        if (m <= 0) return 0;
        done += (size_t)m;
    }
    return (ssize_t)done;
}

static int stream_close(void *cookie) { return close(fd_of(cookie)); }

WRAP(FILE *, fdopen, (int fd, const char *mode))
{
    struct shim_file *f = shim_enter(fd);
    bool ours = f && !f->set;
    if (f) shim_unlock();
    if (!ours) return REAL(fdopen)(fd, mode);
    return fopencookie((void *)(intptr_t)fd, mode,
                       (cookie_io_functions_t){.read = stream_read, .write = stream_write, .close = stream_close});
}

static int print(int fd, const char *fmt, va_list args)
{
    char some[LINE_SIZE], *text = some;
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(some, sizeof some, fmt, args);
    if (n >= (int)sizeof some) {
        text = malloc((size_t)n + 1);
        if (text) vsnprintf(text, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n < 0 || !text) return -1;
    ssize_t done = stream_write((void *)(intptr_t)fd, text, (size_t)n);
    if (text != some) free(text);
    return done == n ? n : -1;
}

WRAP(int, vdprintf, (int fd, const char *fmt, va_list args)) { return print(fd, fmt, args); }
WRAP(int, dprintf, (int fd, const char *fmt, ...))
{
    va_list args;
    va_start(args, fmt);
    int n = print(fd, fmt, args);
    va_end(args);
    return n;
}
WRAP(int, __dprintf_chk, (int fd, int flag, const char *fmt, ...))
{
    va_list args;
    va_start(args, fmt);
    int n = print(fd, fmt, args);
    va_end(args);
    return n;
}
WRAP(int, __vdprintf_chk, (int fd, int flag, const char *fmt, va_list args)) { return print(fd, fmt, args); }

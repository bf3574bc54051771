/* SPDX-License-Identifier: MIT */
#include "server/persist/check_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG_FILE ((uint64_t)16 << 20) /* a disk reads less in the time it takes to look */
#define BAR_WIDTH 50

int check_file_open(struct check_file *f, const char *path, unsigned flags)
{
    struct stat st;
    *f = (struct check_file){.shown = -1};
    f->fd = open(path, ((flags & CHECK_FILE_WRITABLE) ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (f->fd < 0) return -errno;
    f->regular = fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode);
    if (f->regular) f->size = (uint64_t)st.st_size;
    f->has_bar = (flags & CHECK_FILE_BAR) && f->size >= LONG_FILE && isatty(STDERR_FILENO);
    return 0;
}

static void wipe_bar(struct check_file *f)
{
    if (f->shown < 0) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    f->shown = -1;
}

static void draw_bar(struct check_file *f)
{
    char bar[BAR_WIDTH + 1];
    int percent = f->at >= f->size ? 100 : (int)(f->at * 100 / f->size);
    if (percent == f->shown) return;
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i * 100 < percent * BAR_WIDTH ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    fprintf(stderr, "\r[%s] %3d%%", bar, percent);
    fflush(stderr);
    f->shown = percent;
}

void check_file_close(struct check_file *f)
{
    wipe_bar(f);
    close(f->fd);
}

int check_file_seek(struct check_file *f, uint64_t at)
{
    if (lseek(f->fd, (off_t)at, SEEK_SET) < 0) return -errno;
    f->at = at;
    f->ended = false;
    return 0;
}

long check_file_read(void *arg, char *buf, size_t size)
{
    struct check_file *f = arg;
    ssize_t n;
    do n = read(f->fd, buf, size);
    while (n < 0 && errno == EINTR);
    if (n < 0) return f->error = -errno;
    f->ended = n == 0;
    f->at += (uint64_t)n;
    if (f->has_bar) draw_bar(f);
    return n;
}

int check_file_cut(struct check_file *f, uint64_t size)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0) return -errno;
    if ((uint64_t)st.st_size != f->size) return -EAGAIN;
    if (ftruncate(f->fd, (off_t)size) != 0 || fsync(f->fd) != 0) return -errno;
    return 0;
}

void check_say(struct check_file *f, const char *format, ...)
{
    va_list args;
    wipe_bar(f);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    if (f->has_bar) fflush(stdout);
}

const char *check_shown(struct bytes b, char out[CHECK_SHOWN_SIZE])
{
    size_t at = 0;
    for (size_t i = 0; i < b.n; i++) {
        unsigned char c = (unsigned char)b.p[i];
        if (at + 8 > CHECK_SHOWN_SIZE) {
            at += (size_t)sprintf(out + at, "...");
            break;
        }
        if (c >= ' ' && c <= '~') out[at++] = (char)c;
        else at += (size_t)sprintf(out + at, "\\x%02x", c);
    }
    out[at] = 0;
    return out;
}

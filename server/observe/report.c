/* SPDX-License-Identifier: MIT
 *
 * vsnprintf() is not on the list of what a handler may call, but glibc's takes no lock and no memory for what is
 * printed here (integers, strings, pointers). localtime_r() takes a lock, so the date is made by hand (log_line.c).
 */
#include "server/observe/report.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

void report_prepare(struct report *r)
{
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    *r = (struct report){.fd = -1, .pid = (int)getpid(), .utc_offset_s = tm.tm_gmtoff};
}

void report_open(struct report *r, const char *file)
{
    bool named = file && *file;
    r->fd = named ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : STDOUT_FILENO;
    r->used = r->line_used = 0;
}

static int64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void report_as(struct report *r, enum log_format format, enum log_timestamp timestamp, bool is_replica)
{
    r->format = format;
    r->timestamp = timestamp;
    r->is_replica = is_replica;
}

static void write_out(struct report *r)
{
    for (size_t at = 0; r->fd >= 0 && at < r->used;) {
        ssize_t k = write(r->fd, r->text + at, r->used - at);
        if (k <= 0) break;
        at += (size_t)k;
    }
    r->used = 0;
}

static void take_bytes(struct report *r, const char *p, size_t n)
{
    while (n) {
        size_t room = sizeof r->text - r->used, k = n < room ? n : room;
        memcpy(r->text + r->used, p, k);
        r->used += k;
        p += k;
        n -= k;
        if (r->used == sizeof r->text) write_out(r);
    }
}

/* What has come of a line goes out as one; empty ones are for people. */
static void end_line(struct report *r)
{
    if (!r->line_used) return;
    struct log_line l = {.format = r->format,
                         .timestamp = r->timestamp,
                         .level = LOG_WARNING_LEVEL,
                         .pid = r->pid,
                         .is_replica = r->is_replica,
                         .wall_us = wall_us(),
                         .utc_offset_s = r->utc_offset_s,
                         .text = bytes_of(r->line, r->line_used)};
    r->line_used = 0;
    take_bytes(r, r->made, log_line_write(r->made, &l));
}

void report_flush(struct report *r)
{
    end_line(r);
    write_out(r);
}

void report_close(struct report *r)
{
    report_flush(r);
    if (r->fd > STDERR_FILENO) close(r->fd);
    r->fd = -1;
}

void report_bytes(struct report *r, const char *p, size_t n)
{
    if (r->format == LOG_FORMAT_LEGACY) {
        take_bytes(r, p, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool ends = p[i] == '\n';
        if (!ends) r->line[r->line_used++] = p[i];
        if (ends || r->line_used == sizeof r->line) end_line(r);
    }
}

static void print(struct report *r, const char *format, va_list ap)
{
    char line[LINE_SIZE];
    int n = vsnprintf(line, sizeof line, format, ap);
    if (n > 0) report_bytes(r, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void report_text(struct report *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    print(r, format, ap);
    va_end(ap);
}

void report_line(struct report *r, const char *format, ...)
{
    if (r->format == LOG_FORMAT_LEGACY) {
        char when[LOG_TIMESTAMP_SIZE];
        log_timestamp_write(when, r->timestamp, wall_us(), r->utc_offset_s);
        report_text(r, "%d:M %s # ", r->pid, when);
    }
    va_list ap;
    va_start(ap, format);
    print(r, format, ap);
    va_end(ap);
    report_bytes(r, "\n", 1);
}

void report_quoted(struct report *r, const char *p, size_t n, size_t most)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n && i < most; i++) {
        unsigned char c = (unsigned char)p[i];
        char text[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        if (c == '\n' || c == '\r' || c == '\t') text[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        else if (c == '"' || c == '\\') text[1] = (char)c;
        else if (c >= 32 && c < 127) text[0] = (char)c;
        bool plain = text[0] != '\\', hexed = !plain && text[1] == 'x';
        report_bytes(r, text, plain ? 1 : hexed ? 4 : 2);
    }
}

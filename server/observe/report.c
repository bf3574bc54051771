/* SPDX-License-Identifier: MIT
 *
 * vsnprintf() is not on the list of what a handler may call, but glibc's takes no lock and no memory for what is
 * printed here (integers, strings, pointers). localtime_r() takes a lock, so the date is made of the seconds by hand.
 */
#include "server/observe/report.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
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
    r->used = 0;
}

void report_flush(struct report *r)
{
    for (size_t at = 0; r->fd >= 0 && at < r->used;) {
        ssize_t k = write(r->fd, r->text + at, r->used - at);
        if (k <= 0) break;
        at += (size_t)k;
    }
    r->used = 0;
}

void report_close(struct report *r)
{
    report_flush(r);
    if (r->fd > STDERR_FILENO) close(r->fd);
    r->fd = -1;
}

void report_bytes(struct report *r, const char *p, size_t n)
{
    while (n) {
        size_t room = sizeof r->text - r->used, k = n < room ? n : room;
        memcpy(r->text + r->used, p, k);
        r->used += k;
        p += k;
        n -= k;
        if (r->used == sizeof r->text) report_flush(r);
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

struct date {
    int year, month, day; /* month 0 to 11 */
};

/* Of the days since 1970-01-01, in the Gregorian calendar: years that begin in March have their leap day last. */
static struct date date_of(int64_t days)
{
    days += 719468; /* since 0000-03-01 */
    int64_t era = days / 146097, in_era = days % 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * in_year + 2) / 153; /* 0: March */
    struct date d = {.day = (int)(in_year - (153 * month + 2) / 5 + 1), .month = (int)((month + 2) % 12)};
    d.year = (int)(year + era * 400) + (d.month < 2);
    return d;
}

void report_line(struct report *r, const char *format, ...)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t s = (int64_t)now.tv_sec + r->utc_offset_s, in_day = s % 86400;
    struct date d = date_of(s / 86400);
    report_text(r, "%d:M %02d %s %d %02d:%02d:%02d.%03d # ", r->pid, d.day, months[d.month], d.year,
                (int)(in_day / 3600), (int)(in_day / 60 % 60), (int)(in_day % 60), (int)(now.tv_nsec / 1000000));
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

/* SPDX-License-Identifier: MIT
 *
 * A line is "pid:role dd Mon yyyy hh:mm:ss.mmm mark text", which log readers of redis-server parse:
 * role M, or S of a replica; mark one of ". - * #". The file is opened for each line, so that rotating it by renaming
 * works without a signal. log-format makes other lines of it (log_line.h).
 */
#include "server/observe/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "server/observe/log_line.h"
#include "server/server.h"

/* A line: each part's longest form, without its end. */
enum {
    PROCESS_CHARS = sizeof "-2147483648:M " - 1,
    WHEN_CHARS = 63, /* "27 Nov 2026 20:58:13", a month's name as the locale has it */
    MARK_CHARS = sizeof ".999 # " - 1,
    TEXT_CHARS = LOG_LINE_MAX - 1,
};
#define LINE_SIZE (PROCESS_CHARS + WHEN_CHARS + MARK_CHARS + TEXT_CHARS + sizeof "\n")

static void write_line(struct server *srv, const char *line, size_t n)
{
    const char *file = srv->config->logfile;
    int fd = STDOUT_FILENO;
    bool named = file && *file;
    if (named) fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    while (n) {
        ssize_t k = write(fd, line, n);
        if (k <= 0) break;
        line += k;
        n -= (size_t)k;
    }
    if (named) close(fd);
}

void server_log_open(struct server *srv)
{
    static const int facilities[] = {
        [SYSLOG_USER] = LOG_USER,     [SYSLOG_LOCAL0] = LOG_LOCAL0, [SYSLOG_LOCAL1] = LOG_LOCAL1,
        [SYSLOG_LOCAL2] = LOG_LOCAL2, [SYSLOG_LOCAL3] = LOG_LOCAL3, [SYSLOG_LOCAL4] = LOG_LOCAL4,
        [SYSLOG_LOCAL5] = LOG_LOCAL5, [SYSLOG_LOCAL6] = LOG_LOCAL6, [SYSLOG_LOCAL7] = LOG_LOCAL7,
    };
    const struct config *cfg = srv->config; /* neither option changes later: openlog() keeps the pointer */
    if (cfg->syslog_enabled)
        openlog(cfg->syslog_ident, LOG_PID | LOG_NDELAY | LOG_NOWAIT, facilities[cfg->syslog_facility]);
}

void server_log_raw(struct server *srv, const char *text) { write_line(srv, text, strlen(text)); }

static struct tm local_time(int64_t us)
{
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    localtime_r(&s, &tm);
    return tm;
}

static void write_legacy(struct server *srv, int level, const char *text)
{
    static const char marks[] = ".-*#";
    static_assert(WHEN_CHARS + sizeof ".999" >= LOG_TIMESTAMP_SIZE, "any timestamp fits");
    char line[LINE_SIZE], when[WHEN_CHARS + sizeof ".999"];
    enum log_timestamp form = srv->config->log_timestamp_format;
    int64_t us = clock_wall_us();
    struct tm tm = local_time(us);
    size_t used = form == LOG_TIMESTAMP_LEGACY ? strftime(when, WHEN_CHARS + 1, "%d %b %Y %H:%M:%S", &tm)
                                               : log_timestamp_write(when, form, us, tm.tm_gmtoff);
    if (form == LOG_TIMESTAMP_LEGACY) snprintf(when + used, sizeof when - used, ".%03d", (int)(us / 1000 % 1000));
    int n = snprintf(line, sizeof line, "%d:%c %s %c %s\n", (int)getpid(), srv->upstream ? 'S' : 'M', when,
                     marks[level], text);
    if (n < 0) return;
    ASSERT((size_t)n < sizeof line);
    write_line(srv, line, (size_t)n);
}

static void write_structured(struct server *srv, int level, const char *text)
{
    char line[LOG_LINE_SIZE];
    int64_t us = clock_wall_us();
    struct tm tm = local_time(us);
    struct log_line l = {.format = srv->config->log_format,
                         .timestamp = srv->config->log_timestamp_format,
                         .level = level,
                         .pid = (int)getpid(),
                         .is_replica = srv->upstream,
                         .wall_us = us,
                         .utc_offset_s = tm.tm_gmtoff,
                         .text = bytes_of_str(text)};
    write_line(srv, line, log_line_write(line, &l));
}

void server_log(struct server *srv, int level, const char *fmt, ...)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING};
    if (level < (int)srv->config->loglevel) return;
    char text[TEXT_CHARS + 1];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (srv->config->log_format == LOG_FORMAT_LEGACY) write_legacy(srv, level, text);
    else write_structured(srv, level, text);
    if (srv->config->syslog_enabled) syslog(priorities[level], "%s", text);
}

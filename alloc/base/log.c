/* SPDX-License-Identifier: MIT
 *
 * Formatting happens in a line on the stack: logging works when memory does not.
 */
#include "alloc/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One of the process, like the stderr it stands for: lines come from control paths that have no runtime, too. */
static const struct log *_Atomic otherwise;

void log_set_default(const struct log *log) { otherwise = log; }

static void write_stderr(int level, const char *text)
{
    static const char marks[] = ".-*#"; /* as Redis marks its levels */
    char line[LOG_LINE_MAX + 4];
    int n = snprintf(line, sizeof line, "%c %s\n", marks[level & 3], text);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0) return; /* nowhere left to say so */
}

void log_write(const struct log *log, int level, const char *fmt, ...)
{
    if (!log) log = otherwise;
    if (level < (log ? log->level : LOG_NOTICE_LEVEL)) return;
    char text[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) return;
    if ((size_t)n >= sizeof text) memcpy(text + sizeof text - 4, "...", 4);
    if (log && log->sink) log->sink(log->arg, level, text);
    else write_stderr(level, text);
}

/* SPDX-License-Identifier: MIT
 *
 * Formatting happens in a line on the stack: logging works when memory does not.
 */
#include "alloc/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What NULL stands for. One of the process, like the stderr it stands for: lines come from control paths that have no
 * runtime, too. Two places take turns: the next is written while readers have the one that was named last, and whoever
 * reads it looks again whether it is still the one. So nobody sees the sink of one log with the word of another, and
 * nobody waits for a writer. All of it is sequentially consistent: two fields are read between two looks at `turn`. */
static struct {
    atomic_uint turn; /* the place that counts is places[turn % 2] */
    struct {
        atomic_int level;
        _Atomic(log_sink_fn) sink;
        _Atomic(void *) arg;
    } places[2];
} otherwise = {.places[0].level = LOG_NOTICE_LEVEL};

void log_set_default(const struct log *log)
{
    static pthread_mutex_t writers = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&writers);
    unsigned next = otherwise.turn + 1;
    otherwise.places[next % 2].level = log ? log->level : LOG_NOTICE_LEVEL;
    otherwise.places[next % 2].sink = log ? log->sink : NULL;
    otherwise.places[next % 2].arg = log ? log->arg : NULL;
    otherwise.turn = next;
    pthread_mutex_unlock(&writers);
}

static struct log log_default(void)
{
    struct log log;
    unsigned turn;
    do {
        turn = otherwise.turn;
        log = (struct log){.level = otherwise.places[turn % 2].level,
                           .sink = otherwise.places[turn % 2].sink,
                           .arg = otherwise.places[turn % 2].arg};
    } while (otherwise.turn != turn); /* as often as another is named meanwhile */
    return log;
}

static void write_stderr(int level, const char *text)
{
    static const char marks[] = ".-*#";          /* as Redis marks its levels */
    char line[sizeof "# \n" - 1 + LOG_LINE_MAX]; /* LOG_LINE_MAX has the text's end */
    int n = snprintf(line, sizeof line, "%c %s\n", marks[level & 3], text);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0) return; /* nowhere left to say so */
}

void log_write(const struct log *log, int level, const char *fmt, ...)
{
    const struct log to = log ? *log : log_default();
    if (level < to.level) return;
    char text[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) return;
    if ((size_t)n >= sizeof text) memcpy(text + sizeof text - 4, "...", 4);
    if (to.sink) to.sink(to.arg, level, text);
    else write_stderr(level, text);
}

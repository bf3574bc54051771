/* SPDX-License-Identifier: MIT
 *
 * Log lines, one sink for all. Whoever starts a program owns a struct log and hands it down; NULL
 * stands for stderr from LOG_NOTICE_LEVEL up, or for what log_set_default() has named.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG_LEVEL, LOG_VERBOSE_LEVEL, LOG_NOTICE_LEVEL, LOG_WARNING_LEVEL };

/* One line without its end; `text` is valid during the call only. */
typedef void (*log_sink_fn)(void *arg, int level, const char *text);

struct log {
    int level;        /* lines below it are not even formatted */
    log_sink_fn sink; /* NULL: stderr */
    void *arg;
};

/* What NULL stands for from now on, in the whole process; NULL: stderr. *log is copied. Any thread, at any time: a line
 * goes to the sink of one call with the arg of the same. A thread that is in the sink of the log before may be in it
 * still when this returns, so that arg must live, and be fit for every thread, until those threads have ended. */
void log_set_default(const struct log *log);

#define LOG_LINE_MAX 1024 /* longer lines are cut, and end in "..." */

void log_write(const struct log *log, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_debug(log, ...)   log_write(log, LOG_DEBUG_LEVEL, __VA_ARGS__)
#define log_verbose(log, ...) log_write(log, LOG_VERBOSE_LEVEL, __VA_ARGS__)
#define log_notice(log, ...)  log_write(log, LOG_NOTICE_LEVEL, __VA_ARGS__)
#define log_warning(log, ...) log_write(log, LOG_WARNING_LEVEL, __VA_ARGS__)

/* Of lines that somebody outside may cause as often as he likes: no more than LOG_BUDGET of them within a second. Zeros
 * to begin with; now_ns of any clock. */
#define LOG_BUDGET 8u
struct log_budget {
    uint64_t since_ns;
    uint32_t lines;
};

static inline bool log_may(struct log_budget *b, uint64_t now_ns)
{
    if (now_ns - b->since_ns >= 1000000000u) *b = (struct log_budget){.since_ns = now_ns};
    return b->lines++ < LOG_BUDGET;
}

#endif

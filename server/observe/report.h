/* SPDX-License-Identifier: MIT
 *
 * Text into the log without allocating, locking or asking libc for the time: for handlers of signals, where the rest of
 * the process cannot be trusted.
 */
#ifndef SERVER_OBSERVE_REPORT_H
#define SERVER_OBSERVE_REPORT_H

#include <stddef.h>

#include "server/observe/log_line.h"

struct report {
    int fd;
    int pid;
    long utc_offset_s; /* of local time */
    size_t used;
    char text[4096];
    /* log-format: text is made into lines of that form, as it comes */
    enum log_format format;
    enum log_timestamp timestamp;
    bool is_replica;
    size_t line_used;
    char line[LOG_LINE_MAX], made[LOG_LINE_SIZE];
};

/* In ordinary times: keeps the pid and the offset of local time. */
void report_prepare(struct report *r);
/* The log file, or standard output when `file` is NULL or "". */
void report_open(struct report *r, const char *file);
/* Behind it or before it: in which form; legacy until somebody says otherwise. */
void report_as(struct report *r, enum log_format format, enum log_timestamp timestamp, bool is_replica);
void report_close(struct report *r);
void report_flush(struct report *r);

void report_bytes(struct report *r, const char *p, size_t n);
/* At most 1 KiB a call. */
void report_text(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same as a line of the log: pid, time and "#" (a warning) in front, a newline behind. */
void report_line(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Up to `most` bytes with \n, \" and \xff for what does not print. */
void report_quoted(struct report *r, const char *p, size_t n, size_t most);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A line of the log for programs: log-format logfmt or json, log-timestamp-format. Valkey's words and fields, and json
 * beside them:
 *
 *     pid=7 role=primary timestamp="2026-11-29T11:05:07.042+01:00" level=notice message="Server initialized"
 *     {"timestamp":"2026-11-29T11:05:07.042+01:00","level":"notice","pid":7,"role":"primary",
 *      "message":"Server initialized"}                              (one line)
 *
 * In logfmt a quote becomes ' and a control character a space, as in Valkey; JSON escapes them, and bytes that are no
 * UTF-8 (server/ds/json_text.h). All of this takes no memory, no lock and nothing of libc's locale, so that the report
 * of a crash may use it.
 */
#ifndef SERVER_OBSERVE_LOG_LINE_H
#define SERVER_OBSERVE_LOG_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "alloc/base/log.h"
#include "server/conf/config.h"
#include "server/ds/json_text.h"

struct log_line {
    enum log_format format; /* not legacy */
    enum log_timestamp timestamp;
    int level, pid;
    bool is_replica;
    int64_t wall_us;
    long utc_offset_s; /* of local time */
    struct bytes text;
};

enum {
    LOG_TIMESTAMP_SIZE = 64,
    LOG_LINE_HEAD_MAX = 192, /* all but the text and its growth */
    LOG_LINE_SIZE = LOG_LINE_HEAD_MAX + LOG_LINE_MAX * JSON_TEXT_GROWTH,
};

/* Writes the line with its newline into out, LOG_LINE_SIZE bytes; text of over LOG_LINE_MAX bytes is cut. Returns the
 * bytes; there is no NUL behind them. */
size_t log_line_write(char *out, const struct log_line *l);
/* "29 Nov 2026 11:05:07.042", "2026-11-29T11:05:07.042+01:00" or "1764410707042", and a NUL. Returns the bytes. */
size_t log_timestamp_write(char *out /* LOG_TIMESTAMP_SIZE */, enum log_timestamp form, int64_t wall_us,
                           long utc_offset_s);

#endif

/* SPDX-License-Identifier: MIT */
#include "server/observe/log_line.h"

#include <string.h>

#include "alloc/base/assert.h"

/* --- pieces ------------------------------------------------------------------------------------------------------- */

/* Text that grows in a buffer which is known to be large enough. */
struct log_cursor {
    char *at;
};

static void line_put(struct log_cursor *c, const char *text)
{
    size_t n = strlen(text);
    memcpy(c->at, text, n);
    c->at += n;
}

/* At least `width` digits. */
static void put_number(struct log_cursor *c, int64_t v, int width)
{
    char digits[24];
    int n = 0;
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    if (v < 0) *c->at++ = '-';
    do digits[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) || n < width);
    while (n) *c->at++ = digits[--n];
}

/* --- the time ----------------------------------------------------------------------------------------------------- */

struct date {
    int64_t year;
    int month, day; /* month 0 to 11 */
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
    d.year = year + era * 400 + (d.month < 2);
    return d;
}

static void put_clock(struct log_cursor *c, int64_t in_day, int64_t ms)
{
    put_number(c, in_day / 3600, 2);
    line_put(c, ":");
    put_number(c, in_day / 60 % 60, 2);
    line_put(c, ":");
    put_number(c, in_day % 60, 2);
    line_put(c, ".");
    put_number(c, ms, 3);
}

static void put_zone(struct log_cursor *c, long utc_offset_s)
{
    long minutes = (utc_offset_s < 0 ? -utc_offset_s : utc_offset_s) / 60;
    line_put(c, utc_offset_s < 0 ? "-" : "+");
    put_number(c, minutes / 60, 2);
    line_put(c, ":");
    put_number(c, minutes % 60, 2);
}

size_t log_timestamp_write(char *out, enum log_timestamp form, int64_t wall_us, long utc_offset_s)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct log_cursor c = {out};
    int64_t us = wall_us < 0 ? 0 : wall_us, s = us / 1000000 + utc_offset_s;
    if (s < 0) s = 0; /* before 1970: the machine's clock was never set */
    struct date d = date_of(s / 86400);
    switch (form) {
    case LOG_TIMESTAMP_MILLISECONDS: put_number(&c, us / 1000, 1); break;
    case LOG_TIMESTAMP_ISO8601:
        put_number(&c, d.year, 4);
        line_put(&c, "-");
        put_number(&c, d.month + 1, 2);
        line_put(&c, "-");
        put_number(&c, d.day, 2);
        line_put(&c, "T");
        put_clock(&c, s % 86400, us / 1000 % 1000);
        put_zone(&c, utc_offset_s);
        break;
    case LOG_TIMESTAMP_LEGACY:
        put_number(&c, d.day, 2);
        line_put(&c, " ");
        line_put(&c, months[d.month]);
        line_put(&c, " ");
        put_number(&c, d.year, 1);
        line_put(&c, " ");
        put_clock(&c, s % 86400, us / 1000 % 1000);
        break;
    }
    ASSERT(c.at < out + LOG_TIMESTAMP_SIZE);
    *c.at = 0;
    return (size_t)(c.at - out);
}

/* --- the line ----------------------------------------------------------------------------------------------------- */

static const char *const levels[] = {"debug", "info", "notice", "warning"};

static void put_logfmt_text(struct log_cursor *c, struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char b = (unsigned char)text.p[i];
        *c->at++ = b == '"' ? '\'' : b < 0x20 || b == 0x7f ? ' ' : (char)b;
    }
}

static void put_logfmt(struct log_cursor *c, const struct log_line *l, const char *when)
{
    line_put(c, "pid=");
    put_number(c, l->pid, 1);
    line_put(c, l->is_replica ? " role=replica" : " role=primary");
    line_put(c, " timestamp=\"");
    line_put(c, when);
    line_put(c, "\" level=");
    line_put(c, levels[l->level]);
    line_put(c, " message=\"");
    put_logfmt_text(c, l->text);
    line_put(c, "\"\n");
}

static void put_json(struct log_cursor *c, const struct log_line *l, const char *when)
{
    const char *quote = l->timestamp == LOG_TIMESTAMP_MILLISECONDS ? "" : "\"";
    line_put(c, "{\"timestamp\":");
    line_put(c, quote);
    line_put(c, when);
    line_put(c, quote);
    line_put(c, ",\"level\":\"");
    line_put(c, levels[l->level]);
    line_put(c, "\",\"pid\":");
    put_number(c, l->pid, 1);
    line_put(c, l->is_replica ? ",\"role\":\"replica\"" : ",\"role\":\"primary\"");
    line_put(c, ",\"message\":\"");
    c->at += json_text_write(c->at, LOG_LINE_MAX * JSON_TEXT_GROWTH, l->text);
    line_put(c, "\"}\n");
}

size_t log_line_write(char *out, const struct log_line *line)
{
    struct log_line l = *line;
    struct log_cursor c = {out};
    char when[LOG_TIMESTAMP_SIZE];
    ASSERT(l.format != LOG_FORMAT_LEGACY);
    ASSERT(l.level >= LOG_DEBUG_LEVEL && l.level <= LOG_WARNING_LEVEL);
    if (l.text.n > LOG_LINE_MAX) l.text.n = LOG_LINE_MAX;
    /* Who reads JSON expects a time with its zone. */
    if (l.format == LOG_FORMAT_JSON && l.timestamp == LOG_TIMESTAMP_LEGACY) l.timestamp = LOG_TIMESTAMP_ISO8601;
    log_timestamp_write(when, l.timestamp, l.wall_us, l.utc_offset_s);
    if (l.format == LOG_FORMAT_JSON) put_json(&c, &l, when);
    else put_logfmt(&c, &l, when);
    ASSERT((size_t)(c.at - out) <= LOG_LINE_SIZE);
    return (size_t)(c.at - out);
}

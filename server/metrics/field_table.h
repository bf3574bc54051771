/* SPDX-License-Identifier: MIT
 *
 * Which of INFO's fields are which metrics: one row a sample, the rows of a family side by side.
 */
#ifndef SERVER_METRICS_FIELD_TABLE_H
#define SERVER_METRICS_FIELD_TABLE_H

#include "server/metrics/exposition.h"

/* From what INFO shows to base units. */
enum field_unit {
    FIELD_PLAIN,   /* a number, bytes, seconds */
    FIELD_MS,      /* milliseconds to seconds */
    FIELD_US,      /* microseconds to seconds */
    FIELD_PERCENT, /* "12.5" or "12.5%" to a ratio */
    FIELD_KBPS,    /* KiB a second to bytes a second */
    FIELD_OK,      /* "ok" is 1, another word 0 */
    FIELD_UP,      /* "up" is 1 */
};

struct field {
    const char *name; /* INFO's */
    const char *family;
    const char *labels; /* NULL: none */
    enum metric_type type;
    enum field_unit unit;
    const char *help; /* the first row of a family has it, those that follow NULL */
};
extern const struct field fields[];
extern const unsigned field_count;

enum { FIELDS_MAX = 256 };

#endif

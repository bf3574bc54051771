/* SPDX-License-Identifier: MIT
 *
 * What INFO shows at one moment, by field.
 */
#ifndef SERVER_METRICS_FIGURES_H
#define SERVER_METRICS_FIGURES_H

#include "server/metrics/field_table.h"

struct worker;

struct figures {
    char *text; /* INFO's */
    size_t n;
    size_t counters_at;             /* where the section Demikernel begins, the last one */
    struct bytes value[FIELDS_MAX]; /* of each row of fields[]; p NULL: INFO does not show it */
};

void figures_take(struct figures *f, struct worker *w);
/* The same of a text that is somebody else's, which stays. */
void figures_read(struct figures *f, const char *text, size_t n);
void figures_free(struct figures *f);

/* The row of a field; NULL: it has none. */
const struct field *figures_row(struct bytes name);
/* What INFO shows under a name that has no row; p NULL: nothing. */
struct bytes figures_find(const struct figures *f, const char *name);
/* The line that begins at *at, cut at its first ':', and *at moved to the next one. False: there is none. Headings and
 * empty lines are passed over. */
bool figures_line(const struct figures *f, size_t *at, struct bytes *name, struct bytes *value);
/* A value in base units. False: it is no number. */
bool figures_number(struct bytes value, enum field_unit unit, char out[DECIMAL_SIZE], size_t *n);

#endif

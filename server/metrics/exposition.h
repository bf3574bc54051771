/* SPDX-License-Identifier: MIT
 *
 * Prometheus's text format, version 0.0.4, written into a buffer of fixed size: families (# HELP, # TYPE) and samples
 * with labels. Nothing here takes memory. Whoever writes looks for room first: an item of at most EXPOSITION_ITEM bytes
 * fits where exposition_has_room() is true, and what would not fit is an assertion.
 */
#ifndef SERVER_METRICS_EXPOSITION_H
#define SERVER_METRICS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

enum {
    EXPOSITION_ITEM = 4096,
    EXPOSITION_LABEL_MAX = 64, /* bytes of a label's value that are shown; one may become five */
};

struct exposition {
    char *p;
    size_t n, room;
    char name[128]; /* of the family that samples belong to */
    unsigned labels;
};

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM, METRIC_SUMMARY };

void exposition_init(struct exposition *x, char *p, size_t room);
/* Goes on in another buffer. */
void exposition_go_on(struct exposition *x, char *p, size_t room);
bool exposition_has_room(const struct exposition *x);
/* A text as it is: headers of HTTP. */
void exposition_raw(struct exposition *x, struct bytes text);

/* The samples that follow are this family's. */
void exposition_family(struct exposition *x, const char *name, enum metric_type type, const char *help);
/* A sample: begin, its labels, and one of the ends. The suffix is "" or a histogram's ("_bucket"). */
void exposition_begin(struct exposition *x, const char *suffix);
/* Any bytes: what is not printable, and '\' and '"', become \x5c and so on, so that different values stay different and
 * all are UTF-8. */
void exposition_label(struct exposition *x, const char *name, struct bytes value);
/* Ready made: name="value",name="value". */
void exposition_labels(struct exposition *x, const char *text);
void exposition_label_number(struct exposition *x, const char *name, uint64_t value);
void exposition_end(struct exposition *x, uint64_t value);
void exposition_end_text(struct exposition *x, struct bytes number);
void exposition_end_ns(struct exposition *x, uint64_t ns); /* as seconds */

/* A decimal number with its point moved to the left: 1234 by 6 is 0.001234. n bytes are written, at most what number
 * has and by + 3 more. False: it is no decimal number, or too long. */
enum { DECIMAL_SIZE = 64 };
bool decimal_shift(struct bytes number, unsigned by, char out[DECIMAL_SIZE], size_t *n);

#endif

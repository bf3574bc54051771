/* SPDX-License-Identifier: MIT
 *
 * What one scrape shows, written in pieces: as much as a buffer has room for, and on from there when there is another.
 */
#ifndef SERVER_METRICS_SCRAPE_H
#define SERVER_METRICS_SCRAPE_H

#include "server/metrics/figures.h"
#include "server/observe/latency.h"
#include "server/observe/ticks.h"

struct worker;

/* How ticks are shown. The clock's rate is measured ever better, and a counter must never go back: so it is chosen
 * once, for as long as scrapes are counted together. */
struct scrape_scale {
    struct ticks_rate rate;
    unsigned below[HISTOGRAM_LIMITS]; /* buckets of a histogram up to each limit */
};
void scrape_scale_init(struct scrape_scale *s, const struct ticks_rate *rate);

/* What all scrapes of a server share, and what they say of themselves. */
struct scrape_common {
    struct scrape_scale scale;
    uint64_t answered, refused; /* requests: by metrics; by another status */
    unsigned connections;
};

struct scrape {
    struct worker *w;
    const struct scrape_common *common;
    struct figures figures;
    struct exposition out;
    unsigned section;
    size_t at;   /* in the section: where to go on */
    bool headed; /* its family has been written */
};

/* INFO's figures are those of this moment. End it with scrape_fini(). */
void scrape_init(struct scrape *s, struct worker *w, const struct scrape_common *common);
void scrape_fini(struct scrape *s);
/* Writes to p, which has room for an item (EXPOSITION_ITEM bytes) at least; *n is how much, 0 only
 * at the end. False: that was the last. */
bool scrape_write(struct scrape *s, char *p, size_t room, size_t *n);

#endif

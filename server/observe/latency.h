/* SPDX-License-Identifier: MIT
 *
 * Events slower than latency-monitor-threshold, and how long commands take.
 */
#ifndef SERVER_LATENCY_H
#define SERVER_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

struct reply;
struct server;
struct ticks_rate;

#define LATENCY_EVENTS    32
#define LATENCY_SAMPLES   160
#define HISTOGRAM_BUCKETS 640

struct latency_sample {
    int64_t time_s, ms;
};

struct latency_event {
    char name[32];
    size_t count, next; /* samples kept; where the next one goes */
    int64_t worst_ms;   /* of all time, since the last reset */
    struct latency_sample samples[LATENCY_SAMPLES];
};

int latency_init(struct server *srv);
void latency_fini(struct server *srv);
void latency_sample(struct server *srv, const char *event, int64_t ms); /* kept when over the threshold */
/* Of what began then (demi_clock_ns()) and has ended now. */
void latency_sample_since(struct server *srv, const char *name, uint64_t start_ns);

size_t latency_event_count(const struct server *srv);
const struct latency_event *latency_event_at(const struct server *srv, size_t i);
const struct latency_event *latency_event_find(const struct server *srv, struct bytes name); /* NULL: none */
struct latency_sample latency_event_sample(const struct latency_event *e, size_t i);         /* 0: the oldest kept */
bool latency_event_reset(struct server *srv, struct bytes name); /* in upper or lower case */
size_t latency_reset_all(struct server *srv);                    /* how many there were */

/* LATENCY DOCTOR's report. */
void latency_doctor(struct reply *text, const struct server *srv);

uint32_t *histogram_new(void);
static inline unsigned histogram_bucket(uint64_t ticks)
{
    if (unlikely(ticks < 16)) return (unsigned)ticks;
    unsigned power = 63 - (unsigned)__builtin_clzll(ticks);
    unsigned i = (power - 3) * 16 + (unsigned)(ticks >> (power - 4) & 15);
    return likely(i < HISTOGRAM_BUCKETS) ? i : HISTOGRAM_BUCKETS - 1;
}
/* Of a command's histogram, which may be NULL where said. */
/* the largest number of ticks that falls into it */
uint64_t histogram_bucket_top(unsigned i);
uint64_t histogram_percentile(const uint32_t *h, double percent); /* ticks */
uint64_t histogram_count(const uint32_t *h);                      /* NULL: 0 */

/* The limits at which LATENCY HISTOGRAM shows how many calls took no longer, and how many of a histogram's buckets lie
 * below one of them. */
enum { HISTOGRAM_LIMITS = 21 };
uint64_t histogram_limit_ns(unsigned i);
unsigned histogram_limit_buckets(const struct ticks_rate *rate, unsigned i);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Two kinds of knowledge about delays. The latency monitor keeps, for each named event ("command",
 * "expire-cycle" …) that took at least latency-monitor-threshold milliseconds, the worst of each of
 * the last 160 seconds that had one. And each command has a log-linear histogram of all its calls.
 *
 * The histogram: 16 buckets to each power of two of clock ticks (server/observe/ticks.h), so a bucket is
 * right within 6.25 %; 40 powers reach a quarter of an hour. Ticks become microseconds when
 * somebody asks.
 */
#include "server/observe/latency.h"

#include <string.h>

#include "server/mem.h"
#include "server/observe/ticks.h"
#include "server/server.h"

struct latency {
    struct latency_event events[LATENCY_EVENTS];
    size_t count;
};

int latency_init(struct server *srv)
{
    srv->latency = mem_calloc(sizeof *srv->latency);
    return 0;
}

void latency_fini(struct server *srv)
{
    mem_free(srv->latency);
    srv->latency = NULL;
}

size_t latency_event_count(const struct server *srv) { return srv->latency->count; }
const struct latency_event *latency_event_at(const struct server *srv, size_t i) { return &srv->latency->events[i]; }

const struct latency_event *latency_event_find(const struct server *srv, struct bytes name)
{
    for (size_t i = 0; i < srv->latency->count; i++)
        if (bytes_equal(name, bytes_of_str(srv->latency->events[i].name))) return &srv->latency->events[i];
    return NULL;
}

bool latency_event_reset(struct server *srv, struct bytes name)
{
    struct latency *l = srv->latency;
    for (size_t i = 0; i < l->count; i++) {
        if (!bytes_is_word(name, l->events[i].name)) continue;
        l->events[i] = l->events[--l->count];
        return true;
    }
    return false;
}

size_t latency_reset_all(struct server *srv)
{
    size_t n = srv->latency->count;
    srv->latency->count = 0;
    return n;
}

void latency_sample(struct server *srv, const char *name, int64_t ms)
{
    if (!srv->config->latency_monitor_threshold || ms < srv->config->latency_monitor_threshold) return;
    struct latency *l = srv->latency;
    struct latency_event *e = (struct latency_event *)latency_event_find(srv, bytes_of_str(name));
    if (!e) {
        if (l->count == LATENCY_EVENTS) return;
        e = &l->events[l->count++];
        memset(e, 0, sizeof *e);
        strncpy(e->name, name, sizeof e->name - 1);
    }
    if (ms > e->worst_ms) e->worst_ms = ms;
    int64_t now = demi_wall_us() / 1000000;
    size_t last = (e->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;
    if (e->count && e->samples[last].time_s == now) {
        if (ms > e->samples[last].ms) e->samples[last].ms = ms;
        return;
    }
    e->samples[e->next] = (struct latency_sample){now, ms};
    e->next = (e->next + 1) % LATENCY_SAMPLES;
    if (e->count < LATENCY_SAMPLES) e->count++;
}

void latency_sample_since(struct server *srv, const char *name, uint64_t start_ns)
{
    latency_sample(srv, name, (int64_t)((demi_clock_ns() - start_ns) / 1000000));
}

struct latency_sample latency_event_sample(const struct latency_event *e, size_t i)
{
    return e->samples[(e->next + LATENCY_SAMPLES - e->count + i) % LATENCY_SAMPLES];
}

/* --- histograms --------------------------------------------------------------------------------------------------- */

uint64_t histogram_bucket_top(unsigned i)
{
    if (i < 16) return i;
    unsigned power = i / 16 + 3;
    return ((uint64_t)(16 + i % 16 + 1) << (power - 4)) - 1;
}

uint32_t *histogram_new(void) { return mem_calloc(HISTOGRAM_BUCKETS * sizeof(uint32_t)); }

uint64_t histogram_percentile(const uint32_t *h, double percent)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) total += h[i];
    double want = (double)total * percent / 100.0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h[i];
        if (h[i] && (double)seen >= want) return histogram_bucket_top(i);
    }
    return 0;
}

uint64_t histogram_count(const uint32_t *h)
{
    uint64_t total = 0;
    for (unsigned i = 0; h && i < HISTOGRAM_BUCKETS; i++) total += h[i];
    return total;
}

/* redis-server keeps nanoseconds to two digits, in buckets that are a 128th of a power of two wide, and shows the count
 * up to the end of the bucket that begins at 1024 ns, 2048 ns, ... */
uint64_t histogram_limit_ns(unsigned i)
{
    ASSERT(i < HISTOGRAM_LIMITS);
    return i == HISTOGRAM_LIMITS - 1 ? (UINT64_C(1) << 30) - 1 : (UINT64_C(1024) << i) + (UINT64_C(8) << i) - 1;
}

unsigned histogram_limit_buckets(const struct ticks_rate *rate, unsigned i)
{
    uint64_t limit = histogram_limit_ns(i);
    unsigned low = 0, high = HISTOGRAM_BUCKETS;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (ticks_to_ns(rate, histogram_bucket_top(mid)) <= limit) low = mid + 1;
        else high = mid;
    }
    return low;
}

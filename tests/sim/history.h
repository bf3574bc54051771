/* SPDX-License-Identifier: MIT
 *
 * A history of transactions, and whether it is strictly serialisable. Each value was written once, so that a read tells
 * which transaction it is of; each transaction that wrote has a version, by which the writes of a key are put in order.
 * Then there are edges, each "must come before":
 *
 *     ww   who wrote a key, to who wrote it next          wr   who wrote a value, to who read it
 *     rw   who read a value, to who wrote the next one    rt   who had ended, to who began after that
 *
 * A cycle is a fault. Without one the transactions have an order that explains all that was seen, and none is before
 * one that had ended when it began (Adya 1999; Papadimitriou 1979). The versions are what the store claims: a wrong
 * claim can make a good history look bad, but no bad one good.
 *
 * A transaction whose outcome is not known has happened if somebody read what it wrote; if nobody did, it may be left
 * out. One that did not commit must have left nothing.
 */
#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_MAX = 2000, HISTORY_OPS = 8, HISTORY_KEYS = 64 };
#define HISTORY_NEVER UINT64_MAX

enum history_end { HISTORY_COMMITTED, HISTORY_ABORTED, HISTORY_UNKNOWN };

struct history_read {
    unsigned key;
    uint64_t value, version; /* 0: there was none */
};
struct history_write {
    unsigned key;
    uint64_t value; /* nobody else's */
};

struct history_txn {
    uint64_t begin_ns, end_ns; /* end: HISTORY_NEVER unless it is known to have committed */
    uint64_t version;          /* 0: not known */
    enum history_end end;
    unsigned read_count, write_count, client;
    struct history_read reads[HISTORY_OPS];
    struct history_write writes[HISTORY_OPS];
};

struct history {
    struct history_txn txns[HISTORY_MAX];
    unsigned count;
};

static inline struct history_txn *history_add(struct history *h)
{
    if (h->count == HISTORY_MAX) return NULL;
    struct history_txn *t = &h->txns[h->count++];
    memset(t, 0, sizeof *t);
    t->end = HISTORY_UNKNOWN;
    t->end_ns = HISTORY_NEVER;
    return t;
}

/* --- who wrote what ----------------------------------------------------------------------------------------------- */

struct history_value { /* sorted by value */
    uint64_t value;
    unsigned txn, key;
};

struct history_graph {
    const struct history *h;
    char *why;
    size_t why_size;
    unsigned value_count, order_count;
    struct history_value *values;
    uint64_t *version; /* of each transaction */
    bool *counts;      /* it is in the order */
    unsigned *order;   /* those that count and wrote, by version */
    uint8_t *edges;    /* count * count; 'w', 'r' (wr), 'a' (rw), 't' */
};

static inline int history_compare_values(const void *a, const void *b)
{
    const struct history_value *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static inline const struct history_value *history_find(const struct history_graph *g, uint64_t value)
{
    struct history_value wanted = {.value = value};
    return bsearch(&wanted, g->values, g->value_count, sizeof wanted, history_compare_values);
}

__attribute__((format(printf, 2, 3))) static inline bool history_blame(struct history_graph *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->why, g->why_size, fmt, ap);
    va_end(ap);
    return false;
}

/* One read of a transaction that counts: its writer counts, too, and has the version that was seen. */
static inline bool history_take_read(struct history_graph *g, unsigned reader, const struct history_read *r, bool *more)
{
    if (r->value == 0) return r->version == 0 || history_blame(g, "txn %u: version of nothing", reader);
    const struct history_value *v = history_find(g, r->value);
    if (!v || v->key != r->key)
        return history_blame(g, "txn %u read a value of key %u that nobody wrote", reader, r->key);
    if (g->h->txns[v->txn].end == HISTORY_ABORTED)
        return history_blame(g, "txn %u read what txn %u wrote, which had not committed", reader, v->txn);
    if (g->version[v->txn] && g->version[v->txn] != r->version)
        return history_blame(g, "txn %u saw version %llu of txn %u, whose it is not", reader,
                             (unsigned long long)r->version, v->txn);
    *more |= !g->counts[v->txn];
    g->version[v->txn] = r->version;
    g->counts[v->txn] = true;
    return true;
}

static inline bool history_take_reads(struct history_graph *g)
{
    const struct history *h = g->h;
    for (bool more = true; more;) {
        more = false;
        for (unsigned i = 0; i < h->count; i++)
            for (unsigned k = 0; g->counts[i] && k < h->txns[i].read_count; k++)
                if (!history_take_read(g, i, &h->txns[i].reads[k], &more)) return false;
    }
    return true;
}

/* By insertion: they come nearly in order. */
static inline bool history_put_in_order(struct history_graph *g)
{
    for (unsigned i = 0; i < g->h->count; i++) {
        unsigned at = g->order_count;
        if (!g->counts[i] || !g->h->txns[i].write_count) continue;
        for (; at && g->version[g->order[at - 1]] > g->version[i]; at--) g->order[at] = g->order[at - 1];
        g->order[at] = i;
        g->order_count++;
        if (!g->version[i] || (at && g->version[g->order[at - 1]] == g->version[i]))
            return history_blame(g, "txn %u: version %llu is none, or another's", i, (unsigned long long)g->version[i]);
    }
    return true;
}

/* --- edges -------------------------------------------------------------------------------------------------------- */

static inline void history_edge(struct history_graph *g, unsigned from, unsigned to, uint8_t kind)
{
    if (from != to) g->edges[(size_t)from * g->h->count + to] = kind;
}

static inline bool history_writes(const struct history_txn *t, unsigned key)
{
    for (unsigned k = 0; k < t->write_count; k++)
        if (t->writes[k].key == key) return true;
    return false;
}

/* The first that wrote the key with a version above; count: nobody. */
static inline unsigned history_next_writer(const struct history_graph *g, unsigned key, uint64_t version)
{
    for (unsigned i = 0; i < g->order_count; i++) {
        unsigned t = g->order[i];
        if (g->version[t] > version && history_writes(&g->h->txns[t], key)) return t;
    }
    return g->h->count;
}

static inline void history_draw(struct history_graph *g)
{
    const struct history *h = g->h;
    for (unsigned i = 0; i < h->count; i++) {
        const struct history_txn *t = &h->txns[i];
        if (!g->counts[i]) continue;
        for (unsigned k = 0; k < h->count; k++)
            if (g->counts[k] && t->end_ns < h->txns[k].begin_ns) history_edge(g, i, k, 't');
        for (unsigned k = 0; k < t->write_count; k++) {
            unsigned next = history_next_writer(g, t->writes[k].key, g->version[i]);
            if (next < h->count) history_edge(g, i, next, 'w');
        }
        for (unsigned k = 0; k < t->read_count; k++) {
            const struct history_read *r = &t->reads[k];
            unsigned next = history_next_writer(g, r->key, r->version);
            if (r->value) history_edge(g, history_find(g, r->value)->txn, i, 'r');
            if (next < h->count) history_edge(g, i, next, 'a');
        }
    }
}

/* Takes away whoever has nobody before it, until nobody is left, or a cycle. */
static inline bool history_has_no_cycle(struct history_graph *g)
{
    unsigned n = g->h->count, left = 0;
    unsigned *before = calloc(n + 1, sizeof *before);
    bool more = true, *gone = calloc(n + 1, sizeof *gone);
    for (size_t i = 0; i < (size_t)n * n; i++) before[i % n] += g->edges[i] != 0;
    while (more) {
        more = false;
        for (unsigned i = 0; i < n; i++) {
            if (gone[i] || before[i]) continue;
            more = gone[i] = true;
            for (unsigned k = 0; k < n; k++) before[k] -= g->edges[(size_t)i * n + k] != 0;
        }
    }
    char *at = g->why;
    at += snprintf(at, g->why_size, "a cycle among");
    for (unsigned i = 0; i < n; i++) { /* where one can be come to and left */
        if (gone[i]) continue;
        if (left++ < 6)
            at += snprintf(at, g->why_size - (size_t)(at - g->why), " %u (client %u, version %llu)", i,
                           g->h->txns[i].client, (unsigned long long)g->version[i]);
    }
    free(before);
    free(gone);
    if (!left) g->why[0] = 0;
    return !left;
}

/* Strictly serialisable; or why (of at least 400 bytes) says what is wrong. */
static inline bool history_check(const struct history *h, char *why, size_t why_size)
{
    size_t n = h->count;
    struct history_graph g = {.h = h, .why = why, .why_size = why_size};
    g.values = calloc(n * HISTORY_OPS + 1, sizeof *g.values);
    g.version = calloc(n + 1, sizeof *g.version);
    g.counts = calloc(n + 1, sizeof *g.counts);
    g.order = calloc(n + 1, sizeof *g.order);
    g.edges = calloc(n * n + 1, 1);
    why[0] = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct history_txn *t = &h->txns[i];
        g.version[i] = t->version;
        g.counts[i] = t->end == HISTORY_COMMITTED;
        for (unsigned k = 0; k < t->write_count; k++)
            g.values[g.value_count++] = (struct history_value){t->writes[k].value, i, t->writes[k].key};
    }
    qsort(g.values, g.value_count, sizeof *g.values, history_compare_values);
    bool good = history_take_reads(&g) && history_put_in_order(&g);
    if (good) history_draw(&g);
    good = good && history_has_no_cycle(&g);
    free(g.values);
    free(g.version);
    free(g.counts);
    free(g.order);
    free(g.edges);
    return good;
}

#endif

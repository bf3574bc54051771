/* SPDX-License-Identifier: MIT
 *
 * A client's own keys as it thinks they are: strings, counters, lists, hashes of a few fields, and random commands on
 * them with the very bytes of their replies. Values are a number and a length: their bytes follow from those.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "alloc/base/hash.h"
#include "alloc/base/rng.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_STRINGS  6
#define MODEL_COUNTERS 3
#define MODEL_LISTS    3
#define MODEL_PARTS    4  /* of a string that was appended to */
#define MODEL_ITEMS    40 /* of a list */

struct made {
    uint32_t id, n;
};

/* No pointers: copied with '='. */
struct model {
    int owner; /* in the keys' names */
    uint32_t large_max;
    struct {
        struct made parts[MODEL_PARTS];
        unsigned count;
        bool exists;
    } strings[MODEL_STRINGS];
    struct {
        int64_t n;
        bool exists;
    } counters[MODEL_COUNTERS];
    struct {
        struct made items[MODEL_ITEMS];
        unsigned count;
    } lists[MODEL_LISTS];
};

struct text {
    char *p;
    size_t n, room;
};

static inline char *text_room(struct text *t, size_t n)
{
    if (t->room - t->n < n) {
        t->room = (t->n + n) * 2;
        t->p = realloc(t->p, t->room);
    }
    t->n += n;
    return t->p + t->n - n;
}

__attribute__((format(printf, 2, 3))) static inline void text_add(struct text *t, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    memcpy(text_room(t, (size_t)n), small, (size_t)n);
}

static inline void text_value(struct text *t, struct made v)
{
    char *p = text_room(t, v.n);
    for (uint32_t i = 0; i < v.n; i++) p[i] = (char)(hash_u64(i >> 3, v.id) >> (8 * (i & 7)));
}

static inline void text_bulk(struct text *t, struct made v)
{
    text_add(t, "$%u\r\n", v.n);
    text_value(t, v);
    text_add(t, "\r\n");
}

static inline uint32_t string_bytes(const struct model *m, unsigned s)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < m->strings[s].count; i++) n += m->strings[s].parts[i].n;
    return n;
}

static inline void text_string(struct text *t, const struct model *m, unsigned s)
{
    if (!m->strings[s].exists) {
        text_add(t, "$-1\r\n");
        return;
    }
    text_add(t, "$%u\r\n", string_bytes(m, s));
    for (unsigned i = 0; i < m->strings[s].count; i++) text_value(t, m->strings[s].parts[i]);
    text_add(t, "\r\n");
}

static inline struct made value_random(const struct model *m, struct rng *r)
{
    uint32_t most = rng_below(r, 20) ? 60 : m->large_max;
    return (struct made){(uint32_t)rng_u64(r), 1 + (uint32_t)rng_below(r, most)};
}

/* --- commands: what is sent into cmd, what must come back into reply, the model changed --------------------------- */

static inline void command_head(struct text *cmd, int argc, const char *name)
{
    text_add(cmd, "*%d\r\n$%zu\r\n%s\r\n", argc, strlen(name), name);
}

static inline void command_key(struct text *cmd, const struct model *m, char kind, unsigned k)
{
    char key[32];
    int n = snprintf(key, sizeof key, "%d:%c%u", m->owner, kind, k);
    text_add(cmd, "$%d\r\n%s\r\n", n, key);
}

static inline void on_string(struct model *m, struct rng *r, struct text *cmd, struct text *reply)
{
    unsigned s = (unsigned)rng_below(r, MODEL_STRINGS);
    struct made v = value_random(m, r);
    switch (rng_below(r, 7)) {
    case 0:
    case 1:
        command_head(cmd, 3, "SET");
        command_key(cmd, m, 's', s);
        text_bulk(cmd, v);
        m->strings[s].count = 1;
        m->strings[s].parts[0] = v;
        m->strings[s].exists = true;
        text_add(reply, "+OK\r\n");
        break;
    case 2:
        if (m->strings[s].count == MODEL_PARTS) break;
        command_head(cmd, 3, "APPEND");
        command_key(cmd, m, 's', s);
        text_bulk(cmd, v);
        m->strings[s].parts[m->strings[s].count++] = v;
        m->strings[s].exists = true;
        text_add(reply, ":%u\r\n", string_bytes(m, s));
        break;
    case 3:
        command_head(cmd, 2, "STRLEN");
        command_key(cmd, m, 's', s);
        text_add(reply, ":%u\r\n", string_bytes(m, s));
        break;
    case 4:
        command_head(cmd, 2, "DEL");
        command_key(cmd, m, 's', s);
        text_add(reply, ":%d\r\n", m->strings[s].exists);
        m->strings[s].exists = false;
        m->strings[s].count = 0;
        break;
    default:
        command_head(cmd, 2, "GET");
        command_key(cmd, m, 's', s);
        text_string(reply, m, s);
        break;
    }
}

static inline void on_counter(struct model *m, struct rng *r, struct text *cmd, struct text *reply)
{
    unsigned k = (unsigned)rng_below(r, MODEL_COUNTERS);
    int64_t by = (int64_t)rng_below(r, 2000) - 1000;
    char text[32];
    switch (rng_below(r, 4)) {
    case 0:
        command_head(cmd, 2, "INCR");
        command_key(cmd, m, 'c', k);
        by = 1;
        break;
    case 1:
        command_head(cmd, 3, "INCRBY");
        command_key(cmd, m, 'c', k);
        text_add(cmd, "$%d\r\n%s\r\n", snprintf(text, sizeof text, "%lld", (long long)by), text);
        break;
    case 2: /* as a person would type it */
        text_add(cmd, "decr %d:c%u\r\n", m->owner, k);
        by = -1;
        break;
    default:
        command_head(cmd, 2, "LPOP");
        command_key(cmd, m, 'c', k);
        text_add(reply, m->counters[k].exists ? "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                                              : "$-1\r\n");
        return;
    }
    m->counters[k].n += by;
    m->counters[k].exists = true;
    text_add(reply, ":%lld\r\n", (long long)m->counters[k].n);
}

static inline void list_shift(struct model *m, unsigned k, bool left, struct text *reply)
{
    if (!m->lists[k].count) {
        text_add(reply, "$-1\r\n");
        return;
    }
    struct made *items = m->lists[k].items;
    unsigned last = --m->lists[k].count;
    text_bulk(reply, items[left ? 0 : last]);
    if (left) memmove(items, items + 1, last * sizeof *items);
}

static inline void text_list(struct text *t, const struct model *m, unsigned k)
{
    text_add(t, "*%u\r\n", m->lists[k].count);
    for (unsigned i = 0; i < m->lists[k].count; i++) text_bulk(t, m->lists[k].items[i]);
}

static inline void on_list(struct model *m, struct rng *r, struct text *cmd, struct text *reply)
{
    unsigned k = (unsigned)rng_below(r, MODEL_LISTS);
    bool left = rng_below(r, 2);
    struct made v = value_random(m, r), *items = m->lists[k].items;
    switch (rng_below(r, 6)) {
    case 0:
    case 1:
        if (m->lists[k].count == MODEL_ITEMS) break;
        command_head(cmd, 3, left ? "LPUSH" : "RPUSH");
        command_key(cmd, m, 'l', k);
        text_bulk(cmd, v);
        if (left) memmove(items + 1, items, m->lists[k].count * sizeof *items);
        items[left ? 0 : m->lists[k].count] = v;
        text_add(reply, ":%u\r\n", ++m->lists[k].count);
        break;
    case 2:
        command_head(cmd, 2, left ? "LPOP" : "RPOP");
        command_key(cmd, m, 'l', k);
        list_shift(m, k, left, reply);
        break;
    case 3:
        command_head(cmd, 2, "LLEN");
        command_key(cmd, m, 'l', k);
        text_add(reply, ":%u\r\n", m->lists[k].count);
        break;
    case 4:
        command_head(cmd, 4, "LRANGE");
        command_key(cmd, m, 'l', k);
        text_add(cmd, "$1\r\n0\r\n$2\r\n-1\r\n");
        text_list(reply, m, k);
        break;
    default:
        command_head(cmd, 2, "GET");
        command_key(cmd, m, 'l', k);
        text_add(reply, m->lists[k].count ? "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                                          : "$-1\r\n");
        break;
    }
}

/* Some random command, or none. */
static inline void model_step(struct model *m, struct rng *r, struct text *cmd, struct text *reply)
{
    switch (rng_below(r, 8)) {
    case 0:
    case 1: on_counter(m, r, cmd, reply); break;
    case 2:
    case 3:
    case 4: on_list(m, r, cmd, reply); break;
    default: on_string(m, r, cmd, reply); break;
    }
}

/* Commands that tell everything, and what they must reply. */
static inline void model_questions(const struct model *m, struct text *cmd)
{
    for (unsigned s = 0; s < MODEL_STRINGS; s++) command_head(cmd, 2, "GET"), command_key(cmd, m, 's', s);
    for (unsigned k = 0; k < MODEL_COUNTERS; k++) command_head(cmd, 2, "GET"), command_key(cmd, m, 'c', k);
    for (unsigned k = 0; k < MODEL_LISTS; k++) {
        command_head(cmd, 4, "LRANGE");
        command_key(cmd, m, 'l', k);
        text_add(cmd, "$1\r\n0\r\n$2\r\n-1\r\n");
    }
}

#define MODEL_ANSWERS (MODEL_STRINGS + MODEL_COUNTERS + MODEL_LISTS)

static inline void model_answers(const struct model *m, struct text *reply)
{
    char number[32];
    for (unsigned s = 0; s < MODEL_STRINGS; s++) text_string(reply, m, s);
    for (unsigned k = 0; k < MODEL_COUNTERS; k++) {
        if (m->counters[k].exists)
            text_add(reply, "$%d\r\n%s\r\n", snprintf(number, sizeof number, "%lld", (long long)m->counters[k].n),
                     number);
        else text_add(reply, "$-1\r\n");
    }
    for (unsigned k = 0; k < MODEL_LISTS; k++) text_list(reply, m, k);
}

#endif

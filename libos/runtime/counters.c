/* SPDX-License-Identifier: MIT
 *
 * See counters.h.
 */
#include "libos/runtime/counters.h"

#include <errno.h>
#include <stdlib.h>

int counters_add(struct counters *c, const char *name, const uint64_t *value)
{
    if (c->count == c->room) {
        unsigned room = c->room ? c->room * 2 : 32;
        struct counter *list = realloc(c->list, room * sizeof *list);
        if (!list) return -ENOMEM;
        c->list = list;
        c->room = room;
    }
    c->list[c->count++] = (struct counter){name, value};
    return 0;
}

int counters_add_all(struct counters *c, const struct counter *all, unsigned n)
{
    int err = 0;
    for (unsigned i = 0; i < n && !err; i++) err = counters_add(c, all[i].name, all[i].value);
    return err;
}

void counters_remove(struct counters *c, const void *p, uint64_t n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < c->count; i++) {
        uintptr_t at = (uintptr_t)c->list[i].value;
        if (at - (uintptr_t)p >= n) c->list[kept++] = c->list[i];
    }
    c->count = kept;
}

void counters_visit(const struct counters *c, void (*fn)(void *arg, const char *name, uint64_t value), void *arg)
{
    for (unsigned i = 0; i < c->count; i++) fn(arg, c->list[i].name, *c->list[i].value);
}

void counters_free(struct counters *c)
{
    free(c->list);
    *c = (struct counters){0};
}

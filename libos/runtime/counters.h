/* SPDX-License-Identifier: MIT
 *
 * Counters of a runtime: one list of names and where their values lie. Who counts owns the integer
 * and increments it; nothing is copied until somebody looks.
 */
#ifndef RUNTIME_COUNTERS_H
#define RUNTIME_COUNTERS_H

#include <stdint.h>

struct counters {
    struct counter *list;
    unsigned count, room;
};

struct counter {
    const char *name;
    const uint64_t *value;
};

/* name must live as long as the value ("posix.rx_bytes"). -ENOMEM. */
int counters_add(struct counters *c, const char *name, const uint64_t *value);
/* -ENOMEM: some of them may be there; counters_remove() where their values go. */
int counters_add_all(struct counters *c, const struct counter *all, unsigned n);
/* Forgets every counter whose value lies inside of [p, p + n). */
void counters_remove(struct counters *c, const void *p, uint64_t n);
void counters_visit(const struct counters *c, void (*fn)(void *arg, const char *name, uint64_t value), void *arg);
void counters_free(struct counters *c);

#endif

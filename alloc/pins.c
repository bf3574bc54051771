/* SPDX-License-Identifier: MIT
 *
 * Open addressing with linear probing, at most half full; a removal moves later entries of the same
 * cluster back, so that there are no tombstones and a table that breathes does not decay.
 */
#include "alloc/pins.h"

#include <stdlib.h>

#include "alloc/base/assert.h"

#define PLACES_MIN 64

/* Objects are 8 bytes apart at least. The multiplier is 2^64 / golden ratio. */
static size_t place_of(const struct pins *t, const void *object)
{
    return (size_t)(((uintptr_t)object >> 3) * 0x9e3779b97f4a7c15u >> 32) & t->mask;
}

void pins_fini(struct pins *t)
{
    free(t->places);
    *t = (struct pins){0};
}

/* Where it is, or the empty place where it would go. */
static struct pin *probe(const struct pins *t, const void *object)
{
    size_t i = place_of(t, object);
    while (t->places[i].object && t->places[i].object != object) i = (i + 1) & t->mask;
    return &t->places[i];
}

struct pin *pins_find(const struct pins *t, const void *object)
{
    if (!t->count) return NULL;
    struct pin *pin = probe(t, object);
    return pin->object ? pin : NULL;
}

static bool pins_grow(struct pins *t)
{
    size_t places = t->places ? (t->mask + 1) * 2 : PLACES_MIN;
    struct pins bigger = {.mask = places - 1, .count = t->count};
    bigger.places = calloc(places, sizeof(struct pin));
    if (!bigger.places) return false;
    for (size_t i = 0; t->places && i <= t->mask; i++)
        if (t->places[i].object) *probe(&bigger, t->places[i].object) = t->places[i];
    free(t->places);
    *t = bigger;
    return true;
}

struct pin *pins_add(struct pins *t, void *object)
{
    struct pin *pin = pins_find(t, object);
    if (pin) return pin;
    if ((!t->places || t->count * 2 > t->mask) && !pins_grow(t)) return NULL;
    pin = probe(t, object);
    *pin = (struct pin){.object = object};
    t->count++;
    return pin;
}

void pins_remove(struct pins *t, struct pin *pin)
{
    size_t hole = (size_t)(pin - t->places);
    DASSERT(t->places[hole].object);
    t->count--;
    for (size_t i = (hole + 1) & t->mask; t->places[i].object; i = (i + 1) & t->mask) {
        size_t home = place_of(t, t->places[i].object);
        if (((i - home) & t->mask) < ((i - hole) & t->mask)) continue; /* its home lies behind the hole */
        t->places[hole] = t->places[i];
        hole = i;
    }
    t->places[hole].object = NULL;
}

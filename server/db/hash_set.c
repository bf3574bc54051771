/* SPDX-License-Identifier: MIT */
#include "server/db/hash_set.h"

#include <string.h>

#include "server/mem.h"

#define ROOM_MIN 16

/* 0 stands for a free place; its own hash shares one with 1. */
static uint64_t mark_of(uint64_t hash) { return hash ? hash : 1; }

/* Where the mark is, or the free place where it would be. */
static size_t place_of(const uint64_t *v, size_t cap, uint64_t mark)
{
    size_t i = mark & (cap - 1);
    while (v[i] && v[i] != mark) i = (i + 1) & (cap - 1);
    return i;
}

/* At least half of the places are free afterwards. */
static void make_room(struct hash_set *s)
{
    if (s->count * 2 < s->cap) return;
    size_t cap = s->cap ? s->cap * 2 : ROOM_MIN;
    uint64_t *v = mem_calloc(cap * sizeof *v);
    for (size_t i = 0; i < s->cap; i++)
        if (s->v[i]) v[place_of(v, cap, s->v[i])] = s->v[i];
    mem_free(s->v);
    s->v = v;
    s->cap = cap;
}

bool hash_set_add(struct hash_set *s, uint64_t hash)
{
    make_room(s);
    uint64_t mark = mark_of(hash), *at = &s->v[place_of(s->v, s->cap, mark)];
    if (*at) return false;
    *at = mark;
    s->count++;
    return true;
}

void hash_set_clear(struct hash_set *s, size_t keep)
{
    if (s->count == 0 && s->cap <= keep) return;
    s->count = 0;
    if (s->cap > keep) {
        mem_free(s->v);
        s->v = NULL;
        s->cap = 0;
        return;
    }
    memset(s->v, 0, s->cap * sizeof *s->v);
}

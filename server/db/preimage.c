/* SPDX-License-Identifier: MIT
 *
 * What keeps "once a command and entry" true: a set of the hashes that the running command has told, emptied when
 * another command comes. Two keys of one command with equal hashes of 64 bits would be told once
 * together; with the keyspace's keyed hash that is chance, 2^-64 a pair.
 */
#include "server/db/preimage.h"

#include "server/db/keyspace.h"
#include "server/mem.h"

#define TOLD_MIN  16
#define TOLD_KEEP 4096 /* more room than this is given back with the next command */

static void forget_told(struct preimage *p, uint64_t serial)
{
    p->serial = serial;
    if (p->told_count == 0) return;
    p->told_count = 0;
    if (p->told_cap > TOLD_KEEP) {
        mem_free(p->told);
        p->told = NULL;
        p->told_cap = 0;
        return;
    }
    memset(p->told, 0, p->told_cap * sizeof *p->told);
}

/* False: it was in already. */
static bool put_in(uint64_t *told, size_t cap, uint64_t mark)
{
    for (size_t i = mark & (cap - 1);; i = (i + 1) & (cap - 1)) {
        if (told[i] == mark) return false;
        if (told[i]) continue;
        told[i] = mark;
        return true;
    }
}

static void make_room(struct preimage *p)
{
    if (p->told_count * 2 < p->told_cap) return;
    size_t cap = p->told_cap ? p->told_cap * 2 : TOLD_MIN;
    uint64_t *told = mem_calloc(cap * sizeof *told);
    for (size_t i = 0; i < p->told_cap; i++)
        if (p->told[i]) put_in(told, cap, p->told[i]);
    mem_free(p->told);
    p->told = told;
    p->told_cap = cap;
}

static bool is_first(struct preimage *p, uint64_t serial, uint64_t mark)
{
    if (p->serial != serial) forget_told(p, serial);
    make_room(p);
    if (!put_in(p->told, p->told_cap, mark ? mark : 1)) return false;
    p->told_count++;
    return true;
}

void keyspace_tell_before(struct call *c, struct db *db, struct slice *s, const struct key_ref *key,
                          const struct entry *e)
{
    struct preimage *p = s->preimage;
    if (is_first(p, srv_command_serial(c), key->hash + (uint64_t)db->id * 0x9e3779b97f4a7c15u))
        p->before(p, c, db, key, e);
}

void preimage_observe(struct db *db, struct preimage *p)
{
    for (unsigned i = 0; i < db->slice_count; i++) db->slices[i].preimage = p;
}

void preimage_fini(struct preimage *p)
{
    mem_free(p->told);
    p->told = NULL;
    p->told_count = p->told_cap = 0;
}

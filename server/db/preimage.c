/* SPDX-License-Identifier: MIT
 *
 * Observers form a list that starts in every slice. Who comes is first, and who goes is left out, in all of them.
 *
 * What keeps "once a command and entry" true is a set of the hashes that the running command has told, emptied when
 * another command comes.
 */
#include "server/db/preimage.h"

#include "server/db/keyspace.h"

#define TOLD_KEEP 4096 /* more room than this is given back with the next command */

/* Keys of the same name in several databases are different keys. */
static uint64_t mark_of(const struct db *db, const struct key_ref *key)
{
    return key->hash + (uint64_t)db->id * 0x9e3779b97f4a7c15u;
}

static void tell(struct preimage *p, struct call *c, struct db *db, const struct key_ref *key, struct entry *e)
{
    if (unlikely(!p->every)) {
        uint64_t serial = srv_command_serial(c);
        if (p->serial != serial) hash_set_clear(&p->told, TOLD_KEEP);
        p->serial = serial;
        if (!hash_set_add(&p->told, mark_of(db, key))) return;
    }
    p->before(p, c, db, key, e);
}

void keyspace_tell_before(struct call *c, struct db *db, struct slice *s, const struct key_ref *key, struct entry *e)
{
    for (struct preimage *p = s->preimage; p; p = p->next) tell(p, c, db, key, e);
}

void keyspace_tell_elements(struct call *c, struct db *db, struct slice *s, const struct key_ref *key, struct entry *e)
{
    for (struct preimage *p = s->preimage; p; p = p->next)
        if (!p->elements || !p->elements(p, db, e)) tell(p, c, db, key, e);
}

bool keyspace_tell_gone(struct call *c, struct db *db, struct slice *s, const struct key_ref *key, struct entry *e)
{
    bool taken = false;
    for (struct preimage *p = s->preimage; p; p = p->next) {
        if (!taken && p->gone && p->gone(p, db, e)) taken = true;
        else tell(p, c, db, key, e);
    }
    return taken;
}

bool preimage_holds(const struct db *db, struct entry *e)
{
    for (struct preimage *p = db->slices[0].preimage; p; p = p->next)
        if (p->holds && p->holds(p, db, e)) return true;
    return false;
}

bool preimage_tell_whole(struct call *c, struct db *db, struct db *with)
{
    bool taken = false;
    for (struct preimage *p = db->slices[0].preimage; p; p = p->next) {
        bool takes = p->whole(p, c, db, with);
        ASSERT(!(takes && (taken || with)));
        taken |= takes;
    }
    return taken;
}

void preimage_observe(struct db *dbs, int count, struct preimage *p)
{
    p->next = dbs[0].slices[0].preimage;
    for (int i = 0; i < count; i++)
        for (unsigned k = 0; k < dbs[i].slice_count; k++) dbs[i].slices[k].preimage = p;
}

void preimage_forget(struct db *dbs, int count, struct preimage *p)
{
    struct preimage *first = dbs[0].slices[0].preimage, **at = &first;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    for (int i = 0; i < count; i++)
        for (unsigned k = 0; k < dbs[i].slice_count; k++) dbs[i].slices[k].preimage = first;
    hash_set_clear(&p->told, 0);
}

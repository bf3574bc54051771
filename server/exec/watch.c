/* SPDX-License-Identifier: MIT
 *
 * WATCH: whatever changes a key marks those who watch it (keyspace_after() in server/db/keyspace.h), and EXEC only
 * looks at the mark. The relation has two ways: the slice knows who watches a key, the client which keys it watches.
 *
 * A key that was already past its time when it was watched counts as absent: that it is then deleted changes nothing.
 */
#include "server/db/hooks.h"
#include "server/db/interest.h"
#include "server/exec/multi_state.h"
#include "server/mem.h"
#include "server/exec/session.h"

struct watch {
    struct interest_link by_key;
    struct list by_client; /* in multi.watched */
    struct session *s;
    bool expired; /* it was already past its time */
};

/* What lies in the table, past its time or not. */
static const struct entry *find_raw(const struct db *db, const struct key_ref *key)
{
    return table_find(&db_slice(db, key)->table, key->hash, key->name);
}

static struct watch *watch_of(struct list *link) { return list_entry(link, struct watch, by_key.link); }

/* Whether s watches k. Both lists may be long by somebody's wish: they are walked side by side, as far as the shorter
 * one goes. */
static bool watches(const struct session *s, const struct interest_key *k)
{
    const struct list *mine = &s->multi->watched, *theirs = &k->links[INTEREST_WATCH];
    const struct list *a = mine->next, *b = theirs->next;
    for (; a != mine && b != theirs; a = a->next, b = b->next) {
        if (list_entry(a, const struct watch, by_client)->by_key.key == k) return true;
        if (list_entry(b, const struct watch, by_key.link)->s == s) return true;
    }
    return false;
}

void watch_key(struct call *c, const struct key_ref *key)
{
    struct multi *m = multi_of(c->session);
    const struct interest_key *k = interest_find(c->db, key);
    if (k && watches(c->session, k)) return;
    struct watch *l = mem_alloc(sizeof *l);
    l->s = c->session;
    const struct entry *e = find_raw(c->db, key);
    l->expired = e && db_is_expired(c, e);
    interest_add(c->db, key, INTEREST_WATCH, &l->by_key);
    list_push_back(&m->watched, &l->by_client);
    m->watched_count++;
}

void watch_forget(struct session *s)
{
    if (!s->multi) return;
    list_for_each_safe(it, &s->multi->watched)
    {
        struct watch *l = list_entry(it, struct watch, by_client);
        list_remove(&l->by_client);
        interest_remove(&l->by_key);
        mem_free(l);
    }
    s->multi->watched_count = 0;
}

size_t watch_memory(const struct session *s) { return s->multi ? s->multi->watched_count * sizeof(struct watch) : 0; }
size_t watch_count(const struct session *s) { return s->multi ? s->multi->watched_count : 0; }

void watch_touch(struct call *c, struct db *db, const struct key_ref *key)
{
    struct interest_key *k = interest_find(db, key);
    if (!k) return;
    list_for_each(it, &k->links[INTEREST_WATCH])
    {
        struct watch *l = watch_of(it);
        if (l->expired && !find_raw(db, key)) {
            l->expired = false; /* what was as good as gone is gone */
            continue;
        }
        l->s->flags |= SESSION_DIRTY_CAS;
    }
}

static void touch_exchanged(struct call *c, struct watch *l, const struct entry *was, const struct entry *comes)
{
    if (l->expired) {
        if (!comes) {
            l->expired = false;
            return;
        }
        if (db_is_expired(c, comes)) return;
    } else if (!was && comes && db_is_expired(c, comes)) {
        l->expired = true;
        return;
    }
    l->s->flags |= SESSION_DIRTY_CAS;
}

struct exchange {
    struct call *c;
    const struct db *replaced_by;
};

static void touch_key(void *arg, struct interest_key *k)
{
    const struct exchange *x = arg;
    struct key_ref key = interest_ref(k);
    const struct entry *was = find_raw(k->db, &key), *comes = x->replaced_by ? find_raw(x->replaced_by, &key) : NULL;
    if (!was && !comes) return;
    list_for_each(it, &k->links[INTEREST_WATCH]) touch_exchanged(x->c, watch_of(it), was, comes);
}

void watch_touch_all(struct call *c, struct db *db, struct db *replaced_by)
{
    interest_each(db, touch_key, &(struct exchange){c, replaced_by});
}

bool watch_any_expired(struct call *c)
{
    if (!c->session->multi) return false;
    list_for_each(it, &c->session->multi->watched)
    {
        const struct watch *l = list_entry(it, struct watch, by_client);
        if (l->expired) continue;
        struct key_ref key = interest_ref(l->by_key.key);
        const struct entry *e = find_raw(l->by_key.key->db, &key);
        if (e && db_is_expired(c, e)) return true;
    }
    return false;
}

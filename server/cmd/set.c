/* SPDX-License-Identifier: MIT
 *
 * The commands on one set (and SMOVE). Random ones are in set_random.c, those on several sets in set_ops.c. Behaviour,
 * texts and the order of checks are redis-server 7.2.4's.
 */
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/types/set.h"

/* --- changed ------------------------------------------------------------------------------------------------------ */

static int64_t add_members(struct call *c, struct set *s, const struct set_rules *rules)
{
    int64_t added = 0;
    for (int i = 2; i < c->argc; i++) added += set_add(s, c->argv[i], rules);
    return added;
}

void cmd_sadd(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct set_rules rules = set_rules(c->cfg, c->db->hash_seed);
    struct entry *e = db_lookup_elements(c, key);
    if (e && call_wrong_type(c, e, OBJ_SET)) return;

    size_t count = (size_t)c->argc - 2;
    struct set s = e ? set_of(e) : set_new(c->argv[2], count, &rules);
    if (e) set_expect(&s, count, &rules);
    int64_t added = add_members(c, &s, &rules);
    if (e) set_store(e, &s);
    else db_put_value(c, key, set_value(&s), -1, 0);
    if (added) {
        db_changed(c, key, NOTIFY_SET, "sadd");
        c->dirty += added - 1;
    }
    call_integer(c, added);
}

void cmd_srem(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct entry *e = db_lookup_elements(c, key);
    if (!e) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_SET)) return;

    struct set s = set_of(e);
    int64_t removed = 0;
    for (int i = 2; i < c->argc && set_count(&s); i++) removed += set_remove(&s, c->argv[i]);
    set_store(e, &s);
    if (removed) {
        bool emptied = set_count(&s) == 0;
        if (emptied) db_delete(c, key);
        db_changed(c, key, NOTIFY_SET, "srem");
        c->dirty += removed - 1;
        if (emptied) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    }
    call_integer(c, removed);
}

static void add_to(struct call *c, const struct key_ref *key, struct entry *e, struct bytes member)
{
    struct set_rules rules = set_rules(c->cfg, c->db->hash_seed);
    struct set s = e ? set_of(e) : set_new(member, 1, &rules);
    bool added = set_add(&s, member, &rules);
    if (e) set_store(e, &s);
    else db_put_value(c, key, set_value(&s), -1, 0);
    if (added) db_changed(c, key, NOTIFY_SET, "sadd");
}

void cmd_smove(struct call *c)
{
    const struct key_ref *from = call_key(c, 1), *to = call_key(c, 2);
    struct bytes member = c->argv[3];
    struct entry *src = db_lookup_elements(c, from), *dst = db_lookup_elements(c, to);
    if (!src) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, src, OBJ_SET) || (dst && call_wrong_type(c, dst, OBJ_SET))) return;

    struct set s = set_of(src);
    if (src == dst) {
        call_integer(c, set_has(&s, member));
        return;
    }
    if (!set_remove(&s, member)) {
        call_integer(c, 0);
        return;
    }
    set_store(src, &s);
    bool emptied = set_count(&s) == 0;
    if (emptied) db_delete(c, from);
    db_changed(c, from, NOTIFY_SET, "srem");
    if (emptied) db_notify(c, NOTIFY_GENERIC, "del", from, c->db->id);
    add_to(c, to, dst, member);
    call_integer(c, 1);
}

/* --- asked -------------------------------------------------------------------------------------------------------- */

void cmd_sismember(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_SET)) return;
    struct set s;
    if (e) s = set_of(e);
    call_integer(c, e && set_has(&s, c->argv[2]));
}

void cmd_smismember(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_SET)) return;
    struct set s;
    if (e) s = set_of(e);
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) call_integer(c, e && set_has(&s, c->argv[i]));
}

void cmd_scard(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_SET)) return;
    struct set s;
    if (e) s = set_of(e);
    call_integer(c, e ? (int64_t)set_count(&s) : 0);
}

void cmd_smembers(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        reply_set(c->out, 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_SET)) return;
    struct set s = set_of(e);
    struct set_iter it;
    reply_set(c->out, set_count(&s));
    set_iter_init(&it, &s);
    while (set_iter_next(&it)) call_bulk(c, it.member);
    set_iter_fini(&it);
}

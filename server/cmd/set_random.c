/* SPDX-License-Identifier: MIT
 *
 * SPOP and SRANDMEMBER. What SPOP took is propagated as SREM, so that replicas and the log lose the same members.
 *
 * Every subset of the wanted size is equally likely. One much smaller than the set is drawn member by member, what
 * comes up twice being drawn again; otherwise one walk over the set decides for each member with the odds that are left
 * (Knuth, The Art of Computer Programming 3.4.2, algorithm S).
 */
#include <string.h>

#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"
#include "server/types/set.h"

#define DRAW_BELOW 3 /* subsets of at most a third are drawn */
#define POP_KEEPS  5 /* SPOP builds a new set of what stays when that is less than a fifth of what goes */

static struct rng seeded(struct call *c)
{
    struct rng rng;
    rng_seed(&rng, call_random(c));
    return rng;
}

/* --- SPOP --------------------------------------------------------------------------------------------------------- */

#define SREM_MEMBERS 1024 /* of one effect, as redis-server 7.2 has it */

/* What went, for the next effect. Members are copied: they lie in what they go from. */
struct removed {
    struct bytes argv[2 + SREM_MEMBERS]; /* SREM, key, and members: where they are in text, until they are told */
    int argc;
    char *text;
    size_t used, cap;
};

static void removed_init(struct removed *r, const struct key_ref *key)
{
    r->argv[0] = BYTES("SREM");
    r->argv[1] = key->name;
    r->argc = 2;
    r->text = NULL;
    r->used = r->cap = 0;
}

static void removed_tell(struct call *c, struct removed *r)
{
    if (r->argc == 2) return;
    for (int i = 2; i < r->argc; i++) r->argv[i].p = r->text + (uintptr_t)r->argv[i].p;
    effect_as(c, r->argc, r->argv);
    r->argc = 2;
    r->used = 0;
}

static void removed_add(struct call *c, struct removed *r, struct bytes member)
{
    if (!effect_wanted(c)) return;
    if (r->cap - r->used < member.n || !r->text) {
        r->cap = (r->used + member.n) * 2 + 64;
        r->text = mem_realloc(r->text, r->cap);
    }
    if (member.n) memcpy(r->text + r->used, member.p, member.n);
    r->argv[r->argc++] = bytes_of((const char *)(uintptr_t)r->used, member.n);
    r->used += member.n;
    if (r->argc == 2 + SREM_MEMBERS) removed_tell(c, r);
}

static void removed_end(struct call *c, struct removed *r)
{
    removed_tell(c, r);
    mem_free(r->text);
}

static void reply_all(struct call *c, const struct set *s)
{
    struct set_iter it;
    set_iter_init(&it, s);
    while (set_iter_next(&it)) call_bulk(c, it.member);
    set_iter_fini(&it);
}

static void pop_one(struct call *c, const struct key_ref *key, struct entry *e)
{
    struct set s = set_of(e);
    struct rng rng = seeded(c);
    char buf[NUMBER_I64_SIZE];
    struct bytes member = set_random(&s, &rng, buf);
    if (effect_wanted(c)) effect_as(c, 3, (struct bytes[]){BYTES("SREM"), key->name, member});
    call_bulk(c, member);
    set_remove(&s, member);
    set_store(e, &s);
    bool emptied = set_count(&s) == 0;
    if (emptied) db_delete(c, key);
    db_changed(c, key, NOTIFY_SET, "spop");
    if (emptied) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
}

static void pop_all(struct call *c, const struct key_ref *key, struct entry *e)
{
    struct set s = set_of(e);
    size_t count = set_count(&s);
    reply_set(c->out, count);
    reply_all(c, &s);
    db_delete(c, key);
    db_changed(c, key, NOTIFY_SET, "spop");
    c->dirty += (int64_t)count - 1;
    db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    effect_deleted(c, key->name, c->cfg->lazyfree_lazy_server_del);
}

/* What stays of a listpack is collected in another, so that each member is looked at once and their order is kept. */
static void pop_chosen(struct call *c, struct removed *gone, struct set *s, size_t count)
{
    struct rng rng = seeded(c);
    struct set kept = set_new_listpack();
    struct set_iter it;
    size_t left = set_count(s);
    set_iter_init(&it, s);
    for (; set_iter_next(&it); left--) {
        if (rng_below(&rng, left) >= count) {
            kept.p = lp_append(kept.p, it.member);
            continue;
        }
        removed_add(c, gone, it.member);
        call_bulk(c, it.member);
        count--;
    }
    set_iter_fini(&it);
    set_free(s);
    *s = kept;
}

static void pop_drawn(struct call *c, struct removed *gone, struct set *s, size_t count)
{
    struct rng rng = seeded(c);
    char buf[NUMBER_I64_SIZE];
    for (; count; count--) {
        struct bytes member = set_random(s, &rng, buf);
        removed_add(c, gone, member);
        call_bulk(c, member);
        set_remove(s, member);
    }
}

/* Draws what stays; *s becomes a set of it, of a table's members as small as they are allowed to be. */
static void pop_all_but(struct call *c, struct removed *gone, struct set *s, size_t stay)
{
    struct set_rules rules = set_rules(c->cfg, c->db->hash_seed);
    struct rng rng = seeded(c);
    struct set kept = s->enc == ENC_INTSET ? set_new_intset() : set_new_listpack();
    char buf[NUMBER_I64_SIZE];
    for (; stay; stay--) {
        struct bytes member = set_random(s, &rng, buf);
        set_add(&kept, member, &rules);
        set_remove(s, member);
    }
    struct set_iter it;
    set_iter_init(&it, s);
    while (set_iter_next(&it)) {
        removed_add(c, gone, it.member);
        call_bulk(c, it.member);
    }
    set_iter_fini(&it);
    set_free(s);
    *s = kept;
}

/* The value of *e is exchanged for another. */
static void pop_rest(struct call *c, struct removed *gone, struct entry **e, struct set *s, size_t stay)
{
    const struct key_ref *key = call_key(c, 1);
    *e = db_lookup_write(c, key);
    pop_all_but(c, gone, s, stay);
}

static void pop_many(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    int64_t wanted;
    if (!call_positive(c, c->argv[2], &wanted, NULL)) return;
    struct entry *e = db_lookup_elements(c, key);
    if (e && call_wrong_type(c, e, OBJ_SET)) return;
    if (!e || !wanted) {
        reply_set(c->out, 0);
        return;
    }

    struct set s = set_of(e);
    size_t size = set_count(&s), count = (size_t)wanted;
    if (count >= size) {
        pop_all(c, key, e);
        return;
    }
    struct removed gone;
    removed_init(&gone, key);
    reply_set(c->out, count);
    if (s.enc == ENC_LISTPACK) pop_chosen(c, &gone, &s, count);
    else if (size - count > count / POP_KEEPS) pop_drawn(c, &gone, &s, count);
    else pop_rest(c, &gone, &e, &s, size - count);
    removed_end(c, &gone);
    set_store(e, &s);
    db_changed(c, key, NOTIFY_SET, "spop");
    c->dirty += (int64_t)count - 1;
}

void cmd_spop(struct call *c)
{
    if (c->argc == 3) {
        pop_many(c);
        return;
    }
    if (c->argc > 3) {
        call_syntax_error(c);
        return;
    }
    const struct key_ref *key = call_key(c, 1);
    struct entry *e = db_lookup_elements(c, key);
    if (!e) {
        reply_null(c->out);
        return;
    }
    if (!call_wrong_type(c, e, OBJ_SET)) pop_one(c, key, e);
}

/* --- SRANDMEMBER -------------------------------------------------------------------------------------------------- */

/* The same member may come more than once. */
static void show_any(struct call *c, const struct set *s, uint64_t count)
{
    struct rng rng = seeded(c);
    char buf[NUMBER_I64_SIZE];
    reply_array(c->out, count);
    for (; count && !call_output_over(c); count--) call_bulk(c, set_random(s, &rng, buf));
}

static void show_drawn(struct call *c, const struct set *s, size_t count)
{
    struct rng rng = seeded(c);
    struct dict shown;
    char buf[NUMBER_I64_SIZE];
    dict_init_set(&shown, c->db->hash_seed);
    dict_expand(&shown, count);
    while (count) {
        struct bytes member = set_random(s, &rng, buf);
        if (!dict_add(&shown, member)) continue;
        call_bulk(c, member);
        count--;
    }
    dict_fini(&shown);
}

static void show_chosen(struct call *c, const struct set *s, size_t count)
{
    struct rng rng = seeded(c);
    struct set_iter it;
    size_t left = set_count(s);
    set_iter_init(&it, s);
    for (; count && set_iter_next(&it); left--) {
        if (rng_below(&rng, left) >= count) continue;
        call_bulk(c, it.member);
        count--;
    }
    set_iter_fini(&it);
}

static void show_many(struct call *c)
{
    int64_t wanted;
    if (!call_int(c, c->argv[2], &wanted)) return;
    if (wanted == INT64_MIN) {
        call_errorf(c, "ERR value is out of range, value must between %ld and %ld", (long)-INT64_MAX, (long)INT64_MAX);
        return;
    }
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_SET)) return;
    if (!e || !wanted) {
        reply_array(c->out, 0);
        return;
    }
    struct set s = set_of(e);
    if (wanted < 0 || wanted == 1) {
        show_any(c, &s, wanted < 0 ? (uint64_t)-wanted : 1);
        return;
    }
    size_t size = set_count(&s), count = (uint64_t)wanted < size ? (size_t)wanted : size;
    reply_array(c->out, count);
    if (s.enc != ENC_LISTPACK && count <= size / DRAW_BELOW) show_drawn(c, &s, count);
    else show_chosen(c, &s, count);
}

void cmd_srandmember(struct call *c)
{
    if (c->argc == 3) {
        show_many(c);
        return;
    }
    if (c->argc > 3) {
        call_syntax_error(c);
        return;
    }
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        reply_null(c->out);
        return;
    }
    if (call_wrong_type(c, e, OBJ_SET)) return;
    struct set s = set_of(e);
    struct rng rng = seeded(c);
    char buf[NUMBER_I64_SIZE];
    call_bulk(c, set_random(&s, &rng, buf));
}

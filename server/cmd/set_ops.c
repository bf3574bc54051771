/* SPDX-License-Identifier: MIT
 *
 * SINTER, SUNION, SDIFF, their STORE forms and SINTERCARD.
 *
 * An intersection is read off the smallest set. Unions and differences are collected in a set of their own first, which
 * also gives integers back in order, as Redis does. A missing key is an empty set.
 */
#include <stdlib.h>

#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"
#include "server/types/set.h"

struct set_source {
    struct set set;         /* p NULL: no such key */
    size_t count, position; /* position among the keys: equals stay in order */
};

/* NULL: an error was replied. */
static struct set_source *look_up(struct call *c, int first, size_t count)
{
    struct set_source *src = mem_calloc(count * sizeof *src);
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = db_lookup_read(c, call_key(c, first + (int)i));
        src[i].position = i;
        if (!e) continue;
        if (call_wrong_type(c, e, OBJ_SET)) {
            mem_free(src);
            return NULL;
        }
        src[i].set = set_of(e);
        src[i].count = set_count(&src[i].set);
    }
    return src;
}

static int by_count(const void *a, const void *b)
{
    const struct set_source *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static int by_count_down(const void *a, const void *b)
{
    const struct set_source *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static void store(struct call *c, const struct key_ref *key, struct set *result, const char *event)
{
    size_t count = set_count(result);
    if (count) {
        db_put_value(c, key, set_value(result), -1, 0);
        db_changed(c, key, NOTIFY_SET, event);
    } else {
        set_free(result);
        if (db_delete(c, key)) db_changed(c, key, NOTIFY_GENERIC, "del");
    }
    call_integer(c, (int64_t)count);
}

/* --- intersection ------------------------------------------------------------------------------------------------- */

/* An intersection of anything but integers is collected in a listpack; it becomes an intset where all are integers. */
static struct set new_intersection(const struct set *smallest)
{
    return smallest->p && smallest->enc != ENC_INTSET ? set_new_listpack() : set_new_intset();
}

static bool all_have(const struct set_source *src, size_t count, const struct set_iter *it)
{
    for (size_t i = 1; i < count; i++) {
        if (src[i].set.p == src[0].set.p) continue;
        if (src[i].set.enc == ENC_INTSET && src[0].set.enc == ENC_INTSET) {
            if (!intset_has(src[i].set.p, intset_get(src[0].set.p, it->index - 1))) return false;
        } else if (!set_has(&src[i].set, it->member)) {
            return false;
        }
    }
    return true;
}

enum inter_to { TO_CLIENT, TO_KEY, TO_COUNT };

/* Up to `limit` members of all sets; src[0] is the smallest. Returns how many there are. */
static size_t intersect(struct call *c, const struct set_source *src, size_t count, size_t limit, enum inter_to to,
                        struct set *result)
{
    struct set_rules rules = set_rules(c->cfg, c->db->hash_seed);
    struct set_iter it;
    size_t found = 0;
    if (!src[0].count) return 0;
    set_iter_init(&it, &src[0].set);
    while (found < limit && set_iter_next(&it)) {
        if (!all_have(src, count, &it)) continue;
        found++;
        if (to == TO_CLIENT) call_bulk(c, it.member);
        else if (to == TO_KEY) set_add(result, it.member, &rules);
    }
    set_iter_fini(&it);
    return found;
}

static void inter(struct call *c, int first, size_t count, enum inter_to to, size_t limit)
{
    struct set_source *src = look_up(c, first, count);
    if (!src) return;
    qsort(src, count, sizeof *src, by_count);
    if (to == TO_CLIENT) {
        struct reply_mark m = reply_defer(c->out);
        reply_defer_set(c->out, m, intersect(c, src, count, limit, to, NULL));
    } else if (to == TO_COUNT) {
        call_integer(c, (int64_t)intersect(c, src, count, limit, to, NULL));
    } else {
        struct set_rules rules = set_rules(c->cfg, c->db->hash_seed);
        struct set result = new_intersection(&src[0].set);
        intersect(c, src, count, limit, to, &result);
        set_to_intset(&result, &rules);
        store(c, call_key(c, 1), &result, "sinterstore");
    }
    mem_free(src);
}

void cmd_sinter(struct call *c) { inter(c, 1, (size_t)c->argc - 1, TO_CLIENT, SIZE_MAX); }
void cmd_sinterstore(struct call *c) { inter(c, 2, (size_t)c->argc - 2, TO_KEY, SIZE_MAX); }

void cmd_sintercard(struct call *c)
{
    int64_t count, limit = 0;
    if (!call_int_range(c, c->argv[1], 1, INT64_MAX, &count, "ERR numkeys should be greater than 0")) return;
    if (count > c->argc - 2) {
        call_error(c, "ERR Number of keys can't be greater than number of args");
        return;
    }
    for (int i = 2 + (int)count; i < c->argc; i += 2) {
        if (!bytes_is_word(c->argv[i], "limit") || i + 1 == c->argc) {
            call_syntax_error(c);
            return;
        }
        if (!call_positive(c, c->argv[i + 1], &limit, "ERR LIMIT can't be negative")) return;
    }
    inter(c, 2, (size_t)count, TO_COUNT, limit ? (size_t)limit : SIZE_MAX);
}

/* --- union, difference -------------------------------------------------------------------------------------------- */

static void add_all(struct set *result, const struct set *s, const struct set_rules *rules)
{
    struct set_iter it;
    set_iter_init(&it, s);
    while (set_iter_next(&it)) set_add(result, it.member, rules);
    set_iter_fini(&it);
}

static void unite(struct set *result, const struct set_source *src, size_t count, const struct set_rules *rules)
{
    for (size_t i = 0; i < count; i++) {
        if (src[i].count) add_all(result, &src[i].set, rules);
    }
}

/* Looks each member of the first up in the others, the largest of them first: it is there most likely. */
static void subtract_by_looking_up(struct set *result, struct set_source *src, size_t count,
                                   const struct set_rules *rules)
{
    struct set_iter it;
    qsort(src + 1, count - 1, sizeof *src, by_count_down);
    while (count > 1 && !src[count - 1].count) count--;
    set_iter_init(&it, &src[0].set);
    while (set_iter_next(&it)) {
        size_t i = 1;
        while (i < count && !set_has(&src[i].set, it.member)) i++;
        if (i == count) set_add(result, it.member, rules);
    }
    set_iter_fini(&it);
}

/* Takes the members of the others out of a copy of the first. */
static void subtract_by_removing(struct set *result, const struct set_source *src, size_t count,
                                 const struct set_rules *rules)
{
    add_all(result, &src[0].set, rules);
    for (size_t i = 1; i < count && set_count(result); i++) {
        if (!src[i].count) continue;
        struct set_iter it;
        set_iter_init(&it, &src[i].set);
        while (set_iter_next(&it) && set_count(result)) set_remove(result, it.member);
        set_iter_fini(&it);
    }
}

static void subtract(struct set *result, struct set_source *src, size_t count, const struct set_rules *rules)
{
    uint64_t looked_up = 0, removed = 0;
    if (!src[0].count) return;
    for (size_t i = 0; i < count; i++) {
        if (!src[i].count) continue;
        if (i && src[i].set.p == src[0].set.p) return; /* the same key again */
        looked_up += src[0].count;
        removed += src[i].count;
    }
    /* Looking up costs less than building and taking out, hence the half. */
    if (looked_up / 2 <= removed) subtract_by_looking_up(result, src, count, rules);
    else subtract_by_removing(result, src, count, rules);
}

enum collect_op { UNION, DIFF };

static void collect(struct call *c, enum collect_op op, bool to_key)
{
    struct set_rules rules = set_rules(c->cfg, c->db->hash_seed);
    int first = to_key ? 2 : 1;
    size_t count = (size_t)(c->argc - first);
    struct set_source *src = look_up(c, first, count);
    if (!src) return;
    struct set result = set_new_intset();
    if (op == UNION) unite(&result, src, count, &rules);
    else subtract(&result, src, count, &rules);
    mem_free(src);

    if (to_key) {
        store(c, call_key(c, 1), &result, op == UNION ? "sunionstore" : "sdiffstore");
        return;
    }
    struct set_iter it;
    reply_set(c->out, set_count(&result));
    set_iter_init(&it, &result);
    while (set_iter_next(&it)) call_bulk(c, it.member);
    set_iter_fini(&it);
    set_free(&result);
}

void cmd_sunion(struct call *c) { collect(c, UNION, false); }
void cmd_sunionstore(struct call *c) { collect(c, UNION, true); }
void cmd_sdiff(struct call *c) { collect(c, DIFF, false); }
void cmd_sdiffstore(struct call *c) { collect(c, DIFF, true); }

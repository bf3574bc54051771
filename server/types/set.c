/* SPDX-License-Identifier: MIT
 *
 * Sets in their three encodings. Thresholds are redis-server 7.2.4's: the member that makes an intset too long is added
 * first, then the whole is converted; a listpack that a member does not fit into is converted before. An intset takes
 * its first member that is no integer as a listpack where that may hold all of it, as a hash table otherwise.
 */
#include "server/types/set.h"

#include "server/mem.h"

#define INTSET_HARD_MAX ((size_t)1 << 30)

static struct dict *new_dict(const struct set_rules *rules, size_t room)
{
    struct dict *d = mem_alloc(sizeof *d);
    dict_init_set(d, rules->seed);
    if (room) dict_expand(d, room);
    return d;
}

static size_t intset_room(const struct set_rules *rules)
{
    return rules->intset_max < INTSET_HARD_MAX ? rules->intset_max : INTSET_HARD_MAX;
}

static void to_table(struct set *s, size_t room, const struct set_rules *rules)
{
    struct dict *d = new_dict(rules, room);
    struct set_iter it;
    set_iter_init(&it, s);
    while (set_iter_next(&it)) dict_add(d, it.member);
    set_iter_fini(&it);
    set_free(s);
    *s = (struct set){ENC_HT, d};
}

static void intset_to_listpack(struct set *s)
{
    struct intset *from = s->p;
    size_t n = intset_count(from);
    unsigned char *lp = lp_new(0);
    for (size_t i = 0; i < n; i++) lp = lp_append_i64(lp, intset_get(from, i));
    intset_free(from);
    *s = (struct set){ENC_LISTPACK, lp};
}

/* --- new ---------------------------------------------------------------------------------------------------------- */

struct set set_new_intset(void) { return (struct set){ENC_INTSET, intset_new()}; }
struct set set_new_listpack(void) { return (struct set){ENC_LISTPACK, lp_new(0)}; }

struct set set_new(struct bytes first, size_t count, const struct set_rules *rules)
{
    int64_t v;
    if (count <= rules->intset_max && number_parse_i64(first, &v)) return set_new_intset();
    if (count <= rules->listpack_max) return set_new_listpack();
    return (struct set){ENC_HT, new_dict(rules, count)};
}

void set_expect(struct set *s, size_t count, const struct set_rules *rules)
{
    if (s->enc == ENC_HT) return;
    if (count > (s->enc == ENC_INTSET ? rules->intset_max : rules->listpack_max)) to_table(s, count, rules);
}

/* --- one member --------------------------------------------------------------------------------------------------- */

static unsigned char *member_find(const unsigned char *lp, struct bytes member)
{
    return lp_find(lp, lp_first(lp), member, 0);
}

bool set_has(const struct set *s, struct bytes member)
{
    int64_t v;
    if (s->enc == ENC_HT) return dict_has(s->p, member);
    if (s->enc == ENC_LISTPACK) return member_find(s->p, member) != NULL;
    return number_parse_i64(member, &v) && intset_has(s->p, v);
}

static bool add_int(struct set *s, int64_t v, const struct set_rules *rules)
{
    bool added;
    s->p = intset_add(s->p, v, &added);
    if (added && intset_count(s->p) > intset_room(rules)) to_table(s, intset_count(s->p), rules);
    return added;
}

/* True: the integers, their widest taken for all, and a member beside them may lie in one listpack. */
static bool intset_fits_listpack(const struct intset *is, struct bytes member, const struct set_rules *rules)
{
    size_t n = intset_count(is), widest = 0;
    if (n >= rules->listpack_max || member.n > rules->value_max) return false;
    if (n) {
        size_t low = number_i64_width(intset_get(is, 0)), high = number_i64_width(intset_get(is, n - 1));
        widest = low > high ? low : high;
    }
    return widest <= rules->value_max && lp_fits(NULL, n * LP_I64_SIZE_MAX + member.n);
}

static bool listpack_fits(const unsigned char *lp, struct bytes member, const struct set_rules *rules)
{
    return lp_count(lp) < rules->listpack_max && member.n <= rules->value_max && lp_fits(lp, member.n);
}

bool set_add(struct set *s, struct bytes member, const struct set_rules *rules)
{
    int64_t v;
    /* cppcheck-suppress ctunullpointer ; TO_KEY comes with a result set */
    if (s->enc == ENC_INTSET) {
        if (number_parse_i64(member, &v)) return add_int(s, v, rules);
        if (intset_fits_listpack(s->p, member, rules)) {
            intset_to_listpack(s);
            s->p = lp_append(s->p, member);
            return true;
        }
        to_table(s, intset_count(s->p) + 1, rules);
    } else if (s->enc == ENC_LISTPACK) {
        if (member_find(s->p, member)) return false;
        if (listpack_fits(s->p, member, rules)) {
            s->p = lp_append(s->p, member);
            return true;
        }
        to_table(s, lp_count(s->p) + 1, rules);
    }
    return dict_add(s->p, member);
}

bool set_remove(struct set *s, struct bytes member)
{
    int64_t v;
    bool removed = false;
    if (s->enc == ENC_HT) return dict_delete(s->p, member);
    if (s->enc == ENC_LISTPACK) {
        unsigned char *at = member_find(s->p, member);
        removed = at != NULL;
        if (removed) s->p = lp_delete(s->p, &at);
        return removed;
    }
    if (number_parse_i64(member, &v)) s->p = intset_remove(s->p, v, &removed);
    return removed;
}

struct bytes set_random(const struct set *s, struct rng *rng, char buf[NUMBER_I64_SIZE])
{
    if (s->enc == ENC_LISTPACK) return lp_get_bytes(lp_seek(s->p, (long)rng_below(rng, lp_count(s->p))), buf);
    if (s->enc == ENC_INTSET) {
        size_t i = rng_below(rng, intset_count(s->p));
        return bytes_of(buf, number_format_i64(buf, intset_get(s->p, i)));
    }
    struct bytes member;
    bool found = dict_random(s->p, rng, &member, NULL);
    ASSERT(found);
    return member;
}

bool set_to_intset(struct set *s, const struct set_rules *rules)
{
    if (s->enc == ENC_INTSET) return true;
    if (set_count(s) > intset_room(rules)) return false;
    struct set to = set_new_intset();
    struct set_iter it;
    int64_t v;
    bool all = true, added;
    set_iter_init(&it, s);
    while (all && set_iter_next(&it)) {
        all = number_parse_i64(it.member, &v);
        if (all) to.p = intset_add(to.p, v, &added);
    }
    set_iter_fini(&it);
    set_free(all ? s : &to);
    if (all) *s = to;
    return all;
}

/* --- all members -------------------------------------------------------------------------------------------------- */

void set_iter_init(struct set_iter *it, const struct set *s)
{
    it->set = s;
    it->index = 0;
    if (s->enc == ENC_HT) dict_iter_init(&it->it, s->p);
    else if (s->enc == ENC_LISTPACK) it->at = lp_first(s->p);
}

bool set_iter_next(struct set_iter *it)
{
    if (it->set->enc == ENC_HT) return dict_iter_next(&it->it, &it->member, NULL);
    if (it->set->enc == ENC_LISTPACK) {
        struct lp_value v;
        if (!lp_walk(&it->at, &v)) return false;
        it->member = lp_value_bytes(v, it->buf);
        return true;
    }
    if (it->index == intset_count(it->set->p)) return false;
    it->member = bytes_of(it->buf, number_format_i64(it->buf, intset_get(it->set->p, it->index++)));
    return true;
}

void set_iter_fini(struct set_iter *it)
{
    if (it->set->enc == ENC_HT) dict_iter_fini(&it->it);
}

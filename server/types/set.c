/* SPDX-License-Identifier: MIT
 *
 * Sets in both encodings. Thresholds are redis-server 7.0.15's: the member that makes an intset too long is added
 * first, then the whole is converted.
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

static void convert(struct set *s, const struct set_rules *rules)
{
    struct intset *from = s->p;
    size_t n = intset_count(from);
    struct dict *d = new_dict(rules, n + 1);
    char buf[NUMBER_I64_SIZE];
    for (size_t i = 0; i < n; i++) dict_add(d, bytes_of(buf, number_format_i64(buf, intset_get(from, i))));
    intset_free(from);
    *s = (struct set){ENC_HT, d};
}

struct set set_new_intset(void) { return (struct set){ENC_INTSET, intset_new()}; }

struct set set_new(struct bytes first, const struct set_rules *rules)
{
    int64_t v;
    if (number_parse_i64(first, &v)) return set_new_intset();
    return (struct set){ENC_HT, new_dict(rules, 0)};
}

bool set_has(const struct set *s, struct bytes member)
{
    int64_t v;
    if (s->enc == ENC_HT) return dict_has(s->p, member);
    return number_parse_i64(member, &v) && intset_has(s->p, v);
}

static bool add_int(struct set *s, int64_t v, const struct set_rules *rules)
{
    size_t max = rules->intset_max < INTSET_HARD_MAX ? rules->intset_max : INTSET_HARD_MAX;
    bool added;
    s->p = intset_add(s->p, v, &added);
    if (added && intset_count(s->p) > max) convert(s, rules);
    return added;
}

bool set_add(struct set *s, struct bytes member, const struct set_rules *rules)
{
    int64_t v;
    /* cppcheck-suppress ctunullpointer ; TO_KEY comes with a result set */
    if (s->enc == ENC_INTSET) {
        if (number_parse_i64(member, &v)) return add_int(s, v, rules);
        convert(s, rules);
    }
    return dict_add(s->p, member);
}

bool set_remove(struct set *s, struct bytes member)
{
    int64_t v;
    bool removed = false;
    if (s->enc == ENC_HT) return dict_delete(s->p, member);
    if (number_parse_i64(member, &v)) s->p = intset_remove(s->p, v, &removed);
    return removed;
}

struct bytes set_random(const struct set *s, struct rng *rng, char buf[NUMBER_I64_SIZE])
{
    if (s->enc == ENC_INTSET) {
        size_t i = rng_below(rng, intset_count(s->p));
        return bytes_of(buf, number_format_i64(buf, intset_get(s->p, i)));
    }
    struct bytes member;
    bool found = dict_random(s->p, rng, &member, NULL);
    ASSERT(found);
    return member;
}

void set_iter_init(struct set_iter *it, const struct set *s)
{
    it->set = s;
    it->index = 0;
    if (s->enc == ENC_HT) dict_iter_init(&it->it, s->p);
}

bool set_iter_next(struct set_iter *it)
{
    if (it->set->enc == ENC_HT) return dict_iter_next(&it->it, &it->member, NULL);
    if (it->index == intset_count(it->set->p)) return false;
    it->member = bytes_of(it->buf, number_format_i64(it->buf, intset_get(it->set->p, it->index++)));
    return true;
}

void set_iter_fini(struct set_iter *it)
{
    if (it->set->enc == ENC_HT) dict_iter_fini(&it->it);
}

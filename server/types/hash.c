/* SPDX-License-Identifier: MIT
 *
 * Hashes in both encodings. Thresholds are redis-server 7.2.4's: a field or value that is too long converts before it
 * is added, a field that is one too many is added first. A limit that was lowered holds from the next field or value
 * that is set, a new one or not; values that are there already are not looked at.
 */
#include "server/types/hash.h"

#include "server/mem.h"

static struct lp_value text(struct bytes s)
{
    static const char nothing[1];
    if (!s.p) s.p = nothing; /* NULL means an integer */
    return (struct lp_value){.s = s};
}

static void convert(struct hash *h, const struct hash_rules *rules)
{
    unsigned char *lp = h->p;
    struct dict *d = mem_alloc(sizeof *d);
    dict_init_map(d, rules->seed);
    dict_expand(d, lp_count(lp) / 2 + 1);
    const unsigned char *at = lp_first(lp);
    struct lp_value field, value;
    char a[NUMBER_I64_SIZE], b[NUMBER_I64_SIZE];
    while (lp_walk(&at, &field) && lp_walk(&at, &value))
        dict_set(d, lp_value_bytes(field, a), lp_value_bytes(value, b));
    lp_free(lp);
    *h = (struct hash){ENC_HT, d};
}

struct hash hash_new(void) { return (struct hash){ENC_LISTPACK, lp_new(0)}; }

bool hash_has(const struct hash *h, struct bytes field)
{
    return h->enc == ENC_HT ? dict_has(h->p, field) : lp_find(h->p, lp_first(h->p), field, 1) != NULL;
}

bool hash_get(const struct hash *h, struct bytes field, struct lp_value *value)
{
    if (h->enc == ENC_HT) {
        struct bytes s;
        if (!dict_get(h->p, field, &s)) return false;
        *value = text(s);
        return true;
    }
    const unsigned char *at = lp_find(h->p, lp_first(h->p), field, 1);
    if (!at) return false;
    *value = lp_get(lp_next(h->p, at));
    return true;
}

void hash_expect(struct hash *h, const struct bytes *args, int count, const struct hash_rules *rules)
{
    size_t sum = 0;
    if (h->enc == ENC_HT) return;
    bool fits = (size_t)count / 2 <= rules->entries_max;
    for (int i = 0; i < count && fits; i++) {
        sum += args[i].n;
        fits = args[i].n <= rules->value_max;
    }
    if (!fits || !lp_fits(h->p, sum)) convert(h, rules);
}

bool hash_set(struct hash *h, struct bytes field, struct bytes value, const struct hash_rules *rules)
{
    if (h->enc != ENC_HT && (field.n > rules->value_max || value.n > rules->value_max)) convert(h, rules);
    if (h->enc == ENC_HT) return dict_set(h->p, field, value);

    unsigned char *at = lp_find(h->p, lp_first(h->p), field, 1);
    bool is_new = !at;
    if (at) {
        at = lp_next(h->p, at);
        h->p = lp_replace(h->p, &at, value);
    } else {
        h->p = lp_append_pair(h->p, field, value);
    }
    if (hash_count(h) > rules->entries_max) convert(h, rules);
    return is_new;
}

bool hash_remove(struct hash *h, struct bytes field)
{
    if (h->enc == ENC_HT) return dict_delete(h->p, field);
    unsigned char *at = lp_find(h->p, lp_first(h->p), field, 1);
    if (!at) return false;
    h->p = lp_delete_run(h->p, &at, 2);
    return true;
}

void hash_random(const struct hash *h, struct rng *rng, struct lp_value *field, struct lp_value *value)
{
    if (h->enc == ENC_HT) {
        struct bytes f, v;
        bool found = dict_random(h->p, rng, &f, &v);
        ASSERT(found);
        *field = text(f);
        if (value) *value = text(v);
        return;
    }
    const unsigned char *at = lp_seek(h->p, (long)rng_below(rng, hash_count(h)) * 2);
    *field = lp_get(at);
    if (value) *value = lp_get(lp_next(h->p, at));
}

void hash_iter_init(struct hash_iter *it, const struct hash *h)
{
    it->is_table = h->enc == ENC_HT;
    if (it->is_table) dict_iter_init(&it->it, h->p);
    else it->at = lp_first(h->p);
}

bool hash_iter_next(struct hash_iter *it, struct lp_value *field, struct lp_value *value)
{
    if (!it->is_table) return lp_walk(&it->at, field) && lp_walk(&it->at, value);
    struct bytes f, v;
    if (!dict_iter_next(&it->it, &f, &v)) return false;
    *field = text(f);
    *value = text(v);
    return true;
}

void hash_iter_fini(struct hash_iter *it)
{
    if (it->is_table) dict_iter_fini(&it->it);
}

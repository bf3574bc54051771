/* SPDX-License-Identifier: MIT
 *
 * HRANDFIELD. A positive count asks for different fields: few of a large table are drawn one by one, what comes up
 * twice being drawn again; otherwise one walk over the hash decides for each field with the odds that are left (Knuth,
 * The Art of Computer Programming 3.4.2, algorithm S), so that every subset of that size is equally likely either way.
 * A negative count draws each time from all.
 */
#include "server/cmd/hash.h"
#include "server/command/handlers.h"
#include "server/db/db.h"

#define DRAW_BELOW 3 /* at most a third of a hash table is drawn */

/* How a field is shown: alone, or with its value: behind it for RESP2, in an array of two for RESP3. */
struct show {
    struct call *c;
    bool values;
};

static void show_count(const struct show *s, uint64_t count)
{
    reply_array(s->c->out, s->values && s->c->out->proto == 2 ? count * 2 : count);
}

static void show(const struct show *s, struct lp_value field, struct lp_value value)
{
    if (s->values && s->c->out->proto > 2) reply_array(s->c->out, 2);
    hash_reply_value(s->c, field);
    if (s->values) hash_reply_value(s->c, value);
}

static void show_any(const struct show *s, const struct hash *h, struct rng *rng, uint64_t count)
{
    struct lp_value field, value;
    show_count(s, count);
    for (; count && !call_output_over(s->c); count--) {
        hash_random(h, rng, &field, &value);
        show(s, field, value);
    }
}

/* Of a hash table: a listpack's elements have no O(1) access, a walk is better. */
static void show_drawn(const struct show *s, const struct hash *h, struct rng *rng, size_t count)
{
    struct lp_value field, value;
    struct dict shown;
    dict_init_set(&shown, s->c->db->hash_seed);
    dict_expand(&shown, count);
    while (count) {
        hash_random(h, rng, &field, &value);
        if (!dict_add(&shown, field.s)) continue;
        show(s, field, value);
        count--;
    }
    dict_fini(&shown);
}

static void show_chosen(const struct show *s, const struct hash *h, struct rng *rng, size_t count)
{
    struct lp_value field, value;
    struct hash_iter it;
    size_t left = hash_count(h);
    hash_iter_init(&it, h);
    for (; count && hash_iter_next(&it, &field, &value); left--) {
        if (count < left && rng_below(rng, left) >= count) continue;
        show(s, field, value);
        count--;
    }
    hash_iter_fini(&it);
}

static void show_many(struct call *c, int64_t wanted, bool values)
{
    struct show s = {c, values};
    struct rng rng;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_HASH)) return;
    if (!e || !wanted) {
        reply_array(c->out, 0);
        return;
    }
    struct hash h = hash_of(e);
    rng_seed(&rng, call_random(c));
    if (wanted < 0 || wanted == 1) {
        show_any(&s, &h, &rng, wanted < 0 ? (uint64_t)-wanted : 1);
        return;
    }
    size_t size = hash_count(&h), count = (uint64_t)wanted < size ? (size_t)wanted : size;
    show_count(&s, count);
    if (h.enc == ENC_HT && count <= size / DRAW_BELOW) show_drawn(&s, &h, &rng, count);
    else show_chosen(&s, &h, &rng, count);
}

static void show_one(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        reply_null(c->out);
        return;
    }
    if (call_wrong_type(c, e, OBJ_HASH)) return;
    struct hash h = hash_of(e);
    struct lp_value field;
    struct rng rng;
    rng_seed(&rng, call_random(c));
    hash_random(&h, &rng, &field, NULL);
    hash_reply_value(c, field);
}

void cmd_hrandfield(struct call *c)
{
    int64_t wanted;
    if (c->argc == 2) {
        show_one(c);
        return;
    }
    if (!call_int(c, c->argv[2], &wanted)) return;
    if (wanted == INT64_MIN) {
        call_errorf(c, "ERR value is out of range, value must between %ld and %ld", (long)-INT64_MAX, (long)INT64_MAX);
        return;
    }
    if (c->argc > 4 || (c->argc == 4 && !bytes_is_word(c->argv[3], "withvalues"))) {
        call_syntax_error(c);
        return;
    }
    bool values = c->argc == 4;
    if (values && (wanted < -(INT64_MAX / 2) || wanted > INT64_MAX / 2)) {
        call_error(c, "ERR value is out of range");
        return;
    }
    show_many(c, wanted, values);
}

/* SPDX-License-Identifier: MIT
 *
 * ZRANDMEMBER. Members are drawn by rank. As with SRANDMEMBER (set_random.c) a subset much smaller than the whole is
 * drawn rank by rank, what comes up twice being drawn again; otherwise one walk decides for each member with the odds
 * that are left.
 */
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/ds/dict.h"
#include "server/types/zset.h"

#define DRAW_BELOW 3 /* subsets of at most a third are drawn */

static void show(struct call *c, const struct zset_iter *it, bool with_scores)
{
    if (with_scores && c->out->proto > 2) reply_array(c->out, 2);
    call_bulk(c, it->member);
    if (with_scores) reply_double(c->out, zset_iter_score(it));
}

static void show_rank(struct call *c, const struct zset *z, size_t rank, bool with_scores)
{
    struct zset_iter it;
    zset_iter_init(&it, z, (struct ztree_span){rank, rank + 1}, false);
    zset_iter_next(&it);
    show(c, &it, with_scores);
}

static void show_all(struct call *c, const struct zset *z, bool with_scores)
{
    struct zset_iter it;
    zset_iter_init(&it, z, zset_whole(z), true);
    while (zset_iter_next(&it)) show(c, &it, with_scores);
}

static void show_drawn(struct call *c, const struct zset *z, size_t count, bool with_scores, struct rng *rng)
{
    struct dict drawn;
    dict_init_set(&drawn, c->db->hash_seed);
    dict_expand(&drawn, count);
    while (count) {
        uint64_t rank = rng_below(rng, zset_count(z));
        if (!dict_add(&drawn, bytes_of(&rank, sizeof rank))) continue;
        show_rank(c, z, rank, with_scores);
        count--;
    }
    dict_fini(&drawn);
}

static void show_chosen(struct call *c, const struct zset *z, size_t count, bool with_scores, struct rng *rng)
{
    struct zset_iter it;
    size_t left = zset_count(z);
    zset_iter_init(&it, z, zset_whole(z), false);
    for (; count && zset_iter_next(&it); left--) {
        if (rng_below(rng, left) >= count) continue;
        show(c, &it, with_scores);
        count--;
    }
}

static void show_some(struct call *c, const struct zset *z, int64_t wanted, bool with_scores)
{
    bool repeat = wanted < 0 || wanted == 1;
    uint64_t count = wanted < 0 ? (uint64_t)-wanted : (uint64_t)wanted, size = zset_count(z);
    if (!repeat && count > size) count = size;
    reply_array(c->out, with_scores && c->out->proto == 2 ? count * 2 : count);

    struct rng rng;
    rng_seed(&rng, call_random(c));
    if (repeat) {
        for (; count && !call_output_over(c); count--) show_rank(c, z, rng_below(&rng, size), with_scores);
    } else if (count == size) {
        show_all(c, z, with_scores);
    } else if (count <= size / DRAW_BELOW && z->enc == ENC_SKIPLIST) {
        show_drawn(c, z, count, with_scores, &rng);
    } else {
        show_chosen(c, z, count, with_scores, &rng);
    }
}

void cmd_zrandmember(struct call *c)
{
    int64_t wanted = 1;
    bool with_scores = c->argc == 4;
    if (c->argc >= 3) {
        if (!call_int(c, c->argv[2], &wanted)) return;
        if (wanted == INT64_MIN) {
            call_errorf(c, "ERR value is out of range, value must between %ld and %ld", (long)-INT64_MAX,
                        (long)INT64_MAX);
            return;
        }
        if (c->argc > 4 || (with_scores && !bytes_is_word(c->argv[3], "withscores"))) {
            call_syntax_error(c);
            return;
        }
        if (with_scores && (wanted < -(INT64_MAX / 2) || wanted > INT64_MAX / 2)) {
            call_error(c, "ERR value is out of range");
            return;
        }
    }
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    if (!e || !wanted) {
        if (c->argc == 2) reply_null(c->out);
        else reply_array(c->out, 0);
        return;
    }
    struct zset z = zset_of(e);
    if (c->argc > 2) {
        show_some(c, &z, wanted, with_scores);
        return;
    }
    struct rng rng;
    rng_seed(&rng, call_random(c));
    show_rank(c, &z, rng_below(&rng, zset_count(&z)), false);
}

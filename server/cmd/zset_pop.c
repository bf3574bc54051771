/* SPDX-License-Identifier: MIT
 *
 * ZPOPMIN, ZPOPMAX, ZMPOP and their blocking forms. The latter run again when a key they wait for is ready
 * (server/exec/call.h), and what they or ZMPOP took is propagated as a ZPOPMIN or ZPOPMAX of that key.
 */
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/types/zset.h"

enum pop_end { POP_MIN, POP_MAX };
enum pop_shape {
    SHAPE_FLAT,      /* member, score, member, score … */
    SHAPE_PAIRS,     /* [member, score] … */
    SHAPE_KEY_FLAT,  /* key, member, score */
    SHAPE_KEY_PAIRS, /* key, [[member, score] …] */
};

/* --- taking ------------------------------------------------------------------------------------------------------- */

static void pop_begin(struct call *c, struct bytes key, size_t n, enum pop_shape shape)
{
    switch (shape) {
    case SHAPE_FLAT: reply_array(c->out, n * 2); return;
    case SHAPE_PAIRS: reply_array(c->out, n); return;
    case SHAPE_KEY_FLAT:
        reply_array(c->out, n * 2 + 1);
        call_bulk(c, key);
        return;
    case SHAPE_KEY_PAIRS:
        reply_array(c->out, 2);
        call_bulk(c, key);
        reply_array(c->out, n);
        return;
    }
}

/* Replies with up to count members and takes them out; count > 0. Returns how many. */
static size_t pop(struct call *c, const struct key_ref *key, struct db_edit *edit, enum pop_end end, uint64_t count,
                  enum pop_shape shape)
{
    struct zset z = zset_of(edit->e);
    size_t size = zset_count(&z), n = count < size ? (size_t)count : size;
    struct ztree_span span = {0, n};
    if (end == POP_MAX) span = (struct ztree_span){size - n, size};
    pop_begin(c, key->name, n, shape);
    struct zset_iter it;
    zset_iter_init(&it, &z, span, end == POP_MAX);
    while (zset_iter_next(&it)) {
        if (shape == SHAPE_PAIRS || shape == SHAPE_KEY_PAIRS) reply_array(c->out, 2);
        call_bulk(c, it.member);
        reply_double(c->out, zset_iter_score(&it));
    }
    if (n == size) {
        db_delete(c, key);
    } else {
        zset_delete_span(&z, span);
        db_edit_store(edit, z.enc, &z.p);
    }
    db_changed(c, key, NOTIFY_ZSET, end == POP_MIN ? "zpopmin" : "zpopmax");
    c->dirty += (int64_t)n - 1;
    if (n == size) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    return n;
}

/* n 0: without a count. */
static void effect_pop(struct call *c, struct bytes key, enum pop_end end, size_t n)
{
    if (!effect_wanted(c)) return;
    char num[NUMBER_I64_SIZE];
    struct bytes argv[] = {end == POP_MIN ? BYTES("ZPOPMIN") : BYTES("ZPOPMAX"), key,
                           bytes_of(num, number_format_u64(num, n))};
    effect_as(c, n ? 3 : 2, argv);
}

/* --- ZPOPMIN, ZPOPMAX --------------------------------------------------------------------------------------------- */

static void pop_key(struct call *c, enum pop_end end)
{
    const struct key_ref *key = call_key(c, 1);
    int64_t count = 1;
    if (c->argc > 3) {
        call_syntax_error(c);
        return;
    }
    if (c->argc == 3 && !call_positive(c, c->argv[2], &count, NULL)) return;
    struct db_edit edit;
    bool is_there = db_edit_begin(c, key, &edit);
    if (is_there && call_wrong_type(c, edit.e, OBJ_ZSET)) return;
    if (!is_there || !count) {
        reply_array(c->out, 0);
        return;
    }
    pop(c, key, &edit, end, (uint64_t)count, c->argc == 3 && c->out->proto > 2 ? SHAPE_PAIRS : SHAPE_FLAT);
}

void cmd_zpopmin(struct call *c) { pop_key(c, POP_MIN); }
void cmd_zpopmax(struct call *c) { pop_key(c, POP_MAX); }

/* --- several keys ------------------------------------------------------------------------------------------------- */

enum first_found { FOUND_NONE, FOUND_KEY, FOUND_ERROR };

/* The first key that is there. */
static enum first_found first_key(struct call *c, int first, int count, const struct key_ref **key,
                                  struct db_edit *edit)
{
    for (int i = first; i < first + count; i++) {
        *key = call_key(c, i);
        const struct entry *there = db_lookup_in(c, c->db, *key);
        if (!there) continue;
        if (call_wrong_type(c, there, OBJ_ZSET)) return FOUND_ERROR;
        db_edit_begin(c, *key, edit);
        return FOUND_KEY;
    }
    return FOUND_NONE;
}

static void pop_blocking(struct call *c, enum pop_end end)
{
    int64_t deadline_ms;
    int count = c->argc - 2;
    const struct key_ref *key;
    struct db_edit edit;
    if (!call_timeout(c, c->argv[c->argc - 1], &deadline_ms)) return;
    switch (first_key(c, 1, count, &key, &edit)) {
    case FOUND_KEY:
        pop(c, key, &edit, end, 1, SHAPE_KEY_FLAT);
        effect_pop(c, key->name, end, 0);
        return;
    case FOUND_NONE: call_block(c, 1, count, OBJ_ZSET, deadline_ms, BLOCK_FOR_VALUE); return;
    case FOUND_ERROR: return;
    }
}

void cmd_bzpopmin(struct call *c) { pop_blocking(c, POP_MIN); }
void cmd_bzpopmax(struct call *c) { pop_blocking(c, POP_MAX); }

struct mpop {
    int first_key, key_count;
    enum pop_end end;
    int64_t count;
};

static bool parse_mpop(struct call *c, int at, struct mpop *m)
{
    int64_t keys;
    if (!call_int_range(c, c->argv[at], 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0")) return false;
    if (keys >= c->argc - at - 1) {
        call_syntax_error(c);
        return false;
    }
    *m = (struct mpop){.first_key = at + 1, .key_count = (int)keys};
    int i = at + 1 + m->key_count;
    bool min = bytes_is_word(c->argv[i], "min");
    if (!min && !bytes_is_word(c->argv[i], "max")) {
        call_syntax_error(c);
        return false;
    }
    m->end = min ? POP_MIN : POP_MAX;
    for (i++; i < c->argc; i += 2) {
        if (m->count || !bytes_is_word(c->argv[i], "count") || i + 1 == c->argc) {
            call_syntax_error(c);
            return false;
        }
        if (!call_int_range(c, c->argv[i + 1], 1, INT64_MAX, &m->count, "ERR count should be greater than 0"))
            return false;
    }
    if (!m->count) m->count = 1;
    return true;
}

static void pop_multiple(struct call *c, bool blocking)
{
    struct mpop m;
    int64_t deadline_ms = 0;
    const struct key_ref *key;
    struct db_edit edit;
    if (!parse_mpop(c, blocking ? 2 : 1, &m)) return;
    if (blocking && !call_timeout(c, c->argv[1], &deadline_ms)) return;
    switch (first_key(c, m.first_key, m.key_count, &key, &edit)) {
    case FOUND_KEY:
        effect_pop(c, key->name, m.end, pop(c, key, &edit, m.end, (uint64_t)m.count, SHAPE_KEY_PAIRS));
        return;
    case FOUND_NONE:
        if (blocking) call_block(c, m.first_key, m.key_count, OBJ_ZSET, deadline_ms, BLOCK_FOR_VALUE);
        else reply_null_array(c->out);
        return;
    case FOUND_ERROR: return;
    }
}

void cmd_zmpop(struct call *c) { pop_multiple(c, false); }
void cmd_bzmpop(struct call *c) { pop_multiple(c, true); }

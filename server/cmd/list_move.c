/* SPDX-License-Identifier: MIT
 *
 * From one list to another, and from the first of several that has something: RPOPLPUSH, LMOVE, LMPOP, and everything
 * that may wait: BLPOP, BRPOP, BRPOPLPUSH, BLMOVE, BLMPOP.
 *
 * A blocking command that finds something does, and propagates, what its plain form would. One that waits runs again
 * when a key is ready, from the beginning, as if it came in now. A push to BLMOVE's destination makes that key ready in
 * turn, so that waiters chain.
 */
#include "server/cmd/list.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"

#define COPY_ON_STACK 512

/* --- from list to list -------------------------------------------------------------------------------------------- */

struct move {
    enum list_end from, to;
};

/* Inside of one list: what is taken out is copied before its room is given to others. */
static void move_within(struct call *c, struct entry *src, struct list_view *l, struct move m, struct bytes s)
{
    char stack[COPY_ON_STACK], *copy = s.n <= sizeof stack ? stack : mem_alloc(s.n);
    if (s.n) memcpy(copy, s.p, s.n);
    s.p = copy;
    list_drop(l->q, m.from);
    list_push(list_to_push(c, l, &s, 1), m.to, s);
    list_store(src, l);
    reply_bulk_slow(c->out, s);
    db_changed(c, call_key(c, 2), NOTIFY_LIST, m.to == LIST_HEAD ? "lpush" : "rpush");
    if (copy != stack) mem_free(copy);
}

/* argv[1] and argv[2] are source and destination. False: there is nothing to move, and no reply was given. */
static bool move(struct call *c, struct move m)
{
    const struct key_ref *from = call_key(c, 1), *to = call_key(c, 2);
    struct entry *src = db_lookup_write(c, from);
    if (!src) return false;
    if (call_wrong_type(c, src, OBJ_LIST)) return true;
    struct entry *dst = db_lookup_write(c, to);
    if (dst && call_wrong_type(c, dst, OBJ_LIST)) return true;

    struct list_view l, target;
    char num[NUMBER_I64_SIZE];
    struct bytes s = lp_value_bytes(list_peek(list_open(&l, src), m.from), num);
    if (src == dst) {
        move_within(c, src, &l, m, s);
    } else {
        list_push(list_open_to_push(c, &target, dst, &s, 1), m.to, s);
        list_pushed(c, to, dst, &target, m.to, 1);
        reply_bulk_slow(c->out, s);
        list_drop(l.q, m.from);
    }
    list_popped(c, from, src, &l, m.from, 1);
    c->dirty--; /* one change, two keys */
    return true;
}

static bool parse_move(struct call *c, struct move *m)
{
    return list_parse_end(c, c->argv[3], &m->from) && list_parse_end(c, c->argv[4], &m->to);
}

void cmd_lmove(struct call *c)
{
    struct move m;
    if (parse_move(c, &m) && !move(c, m)) reply_null(c->out);
}

void cmd_rpoplpush(struct call *c)
{
    if (!move(c, (struct move){LIST_TAIL, LIST_HEAD})) reply_null(c->out);
}

/* Waits for argv[1]. At once it would be a null bulk, after the time it is a null array. */
static void wait_to_move(struct call *c, int64_t deadline_ms)
{
    if (c->deny_blocking) reply_null(c->out);
    else call_block(c, 1, 1, OBJ_LIST, deadline_ms, BLOCK_FOR_VALUE);
}

void cmd_blmove(struct call *c)
{
    struct move m;
    int64_t deadline_ms;
    if (!parse_move(c, &m) || !call_timeout(c, c->argv[5], &deadline_ms)) return;
    if (!move(c, m)) {
        wait_to_move(c, deadline_ms);
    } else if (c->dirty && effect_wanted(c)) {
        effect_as(c, 5, (struct bytes[]){BYTES("LMOVE"), c->argv[1], c->argv[2], c->argv[3], c->argv[4]});
    }
}

void cmd_brpoplpush(struct call *c)
{
    int64_t deadline_ms;
    if (!call_timeout(c, c->argv[3], &deadline_ms)) return;
    if (!move(c, (struct move){LIST_TAIL, LIST_HEAD})) {
        wait_to_move(c, deadline_ms);
    } else if (c->dirty && effect_wanted(c)) {
        effect_as(c, 3, (struct bytes[]){BYTES("RPOPLPUSH"), c->argv[1], c->argv[2]});
    }
}

/* --- from the first of several ------------------------------------------------------------------------------------ */

/* The first key that holds a list. False: there is none. An error that was replied leaves *e NULL. */
static bool first_list(struct call *c, int first, int count, const struct key_ref **key, struct entry **e)
{
    for (int i = first; i < first + count; i++) {
        *key = call_key(c, i);
        const struct entry *there = db_lookup_in(c, c->db, *key);
        if (!there) continue;
        *e = call_wrong_type(c, there, OBJ_LIST) ? NULL : db_lookup_write(c, *key);
        return true;
    }
    return false;
}

static void pop_one(struct call *c, const struct key_ref *key, struct entry *e, enum list_end end)
{
    struct list_view l;
    reply_array(c->out, 2);
    reply_bulk(c->out, key->name);
    list_reply_value(c, list_peek(list_open(&l, e), end));
    list_drop(l.q, end);
    list_popped(c, key, e, &l, end, 1);
    if (effect_wanted(c))
        effect_as(c, 2, (struct bytes[]){end == LIST_HEAD ? BYTES("LPOP") : BYTES("RPOP"), key->name});
}

static void pop_many(struct call *c, const struct key_ref *key, struct entry *e, enum list_end end, int64_t count)
{
    reply_array(c->out, 2);
    reply_bulk(c->out, key->name);
    size_t n = list_pop_range(c, key, e, end, (uint64_t)count);
    if (!effect_wanted(c)) return;
    char num[NUMBER_I64_SIZE];
    struct bytes text = bytes_of(num, number_format_u64(num, n));
    effect_as(c, 3, (struct bytes[]){end == LIST_HEAD ? BYTES("LPOP") : BYTES("RPOP"), key->name, text});
}

static void blocking_pop(struct call *c, enum list_end end)
{
    int count = c->argc - 2;
    int64_t deadline_ms;
    const struct key_ref *key;
    struct entry *e;
    if (!call_timeout(c, c->argv[c->argc - 1], &deadline_ms)) return;
    if (!first_list(c, 1, count, &key, &e)) call_block(c, 1, count, OBJ_LIST, deadline_ms, BLOCK_FOR_VALUE);
    else if (e) pop_one(c, key, e, end);
}

void cmd_blpop(struct call *c) { blocking_pop(c, LIST_HEAD); }
void cmd_brpop(struct call *c) { blocking_pop(c, LIST_TAIL); }

struct lmpop_options {
    int first_key, key_count;
    enum list_end end;
    int64_t count;
};

/* numkeys key ... LEFT|RIGHT [COUNT count], from argv[at] on. */
static bool lmpop_parse(struct call *c, int at, struct lmpop_options *o)
{
    int64_t key_count;
    if (!call_int_range(c, c->argv[at], 1, INT64_MAX, &key_count, "ERR numkeys should be greater than 0")) return false;
    if (key_count >= c->argc - at - 1) {
        call_syntax_error(c);
        return false;
    }
    *o = (struct lmpop_options){.first_key = at + 1, .key_count = (int)key_count, .count = -1};
    int i = at + 1 + o->key_count;
    if (!list_parse_end(c, c->argv[i], &o->end)) return false;
    for (i++; i < c->argc; i += 2) {
        if (o->count >= 0 || i + 1 == c->argc || !bytes_is_word(c->argv[i], "count")) {
            call_syntax_error(c);
            return false;
        }
        if (!call_int_range(c, c->argv[i + 1], 1, INT64_MAX, &o->count, "ERR count should be greater than 0"))
            return false;
    }
    if (o->count < 0) o->count = 1;
    return true;
}

void cmd_lmpop(struct call *c)
{
    struct lmpop_options o;
    const struct key_ref *key;
    struct entry *e;
    if (!lmpop_parse(c, 1, &o)) return;
    if (!first_list(c, o.first_key, o.key_count, &key, &e)) reply_null_array(c->out);
    else if (e) pop_many(c, key, e, o.end, o.count);
}

void cmd_blmpop(struct call *c)
{
    struct lmpop_options o;
    int64_t deadline_ms;
    const struct key_ref *key;
    struct entry *e;
    if (!lmpop_parse(c, 2, &o) || !call_timeout(c, c->argv[1], &deadline_ms)) return;
    if (!first_list(c, o.first_key, o.key_count, &key, &e))
        call_block(c, o.first_key, o.key_count, OBJ_LIST, deadline_ms, BLOCK_FOR_VALUE);
    else if (e) pop_many(c, key, e, o.end, o.count);
}

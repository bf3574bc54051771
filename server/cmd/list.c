/* SPDX-License-Identifier: MIT
 *
 * Pushing, popping and asking by index. What looks at each element is in list_search.c, what works on two lists or on
 * the first of several in list_move.c, where the blocking forms are too. Behaviour, texts and the order of checks are
 * redis-server 7.2.4's.
 */
#include "server/cmd/list.h"

#include "server/command/handlers.h"
#include "server/db/db.h"

/* --- shared steps ------------------------------------------------------------------------------------------------- */

bool list_parse_end(struct call *c, struct bytes arg, enum list_end *out)
{
    bool left = bytes_is_word(arg, "left");
    if (!left && !bytes_is_word(arg, "right")) {
        call_syntax_error(c);
        return false;
    }
    *out = left ? LIST_HEAD : LIST_TAIL;
    return true;
}

static inline void reply_value(struct reply *out, struct lp_value v)
{
    if (lp_value_is_i64(v)) reply_bulk_int(out, v.i);
    else reply_bulk(out, v.s);
}

void list_reply_value(struct call *c, struct lp_value v) { reply_value(c->out, v); }

void list_reply_range(struct call *c, const struct quicklist *q, size_t index, size_t count, bool backward)
{
    struct list_reader r;
    struct lp_value v;
    reply_array(c->out, count);
    if (!count) return;
    list_reader_init(&r, q, index, backward);
    for (; count && list_reader_next(&r, &v); count--) reply_value(c->out, v);
    list_reader_fini(&r);
}

struct quicklist *list_to_push(struct call *c, struct list_view *l, const struct bytes *elements, int n)
{
    if (l->q != &l->own) return l->q;
    size_t bytes = 0;
    for (int i = 0; i < n; i++) bytes += elements[i].n;
    return list_grows(&c->srv->list_options, c->cfg, l, bytes, (size_t)n);
}

/* Pushing and popping one element is mostly what lists are for: there these are inlined. */
static inline __attribute__((always_inline)) void pushed(struct call *c, const struct key_ref *key, struct entry *e,
                                                         struct list_view *l, enum list_end end, int64_t n)
{
    if (likely(e != NULL)) list_store(e, l);
    else db_put_value(c, key, list_value(l), -1, 0);
    db_changed(c, key, NOTIFY_LIST, end == LIST_HEAD ? "lpush" : "rpush");
    c->dirty += n - 1;
}

static inline __attribute__((always_inline)) bool store_or_delete(struct call *c, const struct key_ref *key,
                                                                  struct entry *e, struct list_view *l)
{
    bool emptied = quicklist_count(l->q) == 0;
    if (likely(!emptied)) {
        list_after_removal(c, e, l);
        return false;
    }
    list_store(e, l);
    db_delete(c, key);
    return true;
}

static inline __attribute__((always_inline)) void popped(struct call *c, const struct key_ref *key, struct entry *e,
                                                         struct list_view *l, enum list_end end, int64_t n)
{
    bool emptied = store_or_delete(c, key, e, l);
    db_changed(c, key, NOTIFY_LIST, end == LIST_HEAD ? "lpop" : "rpop");
    c->dirty += n - 1;
    if (emptied) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
}

void list_pushed(struct call *c, const struct key_ref *key, struct entry *e, struct list_view *l, enum list_end end,
                 int64_t n)
{
    pushed(c, key, e, l, end, n);
}

bool list_store_or_delete(struct call *c, const struct key_ref *key, struct entry *e, struct list_view *l)
{
    return store_or_delete(c, key, e, l);
}

void list_popped(struct call *c, const struct key_ref *key, struct entry *e, struct list_view *l, enum list_end end,
                 int64_t n)
{
    popped(c, key, e, l, end, n);
}

size_t list_pop_range(struct call *c, const struct key_ref *key, struct entry *e, enum list_end end, uint64_t count)
{
    struct list_view l;
    struct quicklist *q = list_open(&l, e);
    size_t size = quicklist_count(q), n = count < size ? (size_t)count : size;
    bool head = end == LIST_HEAD;
    list_reply_range(c, q, head ? 0 : size - 1, n, !head);
    quicklist_delete_range(q, head ? 0 : -(long)n, n);
    list_popped(c, key, e, &l, end, (int64_t)n);
    return n;
}

/* --- push --------------------------------------------------------------------------------------------------------- */

static void push(struct call *c, enum list_end end, bool only_if_there)
{
    const struct key_ref *key = call_key(c, 1);
    struct entry *e = db_lookup_write(c, key);
    if (e && call_wrong_type(c, e, OBJ_LIST)) return;
    if (!e && only_if_there) {
        call_integer(c, 0);
        return;
    }
    struct list_view l;
    struct quicklist *q = list_open_to_push(c, &l, e, &c->argv[2], c->argc - 2);
    for (int i = 2; i < c->argc; i++) list_push(q, end, c->argv[i]);
    pushed(c, key, e, &l, end, c->argc - 2);
    call_integer(c, (int64_t)quicklist_count(q));
}

void cmd_lpush(struct call *c) { push(c, LIST_HEAD, false); }
void cmd_rpush(struct call *c) { push(c, LIST_TAIL, false); }
void cmd_lpushx(struct call *c) { push(c, LIST_HEAD, true); }
void cmd_rpushx(struct call *c) { push(c, LIST_TAIL, true); }

/* --- pop ---------------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void pop(struct call *c, enum list_end end)
{
    const struct key_ref *key = call_key(c, 1);
    bool many = c->argc == 3;
    int64_t count = 1;
    if (c->argc > 3) {
        call_arity_error(c);
        return;
    }
    if (many && !call_positive(c, c->argv[2], &count, NULL)) return;
    struct entry *e = db_lookup_write(c, key);
    if (!e) {
        if (many) reply_null_array(c->out);
        else reply_null(c->out);
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST)) return;

    if (!count) {
        reply_array(c->out, 0);
    } else if (many) {
        list_pop_range(c, key, e, end, (uint64_t)count);
    } else {
        struct list_view l;
        list_reply_value(c, list_peek(list_open(&l, e), end));
        list_drop(l.q, end);
        popped(c, key, e, &l, end, 1);
    }
}

void cmd_lpop(struct call *c) { pop(c, LIST_HEAD); }
void cmd_rpop(struct call *c) { pop(c, LIST_TAIL); }

/* --- by index ----------------------------------------------------------------------------------------------------- */

void cmd_llen(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) call_integer(c, 0);
    else if (!call_wrong_type(c, e, OBJ_LIST)) call_integer(c, (int64_t)list_count(e));
}

/* Where an index that may be negative points; outside of the list it is below 0 or at least the count. */
static int64_t from_head(int64_t index, size_t count) { return index < 0 ? index + (int64_t)count : index; }

void cmd_lindex(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    int64_t index;
    if (!e) {
        reply_null(c->out);
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST) || !call_int(c, c->argv[2], &index)) return;

    struct list_view l;
    const struct quicklist *q = list_open(&l, e);
    index = from_head(index, quicklist_count(q));
    struct list_reader r;
    struct lp_value v;
    if (index < 0 || (uint64_t)index >= quicklist_count(q)) {
        reply_null(c->out);
        return;
    }
    list_reader_init(&r, q, (size_t)index, false);
    if (list_reader_next(&r, &v)) list_reply_value(c, v);
    list_reader_fini(&r);
}

void cmd_lset(struct call *c)
{
    struct entry *e = db_lookup_write(c, call_key(c, 1));
    int64_t index;
    if (!e) {
        call_error(c, "ERR no such key");
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST) || !call_int(c, c->argv[2], &index)) return;
    struct list_view l;
    struct quicklist *q = list_open_to_push(c, &l, e, &c->argv[3], 1);
    if (!quicklist_replace_at(q, index, c->argv[3])) {
        list_store(e, &l); /* it is ready for a longer element */
        call_error(c, "ERR index out of range");
        return;
    }
    list_after_removal(c, e, &l); /* a long element may have given way to a short one */
    db_changed(c, call_key(c, 1), NOTIFY_LIST, "lset");
    call_ok(c);
}

/* The part of a list from start to end, both included, negative ones counted from the tail. */
struct list_range {
    size_t first, count;
};

static struct list_range range_of(int64_t start, int64_t end, size_t size)
{
    start = from_head(start, size);
    end = from_head(end, size);
    if (start < 0) start = 0;
    if (start > end || (uint64_t)start >= size) return (struct list_range){0, 0};
    if ((uint64_t)end >= size) end = (int64_t)size - 1;
    return (struct list_range){(size_t)start, (size_t)(end - start) + 1};
}

void cmd_lrange(struct call *c)
{
    int64_t start, end;
    if (!call_int(c, c->argv[2], &start) || !call_int(c, c->argv[3], &end)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        reply_array(c->out, 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST)) return;
    struct list_view l;
    const struct quicklist *q = list_open(&l, e);
    struct list_range part = range_of(start, end, quicklist_count(q));
    list_reply_range(c, q, part.first, part.count, false);
}

/* Announces "ltrim" even where nothing was to be cut. */
void cmd_ltrim(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    int64_t start, end;
    if (!call_int(c, c->argv[2], &start) || !call_int(c, c->argv[3], &end)) return;
    struct entry *e = db_lookup_write(c, key);
    if (!e) {
        call_ok(c);
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST)) return;

    struct list_view l;
    struct quicklist *q = list_open(&l, e);
    size_t size = quicklist_count(q);
    struct list_range kept = range_of(start, end, size);
    if (kept.count) {
        size_t behind = size - kept.first - kept.count;
        quicklist_delete_range(q, 0, kept.first);
        quicklist_delete_range(q, -(long)behind, behind);
        list_after_removal(c, e, &l);
    } else {
        db_delete(c, key);
    }
    db_changed(c, key, NOTIFY_LIST, "ltrim");
    c->dirty += (int64_t)(size - kept.count) - 1;
    if (!kept.count) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    call_ok(c);
}

/* SPDX-License-Identifier: MIT
 *
 * The list commands that look for an element by its value: LPOS, LREM, LINSERT.
 */
#include "server/cmd/list.h"
#include "server/command/handlers.h"
#include "server/db/db.h"

/* --- LPOS --------------------------------------------------------------------------------------------------------- */

struct lpos_options {
    bool many; /* COUNT was given: an array is replied */
    bool backward;
    int64_t rank;          /* positive */
    int64_t count, maxlen; /* 0: all */
};

static bool lpos_parse(struct call *c, struct lpos_options *o)
{
    *o = (struct lpos_options){.rank = 1};
    for (int i = 3; i < c->argc; i += 2) {
        struct bytes word = c->argv[i];
        if (i + 1 == c->argc) {
            call_syntax_error(c);
            return false;
        }
        struct bytes value = c->argv[i + 1];
        if (bytes_is_word(word, "rank")) {
            if (!call_int(c, value, &o->rank)) return false;
            if (o->rank == INT64_MIN) {
                call_error(c, "ERR value is out of range, value must between -9223372036854775807 and "
                              "9223372036854775807");
                return false;
            }
            if (o->rank == 0) {
                call_error(c, "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
                              "or use negative to start from the end of the list");
                return false;
            }
        } else if (bytes_is_word(word, "count")) {
            if (!call_positive(c, value, &o->count, "ERR COUNT can't be negative")) return false;
            o->many = true;
        } else if (bytes_is_word(word, "maxlen")) {
            if (!call_positive(c, value, &o->maxlen, "ERR MAXLEN can't be negative")) return false;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    o->backward = o->rank < 0;
    if (o->backward) o->rank = -o->rank;
    return true;
}

/* Replies with the positions that are wanted, or for a single one returns it; -1: there is none. */
static int64_t lpos_find(struct call *c, const struct quicklist *q, const struct lpos_options *o, int64_t *replied)
{
    struct list_needle needle = list_needle(c->argv[2]);
    int64_t size = (int64_t)quicklist_count(q), matches = 0, found = -1;
    struct list_reader r;
    struct lp_value v;
    list_reader_init(&r, q, o->backward ? (size_t)size - 1 : 0, o->backward);
    for (int64_t i = 0; (!o->maxlen || i < o->maxlen) && list_reader_next(&r, &v); i++) {
        if (!list_needle_is(&needle, v) || ++matches < o->rank) continue;
        found = o->backward ? size - 1 - i : i;
        if (!o->many) break;
        call_integer(c, found);
        (*replied)++;
        if (o->count && *replied >= o->count) break;
    }
    list_reader_fini(&r);
    return found;
}

void cmd_lpos(struct call *c)
{
    struct lpos_options o;
    if (!lpos_parse(c, &o)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_LIST)) return;

    int64_t replied = 0;
    struct list_view l;
    if (!e) {
        if (o.many) reply_array(c->out, 0);
        else reply_null(c->out);
    } else if (o.many) {
        struct reply_mark m = reply_defer(c->out);
        lpos_find(c, list_open(&l, e), &o, &replied);
        reply_defer_array(c->out, m, (size_t)replied);
    } else {
        int64_t found = lpos_find(c, list_open(&l, e), &o, &replied);
        if (found < 0) reply_null(c->out);
        else call_integer(c, found);
    }
}

/* --- LREM --------------------------------------------------------------------------------------------------------- */

/* most 0: all. */
static size_t remove_equal(struct quicklist *q, struct bytes s, bool backward, uint64_t most)
{
    struct list_needle needle = list_needle(s);
    struct quicklist_iter it;
    struct lp_value v;
    size_t removed = 0;
    quicklist_iter_init(&it, q, backward ? -1 : 0, backward);
    while (quicklist_iter_next(&it, &v)) {
        if (!list_needle_is(&needle, v)) continue;
        quicklist_iter_delete(&it);
        if (++removed == most) break;
    }
    quicklist_iter_fini(&it);
    return removed;
}

void cmd_lrem(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    int64_t count;
    if (!call_int(c, c->argv[2], &count)) return;
    struct entry *e = db_lookup_write(c, key);
    if (!e) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST)) return;

    struct list_view l;
    size_t removed =
        remove_equal(list_open(&l, e), c->argv[3], count < 0, count < 0 ? -(uint64_t)count : (uint64_t)count);
    if (removed) {
        bool emptied = list_store_or_delete(c, key, e, &l);
        db_changed(c, key, NOTIFY_LIST, "lrem");
        c->dirty += (int64_t)removed - 1;
        if (emptied) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    }
    call_integer(c, (int64_t)removed);
}

/* --- LINSERT ------------------------------------------------------------------------------------------------------ */

static bool insert_beside(struct quicklist *q, struct bytes pivot, struct bytes s, bool after)
{
    struct list_needle needle = list_needle(pivot);
    struct quicklist_iter it;
    struct lp_value v;
    bool found = false;
    quicklist_iter_init(&it, q, 0, false);
    while (!found && quicklist_iter_next(&it, &v)) found = list_needle_is(&needle, v);
    if (found && after) quicklist_iter_insert_after(&it, s);
    else if (found) quicklist_iter_insert_before(&it, s);
    quicklist_iter_fini(&it);
    return found;
}

void cmd_linsert(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    bool after = bytes_is_word(c->argv[2], "after");
    if (!after && !bytes_is_word(c->argv[2], "before")) {
        call_syntax_error(c);
        return;
    }
    struct entry *e = db_lookup_write(c, key);
    if (!e) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_LIST)) return;

    struct list_view l;
    struct quicklist *q = list_open_to_push(c, &l, e, &c->argv[4], 1);
    bool inserted = insert_beside(q, c->argv[3], c->argv[4], after);
    list_store(e, &l);
    if (!inserted) {
        call_integer(c, -1);
        return;
    }
    db_changed(c, key, NOTIFY_LIST, "linsert");
    call_integer(c, (int64_t)quicklist_count(q));
}

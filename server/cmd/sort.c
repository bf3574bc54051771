/* SPDX-License-Identifier: MIT
 *
 * SORT and SORT_RO. The elements, and what BY and GET find for them, are copied into an arena first: looking keys up
 * may delete expired ones, and lists show an element only until the next. Then a vector of them is sorted, stably, and
 * a range of it is replied or stored.
 *
 * A pattern names another key: its first '*' is replaced by the element, and what follows "->" is a field of the hash
 * there. The pattern "#" is the element itself.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "server/cmd/sort_vector.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/dict.h"
#include "server/ds/listpack.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/types/list.h"
#include "server/types/zset.h"

struct sort {
    struct call *c;
    bool desc, alpha, dont_sort;
    int64_t limit_start, limit_count;
    struct bytes by;             /* p NULL: by the elements themselves */
    const struct key_ref *store; /* NULL: reply */
    int *gets;                   /* indexes in argv of the patterns of GET */
    int get_count;
};

/* --- options ------------------------------------------------------------------------------------------------------ */

/* Patterns are C strings to Redis: what follows a NUL byte is not looked at. */
static bool has_star(struct bytes pattern)
{
    return pattern.n && memchr(pattern.p, '*', strnlen(pattern.p, pattern.n));
}

static bool pattern_is_allowed(struct sort *s, const char *option)
{
    if (srv_cluster_enabled(s->c)) {
        call_errorf(s->c, "ERR %s option of SORT denied in Cluster mode.", option);
        return false;
    }
    if (!srv_reads_all_keys(s->c)) {
        call_errorf(s->c, "ERR %s option of SORT denied due to insufficient ACL permissions.", option);
        return false;
    }
    return true;
}

static bool parse(struct sort *s, bool read_only)
{
    struct call *c = s->c;
    for (int i = 2; i < c->argc; i++) {
        struct bytes w = c->argv[i];
        int left = c->argc - i - 1;
        if (bytes_is_word(w, "asc")) {
            s->desc = false;
        } else if (bytes_is_word(w, "desc")) {
            s->desc = true;
        } else if (bytes_is_word(w, "alpha")) {
            s->alpha = true;
        } else if (bytes_is_word(w, "limit") && left >= 2) {
            if (!call_int(c, c->argv[i + 1], &s->limit_start) || !call_int(c, c->argv[i + 2], &s->limit_count))
                return false;
            i += 2;
        } else if (!read_only && bytes_is_word(w, "store") && left >= 1) {
            s->store = call_key(c, ++i);
        } else if (bytes_is_word(w, "by") && left >= 1) {
            s->by = c->argv[++i];
            if (!has_star(s->by)) s->dont_sort = true;
            else if (!pattern_is_allowed(s, "BY")) return false;
        } else if (bytes_is_word(w, "get") && left >= 1) {
            if (!pattern_is_allowed(s, "GET")) return false;
            s->gets[s->get_count++] = ++i;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* --- patterns ----------------------------------------------------------------------------------------------------- */

static bool hash_field(const struct entry *e, struct bytes field, char num[NUMBER_I64_SIZE], struct bytes *out)
{
    if (e->enc == ENC_HT) return dict_get(entry_ptr(e), field, out);
    const unsigned char *lp = entry_ptr(e);
    unsigned char *p = lp_find(lp, lp_first(lp), field, 1);
    if (!p) return false;
    *out = lp_get_bytes(lp_next(lp, p), num);
    return true;
}

/* What the pattern names for an element. False: nothing. *out is valid until the next change or look-up; num lends
 * it room. */
static bool look_up(struct call *c, struct bytes pattern, struct bytes element, char num[ENTRY_STR_BUF],
                    struct bytes *out)
{
    if (bytes_equal(pattern, BYTES("#"))) {
        *out = element;
        return true;
    }
    const char *end = pattern.p + strnlen(pattern.p, pattern.n),
               *star = memchr(pattern.p, '*', (size_t)(end - pattern.p));
    if (!star) return false;
    struct bytes field = {NULL, 0}, tail = bytes_of(star + 1, (size_t)(pattern.p + pattern.n - star - 1));
    const char *arrow = memmem(star + 1, (size_t)(end - star - 1), "->", 2);
    if (arrow && arrow + 2 < end) {
        field = bytes_of(arrow + 2, (size_t)(pattern.p + pattern.n - arrow - 2));
        tail.n = (size_t)(arrow - star - 1);
    }

    size_t head = (size_t)(star - pattern.p), n = head + element.n + tail.n;
    char small[256], *key = n <= sizeof small ? small : mem_alloc(n);
    memcpy(key, pattern.p, head);
    memcpy(key + head, element.p, element.n);
    if (tail.n) memcpy(key + head + element.n, tail.p, tail.n);
    struct key_ref ref = key_ref_of(c->db, bytes_of(key, n));
    const struct entry *e = db_lookup_read(c, &ref);
    if (key != small) mem_free(key);

    if (!e || e->type != (field.p ? OBJ_HASH : OBJ_STRING)) return false;
    if (field.p) return hash_field(e, field, num, out);
    *out = entry_string(e, num);
    return true;
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

/* As strtod() reads a C string: leading spaces, an empty string (0) and what follows a NUL byte are let through. */
static bool parse_score(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return *end == 0 && errno != ERANGE && !isnan(*out);
}

/* False: some weight is no number. */
static bool weigh(struct sort *s, struct sort_vector *v)
{
    bool ok = true;
    for (size_t i = 0; i < v->count; i++) {
        struct sort_item *it = &v->items[i];
        struct bytes w = it->text;
        if (s->by.p) {
            char num[ENTRY_STR_BUF];
            if (!look_up(s->c, s->by, it->text, num, &w)) continue;
            w = sort_vector_copy(v, w);
        }
        if (s->alpha) it->weight = w;
        else ok &= parse_score(w.p, &it->score);
    }
    return ok;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

/* `from` to `end` - 1. */
static void reply_range(struct sort *s, const struct sort_vector *v, size_t from, size_t end)
{
    struct call *c = s->c;
    reply_array(c->out, (end - from) * (s->get_count ? (size_t)s->get_count : 1));
    for (size_t i = from; i < end && !call_output_over(c); i++) {
        if (!s->get_count) call_bulk(c, v->items[i].text);
        for (int g = 0; g < s->get_count; g++) {
            char num[ENTRY_STR_BUF];
            struct bytes found;
            if (look_up(c, c->argv[s->gets[g]], v->items[i].text, num, &found)) call_bulk(c, found);
            else reply_null(c->out);
        }
    }
}

/* Returns the number of its elements. */
static int64_t list_of_range(struct sort *s, const struct sort_vector *v, size_t from, size_t end, struct value *out)
{
    struct call *c = s->c;
    struct quicklist *q = list_new_usual(&c->srv->list_options, c->cfg);
    for (size_t i = from; i < end; i++) {
        if (!s->get_count) quicklist_push_tail(q, v->items[i].text);
        for (int g = 0; g < s->get_count; g++) {
            char num[ENTRY_STR_BUF];
            struct bytes found;
            if (!look_up(c, c->argv[s->gets[g]], v->items[i].text, num, &found)) found = BYTES("");
            quicklist_push_tail(q, found);
        }
    }
    int64_t n = (int64_t)quicklist_count(q);
    *out = list_built(&c->srv->list_options, c->cfg, q);
    return n;
}

static void store_range(struct sort *s, const struct sort_vector *v, size_t from, size_t end)
{
    struct call *c = s->c;
    if (from == end) {
        if (db_delete(c, s->store)) db_changed(c, s->store, NOTIFY_GENERIC, "del");
        call_integer(c, 0);
        return;
    }
    struct value list;
    int64_t n = list_of_range(s, v, from, end, &list);
    db_put_value(c, s->store, list, -1, 0);
    db_changed(c, s->store, NOTIFY_LIST, "sortstore");
    c->dirty += n - 1;
    call_integer(c, n);
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void limit(const struct sort *s, size_t count, size_t *from, size_t *end)
{
    size_t most = s->limit_count < 0 || (uint64_t)s->limit_count > count ? count : (size_t)s->limit_count;
    *from = s->limit_start <= 0 ? 0 : (uint64_t)s->limit_start > count ? count : (size_t)s->limit_start;
    *end = most > count - *from ? count : *from + most;
}

static void sort_entry(struct sort *s, const struct entry *e)
{
    struct sort_vector v = {0};
    size_t count = e ? value_elements(e) : 0, from, end;
    /* The order of a set would differ between us and a replica, or the next run of a script: sort it then. */
    if (s->dont_sort && e && e->type == OBJ_SET && (s->store || srv_in_script(s->c))) {
        s->dont_sort = false;
        s->alpha = true;
        s->by.p = NULL;
    }
    limit(s, count, &from, &end);
    /* lists and sorted sets have an order, and so a range of it */
    bool in_order = s->dont_sort && e && e->type != OBJ_SET;
    if (e && in_order) {
        sort_vector_load_range(&v, e, from, end, s->desc);
        end -= from;
        from = 0;
    } else if (e) {
        sort_vector_load(&v, e);
    }

    bool ok = true;
    if (!s->dont_sort) {
        ok = weigh(s, &v);
        sort_vector_sort(&v,
                         &(struct sort_order){
                             .desc = s->desc, .alpha = s->alpha, .by = s->by.p != NULL, .bytewise = s->store != NULL});
    }
    if (!ok) call_error(s->c, "ERR One or more scores can't be converted into double");
    else if (s->store) store_range(s, &v, from, end);
    else reply_range(s, &v, from, end);
    sort_vector_fini(&v);
}

/* Redis sorts a sorted set by its tree, and leaves it with one: OBJECT ENCODING tells, and so do DUMP and RDB. */
static const struct entry *make_tree(struct call *c, const struct entry *e)
{
    struct zset_rules rules = zset_rules(c->cfg, c->db->hash_seed);
    rules.entries_max = 0;
    struct zset packed = zset_of(e), tree = zset_new(zset_count(&packed), 0, &rules);
    struct zset_iter it;
    zset_iter_init(&it, &packed, zset_whole(&packed), false);
    while (zset_iter_next(&it)) zset_append(&tree, it.member, zset_iter_score(&it), &rules);
    return db_reencode(c, call_key(c, 1), e, tree.enc, tree.p);
}

static void sort_key(struct call *c, bool read_only)
{
    struct sort s = {.c = c, .limit_count = -1};
    s.gets = mem_alloc((size_t)c->argc * sizeof *s.gets);
    if (parse(&s, read_only)) {
        const struct entry *e = db_lookup_read(c, call_key(c, 1));
        if (e && e->type != OBJ_LIST && e->type != OBJ_SET && e->type != OBJ_ZSET) {
            call_error(c, "WRONGTYPE Operation against a key holding the wrong kind of value");
        } else {
            if (e && e->type == OBJ_ZSET && e->enc == ENC_LISTPACK) e = make_tree(c, e);
            sort_entry(&s, e);
        }
    }
    mem_free(s.gets);
}

void cmd_sort(struct call *c) { sort_key(c, false); }
void cmd_sort_ro(struct call *c) { sort_key(c, true); }

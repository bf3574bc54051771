/* SPDX-License-Identifier: MIT
 *
 * Adding, deleting and trimming. An entry is written straight into the last node, which has room for the next ones: a
 * first node doubles up to ROOM_MAX, any other begins with what the one before it came to. A node that is full gives
 * back what it did not need.
 *
 * Deleted entries stay in their node, as in redis-server, until it goes.
 */
#include "server/ds/xstream.h"

#include "server/mem.h"
#include "server/ds/xstream_group.h"

#define FLAG_DELETED     1
#define FLAG_SAME_FIELDS 2
#define FRAME            3
#define ROOM_MAX         4096 /* what a node is given ahead at most; Redis's nodes begin with it */
#define PIECES           48   /* elements that are put together before they are written */

/* --- life --------------------------------------------------------------------------------------------------------- */

struct xstream *xstream_new(void) { return mem_calloc(sizeof(struct xstream)); }

void xstream_free(struct xstream *s)
{
    for (struct btree_pos p = btree_first(&s->nodes); p.leaf; p = btree_next(p)) lp_free(btree_slot(p)->value);
    btree_fini(&s->nodes);
    stream_groups_free(s);
    mem_free_sized(s, sizeof *s);
}

struct xstream *xstream_dup(const struct xstream *s)
{
    struct xstream *copy = xstream_new();
    copy->length = s->length;
    copy->added = s->added;
    copy->first = s->first;
    copy->last = s->last;
    copy->max_deleted = s->max_deleted;
    for (struct btree_pos p = btree_first(&s->nodes); p.leaf; p = btree_next(p))
        btree_insert(&copy->nodes, btree_slot(p)->key, NULL, lp_dup(btree_slot(p)->value));
    stream_groups_dup(copy, s);
    return copy;
}

/* --- a node's counts ---------------------------------------------------------------------------------------------- */

struct counts {
    int64_t live, dead;
};

static struct counts counts_of(const unsigned char *lp)
{
    struct counts n = {0, 0};
    const unsigned char *p = lp + LP_HEADER_SIZE;
    lp_value_i64(lp_get(p), &n.live);
    lp_value_i64(lp_get(lp_after(p)), &n.dead);
    return n;
}

/* The listpack in the slot may move. */
static void set_counts(struct xstream *s, struct btree_slot *slot, struct counts n)
{
    unsigned char *lp = slot->value, *p = lp + LP_HEADER_SIZE;
    size_t bytes = lp_bytes(lp);
    lp = lp_replace_i64(lp, &p, n.live);
    p = lp_next(lp, p);
    lp = lp_replace_i64(lp, &p, n.dead);
    if (lp_bytes(lp) != bytes) s->moves++;
    slot->value = lp;
}

/* The entry that begins at `at` is dead from now on. Flags are one byte (xstream_node_is_sound()), so nothing moves. */
static void bury(const struct btree_slot *slot, size_t at)
{
    unsigned char *lp = slot->value;
    DASSERT(lp[at] <= (FLAG_DELETED | FLAG_SAME_FIELDS));
    lp[at] |= FLAG_DELETED;
}

static void drop_node(struct xstream *s, struct btree_key key)
{
    lp_free(btree_remove(&s->nodes, key, NULL));
    s->moves++;
}

/* --- append ------------------------------------------------------------------------------------------------------- */

struct node_writer {
    unsigned char *lp;
    unsigned count;
    struct lp_value v[PIECES];
};

static void flush(struct node_writer *w)
{
    w->lp = lp_append_values(w->lp, w->v, w->count);
    w->count = 0;
}

static inline void put_piece(struct node_writer *w, struct lp_value v)
{
    if (unlikely(w->count == PIECES)) flush(w);
    w->v[w->count++] = v;
}

static inline void put_int(struct node_writer *w, int64_t v) { put_piece(w, (struct lp_value){.i = v}); }
static inline void put_string(struct node_writer *w, struct bytes s)
{
    put_piece(w, (struct lp_value){.s = s.p ? s : BYTES("")});
}

/* Bytes that an entry takes at most, with names or without. */
static size_t size_most(const struct bytes *pairs, int64_t fields, size_t *text)
{
    size_t n = 0;
    for (int64_t i = 0; i < 2 * fields; i++) n += pairs[i].n;
    *text = n;
    return n + (size_t)(2 * fields + FRAME + 2) * LP_I64_SIZE_MAX;
}

static bool is_full(const unsigned char *lp, size_t text, const struct xstream_limits *limits)
{
    int64_t bytes_max = limits->bytes_max, entries_max = limits->entries_max;
    if (bytes_max == 0 || bytes_max > (int64_t)LP_SIZE_MAX) bytes_max = LP_SIZE_MAX;
    if (lp_bytes(lp) + text >= (size_t)bytes_max) return true;
    struct counts n = counts_of(lp);
    return entries_max && n.live + n.dead >= entries_max;
}

static unsigned char *make_room(unsigned char *lp, size_t bytes)
{
    size_t has = mem_size(lp);
    if (likely(bytes <= has)) return lp;
    size_t want = has * 2 <= ROOM_MAX ? has * 2 : 0;
    return lp_reserve(lp, bytes <= want ? want : bytes + bytes / 8);
}

/* The next node's first room: what the one before it came to. */
static unsigned char *new_node(const unsigned char *before, size_t most)
{
    size_t room = before ? demi_good_size(lp_bytes(before)) : 0;
    if (room > ROOM_MAX) room = ROOM_MAX;
    return lp_new(room > most + LP_EMPTY_SIZE ? room : most + LP_EMPTY_SIZE);
}

/* In memory of its own size: a realloc() would leave up to an eighth unused. */
static unsigned char *fit(unsigned char *lp)
{
    if (mem_size(lp) == demi_good_size(lp_bytes(lp))) return lp;
    unsigned char *copy = lp_dup(lp);
    lp_free(lp);
    return copy;
}

static void put_master(struct node_writer *w, const struct bytes *pairs, int64_t fields)
{
    put_int(w, 1);
    put_int(w, 0);
    put_int(w, fields);
    for (int64_t i = 0; i < fields; i++) put_string(w, pairs[2 * i]);
    put_int(w, 0);
}

static bool name_is(const unsigned char *e, struct bytes name)
{
    if ((*e & 0xc0) == 0x80) return name.n == (*e & 63u) && memcmp(e + 1, name.p, name.n) == 0;
    return lp_equal(e, name);
}

static bool has_fields(const unsigned char *lp, const struct bytes *pairs, int64_t fields)
{
    int64_t shared;
    const unsigned char *p = lp_after(lp_after(lp + LP_HEADER_SIZE));
    if (!lp_value_i64(lp_get(p), &shared) || shared != fields) return false;
    p = lp_after(p);
    for (int64_t i = 0; i < fields; i++, p = lp_after(p))
        if (!name_is(p, pairs[2 * i])) return false;
    return true;
}

static void put_entry(struct node_writer *w, struct stream_id delta, const struct bytes *pairs, int64_t fields,
                      bool same)
{
    put_int(w, same ? FLAG_SAME_FIELDS : 0);
    put_int(w, (int64_t)delta.ms);
    put_int(w, (int64_t)delta.seq);
    if (!same) put_int(w, fields);
    for (int64_t i = 0; i < fields; i++) {
        if (!same) put_string(w, pairs[2 * i]);
        put_string(w, pairs[2 * i + 1]);
    }
    put_int(w, FRAME + (same ? fields : 2 * fields + 1));
    flush(w);
}

static void count_in(struct xstream *s, struct stream_id id)
{
    s->length++;
    s->added++;
    s->last = id;
    if (s->length == 1) s->first = id;
}

static void append_node(struct xstream *s, struct btree_slot *tail, struct stream_id id, const struct bytes *pairs,
                        int64_t fields, size_t most)
{
    struct node_writer w = {.count = 0};
    w.lp = new_node(tail ? tail->value : NULL, most);
    if (tail) tail->value = fit(tail->value);
    put_master(&w, pairs, fields);
    put_entry(&w, (struct stream_id){0}, pairs, fields, true);
    bool new = btree_insert(&s->nodes, stream_id_key(id), NULL, w.lp);
    ASSERT(new);
}

bool xstream_append(struct xstream *s, struct stream_id id, const struct bytes *pairs, int64_t fields,
                    const struct xstream_limits *limits)
{
    size_t text, most = size_most(pairs, fields, &text);
    struct btree_pos last = btree_last(&s->nodes);
    struct btree_slot *tail = last.leaf ? btree_slot(last) : NULL;
    if (!tail) {
        append_node(s, NULL, id, pairs, fields, most);
        count_in(s, id);
        return true;
    }
    /* One that is not behind the tail's beginning, in a stream from outside that says so, can only go in there. */
    bool behind = stream_id_compare(id, stream_id_of_key(tail->key)) > 0;
    if (!behind && !lp_fits(tail->value, most)) return false;
    if (behind && is_full(tail->value, text, limits)) {
        append_node(s, tail, id, pairs, fields, most);
        count_in(s, id);
        return true;
    }
    struct counts n = counts_of(tail->value);
    n.live++;
    struct node_writer w;
    w.count = 0;
    w.lp = make_room(tail->value, lp_bytes(tail->value) + most);
    tail->value = w.lp;
    set_counts(s, tail, n);
    w.lp = tail->value;
    struct stream_id delta = {id.ms - tail->key.hi, id.seq - tail->key.lo};
    put_entry(&w, delta, pairs, fields, has_fields(w.lp, pairs, fields));
    tail->value = w.lp;
    count_in(s, id);
    return true;
}

/* --- IDs ---------------------------------------------------------------------------------------------------------- */

bool xstream_next_id(const struct xstream *s, int64_t now_ms, struct stream_id *id)
{
    *id = s->last;
    if ((uint64_t)now_ms <= s->last.ms) return stream_id_increment(id);
    *id = (struct stream_id){.ms = (uint64_t)now_ms};
    return true;
}

bool xstream_last_live(const struct xstream *s, struct stream_id *id)
{
    struct xstream_iter it;
    int64_t fields;
    xstream_iter_init(&it, s, (struct stream_id){0}, STREAM_ID_MAX, true);
    return xstream_iter_next(&it, id, &fields);
}

struct stream_id xstream_first_any(const struct xstream *s)
{
    struct xstream_iter it;
    struct stream_id id;
    int64_t fields;
    xstream_iter_init(&it, s, (struct stream_id){0}, STREAM_ID_MAX, false);
    it.tombstones = true;
    return xstream_iter_next(&it, &id, &fields) ? id : STREAM_ID_MAX;
}

bool xstream_has(const struct xstream *s, struct stream_id id)
{
    struct xstream_iter it;
    struct stream_id found;
    int64_t fields;
    xstream_iter_init(&it, s, id, id, false);
    return xstream_iter_next(&it, &found, &fields);
}

/* --- delete ------------------------------------------------------------------------------------------------------- */

bool xstream_delete(struct xstream *s, struct stream_id id)
{
    struct xstream_iter it;
    struct stream_id found;
    int64_t fields;
    xstream_iter_init(&it, s, id, id, false);
    if (!xstream_iter_next(&it, &found, &fields)) return false;
    struct btree_pos pos = btree_at_most(&s->nodes, stream_id_key(it.node_id), NULL);
    struct btree_slot *slot = btree_slot(pos);
    struct counts n = counts_of(slot->value);
    s->length--;
    if (n.live <= 1) {
        drop_node(s, slot->key);
        return true;
    }
    bury(slot, (size_t)(it.flags - it.lp));
    set_counts(s, slot, (struct counts){n.live - 1, n.dead + 1});
    return true;
}

void xstream_find_first(struct xstream *s)
{
    struct xstream_iter it;
    int64_t fields;
    xstream_iter_init(&it, s, (struct stream_id){0}, STREAM_ID_MAX, false);
    if (!s->length) s->first = (struct stream_id){0};
    else if (!xstream_iter_next(&it, &s->first, &fields)) s->first = STREAM_ID_MAX;
}

/* --- trim --------------------------------------------------------------------------------------------------------- */

/* The last entry of a node, dead or alive. */
static struct stream_id last_of_node(const struct btree_slot *slot)
{
    struct stream_id id = stream_id_of_key(slot->key);
    const unsigned char *p = lp_last(slot->value);
    int64_t n = 0, ms = 0, seq = 0;
    for (lp_value_i64(lp_get(p), &n); n > 0; n--) p = lp_prev(slot->value, p);
    p = lp_after(p);
    lp_value_i64(lp_get(p), &ms);
    lp_value_i64(lp_get(lp_after(p)), &seq);
    id.ms += (uint64_t)ms;
    id.seq += (uint64_t)seq;
    return id;
}

static bool goes_whole(const struct xstream *s, const struct xstream_trim *t, const struct btree_slot *slot,
                       int64_t live)
{
    if (t->by == XSTREAM_TRIM_LENGTH) return s->length - (uint64_t)live >= t->length;
    return stream_id_compare(last_of_node(slot), t->min) < 0;
}

/* Marks what is to go in the first node that is not to go as a whole. */
static int64_t trim_within(struct xstream *s, const struct xstream_trim *t, struct btree_slot *slot)
{
    struct xstream_iter it;
    struct stream_id id;
    int64_t fields, gone = 0;
    struct counts n = counts_of(slot->value);
    xstream_iter_init(&it, s, stream_id_of_key(slot->key), STREAM_ID_MAX, false);
    it.next = btree_first(&s->nodes);
    it.from = (struct stream_id){0};
    while (xstream_iter_next(&it, &id, &fields)) {
        if (it.lp != slot->value) break;
        if (t->by == XSTREAM_TRIM_LENGTH ? s->length <= t->length : stream_id_compare(id, t->min) >= 0) break;
        bury(slot, (size_t)(it.flags - it.lp));
        gone++;
        s->length--;
    }
    set_counts(s, slot, (struct counts){n.live - gone, n.dead + gone});
    return gone;
}

int64_t xstream_trim(struct xstream *s, const struct xstream_trim *t)
{
    int64_t gone = 0;
    while (t->by != XSTREAM_TRIM_NONE && btree_count(&s->nodes)) {
        if (t->by == XSTREAM_TRIM_LENGTH && s->length <= t->length) break;
        struct btree_slot *slot = btree_slot(btree_first(&s->nodes));
        int64_t live = counts_of(slot->value).live;
        if (t->limit && gone + live > t->limit) break;
        if (!goes_whole(s, t, slot, live)) {
            if (!t->approximate) gone += trim_within(s, t, slot);
            break;
        }
        drop_node(s, slot->key);
        s->length -= (uint64_t)live;
        gone += live;
    }
    if (gone || !s->length) xstream_find_first(s);
    return gone;
}

/* --- check -------------------------------------------------------------------------------------------------------- */

bool xstream_relocate(struct xstream *s, struct btree_key *at, size_t count, struct mem_moves *m)
{
    struct btree_pos p = btree_at_least(&s->nodes, *at, NULL);
    for (; p.leaf && count; p = btree_next(p), count--) {
        void *moved = mem_move(m, btree_slot(p)->value);
        if (moved) btree_slot(p)->value = moved;
    }
    if (p.leaf) *at = btree_slot(p)->key;
    return p.leaf != NULL;
}

#ifdef DEMI_DEBUG
void xstream_check(const struct xstream *s)
{
    uint64_t length = 0;
    btree_check(&s->nodes);
    for (struct btree_pos p = btree_first(&s->nodes); p.leaf; p = btree_next(p)) {
        const unsigned char *lp = btree_slot(p)->value;
        uint64_t live;
        ASSERT(lp_validate(lp, lp_bytes(lp), true, NULL, NULL));
        ASSERT(xstream_node_is_sound(lp, &live));
        length += live;
    }
    ASSERT(length == s->length);
}
#endif

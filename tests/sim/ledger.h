/* SPDX-License-Identifier: MIT
 *
 * What a fleet's servers have in their histories, byte by byte, kept by somebody who sees all of them. Each time a
 * server appends to its history the ledger looks (the journal tells): who is nobody's replica makes the bytes of its
 * id, and goes on exactly where that id stands; a replica has bytes that were made, at the offset at which they were
 * made.
 *
 *     id I   ------------------------x-------------            made by a primary that was deposed at x
 *     id J                           '-------------------      made by who was promoted at x: its parent is I up to x
 *
 * And the data are a function of (id, offset): whoever stands at a point has the digest that the first one had who was
 * seen there. The digest counts what DEBUG DIGEST leaves out: times to the millisecond, the database's number, groups
 * of streams with what they have delivered, and when.
 */
#ifndef TESTS_SIM_LEDGER_H
#define TESTS_SIM_LEDGER_H

#include "tests/sim/sim_test.h"

#include "server/db/db.h"
#include "server/ds/xstream_group.h"
#include "server/observe/digest.h"
#include "server/repl/history.h"
#include "server/server.h"

#define LEDGER_IDS    200
#define LEDGER_POINTS 16384 /* a power of two; then no more are noted */
#define LEDGER_CHAIN  64    /* ids one behind the other */

struct ledger_id {
    char id[HISTORY_ID_SIZE];
    int parent;    /* whose bytes those up to base are; -1: nobody knows */
    uint64_t base; /* bytes[0] is the one at base + 1 */
    char *bytes;
    size_t n, room;
};

struct ledger_point {
    uint64_t offset, digest;
    int id, node; /* node: who was there first, + 1; 0: empty */
    char *keys;   /* SIM_KEYS: what it had, a line each */
};

struct ledger {
    struct world *w;
    struct ledger_id ids[LEDGER_IDS];
    int count;
    struct ledger_point *points;
    unsigned point_count, compared; /* of points: noted, and found to be so by another look */
    uint64_t bytes_compared;
};

/* What is remembered of a server between two looks; all zero when it starts. */
struct ledger_eye {
    int node;
    uint64_t text_end; /* of its history's text */
};

static inline void ledger_init(struct ledger *g, struct world *w)
{
    *g = (struct ledger){.w = w, .points = calloc(LEDGER_POINTS, sizeof *g->points)};
}

static inline void ledger_fini(struct ledger *g)
{
    for (int i = 0; i < g->count; i++) free(g->ids[i].bytes);
    for (int i = 0; i < LEDGER_POINTS; i++) free(g->points[i].keys);
    free(g->points);
}

static inline int ledger_find(const struct ledger *g, const char *id)
{
    for (int i = g->count - 1; i >= 0; i--)
        if (!strcmp(g->ids[i].id, id)) return i;
    return -1;
}

/* One that is new: what it says of its past counts if it was there just before. */
static inline int ledger_begin(struct ledger *g, const struct history *h, uint64_t at)
{
    if (!check(g->w, g->count < LEDGER_IDS, "more than %d ids", LEDGER_IDS)) return -1;
    struct ledger_id *one = &g->ids[g->count];
    *one = (struct ledger_id){.parent = -1, .base = at};
    strcpy(one->id, h->id);
    if (h->second_offset == (int64_t)at + 1) one->parent = ledger_find(g, h->id2);
    return g->count++;
}

/* A server that is nobody's replica may have an id under which it has made nothing yet. */
static inline void ledger_meet(struct ledger *g, const struct history *h)
{
    if (!h->follows && history_is_kept(h) && ledger_find(g, h->id) < 0) ledger_begin(g, h, history_offset(h));
}

/* Whose the byte at offset is, of those that lead to id; -1: nobody knows. *until: the last that is. */
static inline int ledger_owner(const struct ledger *g, int id, uint64_t offset, uint64_t *until)
{
    *until = UINT64_MAX;
    for (int i = 0; id >= 0 && i < LEDGER_CHAIN && offset <= g->ids[id].base; i++) {
        *until = g->ids[id].base;
        id = g->ids[id].parent;
    }
    return id;
}

static inline void ledger_made(struct ledger *g, int node, const struct history *h, uint64_t at, struct bytes b)
{
    int id = ledger_find(g, h->id);
    if (id < 0) id = ledger_begin(g, h, at);
    if (id < 0) return;
    struct ledger_id *one = &g->ids[id];
    if (!check(g->w, at == one->base + one->n, "server %d makes bytes at %llu of %.8s, which stands at %llu", node,
               (unsigned long long)at, one->id, (unsigned long long)(one->base + one->n)))
        return;
    if (one->room - one->n < b.n) {
        one->room = 2 * (one->n + b.n);
        one->bytes = realloc(one->bytes, one->room);
    }
    memcpy(one->bytes + one->n, b.p, b.n);
    one->n += b.n;
}

static inline void ledger_followed(struct ledger *g, int node, const struct history *h, uint64_t at, struct bytes b)
{
    int id = ledger_find(g, h->id);
    if (!check(g->w, id >= 0, "server %d appends to %.8s, whose bytes nobody has made", node, h->id)) return;
    while (b.n) {
        uint64_t until;
        int owner = ledger_owner(g, id, at + 1, &until);
        if (!check(g->w, owner >= 0, "server %d appends at %llu of %.8s, before it began", node, (unsigned long long)at,
                   h->id))
            return;
        const struct ledger_id *one = &g->ids[owner];
        size_t from = (size_t)(at - one->base), k = until - at < b.n ? (size_t)(until - at) : b.n;
        if (!check(g->w, from + k <= one->n && !memcmp(one->bytes + from, b.p, k),
                   "server %d has other bytes from %llu on of %.8s (%zu of '%.40s')", node, (unsigned long long)at,
                   h->id, k, b.p))
            return;
        g->bytes_compared += k;
        at += k;
        b = bytes_of(b.p + k, b.n - k);
    }
}

/* It has appended; before anything of it is trimmed. */
static inline void ledger_appended(struct ledger *g, struct ledger_eye *eye, struct history *h)
{
    struct broadcast_reader r;
    struct bytes piece;
    uint64_t end = h->journal.text.end, at = h->base + eye->text_end;
    if (!h->backlog.of || eye->text_end < h->backlog.offset || end <= eye->text_end) {
        eye->text_end = end;
        return;
    }
    broadcast_read_from(&h->backlog, &r);
    broadcast_advance(&r, (size_t)(eye->text_end - h->backlog.offset));
    eye->text_end = end;
    while (broadcast_peek(&r, &piece, 1, SIZE_MAX)) {
        if (h->follows) ledger_followed(g, eye->node, h, at, piece);
        else ledger_made(g, eye->node, h, at, piece);
        at += piece.n;
        broadcast_advance(&r, piece.n);
    }
    broadcast_reader_end(&r);
}

/* Where a server that has come to offset in the history of id stands: an id that many share. -1: nobody knows. */
static inline int ledger_place(const struct ledger *g, const char *id, uint64_t offset)
{
    int i = ledger_find(g, id);
    while (i >= 0 && g->ids[i].parent >= 0 && offset <= g->ids[i].base) i = g->ids[i].parent;
    return i; /* maybe where that began */
}

/* Somebody who has come to from - 1 in the history of id asks h's server to go on there, and was told whether he may:
 * only if that is a place in its own history, and if it is one, and the bytes are there, for the sake of the two ids
 * that a server remembers. */
static inline void ledger_asked(struct ledger *g, const struct history *h, const char *id, uint64_t from, bool may)
{
    int his = ledger_place(g, id, from - 1), here = ledger_place(g, h->id, from - 1);
    bool same = his >= 0 && his == here, known = !strcmp(id, h->id) || !strcmp(id, h->id2);
    bool there = history_is_kept(h) && from >= history_first(h) && from <= history_offset(h) + 1;
    check(g->w, !may || (same && there), "who is at %llu of %.8s goes on in %.8s, which has no such place",
          (unsigned long long)(from - 1), id, h->id);
    check(g->w, may || !same || !known || !there, "who is at %llu of %.8s may not go on in %.8s",
          (unsigned long long)(from - 1), id, h->id);
}

/* --- points ------------------------------------------------------------------------------------------------------- */

static inline uint64_t digest_groups(const struct xstream *s)
{
    uint64_t sum = hash_pair(s->added, s->last.ms ^ s->last.seq, hash_u64(s->max_deleted.ms, s->max_deleted.seq));
    for (struct btree_pos p = btree_first(&s->groups); p.leaf; p = btree_next(p)) {
        const struct stream_group *g = btree_slot(p)->value;
        uint64_t one = hash_bytes(g->name, g->name_size, hash_pair(g->last.ms, g->last.seq, (uint64_t)g->read));
        for (struct btree_pos q = btree_first(&g->consumers); q.leaf; q = btree_next(q)) {
            const struct stream_consumer *c = btree_slot(q)->value;
            one += hash_bytes(c->name, c->name_size, btree_count(&c->pending));
        }
        for (struct btree_pos q = btree_first(&g->pending); q.leaf; q = btree_next(q)) {
            const struct btree_slot *slot = btree_slot(q);
            const struct stream_nack *n = slot->value;
            one += hash_bytes(
                n->consumer->name, n->consumer->name_size,
                hash_pair(n->deliveries, (uint64_t)n->delivered_ms, hash_bytes(&slot->key, sizeof slot->key, 0)));
        }
        sum += hash_u64(one, 5);
    }
    return sum;
}

static inline void print_groups(FILE *lines, const struct xstream *s)
{
    fprintf(lines, " added %llu last %llu-%llu deleted %llu-%llu first %llu-%llu", (unsigned long long)s->added,
            (unsigned long long)s->last.ms, (unsigned long long)s->last.seq, (unsigned long long)s->max_deleted.ms,
            (unsigned long long)s->max_deleted.seq, (unsigned long long)s->first.ms, (unsigned long long)s->first.seq);
    for (struct btree_pos p = btree_first(&s->groups); p.leaf; p = btree_next(p)) {
        const struct stream_group *g = btree_slot(p)->value;
        fprintf(lines, " group %.*s last %llu-%llu read %lld:", (int)g->name_size, g->name,
                (unsigned long long)g->last.ms, (unsigned long long)g->last.seq, (long long)g->read);
        for (struct btree_pos q = btree_first(&g->consumers); q.leaf; q = btree_next(q)) {
            const struct stream_consumer *c = btree_slot(q)->value;
            fprintf(lines, " %.*s %zu", (int)c->name_size, c->name, btree_count(&c->pending));
        }
        for (struct btree_pos q = btree_first(&g->pending); q.leaf; q = btree_next(q)) {
            const struct stream_nack *n = btree_slot(q)->value;
            fprintf(lines, " (%.*s %llu %lld)", (int)n->consumer->name_size, n->consumer->name,
                    (unsigned long long)n->deliveries, (long long)n->delivered_ms);
        }
    }
}

struct digest_sum {
    uint64_t sum, db;
    FILE *lines; /* NULL: nobody wants them */
};

static inline void digest_entry(void *arg, const struct entry *e)
{
    struct digest_sum *d = arg;
    unsigned char one[SHA1_SIZE] = {0};
    struct bytes key = entry_key(e);
    digest_value(e, one);
    uint64_t h = hash_bytes(one, sizeof one, hash_pair(d->db, (uint64_t)entry_expire(e), 7));
    if (e->type == OBJ_STREAM) h += digest_groups(entry_ptr(e));
    d->sum += hash_bytes(key.p, key.n, h);
    if (!d->lines) return;
    fprintf(d->lines, "db %d key %.*s type %u time %lld digest %llx", (int)d->db, (int)key.n, key.p, e->type,
            (long long)entry_expire(e), (unsigned long long)h);
    if (e->type == OBJ_STREAM) print_groups(d->lines, entry_ptr(e));
    fprintf(d->lines, "\n");
}

static inline uint64_t digest_of(struct server *srv, FILE *lines)
{
    struct digest_sum d = {.lines = lines};
    for (int i = 0; i < srv->db_count; i++) {
        d.db = (uint64_t)i;
        if (db_size(&srv->dbs[i])) db_each(&srv->dbs[i], digest_entry, &d);
    }
    return d.sum;
}

static inline char *keys_of(struct server *srv)
{
    char *text = NULL;
    size_t n;
    FILE *lines = open_memstream(&text, &n);
    digest_of(srv, lines);
    fclose(lines);
    return text;
}

static inline void tell_missing(const char *who, const char *keys, const char *others)
{
    char line[2000];
    for (const char *p = keys; *p; p += strcspn(p, "\n") + 1) {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(p, "\n"), p);
        if (!strstr(others, line)) fprintf(stderr, "# %s: %s\n", who, line);
    }
}

static inline void tell_difference(const struct ledger_point *p, struct server *srv)
{
    char *keys = keys_of(srv);
    tell_missing("was", p->keys, keys);
    tell_missing("is", keys, p->keys);
    free(keys);
}

/* Between two of its turns: its data are those of where it stands. */
static inline void ledger_look(struct ledger *g, const struct ledger_eye *eye, struct server *srv)
{
    struct history *h = &srv->history;
    if (!history_is_kept(h) || srv->persist.loading) return;
    uint64_t at = history_offset(h);
    ledger_meet(g, h);
    int owner = ledger_place(g, h->id, at);
    if (owner < 0) return; /* its primary was not looked at yet */
    uint64_t digest = digest_of(srv, NULL), slot = hash_pair(at, (uint64_t)owner, 3);
    for (unsigned i = 0; i < LEDGER_POINTS; i++) {
        struct ledger_point *p = &g->points[(slot + i) % LEDGER_POINTS];
        if (p->node && (p->offset != at || p->id != owner)) continue;
        if (!p->node && g->point_count >= LEDGER_POINTS / 2) return;
        if (!p->node) {
            *p = (struct ledger_point){at, digest, owner, eye->node + 1, getenv("SIM_KEYS") ? keys_of(srv) : NULL};
            g->point_count++;
            return;
        }
        g->compared++;
        if (p->digest != digest && p->keys) tell_difference(p, srv);
        check(g->w, p->digest == digest, "server %d has other data at %llu of %.8s than server %d had", eye->node,
              (unsigned long long)at, h->id, p->node - 1);
        return;
    }
}

#endif

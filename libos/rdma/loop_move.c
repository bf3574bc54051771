/* SPDX-License-Identifier: MIT
 *
 * See loop.h: requests are carried out by polls, some of each end in turn or by chance, and reported.
 */
#include "libos/rdma/loop_parts.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOVES_MAX 8 /* requests of an end that a poll carries out */

static void *must(void *p)
{
    ASSERT(p); /* a device for tests: it need not go on without memory */
    return p;
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

struct loop_report *loop_report(struct loop_end *e, uint8_t event, uint8_t status, int err)
{
    struct loop_report *r = must(calloc(1, sizeof *r));
    r->c = (struct msgdev_completion){.of = e->word, .event = event, .status = status, .err = err};
    *e->reports_tail = r;
    e->reports_tail = &r->next;
    return r;
}

void loop_drop_reports(struct loop_report *r)
{
    for (struct loop_report *next; r; r = next) {
        next = r->next;
        free(r);
    }
}

static struct loop_request *shift(struct loop_end *e)
{
    struct loop_request *q = e->out;
    e->out = q->next;
    if (!e->out) e->out_tail = &e->out;
    e->out_count--;
    return q;
}

static void flush(struct loop_end *e)
{
    while (e->out) {
        struct loop_request *q = shift(e);
        loop_report(e, MSGDEV_SENT, MSGDEV_FLUSHED, 0)->c.word = q->r.word;
        e->loop->d.n.flushed++;
        free(q);
    }
    e->own_count = 0;
}

void loop_end_over(struct loop_end *e, uint8_t event, uint8_t status, int err)
{
    struct loop_end *peer = e->peer;
    if (e->state != LOOP_UP) return;
    flush(e);
    if (!e->told_over) loop_report(e, event, status, err);
    e->told_over = true;
    e->state = LOOP_OVER;
    e->peer = NULL;
    if (!peer) return;
    flush(peer);
    if (!peer->told_over) loop_report(peer, MSGDEV_DISCONNECTED, MSGDEV_OK, 0);
    peer->told_over = true;
    peer->state = LOOP_OVER;
    peer->peer = NULL;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void post_shared(struct loop *l, struct loop_receive r)
{
    ASSERT(l->shared_count < l->d.caps.shared_depth);
    l->shared[(l->shared_head + l->shared_count++) % l->d.caps.shared_depth] = r;
}

static void post_receive(struct loop *l, const struct msgdev_request *in)
{
    struct loop_end *e = loop_end_of(in->end);
    const struct loop_receive r = {.word = in->word, .piece = in->pieces[0]};
    ASSERT(in->piece_count == 1);
    ASSERT(r.piece.cookie);
    if (!e) {
        if (r.word <= l->d.caps.shared_depth) l->last[r.word - 1] = r.piece;
        post_shared(l, r);
        return;
    }
    if (e->state == LOOP_OVER) return;
    ASSERT(e->own_count < e->own_room);
    e->own[(e->own_head + e->own_count++) % e->own_room] = r;
}

static void post_request(struct loop_end *e, const struct msgdev_request *in)
{
    struct loop *l = e->loop;
    uint32_t at = 0;
    ASSERT(in->piece_count <= l->d.caps.pieces_max);
    ASSERT(in->verb != MSGDEV_WRITE_IMM || l->d.caps.immediate);
    struct loop_request *q = must(calloc(1, sizeof *q));
    q->r = *in;
    q->r.pieces = q->pieces;
    memcpy(q->pieces, in->pieces, in->piece_count * sizeof *in->pieces);
    for (unsigned i = 0; i < in->piece_count; i++) {
        struct msgdev_piece *p = &q->pieces[i];
        if (!(in->flags & MSGDEV_INLINE)) {
            ASSERT(p->cookie || !p->n);
            continue;
        }
        ASSERT(at + p->n <= l->d.caps.inline_max);
        memcpy(q->bytes + at, p->p, p->n);
        p->p = q->bytes + at;
        at += p->n;
    }
    ASSERT(e->out_count < e->depth);
    *e->out_tail = q;
    e->out_tail = &q->next;
    e->out_count++;
    if (e->state == LOOP_OVER) flush(e);
}

unsigned loop_post(struct msgdev *d, const struct msgdev_request *in, unsigned n)
{
    struct loop *l = loop_of(d);
    ASSERT(n <= MSGDEV_BURST);
    unsigned taken = n && loop_chance(l, l->faults.post_short) ? loop_pick(l, n) : n;
    for (unsigned i = 0; i < taken; i++) {
        if (in[i].verb == MSGDEV_RECEIVE) post_receive(l, &in[i]);
        else post_request(loop_end_of(in[i].end), &in[i]);
    }
    d->n.post_full += taken < n;
    return taken;
}

unsigned loop_post_short(struct msgdev *d, struct msgdev_short *in, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct msgdev_piece piece = {.p = in[i].p, .n = in[i].n};
        const struct msgdev_request r = {
            .end = in[i].end,
            .word = in[i].word ? in[i].word : 1,
            .pieces = &piece,
            .piece_count = 1,
            .verb = MSGDEV_SEND,
            .flags = MSGDEV_INLINE | (in[i].word ? MSGDEV_SIGNALLED : 0),
        };
        if (!loop_post(d, &r, 1)) return i;
        in[i].word = 0;
    }
    return n;
}

unsigned loop_again(struct msgdev *d, const uint32_t *words, unsigned n)
{
    struct loop *l = loop_of(d);
    ASSERT(n <= MSGDEV_BURST);
    unsigned taken = n && loop_chance(l, l->faults.post_short) ? loop_pick(l, n) : n;
    for (unsigned i = 0; i < taken; i++) {
        ASSERT(words[i] && words[i] <= d->caps.shared_depth);
        ASSERT(l->last[words[i] - 1].cookie);
        post_shared(l, (struct loop_receive){.word = words[i], .piece = l->last[words[i] - 1]});
    }
    d->n.post_full += taken < n;
    return taken;
}

/* --- moving ------------------------------------------------------------------------------------------------------- */

static uint32_t length_of(const struct msgdev_request *r)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < r->piece_count; i++) n += r->pieces[i].n;
    return n;
}

static void copy_pieces(const struct msgdev_request *r, uint8_t *to)
{
    for (unsigned i = 0; i < r->piece_count; i++) {
        memcpy(to, r->pieces[i].p, r->pieces[i].n);
        to += r->pieces[i].n;
    }
}

static bool is_lent(struct loop *l, uint64_t addr, uint32_t n, uint32_t key)
{
    list_for_each(it, &l->lent)
    {
        const struct loop_lent *m = list_entry(it, struct loop_lent, link);
        uint64_t at = addr - (uint64_t)(uintptr_t)m->base;
        if (m->key == key && at <= m->len && n <= m->len - at) return true;
    }
    return false;
}

/* False: there is none. */
static bool take_receive(struct loop_end *e, struct loop_receive *out)
{
    struct loop *l = e->loop;
    if (e->own) {
        if (!e->own_count) return false;
        *out = e->own[e->own_head];
        e->own_head = (e->own_head + 1) % e->own_room;
        e->own_count--;
        return true;
    }
    if (!l->shared_count) return false;
    *out = l->shared[l->shared_head];
    l->shared_head = (l->shared_head + 1) % l->d.caps.shared_depth;
    l->shared_count--;
    return true;
}

enum moved { MOVED, WAITS, BROKE };

/* A message, or a write's number, takes a receive of the peer. */
static enum moved move_message(struct loop_end *e, const struct msgdev_request *r, uint32_t n)
{
    struct loop_receive to;
    struct loop_end *peer = e->peer;
    if (!take_receive(peer, &to)) {
        if (!e->loop->faults.rnr_breaks) return WAITS;
        loop_end_over(e, MSGDEV_BROKEN, MSGDEV_PEER_UNREADY, 0);
        return BROKE;
    }
    bool numbered = r->verb == MSGDEV_WRITE_IMM, fits = numbered || n <= to.piece.n;
    struct loop_report *got = loop_report(peer, MSGDEV_RECEIVED, fits ? MSGDEV_OK : MSGDEV_TOO_LONG, 0);
    got->c.word = to.word;
    if (!fits) {
        peer->told_over = true; /* by this very report */
        loop_end_over(e, MSGDEV_BROKEN, MSGDEV_PEER_BROKEN, 0);
        return BROKE;
    }
    if (numbered) {
        got->c.flags = MSGDEV_HAS_IMMEDIATE;
        got->c.immediate = r->immediate;
    } else {
        copy_pieces(r, (uint8_t *)(uintptr_t)to.piece.p);
        got->c.len = n;
    }
    e->loop->d.n.receives++;
    e->loop->d.n.receive_bytes += n;
    return MOVED;
}

static enum moved move(struct loop_end *e, const struct msgdev_request *r)
{
    struct loop *l = e->loop;
    uint32_t n = length_of(r);
    if (loop_chance(l, l->faults.broken)) {
        loop_end_over(e, MSGDEV_BROKEN, (uint8_t)(MSGDEV_PEER_SILENT + loop_pick(l, 8)), 1);
        return BROKE;
    }
    if (r->verb != MSGDEV_SEND) {
        if (n && !is_lent(l, r->remote_addr, n, r->remote_key)) {
            loop_end_over(e, MSGDEV_BROKEN, MSGDEV_BAD_ACCESS, 0);
            return BROKE;
        }
    }
    if (r->verb != MSGDEV_WRITE) {
        /* The bytes of a write come first, as they do in memory. */
        if (r->verb == MSGDEV_WRITE_IMM && n) copy_pieces(r, (uint8_t *)(uintptr_t)r->remote_addr);
        enum moved m = move_message(e, r, n);
        if (m != MOVED) return m;
    } else if (n == sizeof(uint64_t)) { /* as a whole: it may be one that is read at any time */
        uint64_t word;
        copy_pieces(r, (uint8_t *)&word);
        __atomic_store_n((uint64_t *)(uintptr_t)r->remote_addr, word, __ATOMIC_RELEASE);
    } else {
        copy_pieces(r, (uint8_t *)(uintptr_t)r->remote_addr);
    }
    l->d.n.sends += r->verb == MSGDEV_SEND;
    l->d.n.send_bytes += n;
    l->d.n.writes += r->verb != MSGDEV_SEND;
    return MOVED;
}

static void move_some(struct loop_end *e)
{
    struct loop *l = e->loop;
    if (e->state != LOOP_UP || loop_chance(l, l->faults.slow)) return;
    if (loop_chance(l, l->faults.vanish)) {
        loop_end_over(e->peer, MSGDEV_DISCONNECTED, MSGDEV_OK, 0);
        return;
    }
    if (e->out && loop_chance(l, l->faults.silent)) e->silent = true;
    if (e->silent) {
        if (++e->silent_polls == LOOP_SILENT_POLLS) loop_end_over(e, MSGDEV_BROKEN, MSGDEV_PEER_SILENT, ETIMEDOUT);
        return;
    }
    for (unsigned i = 0; i < MOVES_MAX && e->out; i++) {
        enum moved m = move(e, &e->out->r);
        if (m != MOVED) return;
        struct loop_request *q = shift(e);
        if (q->r.flags & MSGDEV_SIGNALLED) loop_report(e, MSGDEV_SENT, MSGDEV_OK, 0)->c.word = q->r.word;
        free(q);
    }
}

/* --- poll --------------------------------------------------------------------------------------------------------- */

static void free_end(struct loop_end *e)
{
    list_remove(&e->link);
    free(e->own);
    free(e);
}

static unsigned give(struct loop_end *e, struct msgdev_completion *out, unsigned max)
{
    struct loop *l = e->loop;
    unsigned n = 0;
    while (n < max && e->reports) {
        struct loop_report *r = e->reports;
        e->reports = r->next;
        if (!e->reports) e->reports_tail = &e->reports;
        out[n] = r->c;
        out[n++].private_data = r->private_data;
        r->next = l->given;
        l->given = r;
    }
    return n;
}

/* Begins with another end each time: the order between ends is nobody's promise. */
static void turn(struct loop *l)
{
    uint32_t n = loop_pick(l, 4);
    for (uint32_t i = 0; i <= n; i++) {
        struct list *first = list_pop_front(&l->ends);
        if (first) list_push_back(&l->ends, first);
    }
}

unsigned loop_poll(struct msgdev *d, struct msgdev_completion *out, unsigned max)
{
    struct loop *l = loop_of(d);
    unsigned n = 0;
    ASSERT(max <= MSGDEV_BURST);
    loop_drop_reports(l->given);
    l->given = NULL;
    turn(l);
    list_for_each(it, &l->ends) move_some(list_entry(it, struct loop_end, link));
    list_for_each_safe(at, &l->ends)
    {
        struct loop_end *e = list_entry(at, struct loop_end, link);
        if (n == max) break;
        n += give(e, out + n, max - n);
        if (e->state == LOOP_RELEASED && !e->reports) free_end(e);
    }
    return n;
}

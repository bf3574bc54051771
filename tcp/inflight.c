/* SPDX-License-Identifier: MIT
 *
 * The scoreboard: see the header for what is where.
 *
 *      head                                         head + count
 *      | sent | SACKed -> SACKed -> SACKed | lost | sent | sent |        indices run freely; slot = index & (room - 1)
 *
 * Cost of a SACK block: a binary search, one step for each record that changes, and one jump for each run of SACKed
 * ones, whose length path compression shortens (amortised next to nothing, whatever order blocks come in). That is what
 * keeps a peer that SACKs 10,000 ranges over and over from making us walk them (the quadratic cousin of CVE-2018-5390).
 */
#include "tcp/inflight.h"

#include "alloc/base/assert.h"
#include "alloc/heap.h"

#include <errno.h>

#define SMALL_ROOM  2 /* what an idle connection may keep: 64 bytes */
#define ORDER_STEPS 8 /* looked at for a lost record's place in order */

/* --- lists -------------------------------------------------------------------------------------------------------- */

static inline void list_add_back(struct inflight *f, struct seg_list *l, uint32_t i)
{
    if (l->count++) {
        inflight_at(f, l->last)->next = i;
        inflight_at(f, i)->prev = l->last;
    } else {
        l->first = i;
    }
    l->last = i;
}

static inline void list_add_front(struct inflight *f, struct seg_list *l, uint32_t i)
{
    if (l->count++) {
        inflight_at(f, l->first)->prev = i;
        inflight_at(f, i)->next = l->first;
    } else {
        l->last = i;
    }
    l->first = i;
}

static inline void list_add_behind(struct inflight *f, struct seg_list *l, uint32_t at, uint32_t i)
{
    struct sent_seg *before = inflight_at(f, at), *g = inflight_at(f, i);
    if (at == l->last) {
        list_add_back(f, l, i);
        return;
    }
    g->prev = at;
    g->next = before->next;
    inflight_at(f, before->next)->prev = i;
    before->next = i;
    l->count++;
}

static inline void list_take(struct inflight *f, struct seg_list *l, uint32_t i)
{
    const struct sent_seg *g = inflight_at(f, i);
    if (--l->count == 0) return;
    if (i == l->first) {
        l->first = g->next;
    } else if (i == l->last) {
        l->last = g->prev;
    } else {
        inflight_at(f, g->prev)->next = g->next;
        inflight_at(f, g->next)->prev = g->prev;
    }
}

/* --- the ring ----------------------------------------------------------------------------------------------------- */

bool inflight_grow(struct inflight *f, uint32_t n)
{
    uint32_t room = f->room ? f->room : SMALL_ROOM;
    while (room - f->count < n) {
        if (room >= INFLIGHT_RECORDS_MAX) return false;
        room *= 2;
    }
    struct sent_seg *slots = heap_alloc(room * sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = f->head; i != inflight_end(f); i++) slots[i & (room - 1)] = *inflight_at(f, i);
    heap_free(f->slots);
    f->slots = slots;
    f->room = room;
    return true;
}

static void shrink(struct inflight *f)
{
    heap_free(f->slots);
    *f = (struct inflight){0};
}

void inflight_tidy(struct inflight *f)
{
    if (f->count == 0 && f->room > SMALL_ROOM) shrink(f);
}

struct sent_seg *inflight_sent(struct inflight *f, tcp_seq start, tcp_seq end, nsec now)
{
    uint32_t i = inflight_end(f);
    DASSERT(f->count < f->room);
    DASSERT(start != end);
    struct sent_seg *g = inflight_at(f, i);
    f->count++;
    g->start = start;
    g->end = end;
    g->flags = 0;
    g->times = 1;
    g->sent_at = now;
    list_add_back(f, &f->flying, i);
    return g;
}

/* g is neither lost nor known to be flying any more: an unsacked record is on one of the two lists. */
static inline void take_off_list(struct inflight *f, struct sent_seg *g, uint32_t i)
{
    if (g->flags & SEG_LOST) {
        list_take(f, &f->gone, i);
        f->lost -= g->end - g->start;
        g->flags &= (uint8_t)~SEG_LOST;
    } else {
        list_take(f, &f->flying, i);
    }
}

void inflight_resent(struct inflight *f, uint32_t i, nsec now)
{
    struct sent_seg *g = inflight_at(f, i);
    DASSERT(!(g->flags & SEG_SACKED));
    take_off_list(f, g, i);
    g->flags |= SEG_RETRANS;
    g->sent_at = now;
    if (g->times < UINT8_MAX) g->times++;
    list_add_back(f, &f->flying, i);
}

uint32_t inflight_find(const struct inflight *f, tcp_seq seq)
{
    uint32_t low = 0, high = f->count;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (seq_before(seq, inflight_at(f, f->head + mid)->start)) high = mid;
        else low = mid;
    }
    return f->head + low;
}

void inflight_pop(struct inflight *f)
{
    uint32_t i = f->head;
    const struct sent_seg *g = inflight_at(f, i);
    DASSERT(f->count);
    if (g->flags & SEG_SACKED) {
        f->sacked -= g->end - g->start;
    } else if (g->flags & SEG_LOST) {
        f->lost -= g->end - g->start;
        list_take(f, &f->gone, i);
    } else {
        list_take(f, &f->flying, i);
    }
    f->head++;
    f->count--;
    inflight_tidy(f);
}

void inflight_trim(struct inflight *f, tcp_seq seq)
{
    struct sent_seg *g = inflight_at(f, f->head);
    uint32_t n = seq - g->start;
    DASSERT(n < g->end - g->start);
    if (g->flags & SEG_SACKED) f->sacked -= n;
    if (g->flags & SEG_LOST) f->lost -= n;
    g->start = seq;
}

/* In order of sequence where that is cheap: at either end, or near where the last one went, since losses are found
 * in the order in which segments were sent. Retransmissions that were lost in their turn belong in front of what was
 * never sent again: it is them the peer waits for. */
static void gone_add(struct inflight *f, uint32_t i)
{
    struct seg_list *l = &f->gone;
    uint32_t at = f->lost_last - f->head < f->count ? f->lost_last : f->head;
    f->lost_last = i;
    if (!l->count || (int32_t)(i - l->last) > 0) {
        list_add_back(f, l, i);
    } else if ((int32_t)(i - l->first) < 0) {
        list_add_front(f, l, i);
    } else {
        if (!(inflight_at(f, at)->flags & SEG_LOST) || (int32_t)(i - at) <= 0) at = l->first;
        for (int steps = 0; steps < ORDER_STEPS && at != l->last && (int32_t)(i - inflight_at(f, at)->next) > 0;
             steps++)
            at = inflight_at(f, at)->next;
        list_add_behind(f, l, at, i);
    }
}

void inflight_lose(struct inflight *f, uint32_t i)
{
    struct sent_seg *g = inflight_at(f, i);
    DASSERT(!(g->flags & (SEG_SACKED | SEG_LOST)));
    list_take(f, &f->flying, i);
    g->flags |= SEG_LOST;
    f->lost += g->end - g->start;
    gone_add(f, i);
}

void inflight_order_losses(struct inflight *f)
{
    f->gone.count = 0;
    for (uint32_t i = f->head; i != inflight_end(f); i++)
        if (inflight_at(f, i)->flags & SEG_LOST) list_add_back(f, &f->gone, i);
}

void inflight_sack(struct inflight *f, uint32_t i)
{
    struct sent_seg *g = inflight_at(f, i);
    DASSERT(!(g->flags & SEG_SACKED));
    take_off_list(f, g, i);
    g->flags |= SEG_SACKED;
    g->next = i + 1;
    f->sacked += g->end - g->start;
}

/* Of a SACKed record, next says where an unsacked one may be. Two passes: find the end, then point everything on the
 * way there at it. */
uint32_t inflight_unsacked(struct inflight *f, uint32_t i)
{
    uint32_t to = i, end = inflight_end(f);
    while (to != end && inflight_at(f, to)->flags & SEG_SACKED) to = inflight_at(f, to)->next;
    while (i != to) {
        struct sent_seg *g = inflight_at(f, i);
        i = g->next;
        g->next = to;
    }
    return to;
}

/* All records of `which` (SEG_SACKED or SEG_LOST) are on the way again. The list of what flies is in order of
 * sent_at; they are old, so it is made anew: in order of sequence, which for RACK's walk is as good where times
 * agree, and those that were sent again go last. */
static void relist(struct inflight *f, uint8_t which)
{
    f->flying.count = 0;
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = f->head; i != inflight_end(f); i++) {
            struct sent_seg *g = inflight_at(f, i);
            if (!again) g->flags &= (uint8_t)~which;
            if (!(g->flags & (SEG_SACKED | SEG_LOST)) && !(g->flags & SEG_RETRANS) == !again)
                list_add_back(f, &f->flying, i);
        }
    }
}

void inflight_forget_sacks(struct inflight *f)
{
    f->sacked = 0;
    relist(f, SEG_SACKED);
}

void inflight_forget_losses(struct inflight *f)
{
    f->lost = 0;
    f->gone.count = 0;
    relist(f, SEG_LOST);
}

/* A ring of its own is filled in order; lists are made anew from the flags. */
int inflight_resegment(struct inflight *f, uint32_t mss)
{
    uint32_t n = 0;
    for (uint32_t i = f->head; i != inflight_end(f); i++) {
        const struct sent_seg *g = inflight_at(f, i);
        n += (g->end - g->start + mss - 1) / mss;
    }
    if (n == f->count) return 0;
    /* a path of 65 KB frames that became one of 88 bytes: the RTO sends what it can */
    if (n > 4 * INFLIGHT_RECORDS_MAX) return -ENOMEM;
    struct inflight to = {.room = SMALL_ROOM, .sacked = f->sacked, .lost = f->lost};
    while (to.room < n) to.room *= 2;
    to.slots = heap_alloc(to.room * sizeof *to.slots);
    if (!to.slots) return -ENOMEM;
    for (uint32_t i = f->head; i != inflight_end(f); i++) {
        struct sent_seg g = *inflight_at(f, i);
        for (tcp_seq start = g.start, end = g.end; start != end; start = g.end) {
            g.start = start;
            g.end = end - start > mss ? start + mss : end;
            uint32_t at = to.count++;
            *inflight_at(&to, at) = g;
            if (g.flags & SEG_SACKED) inflight_at(&to, at)->next = at + 1;
            if (g.flags & SEG_LOST) list_add_back(&to, &to.gone, at);
        }
    }
    heap_free(f->slots);
    *f = to;
    relist(f, 0);
    return 0;
}

void inflight_free(struct inflight *f) { shrink(f); }

static void check_list(const struct inflight *f, const struct seg_list *l, uint32_t count)
{
    ASSERT(l->count == count);
    uint32_t i = l->first;
    for (uint32_t n = 0; n < count; n++, i = inflight_at(f, i)->next) {
        ASSERT(i - f->head < f->count);
        if (n == count - 1) ASSERT(i == l->last);
    }
}

void inflight_check(const struct inflight *f, tcp_seq una, tcp_seq nxt)
{
    uint32_t sacked = 0, lost = 0, flying_count = 0, gone_count = 0;
    tcp_seq seq = una;
    ASSERT((f->room & (f->room - 1)) == 0);
    ASSERT(f->count <= f->room);
    ASSERT(!f->room == !f->slots);
    for (uint32_t i = f->head; i != inflight_end(f); i++) {
        const struct sent_seg *g = inflight_at(f, i);
        uint32_t len = g->end - g->start;
        ASSERT(g->start == seq);
        ASSERT(len > 0 && len < 1u << 30);
        ASSERT((g->flags & (SEG_SACKED | SEG_LOST)) != (SEG_SACKED | SEG_LOST));
        if (g->flags & SEG_SACKED) sacked += len;
        else if (g->flags & SEG_LOST) lost += len, gone_count++;
        else flying_count++;
        seq = g->end;
    }
    ASSERT(seq == nxt);
    ASSERT(sacked == f->sacked);
    ASSERT(lost == f->lost);
    check_list(f, &f->flying, flying_count);
    check_list(f, &f->gone, gone_count);
}

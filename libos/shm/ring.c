/* SPDX-License-Identifier: MIT
 *
 * See ring.h.
 */
#include "libos/shm/ring.h"

static_assert(RING_SIZE_MIN % RING_LINE == 0 && RING_RECORD_MAX % RING_LINE == 0, "records are whole lines");
static_assert(RING_SIZE_MIN >= 4 * RING_LINE, "a record, the unused line, and some");
static_assert(RING_AHEAD % RING_LINE == 0 && RING_AHEAD < RING_SIZE_MIN, "lines, and not all");

void ring_writer_init(struct ring_writer *w, uint8_t *base, uint32_t size, const _Atomic uint64_t *peer_head)
{
    ASSERT(size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && size % RING_LINE == 0);
    *w = (struct ring_writer){.base = base, .size = size, .clear = RING_LINE, .peer_head = peer_head};
}

void ring_reader_init(struct ring_reader *r, uint8_t *base, uint32_t size, _Atomic uint64_t *head)
{
    ASSERT(size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && size % RING_LINE == 0);
    *r = (struct ring_reader){.base = base, .size = size, .head = head};
}

int ring_look(struct ring_writer *w)
{
    /* acquire: what the reader has copied out may be written over */
    uint64_t head = atomic_load_explicit(w->peer_head, memory_order_acquire);
    if (head < w->head || head > w->pos || head % RING_LINE) return -EPROTO;
    w->head = head;
    return 0;
}

int64_t ring_write(struct ring_writer *w, const void *p, uint32_t n)
{
    uint32_t done = 0;
    while (done < n) {
        uint32_t room = ring_room(w);
        if (room < n - done) { /* the next time there may be more: a full ring is worth a look */
            int err = ring_look(w);
            if (err) return err;
            room = ring_room(w);
            if (!room) break;
        }
        uint32_t some = n - done < room ? n - done : room;
        ring_put(w, (const uint8_t *)p + done, some);
        ring_publish(w, some, RING_DATA);
        done += some;
    }
    return done;
}

int ring_write_fin(struct ring_writer *w)
{
    if (!ring_room(w)) {
        int err = ring_look(w);
        if (err) return err;
        if (!ring_room(w)) return -EAGAIN;
    }
    ring_publish(w, 0, RING_FIN);
    return 0;
}

void ring_clear_ahead(struct ring_writer *w)
{
    uint64_t end = w->pos + RING_AHEAD;
    if (end > w->head + w->size && ring_look(w)) return;  /* who writes next hears what is wrong */
    if (end > w->head + w->size) end = w->head + w->size; /* what is behind has not been read */
    for (; w->clear < end; w->clear += RING_LINE) {
        uint32_t at = ring_step(w->at, (uint32_t)(w->clear - w->pos), w->size);
        atomic_store_explicit(ring_word(w->base, at), 0, memory_order_relaxed);
    }
}

/* One header, read once. 1: there is a record; 0: none; -EPROTO. */
static int look_at(const struct ring_reader *r, uint32_t at, uint32_t *n, bool *fin)
{
    uint64_t h = atomic_load_explicit(ring_word(r->base, at), memory_order_acquire);
    if (!h) return 0;
    uint32_t kind = (uint32_t)(h >> 32);
    *n = (uint32_t)h;
    *fin = kind == RING_FIN;
    if (*fin) return *n ? -EPROTO : 1;
    if (kind != RING_DATA || !*n || *n > RING_RECORD_MAX - RING_HEADER) return -EPROTO;
    return ring_lines(*n) <= r->size - at ? 1 : -EPROTO;
}

int ring_look_in(const struct ring_reader *r, struct ring_batch *b, uint32_t most)
{
    b->count = b->bytes = b->lines = 0;
    b->fin = false;
    b->at = r->at;
    if (r->ended) return 0;
    while (b->count < RING_GATHER_MAX) {
        uint32_t n;
        int what = look_at(r, b->at, &n, &b->fin);
        if (what < 0) return what;
        if (!what) break;
        uint32_t lines = b->fin ? RING_LINE : ring_lines(n);
        /* The writer leaves a line free; who fills the ring to the last one goes round and round. */
        if (!b->fin && b->lines + lines > r->size - RING_LINE) return -EPROTO;
        if (!b->fin && b->count && b->bytes + n > most) break;
        b->lines += lines;
        b->at = ring_step(b->at, lines, r->size);
        if (b->fin) break;
        b->n[b->count++] = n;
        b->bytes += n;
        if (b->bytes >= most) break;
    }
    return 0;
}

void ring_take(struct ring_reader *r, const struct ring_batch *b, void *out)
{
    uint32_t at = r->at;
    uint8_t *to = out;
    for (uint32_t i = 0; to && i < b->count; i++) {
        memcpy(to, r->base + at + RING_HEADER, b->n[i]);
        to += b->n[i];
        at = ring_step(at, ring_lines(b->n[i]), r->size);
    }
    r->ended = b->fin;
    r->pos += b->lines;
    r->at = b->at;
    atomic_store_explicit(r->head, r->pos, memory_order_release); /* the copies were made before */
}

void ring_writer_check(const struct ring_writer *w)
{
    ASSERT(w->pos % RING_LINE == 0);
    ASSERT(w->at == w->pos % w->size);
    ASSERT(w->head % RING_LINE == 0);
    ASSERT(w->head <= w->pos);
    ASSERT(w->pos - w->head <= w->size - RING_LINE);
    ASSERT(w->clear % RING_LINE == 0);
    ASSERT(w->clear > w->pos);
    ASSERT(w->clear <= w->head + w->size);
}

void ring_reader_check(const struct ring_reader *r)
{
    ASSERT(r->pos % RING_LINE == 0);
    ASSERT(r->at == r->pos % r->size);
}

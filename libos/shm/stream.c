/* SPDX-License-Identifier: MIT
 *
 * Bytes in and out, and how a connection ends. sock.h says how both are thought.
 */
#include "libos/shm/sock.h"

#include "libos/runtime/handover.h"

#include <errno.h>
#include <sys/socket.h>

/* What is popped is held in no more than it takes, while that is one of the heap's small objects: a batch of requests
 * stays in the core's own cache then. */
#define EXACT_MAX 832u

bool shm_has_news(const struct shm_sock *s)
{
    if (!s->area) return false;
    bool reads = s->st.pops.head || s->st.flags & STREAM_READ_SHUT || s->state == SHM_CLOSING;
    if (reads && !s->in.ended && ring_has_record(&s->in)) return true;
    if (likely(!s->out.count && !s->fin_due)) return false;
    return ring_room(&s->tx) || atomic_load_explicit(s->tx.peer_head, memory_order_relaxed) != s->tx.head;
}

/* --- in ----------------------------------------------------------------------------------------------------------- */

/* The reader has moved on: there is room, and the poll has another word to look at. If it goes on as before, the next
 * record is as long: the poll fetches its second line with the first, and where the look at it will end is fetched now.
 */
static inline void moved_on(struct shm_sock *s, uint32_t n)
{
    if (likely(s->hot_at)) {
        struct shm_hot *h = &s->shm->hot[s->hot_at - 1];
        h->word = ring_next(&s->in);
        h->beside = (const char *)h->word + (n > RING_LINE - RING_HEADER ? RING_LINE : 0);
        __builtin_prefetch((const char *)h->word + ring_lines(n));
    }
    shm_dirty(s, WAITS_ROOM);
    runtime_want_flush(s->q.rt);
}

/* Takes a batch into a buffer. NULL: no memory, and it is still there. */
static struct buf *take(struct shm_sock *s, const struct ring_batch *b)
{
    struct buf *buf = b->bytes <= EXACT_MAX ? buf_take_exact(b->bytes) : buf_take(b->bytes);
    if (unlikely(!buf)) return NULL;
    ring_take(&s->in, b, buf->data);
    buf->len = b->bytes;
    s->shm->rx_bytes += b->bytes;
    s->shm->rx_records += b->count;
    return buf;
}

/* Answers one pop. False: nothing there. */
static bool receive_one(struct shm_sock *s)
{
    struct op_table *ops = &s->q.rt->ops;
    struct ring_batch b;
    if (unlikely(ring_look_in(&s->in, &b, BUF_LARGE_SIZE))) {
        shm_broken(s);
        return false;
    }
    if (b.count) {
        struct buf *buf = take(s, &b);
        if (unlikely(!buf)) {
            op_fail(ops, op_list_shift(&s->st.pops), ENOMEM);
            return true;
        }
        stream_give(ops, op_list_shift(&s->st.pops), buf);
    } else if (b.fin) {
        ring_take(&s->in, &b, NULL);
    } else {
        return false;
    }
    moved_on(s, b.bytes);
    if (unlikely(b.fin)) s->st.flags |= STREAM_ENDED;
    return true;
}

static void give_rest(struct shm_sock *s)
{
    struct buf *b = s->rest;
    s->rest = b->next;
    if (!s->rest) s->rest_tail = &s->rest;
    b->next = NULL;
    stream_give(&s->q.rt->ops, op_list_shift(&s->st.pops), b);
}

/* Shut down for reading: what comes is nobody's. As much as a ring holds, and the rest in the next turn. */
static void discard(struct shm_sock *s)
{
    struct ring_batch b;
    for (uint64_t start = s->in.pos; s->in.pos - start < s->in.size;) {
        if (ring_look_in(&s->in, &b, BUF_LARGE_SIZE)) {
            shm_broken(s);
            return;
        }
        if (!b.count && !b.fin) return;
        ring_take(&s->in, &b, NULL);
        if (b.fin) s->st.flags |= STREAM_ENDED;
        moved_on(s, 0);
    }
}

void shm_receive(struct shm_sock *s)
{
    while (s->st.pops.head) {
        if (unlikely(s->rest)) {
            give_rest(s);
        } else if (unlikely(stream_is_at_end(&s->st))) {
            stream_give_ends(&s->q.rt->ops, &s->st);
        } else if (!s->area || !receive_one(s)) {
            break;
        }
    }
    if (unlikely(s->st.flags & STREAM_READ_SHUT) && s->area) discard(s);
}

int shm_pop(struct queue *q, struct op *op)
{
    struct shm_sock *s = shm_sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (unlikely(s->state != SHM_CONNECTED && s->state != SHM_MEETING)) return -ENOTCONN;
    op_list_append(&s->st.pops, op);
    shm_receive(s);
    if (unlikely(!s->hot_at) && s->st.pops.head) shm_heat(s);
    shm_debug(s);
    return 0;
}

/* What is in the ring, for pops to come: at most as much as a ring holds, whatever the peer goes on writing. False: he
 * is broken, or there is no memory. */
static bool drain(struct shm_sock *s)
{
    for (uint64_t start = s->in.pos; s->in.pos - start < s->in.size;) {
        struct ring_batch b;
        if (ring_look_in(&s->in, &b, BUF_LARGE_SIZE)) return false;
        if (!b.count && !b.fin) return true;
        struct buf *buf = b.count ? take(s, &b) : NULL;
        if (b.count && !buf) return false;
        if (buf) {
            *s->rest_tail = buf;
            s->rest_tail = &buf->next;
        } else {
            ring_take(&s->in, &b, NULL);
        }
        if (b.fin) s->st.flags |= STREAM_ENDED;
    }
    return true;
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

void shm_drop(struct shm_sock *s)
{
    for (; s->out.count; seg_ring_shift(&s->out)) seg_release(seg_ring_at(&s->out, 0));
    seg_ring_free(&s->out);
    s->sent = s->queued;
    s->fin_due = false;
}

static inline void told(struct shm_sock *s, uint64_t n)
{
    s->sent += n;
    s->shm->tx_bytes += n;
    shm_dirty(s, WAITS_DATA);
    runtime_need_flush(s->q.rt);
}

static void set_blocked(struct shm_sock *s)
{
    bool blocked = s->out.count || s->fin_due;
    if (blocked && !s->hot_at && shm_heat(s)) {
        shm_broken(s); /* no memory: it would wait for ever */
        return;
    }
    if (!s->hot_at) return;
    struct shm_hot *h = &s->shm->hot[s->hot_at - 1];
    s->shm->tx_blocked += blocked && !h->blocked;
    h->blocked = blocked;
}

/* Of the first segment. -EAGAIN: no more room. */
static int send_some(struct shm_sock *s)
{
    struct seg *seg = seg_ring_at(&s->out, 0);
    int64_t n = ring_write(&s->tx, seg->p, seg->n);
    if (n < 0) return (int)n;
    if (n) told(s, (uint64_t)n);
    seg->p += n;
    seg->n -= (uint32_t)n;
    if (seg->n) return -EAGAIN;
    seg_release(seg);
    seg_ring_shift(&s->out);
    return 0;
}

void shm_send(struct shm_sock *s)
{
    int err = 0;
    while (s->out.count && !err) err = send_some(s);
    stream_passed(&s->q.rt->ops, &s->st, s->sent);
    if (!err && s->fin_due) {
        err = ring_write_fin(&s->tx);
        if (!err) told(s, 0);
        s->fin_due = err;
    }
    if (err && err != -EAGAIN) shm_broken(s);
    else set_blocked(s);
}

/* The peer has closed, which nobody here has noticed: what goes to him now he does not read, and that is noticed. */
static int push_to_nobody(struct shm_sock *s, struct op *op, struct seg *segs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) seg_release(&segs[i]);
    if (op) op_complete_plain(&s->q.rt->ops, op, 0);
    stream_fail(&s->q.rt->ops, &s->st, EPIPE, s->rest != NULL);
    return 0;
}

/* What the ring has no room for waits in `out`. */
static int push_slowly(struct shm_sock *s, struct op *op, struct seg *segs, unsigned count)
{
    if (s->out.count + count > SHM_UNSENT_MAX) {
        s->shm->push_busy++;
        return -EBUSY;
    }
    if (!seg_ring_reserve(&s->out, count)) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        *seg_ring_at(&s->out, s->out.count++) = segs[i];
        s->queued += segs[i].n;
    }
    if (op) stream_await(&s->st, op, s->queued);
    /* Behind others it waits for the poll; an end that has no memory yet (a pipe's), for that. */
    if (s->area && (s->out.count == count || !s->hot_at)) shm_send(s);
    return 0;
}

int shm_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
             socklen_t size, unsigned flags)
{
    struct shm_sock *s = shm_sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    if (unlikely(s->state != SHM_CONNECTED && s->state != SHM_MEETING)) return -ENOTCONN;
    int err = stream_may_push(&s->st);
    if (unlikely(err)) return err;
    if (unlikely(s->gone)) return push_to_nobody(s, op, segs, count);
    if (count == 1 && !s->out.count && s->area && segs->n <= ring_room(&s->tx)) {
        ring_put(&s->tx, segs->p, segs->n);
        ring_publish(&s->tx, segs->n, RING_DATA);
        s->queued += segs->n;
        told(s, segs->n);
        seg_release(segs);
        if (op) op_complete_plain(&q->rt->ops, op, 0);
    } else {
        err = push_slowly(s, op, segs, count);
    }
    shm_debug(s);
    return err;
}

int shm_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct shm_sock *s = shm_sock_of(q);
    assert_copy_given(p, n);
    if (likely(s->state == SHM_CONNECTED && !s->out.count && s->area && n <= ring_room(&s->tx) &&
               !stream_may_push(&s->st))) {
        ring_put(&s->tx, p, n);
        ring_publish(&s->tx, n, RING_DATA);
        s->queued += n;
        told(s, n);
        return 0;
    }
    int before = errno;
    struct seg seg;
    struct buf *b = buf_take(n);
    if (!b) return -ENOMEM;
    memcpy(buf_put_back(b, n), p, n);
    seg = seg_of_buf(b, b->data, n);
    buf_unref(b);
    int err = shm_push(q, NULL, &seg, 1, NULL, 0, 0);
    if (err) seg_release(&seg);
    errno = before;
    return err;
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void hang_up(struct shm_sock *s)
{
    s->gone = true;
    shm_detach(s);
    shm_close_fd(s);
}

void shm_gone(struct shm_sock *s)
{
    struct op_table *ops = &s->q.rt->ops;
    if (s->gone) return;
    if (s->area && s->st.flags & STREAM_READ_SHUT) discard(s);
    else if (s->area && !drain(s)) s->in.ended = false;
    if (s->gone) return; /* broken on the way */
    bool ended = s->in.ended;
    hang_up(s);
    if (s->state == SHM_WAITING) {
        if (!ended) shm_greeting_drop(s); /* reset before it was accepted: nobody gets to see it */
        return;
    }
    while (s->st.pops.head && s->rest) give_rest(s);
    if (!ended) {
        s->shm->resets++;
        s->st.flags &= (uint8_t)~STREAM_ENDED;
        shm_drop(s);
        stream_fail(ops, &s->st, ECONNRESET, s->rest != NULL);
    } else if (s->out.count || s->pipe) {
        shm_drop(s);
        stream_fail(ops, &s->st, EPIPE, s->rest != NULL);
    } else {
        s->fin_due = false;
        if (s->st.pops.head) stream_give_ends(ops, &s->st);
    }
}

void shm_broken(struct shm_sock *s)
{
    s->shm->broken++;
    hang_up(s);
    shm_drop(s);
    stream_fail(&s->q.rt->ops, &s->st, ECONNRESET, s->rest != NULL);
}

bool shm_has_unread(struct shm_sock *s)
{
    struct ring_batch b;
    if (s->st.flags & STREAM_READ_SHUT) return false;
    return s->rest || (s->area && (ring_look_in(&s->in, &b, BUF_LARGE_SIZE) || b.count));
}

int shm_shutdown(struct queue *q, int how)
{
    struct shm_sock *s = shm_sock_of(q);
    if (s->state != SHM_CONNECTED && s->state != SHM_MEETING) return -ENOTCONN;
    if (how != SHUT_WR && !(s->st.flags & STREAM_READ_SHUT)) {
        if (s->area && !drain(s)) shm_broken(s);
        s->st.flags |= STREAM_READ_SHUT;
        shm_receive(s);
        shm_heat(s);
    }
    if (how != SHUT_RD && !(s->st.flags & STREAM_WRITE_SHUT)) {
        s->st.flags |= STREAM_WRITE_SHUT;
        s->fin_due = !s->gone;
        if (s->area) shm_send(s);
    }
    shm_debug(s);
    return 0;
}

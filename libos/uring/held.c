/* SPDX-License-Identifier: MIT
 *
 * Sends without a copy (IORING_OP_SEND_ZC): the network card reads the program's memory itself, so that has to stay
 * until the last packet of it has been acknowledged. A push is held by one struct, whatever the number of requests that
 * its bytes leave by.
 *
 *     request --> completion: n bytes taken --> notification: nobody reads the memory any more
 *                 (says whether one follows)     (one for each request)
 *
 * Where the kernel had to copy after all (loopback, a card without scatter-gather), it says so in the notification;
 * that costs more than a plain send, and the socket sends plainly from then on.
 */
#include "libos/uring/sock.h"

#include "alloc/heap.h"

#include <errno.h>

#define ZC_REPORT_USAGE (1u << 3) /* IORING_SEND_ZC_REPORT_USAGE: Linux 6.2 */
#define ZC_COPIED       (1u << 31)

struct uring_held {
    struct list link;        /* in uring.held */
    struct uring_sock *sock; /* NULL: it is no more */
    struct list sock_link;   /* in uring_sock.holds */
    struct seg seg;
    uint32_t answers; /* notifications that are to come */
    bool finished;    /* there will be no more requests */
};

struct uring_sock *uring_held_sock(const struct uring_held *h) { return h->sock; }

static struct uring_held *held_new(struct uring_sock *s, struct seg *seg)
{
    struct uring_held *h = heap_alloc(sizeof *h);
    if (!h) return NULL;
    *h = (struct uring_held){.sock = s, .seg = *seg};
    seg->kind = SEG_NONE;
    list_push_back(&s->uring->held, &h->link);
    list_push_back(&s->holds, &h->sock_link);
    s->uring->held_count++;
    return s->held = h;
}

static void held_look(struct uring *u, struct uring_held *h)
{
    if (!h->finished || h->answers) return;
    seg_release(&h->seg);
    list_remove(&h->link);
    list_remove(&h->sock_link);
    u->held_count--;
    heap_free(h);
}

bool uring_held_prepare(struct uring_sock *s, struct seg *seg, int flags)
{
    struct uring *u = s->uring;
    struct uring_held *h = s->held ? s->held : held_new(s, seg);
    struct io_uring_sqe *sqe = h ? uring_sqe(u, URING_HELD, h) : NULL;
    if (!sqe) return false;
    io_uring_prep_send_zc(sqe, s->fd, seg->p, seg->n, flags, u->reports_copies ? ZC_REPORT_USAGE : 0);
    u->zero_copies++;
    return true;
}

static void notified(struct uring *u, struct uring_held *h, int32_t res)
{
    ASSERT(h->answers > 0);
    h->answers--;
    if (u->reports_copies && (uint32_t)res & ZC_COPIED) {
        u->copied_anyway++;
        if (h->sock) h->sock->copies = true;
    }
    held_look(u, h);
}

/* Not this way, or not now: plainly, then. -EINVAL: a kernel that does not know the report. -ENOMEM, -ENOBUFS: more
 * memory would be locked than the limit allows. */
static bool is_refused(struct uring *u, struct uring_sock *s, int32_t res)
{
    if (res != -EINVAL && res != -EOPNOTSUPP && res != -ENOMEM && res != -ENOBUFS) return false;
    if (res == -EINVAL && u->reports_copies) u->reports_copies = false;
    else s->copies = true;
    return true;
}

void uring_held_completed(struct uring *u, struct uring_held *h, int32_t res, uint32_t flags)
{
    struct uring_sock *s = h->sock;
    if (flags & IORING_CQE_F_NOTIF) {
        notified(u, h, res);
        return;
    }
    ASSERT(s && s->sending);
    if (flags & IORING_CQE_F_MORE) h->answers++;
    s->flight--;
    s->sending = false;
    if (s->state == URING_ENDING || is_refused(u, s, res)) uring_dirty(s);
    else uring_stream_sent(s, res);
}

void uring_held_finish(struct uring_sock *s)
{
    struct uring_held *h = s->held;
    s->held = NULL;
    h->finished = true;
    held_look(s->uring, h);
}

void uring_held_orphan(struct uring_sock *s)
{
    list_for_each_safe(it, &s->holds)
    {
        struct uring_held *h = list_entry(it, struct uring_held, sock_link);
        h->sock = NULL;
        list_remove(&h->sock_link);
    }
}

void uring_held_abandon(struct uring *u)
{
    list_for_each_safe(it, &u->held)
    { /* the memory itself stays: packets that are still to be sent again lie in it */
        struct uring_held *h = list_entry(it, struct uring_held, link);
        list_remove(&h->link);
        heap_free(h);
    }
    u->held_count = 0;
}

/* SPDX-License-Identifier: MIT
 *
 * A socket that its program has closed. What was pushed and the kernel has not taken yet is still sent: the socket has
 * no queue and no operations any more, but stays until the last byte is with the kernel, which goes on by itself from
 * there.
 *
 *     closed --everything handed over--> end                                      the peer reads all, then the end
 *       |  `---SO_LINGER 0, or bytes came that nobody will read--> end, cut       a reset, as RFC 2525 2.17 has it
 *       `------not done within SO_LINGER, or nothing taken for STALL_NS--> cut    the peer knows that bytes are missing
 *     end --requests taken back, and the last one answered--> close()
 *
 * With an SO_LINGER time the socket stays until the peer has acknowledged everything (SIOCOUTQ), since the program has
 * asked for a reset if it does not. A request that the kernel has keeps the socket open, so the close is not one before
 * all are answered; that takes one call, which is made at once.
 */
#include "libos/uring/sock.h"

#include "alloc/heap.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALL_NS       60000000000u /* of a peer that takes nothing */
#define LINGER_LOOK_NS 10000000u    /* how often we ask whether all is acknowledged: there is no event for that */

void uring_sock_free(struct uring_sock *s)
{
    ASSERT(!s->flight && s->state == URING_ENDING);
    s->sending = false;
    if (s->cut) kernel_set_linger(s->fd, true);
    else if (s->linger_s > 0) kernel_set_linger(s->fd, false); /* or close() would wait */
    uring_drop_parked(s);
    uring_drop_unread(s);
    uring_stream_drop(s);
    uring_dgram_drop(s);
    uring_held_orphan(s);
    uring_clean(s);
    list_remove(&s->link);
    close(s->fd);
    heap_free(s);
}

void uring_sock_end(struct uring_sock *s, bool cut)
{
    if (s->state == URING_ENDING) return;
    cut |= s->st.flags & STREAM_FAILED || s->broken; /* it has failed while it was closing */
    if (s->state == URING_CLOSING) *(cut ? &s->uring->close_cut : &s->uring->close_drained) += 1;
    wheel_stop(&s->q.rt->wheel, &s->timer);
    s->cut = cut;
    s->cancelled = false;
    s->state = URING_ENDING;
    uring_dirty(s);
}

static bool is_acknowledged(const struct uring_sock *s)
{
    int left = 0;
    return ioctl(s->fd, SIOCOUTQ, &left) || !left;
}

/* Nobody waits for the peer's bytes; the kernel resets a connection that is closed with some, and so do we at once. */
static bool has_unread(const struct uring_sock *s)
{
    char byte;
    return s->unread || recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool is_waiting(const struct uring_sock *s) { return s->out.count || s->dgrams; }

static void look_again(struct timer *t);

static void start_timer(struct uring_sock *s)
{
    uint64_t now = runtime_clock(s->q.rt), at = now + STALL_NS;
    if (s->drain_end_ns != UINT64_MAX) at = is_waiting(s) ? s->drain_end_ns : now + LINGER_LOOK_NS;
    if (at > s->drain_end_ns) at = s->drain_end_ns;
    s->drained = s->sent;
    wheel_start(&s->q.rt->wheel, &s->timer, at, look_again);
}

void uring_closing_moved(struct uring_sock *s)
{
    if (is_waiting(s) || s->state != URING_CLOSING) return;
    if (s->linger_s <= 0 || s->dgram) {
        uring_sock_end(s, false);
        return;
    }
    shutdown(s->fd, SHUT_WR);
    if (is_acknowledged(s)) uring_sock_end(s, false);
    else start_timer(s);
}

static void look_again(struct timer *t)
{
    struct uring_sock *s = container_of(t, struct uring_sock, timer);
    if (!is_waiting(s) && is_acknowledged(s)) uring_sock_end(s, false);
    else if (s->drain_end_ns != UINT64_MAX ? s->q.rt->now >= s->drain_end_ns : s->sent == s->drained)
        uring_sock_end(s, true);
    else start_timer(s);
}

static bool drains(const struct uring_sock *s)
{
    if (s->dgram) return s->dgrams;
    return s->state == URING_CONNECTED && s->linger_s && !s->broken && (s->out.count || s->linger_s > 0) &&
           !has_unread(s);
}

/* From now on, not from the turn's beginning: the program may have worked for longer than it lets us linger. */
static uint64_t linger_end(const struct uring_sock *s)
{
    const struct runtime_ops *time = &s->q.rt->time;
    return time->now_ns(time->arg) + (uint64_t)s->linger_s * 1000000000u;
}

/* Shut down for reading, the kernel keeps what comes: what nobody wanted to read is none that was lost. As many rounds
 * as its largest buffer has. */
static void discard_rest(struct uring_sock *s)
{
    char some[4096];
    uring_drop_unread(s);
    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(s->fd, s->domain == AF_UNIX ? some : NULL, s->domain == AF_UNIX ? sizeof some : 1 << 20,
                         MSG_DONTWAIT | (s->domain == AF_UNIX ? 0 : MSG_TRUNC));
        if (n <= 0 && !(n < 0 && errno == EINTR)) return;
    }
}

/* The peer hears of it now, and not when the program next waits. What the kernel still has is answered by the same call
 * that takes it back; nobody but this socket hears of what else that call brings. */
static void end_at_once(struct uring_sock *s)
{
    if (s->flight) {
        uring_prepare_end(s);
        uring_submit(s->uring);
        uring_reap_of(s->uring, s);
    }
    if (!s->flight) uring_sock_free(s);
}

void uring_sock_close(struct queue *q)
{
    struct uring_sock *s = uring_sock_of(q);
    struct op_table *ops = &q->rt->ops;
    if (s->out.count || s->dgrams) uring_settle(s);
    uring_dgram_cancel(s);
    stream_close(ops, &s->st);
    op_fail_all(ops, &s->accepts, ECANCELED);
    if (s->connecting) op_fail(ops, s->connecting, ECANCELED);
    s->connecting = NULL;
    wheel_stop(&q->rt->wheel, &s->timer);
    if (!s->dgram && s->st.flags & STREAM_READ_SHUT) discard_rest(s);
    if (drains(s)) {
        s->state = URING_CLOSING;
        s->drain_end_ns = s->linger_s > 0 && !s->dgram ? linger_end(s) : UINT64_MAX;
        start_timer(s);
        uring_closing_moved(s);
    } else {
        uring_sock_end(s, s->out.count || (!s->dgram && s->unread));
    }
    if (s->state == URING_ENDING) end_at_once(s);
}

void uring_close_all(struct uring *u)
{
    list_for_each(it, &u->socks) uring_sock_end(list_entry(it, struct uring_sock, link), true);
}

static bool has_queue(const struct uring_sock *s) { return s->state != URING_CLOSING && s->state != URING_ENDING; }

void uring_close_copies(const struct uring *u)
{
    list_for_each(it, &u->socks)
    {
        const struct uring_sock *s = list_entry(it, struct uring_sock, link);
        for (uint32_t i = 0; i < s->parked_count; i++) close(s->parked[i]);
        if (!has_queue(s)) close(s->fd);
    }
}

uint64_t uring_left(const struct uring *u)
{
    uint64_t n = u->held_count;
    list_for_each(it, &u->socks)
    {
        const struct uring_sock *s = list_entry(it, struct uring_sock, link);
        if (!has_queue(s)) n += 1 + (s->state == URING_CLOSING ? s->queued - s->sent : 0);
    }
    return n;
}

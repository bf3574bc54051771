/* SPDX-License-Identifier: MIT
 *
 * A socket that its program has closed. What was pushed and the kernel has not taken yet is still sent: the socket has
 * no queue and no operations any more, but stays in posix->closing until the last byte is with the kernel, which goes
 * on by itself from there. Nothing blocks: the kernel's own close() would, for the time of SO_LINGER, whatever
 * O_NONBLOCK says.
 *
 *     closed --everything handed over--> close()                                  the peer reads all, then the end
 *       |  `---SO_LINGER 0, or bytes came that nobody will read--> reset               as RFC 2525 2.17 has it
 *       `------not done within SO_LINGER, or nothing taken for STALL_NS--> reset  the peer knows that bytes are missing
 *
 * With an SO_LINGER time the socket stays until the peer has acknowledged everything (SIOCOUTQ), since the program has
 * asked for a reset if it does not.
 */
#include "libos/posix/sock.h"

#include "alloc/heap.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALL_NS       60000000000u /* of a peer that takes nothing */
#define LINGER_LOOK_NS 10000000u    /* how often we ask whether all is acknowledged: there is no event for that */

/* cut: what has not arrived does not, and the peer hears of a reset (a local one, of the end). */
static void end(struct posix_sock *s, bool cut)
{
    cut |= s->st.flags & STREAM_FAILED; /* it has failed while it was closing */
    if (cut) kernel_set_linger(s->watch.fd, true);
    else if (s->linger_s > 0) kernel_set_linger(s->watch.fd, false); /* or close() would wait */
    if (s->state == SOCK_CLOSING) *(cut ? &s->posix->close_cut : &s->posix->close_drained) += 1;
    list_remove(&s->closing);
    posix_stream_drop(s);
    dgram_drop(s);
    wheel_stop(&s->q.rt->wheel, &s->timer);
    if (s->watched) runtime_unwatch(s->q.rt, &s->watch);
    close(s->watch.fd);
    heap_free(s);
}

static bool is_acknowledged(const struct posix_sock *s)
{
    int left = 0;
    return ioctl(s->watch.fd, SIOCOUTQ, &left) || !left;
}

/* Nobody waits for the peer's bytes; the kernel resets a connection that is closed with some, and so do we at once. */
static bool has_unread(const struct posix_sock *s)
{
    char byte;
    return recv(s->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool is_waiting(const struct posix_sock *s) { return s->out.count || s->dgrams; }

static void look_again(struct timer *t);

static void start_timer(struct posix_sock *s)
{
    uint64_t now = runtime_clock(s->q.rt), at = now + STALL_NS;
    if (s->drain_end_ns != UINT64_MAX) at = is_waiting(s) ? s->drain_end_ns : now + LINGER_LOOK_NS;
    if (at > s->drain_end_ns) at = s->drain_end_ns;
    s->drained = s->sent;
    wheel_start(&s->q.rt->wheel, &s->timer, at, look_again);
}

/* Something may have left. */
static void go_on(struct posix_sock *s)
{
    if (is_waiting(s)) return;
    if (s->linger_s <= 0 || s->dgram) {
        end(s, false);
        return;
    }
    shutdown(s->watch.fd, SHUT_WR);
    if (is_acknowledged(s)) end(s, false);
    else start_timer(s);
}

static void look_again(struct timer *t)
{
    struct posix_sock *s = (struct posix_sock *)((char *)t - offsetof(struct posix_sock, timer));
    if (!is_waiting(s) && is_acknowledged(s)) end(s, false);
    else if (s->drain_end_ns != UINT64_MAX ? s->q.rt->now >= s->drain_end_ns : s->sent == s->drained) end(s, true);
    else start_timer(s);
}

void sock_closing_event(struct posix_sock *s, uint32_t events)
{
    if (!s->dgram && events & EPOLLIN && has_unread(s)) {
        end(s, true);
        return;
    }
    if (s->blocked && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) s->dgram ? dgram_send(s) : posix_stream_send(s);
    go_on(s);
}

static bool drains(const struct posix_sock *s)
{
    if (s->dgram) return s->dgrams;
    return s->state == SOCK_CONNECTED && s->linger_s && (s->out.count || s->linger_s > 0) && !has_unread(s);
}

/* From now on, not from the turn's beginning: the program may have worked for longer than it lets us linger. */
static uint64_t linger_end(const struct posix_sock *s)
{
    const struct runtime_ops *time = &s->q.rt->time;
    return time->now_ns(time->arg) + (uint64_t)s->linger_s * 1000000000u;
}

void sock_close(struct queue *q)
{
    struct posix_sock *s = sock_of(q);
    struct op_table *ops = &q->rt->ops;
    if (s->out.count) posix_stream_send(s);
    sock_clean(s);
    dgram_cancel(s);
    stream_close(ops, &s->st);
    op_fail_all(ops, &s->accepts, ECANCELED);
    if (s->connecting) op_fail(ops, s->connecting, ECANCELED);
    s->connecting = NULL;
    if (s->st.flags & STREAM_READ_SHUT) { /* what nobody wanted to read is none that was lost */
        s->unread = 0;
        s->readable = true;
        posix_stream_receive(s);
    }
    if (!drains(s)) {
        bool cut = s->out.count;
        end(s, cut);
        return;
    }
    wheel_stop(&q->rt->wheel, &s->timer);
    s->state = SOCK_CLOSING;
    s->drain_end_ns = s->linger_s > 0 && !s->dgram ? linger_end(s) : UINT64_MAX;
    list_push_back(&s->posix->closing, &s->closing);
    start_timer(s);
    go_on(s);
}

void sock_close_all(struct posix *p)
{
    list_for_each_safe(it, &p->closing) end(list_entry(it, struct posix_sock, closing), true);
}

void sock_close_copies(const struct posix *p)
{
    list_for_each(it, &p->closing) close(list_entry(it, struct posix_sock, closing)->watch.fd);
}

uint64_t sock_undrained(const struct posix *p)
{
    uint64_t n = 0;
    list_for_each(it, &p->closing)
    {
        const struct posix_sock *s = list_entry(it, struct posix_sock, closing);
        n += 1 + (s->queued - s->sent);
    }
    return n;
}

/* SPDX-License-Identifier: MIT
 *
 * An end that its program has closed. What was pushed and the ring has no room for yet still goes: the end has no queue
 * and no operations any more, but stays in shm->closing until the last byte and RING_FIN are in the ring; the peer
 * reads them from his own mapping of it, however long he takes.
 *
 *     closed --everything in the ring--> hangs up, with RING_FIN                    the peer reads all, then the end
 *       |  `---SO_LINGER 0, or bytes came that nobody will read--> hangs up without  the peer hears of a reset
 *       `------not done within SO_LINGER, or nothing taken for STALL_NS--> the same
 */
#include "libos/shm/sock.h"

#include <errno.h>

#define STALL_NS 60000000000u

void shm_close_end(struct shm_sock *s, bool cut)
{
    if (s->state == SHM_CLOSING) *(cut ? &s->shm->close_cut : &s->shm->close_drained) += 1;
    shm_sock_free(s);
}

static bool is_waiting(const struct shm_sock *s) { return s->out.count || s->fin_due; }

static void look_again(struct timer *t);

static void start_timer(struct shm_sock *s)
{
    uint64_t at = runtime_later(s->q.rt, STALL_NS);
    if (at > s->until_ns) at = s->until_ns;
    s->drained = s->sent;
    wheel_start(&s->q.rt->wheel, &s->timer, at, look_again);
}

static void look_again(struct timer *t)
{
    struct shm_sock *s = container_of(t, struct shm_sock, timer);
    bool late = s->until_ns != UINT64_MAX ? s->q.rt->now >= s->until_ns : s->sent == s->drained;
    if (late) shm_close_end(s, true);
    else start_timer(s);
}

void shm_closing_go_on(struct shm_sock *s)
{
    if (s->st.flags & STREAM_READ_SHUT) shm_receive(s);
    if (!s->gone && shm_has_unread(s)) {
        shm_close_end(s, true);
        return;
    }
    if (s->area) shm_send(s);
    if (s->gone || !is_waiting(s)) shm_close_end(s, s->gone);
}

static void drop_comers(struct shm_sock *l)
{
    list_for_each_safe(it, &l->greeting) shm_greeting_drop(list_entry(it, struct shm_sock, greeting));
}

static void note_name(struct shm_sock *s)
{
    const struct runtime_ops *time = &s->q.rt->time;
    if (!s->bound || s->domain == AF_UNIX) return;
    name_of(&s->shm->closed, (const struct sockaddr *)&s->local, s->local_size);
    s->shm->closed_ns = time->now_ns(time->arg);
}

void shm_close(struct queue *q)
{
    struct shm_sock *s = shm_sock_of(q);
    note_name(s);
    struct op_table *ops = &q->rt->ops;
    bool connected = s->state == SHM_CONNECTED && !s->gone;
    stream_close(ops, &s->st);
    op_fail_all(ops, &s->accepts, ECANCELED);
    if (s->connecting) op_fail(ops, s->connecting, ECANCELED);
    s->connecting = NULL;
    if (s->state == SHM_LISTENING) drop_comers(s);
    if (!connected || s->linger_s == 0 || shm_has_unread(s)) {
        shm_sock_free(s);
        return;
    }
    wheel_stop(&q->rt->wheel, &s->timer);
    const struct runtime_ops *time = &q->rt->time;
    s->until_ns = s->linger_s > 0 ? time->now_ns(time->arg) + (uint64_t)s->linger_s * 1000000000u : UINT64_MAX;
    if (!(s->st.flags & STREAM_WRITE_SHUT)) s->fin_due = true;
    s->state = SHM_CLOSING;
    if (s->area) shm_send(s);
    if (s->gone || !is_waiting(s)) {
        shm_close_end(s, s->gone);
        return;
    }
    list_push_back(&s->shm->closing, &s->work);
    start_timer(s);
}

uint64_t shm_undrained_bytes(const struct shm *p)
{
    uint64_t n = 0;
    list_for_each(it, &p->closing)
    {
        const struct shm_sock *s = list_entry(it, struct shm_sock, work);
        n += 1 + (s->queued - s->sent);
    }
    return n;
}

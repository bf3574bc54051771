/* SPDX-License-Identifier: MIT
 *
 * A connection's life as its user sees it: open, push, pop, shut down, close, abort; and its end, whoever brings it
 * about.
 *
 *   conn_new ─> in table, in tcp.all ─conn_finish─> CF_DEAD, in tcp.ended ─conn_doom─> tcp.doomed ─tcp_flush─> freed
 *
 * Dead: nothing of it reaches the wire any more; its user may pop what was received and ask what happened. Doomed:
 * nobody holds it. A connection that ends while its user holds it is doomed when he lets go, one without user at once.
 * Nothing is freed but by conn_reap(), so hooks, timers and input may go on looking at a conn that a hook has closed.
 *
 * Calls: RFC 9293 3.10.1 to 3.10.5. Left out: urgent data to send (RFC 6093 advises against it), SEND before a passive
 * open has got its SYN, TCP Fast Open (RFC 7413; its option is skipped).
 */
#include "tcp/conn.h"

#include "alloc/heap.h"
#include "tcp/conn_table.h"
#include "tcp/isn.h"
#include "tcp/listener.h"
#include "tcp/synq.h"
#include "tcp/timewait.h"

#include <errno.h>
#include <netinet/in.h>

#define BUFFER_MIN 256u
#define BUFFER_MAX (1u << 30) /* RFC 7323 2.3; and twice of it is still less than half of the sequence space */

/* What a segment in order touches. */
static_assert(offsetof(struct conn, rcv_adv) == 64, "the first line is the look-up's");
static_assert(offsetof(struct conn, user) == 128, "the second decides and takes");
static_assert(sizeof(struct conn) <= 704, "an idle connection's price: with table, socket and queue less than 1 KiB");

uint32_t conn_buffer_size(uint32_t n, uint32_t otherwise)
{
    if (!n) n = otherwise;
    return n < BUFFER_MIN ? BUFFER_MIN : n > BUFFER_MAX ? BUFFER_MAX : n;
}

uint8_t conn_wscale_for(uint32_t n)
{
    uint8_t shift = 0;
    while (shift < 14 && n >> shift > UINT16_MAX) shift++;
    return shift;
}

static const struct cc_ops *cc_of(const struct net_stack *s, const struct conn_opts *o)
{
    const char *name = o && o->cc ? o->cc : s->conf.cc;
    return name ? cc_find(name) : &cc_cubic;
}

/* --- options ------------------------------------------------------------------------------------------------------ */

/* c->opts are those of o from now on; a controller is known by our own name of it. */
static int keep_opts(struct conn *c, const struct conn_opts *o)
{
    static const struct conn_opts none;
    struct conn_opts own = o ? *o : none;
    const struct conn_opts *kept = NULL;
    if (own.cc) own.cc = cc_find(own.cc)->name;
    if (!opts_equal(&own, &none) && !(kept = opts_ref(&c->stack->tcp.opts, &own))) return -ENOMEM;
    opts_unref(&c->stack->tcp.opts, c->opts);
    c->opts = kept;
    return 0;
}

void conn_update_ack_after(struct conn *c)
{
    uint32_t two = 2u * c->rcv_mss, half = c->rcv_buffer / 2;
    c->ack_after = c->stack->conf.ack_turns || (c->opts && c->opts->quick_ack) ? 1 : two < half ? two : half;
}

/* Without window scaling, more cannot be told. */
void conn_limit_buffer(struct conn *c)
{
    if (conn_is_synchronised(c) && !(c->flags & CF_WSCALE) && c->rcv_buffer > UINT16_MAX) c->rcv_buffer = UINT16_MAX;
    conn_update_ack_after(c);
}

static void apply_opts(struct conn *c)
{
    const struct conn_opts *o = c->opts;
    c->rcv_buffer = conn_buffer_size(o ? o->rcv_buffer : 0, c->stack->conf.limits.rcv_buffer);
    conn_limit_buffer(c);
    c->path.hops = o && o->hops ? o->hops : 64;
    c->path.tos = o ? o->tos & 0xfc : 0; /* its low bits are ECN's */
}

static void set_keepalive(struct conn *c)
{
    bool on = c->opts && c->opts->keepalive && conn_is_synchronised(c);
    uint32_t idle_s = on && c->opts->keep_idle_s ? c->opts->keep_idle_s : 7200;
    conn_timer_set(c, DL_KEEP, on ? conn_now(c) + idle_s * NSEC_PER_SEC : NSEC_NEVER);
}

void conn_use_controller(struct conn *c, const struct cc_ops *cc)
{
    cc_fini(&c->cc);
    if (cc->wants_rate && !c->rate && !(c->rate = rate_new(&c->inflight, conn_now(c)))) cc = &cc_newreno;
    cc_init(&c->cc, cc, c->mss, conn_now(c));
    if (c->cc.ops->wants_rate) return;
    rate_free(c->rate);
    c->rate = NULL;
}

int conn_set_opts(struct conn *c, const struct conn_opts *o)
{
    const struct cc_ops *cc = cc_of(c->stack, o);
    if (!cc) return -ENOENT;
    int err = keep_opts(c, o);
    if (err) return err;
    apply_opts(c);
    if (c->flags & CF_DEAD) return 0;
    if (cc != c->cc.ops) { /* the window stays what it is */
        uint32_t cwnd = c->cc.cwnd, ssthresh = c->cc.ssthresh;
        conn_use_controller(c, cc);
        c->cc.cwnd = cwnd;
        c->cc.ssthresh = ssthresh;
    }
    if (conn_is_synchronised(c)) tcp_update_mss(c);
    if (!(c->flags & CF_DETACHED)) set_keepalive(c);
    conn_dirty(c); /* Nagle and cork may have gone */
    return 0;
}

void conn_own_opts(const struct conn *c, struct conn_opts *out) { *out = c->opts ? *c->opts : (struct conn_opts){0}; }

void conn_get_opts(const struct conn *c, struct conn_opts *out)
{
    *out = c->opts ? *c->opts : (struct conn_opts){0};
    if (!out->keep_idle_s) out->keep_idle_s = 7200;
    if (!out->keep_interval_s) out->keep_interval_s = 75;
    if (!out->keep_count) out->keep_count = 9;
    if (!out->mss) out->mss = c->mss;
    out->hops = c->path.hops;
    out->rcv_buffer = c->rcv_buffer;
    out->snd_buffer = conn_buffer_size(out->snd_buffer, c->stack->conf.limits.snd_buffer);
    if (!out->unsent_max && c->stack->conf.limits.unsent_max != UINT32_MAX)
        out->unsent_max = c->stack->conf.limits.unsent_max;
    out->cc = c->cc.ops->name;
}

static uint32_t hash_of(const struct conn *c)
{
    return conn_hash(c->stack->hash_seed, &c->local.addr, &c->remote.addr, c->ports);
}

/* --- birth -------------------------------------------------------------------------------------------------------- */

/* Its ends are known. */
static void set_up(struct conn *c)
{
    const struct ip_port *local = &c->local, *remote = &c->remote;
    struct net_stack *s = c->stack;
    const struct stack_config *conf = &s->conf;
    c->ports = conn_ports(local->port, remote->port);
    c->state = CONN_SYN_SENT;
    c->flags = CF_NOT_OPEN | (addr_is_v4(&local->addr) ? 0 : CF_V6) | (conf->no_timestamps ? 0 : CF_TS) |
               (conf->no_sack ? 0 : CF_SACK) | (conf->no_wscale ? 0 : CF_WSCALE) |
               (conf->ask_ecn && !conf->no_ecn ? CF_ECN : 0);
    c->rcv_wscale = conf->no_wscale ? 0 : conn_wscale_for(c->rcv_buffer);
    c->iss = isn_make(local, remote, s->key_isn, s->now);
    c->ts_offset = isn_ts_offset(local, remote, s->key_isn);
    c->snd_una = c->snd_nxt = c->iss;
    c->snd_end = c->iss + 1;
    c->recover = c->iss;
    c->peer_mss = addr_is_v4(&remote->addr) ? 536 : 1220; /* RFC 9293 3.7.1 */
    c->rcv_mss = 536;
    c->quick_acks = 16;
    conn_update_ack_after(c);
    c->rcvq_tail = &c->rcvq;
    c->rto = conf->rto_initial;
    c->last_rcv_at = c->last_snd_at = s->now;
    for (int i = 0; i < DL_COUNT; i++) c->deadlines[i] = NSEC_NEVER;
    rtt_init(&c->rtt);
    list_init(&c->dirty);
}

struct conn *conn_new(struct net_stack *s, const struct ip_port *local, const struct ip_port *remote,
                      const struct conn_opts *o, int *err)
{
    const struct cc_ops *cc = cc_of(s, o);
    *err = -ENOENT;
    if (!cc) return NULL;
    *err = -ENFILE;
    if (s->tcp.conn_count >= s->conf.limits.conns) return NULL;
    *err = -ENOMEM;
    struct conn *c = heap_calloc(1, sizeof *c);
    if (!c) return NULL;
    c->stack = s;
    *err = keep_opts(c, o);
    if (*err) goto free_conn;
    c->ends = (struct path_ends){.remote = *remote, .local = *local};
    *err = path_open(s, &c->path, &c->ends, IPPROTO_TCP);
    if (*err) goto free_opts;
    apply_opts(c);
    set_up(c);
    tcp_update_mss(c);
    conn_use_controller(c, cc);
    *err = conn_table_insert(&s->tcp.conns, hash_of(c), c);
    if (*err) goto fini_cc;
    list_push_back(&s->tcp.all, &c->all);
    s->tcp.conn_count++;
    return c;

fini_cc:
    cc_fini(&c->cc);
    rate_free(c->rate);
    path_close(s, &c->path);
free_opts:
    opts_unref(&s->tcp.opts, c->opts);
free_conn:
    heap_free(c);
    return NULL;
}

/* --- active opens ------------------------------------------------------------------------------------------------- */

struct conn_wanted {
    struct net_stack *s;
    struct ip_addr local;
    const struct ip_port *remote;
    bool reuse; /* four-tuples in TIME-WAIT that may be used again count as free */
};

/* RFC 6191 and RFC 1122 4.2.2.13 in the active role: with timestamps, a second after the old connection's last
 * segment, no segment of it can be taken for one of the new; our sequence numbers go on behind the old ones. */
static bool timewait_is_reusable(const struct net_stack *s, const struct timewait_rec *w)
{
    return w->has_ts && !s->conf.no_timestamps && s->now - w->started >= NSEC_PER_SEC;
}

static bool tuple_is_taken(void *arg, uint16_t port)
{
    const struct conn_wanted *t = arg;
    struct net_stack *s = t->s;
    uint32_t ports = conn_ports(port, t->remote->port);
    uint32_t hash = conn_hash(s->hash_seed, &t->local, &t->remote->addr, ports);
    if (conn_table_find(&s->tcp.conns, hash, &t->local, &t->remote->addr, ports)) return true;
    if (synq_find(s, hash, &t->local, &t->remote->addr, ports)) return true;
    struct timewait_rec *w = timewait_find(s, hash, &t->local, &t->remote->addr, ports);
    return w && !(t->reuse && timewait_is_reusable(s, w));
}

/* The source address, and a local port that makes a four-tuple of its own. */
static int choose_local(struct net_stack *s, const struct ip_port *local, const struct ip_port *remote,
                        struct ip_port *out)
{
    struct path p;
    struct path_ends ends = {.remote = *remote, .local = *local};
    int err = path_open(s, &p, &ends, IPPROTO_TCP);
    if (err) return err;
    *out = ends.local;
    path_close(s, &p);
    struct conn_wanted t = {.s = s, .local = out->addr, .remote = remote, .reuse = local->port};
    if (local->port) return tuple_is_taken(&t, local->port) ? -EADDRINUSE : 0;
    err = ports_choose(&s->tcp.ports, &out->addr, remote, s->key_port, tuple_is_taken, &t, &out->port);
    if (err != -EADDRINUSE) return err;
    t.reuse = true; /* the range is used up: those in TIME-WAIT, then */
    return ports_choose(&s->tcp.ports, &out->addr, remote, s->key_port, tuple_is_taken, &t, &out->port);
}

/* Takes over from an old incarnation in TIME-WAIT what keeps its segments apart from ours. */
static void succeed_timewait(struct conn *c)
{
    struct net_stack *s = c->stack;
    struct timewait_rec *w = timewait_find(s, hash_of(c), &c->local.addr, &c->remote.addr, c->ports);
    if (!w) return;
    if (seq_before_eq(c->iss, w->snd_nxt + UINT16_MAX)) {
        c->iss = w->snd_nxt + UINT16_MAX + 2;
        c->snd_una = c->snd_nxt = c->recover = c->iss;
        c->snd_end = c->iss + 1;
    }
    timewait_remove(s, w);
}

int conn_connect(struct net_stack *s, const struct ip_port *local, const struct ip_port *remote,
                 const struct conn_opts *o, void *user, struct conn **out)
{
    static const struct ip_port any = {.port = 0};
    struct ip_port from;
    if (!local) local = &any;
    if (!remote->port || addr_is_any(&remote->addr)) return -EADDRNOTAVAIL;
    /* RFC 9293 3.9.2.3 */
    if (addr_is_multicast(&remote->addr) || addr_is_broadcast4(&remote->addr)) return -ENETUNREACH;
    int err = choose_local(s, local, remote, &from);
    if (err) return err;
    struct conn *c = conn_new(s, &from, remote, o, &err);
    if (!c) return err;
    succeed_timewait(c);
    c->user = user;
    c->flags |= CF_ACTIVE;
    c->rcv_adv = c->rcv_nxt;
    s->n.tcp_active++;
    if (!path_can_send(s, &c->path)) path_await(s, &c->path, &c->dirty);
    else if (!stack_tx_room(s)) conn_dirty(c);
    else tcp_send_syn(c);
    *out = c;
    return 0;
}

/* --- what the user asks ------------------------------------------------------------------------------------------- */

void *conn_user(const struct conn *c) { return c->user; }
void conn_set_user(struct conn *c, void *user) { c->user = user; }
const struct ip_port *conn_local(const struct conn *c) { return &c->local; }
const struct ip_port *conn_remote(const struct conn *c) { return &c->remote; }
int conn_error(const struct conn *c) { return c->error; }

uint64_t conn_acked(const struct conn *c) { return c->stream_una; }

uint64_t conn_queued(const struct conn *c)
{
    if (c->state == CONN_SYN_SENT || c->state == CONN_SYN_RECEIVED) return c->snd_end - c->iss - 1;
    return c->flags & CF_FIN_ACKED ? c->stream_una : c->stream_una + (c->snd_end - c->snd_una);
}

uint64_t conn_sent(const struct conn *c)
{
    if (c->state == CONN_SYN_SENT || c->state == CONN_SYN_RECEIVED) return 0;
    return c->stream_una + (seq_min(c->snd_nxt, c->snd_end) - seq_min(c->snd_una, c->snd_end));
}

bool conn_fin_acked(const struct conn *c) { return c->flags & (CF_FIN_ACKED | CF_DEAD); }

/* --- sending ------------------------------------------------------------------------------------------------------ */

static int may_push(const struct conn *c, size_t n)
{
    if (c->flags & (CF_FIN_QUEUED | CF_DEAD | CF_DETACHED)) return -EPIPE;
    uint32_t bound = conn_buffer_size(c->opts ? c->opts->snd_buffer : 0, c->stack->conf.limits.snd_buffer);
    if (n > BUFFER_MAX) return -EINVAL;
    /* A push is taken whole: it may go over the bound, the next one is refused. */
    if (c->snd_end - c->snd_una > bound) return -EBUSY;
    uint32_t unsent_max = c->opts && c->opts->unsent_max ? c->opts->unsent_max : c->stack->conf.limits.unsent_max;
    return unlikely(unsent_max != UINT32_MAX) && conn_queued(c) - conn_sent(c) >= unsent_max ? -EBUSY : 0;
}

static void pushed(struct conn *c, uint32_t n, uint64_t *end_out)
{
    c->snd_end += n;
    c->flags = (c->flags | CF_PUSH) & ~(uint32_t)CF_MORE;
    if (end_out) *end_out = conn_queued(c);
    conn_dirty(c);
}

int conn_push(struct conn *c, struct buf *chain, uint64_t *end_out)
{
    size_t n = buf_chain_len(chain);
    int err = may_push(c, n);
    if (unlikely(err)) return err;
    if (unlikely(!n)) {
        buf_unref(chain);
        if (end_out) *end_out = conn_queued(c);
        return 0;
    }
    err = sndq_push(&c->sndq, c->snd_end, chain);
    if (unlikely(err)) return err;
    pushed(c, (uint32_t)n, end_out);
    return 0;
}

int conn_push_copy(struct conn *c, const void *p, uint32_t n, uint64_t *end_out)
{
    int err = may_push(c, n);
    if (unlikely(err)) return err;
    if (likely(n)) err = sndq_push_copy(&c->sndq, c->snd_end, p, n);
    if (unlikely(err)) return err;
    pushed(c, n, end_out);
    return 0;
}

void conn_expect_more(struct conn *c) { c->flags |= CF_MORE; }

void conn_uncork(struct conn *c)
{
    if (!(c->flags & CF_MORE) && !(c->opts && c->opts->cork)) return;
    c->flags &= ~(uint32_t)CF_MORE;
    if (c->flags & CF_DEAD || c->snd_nxt == c->snd_end) return;
    c->cork_at = CORK_OVER;
    conn_dirty(c);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

bool conn_readable(const struct conn *c) { return c->rcvq; }
bool conn_ended(const struct conn *c) { return (c->flags & CF_FIN_RCVD) && !c->rcvq; }

void conn_drop_reasm(struct conn *c)
{
    reasm_free(c->reasm);
    c->reasm = NULL;
    c->flags &= ~(uint32_t)CF_HOLE;
}

/* The program has made room. Told to the peer on its own only when it is worth it: RFC 9293 3.8.6.2.2, the
 * receiver's silly window rule. */
static __attribute__((noinline)) void window_grew(struct conn *c)
{
    uint32_t told = c->rcv_adv - c->rcv_nxt, could = c->rcv_buffer - c->rcvq_bytes,
             most = (uint32_t)UINT16_MAX << c->rcv_wscale;
    if (could > most) could = most;
    if (c->rcvq_bytes > c->rcv_buffer || could <= told) return;
    uint32_t grown = could - told;
    if (likely(grown < c->rcv_buffer / 2 && grown < 2u * c->rcv_mss)) return;
    if (grown < c->rcv_buffer / 2 && grown < 2u * c->mss) return; /* rcv_mss starts small */
    if (c->flags & (CF_FIN_RCVD | CF_DEAD) || !conn_is_synchronised(c)) return;
    c->flags |= CF_ACK_NOW;
    conn_dirty(c);
}

struct buf *conn_pop(struct conn *c)
{
    struct buf *b = c->rcvq;
    if (!b) return NULL;
    c->rcvq = b->next;
    if (!b->next) {
        c->rcvq_tail = &c->rcvq;
        c->rcvq_copied = 0;
    }
    b->next = NULL;
    c->rcvq_count--;
    c->rcvq_bytes -= b->len;
    if (unlikely((int32_t)(c->rcv_buffer - c->rcvq_bytes - (c->rcv_adv - c->rcv_nxt)) >= (int32_t)c->ack_after))
        window_grew(c);
    return b;
}

static void drop_rcvq(struct conn *c)
{
    buf_unref(c->rcvq);
    c->rcvq = NULL;
    c->rcvq_tail = &c->rcvq;
    c->rcvq_copied = 0;
    c->rcvq_bytes = c->rcvq_count = 0;
}

int conn_shutdown_read(struct conn *c)
{
    if (c->flags & CF_READ_CLOSED) return -EPIPE;
    c->flags |= CF_READ_CLOSED;
    drop_rcvq(c);
    window_grew(c);
    return 0;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void conn_set_state(struct conn *c, enum conn_state to)
{
    c->state = (uint8_t)to;
    if (to == CONN_ESTABLISHED) c->flags &= ~(uint32_t)CF_NOT_OPEN;
    else c->flags |= CF_NOT_OPEN;
}

void conn_doom(struct conn *c)
{
    DASSERT(c->flags & CF_DEAD);
    if (c->flags & CF_DOOMED) return;
    c->flags |= CF_DOOMED;
    list_remove(&c->all);
    list_push_back(&c->stack->tcp.doomed, &c->all);
}

void conn_reap(struct net_stack *s)
{
    for (struct list *l; (l = list_pop_front(&s->tcp.doomed));) {
        struct conn *c = list_entry(l, struct conn, all);
        drop_rcvq(c);
        opts_unref(&s->tcp.opts, c->opts);
        cc_fini(&c->cc);
        rate_free(c->rate);
        heap_free(c);
    }
}

static void notify_user(struct conn *c, int err)
{
    struct net_stack *s = c->stack;
    s->tcp.depth++;
    if (c->flags & CF_DETACHED) {
        /* nobody listens */
    } else if (c->flags & CF_ACTIVE) { /* "then c is gone" */
        c->flags = (c->flags & ~CF_ACTIVE) | CF_DETACHED | CF_CLOSED_TOLD;
        s->hooks->connected(s->arg, c, err);
    } else if (!(c->flags & CF_CLOSED_TOLD)) {
        c->flags |= CF_CLOSED_TOLD;
        s->hooks->closed(s->arg, c, err);
    }
    s->tcp.depth--;
}

void conn_finish(struct conn *c, int err)
{
    struct net_stack *s = c->stack;
    if (c->flags & CF_DEAD) return;
    if (err == ETIMEDOUT && !conn_is_synchronised(c) && c->error_soft) err = c->error_soft; /* RFC 1122 4.2.3.9 */
    if (c->flags & CF_ACTIVE) s->n.tcp_failed++;
    c->flags |= CF_DEAD;
    c->error = (uint8_t)err;
    if (c->state != CONN_TIME_WAIT) conn_set_state(c, CONN_CLOSED);
    conn_timer_stop_all(c);
    conn_table_remove(&s->tcp.conns, hash_of(c), c);
    s->tcp.conn_count--;
    list_remove(&c->all);
    list_push_back(&s->tcp.ended, &c->all);
    list_remove(&c->dirty);
    path_close(s, &c->path);
    sndq_free(&c->sndq);
    inflight_free(&c->inflight);
    recover_free(c);
    conn_drop_reasm(c);
    if (c->flags & CF_ACCEPTING) { /* nobody knows of it: it goes without a word */
        listener_dequeue(c);
        c->flags |= CF_DETACHED;
    }
    notify_user(c, err);
    if (c->flags & CF_DETACHED) conn_doom(c);
}

/* FIN stands behind what was pushed; RFC 9293 3.10.4 changes the state now, and CF_FIN_SENT says when FIN has got
 * its number. */
static void queue_fin(struct conn *c)
{
    c->flags |= CF_FIN_QUEUED;
    if (c->state == CONN_ESTABLISHED) conn_set_state(c, CONN_FIN_WAIT_1);
    else if (c->state == CONN_CLOSE_WAIT) conn_set_state(c, CONN_LAST_ACK);
    conn_dirty(c);
}

int conn_shutdown(struct conn *c)
{
    if (c->flags & CF_DEAD) return -ENOTCONN;
    if (c->flags & CF_FIN_QUEUED) return -EPIPE;
    queue_fin(c);
    return 0;
}

void conn_abort(struct conn *c)
{
    c->flags = (c->flags | CF_DETACHED) & ~CF_ACTIVE;
    c->user = NULL;
    if (c->flags & CF_DEAD) {
        conn_doom(c);
        return;
    }
    /* RFC 9293 3.10.5: in SYN-SENT there is nobody to tell, in CLOSING, LAST-ACK and TIME-WAIT nothing. */
    if (c->state >= CONN_SYN_RECEIVED && c->state <= CONN_CLOSE_WAIT) tcp_send_reset(c);
    conn_finish(c, ECONNABORTED);
}

void conn_close(struct conn *c, nsec linger_ns)
{
    if (c->flags & CF_DEAD || c->state == CONN_SYN_SENT || linger_ns == 0 || c->rcvq || !reasm_is_empty(c->reasm)) {
        conn_abort(c); /* bytes nobody will read: the peer must not believe they were (RFC 2525 2.17) */
        return;
    }
    c->flags = (c->flags | CF_DETACHED) & ~CF_ACTIVE;
    c->user = NULL;
    if (!(c->flags & CF_FIN_QUEUED)) queue_fin(c);
    nsec end = linger_ns == NSEC_NEVER ? NSEC_NEVER : conn_now(c) + linger_ns;
    if (c->state == CONN_FIN_WAIT_2 && end > conn_now(c) + FIN_WAIT_2_NS) end = conn_now(c) + FIN_WAIT_2_NS;
    conn_timer_set(c, DL_KEEP, end); /* instead of keep-alive */
}

void conn_detached_timeout(struct conn *c)
{
    /* not all was acknowledged: the peer must not take it for an orderly end */
    if (c->state != CONN_FIN_WAIT_2) tcp_send_reset(c);
    conn_finish(c, ETIMEDOUT);
}

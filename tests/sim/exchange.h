/* SPDX-License-Identifier: MIT
 *
 * Two hosts that exchange streams both ways over several connections, by every way of pushing and at every pace. Each
 * stream's bytes are a function of its number and of their place, so whoever pops can tell from a byte alone whether it
 * is right. Written against demi/ alone: the same programs run over simulated sockets and over simulated frames.
 */
#ifndef TESTS_SIM_EXCHANGE_H
#define TESTS_SIM_EXCHANGE_H

#include "demi/tls.h"
#include "tests/sim/sim_test.h"

#define EXCHANGE_PORT 7000
#define STREAMS       6

/* --- both ways over many connections ------------------------------------------------------------------------------ */

/* One end of one connection, as its program sees it. */
struct side {
    struct world *w;
    struct rng rng;
    int qd;
    uint64_t out_id, in_id; /* which bytes */
    uint64_t out_goal, pushed, popped;
    demi_qtoken_t pop, nap, push;
    bool shut, saw_end, failed, lazy;
};

struct exchange {
    struct side sides[2][STREAMS];
    bool may_break;
    bool six;            /* over IPv6, which net hosts have */
    bool forged;         /* somebody else writes into the streams: bytes prove nothing */
    uint64_t give_up_ns; /* whoever is not through by then breaks off; 0: never */
    bool probes;         /* keep-alive: who only reads hears of a peer that has gone */
    uint64_t goal_max;
    demi_tls_context_t *tls[2]; /* of the listening and of the connecting host; NULL: in the clear */
    uint64_t over_ns[2];        /* when all streams of a host were over, since the start */
};

static inline uint8_t byte_at(uint64_t id, uint64_t at) { return (uint8_t)(hash_u64(at >> 3, id) >> (8 * (at & 7))); }

static inline void fill(uint64_t id, uint64_t at, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = byte_at(id, at + i);
}

static inline size_t first_wrong(uint64_t id, uint64_t at, const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] == byte_at(id, at + i)) i++;
    return i;
}

static inline bool is_over(const struct side *s) { return s->failed || (s->shut && s->saw_end && !s->push); }

static inline void give_up(struct side *s)
{
    s->failed = true;
    s->pop = s->nap = s->push = 0;
    demi_close(s->qd);
}

/* A piece of the stream by any way of pushing. */
static inline void push_some(struct side *s)
{
    size_t n = 1 + rng_below(&s->rng, rng_below(&s->rng, 3) ? 100 : 20000);
    if (n > s->out_goal - s->pushed) n = s->out_goal - s->pushed;
    int err;
    if (rng_below(&s->rng, 2)) {
        demi_sgarray_t sga = demi_sgaalloc(n);
        fill(s->out_id, s->pushed, sga.sga_segs[0].sgaseg_buf, n);
        err = demi_push(&s->push, s->qd, &sga);
        demi_sgafree(&sga);
    } else {
        uint8_t *p = demi_malloc(n);
        size_t cut = rng_below(&s->rng, n + 1);
        fill(s->out_id, s->pushed, p, n);
        struct iovec iov[2] = {{p, cut}, {p + cut, n - cut}};
        err = demi_pushv(&s->push, s->qd, iov, 2, DEMI_PUSH_HANDED_OVER);
        demi_free(p); /* its bytes stay until they have left */
    }
    if (err) give_up(s);
    else s->pushed += n;
}

static inline void ask(struct side *s)
{
    if (s->lazy && !rng_below(&s->rng, 4)) demi_timer(&s->nap, rng_below(&s->rng, MS(50)));
    else if (demi_pop(&s->pop, s->qd)) give_up(s);
}

static inline void go_on(struct side *s)
{
    if (!s->failed && !s->push && s->pushed < s->out_goal) push_some(s);
    if (!s->failed && !s->push && s->pushed == s->out_goal && !s->shut) {
        s->shut = true;
        if (demi_shutdown(s->qd, SHUT_WR)) give_up(s);
    }
    if (!s->failed && !s->pop && !s->nap && !s->saw_end) ask(s);
}

static inline void popped(struct side *s, const demi_qresult_t *qr)
{
    demi_sgarray_t sga = qr->qr_value.sga;
    const uint8_t *p = sga.sga_segs[0].sgaseg_buf;
    size_t n = sga.sga_segs[0].sgaseg_len, right = first_wrong(s->in_id, s->popped, p, n);
    const struct exchange *x = s->w->state;
    check(s->w, right == n || x->forged, "byte %llu of stream %llx is wrong", (unsigned long long)(s->popped + right),
          (unsigned long long)s->in_id);
    s->saw_end = n == 0;
    s->popped += n;
    demi_sgafree(&sga);
}

static inline void take_result(struct side *s, const demi_qresult_t *qr)
{
    struct exchange *x = s->w->state;
    if (qr->qr_opcode == DEMI_OPC_FAILED) {
        check(s->w, x->may_break, "failed with %s on a link that does not break", strerror((int)qr->qr_ret));
        if (!s->failed) give_up(s);
        return;
    }
    if (qr->qr_qt == s->pop) {
        s->pop = 0;
        popped(s, qr);
    } else if (qr->qr_qt == s->push) {
        s->push = 0;
    } else {
        s->nap = 0;
    }
    go_on(s);
}

static inline bool time_is_up(const struct exchange *x)
{
    return x->give_up_ns && demi_clock_ns() >= SIM_START_NS + x->give_up_ns;
}

/* Who breaks off does not stay to see his bytes confirmed. */
static inline void break_off(struct side *s)
{
    struct linger none = {.l_onoff = 1};
    demi_setsockopt(s->qd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    give_up(s);
}

/* All connections of one host until the last is over. */
static inline int serve(struct exchange *x, struct side *sides)
{
    struct timespec moment = {1, 0};
    for (int i = 0; i < STREAMS; i++) go_on(&sides[i]);
    for (;;) {
        int live = 0, n = 0;
        for (int i = 0; i < STREAMS; i++) {
            if (time_is_up(x) && !is_over(&sides[i])) break_off(&sides[i]);
            live += !is_over(&sides[i]);
        }
        if (!live) break;
        demi_qresult_t qrs[16];
        int err = demi_wait_batch(qrs, 16, &n, x->give_up_ns ? &moment : NULL);
        if (err && err != ETIMEDOUT) return -1;
        for (int k = 0; k < n; k++) {
            struct side *s = NULL;
            for (int i = 0; i < STREAMS; i++)
                if (qrs[k].qr_qt == sides[i].pop || qrs[k].qr_qt == sides[i].push || qrs[k].qr_qt == sides[i].nap)
                    s = &sides[i];
            if (s) take_result(s, &qrs[k]);
            else if (qrs[k].qr_opcode == DEMI_OPC_POP) demi_sgafree(&qrs[k].qr_value.sga);
        }
    }
    x->over_ns[sides == x->sides[1]] = demi_clock_ns() - SIM_START_NS;
    for (int i = 0; i < STREAMS; i++)
        if (!sides[i].failed) demi_close(sides[i].qd);
    sleep_ns(SEC(1800)); /* what the peer has not confirmed is sent again as long as somebody is here to do it */
    return 0;
}

static inline void side_init(struct world *w, struct side *s, int which, uint64_t i, int qd)
{
    struct exchange *x = w->state;
    s->w = w;
    s->qd = qd;
    if (x->tls[0])
        CHECK(w, x->may_break || !(which ? demi_tls_client(qd, x->tls[1], NULL) : demi_tls_server(qd, x->tls[0])));
    if (x->probes) CHECK(w, !keep_alive(qd, 60) || x->forged); /* it may be over already */
    rng_seed(&s->rng, hash_u64(i * 2 + (uint64_t)which, w->seed));
    s->out_id = hash_u64(i * 2 + (uint64_t)which, 1);
    s->in_id = hash_u64(i * 2 + !which, 1);
    s->out_goal = rng_below(&s->rng, x->goal_max);
    s->lazy = rng_below(&s->rng, 2);
}

/* -ETIMEDOUT: nobody came. */
static inline int accept_within(const struct exchange *x, int listener)
{
    struct timespec moment = {1, 0};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int err = demi_accept(&qt, listener);
    if (err) return -err;
    while ((err = demi_wait(&qr, qt, x->give_up_ns ? &moment : NULL)) == ETIMEDOUT && !time_is_up(x)) continue;
    if (err) {
        demi_cancel(qt);
        qr = wait_for(qt);
    }
    return qr.qr_opcode == DEMI_OPC_ACCEPT ? qr.qr_value.ares.qd : err ? -err : -(int)qr.qr_ret;
}

static inline bool all_have_come(const struct exchange *x, int which)
{
    int n = 0;
    for (int i = 0; i < STREAMS; i++) n += x->sides[which][i].w != NULL;
    return n == STREAMS;
}

static inline void forget_missing(struct exchange *x, int which)
{
    for (int i = 0; i < STREAMS; i++)
        if (!x->sides[which][i].w) x->sides[which][i].failed = true;
}

static inline int listening_host(void *arg)
{
    struct world *w = arg;
    struct exchange *x = w->state;
    int l = listen_at(x->six ? "fd00::a00:1" : "10.0.0.1", EXCHANGE_PORT, 4);
    while (!all_have_come(x, 0) && !time_is_up(x)) {
        int qd = accept_within(x, l);
        if (qd == -ETIMEDOUT) break;
        struct place from = {.size = sizeof from.v6};
        bool here = qd >= 0 && !demi_getpeername(qd, &from.sa, &from.size);
        /* its port says which it is; it stands where IPv6 has it */
        uint64_t n = ntohs(from.v4.sin_port) - (uint64_t)EXCHANGE_PORT;
        if (here && n < STREAMS && !x->sides[0][n].w) side_init(w, &x->sides[0][n], 0, n, qd);
        else if (qd >= 0) demi_close(qd);
        if (!CHECK(w, x->forged || (here && n < STREAMS))) break;
    }
    demi_close(l);
    if (!x->forged && !CHECK(w, all_have_come(x, 0))) return -1;
    forget_missing(x, 0);
    return serve(x, x->sides[0]);
}

static inline bool may_try_again(const struct exchange *x, int err)
{
    if (time_is_up(x)) return false;
    return err == -ECONNREFUSED || err == -ETIMEDOUT || err == -EHOSTUNREACH || (x->forged && err < 0);
}

static inline int connecting_host(void *arg)
{
    struct world *w = arg;
    struct exchange *x = w->state;
    for (uint64_t i = 0; i < STREAMS; i++) {
        int qd;
        struct place from = place_of(x->six ? "fd00::a00:2" : "10.0.0.2", (uint16_t)(EXCHANGE_PORT + i));
        do { /* until it listens, and a handshake gets through */
            qd = connect_from(&from, x->six ? "fd00::a00:1" : "10.0.0.1", EXCHANGE_PORT);
            if (qd < 0) sleep_ns(MS(1));
        } while (may_try_again(x, qd));
        if (qd < 0 && !CHECK(w, x->forged)) return -1;
        if (qd >= 0) side_init(w, &x->sides[1][i], 1, i, qd);
    }
    forget_missing(x, 1);
    return serve(x, x->sides[1]);
}

static inline void verify_exchange(struct world *w)
{
    struct exchange *x = w->state;
    for (int i = 0; i < STREAMS; i++) {
        for (int k = 0; k < 2; k++) {
            CHECK_EQUAL(w, x->sides[k][i].popped, x->sides[!k][i].out_goal);
            CHECK(w, x->sides[k][i].saw_end);
        }
    }
}

/* A stream that ended well is whole; one that broke is a beginning of it (checked byte by byte as it came). */
static inline void verify_breaking(struct world *w)
{
    struct exchange *x = w->state;
    for (int i = 0; i < STREAMS; i++) {
        for (int k = 0; k < 2; k++) {
            const struct side *in = &x->sides[k][i], *out = &x->sides[!k][i];
            CHECK(w, in->popped <= out->pushed);
            if (in->saw_end) CHECK(w, in->popped == out->out_goal);
            CHECK(w, is_over(in));
        }
    }
}

#endif

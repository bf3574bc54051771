/* SPDX-License-Identifier: MIT
 *
 * Flows of bytes from one host to another for as long as a scenario lasts, and what of them arrives in the part of that
 * time that is looked at: goodput, to be held against what the wire or a formula allows.
 */
#ifndef TESTS_SIM_FLOW_H
#define TESTS_SIM_FLOW_H

#include "tests/sim/net.h"

#include "tcp/tcp.h"

#define FLOWS_MAX 8
#define FLOW_PORT 5001
#define FLOW_PUSH 65536

struct flow {
    const char *cc;   /* NULL: the host's */
    uint64_t counted; /* bytes that arrived in the time looked at */
    demi_qtoken_t pop;
    int qd;
};

struct flows {
    struct world *w;
    unsigned count;
    uint64_t from_ns, to_ns; /* since the start of the run */
    uint32_t ahead_bytes;    /* pushed and not acknowledged: more than any window */
    struct flow all[FLOWS_MAX];
};

static inline double flow_bits_per_s(const struct flows *x, unsigned i)
{
    return (double)x->all[i].counted * 8e9 / (double)(x->to_ns - x->from_ns);
}

/* SIM_FLOW=1: windows as time goes by, to stderr. */
static inline void flow_tell(void *arg, struct conn *c)
{
    struct flows *x = arg;
    struct conn_info i;
    conn_info(c, &i);
    fprintf(stderr,
            "%10.3f ms port %u cwnd %u ssthresh %u flight %u lost %u sacked %u srtt %llu us state %u rexmits %llu "
            "reordering %u\n",
            (double)(sim_now(x->w->sim) - SIM_START_NS) / 1e6, conn_remote(c)->port, i.snd_cwnd_bytes / 1448,
            i.snd_ssthresh_bytes / 1448, i.unacked_segments, i.lost_segments, i.sacked_segments,
            (unsigned long long)i.srtt / 1000, i.ca_state, (unsigned long long)i.total_retransmits,
            i.reordering_segments);
}

static inline void flow_look(void *arg)
{
    struct flows *x = arg;
    struct net_stack *s = sim_net_host_stack(x->w->hosts[1]);
    if (s) stack_visit_conns(s, flow_tell, x);
    if (s) sim_at(x->w->sim, sim_now(x->w->sim) + MS(10), flow_look, x);
}

/* Takes what comes until the time is up. The flows are told apart by their ports: FLOW_PORT + number. */
static inline int flow_sink(void *arg)
{
    struct world *w = arg;
    struct flows *x = w->state;
    int listeners[FLOWS_MAX], n = 0;
    for (unsigned i = 0; i < x->count; i++) listeners[i] = listen_at("10.0.0.1", (uint16_t)(FLOW_PORT + i), 1);
    for (unsigned i = 0; i < x->count; i++) {
        x->all[i].qd = accept_on(listeners[i]);
        if (!CHECK(w, x->all[i].qd >= 0)) return -1;
        CHECK_EQUAL(w, demi_pop(&x->all[i].pop, x->all[i].qd), 0);
    }
    while (demi_clock_ns() < SIM_START_NS + x->to_ns) {
        demi_qresult_t qrs[16];
        if (demi_wait_batch(qrs, 16, &n, NULL)) return -1;
        for (int k = 0; k < n; k++) {
            struct flow *f = x->all;
            while (f < x->all + x->count && f->pop != qrs[k].qr_qt) f++;
            if (!CHECK(w, f < x->all + x->count && qrs[k].qr_opcode == DEMI_OPC_POP)) return -1;
            if (demi_clock_ns() >= SIM_START_NS + x->from_ns) f->counted += qrs[k].qr_value.sga.sga_segs[0].sgaseg_len;
            demi_sgafree(&qrs[k].qr_value.sga);
            CHECK_EQUAL(w, demi_pop(&f->pop, f->qd), 0);
        }
    }
    for (unsigned i = 0; i < x->count; i++) {
        demi_close(x->all[i].qd); /* with bytes unread: a reset, which ends the other side */
        demi_close(listeners[i]);
    }
    return 0;
}

/* Pushes as much as is taken, on all flows, until they break. */
static inline int flow_source(void *arg)
{
    struct world *w = arg;
    struct flows *x = w->state;
    int qds[FLOWS_MAX], n = 0;
    uint64_t waiting[FLOWS_MAX] = {0};
    unsigned live = x->count;
    char *bytes = demi_calloc(1, FLOW_PUSH); /* lent again and again: nobody looks at them */
    for (unsigned i = 0; i < x->count; i++) {
        while ((qds[i] = connect_to("10.0.0.1", (uint16_t)(FLOW_PORT + i))) < 0) sleep_ns(MS(1));
        const char *cc = x->all[i].cc;
        if (cc) CHECK_EQUAL(w, demi_setsockopt(qds[i], IPPROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc)), 0);
    }
    while (live) {
        for (unsigned i = 0; i < x->count; i++) {
            while (qds[i] >= 0 && waiting[i] < x->ahead_bytes) {
                struct iovec iov = {bytes, FLOW_PUSH};
                demi_qtoken_t qt;
                if (demi_pushv(&qt, qds[i], &iov, 1, 0)) break;
                demi_set_data(qt, (void *)(uintptr_t)(i + 1));
                waiting[i] += FLOW_PUSH;
            }
        }
        demi_qresult_t qrs[16];
        if (demi_wait_batch(qrs, 16, &n, NULL)) return -1;
        for (int k = 0; k < n; k++) {
            unsigned i = (unsigned)(uintptr_t)demi_result_data(&qrs[k]) - 1;
            waiting[i] -= FLOW_PUSH;
            if (qrs[k].qr_opcode != DEMI_OPC_FAILED || qds[i] < 0) continue;
            demi_close(qds[i]);
            qds[i] = -1;
            live--;
        }
    }
    demi_free(bytes);
    return 0;
}

/* Both ends; the wire there is `there`, the way back loses nothing and has the same delay. */
static inline struct flows *add_flows(struct world *w, const struct stack_config *sc, const struct sim_wire *there,
                                      unsigned count, uint64_t from_ns, uint64_t to_ns)
{
    struct flows *x = w->state = calloc(1, sizeof *x);
    struct sim_wire back = {.delay_ns = there->delay_ns};
    *x = (struct flows){
        .w = w, .count = count, .from_ns = from_ns, .to_ns = to_ns, .ahead_bytes = sc->limits.snd_buffer / 2};
    w->hosts[0] = sim_net_host_add(w->sim, "10.0.0.1", sc, flow_sink, w);
    w->hosts[1] = sim_net_host_add(w->sim, "10.0.0.2", sc, flow_source, w);
    sim_wire_set_oneway(w->sim, w->hosts[1], w->hosts[0], there);
    sim_wire_set_oneway(w->sim, w->hosts[0], w->hosts[1], &back);
    if (getenv("SIM_FLOW")) sim_at(w->sim, SIM_START_NS, flow_look, x);
    return x;
}

#endif

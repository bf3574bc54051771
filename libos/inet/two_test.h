/* SPDX-License-Identifier: MIT
 *
 * Two runtimes of one thread, each with a stack, joined by a wire in memory; the clock is virtual and jumps when
 * neither has anything to do. Whoever waits (through demi_*()) lets the other's loop turn, too; what completes there
 * lies ready until somebody enters it.
 */
#ifndef INET_TWO_TEST_H
#define INET_TWO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/inet/inet.h"
#include "libos/runtime/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call)           assert_int_equal(call, 0)
#define FAILS(error, call) assert_int_equal(call, error)
#define ADDR(a)            (struct sockaddr *)(a), sizeof *(a)
#define WIRE_FRAMES        4096
#define PORT               7

/* --- the wire ----------------------------------------------------------------------------------------------------- */

struct end {
    struct netdev dev; /* first */
    struct end *peer;
    struct frame in[WIRE_FRAMES];
    unsigned head, tail;
    bool cut;  /* what it sends is lost */
    bool full; /* it takes nothing */
    unsigned closed;
    struct runtime *rt;
    struct libos *libos;
};

static struct end ends[2];
static nsec now_ns;

static inline unsigned wire_recv(struct netdev *d, struct frame *out, unsigned max)
{
    struct end *e = (struct end *)d;
    unsigned n = 0;
    while (n < max && e->head != e->tail) out[n++] = e->in[e->head++ % WIRE_FRAMES];
    d->n.rx_frames += n;
    return n;
}

static inline unsigned wire_send(struct netdev *d, struct frame *f, unsigned n)
{
    struct end *e = (struct end *)d, *to = e->peer;
    if (e->full) return 0;
    for (unsigned i = 0; i < n; i++) {
        struct frame g = {.len = f[i].len};
        if (!e->cut) {
            assert_true(to->tail - to->head < WIRE_FRAMES);
            g.b = buf_take(f[i].len); /* as a wire does: what is sent and what comes are different memory */
            assert_int_equal(buf_chain_copy(f[i].b, 0, buf_put_back(g.b, f[i].len), f[i].len), f[i].len);
            to->in[to->tail++ % WIRE_FRAMES] = g;
        }
        buf_unref(f[i].b);
    }
    d->n.tx_frames += n;
    return n;
}

static inline void wire_close(struct netdev *d)
{
    struct end *e = (struct end *)d;
    while (e->head != e->tail) buf_unref(e->in[e->head++ % WIRE_FRAMES].b);
    e->closed++;
}

static const struct netdev_ops wire_ops = {.name = "wire", .recv = wire_recv, .send = wire_send, .close = wire_close};

static inline int fail_start(struct runtime *rt, const struct demi_config *conf, struct libos **out) { return -ENODEV; }

static inline struct stack_config config_of(unsigned i)
{
    struct stack_config sc = {.arp = true, .icmp_echo = true, .ack_turns = true, .limits.snd_buffer = 1 << 20};
    memset(sc.seed, (int)i + 1, sizeof sc.seed);
    return sc;
}

static unsigned starting;
static inline int wire_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct end *e = &ends[starting];
    struct stack_config sc = config_of(starting);
    return inet_start_on(rt, &e->dev, &sc, out);
}
static const struct libos_ops wire_libos = {.name = "wire", .start = wire_start, INET_LIBOS_OPS};
static const struct libos_ops bad_libos = {.name = "bad", .start = fail_start, INET_LIBOS_OPS};

static inline struct end *end_of(const struct runtime *rt) { return rt == ends[0].rt ? &ends[0] : &ends[1]; }

static inline uint64_t clock_now(void *arg) { return now_ns; }

static inline uint64_t deadline_of(struct runtime *rt)
{
    uint64_t at = wheel_next(&rt->wheel), of_libos = inet_next_deadline(rt->libos[0]);
    return at < of_libos ? at : of_libos;
}

/* The one that runs has nothing to do: the other turns; if neither has anything, time passes. */
static inline int clock_idle(void *arg, uint64_t deadline)
{
    struct end *e = end_of(runtime_current()), *other = e->peer;
    if (!other->rt) { /* the last one: its network has gone */
        now_ns = deadline > now_ns && deadline != UINT64_MAX ? deadline : now_ns + 1000000;
        return 0;
    }
    runtime_enter(other->rt);
    unsigned n = runtime_turn(other->rt, true);
    runtime_flush(other->rt);
    uint64_t at = deadline_of(other->rt);
    runtime_enter(e->rt);
    if (n || e->head != e->tail || other->head != other->tail) return 0;
    if (at < deadline) deadline = at;
    if (deadline == UINT64_MAX) return -EDEADLK;
    if (deadline > now_ns) now_ns = deadline;
    return 0;
}

static inline void add_addresses(struct net_stack *s, unsigned i)
{
    struct ip_addr a;
    char text[32];
    snprintf(text, sizeof text, "10.0.0.%u", i + 1);
    OK(addr_parse(text, &a));
    OK(stack_add_address(s, &a, 24, true));
    snprintf(text, sizeof text, "fd00::%u", i + 1);
    OK(addr_parse(text, &a));
    OK(stack_add_address(s, &a, 64, true));
}

static inline int set_up(void **state)
{
    static const struct runtime_ops time = {.now_ns = clock_now, .idle = clock_idle};
    now_ns = 1000000000;
    memset(ends, 0, sizeof ends);
    for (unsigned i = 0; i < 2; i++) {
        struct end *e = &ends[i];
        e->peer = &ends[!i];
        e->dev.ops = &wire_ops;
        e->dev.caps = (struct netdev_caps){
            .mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)}, .mtu = 1500, .segs_max = NETDEV_SEGS_MAX, .own_mac = true};
        OK(runtime_new(&e->rt, &time, i));
    }
    for (unsigned i = 0; i < 2; i++) {
        starting = i;
        FAILS(-ENODEV, runtime_add_libos(ends[i].rt, &bad_libos, NULL));
        OK(runtime_add_libos(ends[i].rt, &wire_libos, NULL));
        ends[i].libos = ends[i].rt->libos[0];
        add_addresses(inet_stack(ends[i].libos), i);
    }
    runtime_enter(ends[0].rt);
    return 0;
}

static inline int tear_down(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        stack_check(inet_stack(ends[i].libos));
        runtime_enter(ends[i].rt);
        runtime_free(ends[i].rt);
        ends[i].rt = NULL;
        assert_int_equal(ends[i].closed, 1);
    }
    runtime_enter(NULL);
    return 0;
}

/* --- the programs ------------------------------------------------------------------------------------------------- */

static inline void on(unsigned i) { runtime_enter(ends[i].rt); }

static const struct timespec poll_once = {0, 0}, minute = {60, 0};

static inline demi_qresult_t wait_for(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    OK(demi_wait(&qr, qt, &minute));
    return qr;
}
static inline demi_qresult_t wait_ok(demi_qtoken_t qt, demi_opcode_t opcode)
{
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, opcode);
    return qr;
}
static inline int wait_failed(demi_qtoken_t qt)
{
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    return (int)qr.qr_ret;
}
static inline void not_yet(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    for (int i = 0; i < 5; i++) FAILS(ETIMEDOUT, demi_wait(&qr, qt, &poll_once));
}

static inline struct sockaddr_in v4(unsigned host, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x0a000000 + host)};
}
static inline struct sockaddr_in6 v6(unsigned host, uint16_t port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    a.sin6_addr.s6_addr[0] = 0xfd;
    a.sin6_addr.s6_addr[15] = (uint8_t)host;
    return a;
}

static inline int listen_on(const struct sockaddr *addr, socklen_t size)
{
    int qd;
    OK(demi_socket(&qd, addr->sa_family, SOCK_STREAM, 0));
    OK(demi_bind(qd, addr, size));
    OK(demi_listen(qd, 64));
    return qd;
}

struct pair {
    int listener, server, client; /* the client's is of end 0, the others of end 1 */
};

static inline struct pair connect_pair(const struct sockaddr *addr, socklen_t size)
{
    struct pair p;
    demi_qtoken_t accepting, connecting;
    on(1);
    p.listener = listen_on(addr, size);
    OK(demi_accept(&accepting, p.listener));
    on(0);
    OK(demi_socket(&p.client, addr->sa_family, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, p.client, addr, size));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    on(1);
    demi_qresult_t accepted = wait_ok(accepting, DEMI_OPC_ACCEPT);
    p.server = accepted.qr_value.ares.qd;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    OK(demi_getpeername(p.server, (struct sockaddr *)&peer, &peer_size));
    assert_int_equal(peer.ss_family, addr->sa_family);
    if (addr->sa_family == AF_INET6) assert_memory_equal(&accepted.qr_value.ares6.addr, &peer, peer_size);
    else assert_memory_equal(&accepted.qr_value.ares.addr, &peer, peer_size);
    return p;
}
static inline struct pair pair_new(void)
{
    struct sockaddr_in addr = v4(2, PORT);
    return connect_pair(ADDR(&addr));
}

static inline demi_qtoken_t push(int qd, size_t n, unsigned seed)
{
    demi_sgarray_t sga = demi_sgaalloc(n);
    demi_qtoken_t qt;
    for (size_t i = 0; i < n; i++) ((uint8_t *)sga.sga_segs[0].sgaseg_buf)[i] = (uint8_t)((seed + i) % 251);
    OK(demi_push(&qt, qd, &sga));
    OK(demi_sgafree(&sga));
    return qt;
}
static inline void pop(int qd, size_t n, unsigned seed)
{
    for (size_t got = 0; got < n;) {
        demi_qtoken_t qt;
        OK(demi_pop(&qt, qd));
        demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
        const demi_sgaseg_t *seg = &qr.qr_value.sga.sga_segs[0];
        assert_in_range(seg->sgaseg_len, 1, n - got);
        for (size_t i = 0; i < seg->sgaseg_len; i++)
            assert_int_equal(((uint8_t *)seg->sgaseg_buf)[i], (seed + got + i) % 251);
        got += seg->sgaseg_len;
        OK(demi_sgafree(&qr.qr_value.sga));
    }
}
static inline void pop_end(int qd)
{
    demi_qtoken_t qt;
    OK(demi_pop(&qt, qd));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
}

struct wanted {
    const char *name;
    uint64_t value;
    bool found;
};
static inline void look(void *arg, const char *name, uint64_t value)
{
    struct wanted *w = arg;
    if (strcmp(name, w->name)) return;
    w->value = value;
    w->found = true;
}
static inline uint64_t counter(const char *name)
{
    struct wanted w = {.name = name};
    demi_counters(look, &w);
    assert_true(w.found);
    return w.value;
}

#define inet_unit_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif

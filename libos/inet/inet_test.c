/* SPDX-License-Identifier: MIT
 *
 * Two runtimes of one thread, each with a stack, joined by a wire in memory; the clock is virtual and jumps when neither has anything to do.
 * Whoever waits (through demi_*()) lets the other's loop turn, too; what completes there lies ready until somebody enters it.
 */
#include "libos/inet/inet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc/heap.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/inet/tcp_info.h"
#include "libos/runtime/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call)           assert_int_equal(call, 0)
#define FAILS(error, call) assert_int_equal(call, error)
#define ADDR(a)            (struct sockaddr *)(a), sizeof *(a)
#define WIRE_FRAMES        4096
#define PORT               7

/* --- the wire ------------------------------------------------------------------------------------------------------------------ */

struct end {
    struct netdev dev; /* first */
    struct end *peer;
    struct frame in[WIRE_FRAMES];
    unsigned head, tail;
    bool cut;          /* what it sends is lost */
    bool full;         /* it takes nothing */
    unsigned closed;
    struct runtime *rt;
    struct libos *libos;
};

static struct end ends[2];
static nsec now_ns;

static unsigned wire_recv(struct netdev *d, struct frame *out, unsigned max)
{
    struct end *e = (struct end *)d;
    unsigned n = 0;
    while (n < max && e->head != e->tail) out[n++] = e->in[e->head++ % WIRE_FRAMES];
    d->n.rx_frames += n;
    return n;
}

static unsigned wire_send(struct netdev *d, struct frame *f, unsigned n)
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

static void wire_close(struct netdev *d)
{
    struct end *e = (struct end *)d;
    while (e->head != e->tail) buf_unref(e->in[e->head++ % WIRE_FRAMES].b);
    e->closed++;
}

static const struct netdev_ops wire_ops = {.name = "wire", .recv = wire_recv, .send = wire_send, .close = wire_close};

static int fail_start(struct runtime *rt, const struct config *conf, struct libos **out) { return -ENODEV; }

static struct stack_config config_of(unsigned i)
{
    struct stack_config sc = {.arp = true, .icmp_echo = true, .ack_turns = true, .limits.snd_buffer = 1 << 20};
    memset(sc.seed, (int)i + 1, sizeof sc.seed);
    return sc;
}

static unsigned starting;
static int wire_start(struct runtime *rt, const struct config *conf, struct libos **out)
{
    struct end *e = &ends[starting];
    struct stack_config sc = config_of(starting);
    return inet_start_on(rt, &e->dev, &sc, out);
}
static const struct libos_ops wire_libos = {.name = "wire", .start = wire_start, INET_LIBOS_OPS};
static const struct libos_ops bad_libos = {.name = "bad", .start = fail_start, INET_LIBOS_OPS};

static struct end *end_of(const struct runtime *rt) { return rt == ends[0].rt ? &ends[0] : &ends[1]; }

static uint64_t clock_now(void *arg) { return now_ns; }

static uint64_t deadline_of(struct runtime *rt)
{
    uint64_t at = wheel_next(&rt->wheel), of_libos = inet_next_deadline(rt->libos[0]);
    return at < of_libos ? at : of_libos;
}

/* The one that runs has nothing to do: the other turns; if neither has anything, time passes. */
static int clock_idle(void *arg, uint64_t deadline)
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

static void add_addresses(struct net_stack *s, unsigned i)
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

static int set_up(void **state)
{
    static const struct runtime_ops time = {.now_ns = clock_now, .idle = clock_idle};
    now_ns = 1000000000;
    memset(ends, 0, sizeof ends);
    for (unsigned i = 0; i < 2; i++) {
        struct end *e = &ends[i];
        e->peer = &ends[!i];
        e->dev.ops = &wire_ops;
        e->dev.caps = (struct netdev_caps){.mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)}, .mtu = 1500, .segs_max = NETDEV_SEGS_MAX, .own_mac = true};
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

static int tear_down(void **state)
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

/* --- the programs -------------------------------------------------------------------------------------------------------------- */

static void on(unsigned i) { runtime_enter(ends[i].rt); }

static const struct timespec poll_once = {0, 0}, minute = {60, 0};

static demi_qresult_t wait_for(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    OK(demi_wait(&qr, qt, &minute));
    return qr;
}
static demi_qresult_t wait_ok(demi_qtoken_t qt, demi_opcode_t opcode)
{
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, opcode);
    return qr;
}
static int wait_failed(demi_qtoken_t qt)
{
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    return (int)qr.qr_ret;
}
static void not_yet(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    for (int i = 0; i < 5; i++) FAILS(ETIMEDOUT, demi_wait(&qr, qt, &poll_once));
}

static struct sockaddr_in v4(unsigned host, uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x0a000000 + host)};
}
static struct sockaddr_in6 v6(unsigned host, uint16_t port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    a.sin6_addr.s6_addr[0] = 0xfd;
    a.sin6_addr.s6_addr[15] = (uint8_t)host;
    return a;
}

static int listen_on(const struct sockaddr *addr, socklen_t size)
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

static struct pair connect_pair(const struct sockaddr *addr, socklen_t size)
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
    p.server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    return p;
}
static struct pair pair_new(void)
{
    struct sockaddr_in addr = v4(2, PORT);
    return connect_pair(ADDR(&addr));
}

static demi_qtoken_t push(int qd, size_t n, unsigned seed)
{
    demi_sgarray_t sga = demi_sgaalloc(n);
    demi_qtoken_t qt;
    for (size_t i = 0; i < n; i++) ((uint8_t *)sga.sga_segs[0].sgaseg_buf)[i] = (uint8_t)((seed + i) % 251);
    OK(demi_push(&qt, qd, &sga));
    OK(demi_sgafree(&sga));
    return qt;
}
static void pop(int qd, size_t n, unsigned seed)
{
    for (size_t got = 0; got < n;) {
        demi_qtoken_t qt;
        OK(demi_pop(&qt, qd));
        demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
        const demi_sgaseg_t *seg = &qr.qr_value.sga.sga_segs[0];
        assert_in_range(seg->sgaseg_len, 1, n - got);
        for (size_t i = 0; i < seg->sgaseg_len; i++) assert_int_equal(((uint8_t *)seg->sgaseg_buf)[i], (seed + got + i) % 251);
        got += seg->sgaseg_len;
        OK(demi_sgafree(&qr.qr_value.sga));
    }
}
static void pop_end(int qd)
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
static void look(void *arg, const char *name, uint64_t value)
{
    struct wanted *w = arg;
    if (strcmp(name, w->name)) return;
    w->value = value;
    w->found = true;
}
static uint64_t counter(const char *name)
{
    struct wanted w = {.name = name};
    demi_counters(look, &w);
    assert_true(w.found);
    return w.value;
}

/* --- streams ------------------------------------------------------------------------------------------------------------------- */

static void echo(struct pair p)
{
    static const size_t sizes[] = {1, 100, 1448, 5000, 65535};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        on(0);
        demi_qtoken_t there = push(p.client, sizes[i], i);
        on(1);
        pop(p.server, sizes[i], i);
        demi_qtoken_t back = push(p.server, sizes[i], i + 7);
        on(0);
        pop(p.client, sizes[i], i + 7);
        wait_ok(there, DEMI_OPC_PUSH);
        on(1);
        wait_ok(back, DEMI_OPC_PUSH);
    }
}

static void test_streams_carry_bytes_both_ways_over_ipv4(void **state) { echo(pair_new()); }

static void test_streams_carry_bytes_both_ways_over_ipv6(void **state)
{
    struct sockaddr_in6 addr = v6(2, PORT), peer;
    socklen_t size = sizeof peer;
    struct pair p = connect_pair(ADDR(&addr));
    OK(demi_getpeername(p.server, (struct sockaddr *)&peer, &size));
    assert_int_equal(size, sizeof peer);
    addr = v6(1, 0);
    assert_memory_equal(&peer.sin6_addr, &addr.sin6_addr, 16);
    echo(p);
}

static void test_an_ipv6_wildcard_takes_ipv4_unless_it_is_told_not_to(void **state)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)}, peer;
    struct sockaddr_in addr = v4(2, PORT), any4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    socklen_t size = sizeof peer;
    demi_qtoken_t accepting, connecting;
    int client, other, yes = 1;
    on(1);
    int listener = listen_on(ADDR(&any));
    OK(demi_accept(&accepting, listener));
    on(0);
    OK(demi_socket(&client, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, client, ADDR(&addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    on(1);
    int server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    OK(demi_getpeername(server, (struct sockaddr *)&peer, &size));
    assert_true(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    OK(demi_socket(&other, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, demi_bind(other, ADDR(&any4)));
    OK(demi_close(listener));

    OK(demi_socket(&listener, AF_INET6, SOCK_STREAM, 0));
    OK(demi_setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes));
    OK(demi_bind(listener, ADDR(&any)));
    FAILS(EINVAL, demi_setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes));
    OK(demi_bind(other, ADDR(&any4))); /* both may be there now */
}

static void test_a_push_completes_when_the_peer_has_acknowledged_it(void **state)
{
    struct pair p = pair_new();
    on(0);
    ends[1].cut = true; /* no acknowledgement comes through */
    demi_qtoken_t qt = push(p.client, 100, 1);
    not_yet(qt);
    on(1);
    pop(p.server, 100, 1);
    on(0);
    not_yet(qt);
    ends[1].cut = false;
    wait_ok(qt, DEMI_OPC_PUSH);
}

static void test_a_push_handed_over_completes_at_once_and_arrives(void **state)
{
    struct pair p = pair_new();
    char *large = demi_malloc(5000);
    struct iovec iov[] = {{large, 5000}};
    demi_qtoken_t qt, none = 1;
    demi_qresult_t qr;
    for (unsigned i = 0; i < 5000; i++) large[i] = (char)(i % 251);
    on(0);
    ends[1].cut = true;
    OK(demi_pushv(&qt, p.client, iov, 1, DEMI_PUSH_HANDED_OVER));
    OK(demi_wait(&qr, qt, &poll_once));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_PUSH);
    assert_true(demi_is_pinned(large)); /* it may still be sent again */
    OK(demi_pushv(&none, p.client, iov, 1, DEMI_PUSH_NO_TOKEN));
    assert_true(none == 0);
    ends[1].cut = false;
    on(1);
    pop(p.server, 5000, 0);
    pop(p.server, 5000, 0);
    on(0);
    while (demi_is_pinned(large)) demi_wait(&qr, 0, &poll_once), now_ns += 1000000, runtime_turn(ends[1].rt, true), runtime_turn(ends[0].rt, true);
    demi_free(large);
}

static void test_a_reply_carries_the_acknowledgement_of_its_request(void **state)
{
    struct pair p = pair_new();
    on(1);
    for (unsigned i = 0; i < 10; i++) {
        on(0);
        push(p.client, 50, i);
        on(1);
        pop(p.server, 50, i);
        uint64_t acks = counter("tcp.pure_acks_sent"), segments = counter("tcp.tx_segments");
        push(p.server, 50, i);
        on(0);
        pop(p.client, 50, i);
        on(1);
        assert_int_equal(counter("tcp.pure_acks_sent"), acks);
        assert_int_equal(counter("tcp.tx_segments"), segments + 1);
    }
}

static void test_shutdown_ends_one_direction(void **state)
{
    struct pair p = pair_new();
    demi_sgarray_t sga = demi_sgaalloc(10);
    demi_qtoken_t qt;
    on(0);
    push(p.client, 3000, 2);
    OK(demi_shutdown(p.client, SHUT_WR));
    FAILS(EPIPE, demi_push(&qt, p.client, &sga));
    on(1);
    pop(p.server, 3000, 2);
    pop_end(p.server);
    pop_end(p.server);
    push(p.server, 2000, 3);
    on(0);
    pop(p.client, 2000, 3);
    on(1);
    OK(demi_close(p.server));
    on(0);
    pop_end(p.client);
    OK(demi_sgafree(&sga));
}

static void test_a_socket_shut_for_reading_gives_what_it_has_and_then_the_end(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t first, second;
    on(0);
    push(p.client, 500, 2);
    on(1);
    OK(demi_pop(&first, p.server));
    wait_ok(first, DEMI_OPC_POP);
    on(0);
    wait_ok(push(p.client, 300, 3), DEMI_OPC_PUSH);
    on(1);
    OK(demi_shutdown(p.server, SHUT_RD));
    pop(p.server, 300, 3);
    OK(demi_pop(&second, p.server));
    assert_int_equal(wait_ok(second, DEMI_OPC_POP).qr_value.sga.sga_segs[0].sgaseg_len, 0);
}

static void test_linger_of_zero_resets(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t qt;
    on(1);
    OK(demi_pop(&qt, p.server));
    on(0);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    on(1);
    assert_int_equal(wait_failed(qt), ECONNRESET);
    pop_end(p.server); /* said once */
    demi_sgarray_t sga = demi_sgaalloc(10);
    FAILS(EPIPE, demi_push(&qt, p.server, &sga));
    OK(demi_sgafree(&sga));
}

static void test_what_came_before_a_reset_can_be_popped(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t qt;
    on(0);
    wait_ok(push(p.client, 4000, 5), DEMI_OPC_PUSH);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    on(1);
    demi_timer(&qt, 1000000);
    wait_ok(qt, DEMI_OPC_TIMER);
    pop(p.server, 4000, 5);
    OK(demi_pop(&qt, p.server));
    assert_int_equal(wait_failed(qt), ECONNRESET);
}

static void test_close_sends_what_was_pushed_and_ends_tokens(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t pops[3], pushed;
    on(0);
    for (int i = 0; i < 3; i++) OK(demi_pop(&pops[i], p.client));
    ends[0].cut = true;
    pushed = push(p.client, 60000, 4);
    OK(demi_close(p.client));
    ends[0].cut = false;
    for (int i = 0; i < 3; i++) assert_int_equal(wait_failed(pops[i]), ECANCELED);
    assert_int_equal(wait_failed(pushed), ECANCELED);
    FAILS(EBADF, demi_close(p.client));
    on(1);
    pop(p.server, 60000, 4);
    pop_end(p.server);
}

static void test_cancel_ends_pops_and_accepts_and_nothing_else(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t accepting, popping, pushing, connecting;
    on(1);
    OK(demi_accept(&accepting, p.listener));
    OK(demi_pop(&popping, p.server));
    OK(demi_cancel(accepting));
    OK(demi_cancel(popping));
    assert_int_equal(wait_failed(accepting), ECANCELED);
    assert_int_equal(wait_failed(popping), ECANCELED);
    ends[1].cut = true;
    pushing = push(p.server, 10, 0);
    FAILS(EBUSY, demi_cancel(pushing));
    struct sockaddr_in addr = v4(1, 99);
    int qd;
    OK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, qd, ADDR(&addr)));
    FAILS(EBUSY, demi_cancel(connecting));
    OK(demi_close(qd));
    assert_int_equal(wait_failed(connecting), ECANCELED);
}

static void test_a_full_connection_refuses_pushes_until_there_is_room(void **state)
{
    struct pair p = pair_new();
    int size = 20000;
    demi_qtoken_t qt, last = 0;
    on(0);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    ends[1].cut = true;
    demi_sgarray_t sga = demi_sgaalloc(9000);
    memset(sga.sga_segs[0].sgaseg_buf, 0, 9000);
    int err = 0;
    unsigned taken = 0;
    for (; taken < 100 && !(err = demi_push(&qt, p.client, &sga)); taken++) last = qt;
    assert_int_equal(err, EBUSY);
    assert_in_range(taken, 2, 5);
    assert_true(counter("inet.push_busy") > 0);
    ends[1].cut = false;
    wait_ok(last, DEMI_OPC_PUSH);
    OK(demi_push(&qt, p.client, &sga));
    OK(demi_sgafree(&sga));
}

static void test_a_device_that_is_full_loses_nothing(void **state)
{
    struct pair p = pair_new();
    on(0);
    ends[0].full = true;
    demi_qtoken_t qt = push(p.client, 50000, 8);
    not_yet(qt);
    ends[0].full = false;
    on(1);
    pop(p.server, 50000, 8);
    on(0);
    wait_ok(qt, DEMI_OPC_PUSH);
    assert_true(counter("inet.tx_stuck") > 0);
}

static void test_nobody_listens_nobody_answers_nobody_is_there(void **state)
{
    struct sockaddr_in refused = v4(2, 99), nobody = v4(77, 99), foreign = v4(1, 99);
    foreign.sin_addr.s_addr = htonl(0xc6336401);
    demi_qtoken_t qt;
    int qd;
    OK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&qt, qd, ADDR(&refused)));
    assert_int_equal(wait_failed(qt), ECONNREFUSED);
    OK(demi_connect(&qt, qd, ADDR(&foreign)));
    assert_int_equal(wait_failed(qt), ENETUNREACH);
    OK(demi_connect(&qt, qd, ADDR(&nobody)));
    demi_qresult_t qr;
    OK(demi_wait(&qr, qt, NULL));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_true(qr.qr_ret == EHOSTUNREACH || qr.qr_ret == ETIMEDOUT);
}

static void test_a_thousand_connections_are_small_and_leave_nothing(void **state)
{
    enum { COUNT = 1000 };
    static int clients[COUNT], servers[COUNT];
    struct sockaddr_in addr = v4(2, PORT);
    demi_qtoken_t accepting, connecting;
    on(1);
    int listener = listen_on(ADDR(&addr));
    size_t server_bytes = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        on(1);
        OK(demi_accept(&accepting, listener));
        on(0);
        size_t before = mem_used();
        OK(demi_socket(&clients[i], AF_INET, SOCK_STREAM, 0));
        OK(demi_connect(&connecting, clients[i], ADDR(&addr)));
        wait_ok(connecting, DEMI_OPC_CONNECT);
        on(1);
        servers[i] = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
        server_bytes += (mem_used() - before) / 2;
    }
    assert_in_range(server_bytes / COUNT, 1, 1100); /* and 128 for the op of its pop */
    for (unsigned i = 0; i < COUNT; i++) {
        on(0);
        OK(demi_close(clients[i]));
        on(1);
        OK(demi_close(servers[i]));
    }
}

/* --- addresses ----------------------------------------------------------------------------------------------------------------- */

static void test_bind_takes_own_addresses_and_port_0(void **state)
{
    struct sockaddr_in mine = v4(1, 0), yours = v4(2, 80), got;
    socklen_t size = sizeof got;
    int a, b;
    OK(demi_socket(&a, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRNOTAVAIL, demi_bind(a, ADDR(&yours)));
    OK(demi_bind(a, ADDR(&mine)));
    OK(demi_getsockname(a, (struct sockaddr *)&got, &size));
    assert_in_range(ntohs(got.sin_port), 1024, 65535);
    OK(demi_socket(&b, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, demi_bind(b, ADDR(&got)));
    OK(demi_listen(a, 1));
    OK(demi_close(a));
    OK(demi_bind(b, ADDR(&got)));
}

static void test_two_may_share_a_port_if_both_say_so(void **state)
{
    struct sockaddr_in addr = v4(1, 80);
    int qd[3], yes = 1;
    for (int i = 0; i < 3; i++) OK(demi_socket(&qd[i], AF_INET, SOCK_STREAM, 0));
    for (int i = 0; i < 2; i++) OK(demi_setsockopt(qd[i], SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
    OK(demi_bind(qd[0], ADDR(&addr)));
    OK(demi_bind(qd[1], ADDR(&addr)));
    FAILS(EADDRINUSE, demi_bind(qd[2], ADDR(&addr)));
}

static void test_unix_sockets_are_not_ours(void **state)
{
    int qd;
    FAILS(ENOTSUP, demi_socket(&qd, AF_UNIX, SOCK_STREAM, 0)); /* and in simulated time nobody's */
}

/* --- datagrams ----------------------------------------------------------------------------------------------------------------- */

static void test_datagrams_arrive_whole_with_their_sender(void **state)
{
    static const size_t sizes[] = {1, 1472, 1473, 9000, 65507};
    struct sockaddr_in to = v4(2, 53);
    demi_qtoken_t pushing, popping;
    int a, b;
    on(1);
    OK(demi_socket(&b, AF_INET, SOCK_DGRAM, 0));
    FAILS(EDESTADDRREQ, demi_pop(&popping, b));
    OK(demi_bind(b, ADDR(&to)));
    on(0);
    OK(demi_socket(&a, AF_INET, SOCK_DGRAM, 0));
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        on(0);
        demi_sgarray_t sga = demi_sgaalloc(sizes[i]);
        memset(sga.sga_segs[0].sgaseg_buf, (int)i, sizes[i]);
        OK(demi_pushto(&pushing, a, &sga, ADDR(&to)));
        OK(demi_sgafree(&sga));
        wait_ok(pushing, DEMI_OPC_PUSH);
        on(1);
        OK(demi_pop(&popping, b));
        demi_qresult_t qr = wait_ok(popping, DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, sizes[i]);
        assert_int_equal(qr.qr_value.sga.sga_addr.sin_addr.s_addr, v4(1, 0).sin_addr.s_addr);
        struct sockaddr_in back = qr.qr_value.sga.sga_addr;
        OK(demi_pushto(&pushing, b, &qr.qr_value.sga, ADDR(&back)));
        OK(demi_sgafree(&qr.qr_value.sga));
        on(0);
        OK(demi_pop(&popping, a));
        qr = wait_ok(popping, DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, sizes[i]);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
}

static void test_a_connected_datagram_socket_hears_that_nobody_listens(void **state)
{
    struct sockaddr_in6 to = v6(2, 5353);
    demi_qtoken_t qt, popping;
    int qd;
    OK(demi_socket(&qd, AF_INET6, SOCK_DGRAM, 0));
    OK(demi_connect(&qt, qd, ADDR(&to)));
    wait_ok(qt, DEMI_OPC_CONNECT);
    OK(demi_pop(&popping, qd));
    wait_ok(push(qd, 20, 0), DEMI_OPC_PUSH);
    assert_int_equal(wait_failed(popping), ECONNREFUSED);
}

/* --- options ------------------------------------------------------------------------------------------------------------------- */

static int get(int qd, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof v;
    OK(demi_getsockopt(qd, level, name, &v, &len));
    return v;
}

static void test_options_are_kept_and_nonsense_is_refused(void **state)
{
    static const struct {
        int level, name, value;
    } all[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},     {SOL_SOCKET, SO_RCVBUF, 100000},    {SOL_SOCKET, SO_SNDBUF, 50000},
        {IPPROTO_TCP, TCP_NODELAY, 0},     {IPPROTO_TCP, TCP_NODELAY, 1},      {IPPROTO_TCP, TCP_CORK, 1},
        {IPPROTO_TCP, TCP_QUICKACK, 1},    {IPPROTO_TCP, TCP_KEEPIDLE, 10},    {IPPROTO_TCP, TCP_KEEPINTVL, 3},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},     {IPPROTO_TCP, TCP_USER_TIMEOUT, 9}, {IPPROTO_IP, IP_TTL, 33},
        {IPPROTO_IP, IP_TOS, 0x20},        {SOL_SOCKET, SO_REUSEADDR, 1},      {SOL_SOCKET, SO_BROADCAST, 1},
    };
    struct pair p = pair_new();
    int fresh, v = 1, sockets[3];
    on(1);
    OK(demi_socket(&fresh, AF_INET, SOCK_STREAM, 0));
    sockets[0] = fresh, sockets[1] = p.server, sockets[2] = p.listener;
    for (unsigned k = 0; k < 3; k++) {
        assert_int_equal(get(sockets[k], IPPROTO_TCP, TCP_NODELAY), 1);
        for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
            OK(demi_setsockopt(sockets[k], all[i].level, all[i].name, &all[i].value, sizeof v));
            assert_int_equal(get(sockets[k], all[i].level, all[i].name), all[i].value);
        }
    }
    assert_int_equal(get(p.listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
    assert_int_equal(get(p.server, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    FAILS(ENOTSUP, demi_setsockopt(fresh, 1234, 1, &v, sizeof v));
    FAILS(ENOPROTOOPT, demi_setsockopt(fresh, SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v));
    FAILS(ENOPROTOOPT, demi_setsockopt(fresh, IPPROTO_TCP, TCP_DEFER_ACCEPT, &v, sizeof v));
    FAILS(EINVAL, demi_setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &v, 2));
    FAILS(EINVAL, demi_setsockopt(fresh, IPPROTO_TCP, TCP_KEEPCNT, &(int){0}, sizeof v));
    FAILS(EINVAL, demi_setsockopt(fresh, IPPROTO_IP, IP_TTL, &(int){256}, sizeof v));
    FAILS(ENOENT, demi_setsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, "warp", 4));
    OK(demi_setsockopt(p.server, IPPROTO_TCP, TCP_CONGESTION, "newreno", 7));
    char name[16];
    socklen_t len = sizeof name;
    OK(demi_getsockopt(p.server, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    assert_string_equal(name, "newreno");
}

static void test_tcp_info_is_linuxs(void **state)
{
    struct linux_tcp_info info;
    struct tcp_info theirs;
    socklen_t len = sizeof info;
    struct pair p = pair_new();
    on(0);
    wait_ok(push(p.client, 10000, 0), DEMI_OPC_PUSH);
    OK(demi_getsockopt(p.client, IPPROTO_TCP, TCP_INFO, &info, &len));
    assert_int_equal(len, 280);
    assert_int_equal(info.state, TCP_ESTABLISHED);
    assert_int_equal(info.bytes_acked, 10000);
    assert_int_equal(info.unacked, 0);
    assert_in_range(info.snd_mss, 1400, 1460);
    assert_in_range(info.data_segs_out, 7, 10);
    len = sizeof theirs;
    OK(demi_getsockopt(p.client, IPPROTO_TCP, TCP_INFO, &theirs, &len));
    assert_int_equal(theirs.tcpi_snd_mss, info.snd_mss);
    assert_int_equal(theirs.tcpi_snd_cwnd, info.snd_cwnd);
    on(1);
    len = sizeof info;
    OK(demi_getsockopt(p.listener, IPPROTO_TCP, TCP_INFO, &info, &len));
    assert_int_equal(info.state, TCP_LISTEN);
}

/* --- captures ------------------------------------------------------------------------------------------------------------------ */

static void test_a_capture_has_every_frame_and_stops_at_its_size(void **state)
{
    char path[] = "/tmp/demi-pcap-XXXXXX", spec[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(spec, sizeof spec, "%s:2k", path);
    on(0);
    FAILS(ENOENT, demi_set_option("pcap", "/nonexistent/file"));
    FAILS(ENOPROTOOPT, demi_set_option("nonsense", "1"));
    OK(demi_set_option("pcap", spec));
    struct pair p = pair_new();
    on(0);
    uint64_t frames = counter("pcap.frames");
    assert_int_equal(frames, counter("dev.rx_frames") + counter("dev.tx_frames"));
    push(p.client, 20000, 0);
    on(1);
    pop(p.server, 20000, 0);
    on(0);
    assert_true(counter("pcap.left_out") > 0);
    OK(demi_set_option("pcap", "off"));
    uint32_t header[6], record[4];
    assert_int_equal(read(fd, header, sizeof header), sizeof header);
    assert_int_equal(header[0], 0xa1b23c4d);
    assert_int_equal(header[5], 1);
    uint64_t seen = 0, bytes = sizeof header;
    while (read(fd, record, sizeof record) == sizeof record) {
        uint8_t frame[2048];
        assert_int_equal(record[2], record[3]);
        assert_int_equal(read(fd, frame, record[2]), record[2]);
        seen++;
        bytes += sizeof record + record[2];
    }
    assert_true(seen >= frames);
    assert_in_range(bytes, 500, 2048);
    close(fd);
    unlink(path);
}

#define inet_unit_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        inet_unit_test(test_streams_carry_bytes_both_ways_over_ipv4),
        inet_unit_test(test_streams_carry_bytes_both_ways_over_ipv6),
        inet_unit_test(test_an_ipv6_wildcard_takes_ipv4_unless_it_is_told_not_to),
        inet_unit_test(test_a_push_completes_when_the_peer_has_acknowledged_it),
        inet_unit_test(test_a_push_handed_over_completes_at_once_and_arrives),
        inet_unit_test(test_a_reply_carries_the_acknowledgement_of_its_request),
        inet_unit_test(test_shutdown_ends_one_direction),
        inet_unit_test(test_a_socket_shut_for_reading_gives_what_it_has_and_then_the_end),
        inet_unit_test(test_linger_of_zero_resets),
        inet_unit_test(test_what_came_before_a_reset_can_be_popped),
        inet_unit_test(test_close_sends_what_was_pushed_and_ends_tokens),
        inet_unit_test(test_cancel_ends_pops_and_accepts_and_nothing_else),
        inet_unit_test(test_a_full_connection_refuses_pushes_until_there_is_room),
        inet_unit_test(test_a_device_that_is_full_loses_nothing),
        inet_unit_test(test_nobody_listens_nobody_answers_nobody_is_there),
        inet_unit_test(test_a_thousand_connections_are_small_and_leave_nothing),
        inet_unit_test(test_bind_takes_own_addresses_and_port_0),
        inet_unit_test(test_two_may_share_a_port_if_both_say_so),
        inet_unit_test(test_unix_sockets_are_not_ours),
        inet_unit_test(test_datagrams_arrive_whole_with_their_sender),
        inet_unit_test(test_a_connected_datagram_socket_hears_that_nobody_listens),
        inet_unit_test(test_options_are_kept_and_nonsense_is_refused),
        inet_unit_test(test_tcp_info_is_linuxs),
        inet_unit_test(test_a_capture_has_every_frame_and_stops_at_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * What a segment costs from the device to the program and back, through libos/inet and the runtime: two runtimes of one
 * thread on rings of frames in memory, one of which is measured. A frame costs the ring a copy of its descriptor; what
 * builds, copies and frees frames is not measured.
 *
 *     receive    32 segments of 64 bytes, one for each of 32 connections that wait in a pop: inet's poll, until 32
 *                tokens are completed
 *     in a row   the same, all for one connection with 32 pops
 *     ack        32 pure ACKs of one segment each, until the 32 pushes they end are completed
 *     send       demi_pushv() of 64 bytes on each of 32 connections (a copy, no token), and the flush: 32 frames in the
 *                ring
 *     reply      wait_batch, 32 requests in, for each a push, a free and the next pop, 32 replies out: both packets and
 *                the dispatch
 *
 * "checksum": the stack sums; "offload": as with a device that does it. ns are the best of several batches.
 *
 *     inet_bench [rounds [which]]      valgrind --tool=callgrind --toggle-collect=measured inet_bench 300 receive
 */
#include "alloc/base/clock.h"
#include "alloc/heap.h"
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

#define BURST       32
#define PAYLOAD     64
#define PORT        7
#define WIRE_FRAMES 1024
#define BATCHES     10

struct end {
    struct netdev dev; /* first */
    struct end *peer;
    struct frame in[WIRE_FRAMES], out[WIRE_FRAMES];
    unsigned head, tail, sent;
    struct runtime *rt;
    struct libos *libos;
    int qds[BURST];
    struct net_stack *stack;
};

static struct end ends[2];
static nsec now = NSEC_PER_SEC;
static bool offload;
static char payload[PAYLOAD];

static void must(int err, const char *what)
{
    if (!err) return;
    fprintf(stderr, "inet_bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
    abort();
}

/* --- the rings ---------------------------------------------------------------------------------------------------- */

static unsigned wire_recv(struct netdev *d, struct frame *out, unsigned max)
{
    struct end *e = (struct end *)d;
    unsigned n = 0;
    for (; n < max && e->head != e->tail; n++) out[n] = e->in[e->head++ % WIRE_FRAMES];
    return n;
}

static unsigned wire_send(struct netdev *d, struct frame *f, unsigned n)
{
    struct end *e = (struct end *)d;
    for (unsigned i = 0; i < n; i++) e->out[e->sent++] = f[i];
    return n;
}

static void wire_close(struct netdev *d) {}

static const struct netdev_ops wire_ops = {.name = "wire", .recv = wire_recv, .send = wire_send, .close = wire_close};

/* What e has sent goes over, as memory of its own. */
static unsigned carry(struct end *e)
{
    struct end *to = e->peer;
    unsigned n = e->sent;
    for (unsigned i = 0; i < n; i++) {
        struct frame *f = &e->out[i];
        struct buf *b = buf_take(f->len);
        if (!b || to->tail - to->head == WIRE_FRAMES) must(ENOBUFS, "wire");
        b->len = (uint32_t)buf_chain_copy(f->b, 0, b->data, f->len);
        to->in[to->tail++ % WIRE_FRAMES] =
            (struct frame){.b = b, .len = f->len, .flags = offload ? FRAME_IP_CSUM_OK | FRAME_L4_CSUM_OK : 0};
        buf_unref(f->b);
    }
    e->sent = 0;
    return n;
}

/* --- two runtimes ------------------------------------------------------------------------------------------------- */

static unsigned starting;

static int wire_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct stack_config sc = {.arp = true, .ack_turns = true};
    if (offload) sc.offloads = OFFLOAD_RX_IP_CSUM | OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_IP_CSUM | OFFLOAD_TX_L4_CSUM;
    sc.seed[0] = (uint8_t)starting;
    return inet_start_on(rt, &ends[starting].dev, &sc, out);
}

static const struct libos_ops wire_libos = {.name = "wire", .start = wire_start, INET_LIBOS_OPS};

static uint64_t clock_now(void *arg) { return now; }

/* Everything that is on its way arrives. */
static void settle(void)
{
    struct runtime *self = runtime_current();
    for (int idle = 0; idle < 2;) {
        unsigned moved = 0;
        now += idle ? 50 * NSEC_PER_MSEC : 50 * NSEC_PER_USEC;
        for (int i = 0; i < 2; i++) {
            runtime_enter(ends[i].rt);
            runtime_turn(ends[i].rt, true);
            runtime_flush(ends[i].rt);
            moved += carry(&ends[i]);
        }
        idle = moved ? 0 : idle + 1;
    }
    runtime_enter(self);
}

static int clock_idle(void *arg, uint64_t deadline)
{
    settle();
    return 0;
}

static void on(struct end *e) { runtime_enter(e->rt); }

static demi_qresult_t wait_for(demi_qtoken_t qt, const char *what)
{
    demi_qresult_t r;
    must(demi_wait(&r, qt, NULL), what);
    if (r.qr_opcode == DEMI_OPC_FAILED) must((int)r.qr_ret, what);
    return r;
}

static void set_up(void)
{
    static const struct runtime_ops time = {.now_ns = clock_now, .idle = clock_idle};
    for (unsigned i = 0; i < 2; i++) {
        struct end *e = &ends[i];
        *e = (struct end){.peer = &ends[!i], .dev.ops = &wire_ops};
        e->dev.caps =
            (struct netdev_caps){.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)}, .mtu = 1500, .segs_max = 8, .own_mac = true};
        if (offload)
            e->dev.caps.offloads = OFFLOAD_RX_IP_CSUM | OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_IP_CSUM | OFFLOAD_TX_L4_CSUM;
        must(runtime_new(&e->rt, &time, i), "runtime");
        starting = i;
        must(runtime_add_libos(e->rt, &wire_libos, NULL), "libOS");
        e->libos = e->rt->libos[0];
        e->stack = inet_stack(e->libos);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct ip_addr own = addr_v4((uint32_t)(10 | (1 + i) << 24)), other = addr_v4((uint32_t)(10 | (2 - i) << 24));
        must(stack_add_address(ends[i].stack, &own, 24, true), "address");
        must(stack_add_neighbour(ends[i].stack, &other, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(2 - i)}), "neighbour");
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = 10 | 1 << 24};
    int listener;
    on(&ends[0]);
    must(demi_socket(&listener, AF_INET, SOCK_STREAM, 0), "socket");
    must(demi_bind(listener, (struct sockaddr *)&at, sizeof at), "bind");
    must(demi_listen(listener, BURST), "listen");
    for (unsigned i = 0; i < BURST; i++) {
        demi_qtoken_t accepted, connected;
        on(&ends[0]);
        must(demi_accept(&accepted, listener), "accept");
        on(&ends[1]);
        must(demi_socket(&ends[1].qds[i], AF_INET, SOCK_STREAM, 0), "socket");
        must(demi_connect(&connected, ends[1].qds[i], (struct sockaddr *)&at, sizeof at), "connect");
        wait_for(connected, "connect");
        on(&ends[0]);
        ends[0].qds[i] = wait_for(accepted, "accept").qr_value.ares.qd;
    }
    settle();
}

static void tear_down(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct end *e = &ends[i];
        on(e);
        runtime_free(e->rt);
    }
    runtime_enter(NULL);
}

/* --- what is measured --------------------------------------------------------------------------------------------- */

enum { POLL = 1, PUSH = 2, SERVE = 4, FLUSH = 8 };

static void push(int qd)
{
    struct iovec v = {payload, PAYLOAD};
    demi_qtoken_t none;
    must(demi_pushv(&none, qd, &v, 1, DEMI_PUSH_NO_TOKEN | DEMI_PUSH_HANDED_OVER), "push");
}

/* As a server's loop does: all that has come, an answer to each. */
static void serve(void)
{
    demi_qresult_t r[BURST];
    int n;
    must(demi_wait_batch(r, BURST, &n, NULL), "wait");
    for (int i = 0; i < n; i++) {
        demi_qtoken_t qt;
        push(r[i].qr_qd);
        demi_sgafree(&r[i].qr_value.sga);
        must(demi_pop(&qt, r[i].qr_qd), "pop");
    }
}

/* A function of its own, so that valgrind can count in it alone. */
static nsec measured(struct end *e, unsigned what)
{
    nsec t = clock_mono_ns();
    if (what & POLL) e->libos->ops->poll(e->libos);
    for (unsigned i = 0; what & PUSH && i < BURST; i++) push(e->qds[i]);
    if (what & SERVE) serve();
    if (what & FLUSH) e->libos->ops->flush(e->libos);
    return clock_mono_ns() - t;
}

static nsec (*volatile const run)(struct end *e, unsigned what) = measured; /* neither inlined nor specialised */

static void take_all(const demi_qtoken_t *qts, demi_opcode_t opcode)
{
    for (unsigned i = 0; i < BURST; i++) {
        demi_qresult_t r;
        struct timespec none = {0, 0};
        must(demi_wait(&r, qts[i], &none), "a token was not completed");
        if (r.qr_opcode != opcode) must(EPROTO, "a token failed");
        if (opcode == DEMI_OPC_POP) demi_sgafree(&r.qr_value.sga);
    }
}

static void take_batch(void)
{
    demi_qresult_t r[BURST];
    int n;
    must(demi_wait_batch(r, BURST, &n, NULL), "wait");
    if (n != BURST) must(EPROTO, "a reply was lost");
    for (int i = 0; i < n; i++) demi_sgafree(&r[i].qr_value.sga);
}

/* spread: each connection one segment. */
static nsec receive(bool spread)
{
    demi_qtoken_t qts[BURST];
    on(&ends[1]);
    for (unsigned i = 0; i < BURST; i++) {
        push(ends[1].qds[spread ? i : 0]);
        runtime_flush(ends[1].rt);
    }
    if (carry(&ends[1]) != BURST) must(EPROTO, "frames");
    on(&ends[0]);
    for (unsigned i = 0; i < BURST; i++) must(demi_pop(&qts[i], ends[0].qds[spread ? i : 0]), "pop");
    now += 5 * NSEC_PER_USEC;
    ends[0].rt->now = now;
    uint64_t completed = ends[0].rt->ops.completed;
    nsec spent = run(&ends[0], POLL);
    if (ends[0].rt->ops.completed - completed != BURST) must(EPROTO, "tokens");
    take_all(qts, DEMI_OPC_POP);
    settle();
    return spent;
}

static nsec bench_receive(void) { return receive(true); }
static nsec bench_row(void) { return receive(false); }

static nsec bench_ack(void)
{
    demi_qtoken_t qts[BURST], pops[BURST];
    struct iovec v = {payload, PAYLOAD};
    on(&ends[1]);
    for (unsigned i = 0; i < BURST; i++) must(demi_pop(&pops[i], ends[1].qds[i]), "pop");
    on(&ends[0]);
    for (unsigned i = 0; i < BURST; i++) must(demi_pushv(&qts[i], ends[0].qds[i], &v, 1, 0), "push");
    runtime_flush(ends[0].rt);
    if (carry(&ends[0]) != BURST) must(EPROTO, "frames");
    now += 5 * NSEC_PER_USEC;
    on(&ends[1]);
    take_all(pops, DEMI_OPC_POP);
    runtime_flush(ends[1].rt);
    if (carry(&ends[1]) != BURST) must(EPROTO, "ACKs");
    now += 5 * NSEC_PER_USEC;
    on(&ends[0]);
    ends[0].rt->now = now;
    uint64_t completed = ends[0].rt->ops.completed;
    nsec spent = run(&ends[0], POLL);
    if (ends[0].rt->ops.completed - completed != BURST) must(EPROTO, "tokens");
    take_all(qts, DEMI_OPC_PUSH);
    settle();
    return spent;
}

static nsec bench_send(void)
{
    demi_qtoken_t pops[BURST];
    on(&ends[1]);
    for (unsigned i = 0; i < BURST; i++) must(demi_pop(&pops[i], ends[1].qds[i]), "pop");
    on(&ends[0]);
    now += 5 * NSEC_PER_USEC;
    ends[0].rt->now = now;
    nsec spent = run(&ends[0], PUSH | FLUSH);
    if (carry(&ends[0]) != BURST) must(EPROTO, "frames");
    on(&ends[1]);
    take_all(pops, DEMI_OPC_POP);
    settle();
    return spent;
}

static bool waits; /* the server's pops are outstanding */

static nsec bench_reply(void)
{
    demi_qtoken_t qts[BURST];
    on(&ends[0]);
    for (unsigned i = 0; !waits && i < BURST; i++) must(demi_pop(&qts[i], ends[0].qds[i]), "pop");
    waits = true;
    on(&ends[1]);
    for (unsigned i = 0; i < BURST; i++) {
        must(demi_pop(&qts[i], ends[1].qds[i]), "pop");
        push(ends[1].qds[i]);
    }
    runtime_flush(ends[1].rt);
    if (carry(&ends[1]) != BURST) must(EPROTO, "requests");
    now += 5 * NSEC_PER_USEC;
    on(&ends[0]);
    nsec spent = run(&ends[0], SERVE | FLUSH);
    if (carry(&ends[0]) != BURST) must(EPROTO, "replies");
    now += 5 * NSEC_PER_USEC;
    on(&ends[1]);
    take_batch(); /* at once, so that the next request carries the ACK */
    return spent;
}

static const struct {
    const char *name, *what;
    nsec (*fn)(void);
} benches[] = {
    {"receive", "segment", bench_receive},
    {"row", "segment", bench_row},
    {"ack", "ACK", bench_ack},
    {"send", "segment", bench_send},
    {"reply", "request and reply", bench_reply},
};

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5000;
    const char *only = argc > 2 ? argv[2] : NULL;
    memset(payload, 'x', sizeof payload);
    for (int with = 0; with < 2; with++) {
        offload = with;
        if (argc > 3 && strcmp(argv[3], with ? "offload" : "checksum")) continue;
        waits = false;
        set_up();
        for (unsigned i = 0; i < sizeof benches / sizeof *benches; i++) {
            if (only && strcmp(only, benches[i].name)) continue;
            nsec best = NSEC_NEVER;
            for (unsigned batch = 0; batch < BATCHES; batch++) {
                nsec spent = 0;
                unsigned n = rounds / BATCHES + 1;
                for (unsigned r = 0; r < n; r++) spent += benches[i].fn();
                if (spent * 1000 / n / BURST < best) best = spent * 1000 / n / BURST;
            }
            printf("%-8s %-9s %8.1f ns/%s\n", benches[i].name, with ? "offload" : "checksum", (double)best / 1000,
                   benches[i].what);
        }
        tear_down();
    }
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * What a segment costs in the stack, device and runtime left out: two stacks handed each other's frames, the clock
 * running around one of them only, in bursts of 32 as a device gives them.
 *
 *     receive   64 bytes in order: headers, look-up, data taken, hook, pop, buf back
 *     ack       a pure ACK of one segment: send queue, RTT, congestion control
 *     send      64 bytes pushed as a copy: queue, headers, frame handed to the device
 *     reply     a request of 64 bytes in on each of 32 connections, its reply out (both packets)
 *     bulk      256 KiB pushes in full segments, as frames out
 *
 * "checksum": the stack's own; "offload": as with a device that does it.
 *
 *     tcp_bench [rounds]               valgrind --tool=callgrind --toggle-collect=measured tcp_bench 300 receive
 */
#include "tcp/conn.h"
#include "tcp/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST   32
#define PAYLOAD 64
#define PORT    7

struct end {
    struct net_stack *s;
    struct conn *conns[BURST];
    unsigned count;
    bool reply;
    uint64_t got;
};

static struct end ends[2];
static nsec now = NSEC_PER_SEC;
static uint8_t payload[PAYLOAD];

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static void acceptable(void *arg, struct listener *l)
{
    struct end *e = arg;
    e->conns[e->count++] = listener_accept(l, e);
}

static void connected(void *arg, struct conn *c, int err)
{
    if (err) abort();
}

static void readable(void *arg, struct conn *c)
{
    struct end *e = arg;
    struct buf *b;
    while ((b = conn_pop(c))) {
        e->got += b->len;
        buf_unref(b);
        if (e->reply && conn_push_copy(c, payload, PAYLOAD, NULL)) abort();
    }
}

static void ignore(void *arg, struct conn *c) {}
static void closed(void *arg, struct conn *c, int err) { abort(); }
static void udp_readable(void *arg, struct udp_sock *u) {}

static const struct stack_hooks hooks = {.acceptable = acceptable,
                                         .connected = connected,
                                         .readable = readable,
                                         .acked = ignore,
                                         .closed = closed,
                                         .udp_readable = udp_readable};

/* --- the wire ----------------------------------------------------------------------------------------------------- */

static struct frame wire[4096];
static unsigned wire_count;
static uint16_t rx_flags;

/* Takes what e wants to send; keep: as copies in `wire`, as a device would have received them. */
static unsigned collect(struct end *e, bool keep)
{
    unsigned n, all = 0;
    struct frame *f;
    while ((f = stack_frames(e->s, &n))) {
        for (unsigned i = 0; i < n; i++) {
            if (keep) {
                struct buf *b = buf_take(f[i].len);
                b->len = (uint32_t)buf_chain_copy(f[i].b, 0, b->data, f[i].len);
                wire[wire_count++] = (struct frame){.b = b, .len = f[i].len, .flags = rx_flags};
            }
            buf_unref(f[i].b);
        }
        stack_sent(e->s, n);
        all += n;
    }
    return all;
}

static void deliver(struct end *to)
{
    for (unsigned i = 0; i < wire_count; i += BURST)
        stack_input(to->s, wire + i, wire_count - i < BURST ? wire_count - i : BURST, now);
    wire_count = 0;
}

/* Until nothing moves any more, delayed ACKs included. */
static void settle(void)
{
    for (int idle = 0; idle < 2;) {
        unsigned moved = 0;
        now += idle ? 50 * NSEC_PER_MSEC : 50 * NSEC_PER_USEC;
        for (int i = 0; i < 2; i++) {
            stack_advance(ends[i].s, now);
            stack_flush(ends[i].s, now);
            moved += collect(&ends[i], true);
            deliver(&ends[1 - i]);
        }
        idle = moved ? 0 : idle + 1;
    }
}

static struct ip_addr addr_of(int i) { return addr_v4((uint32_t)(10 | (1 + i) << 24)); }

static void set_up(bool offload, unsigned conns)
{
    rx_flags = offload ? FRAME_IP_CSUM_OK | FRAME_L4_CSUM_OK : 0;
    for (int i = 0; i < 2; i++) {
        ends[i] = (struct end){0};
        struct stack_config conf = {.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)}, .mtu = 1500, .segs_max = 8, .arp = true};
        conf.seed[0] = (uint8_t)i;
        if (offload) conf.offloads = OFFLOAD_RX_IP_CSUM | OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_IP_CSUM | OFFLOAD_TX_L4_CSUM;
        conf.limits.tx_frames = 4096;
        if (stack_new(&conf, &hooks, &ends[i], now, &ends[i].s)) abort();
    }
    for (int i = 0; i < 2; i++) {
        struct ip_addr own = addr_of(i), other = addr_of(1 - i);
        uint8_t mac[ETH_ALEN] = {2, 0, 0, 0, 0, (uint8_t)(2 - i)};
        if (stack_add_address(ends[i].s, &own, 24, true) || stack_add_neighbour(ends[i].s, &other, mac)) abort();
    }
    struct ip_port at = {.addr = addr_of(0), .port = PORT};
    struct listen_opts lo = {.backlog = BURST};
    struct conn_opts o = {.quick_ack = true}; /* the client acknowledges each segment at once: ack's input */
    struct listener *l;
    if (listener_open(ends[0].s, &at, &lo, &ends[0], &l)) abort();
    for (unsigned i = 0; i < conns; i++)
        if (conn_connect(ends[1].s, NULL, &at, &o, &ends[1], &ends[1].conns[ends[1].count++])) abort();
    settle();
    if (ends[0].count != conns) abort();
    for (unsigned i = 0; i < conns; i++) ends[1].conns[i]->quick_acks = UINT8_MAX;
}

static void tear_down(void)
{
    for (int i = 0; i < 2; i++) stack_free(ends[i].s);
}

/* --- what is measured --------------------------------------------------------------------------------------------- */

static void must(int err)
{
    if (!err) return;
    fprintf(stderr, "tcp_bench: %s\n", strerror(-err));
    abort();
}

static void push_one(struct end *e, unsigned i)
{
    must(conn_push_copy(e->conns[i], payload, PAYLOAD, NULL));
    stack_flush(e->s, now);
}

enum { IN = 1, PUSH = 2, OUT = 4 };

/* A turn of the stack under test, and how long it took. A function of its own, so that valgrind can count in it
 * alone. */
static nsec measured(struct end *e, unsigned what)
{
    nsec t = clock_mono_ns();
    if (what & IN) stack_input(e->s, wire, BURST, now);
    for (unsigned i = 0; what & PUSH && i < BURST; i++) conn_push_copy(e->conns[i], payload, PAYLOAD, NULL);
    if (what & OUT) stack_flush(e->s, now);
    return clock_mono_ns() - t;
}

static nsec (*volatile const run)(struct end *e, unsigned what) = measured; /* neither inlined nor specialised */

static nsec bench_receive(unsigned rounds)
{
    nsec spent = 0;
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < BURST; i++) push_one(&ends[1], 0);
        if (collect(&ends[1], true) != BURST) abort();
        spent += run(&ends[0], IN);
        wire_count = 0;
        settle();
    }
    return spent;
}

static nsec bench_ack(unsigned rounds)
{
    nsec spent = 0;
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < BURST; i++) push_one(&ends[0], 0);
        collect(&ends[0], true);
        struct frame data[BURST];
        if (wire_count != BURST) must(-EPROTO);
        memcpy(data, wire, sizeof data);
        wire_count = 0;
        now += 50 * NSEC_PER_USEC;
        for (unsigned i = 0; i < BURST; i++) {
            stack_input(ends[1].s, data + i, 1, now);
            stack_flush(ends[1].s, now);
        }
        if (collect(&ends[1], true) != BURST) abort();
        spent += run(&ends[0], IN);
        wire_count = 0;
        settle();
    }
    return spent;
}

static nsec bench_send(unsigned rounds)
{
    nsec spent = 0;
    for (unsigned r = 0; r < rounds; r++) {
        spent += run(&ends[0], PUSH | OUT);
        if (collect(&ends[0], true) != BURST) abort();
        deliver(&ends[1]);
        settle();
    }
    return spent;
}

static nsec bench_reply(unsigned rounds)
{
    nsec spent = 0;
    ends[0].reply = true;
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < BURST; i++) conn_push_copy(ends[1].conns[i], payload, PAYLOAD, NULL);
        stack_flush(ends[1].s, now);
        if (collect(&ends[1], true) != BURST) abort();
        now += 5 * NSEC_PER_USEC;
        stack_advance(ends[0].s, now);
        spent += run(&ends[0], IN | OUT);
        wire_count = 0;
        if (collect(&ends[0], true) != BURST) abort();
        now += 5 * NSEC_PER_USEC;
        deliver(&ends[1]);
    }
    ends[0].reply = false;
    settle();
    return spent;
}

/* Frames in all; *frames: how many. */
static nsec bench_bulk(unsigned rounds, uint64_t *bytes)
{
    nsec spent = 0;
    *bytes = 0;
    uint64_t before = ends[1].got;
    for (unsigned r = 0; r < rounds; r++) {
        struct buf *b = buf_take(256 << 10);
        memset(b->data, 1, 256 << 10);
        b->len = 256 << 10;
        nsec t = clock_mono_ns();
        if (conn_push(ends[0].conns[0], b, NULL)) abort();
        spent += clock_mono_ns() - t;
        for (int idle = 0; idle < 2;) {
            now += 50 * NSEC_PER_USEC;
            t = clock_mono_ns();
            stack_advance(ends[0].s, now);
            stack_flush(ends[0].s, now);
            spent += clock_mono_ns() - t;
            unsigned moved = collect(&ends[0], true);
            deliver(&ends[1]);
            stack_flush(ends[1].s, now);
            moved += collect(&ends[1], true);
            t = clock_mono_ns();
            deliver(&ends[0]);
            spent += clock_mono_ns() - t;
            idle = moved ? 0 : idle + 1;
        }
    }
    *bytes = ends[1].got - before;
    return spent;
}

static void report(const char *name, bool offload, nsec spent, uint64_t count, const char *what)
{
    printf("%-8s %-9s %8.1f ns/%s\n", name, offload ? "offload" : "checksum", (double)spent / (double)count, what);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;
    const char *only = argc > 2 ? argv[2] : NULL;
    memset(payload, 'x', sizeof payload);
    for (int offload = 0; offload < 2; offload++) {
        uint64_t all = (uint64_t)rounds * BURST, bytes;
        set_up(offload, BURST);
        if (!only || !strcmp(only, "receive")) report("receive", offload, bench_receive(rounds), all, "segment");
        if (!only || !strcmp(only, "ack")) report("ack", offload, bench_ack(rounds), all, "segment");
        if (!only || !strcmp(only, "send")) report("send", offload, bench_send(rounds), all, "segment");
        if (!only || !strcmp(only, "reply")) report("reply", offload, bench_reply(rounds), all, "request and reply");
        if (!only || !strcmp(only, "bulk")) {
            nsec spent = bench_bulk(rounds / 100 + 1, &bytes);
            printf("%-8s %-9s %8.1f Gbit/s, sender's side\n", "bulk", offload ? "offload" : "checksum",
                   (double)bytes * 8 / (double)spent);
        }
        tear_down();
    }
    return 0;
}

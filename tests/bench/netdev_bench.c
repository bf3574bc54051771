/* SPDX-License-Identifier: MIT
 *
 * What a device costs without a stack: raw Ethernet frames between two processes (or one device and whatever answers).
 *
 *     netdev_bench PLUGIN server CPU [KEY=VALUE...]     echoes frames until told to end
 *     netdev_bench PLUGIN client CPU [KEY=VALUE...]     measures, and ends the server
 *
 * PLUGIN is a plug-in's path (build/libdemikernel-dpdk.so); KEY=VALUE is its configuration. The client prints the round
 * trip of single frames (least, median, 99th of a hundred), the rate of a window of 256 frames in flight, and the rate
 * at which the server counts a one-way flood. BENCH_SIZE sets the frames' length (64), BENCH_SECONDS a phase's (0.5),
 * BENCH_ROUNDS how often (3; the best is shown).
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libos/inet/plugin.h"
#include "alloc/base/clock.h"
#include "alloc/heap.h"
#include "tcp/netdev.h"

#define ETHERTYPE 0x88B5 /* IEEE 802: for local experiments */
#define PINGS     20000
#define WINDOW    256
#define IDLE_NS   (30 * NSEC_PER_SEC)

enum kind { PING = 1, PONG, FLOOD, COUNT, COUNTED, END };

struct head { /* of each frame */
    uint8_t to[ETH_ALEN], from[ETH_ALEN];
    uint16_t type;
    uint8_t kind, unused;
    uint32_t number;
    uint64_t count, span_ns;
} __attribute__((packed));

static struct netdev *dev;
static unsigned frame_size = 64;
static char **settings;

static const char *get(void *arg, const char *key)
{
    (void)arg;
    size_t n = strlen(key);
    for (char **s = settings; *s; s++)
        if (!strncmp(*s, key, n) && (*s)[n] == '=') return *s + n + 1;
    return NULL;
}

static void open_device(const char *path)
{
    char why[256] = "";
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    netdev_plugin_fn entry = so ? (netdev_plugin_fn)dlsym(so, NETDEV_PLUGIN_SYMBOL) : NULL;
    if (!entry) {
        fprintf(stderr, "netdev_bench: %s\n", dlerror());
        exit(1);
    }
    struct netdev_env env = {.get = get, .why = why};
    int err = entry(&plugin_host)->open(&env, &dev);
    if (!err) return;
    fprintf(stderr, "netdev_bench: %s: %s\n", strerror(-err), why);
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu >= 0) sched_setaffinity(0, sizeof set, &set);
}

static void send_all(struct frame *f, unsigned n)
{
    unsigned done = n ? dev->ops->send(dev, f, n) : 0;
    if (done == n) return;
    nsec start = clock_mono_ns();
    while (done < n) {
        unsigned took = dev->ops->send(dev, f + done, n - done);
        done += took;
        /* Both sides waiting for room would wait for ever: what comes in meanwhile is lost. */
        struct frame in[NETDEV_BURST];
        for (unsigned i = took ? 0 : dev->ops->recv(dev, in, NETDEV_BURST); i; i--) buf_unref(in[i - 1].b);
        if (clock_mono_ns() - start < NSEC_PER_SEC) continue;
        while (done < n) buf_unref(f[done++].b);
    }
}

static struct frame make(enum kind kind, uint32_t number)
{
    struct buf *b = buf_take(frame_size);
    struct head *h = b ? buf_put_back(b, frame_size) : NULL;
    if (!h) exit(3);
    memset(h, 0, sizeof *h);
    memset(h->to, 0xff, ETH_ALEN);
    memcpy(h->from, dev->caps.mac, ETH_ALEN);
    h->type = htons(ETHERTYPE);
    h->kind = (uint8_t)kind;
    h->number = number;
    return (struct frame){.b = b, .len = frame_size};
}

static bool is_ours(const struct frame *f)
{
    return f->b->len >= sizeof(struct head) && ((struct head *)f->b->data)->type == htons(ETHERTYPE);
}

/* --- server --- */

static void serve(void)
{
    struct frame in[NETDEV_BURST], out[NETDEV_BURST];
    uint64_t flood = 0;
    nsec first = 0, last = 0, heard = clock_mono_ns();
    unsigned idle = 0;
    for (bool end = false; !end && (++idle % 65536 || clock_mono_ns() - heard < IDLE_NS);) {
        unsigned n = dev->ops->recv(dev, in, NETDEV_BURST), answers = 0;
        nsec now = n ? clock_mono_ns() : 0;
        for (unsigned i = 0; i < n; i++) {
            struct head *h = (struct head *)in[i].b->data;
            bool keep = is_ours(&in[i]);
            if (keep) heard = last = now;
            if (keep && h->kind == FLOOD) {
                if (!flood++) first = last;
                keep = false;
            } else if (keep && h->kind == COUNT) {
                h->kind = COUNTED;
                h->count = flood;
                h->span_ns = last - first;
                flood = 0;
            } else if (keep && h->kind == PING) h->kind = PONG;
            else if (keep && h->kind == END) end = true;
            memcpy(h->to, h->from, ETH_ALEN);
            memcpy(h->from, dev->caps.mac, ETH_ALEN);
            if (keep) out[answers++] = in[i];
            else buf_unref(in[i].b);
        }
        send_all(out, answers);
    }
}

/* --- client --- */

/* Takes what has come: true when the answer `number` of this kind was there; *answers counts PONGs. */
static bool hear(enum kind kind, uint32_t number, uint64_t *answers, struct head *out)
{
    struct frame in[NETDEV_BURST];
    unsigned n = dev->ops->recv(dev, in, NETDEV_BURST);
    bool found = false;
    for (unsigned i = 0; i < n; i++) {
        struct head *h = (struct head *)in[i].b->data;
        if (is_ours(&in[i]) && h->kind == PONG) ++*answers;
        if (is_ours(&in[i]) && h->kind == kind && h->number == number) {
            *out = *h;
            found = true;
        }
        buf_unref(in[i].b);
    }
    return found;
}

static bool ask(enum kind kind, enum kind answer, struct head *out, nsec patience)
{
    static uint32_t number;
    uint64_t unused = 0;
    struct frame f = make(kind, ++number);
    send_all(&f, 1);
    nsec start = clock_mono_ns();
    while (clock_mono_ns() - start < patience)
        if (hear(answer, number, &unused, out)) return true;
    return false;
}

static int by_size(const void *a, const void *b) { return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1; }

static void round_trips(uint32_t best[3], unsigned *lost)
{
    static uint32_t took[PINGS];
    struct head h;
    unsigned n = 0;
    for (unsigned i = 0; i < PINGS; i++) {
        nsec start = clock_mono_ns();
        if (ask(PING, PONG, &h, 20 * NSEC_PER_MSEC)) took[n++] = (uint32_t)(clock_mono_ns() - start);
        else ++*lost;
        if (*lost > 100) break;
    }
    if (!n) return;
    qsort(took, n, sizeof *took, by_size);
    if (best[1] && took[n / 2] >= best[1]) return;
    best[0] = took[0];
    best[1] = took[n / 2];
    best[2] = took[n * 99ul / 100];
}

static double window_rate(double seconds)
{
    struct frame f[32];
    struct head h;
    uint64_t sent = 0, answered = 0, seen = 0;
    nsec start = clock_mono_ns(), moved = start, now = start;
    while (now - start < seconds * 1e9) {
        if (sent - answered <= WINDOW - 32) {
            for (unsigned i = 0; i < 32; i++) f[i] = make(PING, 0);
            send_all(f, 32);
            sent += 32;
        }
        hear(END, 0, &answered, &h);
        now = clock_mono_ns();
        if (seen != answered) moved = now;
        else if (now - moved > 5 * NSEC_PER_MSEC) sent = answered, moved = now; /* lost */
        seen = answered;
    }
    return (double)answered * 1e3 / (double)(now - start);
}

static double flood_rate(double seconds)
{
    struct frame f[32];
    struct head h;
    uint64_t unused = 0;
    if (!ask(COUNT, COUNTED, &h, NSEC_PER_SEC)) return 0;
    nsec start = clock_mono_ns();
    while (clock_mono_ns() - start < seconds * 1e9) {
        for (unsigned i = 0; i < 32; i++) f[i] = make(FLOOD, 0);
        send_all(f, 32);
        hear(END, 0, &unused, &h);
    }
    if (!ask(COUNT, COUNTED, &h, NSEC_PER_SEC) || !h.span_ns) return 0;
    return (double)h.count * 1e3 / (double)h.span_ns;
}

static int measure(void)
{
    const char *text = getenv("BENCH_SECONDS"), *rounds_text = getenv("BENCH_ROUNDS");
    double seconds = text ? atof(text) : 0.5, echo = 0, flood = 0;
    int rounds = rounds_text ? atoi(rounds_text) : 3;
    uint32_t best[3] = {0};
    unsigned lost = 0;
    struct head h;
    nsec start = clock_mono_ns();
    while (!ask(PING, PONG, &h, 50 * NSEC_PER_MSEC)) {
        if (clock_mono_ns() - start < 20 * NSEC_PER_SEC) continue;
        fprintf(stderr, "netdev_bench: nobody answers\n");
        return 1;
    }
    for (int i = 0; i < rounds; i++) {
        double rate;
        round_trips(best, &lost);
        if ((rate = window_rate(seconds)) > echo) echo = rate;
        if ((rate = flood_rate(seconds)) > flood) flood = rate;
    }
    printf("%u B: round trip least %.2f median %.2f p99 %.2f us (%u lost); echo of %d %.2f M/s; one way %.2f M/s\n",
           frame_size, best[0] / 1e3, best[1] / 1e3, best[2] / 1e3, lost, WINDOW, echo, flood);
    struct frame end = make(END, 0);
    send_all(&end, 1);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4 || (strcmp(argv[2], "server") && strcmp(argv[2], "client"))) {
        fprintf(stderr, "usage: netdev_bench PLUGIN server|client CPU [KEY=VALUE...]\n");
        return 2;
    }
    const char *size = getenv("BENCH_SIZE");
    if (size) frame_size = (unsigned)atoi(size);
    if (frame_size < sizeof(struct head)) frame_size = sizeof(struct head);
    settings = argv + 4;
    pin(atoi(argv[3]));
    open_device(argv[1]);
    int status = 0;
    if (!strcmp(argv[2], "server")) serve();
    else status = measure();
    const struct netdev_counters *n = &dev->n;
    if (getenv("BENCH_COUNTERS"))
        printf("%s: rx %lu tx %lu, rx_dropped %lu rx_no_buffer %lu tx_full %lu tx_dropped %lu kicks %lu\n", argv[2],
               n->rx_frames, n->tx_frames, n->rx_dropped, n->rx_no_buffer, n->tx_full, n->tx_dropped, n->kicks);
    dev->ops->close(dev);
    return status;
}

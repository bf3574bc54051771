/* SPDX-License-Identifier: MIT
 *
 * An echo of raw Ethernet frames over a device plug-in: what the wire itself costs, to hold the stack's round trips
 * against. One frame is on its way at a time, through the same bursts (tcp/netdev.h) that the stack uses, and nothing
 * else happens.
 *
 * The frames have the EtherType for local experiments (0x88b5, IEEE 802). The server sends each back in the buffer it
 * came in. It ends when a frame says so, which the client sends last.
 */
#include <dlfcn.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libos/inet/plugin.h"
#include "alloc/base/clock.h"
#include "alloc/heap.h"
#include "tcp/netdev.h"
#include "tools/bench/histogram.h"

enum { FRAME_MIN = 60, FRAME_MAX = 1514, HEADER = 14, BYE = 0xee, PATIENCE_S = 20 };

struct wire {
    const char *plugin, *eal;
    bool server, machine;
    unsigned size;
    double seconds, warmup;
    struct netdev *dev;
    struct histogram rtt;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "wire_echo: %s: %s\n", what, why);
    exit(1);
}

static const char *get(void *arg, const char *key)
{
    const struct wire *w = arg;
    return !strcmp(key, "eal") ? w->eal : NULL;
}

static void open_device(struct wire *w)
{
    char why[256] = "";
    void *lib = dlopen(w->plugin, RTLD_NOW);
    if (!lib) die(w->plugin, dlerror());
    netdev_plugin_fn entry = (netdev_plugin_fn)dlsym(lib, NETDEV_PLUGIN_SYMBOL);
    const struct netdev_plugin *plugin = entry ? entry(&plugin_host) : NULL;
    if (!plugin || plugin->abi != NETDEV_ABI) die(w->plugin, "no plug-in of this version");
    struct netdev_env env = {.get = get, .arg = w, .why = why};
    if (plugin->open(&env, &w->dev)) die(plugin->name, why);
}

static void send_one(struct wire *w, struct buf *b)
{
    struct frame f = {.b = b, .len = b->len};
    while (!w->dev->ops->send(w->dev, &f, 1)) continue;
}

static void serve(struct wire *w)
{
    for (;;) {
        struct frame f[NETDEV_BURST];
        unsigned n = w->dev->ops->recv(w->dev, f, NETDEV_BURST);
        for (unsigned i = 0; i < n; i++) {
            uint8_t *p = f[i].b->data;
            if (f[i].len < HEADER + 1 || p[12] != 0x88 || p[13] != 0xb5) {
                buf_unref(f[i].b);
                continue;
            }
            if (p[HEADER] == BYE) return;
            send_one(w, f[i].b);
        }
    }
}

static struct buf *frame_new(const struct wire *w, uint8_t mark)
{
    struct buf *b = buf_take(w->size);
    if (!b) die("frame", "out of memory");
    memset(b->data, 0xff, w->size);
    memcpy(b->data + 6, w->dev->caps.mac, 6);
    b->data[12] = 0x88;
    b->data[13] = 0xb5;
    b->data[HEADER] = mark;
    b->len = w->size;
    return b;
}

/* False: nothing came back in time (a frame was lost, or nobody is there yet). */
static bool round_trip(struct wire *w, nsec patience)
{
    nsec start = clock_mono_ns(), now;
    send_one(w, frame_new(w, 1));
    do {
        struct frame f[NETDEV_BURST];
        unsigned n = w->dev->ops->recv(w->dev, f, NETDEV_BURST);
        for (unsigned i = 0; i < n; i++) buf_unref(f[i].b);
        now = clock_mono_ns();
        if (n) {
            hist_add(&w->rtt, now - start, 1);
            return true;
        }
    } while (now - start < patience);
    return false;
}

static void measure(struct wire *w)
{
    nsec deadline = clock_mono_ns() + PATIENCE_S * NSEC_PER_SEC;
    while (!round_trip(w, NSEC_PER_MSEC))
        if (clock_mono_ns() > deadline) die("echo", "nobody answers");
    for (nsec end = clock_mono_ns() + (nsec)(w->warmup * 1e9); clock_mono_ns() < end;) round_trip(w, NSEC_PER_SEC);
    memset(&w->rtt, 0, sizeof w->rtt);
    for (nsec end = clock_mono_ns() + (nsec)(w->seconds * 1e9); clock_mono_ns() < end;) round_trip(w, NSEC_PER_SEC);
    send_one(w, frame_new(w, BYE));
    double p50 = (double)hist_quantile(&w->rtt, 0.5) / 1e3, p99 = (double)hist_quantile(&w->rtt, 0.99) / 1e3;
    printf(w->machine ? "test=raw p50_us=%.3f p99_us=%.3f rps=%.0f\n"
                      : "raw frames: p50 %.3f us, p99 %.3f us, %.0f a second\n",
           p50, p99, (double)w->rtt.count / w->seconds);
}

static void usage(void)
{
    puts("usage: wire_echo --plugin FILE --eal ARGUMENTS (--server | --client) [options]\n"
         "  --size N       bytes of a frame, 60 to 1514 (64)\n"
         "  --seconds S    (1), after --warmup S (0.1)\n"
         "  --machine      one line of name=value");
    exit(0);
}

int main(int argc, char **argv)
{
    enum { PLUGIN = 256, EAL, SERVER, CLIENT, SIZE, SECONDS, WARMUP, MACHINE, HELP };
    static const struct option names[] = {{"plugin", 1, NULL, PLUGIN}, {"eal", 1, NULL, EAL},
                                          {"server", 0, NULL, SERVER}, {"client", 0, NULL, CLIENT},
                                          {"size", 1, NULL, SIZE},     {"seconds", 1, NULL, SECONDS},
                                          {"warmup", 1, NULL, WARMUP}, {"machine", 0, NULL, MACHINE},
                                          {"help", 0, NULL, HELP},     {NULL, 0, NULL, 0}};
    static struct wire w = {.size = 64, .seconds = 1, .warmup = 0.1};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case PLUGIN: w.plugin = optarg; break;
        case EAL: w.eal = optarg; break;
        case SERVER: w.server = true; break;
        case CLIENT: w.server = false; break;
        case SIZE: w.size = (unsigned)atoi(optarg); break;
        case SECONDS: w.seconds = atof(optarg); break;
        case WARMUP: w.warmup = atof(optarg); break;
        case MACHINE: w.machine = true; break;
        default: usage();
        }
    }
    if (!w.plugin || w.size < FRAME_MIN || w.size > FRAME_MAX) usage();
    open_device(&w);
    if (w.server) serve(&w);
    else measure(&w);
    w.dev->ops->close(w.dev);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The libOS "loop": our stack with no device under it. 127.0.0.1 and ::1 are every stack's own, and what is sent to
 * them comes back inside of it; a frame that would leave is dropped and counted. Good for programs that talk to
 * themselves, and for the conformance tests of demi/, which so see this stack instead of the kernel's.
 */
#include "libos/inet/inet.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static unsigned loop_recv(struct netdev *d, struct frame *out, unsigned max) { return 0; }

static unsigned loop_send(struct netdev *d, struct frame *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) buf_unref(f[i].b);
    d->n.tx_dropped += n;
    return n;
}

static void loop_close(struct netdev *d) { free(d); }

static const struct netdev_ops loop_ops = {.name = "loop", .recv = loop_recv, .send = loop_send, .close = loop_close};

static int loop_open(struct netdev **out)
{
    struct netdev *d = calloc(1, sizeof *d);
    if (!d) return -ENOMEM;
    d->ops = &loop_ops;
    d->caps =
        (struct netdev_caps){.mac = {2}, .mtu = 65535, .segs_max = NETDEV_SEGS_MAX, .queue_count = 1, .own_mac = true};
    *out = d;
    return 0;
}

static int loop_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct netdev *d;
    struct stack_config sc;
    int err = loop_open(&d);
    if (err) return err;
    err = inet_configure(conf, "loop", &d->caps, &sc, rt->why);
    if (!err && getrandom(sc.seed, sizeof sc.seed, 0) != sizeof sc.seed) err = -EIO;
    if (!err) err = inet_start_on(rt, d, &sc, out);
    if (err) loop_close(d);
    return err;
}

const struct libos_ops loop_libos = {.name = "loop", .start = loop_start, INET_LIBOS_OPS};

/* SPDX-License-Identifier: MIT
 *
 * Each direction is a lane:
 *
 *     frame --> lost? --> spoiled? --> doubled? --> held back? --> queue --> out
 *                                                     | up to 8 frames later  ^
 *                                                     +-----------------------+
 *
 * Bounds: a lane's queue holds LANE_MAX frames, HELD_MAX wait aside. A frame is only let into a lane that has room for
 * what may become of it, so a full device below shows above as a full device.
 *
 * No clock is read: what is held back goes on when enough frames have passed, when nothing has come for IDLE_MAX polls,
 * or before the thread sleeps. Bytes are spoiled in a copy, since the frame's may be lent by the program. Spoiled
 * frames lose the device's word that their checksums are good, and nothing is left to the device to compute or to cut
 * when it could hide or multiply a fault.
 */
#include "libos/fault/fault.h"

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"
#include "alloc/base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LANE_MAX  256 /* a power of two */
#define HELD_MAX  16
#define LATE_MAX  8
#define IDLE_MAX  256
#define WHY_SIZE  256
#define MILLION   1000000u
#define BURST_MAX 1000000u
/* What one frame may put into a queue: itself, its double, and everybody who waited aside. */
#define LANE_MARGIN (2 + HELD_MAX)

static_assert((LANE_MAX & (LANE_MAX - 1)) == 0, "indices are masked");
static_assert(LANE_MAX >= NETDEV_BURST * 2 + LANE_MARGIN, "a burst that is doubled fits");

struct rates {
    unsigned loss, burst, duplicate, reorder, corrupt;
};

struct held {
    struct frame f;
    unsigned passes; /* frames that still go before it */
};

struct lane {
    bool active;
    unsigned burst_left;
    uint32_t head, tail; /* of queue, counted without end */
    unsigned held_count;
    struct held held[HELD_MAX];
    struct frame queue[LANE_MAX];
};

struct fault_dev {
    struct netdev d;
    struct netdev *inner;
    struct rates rates;
    struct rng rng;
    struct fault_counters counters;
    uint64_t lost_in, lost_out;
    unsigned idle;
    struct lane in, out;
};

static inline struct fault_dev *fault_of(struct netdev *d) { return (struct fault_dev *)d; }

/* --- lanes --- */

static bool happens(struct fault_dev *x, unsigned ppm) { return ppm && rng_below(&x->rng, MILLION) < ppm; }

static uint32_t lane_count(const struct lane *l) { return l->tail - l->head; }
static bool lane_has_room(const struct lane *l) { return lane_count(l) + LANE_MARGIN <= LANE_MAX; }

static void append(struct lane *l, struct frame f)
{
    ASSERT(lane_count(l) < LANE_MAX);
    l->queue[l->tail++ & (LANE_MAX - 1)] = f;
}

static void release(struct lane *l, unsigned i)
{
    append(l, l->held[i].f);
    l->held[i] = l->held[--l->held_count];
}

static void release_all(struct lane *l)
{
    while (l->held_count && lane_count(l) < LANE_MAX) release(l, 0);
}

static void passed(struct lane *l)
{
    for (unsigned i = 0; i < l->held_count;) {
        if (--l->held[i].passes) i++;
        else release(l, i);
    }
}

/* A copy in one piece; b is NULL when there is no memory. */
static struct frame copy_of(const struct frame *f)
{
    struct frame c = *f;
    c.b = buf_take_exact(f->len);
    if (c.b) buf_chain_copy(f->b, 0, buf_put_back(c.b, f->len), f->len);
    return c;
}

static void corrupt(struct fault_dev *x, struct frame *f)
{
    struct frame c = copy_of(f);
    if (!c.b || !c.len) {
        buf_unref(c.b);
        return;
    }
    uint64_t bit = rng_below(&x->rng, (uint64_t)c.len * 8);
    c.b->data[bit >> 3] ^= (uint8_t)(1u << (bit & 7));
    c.flags &= (uint16_t) ~(FRAME_IP_CSUM_OK | FRAME_L4_CSUM_OK);
    buf_unref(f->b);
    *f = c;
    x->counters.corrupted++;
}

static bool is_lost(struct fault_dev *x, struct lane *l)
{
    if (!l->burst_left && happens(x, x->rates.loss)) l->burst_left = x->rates.burst;
    if (!l->burst_left) return false;
    l->burst_left--;
    return true;
}

/* Takes f into a lane that has room; false: it was lost. */
static bool lane_put(struct fault_dev *x, struct lane *l, struct frame f)
{
    if (!l->active) {
        append(l, f);
        return true;
    }
    if (is_lost(x, l)) {
        buf_unref(f.b);
        x->counters.lost++;
        return false;
    }
    if (happens(x, x->rates.corrupt)) corrupt(x, &f);
    if (happens(x, x->rates.duplicate)) {
        struct frame twice = copy_of(&f);
        if (twice.b) {
            append(l, twice);
            x->counters.duplicated++;
        }
    }
    if (l->held_count < HELD_MAX && happens(x, x->rates.reorder)) {
        l->held[l->held_count++] = (struct held){f, 1 + (unsigned)rng_below(&x->rng, LATE_MAX)};
        x->counters.reordered++;
        return true;
    }
    append(l, f);
    passed(l);
    return true;
}

static void lane_drop(struct lane *l)
{
    for (; lane_count(l); l->head++) buf_unref(l->queue[l->head & (LANE_MAX - 1)].b);
    while (l->held_count) buf_unref(l->held[--l->held_count].f.b);
}

/* --- the device --- */

static void count(struct fault_dev *x)
{
    x->d.n = x->inner->n;
    x->d.n.rx_dropped += x->lost_in;
    x->d.n.tx_dropped += x->lost_out;
}

/* What is in the queue goes to the device below, as far as that takes it. */
static void drain(struct fault_dev *x)
{
    struct lane *l = &x->out;
    while (lane_count(l)) {
        uint32_t at = l->head & (LANE_MAX - 1);
        unsigned n = lane_count(l);
        if (n > LANE_MAX - at) n = LANE_MAX - at;
        if (n > NETDEV_BURST) n = NETDEV_BURST;
        unsigned taken = x->inner->ops->send(x->inner, &l->queue[at], n);
        l->head += taken;
        if (taken < n) return;
    }
}

static unsigned fault_send(struct netdev *d, struct frame *f, unsigned n)
{
    struct fault_dev *x = fault_of(d);
    unsigned done = 0;
    netdev_assert_held(f, n);
    while (done < n) {
        while (done < n && lane_has_room(&x->out)) x->lost_out += !lane_put(x, &x->out, f[done++]);
        drain(x);
        if (!lane_has_room(&x->out)) break;
    }
    count(x);
    return done;
}

static void fill_in(struct fault_dev *x)
{
    struct frame f[NETDEV_BURST];
    unsigned n = x->inner->ops->recv(x->inner, f, NETDEV_BURST);
    x->idle = n ? 0 : x->idle + 1;
    for (unsigned i = 0; i < n; i++) x->lost_in += !lane_put(x, &x->in, f[i]);
    if (x->idle < IDLE_MAX) return;
    x->idle = 0;
    release_all(&x->in);
    release_all(&x->out);
}

static unsigned fault_recv(struct netdev *d, struct frame *out, unsigned max)
{
    struct fault_dev *x = fault_of(d);
    unsigned n = 0;
    if (!lane_count(&x->in)) fill_in(x);
    if (lane_count(&x->out)) drain(x);
    while (n < max && lane_count(&x->in)) out[n++] = x->in.queue[x->in.head++ & (LANE_MAX - 1)];
    count(x);
    return n;
}

static int fault_fd(struct netdev *d)
{
    struct netdev *inner = fault_of(d)->inner;
    return inner->ops->fd ? inner->ops->fd(inner) : -1;
}

static int fault_arm(struct netdev *d)
{
    struct fault_dev *x = fault_of(d);
    release_all(&x->in);
    release_all(&x->out);
    drain(x);
    count(x);
    if (lane_count(&x->in) || lane_count(&x->out)) return -EAGAIN;
    return x->inner->ops->arm ? x->inner->ops->arm(x->inner) : 0;
}

static int fault_claim(struct netdev *d, uint8_t proto, uint16_t port, bool on)
{
    struct netdev *inner = fault_of(d)->inner;
    return inner->ops->claim ? inner->ops->claim(inner, proto, port, on) : 0;
}

static void fault_look(struct netdev *d, char *why)
{
    struct fault_dev *x = fault_of(d);
    uint32_t offloads = d->caps.offloads;
    x->inner->ops->look(x->inner, why);
    d->caps = x->inner->caps;
    d->caps.offloads &= offloads;
    d->link = x->inner->link;
    d->ifindex = x->inner->ifindex;
    count(x);
}

static int fault_news_fd(struct netdev *d)
{
    struct netdev *inner = fault_of(d)->inner;
    return inner->ops->news_fd ? inner->ops->news_fd(inner) : -1;
}

static void fault_close(struct netdev *d)
{
    struct fault_dev *x = fault_of(d);
    lane_drop(&x->in);
    lane_drop(&x->out);
    x->inner->ops->close(x->inner);
    free(x);
}

static const struct netdev_ops fault_ops = {
    .name = "fault",
    .recv = fault_recv,
    .send = fault_send,
    .fd = fault_fd,
    .arm = fault_arm,
    .claim = fault_claim,
    .close = fault_close,
    .look = fault_look,
    .news_fd = fault_news_fd,
};
/* … over a device that has no life of its own */
static const struct netdev_ops fault_quiet_ops = {
    .name = "fault",
    .recv = fault_recv,
    .send = fault_send,
    .fd = fault_fd,
    .arm = fault_arm,
    .claim = fault_claim,
    .close = fault_close,
};

/* --- configuration --- */

static int config_refuse(const struct netdev_env *env, const char *key, const char *value)
{
    if (env->why) snprintf(env->why, WHY_SIZE, "%s: \"%.64s\" cannot be", key, value);
    return -EINVAL;
}

static int number(const struct netdev_env *env, const char *key, uint64_t max, uint64_t *io)
{
    const char *value = env->get ? env->get(env->arg, key) : NULL;
    if (!value || !*value) return 0;
    char *end;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (errno || *end || *value < '0' || *value > '9' || n > max) return config_refuse(env, key, value);
    *io = n;
    return 0;
}

static int ppm(const struct netdev_env *env, const char *key, unsigned *io)
{
    uint64_t n = *io;
    int err = number(env, key, MILLION, &n);
    *io = (unsigned)n;
    return err;
}

static int directions(const struct netdev_env *env, bool *in, bool *out)
{
    const char *value = env->get ? env->get(env->arg, "fault.direction") : NULL;
    *in = *out = true;
    if (!value || !*value || !strcmp(value, "both")) return 0;
    *in = !strcmp(value, "in");
    *out = !strcmp(value, "out");
    return *in || *out ? 0 : config_refuse(env, "fault.direction", value);
}

int fault_wrap(const struct netdev_env *env, struct netdev *inner, struct netdev **out)
{
    struct rates r = {0};
    uint64_t seed = 1, burst = 1;
    bool on_in, on_out;
    int err = ppm(env, "fault.loss_ppm", &r.loss);
    if (!err) err = ppm(env, "fault.duplicate_ppm", &r.duplicate);
    if (!err) err = ppm(env, "fault.reorder_ppm", &r.reorder);
    if (!err) err = ppm(env, "fault.corrupt_ppm", &r.corrupt);
    if (!err) err = number(env, "fault.loss_burst", BURST_MAX, &burst);
    if (!err) err = number(env, "fault.seed", UINT64_MAX, &seed);
    if (!err) err = directions(env, &on_in, &on_out);
    if (err) return err;
    if (!(r.loss || r.duplicate || r.reorder || r.corrupt)) {
        *out = inner;
        return 0;
    }
    struct fault_dev *x = calloc(1, sizeof *x);
    if (!x) return -ENOMEM;
    r.burst = (unsigned)(burst ? burst : 1);
    x->d = *inner;
    x->d.ops = inner->ops->look ? &fault_ops : &fault_quiet_ops;
    x->d.caps.offloads &= OFFLOAD_RX_IP_CSUM | OFFLOAD_RX_L4_CSUM;
    x->inner = inner;
    x->rates = r;
    x->in.active = on_in;
    x->out.active = on_out;
    rng_seed(&x->rng, seed);
    *out = &x->d;
    return 0;
}

const struct fault_counters *fault_counted(const struct netdev *d)
{
    return d->ops == &fault_ops || d->ops == &fault_quiet_ops ? &((const struct fault_dev *)d)->counters : NULL;
}

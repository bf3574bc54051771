/* SPDX-License-Identifier: MIT
 *
 * From a configuration to a device: demikernel.conf(5) lists the keys. The device's own ("device", "address") it reads
 * itself.
 */
#include "libos/rdma/loop.h"
#include "libos/rdma/sock.h"

#include "alloc/base/log.h"
#include "libos/border.h"
#include "libos/inet/keys.h"
#include "libos/runtime/plugin.h"

#include <errno.h>
#include <stdio.h>

#define DEPTH_MIN 8

static int read_ms(const struct keys *k, const char *key, uint64_t *ns)
{
    int64_t n = -1;
    int err = keys_number(k, key, 0, 86400000, &n);
    if (!err && n >= 0) *ns = (uint64_t)n * 1000000u;
    return err;
}

static int read_count(const struct keys *k, const char *key, int64_t least, int64_t most, uint32_t *out)
{
    int64_t n = *out;
    int err = keys_number(k, key, least, most, &n);
    if (!err) *out = (uint32_t)n;
    return err;
}

static int read_options(const struct keys *k, struct rdma_options *o)
{
    int err = read_count(k, "receives", 16, 32768, &o->receives);
    if (!err) err = keys_size(k, "receive_size", 1024, WIRE_RECEIVE_MAX, &o->receive_size);
    if (!err) err = read_count(k, "window", WIRE_WINDOW_MIN, WIRE_WINDOW_MAX, &o->window);
    if (!err) err = read_count(k, "send_depth", DEPTH_MIN, RDMA_DEPTH_MAX, &o->send_depth);
    if (!err) err = read_ms(k, "connect_timeout", &o->connect_ns);
    if (!err) err = read_ms(k, "keepalive_time", &o->keepalive_ns);
    if (!err) err = read_ms(k, "linger_time", &o->linger_ns);
    if (err) return err;
    if (!o->connect_ns) return keys_refuse(k, EINVAL, "connect_timeout: 0 is not a time to wait");
    if (o->send_depth & (o->send_depth - 1))
        return keys_refuse(k, EINVAL, "send_depth: %u is not a power of two", o->send_depth);
    if (o->window > o->receives)
        return keys_refuse(k, EINVAL, "window: %u is more than there are receives, %u", o->window, o->receives);
    return 0;
}

static const char *get(void *arg, const char *key) { return keys_get(arg, key); }

static int start_with(struct runtime *rt, const struct libos_ops *ops, const struct demi_config *conf,
                      msgdev_open_fn open, struct libos **out)
{
    struct keys k = {.conf = conf, .section = "rdma", .why = rt->why};
    struct rdma_options o = RDMA_OPTIONS_DEFAULT;
    const struct netdev_env env = {.get = get, .arg = &k, .why = rt->why};
    struct msgdev *dev;
    int err = read_options(&k, &o);
    if (err) return err;
    const struct msgdev_wants wants = {.shared_depth = o.receives, .pieces_max = MSGDEV_PIECES_MAX, .inline_max = 256};
    err = open(&env, &wants, &dev);
    if (err) return err;
    err = rdma_start_on(rt, ops, dev, &o, out);
    if (err) {
        dev->ops->close(dev);
        return err;
    }
    log_notice(NULL, "rdma: %s: %u receives of %u bytes, a window of %u messages, %u bytes inline%s", dev->what,
               dev->caps.shared_depth, o.receive_size, o.window, dev->caps.inline_max,
               dev->caps.rnr ? "" : ", no RNR: no more connections than there are windows for");
    return 0;
}

static const struct msgdev_host host = {
    .registry_add_device = registry_add_device,
    .registry_remove_device = registry_remove_device,
};

static int load(msgdev_open_fn *open, char *why)
{
    void *symbol = NULL;
    int err = plugin_find("rdma", MSGDEV_PLUGIN_SYMBOL, &symbol, why, KEYS_WHY_SIZE);
    if (err) return err;
    msgdev_plugin_fn entry;
    *(void **)&entry = symbol;
    const struct msgdev_plugin *p = entry(&host);
    if (!p || p->abi != MSGDEV_ABI) return plugin_is_other("rdma", why, KEYS_WHY_SIZE);
    *open = p->open;
    return 0;
}

static int rdma_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    msgdev_open_fn open = NULL;
    int err = load(&open, rt->why);
    return err ? err : start_with(rt, &rdma_libos, conf, open, out);
}

static int loop_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return start_with(rt, &rdma_loop_libos, conf, rdma_loop_open, out);
}

#define RDMA_OPS                                                                                                       \
    .stop = rdma_stop, .forget = rdma_forget, .socket = rdma_socket, .poll = rdma_poll, .flush = rdma_flush,           \
    .next_deadline = rdma_next_deadline, .arm = rdma_arm, .undrained = rdma_undrained

const struct libos_ops rdma_libos = {.name = "rdma", .start = rdma_start, RDMA_OPS};
const struct libos_ops rdma_loop_libos = {.name = "rdma-loop", .start = loop_start, RDMA_OPS};

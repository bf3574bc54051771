/* SPDX-License-Identifier: MIT
 *
 * See plugin.h; and the libOSes whose devices are plug-ins.
 */
#include "libos/inet/plugin.h"

#include "libos/inet/inet.h"
#include "libos/inet/keys.h"
#include "libos/inet/owner.h"
#include "libos/runtime/plugin.h"
#include "libos/runtime/runtime.h"

const struct netdev_host plugin_host = {
    .buf_take = buf_take,
    .buf_unref = buf_unref,
    .buf_place = buf_place,
    .registry_add_device = registry_add_device,
    .registry_remove_device = registry_remove_device,
    .region_cookie = region_cookie,
    .region_find = region_find,
    .owner_take = owner_take,
    .owner_give = owner_give,
};

int plugin_load(const char *name, netdev_open_fn *open, char *why)
{
    void *symbol = NULL;
    int err = plugin_find(name, NETDEV_PLUGIN_SYMBOL, &symbol, why, KEYS_WHY_SIZE);
    if (err) return err;
    netdev_plugin_fn entry;
    *(void **)&entry = symbol;
    const struct netdev_plugin *p = entry(&plugin_host);
    if (!p || p->abi != NETDEV_ABI) return plugin_is_other(name, why, KEYS_WHY_SIZE);
    *open = p->open;
    return 0;
}

/* --- the libOSes -------------------------------------------------------------------------------------------------- */

static int plugin_start(const char *name, struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    netdev_open_fn open = NULL;
    int err = plugin_load(name, &open, rt->why);
    return err ? err : inet_start(rt, conf, name, open, out);
}

static int dpdk_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return plugin_start("dpdk", rt, conf, out);
}
static int xdp_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return plugin_start("xdp", rt, conf, out);
}

const struct libos_ops dpdk_libos = {.name = "dpdk", .start = dpdk_start, INET_LIBOS_OPS};
const struct libos_ops xdp_libos = {.name = "xdp", .start = xdp_start, INET_LIBOS_OPS};

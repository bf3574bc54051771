/* SPDX-License-Identifier: MIT
 *
 * The keys of the dpdk device. EAL's arguments come as one string ("eal", split at spaces) or as Demikernel's list
 * ("eal_init.0", "eal_init.1", ...), whose first entry is often an empty program name.
 */
#include <string.h>

#include "libos/plugin.h"
#include "libos/dpdk/dpdk.h"

#define MTU_LEAST 68 /* RFC 791 3.2 */

/* Words of text up to its end, into c->text and c->argv. */
static int add_words(const struct netdev_env *env, struct dpdk_config *c, const char *text, size_t *used)
{
    size_t n = strlen(text);
    if (n >= sizeof c->text - *used)
        return plugin_refuse(env, EINVAL, "eal: more than %zu bytes of arguments", sizeof c->text);
    char *copy = memcpy(c->text + *used, text, n + 1), *rest = NULL;
    *used += n + 1;
    for (char *word = strtok_r(copy, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest)) {
        if (c->argc == (int)(sizeof c->argv / sizeof *c->argv) - 32) /* EAL's own, which eal.c adds */
            return plugin_refuse(env, EINVAL, "eal: more than %d arguments", c->argc);
        c->argv[c->argc++] = word;
    }
    return 0;
}

static int read_eal(const struct netdev_env *env, struct dpdk_config *c)
{
    size_t used = 0;
    static char name[] = "demikernel";
    c->argv[c->argc++] = name;
    const char *line = plugin_text(env, "eal");
    int err = line ? add_words(env, c, line, &used) : 0;
    for (int i = 0; !line && !err; i++) {
        char key[24];
        snprintf(key, sizeof key, "eal_init.%d", i);
        const char *word = env->get(env->arg, key);
        if (!word) break;
        err = add_words(env, c, word, &used);
    }
    return err;
}

static int read_mac(const struct netdev_env *env, struct dpdk_config *c)
{
    const char *text = plugin_text(env, "mac");
    if (!text) return 0;
    if (rte_ether_unformat_addr(text, &c->mac) || !rte_is_valid_assigned_ether_addr(&c->mac))
        return plugin_refuse(env, EINVAL, "mac: \"%.40s\" is not an address a device can have", text);
    c->has_mac = true;
    return 0;
}

int dpdk_config_read(const struct netdev_env *env, struct dpdk_config *c)
{
    memset(c, 0, sizeof *c);
    c->port = plugin_text(env, "port");
    c->rx_ring = c->tx_ring = 1024;
    c->mbufs = 8191; /* of a pair, for reception; 2^n - 1 wastes none of the pool's ring */
    c->queues = 1;
    c->link_wait_ms = -1;
    enum choice promiscuous = CHOICE_YES, rss = CHOICE_AUTO, checksum = CHOICE_AUTO, tso = CHOICE_AUTO,
                attach = CHOICE_AUTO, interrupts = CHOICE_NO;
    int err = read_eal(env, c);
    if (!err) err = plugin_number(env, "rx_ring", 32, 32768, &c->rx_ring);
    if (!err) err = plugin_number(env, "tx_ring", 32, 32768, &c->tx_ring);
    if (!err) err = plugin_number(env, "mbufs", 511, 1 << 20, &c->mbufs);
    if (!err) err = plugin_number(env, "queues", 1, DPDK_QUEUES_MAX, &c->queues);
    if (!err) err = plugin_number(env, "mtu", MTU_LEAST, 16000, &c->mtu);
    if (!err) err = plugin_number(env, "link_wait", 0, 60000, &c->link_wait_ms);
    if (!err) err = plugin_choice(env, "promiscuous", &promiscuous);
    if (!err) err = plugin_choice(env, "rss", &rss);
    if (!err) err = plugin_choice(env, "checksum_offload", &checksum);
    if (!err) err = plugin_choice(env, "tso", &tso);
    if (!err) err = plugin_choice(env, "zero_copy", &attach);
    if (!err) err = plugin_choice(env, "interrupts", &interrupts);
    if (!err) err = read_mac(env, c);
    if (!err && c->mbufs < c->rx_ring + c->rx_ring / 2)
        err =
            plugin_refuse(env, EINVAL, "mbufs: %ld do not fill rx_ring = %ld and leave some to hold; take at least %ld",
                          c->mbufs, c->rx_ring, 2 * c->rx_ring - 1);
    c->promiscuous = promiscuous != CHOICE_NO;
    c->rss = rss != CHOICE_NO;
    c->checksum = checksum;
    c->tso = tso;
    c->attach = attach;
    c->interrupts = interrupts == CHOICE_YES;
    return err;
}

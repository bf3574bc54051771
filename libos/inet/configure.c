/* SPDX-License-Identifier: MIT
 *
 * From a configuration to a device, a stack and its addresses. demikernel.conf(5) lists the keys.
 *
 * With an interface's name alone: the interface's own kernel address is taken over (the kernel keeps what it answers
 * itself: pings, ARP, ports nobody of ours has); if it has none, DHCP and IPv6's router advertisements are asked. A
 * program that connects at once would find no address yet, so start waits for the lease, DHCP_WAIT_MS at most.
 */
#include "libos/inet/sock.h"

#include "alloc/base/log.h"
#include "alloc/heap.h"
#include "libos/fault/fault.h"
#include "libos/inet/kernel.h"
#include "libos/inet/keys.h"
#include "libos/runtime/config.h"
#include "tcp/cc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DHCP_WAIT_MS 10000
#define SND_BUFFER   (1u << 30) /* what a program has pushed lies in its own memory; bounding that is its work */
/* of an address without one in a configuration of Demikernel, which knows no prefixes */
#define PREFIX_OTHERWISE 24
#define TEXT_MAX         128

static_assert(sizeof((struct runtime *)0)->why == KEYS_WHY_SIZE, "reasons are one line");

/* --- the stack ---------------------------------------------------------------------------------------------------- */

static int read_ms(const struct keys *k, const char *key, int64_t unit_ns, nsec *out)
{
    int64_t n = -1;
    int err = keys_number(k, key, 0, 86400000, &n);
    if (!err && n >= 0) *out = (nsec)n * (nsec)unit_ns;
    return err;
}

static int read_off(const struct keys *k, const char *key, bool *no)
{
    bool on = !*no;
    int err = keys_bool(k, key, &on);
    *no = !on;
    return err;
}

static int read_tcp(const struct keys *k, struct stack_config *sc)
{
    int64_t mss = 0;
    const char *cc = keys_get(k, "cc");
    if (cc && !cc_find(cc)) return keys_refuse(k, EINVAL, "cc: \"%.40s\" is none of cubic, newreno, bbr, none", cc);
    if (cc) sc->cc = cc_find(cc)->name;
    int err = keys_number(k, "mss", 64, 65495, &mss);
    sc->mss_max = (uint16_t)mss;
    if (!err) err = read_off(k, "timestamps", &sc->no_timestamps);
    if (!err) err = read_off(k, "sack", &sc->no_sack);
    if (!err) err = read_off(k, "window_scaling", &sc->no_wscale);
    const char *ecn = keys_get(k, "ecn");
    if (!err && ecn && strcmp(ecn, "answer")) {
        err = keys_bool(k, "ecn", &sc->ask_ecn);
        sc->no_ecn = !sc->ask_ecn;
    }
    if (!err) err = read_ms(k, "rto_min_ms", NSEC_PER_MSEC, &sc->rto_min);
    if (!err) err = read_ms(k, "rto_initial_ms", NSEC_PER_MSEC, &sc->rto_initial);
    if (!err) err = read_ms(k, "rto_max_ms", NSEC_PER_MSEC, &sc->rto_max);
    if (!err) err = keys_bool(k, "ack_turns", &sc->ack_turns);
    if (!err) err = read_ms(k, "delayed_ack_ms", NSEC_PER_MSEC, &sc->delayed_ack);
    if (!err) err = read_ms(k, "time_wait_ms", NSEC_PER_MSEC, &sc->time_wait);
    return err;
}

static int read_limits(const struct keys *k, struct stack_limits *l)
{
    const struct {
        const char *key;
        uint32_t *value;
        uint32_t most;
    } all[] = {
        {"connections", &l->conns, 1u << 24},     {"half_open", &l->half_open, 1u << 20},
        {"time_wait", &l->time_wait, 1u << 20},   {"rcv_buffer", &l->rcv_buffer, 1u << 30},
        {"snd_buffer", &l->snd_buffer, 1u << 30}, {"unsent_max", &l->unsent_max, 1u << 30},
        {"neighbours", &l->neighbours, 1u << 16}, {"fragment_bytes", &l->fragment_bytes, 1u << 28},
        {"udp_queue", &l->udp_queue, 1u << 16},   {"tx_frames", &l->tx_frames, 1u << 16},
        {"icmp_per_s", &l->icmp_per_s, 1u << 20}, {"resets_per_s", &l->resets_per_s, 1u << 20},
    };
    l->snd_buffer = SND_BUFFER;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        int err = keys_size(k, all[i].key, 1, all[i].most, all[i].value);
        if (err) return err;
    }
    return 0;
}

static int read_offloads(const struct keys *k, uint32_t caps, uint32_t *out)
{
    bool all = true, tcp = true, udp = true, tso = true;
    int err = keys_bool(k, "offload", &all);
    if (!err) err = keys_bool(k, "tcp_checksum_offload", &tcp);
    if (!err) err = keys_bool(k, "udp_checksum_offload", &udp);
    if (!err) err = keys_bool(k, "tso", &tso);
    *out = all ? caps : 0;
    if (!tcp && !udp) *out &= ~(uint32_t)(OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO);
    if (!tso) *out &= ~(uint32_t)OFFLOAD_TX_TSO;
    return err;
}

static int read_mtu(const struct keys *k, const struct netdev_caps *caps, uint16_t *out)
{
    int64_t mtu = caps->mtu;
    int err = keys_number(k, "mtu", 68, 65535, &mtu);
    *out = (uint16_t)(mtu < caps->mtu ? mtu : caps->mtu);
    return err;
}

/* What the configuration allows when the device's own MTU grows later; it was checked by read_mtu(). */
static uint16_t mtu_most(const struct keys *k)
{
    int64_t mtu = 0;
    return keys_number(k, "mtu", 68, 65535, &mtu) ? 0 : (uint16_t)mtu;
}

static int configure(const struct keys *k, const struct netdev_caps *caps, struct stack_config *out)
{
    struct stack_config sc = {.arp = true, .icmp_echo = true, .ack_turns = true};
    int64_t tries = 0;
    int err = read_mtu(k, caps, &sc.mtu);
    if (!err) err = read_offloads(k, caps->offloads, &sc.offloads);
    if (!err) err = read_tcp(k, &sc);
    if (!err) err = read_limits(k, &sc.limits);
    if (!err) err = keys_bool(k, "arp", &sc.arp);
    if (!err) err = keys_bool(k, "dhcp", &sc.dhcp);
    if (!err) err = keys_bool(k, "ipv6", &sc.ipv6);
    if (!err) err = keys_bool(k, "ping", &sc.icmp_echo);
    if (!err) err = keys_bool(k, "quiet", &sc.quiet_closed_ports);
    if (!err) err = keys_number(k, "arp_tries", 1, 100, &tries);
    sc.arp_tries = (unsigned)tries;
    if (!err) err = read_ms(k, "arp_retry", NSEC_PER_SEC, &sc.arp_retry);
    if (!err) err = read_ms(k, "arp_lifetime", NSEC_PER_SEC, &sc.arp_lifetime);
    if (!err) *out = sc;
    return err;
}

int inet_configure(const struct demi_config *conf, const char *section, const struct netdev_caps *caps,
                   struct stack_config *out, char *why)
{
    const struct keys k = {conf, section, why};
    return configure(&k, caps, out);
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static int refuse_address(const struct keys *k, const char *key, const char *text, int err)
{
    return keys_refuse(k, -err, "%s: %.60s: %s", key, text,
                       err == -EINVAL ? "not an address, or one that no host can have (10.0.0.2/24, fd00::2/64)"
                                      : strerror(-err));
}

/* Deviation from RFC 4862 5.4: whoever writes an IPv6 address down vouches for it; it is not tried for duplicates,
 * so that it can be bound at once. `dad: yes` tries it. */
static int add_addresses(const struct keys *k, struct inet *in, unsigned *count)
{
    char text[TEXT_MAX];
    bool dad = false;
    int err = keys_bool(k, "dad", &dad);
    for (*count = 0; !err && keys_item(k, "address", *count, text, sizeof text); ++*count) {
        struct ip_addr a;
        unsigned bits;
        err = addr_parse_prefix(text, &a, &bits);
        if (!err && !strchr(text, '/') && keys_is_demikernels(k, "address")) bits = PREFIX_OTHERWISE;
        if (!err) err = stack_add_address(in->stack, &a, bits, !dad);
        if (err) return refuse_address(k, "address", text, err);
    }
    return err;
}

static int add_gateways(const struct keys *k, struct inet *in)
{
    char text[TEXT_MAX];
    for (unsigned i = 0; keys_item(k, "gateway", i, text, sizeof text); i++) {
        struct ip_addr a;
        int err = addr_parse(text, &a);
        if (!err) err = stack_set_gateway(in->stack, &a);
        if (err) return refuse_address(k, "gateway", text, err);
    }
    return 0;
}

static int parse_mac(const char *text, uint8_t mac[ETH_ALEN])
{
    unsigned b[ETH_ALEN];
    int end = 0;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 || text[end])
        return -EINVAL;
    for (unsigned i = 0; i < ETH_ALEN; i++) mac[i] = (uint8_t)b[i];
    return 0;
}

static int add_neighbour(const struct keys *k, struct inet *in, const char *addr, const char *mac)
{
    struct ip_addr a;
    uint8_t m[ETH_ALEN];
    int err = addr_parse(addr, &a);
    if (!err) err = parse_mac(mac, m);
    if (!err) err = stack_add_neighbour(in->stack, &a, m);
    return err ? refuse_address(k, "neighbour", addr, err) : 0;
}

/* Ours: neighbour: "10.0.0.3=02:00:00:00:00:03", … Demikernel's: inetstack_config.arp_table, MAC: address. */
static int add_neighbours(const struct keys *k, struct inet *in)
{
    char text[TEXT_MAX];
    int err = 0;
    for (unsigned i = 0; !err && keys_item(k, "neighbour", i, text, sizeof text); i++) {
        char *mac = strchr(text, '=');
        if (!mac) return refuse_address(k, "neighbour", text, -EINVAL);
        *mac++ = 0;
        err = add_neighbour(k, in, text, mac);
    }
    size_t at = 0;
    const char *mac, *addr;
    while (!err && (addr = config_next(k->conf, "inetstack_config.arp_table", &at, &mac)))
        err = add_neighbour(k, in, addr, mac);
    return err;
}

/* --- the device --------------------------------------------------------------------------------------------------- */

static const char *get_key(void *arg, const char *key) { return keys_get(arg, key); }

static int open_device(struct keys *k, netdev_open_fn open, struct netdev **out)
{
    const struct netdev_env env = {.get = get_key, .arg = k, .why = k->why};
    int err = open(&env, out);
    if (err && k->why && !*k->why) keys_refuse(k, -err, "%s: %s", k->section, strerror(-err));
    if (err) return err;
    struct netdev *wrapped;
    err = fault_wrap(&env, *out, &wrapped);
    if (err) (*out)->ops->close(*out);
    else *out = wrapped;
    return err;
}

/* --- start -------------------------------------------------------------------------------------------------------- */

static int fill_seed(const struct keys *k, uint8_t seed[32])
{
    for (size_t n = 0; n < 32;) {
        ssize_t got = getrandom(seed + n, 32 - n, 0);
        if (got < 0 && errno != EINTR)
            return keys_refuse(k, errno, "%s: no random numbers: %s", k->section, strerror(errno));
        if (got > 0) n += (size_t)got;
    }
    return 0;
}

/* Where addresses come from when nobody says: the kernel's of the interface, or else DHCP and routers. */
static void choose_addresses(const struct keys *k, const struct netdev *dev, struct kernel_addrs *ka,
                             struct stack_config *sc)
{
    char text[TEXT_MAX];
    const char *interface = keys_get(k, "interface");
    ka->count = 0;
    if (keys_item(k, "address", 0, text, sizeof text)) return;
    if (interface && !dev->caps.own_mac && !keys_get(k, "dhcp")) kernel_addresses(interface, ka);
    if (ka->count) {
        sc->icmp_echo = false;
        sc->quiet_closed_ports = true;
        return;
    }
    if (!keys_get(k, "dhcp")) sc->dhcp = true;
    if (!keys_get(k, "ipv6")) sc->ipv6 = true;
}

static int add_everything(const struct keys *k, struct inet *in, const struct kernel_addrs *ka)
{
    unsigned count;
    int err = add_addresses(k, in, &count);
    for (unsigned i = 0; !err && i < ka->count; i++) {
        err = stack_add_address(in->stack, &ka->list[i].addr, ka->list[i].bits, true);
        if (err) return keys_refuse(k, -err, "%s: the interface's own address: %s", k->section, strerror(-err));
    }
    if (!err && ka->count && ka->has_gateway4) stack_set_gateway(in->stack, &ka->gateway4);
    if (!err && ka->count && ka->has_gateway6) stack_set_gateway(in->stack, &ka->gateway6);
    if (!err) err = add_gateways(k, in);
    if (!err) err = add_neighbours(k, in);
    return err;
}

/* Defaults of streams, as the libOS of kernel sockets reads them. */
static void read_defaults(const struct demi_config *conf, struct inet *in)
{
    in->defaults.delay = !config_bool(conf, "tcp_socket_options.nodelay", true);
    in->defaults.keepalive = config_bool(conf, "tcp_socket_options.keepalive.enabled", false);
    if (in->defaults.keepalive) {
        in->defaults.keep_idle_s =
            (uint32_t)((config_int(conf, "tcp_socket_options.keepalive.time_millis", 0) + 999) / 1000);
        in->defaults.keep_interval_s = (uint32_t)config_int(conf, "tcp_socket_options.keepalive.interval", 0);
    }
    if (config_bool(conf, "tcp_socket_options.linger.enabled", false))
        in->linger_s = (int32_t)config_int(conf, "tcp_socket_options.linger.time_seconds", 0);
}

static bool has_ipv4(const struct inet *in)
{
    struct ip_addr a;
    unsigned bits;
    for (unsigned i = 0; stack_address(in->stack, i, &a, &bits); i++)
        if (addr_is_v4(&a)) return true;
    return false;
}

static int wait_for_lease(const struct keys *k, struct inet *in, bool dhcp)
{
    struct runtime *rt = in->base.rt;
    int64_t wait_ms = dhcp ? DHCP_WAIT_MS : 0;
    int err = keys_number(k, "dhcp_wait_ms", 0, 600000, &wait_ms);
    if (err || !dhcp || rt->time.idle) return err;
    nsec until = rt->now + (nsec)wait_ms * NSEC_PER_MSEC;
    log_notice(NULL, "%s: asking for an address by DHCP on %s, for %lld ms at most before the start goes on",
               k->section, in->dev->what, (long long)wait_ms);
    while (!has_ipv4(in) && (rt->now = rt->time.now_ns(rt->time.arg)) < until) {
        if (!inet_poll(&in->base) && !inet_arm(&in->base))
            poll(&(struct pollfd){.fd = in->watch.fd, .events = POLLIN}, 1, 10);
        inet_flush(&in->base);
    }
    return 0; /* without a lease it goes on: one may come later, and IPv6 may do */
}

static int share(const struct keys *k, struct inet *in)
{
    static const char *const names[] = {"interface", "tap", "port", "eal"};
    char key[KEYS_WHY_SIZE];
    int n = snprintf(key, sizeof key, "%s", k->section);
    for (unsigned i = 0; i < sizeof names / sizeof *names && n < (int)sizeof key; i++) {
        const char *value = keys_get(k, names[i]);
        n += snprintf(key + n, sizeof key - (size_t)n, "|%s", value ? value : "");
    }
    int err = inet_share(in, key);
    return err ? keys_refuse(k, -err, "%s: queue pair %u of the device: %s", k->section, in->dev->caps.queue,
                             strerror(-err))
               : 0;
}

int inet_start(struct runtime *rt, const struct demi_config *conf, const char *section, netdev_open_fn open,
               struct libos **out)
{
    struct keys k = {conf, section, rt->why};
    struct netdev *dev;
    struct stack_config sc;
    struct kernel_addrs ka;
    struct libos *l;
    *rt->why = 0;
    int err = open_device(&k, open, &dev);
    if (err) return err;
    err = configure(&k, &dev->caps, &sc);
    if (!err) err = fill_seed(&k, sc.seed);
    if (err) goto close_device;
    choose_addresses(&k, dev, &ka, &sc);
    err = inet_start_on(rt, dev, &sc, &l);
    if (err) {
        keys_refuse(&k, -err, "%s: the stack does not start: %s", section, strerror(-err));
        goto close_device;
    }
    struct inet *in = (struct inet *)l;
    read_defaults(conf, in);
    in->mtu_most = mtu_most(&k);
    err = share(&k, in);
    if (!err) err = add_everything(&k, in, &ka);
    if (!err) err = life_own(in, section, sc.dhcp, sc.ipv6, rt->why);
    if (!err && keys_get(&k, "pcap")) {
        err = inet_set_option(l, "pcap", keys_get(&k, "pcap"));
        if (err) keys_refuse(&k, -err, "pcap: %.120s: %s", keys_get(&k, "pcap"), strerror(-err));
    }
    if (!err) err = wait_for_lease(&k, in, sc.dhcp);
    if (err) {
        inet_stop(l);
        return err;
    }
    life_start(in, section);
    *out = l;
    return 0;

close_device:
    dev->ops->close(dev);
    return err;
}

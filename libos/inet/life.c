/* SPDX-License-Identifier: MIT
 *
 * See life.h. Everything here is off the hot path: the device is looked at when its descriptor for news is readable, or
 * by a timer where it has none.
 *
 * Whose an address is: on an interface where the kernel has it, ports are held one by one (kport.h); elsewhere the
 * address itself is held, since a second stack with it would reset the first one's connections. With DHCP and IPv6's
 * own addresses nobody knows beforehand which; but they follow from the MAC, so two processes would get the same ones,
 * and it is the asking that is held.
 */
#include "libos/inet/life.h"

#include "alloc/base/log.h"
#include "libos/inet/keys.h"
#include "libos/inet/kport.h"
#include "libos/inet/owner.h"
#include "libos/inet/sock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define LOOK_POLLED_NS (200 * NSEC_PER_MSEC) /* of a device without news, whose thread is awake anyway */
#define LOOK_ASLEEP_NS (1 * NSEC_PER_SEC)    /* … and of one whose thread would sleep */
#define RETRY_NS       (500 * NSEC_PER_MSEC) /* of one that is there again, and cannot be taken back yet */
/* So many wrong checksums, and as large a part of what comes, are no accident of a wire. */
#define BAD_LEAST 16
#define BAD_PART  64

static void look(struct inet *in);

/* --- whose it is -------------------------------------------------------------------------------------------------- */

static int own(struct life *l, const char *what, char *who)
{
    if (l->owned_count == LIFE_OWNED_MAX) return -ENOSPC;
    int err = owner_take(what, who, OWNER_WHO_SIZE);
    if (!err) snprintf(l->owned[l->owned_count++], LIFE_NAME_MAX, "%s", what);
    return err;
}

static int start_refuse(struct inet *in, const char *name, const char *what, const char *who, int err, char *why)
{
    for (struct life *l = &in->life; l->owned_count;) owner_give(l->owned[--l->owned_count]);
    if (why && err == -EADDRINUSE)
        snprintf(why, KEYS_WHY_SIZE,
                 "%s: %s of %.60s is in use by %s; another address, or another MAC, for a second one", name, what,
                 in->dev->what, who);
    return err;
}

static void put_mac(const uint8_t *m, char out[18])
{
    snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

int life_own(struct inet *in, const char *name, bool dhcp, bool ipv6, char *why)
{
    struct life *l = &in->life;
    char what[LIFE_NAME_MAX], who[OWNER_WHO_SIZE], text[ADDR_TEXT_MAX], mac[18];
    struct ip_addr a;
    unsigned bits, interface = in->dev->ifindex;
    if (!interface || !in->dev->caps.own_mac) return 0;
    for (unsigned i = 0; stack_address(in->stack, i, &a, &bits); i++) {
        if (addr_is_link_local6(&a)) continue;
        snprintf(what, sizeof what, "address/%u/%s", interface, addr_text(&a, text));
        int err = own(l, what, who);
        if (err) return start_refuse(in, name, text, who, err, why);
    }
    put_mac(in->dev->caps.mac, mac);
    const char *const ways[] = {dhcp ? "DHCP" : NULL, ipv6 ? "IPv6" : NULL};
    for (unsigned i = 0; i < 2; i++) {
        if (!ways[i]) continue;
        snprintf(what, sizeof what, "%s/%u/%s", ways[i], interface, mac);
        int err = own(l, what, who);
        if (err) return start_refuse(in, name, ways[i], who, err, why);
    }
    return 0;
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

/* All addresses, in room for `size` bytes; false: none but link-local ones. */
static bool put_addresses(struct inet *in, char *out, size_t size)
{
    char text[ADDR_TEXT_MAX];
    struct ip_addr a;
    unsigned bits;
    size_t n = 0;
    bool any = false;
    *out = 0;
    for (unsigned i = 0; n < size && stack_address(in->stack, i, &a, &bits); i++) {
        int more = snprintf(out + n, size - n, "%s%s/%u", n ? " " : "", addr_text(&a, text), bits);
        n += more > 0 ? (size_t)more : 0;
        any |= !addr_is_link_local6(&a);
    }
    return any;
}

static void say_start(struct inet *in, const char *name)
{
    const struct netdev_caps *c = &in->dev->caps;
    uint32_t o = stack_offloads(in->stack);
    char mac[18], addresses[512];
    put_mac(c->mac, mac);
    bool any = put_addresses(in, addresses, sizeof addresses);
    log_notice(NULL, "%s: %s, MAC %s%s, MTU %u, offloads:%s%s%s%s, queue %u of %u, %s, addresses: %s", name,
               in->dev->what, mac, c->own_mac ? "" : " (shared with the kernel)", c->mtu,
               o & OFFLOAD_RX_L4_CSUM ? " rx-checksum" : "", o & OFFLOAD_TX_L4_CSUM ? " tx-checksum" : "",
               o & OFFLOAD_TX_TSO ? " tso" : "", o ? "" : " none", c->queue + 1u, c->queue_count,
               in->base.must_poll ? "polled" : "sleeps when idle", *addresses ? addresses : "none");
    if (any) return;
    char interface[24] = "INTERFACE";
    snprintf(interface, sizeof interface, "%.*s", (int)strcspn(in->dev->what, " "), in->dev->what);
    log_warning(
        NULL,
        "%s: no address yet, nobody can connect: ADDRESS=10.0.0.2/24 (the server's --libos-address 10.0.0.2/24)%s%s",
        name,
        in->dev->ifindex ? "; or, for an address of the kernel's, before the start: ip addr add "
                           "10.0.0.2/24 dev "
                         : "",
        in->dev->ifindex ? interface : "");
}

void life_address(struct inet *in, const struct ip_addr *a, unsigned bits, bool gone)
{
    char text[ADDR_TEXT_MAX];
    if (!in->life.name) return;
    if (gone) log_warning(NULL, "%s: address %s/%u is not ours any more", in->life.name, addr_text(a, text), bits);
    else log_notice(NULL, "%s: address %s/%u", in->life.name, addr_text(a, text), bits);
}

void life_warn_checksums(struct life *l)
{
    uint64_t bad = *l->bad_tcp + *l->bad_udp + *l->bad_ip;
    if (bad < BAD_LEAST || bad * BAD_PART < l->inet->dev->n.rx_frames) return;
    l->warned = true;
    log_warning(NULL,
                "%s: %llu frames with wrong checksums came in by %s and were dropped. A sender on this machine leaves "
                "checksums to a card that is not there: at its end, ethtool -K INTERFACE tx off",
                l->name, (unsigned long long)bad, l->inet->dev->what);
}

static void say_link(struct inet *in, enum netdev_link was, bool returned)
{
    const char *what = in->dev->what;
    struct life *l = &in->life;
    switch (in->dev->link) {
    case NETDEV_UP:
        if (returned) log_notice(NULL, "%s: %s is there again", l->name, what);
        else log_notice(NULL, "%s: %s %s", l->name, what, was == NETDEV_DOWN ? "is switched on" : "has a carrier");
        break;
    case NETDEV_NO_CARRIER:
        l->carrier_lost += was == NETDEV_UP;
        log_warning(NULL, "%s: %s has no carrier: nobody at the other end%s", l->name, what, returned ? " yet" : "");
        break;
    case NETDEV_DOWN:
        l->went_down++;
        log_warning(NULL, "%s: %s is %sswitched off: ip link set %.*s up", l->name, what,
                    returned ? "there again, and " : "", (int)strcspn(what, " "), what);
        break;
    case NETDEV_GONE:
        l->gone++;
        log_warning(NULL, "%s: %s has gone; it is taken back when it is there again", l->name, what);
        break;
    }
}

/* --- the device --------------------------------------------------------------------------------------------------- */

static void follow(struct inet *in, const uint8_t *mac, uint16_t mtu, bool returned)
{
    struct life *l = &in->life;
    const struct netdev_caps *c = &in->dev->caps;
    char text[18];
    bool other_mac = memcmp(mac, c->mac, ETH_ALEN) != 0;
    if (other_mac) {
        l->mac_changed++;
        put_mac(c->mac, text);
        log_notice(NULL, "%s: the MAC of %s is %s now", l->name, in->dev->what, text);
    }
    if (mtu != c->mtu) {
        l->mtu_changed++;
        log_notice(NULL, "%s: the MTU of %s is %u now, it was %u", l->name, in->dev->what, c->mtu, mtu);
    }
    uint16_t wanted = in->mtu_most && in->mtu_most < c->mtu ? in->mtu_most : c->mtu;
    if ((returned || other_mac || mtu != c->mtu) && stack_relink(in->stack, c->mac, wanted))
        log_warning(NULL, "%s: an MTU of %u is too small, %u stays", l->name, c->mtu, mtu);
}

static void look(struct inet *in)
{
    struct life *l = &in->life;
    struct netdev *d = in->dev;
    char why[NETDEV_WHY_SIZE] = "";
    uint8_t mac[ETH_ALEN];
    uint16_t mtu = d->caps.mtu;
    unsigned interface = d->ifindex;
    enum netdev_link was = l->link;
    memcpy(mac, d->caps.mac, ETH_ALEN);
    /* Its descriptor may be another one afterwards. */
    bool watched = in->watched && was != NETDEV_UP;
    if (watched) inet_unwatch_device(in);
    d->ops->look(d, why);
    if (watched) inet_watch_device(in);
    bool returned = d->n.returned != l->returned_seen;
    l->returned_seen = d->n.returned;
    if (*why && strcmp(why, l->why)) log_warning(NULL, "%s", why);
    strcpy(l->why, why);
    if (d->link != was || returned) say_link(in, was, returned);
    l->link = d->link;
    l->up = d->link == NETDEV_UP;
    if (in->own_ports && d->ifindex && !d->caps.own_mac && d->link != NETDEV_GONE) kport_move(interface, d->ifindex);
    follow(in, mac, mtu, returned || (was != NETDEV_UP && d->link == NETDEV_UP));
    inet_settle(in);
}

static void again(struct life *l);

static void looked_by_timer(struct timer *t)
{
    struct life *l = container_of(t, struct life, timer);
    look(l->inet);
    again(l);
}

static void again(struct life *l)
{
    struct runtime *rt = l->inet->base.rt;
    bool told = l->watched && !l->inet->dev->asked;
    nsec after = *l->why ? RETRY_NS : told ? NSEC_NEVER : l->inet->base.must_poll ? LOOK_POLLED_NS : LOOK_ASLEEP_NS;
    if (after != NSEC_NEVER) wheel_start(&rt->wheel, &l->timer, runtime_later(rt, after), looked_by_timer);
}

static void on_news(struct fd_watch *w, uint32_t events)
{
    struct life *l = container_of(w, struct life, news);
    look(l->inet);
    if (!timer_runs(&l->timer)) again(l);
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static void find_counter(void *arg, const char *name, const uint64_t *value)
{
    struct life *l = arg;
    if (!strcmp(name, "drop.tcp_checksum")) l->bad_tcp = value;
    if (!strcmp(name, "drop.udp_checksum")) l->bad_udp = value;
    if (!strcmp(name, "drop.ip4_checksum")) l->bad_ip = value;
}

static void add_counters(struct inet *in)
{
    struct life *l = &in->life;
    const struct counter all[] = {
        {"dev.up", &l->up},
        {"dev.carrier_lost", &l->carrier_lost},
        {"dev.went_down", &l->went_down},
        {"dev.gone", &l->gone},
        {"dev.returned", &in->dev->n.returned},
        {"dev.mtu_changed", &l->mtu_changed},
        {"dev.mac_changed", &l->mac_changed},
    };
    counters_add_all(&in->base.rt->counters, all, sizeof all / sizeof *all); /* no memory: nothing else is missing */
}

void life_start(struct inet *in, const char *name)
{
    struct life *l = &in->life;
    struct netdev *d = in->dev;
    l->name = name;
    stack_counters(in->stack, find_counter, l);
    ASSERT(l->bad_tcp && l->bad_udp && l->bad_ip);
    l->runs = true;
    l->link = d->link;
    l->up = d->link == NETDEV_UP;
    l->returned_seen = d->n.returned;
    add_counters(in);
    say_start(in, name);
    if (d->link != NETDEV_UP) say_link(in, NETDEV_UP, false);
    if (!d->ops->look || in->base.rt->time.idle) return;
    l->news = (struct fd_watch){.fn = on_news, .fd = d->ops->news_fd ? d->ops->news_fd(d) : -1};
    if (l->news.fd >= 0) l->watched = !runtime_watch(in->base.rt, &l->news, EPOLLIN);
    look(in); /* what happened since it was opened */
    again(l);
}

void life_stop(struct inet *in)
{
    struct life *l = &in->life;
    if (l->watched) runtime_unwatch(in->base.rt, &l->news);
    wheel_stop(&in->base.rt->wheel, &l->timer);
    while (l->owned_count) owner_give(l->owned[--l->owned_count]);
    l->runs = l->watched = false;
}

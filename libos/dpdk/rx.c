/* SPDX-License-Identifier: MIT
 *
 * Received mbufs become bufs where they lie: the view is made in the mbuf's private area, nothing is allocated or
 * copied, and its release gives the mbuf back to its pool.
 *
 *     | struct rte_mbuf | struct mbuf_room: view ... | headroom 128 | frame ...        |
 *                                    |  data ------------------------^
 *                                    '- base ----------^
 *
 * A program may hold what it pops as long as it likes. So that this cannot stop reception, at most held_max mbufs of a
 * pool are out; beyond that a frame is copied into a buf of the heap and its mbuf goes home at once. What comes out of
 * another device's pool (net_ring hands mbufs from port to port) is limited by half of that pool, since its owner sends
 * from the other half.
 *
 * Frames with more pieces than a chain may have, or with less than all headers in the first, are copied together, too.
 */
#include "libos/dpdk/dpdk.h"

#include <sched.h>
#include <string.h>

/* Ethernet, VLAN, IPv6 with extensions, TCP with options: what the stack wants in one piece */
#define HEADERS_MAX    256
#define STATS_INTERVAL 65536 /* idle polls */

/* A thread that polls takes its processor whole. Where another wants it, too (the peer, on a small machine), both
 * would wait for the end of each other's time slice, milliseconds a round trip; so after some 100 us of nothing the
 * processor is offered now and then, which costs 0.3 us. */
#define YIELD_AFTER 4096 /* idle polls in a row */
#define YIELD_EVERY 64

/* Some drivers take the request for interrupts, and none ever comes: net_e1000_em does not route the card's queue to
 * the vector it waits for (DPDK 22.11, 82574L in QEMU). The thread would sleep until its next timer, with frames
 * waiting. After so many such sleeps it polls. */
#define DEAF_AFTER 4

static void release(void *arg)
{
    struct rte_mbuf *m = arg;
    struct dpdk_dev *d = mbuf_room(m)->dev;
    rte_pktmbuf_free_seg(m);
    d->held--;
    dev_settle(d);
}

static struct buf *place(struct dpdk_dev *d, struct rte_mbuf *m)
{
    struct mbuf_room *room = mbuf_room(m);
    room->dev = d;
    d->held++;
    dpdk_host->buf_place(&room->view, m->buf_addr, m->buf_len, rte_pktmbuf_mtod(m, void *), m->data_len, release, m);
    return &room->view;
}

static struct buf *copy_out(struct dpdk_dev *d, struct rte_mbuf *m)
{
    struct buf *b = dpdk_host->buf_take(m->pkt_len);
    if (unlikely(!b)) {
        d->dev.n.rx_no_buffer++;
        return NULL;
    }
    for (; m; m = m->next) memcpy(buf_put_back(b, m->data_len), rte_pktmbuf_mtod(m, void *), m->data_len);
    return b;
}

/* Whether m's pieces may be given out as they lie. */
static bool may_place(const struct dpdk_dev *d, const struct rte_mbuf *m)
{
    if (unlikely(m->priv_size < sizeof(struct mbuf_room) || rte_mbuf_refcnt_read(m) != 1 || !RTE_MBUF_DIRECT(m)))
        return false;
    uint32_t most = likely(m->pool == d->rx_pool) ? d->held_max : RTE_MIN(d->held_max, m->pool->size / 2);
    if (unlikely(d->held + m->nb_segs > most)) return false;
    if (likely(m->nb_segs == 1)) return true;
    if (m->nb_segs > NETDEV_SEGS_MAX || m->data_len < RTE_MIN(m->pkt_len, (uint32_t)HEADERS_MAX)) return false;
    for (const struct rte_mbuf *s = m->next; s; s = s->next)
        if (s->priv_size < sizeof(struct mbuf_room) || rte_mbuf_refcnt_read(s) != 1 || !RTE_MBUF_DIRECT(s))
            return false;
    return true;
}

static struct buf *place_all(struct dpdk_dev *d, struct rte_mbuf *m)
{
    struct buf *head = NULL, **end = &head;
    while (m) {
        struct rte_mbuf *next = m->next;
        m->next = NULL;
        m->nb_segs = 1;
        struct buf *b = place(d, m);
        *end = b;
        end = &b->next;
        m = next;
    }
    return head;
}

/* NONE is DPDK's word for "the field is not filled in, but the data are known to be right": a frame from a peer on
 * this machine. */
static uint16_t verdict(uint64_t flags)
{
    uint64_t ip = flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, l4 = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD) return FRAME_CSUM_BAD;
    uint16_t out = 0;
    if (ip) out |= FRAME_IP_CSUM_OK;
    if (l4) out |= FRAME_L4_CSUM_OK;
    return out;
}

static bool mbuf_take(struct dpdk_dev *d, struct rte_mbuf *m, struct frame *out)
{
    uint32_t len = m->pkt_len;
    uint16_t flags = verdict(m->ol_flags);
    struct buf *b;
    if (likely(may_place(d, m))) b = likely(m->nb_segs == 1) ? place(d, m) : place_all(d, m);
    else {
        b = copy_out(d, m);
        rte_pktmbuf_free(m);
        if (unlikely(!b)) return false;
    }
    *out = (struct frame){.b = b, .len = len, .flags = flags};
    d->dev.n.rx_frames++;
    d->dev.n.rx_bytes += len;
    return true;
}

/* The port's figures are of all its pairs: the first one shows them. */
static void read_stats(struct dpdk_dev *d)
{
    struct rte_eth_stats stats;
    if (d->queue || rte_eth_stats_get(d->port, &stats)) return;
    d->dev.n.rx_dropped = stats.imissed + stats.rx_nombuf;
}

static void idle(struct dpdk_dev *d)
{
    d->idle_polls++;
    if (unlikely(d->idle_polls % STATS_INTERVAL == 0)) read_stats(d);
    if (unlikely(d->stray_count)) tx_drain_strays(d);
    if ((d->wait_fd < 0 || d->deaf) && ++d->idle_run > YIELD_AFTER && d->idle_run % YIELD_EVERY == 0) sched_yield();
}

static void after_sleep(struct dpdk_dev *d, bool told, unsigned count)
{
    if (told) d->heard = true;
    else if (count && !d->heard && ++d->missed == DEAF_AFTER) d->deaf = true;
}

unsigned rx_recv(struct netdev *n, struct frame *out, unsigned max)
{
    struct dpdk_dev *d = (struct dpdk_dev *)n;
    struct rte_mbuf *m[NETDEV_BURST];
    if (unlikely(dev_is_paused(d))) return 0;
    bool slept = d->armed, told = unlikely(slept) && dev_disarm(d);
    unsigned count = rte_eth_rx_burst(d->port, d->queue, m, (uint16_t)RTE_MIN(max, (unsigned)NETDEV_BURST)), made = 0;
    if (unlikely(slept)) after_sleep(d, told, count);
    if (!count) {
        idle(d);
        return 0;
    }
    d->idle_run = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i + 1 < count) rte_prefetch0(mbuf_room(m[i + 1]));
        made += mbuf_take(d, m[i], &out[made]);
    }
    netdev_assert_received(out, made);
    return made;
}

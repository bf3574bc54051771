/* SPDX-License-Identifier: MIT
 *
 * Frames become mbufs for the duration of their sending. What is short is copied into an mbuf's own room and its buf is
 * let go at once; what is long is attached as an external buffer, and unref'd when the driver frees the mbuf:
 *
 *     frame   buf: headers, 66 bytes ---> buf: payload, 8 KiB
 *                  | copied                    | attached
 *     mbufs   [ own room: headers ] ----> [ rte_mbuf_ext_shared_info in the mbuf's private area, data where they lie ]
 *
 * Attaching wants a driver that can read any memory of ours (port.c knows which); the others get copies. On devices
 * that read by DMA, only memory of a registered region is attached.
 *
 * A frame that finds the ring full is not taken: its mbufs are freed, which drops the references they had, and the
 * caller keeps it. A frame that cannot be sent at all (longer than the MTU, too many pieces, refused by the driver's
 * own check) is taken, dropped and counted; so is one for which there is no room because the link is down: a wire
 * without a peer does not keep frames.
 *
 * Bufs belong to one thread. A driver that frees an mbuf on another one (a port stopped by the last thread that used
 * it) leaves the buf in a list for its owner.
 */
#include "libos/dpdk/dpdk.h"

#include <stdlib.h>
#include <string.h>

#include <rte_memcpy.h>

/* Attaching costs an mbuf, a reference and a visit of the free callback: ~25 ns; so much copies in less (net_memif,
 * Nov 2026). */
#define COPY_MAX 256

/* Calls without room in a row, after which a frame is dropped: some drivers leave one that they cannot send
 * (net_tap, when it fails to segment) where it is and look like a full ring for ever; and a peer that has stopped
 * reading is a wire that loses frames. */
#define STUCK_MAX 20000

/* --- memory that was attached comes back --- */

static void keep_stray(struct dpdk_dev *d, struct buf *b)
{
    pthread_mutex_lock(&d->strays_lock);
    if (d->stray_count == d->stray_room) {
        uint32_t room = d->stray_room ? 2 * d->stray_room : 64;
        struct buf **more = realloc(d->strays, room * sizeof *more);
        if (more) {
            d->strays = more;
            d->stray_room = room;
        }
    }
    /* Without memory for the note, the buf is lost rather than touched by a foreign thread. */
    if (d->stray_count < d->stray_room) d->strays[d->stray_count++] = b;
    pthread_mutex_unlock(&d->strays_lock);
}

void tx_drain_strays(struct dpdk_dev *d)
{
    pthread_mutex_lock(&d->strays_lock);
    while (d->stray_count) {
        dpdk_host->buf_unref(d->strays[--d->stray_count]);
        d->lent--;
    }
    pthread_mutex_unlock(&d->strays_lock);
}

static void attached_free(void *addr, void *opaque)
{
    struct mbuf_room *room = opaque;
    struct dpdk_dev *d = room->dev;
    struct buf *b = room->lent;
    (void)addr;
    if (unlikely(!pthread_equal(pthread_self(), d->owner))) {
        keep_stray(d, b);
        return;
    }
    dpdk_host->buf_unref(b);
    d->lent--;
    dev_settle(d);
}

/* --- a frame becomes mbufs --- */

struct chain { /* under construction */
    struct rte_mbuf *head, *last;
    uint16_t count, count_max;
};

enum built { BUILT, BUILD_LATER, BUILD_NEVER };

static enum built chain_add(struct dpdk_dev *d, struct chain *c)
{
    if (unlikely(c->count == c->count_max)) return BUILD_NEVER;
    struct rte_mbuf *m = rte_pktmbuf_alloc(d->tx_pool);
    if (unlikely(!m)) return BUILD_LATER;
    if (c->last) c->last->next = m;
    else c->head = m;
    c->last = m;
    c->count++;
    return BUILT;
}

static enum built copy_in(struct dpdk_dev *d, struct chain *c, const uint8_t *p, uint32_t n)
{
    while (n) {
        uint32_t room = c->last && !RTE_MBUF_HAS_EXTBUF(c->last) ? rte_pktmbuf_tailroom(c->last) : 0;
        if (!room) {
            enum built state = chain_add(d, c);
            if (unlikely(state != BUILT)) return state;
            continue;
        }
        uint32_t part = RTE_MIN(room, n);
        memcpy(rte_pktmbuf_mtod_offset(c->last, void *, c->last->data_len), p, part);
        c->last->data_len = (uint16_t)(c->last->data_len + part);
        p += part;
        n -= part;
    }
    return BUILT;
}

static enum built attach(struct dpdk_dev *d, struct chain *c, struct buf *b)
{
    uint8_t *p = b->data;
    for (uint32_t left = b->len; left;) {
        uint32_t part = RTE_MIN(left, (uint32_t)UINT16_MAX);
        if (d->piece_page) part = RTE_MIN(part, d->piece_page - ((uint32_t)(uintptr_t)p & (d->piece_page - 1)));
        enum built state = chain_add(d, c);
        if (unlikely(state != BUILT)) return state;
        struct mbuf_room *room = mbuf_room(c->last);
        room->shared.free_cb = attached_free;
        room->shared.fcb_opaque = room;
        rte_mbuf_ext_refcnt_set(&room->shared, 1);
        room->dev = d;
        room->lent = buf_ref(b);
        d->lent++;
        rte_pktmbuf_attach_extbuf(c->last, p, (rte_iova_t)(uintptr_t)p & d->iova_mask, (uint16_t)part, &room->shared);
        c->last->data_len = (uint16_t)part;
        p += part;
        left -= part;
    }
    return BUILT;
}

static bool may_attach(const struct dpdk_dev *d, const struct frame *f, const struct buf *b)
{
    if (b->len <= COPY_MAX || !d->attach) return false;
    if (unlikely((f->flags & FRAME_TX_TSO) && !d->attach_tso)) return false;
    return !d->needs_map || dpdk_host->region_cookie(d->memory, b->data);
}

static void ask_offloads(struct rte_mbuf *m, const struct frame *f)
{
    uint64_t flags = f->flags & FRAME_TX_V6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
    if (f->flags & FRAME_TX_IP_CSUM) flags |= RTE_MBUF_F_TX_IP_CKSUM;
    if (f->flags & FRAME_TX_L4_CSUM)
        flags |= f->flags & FRAME_TX_UDP ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
    if (f->flags & FRAME_TX_TSO) {
        flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM;
        m->tso_segsz = f->tso_mss;
    }
    m->l2_len = f->l2_len;
    m->l3_len = f->l3_len;
    m->l4_len = f->l4_len;
    m->ol_flags |= flags;
}

/* The pieces of f. With `attaching`, long ones stay where they lie. */
static enum built fill(struct dpdk_dev *d, const struct frame *f, bool attaching, struct chain *c, uint32_t *len)
{
    enum built state = BUILT;
    for (struct buf *b = f->b; b && likely(state == BUILT); b = b->next) {
        /* A device without multi-segment transmit gets one piece: the whole frame attached, or copied together. */
        bool alone = d->multi_seg || !b->next;
        if (attaching && may_attach(d, f, b) && alone && (d->multi_seg || !c->head)) state = attach(d, c, b);
        else state = copy_in(d, c, b->data, b->len);
        *len += b->len;
    }
    return state == BUILT && !c->head ? BUILD_NEVER : state;
}

static enum built build(struct dpdk_dev *d, const struct frame *f, struct rte_mbuf **out)
{
    if (unlikely(!f->len || (f->len > d->frame_max && !(f->flags & FRAME_TX_TSO)))) return BUILD_NEVER;
    struct chain c;
    uint32_t len = 0;
    enum built state = BUILD_NEVER;
    /* What is too many pieces where they lie is few enough when copied together: an mbuf has room for the MTU. */
    for (int attaching = d->attach; attaching >= 0 && state == BUILD_NEVER; attaching--) {
        c = (struct chain){.count_max = f->flags & FRAME_TX_TSO ? d->mbufs_max : d->mbufs_whole};
        len = 0;
        state = fill(d, f, attaching, &c, &len);
        if (unlikely(state != BUILT)) rte_pktmbuf_free(c.head); /* NULL is allowed */
    }
    if (unlikely(state != BUILT)) return state;
    c.head->nb_segs = c.count;
    c.head->pkt_len = len;
    if (f->flags & (FRAME_TX_IP_CSUM | FRAME_TX_L4_CSUM | FRAME_TX_TSO)) ask_offloads(c.head, f);
    *out = c.head;
    return BUILT;
}

/* --- bursts --- */

static void taken(struct dpdk_dev *d, struct frame *f, bool sent)
{
    if (likely(sent)) {
        d->dev.n.tx_frames++;
        d->dev.n.tx_bytes += f->len;
    } else d->dev.n.tx_dropped++;
    dpdk_host->buf_unref(f->b);
    f->b = NULL;
}

static bool link_is_down(const struct dpdk_dev *d)
{
    struct rte_eth_link link;
    return !rte_eth_link_get_nowait(d->port, &link) && link.link_status == RTE_ETH_LINK_DOWN;
}

/* Sends from f on up to the first frame that cannot be built; returns how many went, and in *stop why it went no
 * further. */
static unsigned send_run(struct dpdk_dev *d, struct frame *f, unsigned count, enum built *stop)
{
    struct rte_mbuf *m[NETDEV_BURST];
    unsigned made = 0, good, sent;
    *stop = BUILT;
    while (made < count && (*stop = build(d, &f[made], &m[made])) == BUILT) made++;
    good = made;
    if (d->prepares && made) {
        good = rte_eth_tx_prepare(d->port, d->queue, m, (uint16_t)made);
        if (unlikely(good < made)) *stop = BUILD_NEVER;
    }
    sent = good ? rte_eth_tx_burst(d->port, d->queue, m, (uint16_t)good) : 0;
    if (unlikely(sent < good)) *stop = BUILD_LATER;
    if (unlikely(sent < made)) rte_pktmbuf_free_bulk(m + sent, made - sent);
    for (unsigned i = 0; i < sent; i++) taken(d, &f[i], true);
    d->stuck = sent ? 0 : d->stuck + (made > 0);
    return sent;
}

unsigned tx_send(struct netdev *n, struct frame *f, unsigned count)
{
    struct dpdk_dev *d = (struct dpdk_dev *)n;
    unsigned done = 0;
    netdev_assert_held(f, count);
    if (unlikely(atomic_load_explicit(&d->pause, memory_order_acquire) || n->link >= NETDEV_DOWN))
        while (done < count) taken(d, &f[done++], false);
    while (done < count) {
        enum built stop;
        done += send_run(d, f + done, RTE_MIN(count - done, (unsigned)NETDEV_BURST), &stop);
        if (likely(stop == BUILT)) continue;
        if (stop == BUILD_NEVER) {
            taken(d, &f[done++], false);
            continue;
        }
        if (unlikely(d->stuck > STUCK_MAX)) {
            taken(d, &f[done++], false);
            d->stuck = 0;
            continue;
        }
        if (link_is_down(d)) {
            while (done < count) taken(d, &f[done++], false);
            break;
        }
        rte_eth_tx_done_cleanup(d->port, d->queue, 0); /* best effort: many drivers have none */
        d->dev.n.tx_full++;
        break;
    }
    return done;
}

void tx_finish(struct dpdk_dev *d)
{
    for (int turn = 0; turn < 50 && d->lent; turn++) {
        if (rte_eth_tx_done_cleanup(d->port, d->queue, 0) < 0) break;
        if (d->lent) rte_delay_us_sleep(1000);
    }
}

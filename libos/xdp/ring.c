/* SPDX-License-Identifier: MIT
 *
 * The four rings of a socket, and the chunks that go round in them:
 *
 *     free --refill--> [fill] --kernel--> [rx] --recv--> held by the stack --release--> free
 *     free --send----> [tx]   --kernel--> [completion] --reap-----------------------> free
 *
 * There are four rings' worth of chunks: one in fill, one in rx, one in tx, one for the stack to hold. When it holds
 * its share, frames are copied into bufs of the heap and their chunks go back at once: a program that keeps bufs does
 * not stop reception.
 *
 * What is received is a view of the chunk (no copy). What is sent is copied into a chunk, since the kernel sends from
 * the umem alone, and a umem is one piece of memory that is named once: the heap's regions, which grow, cannot be it.
 *
 * Transmission is set going by a system call for each burst. In copy mode the kernel takes 32 frames a call and answers
 * EAGAIN while there are more; what is left after that (its own queue is full) is kicked again when the device is idle.
 */
#include "libos/xdp/xdp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_xdp.h>

#define KICK_FRAMES    32    /* TX_BATCH_SIZE of Linux' net/xdp/xsk.c */
#define REFILL_LEAST   64    /* chunks: fill is not touched for fewer */
#define STATS_INTERVAL 65536 /* idle polls */

#define unlikely(x) __builtin_expect(!!(x), 0)
#define likely(x)   __builtin_expect(!!(x), 1)

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint8_t *chunk_at(const struct xdp_dev *d, uint32_t chunk)
{
    return d->area + ((size_t)chunk << d->chunk_shift);
}

/* --- questions the stack asks on an address it shares with the kernel --- */

/* Notes an ARP request or a neighbour solicitation that goes out, or the answer that comes in. */
static void note_question(struct xdp_dev *d, const uint8_t *p, uint32_t len, bool going_out)
{
    struct xdp_address a = {{[10] = 0xff, [11] = 0xff}};
    if (p[12] == 0x08 && p[13] == 0x06) {
        if (len < 42 || p[21] != (going_out ? 1 : 2)) return;
        memcpy(a.bytes + 12, p + (going_out ? 38 : 28), 4);
    } else {
        if (len < 78 || p[20] != IPPROTO_ICMPV6 || p[54] != (going_out ? 135 : 136)) return;
        memcpy(a.bytes, p + 62, 16);
    }
    iface_want(d->iface, &a, going_out);
}

static bool may_be_question(const uint8_t *p, uint32_t len)
{
    if (len < 42) return false;
    return (p[12] == 0x08 && p[13] == 0x06) || (p[12] == 0x86 && p[13] == 0xdd && p[20] == IPPROTO_ICMPV6);
}

/* --- receive --- */

static void release(void *arg)
{
    struct chunk_room *room = arg;
    struct xdp_dev *d = room->dev;
    room->dev = NULL;
    d->free[d->free_count++] = (uint32_t)(room - d->rooms);
    d->held--;
    if (unlikely(d->closed) && !d->held) xdp_unhold(d);
}

void ring_refill(struct xdp_dev *d)
{
    /* What is sent must find chunks, too. */
    uint32_t kept = d->ring - least(d->sending, d->ring), at;
    if (d->free_count <= kept) return;
    uint32_t n = least(d->free_count - kept, xsk_prod_nb_free(&d->fill, d->ring));
    if (n < REFILL_LEAST && n < d->ring / 2) return;
    if (xsk_ring_prod__reserve(&d->fill, n, &at) != n) return;
    for (uint32_t i = 0; i < n; i++)
        *xsk_ring_prod__fill_addr(&d->fill, at + i) = (uint64_t)d->free[--d->free_count] << d->chunk_shift;
    xsk_ring_prod__submit(&d->fill, n);
    if (xsk_ring_prod__needs_wakeup(&d->fill)) recvfrom(d->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static void read_stats(struct xdp_dev *d)
{
    struct xdp_statistics stats;
    socklen_t n = sizeof stats;
    if (getsockopt(d->fd, SOL_XDP, XDP_STATISTICS, &stats, &n)) return;
    d->dev.n.rx_dropped = stats.rx_dropped;
    if (n >= sizeof stats) d->dev.n.rx_dropped += stats.rx_ring_full;
}

static struct buf *copy_out(struct xdp_dev *d, uint32_t chunk, const uint8_t *p, uint32_t len)
{
    struct buf *b = xdp_host->buf_take(len);
    if (b) memcpy(buf_put_back(b, len), p, len);
    else d->dev.n.rx_no_buffer++;
    d->free[d->free_count++] = chunk;
    return b;
}

static struct buf *place(struct xdp_dev *d, uint32_t chunk, uint8_t *p, uint32_t len)
{
    struct chunk_room *room = &d->rooms[chunk];
    room->dev = d;
    d->held++;
    xdp_host->buf_place(&room->view, chunk_at(d, chunk), 1u << d->chunk_shift, p, len, release, room);
    return &room->view;
}

static bool desc_take(struct xdp_dev *d, const struct xdp_desc *desc, struct frame *out)
{
    uint32_t chunk = (uint32_t)(desc->addr >> d->chunk_shift), len = desc->len;
    uint8_t *p = d->area + desc->addr;
    if (unlikely(d->shared_address) && may_be_question(p, len)) note_question(d, p, len, false);
    struct buf *b = likely(d->held < d->held_max) ? place(d, chunk, p, len) : copy_out(d, chunk, p, len);
    if (unlikely(!b)) return false;
    *out = (struct frame){.b = b, .len = len};
    d->dev.n.rx_frames++;
    d->dev.n.rx_bytes += len;
    return true;
}

/* --- transmit --- */

static void reap(struct xdp_dev *d)
{
    uint32_t at, n = xsk_ring_cons__peek(&d->completion, d->ring, &at);
    if (!n) return;
    for (uint32_t i = 0; i < n; i++)
        d->free[d->free_count++] = (uint32_t)(*xsk_ring_cons__comp_addr(&d->completion, at + i) >> d->chunk_shift);
    xsk_ring_cons__release(&d->completion, n);
    d->sending -= n;
}

static void kick(struct xdp_dev *d)
{
    if (!xsk_ring_prod__needs_wakeup(&d->tx)) return;
    for (uint32_t tries = d->sending / KICK_FRAMES + 2; tries; tries--) {
        d->dev.n.kicks++;
        if (sendto(d->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != EAGAIN) break;
        uint32_t before = d->sending;
        reap(d);
        if (before == d->sending) break; /* the kernel is full */
    }
}

static void copy_in(uint8_t *to, const struct buf *b)
{
    for (; b; b = b->next) {
        memcpy(to, b->data, b->len);
        to += b->len;
    }
}

unsigned ring_send(struct netdev *n, struct frame *f, unsigned count)
{
    struct xdp_dev *d = (struct xdp_dev *)n;
    uint32_t at = 0, put = 0;
    unsigned done = 0;
    netdev_assert_held(f, count);
    if (unlikely(n->link >= NETDEV_DOWN)) {
        for (; done < count; done++) xdp_host->buf_unref(f[done].b);
        n->n.tx_dropped += count;
        return count;
    }
    reap(d);
    uint32_t room = least(least(xsk_prod_nb_free(&d->tx, count), d->free_count), d->ring - least(d->sending, d->ring));
    uint32_t want = least(room, count);
    if (want && xsk_ring_prod__reserve(&d->tx, want, &at) != want) want = 0;
    for (; done < count; done++) {
        bool fits = f[done].len && f[done].len <= d->frame_max;
        if (likely(fits) && put == want) break;
        if (likely(fits)) {
            uint32_t chunk = d->free[--d->free_count];
            uint8_t *to = chunk_at(d, chunk);
            copy_in(to, f[done].b);
            if (unlikely(d->shared_address) && may_be_question(to, f[done].len))
                note_question(d, to, f[done].len, true);
            *xsk_ring_prod__tx_desc(&d->tx, at + put++) =
                (struct xdp_desc){.addr = (uint64_t)chunk << d->chunk_shift, .len = f[done].len};
            d->dev.n.tx_frames++;
            d->dev.n.tx_bytes += f[done].len;
        } else d->dev.n.tx_dropped++;
        xdp_host->buf_unref(f[done].b);
        f[done].b = NULL;
    }
    /* Those that were reserved for frames which were dropped instead. */
    d->tx.cached_prod -= want - put;
    if (done < count) d->dev.n.tx_full++;
    if (put) {
        xsk_ring_prod__submit(&d->tx, put);
        d->sending += put;
    }
    if (put || done < count) kick(d);
    return done;
}

/* --- both --- */

static void idle(struct xdp_dev *d)
{
    if (d->sending) {
        reap(d);
        if (d->sending) kick(d);
    }
    ring_refill(d);
    if (xsk_ring_prod__needs_wakeup(&d->fill)) recvfrom(d->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    if (unlikely(++d->idle_polls % STATS_INTERVAL == 0)) read_stats(d);
}

unsigned ring_recv(struct netdev *n, struct frame *out, unsigned max)
{
    struct xdp_dev *d = (struct xdp_dev *)n;
    uint32_t at;
    if (unlikely(n->link == NETDEV_GONE)) return 0;
    unsigned made = 0, count = xsk_ring_cons__peek(&d->rx, max, &at);
    if (!count) {
        idle(d);
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) made += desc_take(d, xsk_ring_cons__rx_desc(&d->rx, at + i), &out[made]);
    xsk_ring_cons__release(&d->rx, count);
    netdev_assert_received(out, made);
    ring_refill(d);
    return made;
}

int ring_arm(struct netdev *n)
{
    struct xdp_dev *d = (struct xdp_dev *)n;
    if (n->link == NETDEV_GONE) return 0;
    idle(d);
    return xsk_cons_nb_avail(&d->rx, 1) ? -EAGAIN : 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The border between the library and its plug-ins: shared objects for devices that need a library of their own, loaded
 * when they are asked for. A plug-in exports one symbol, takes what it needs of the library from a struct of functions,
 * and gives back an ops table. Queues, tokens, credits and memory stay on the library's side; what crosses is a burst
 * and a call a turn, never a packet, an operation or a callback each.
 *
 * There are three kinds of device, by what they move:
 *
 *     frames     Ethernet frames; order, loss and bounds are tcp/'s         dpdk, xdp    struct netdev_ops
 *     messages   whole messages between two ends of a reliable connection   rdma         not there yet
 *     blocks     sectors of a device, by address                            NVMe         not there yet
 *
 * The tables of the last two are not written down before their first device is, since a table that nothing fills is
 * neither checked by a compiler nor by a test. What is decided of them, so that they come out like the first:
 *
 * - One device struct serves one thread and is polled: `poll(d, out, max)` gives up to max completions (of a receive, a
 *   send, a read, a write) in one array; `post(d, in, n)` takes the first n' <= n requests, as send() does, and the
 *   rest is asked again. Each carries a 64-bit word of the library's, and the device never looks behind it.
 * - fd(), arm(), look(), news_fd() and close() mean what they mean for frames, so that idling and the life of a device
 *   are the same code.
 * - Memory is registered by region (struct region_registrar), and a request names bytes that lie in one: a device looks
 *   up its cookie, and copies nothing. A message's receive buffers are the library's, posted ahead; how many the peer
 *   may use (credits) the library counts.
 * - messages: connect, listen and accept are requests like the others; a send has one or several pieces of a region and
 *   a message's length at most, which caps say. blocks: caps say the size of a sector, of the device and of a request;
 *   requests are read, write, flush and discard; order between them is the library's to keep, by waiting.
 *
 * A new kind adds an ops table, an open function beside `open` in a struct of its own, and a symbol. ABI numbers are a
 * kind's.
 */
#ifndef LIBOS_BORDER_H
#define LIBOS_BORDER_H

#include "tcp/netdev.h"

/* --- frames ------------------------------------------------------------------------------------------------------- */

#define NETDEV_ABI 3
struct netdev_host { /* the library's functions, since a plug-in cannot see them */
    struct buf *(*buf_take)(size_t size);
    void (*buf_unref)(struct buf *b);
    void (*buf_place)(struct buf *at, void *base, uint32_t cap, void *p, uint32_t n, buf_release_fn release, void *arg);
    int (*registry_add_device)(const struct region_registrar *ops, void *dev);
    void (*registry_remove_device)(int device);
    void *(*region_cookie)(int device, const void *p);
    struct region *(*region_find)(const void *p);
    /* libos/inet/owner.h */
    int (*owner_take)(const char *what, char *who, size_t who_size);
    void (*owner_give)(const char *what);
};
struct netdev_plugin {
    unsigned abi; /* NETDEV_ABI */
    const char *name;
    netdev_open_fn open;
};
#define NETDEV_PLUGIN_SYMBOL "demi_netdev_plugin"
typedef const struct netdev_plugin *(*netdev_plugin_fn)(const struct netdev_host *host);

#endif

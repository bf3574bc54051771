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
 *     messages   whole messages between two ends of a reliable connection   rdma         struct msgdev_ops
 *     blocks     blocks of a device, by address                             files        struct blockdev_ops
 *
 * Beside them stands one plug-in that is no device: TLS, which turns bytes into records and back (struct tls_engine).
 * It does no I/O, knows no queue and no clock; what crosses is a call a record.
 *
 * The table of the last one is in libos/blockdev.h; no plug-in fills it yet, but devices inside of the library do. What
 * is decided of all of them:
 *
 * - One device struct serves one thread and is polled: `poll(d, out, max)` gives up to max completions (of a receive, a
 *   send, a read, a write) in one array; `post(d, in, n)` takes the first n' <= n requests, as send() does, and the
 *   rest is asked again. Each carries a 64-bit word of the library's, and the device never looks behind it.
 * - fd(), arm(), look(), news_fd() and close() mean what they mean for frames, so that idling and the life of a device
 *   are the same code.
 * - Memory is registered by region (struct region_registrar), and a request names bytes that lie in one, by the
 *   device's cookie, which the library has looked up: it copies what has none, the device copies nothing.
 * - What is rare and may be refused at once (an end of a connection, a listener; for blocks: opening, resizing) is a
 *   call; what becomes of it is a completion.
 * - blocks: caps say the size of a sector, of the device and of a request; requests are read, write, flush and discard;
 *   order between them is the library's to keep, by waiting.
 *
 * A new kind adds an ops table, an open function beside `open` in a struct of its own, and a symbol. ABI numbers are a
 * kind's.
 */
#ifndef LIBOS_BORDER_H
#define LIBOS_BORDER_H

#include "demi/tls.h"
#include "libos/msgdev.h"
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

/* --- messages ----------------------------------------------------------------------------------------------------- */

#define MSGDEV_ABI 3
struct msgdev_host { /* the library's functions, since a plug-in cannot see them */
    int (*registry_add_device)(const struct region_registrar *ops, void *dev);
    void (*registry_remove_device)(int device);
};
struct msgdev_plugin {
    unsigned abi; /* MSGDEV_ABI */
    const char *name;
    msgdev_open_fn open;
};
#define MSGDEV_PLUGIN_SYMBOL "demi_msgdev_plugin"
typedef const struct msgdev_plugin *(*msgdev_plugin_fn)(const struct msgdev_host *host);

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

struct tls_rules;   /* the engine's side of a context */
struct tls_session; /* of a connection */

/* Both ends of the wire for the time of a call. The engine moves in on and shortens in_len as it reads, and fills out
 * up to room. */
struct tls_wire {
    const uint8_t *in;
    uint32_t in_len;
    uint32_t room, out_len;
    uint8_t *out;
    bool pending; /* set by read(): there is plaintext that did not fit; it needs no further bytes from the wire */
};

enum tls_step {
    TLS_DONE,
    TLS_WANTS_INPUT, /* all of in was read; call again with more */
    TLS_WANTS_ROOM,  /* out is full; call again with the same arguments and an empty one */
    TLS_ENDED,       /* read(): by the peer's close_notify */
    TLS_BROKEN,      /* why() says by what; out may hold an alert */
};

#define TLS_ABI        1
#define TLS_WHY_SIZE   160   /* of demi_tls_info.why */
#define TLS_RECORD_MAX 16000 /* bytes that one write() takes; with everything around them at most BUF_LARGE_SIZE */
#define TLS_OVERHEAD   384   /* what a record may be longer than its bytes: IV, MAC, padding, header */

/* Calls about one session are its thread's, the others any thread's. */
struct tls_engine {
    unsigned abi; /* TLS_ABI */
    const char *name;
    /* -EINVAL with why, -ENOMEM. */
    int (*rules_new)(const struct demi_tls_options *o, struct tls_rules **out, char *why, size_t why_size);
    void (*rules_free)(struct tls_rules *r); /* sessions go on */
    int (*rules_certificate)(const struct tls_rules *r, enum demi_tls_which which, struct demi_tls_certificate *out);
    /* name: NULL, or of the server that a client wants. -ENOMEM, -EINVAL: the name. */
    int (*session_new)(struct tls_rules *r, bool is_server, const char *name, struct tls_session **out);
    void (*session_free)(struct tls_session *s);
    enum tls_step (*handshake)(struct tls_session *s, struct tls_wire *w);
    /* As many records as are there and fit; DONE: *got is not 0. */
    enum tls_step (*read)(struct tls_session *s, struct tls_wire *w, void *p, size_t n, size_t *got);
    /* n up to TLS_RECORD_MAX: all of it or, with WANTS_ROOM, not yet. */
    enum tls_step (*write)(struct tls_session *s, struct tls_wire *w, const void *p, size_t n);
    enum tls_step (*end)(struct tls_session *s, struct tls_wire *w); /* close_notify */
    const char *(*why)(const struct tls_session *s);
    void (*describe)(const struct tls_session *s, struct demi_tls_info *out);
    int (*peer)(const struct tls_session *s, struct demi_tls_certificate *out);
    /* Bytes that the library behind it has allocated in this process; 0: that is not known. */
    uint64_t (*memory)(void);
};
#define TLS_PLUGIN_SYMBOL "demi_tls_plugin"
typedef const struct tls_engine *(*tls_plugin_fn)(void);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Buffers: reference-counted views of memory that devices can reach, with room in front for
 * headers.
 *
 *     storage   base |<- headroom ->|<------------- room ------------->| base + cap
 *     view                    data |<--- len --->|
 *
 * A buf is a view: `data`, `len`. It either owns its storage (buf_take), or shares another buf's
 * (buf_slice), or stands for memory of somebody else (buf_wrap): a pinned object of the heap, a
 * device's frame, memory of the program's own.
 *
 * Several holders of one view count themselves by buf_ref()/buf_unref(); a view with more than one
 * holder is not trimmed, extended or chained: take a slice for bounds of your own. Storage is given
 * back when its last view goes.
 *
 * A chain is a list of bufs through `next`, and belongs to its first: the last buf_unref() of the
 * head lets go of all. Bufs belong to the thread that took them, and no function here may be called
 * from another.
 */
#ifndef ALLOC_BUF_H
#define ALLOC_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUF_HEADROOM   128 /* Ethernet + IPv6 + TCP with all options: 14 + 4 + 40 + 60 */
#define BUF_SMALL_SIZE 2048
#define BUF_LARGE_SIZE 16384
#define BUF_SIZE_MAX   ((size_t)1 << 30)

typedef void (*buf_release_fn)(void *arg);

struct buf {
    uint8_t *data;       /* may be read and, with one holder, moved by the calls below */
    uint32_t len;        /* bytes from data */
    uint32_t refs;       /* private: holders of this view */
    struct buf *next;    /* the next of the chain */
    struct buf *store;   /* private: whose storage data lies in; itself for the owner */
    uint8_t *base;       /* first byte of the storage, headroom included */
    uint32_t cap;        /* bytes of storage from base */
    uint32_t views : 29; /* private, of a store: views of this storage, its own included */
    uint32_t kind : 3;   /* private */
    union {
        buf_release_fn release;
        uint64_t tag; /* the holder's to use, on bufs of buf_take() */
    } u;
    void *arg; /* private with buf_wrap, else the holder's to use */
};

/* A buffer with BUF_HEADROOM before and at least `size` bytes (0 to BUF_SIZE_MAX) from data; len is
 * 0. NULL: out of memory. ~10 ns up to BUF_LARGE_SIZE. */
struct buf *buf_take(size_t size);

/* The same with room for exactly `size` bytes: 0 for one that holds headers only. */
struct buf *buf_take_exact(size_t size);

/* A view of n bytes of somebody else's memory; release(arg) is called when the last view of it
 * goes. NULL: out of memory (release is not called). */
struct buf *buf_wrap(void *p, size_t n, buf_release_fn release, void *arg);

/* The same as buf_wrap() without an allocation: the view is made in *at, which lies in the holder's own memory (a
 * descriptor's private area) and stays his; release(arg) says that nobody uses it any more. base and cap bound the
 * storage around p. */
void buf_place(struct buf *at, void *base, uint32_t cap, void *p, uint32_t n, buf_release_fn release, void *arg);

/* One that buf_place() has made and release() has given back is as it was made, over n bytes at p of the same
 * storage. */
static inline void buf_place_again(struct buf *at, void *p, uint32_t n)
{
    at->data = p;
    at->len = n;
    at->refs = 1;
    at->next = NULL;
    at->views = 1;
}

/* A new view of n bytes at `offset` into b (not into its chain). NULL: out of memory or out of b's
 * bounds. */
struct buf *buf_slice(struct buf *b, size_t offset, size_t n);

static inline struct buf *buf_ref(struct buf *b)
{
    b->refs++;
    return b;
}
void buf_unref(struct buf *b); /* NULL is allowed */

/* Nobody else holds this view or its storage: its bytes may be written. */
static inline bool buf_is_sole(const struct buf *b) { return b->refs == 1 && b->store->views == 1; }

/* Bytes in front of and behind the view that belong to the same storage. */
static inline size_t buf_headroom(const struct buf *b) { return (size_t)(b->data - b->base); }
static inline size_t buf_tailroom(const struct buf *b) { return b->cap - buf_headroom(b) - b->len; }

/* Whether [p, p + n) lies in b's view. */
static inline bool buf_contains(const struct buf *b, const void *p, size_t n)
{
    uintptr_t at = (uintptr_t)p - (uintptr_t)b->data;
    return at <= b->len && n <= b->len - at;
}

/* These four return NULL, and change nothing, when there is not so much. push/put give where the
 * new bytes go; trim gives b's data. */
static inline void *buf_push_front(struct buf *b, size_t n)
{
    if (n > buf_headroom(b)) return NULL;
    b->data -= n;
    b->len += (uint32_t)n;
    return b->data;
}
static inline void *buf_put_back(struct buf *b, size_t n)
{
    if (n > buf_tailroom(b)) return NULL;
    uint8_t *at = b->data + b->len;
    b->len += (uint32_t)n;
    return at;
}
static inline void *buf_trim_front(struct buf *b, size_t n)
{
    if (n > b->len) return NULL;
    b->data += n;
    b->len -= (uint32_t)n;
    return b->data;
}
static inline void *buf_trim_back(struct buf *b, size_t n)
{
    if (n > b->len) return NULL;
    b->len -= (uint32_t)n;
    return b->data;
}

/* --- chains --- */

/* Puts chain `tail` behind the last buf of `head`; head owns it now. */
void buf_chain_append(struct buf *head, struct buf *tail);
/* Bytes of all views of a chain; NULL is empty. */
size_t buf_chain_len(const struct buf *head);
/* Copies up to n bytes from `offset` of the chain's bytes; returns how many there were. */
size_t buf_chain_copy(const struct buf *head, size_t offset, void *out, size_t n);
/* Drops n bytes at the front, and the bufs that become empty; returns the new head, NULL when all
 * is gone. */
struct buf *buf_chain_drop(struct buf *head, size_t n);
/* Drops what is behind the first n bytes, n at least 1 and at most the chain's length. */
void buf_chain_trim(struct buf *head, size_t n);

#endif

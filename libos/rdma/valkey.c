/* SPDX-License-Identifier: MIT
 *
 * See valkey.h. The receives that a peer's writes and messages take are those of the shared queue: they come back
 * unused but for 32 bytes, and are posted again at once.
 */
#include "libos/rdma/valkey.h"

#include "libos/rdma/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct valkey *valkey_new(struct rdma *r, uint32_t size, int *err)
{
    struct valkey *v = calloc(1, sizeof *v);
    *err = -ENOMEM;
    if (!v) return NULL;
    valkey_wire_init(&v->w, size);
    list_init(&v->stranger);
    v->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (v->base == MAP_FAILED) goto free_valkey;
    *err = r->dev->ops->lend(r->dev, v->base, size, &v->lent);
    if (*err) goto unmap;
    v->is_lent = true;
    r->valkey_lent += size;
    return v;

unmap:
    munmap(v->base, size);
free_valkey:
    free(v);
    return NULL;
}

void valkey_take_back(struct rdma *r, struct valkey *v)
{
    if (!v->is_lent) return;
    v->is_lent = false;
    if (v->is_stranger) strangers_remove(v->conn);
    r->dev->ops->take_back(r->dev, &v->lent);
    r->valkey_lent -= v->w.size;
}

void valkey_free(struct rdma *r, struct valkey *v)
{
    valkey_take_back(r, v);
    munmap(v->base, v->w.size);
    free(v);
}

/* --- in ----------------------------------------------------------------------------------------------------------- */

static void took(struct rdma_conn *c, uint32_t n)
{
    if (valkey_wire_took(&c->v->w, n)) rdma_send_mark(c);
}

void valkey_drop(struct rdma_conn *c) { took(c, valkey_wire_readable(&c->v->w)); }

struct buf *valkey_shift(struct rdma_conn *c)
{
    const struct valkey_wire *w = &c->v->w;
    uint32_t n = valkey_wire_readable(w);
    if (n > BUF_LARGE_SIZE) n = BUF_LARGE_SIZE;
    DASSERT(n);
    struct buf *b = buf_take_exact(n); /* small ones are small objects of the heap: most requests are */
    if (unlikely(!b)) return NULL;
    memcpy(buf_put_back(b, n), c->v->base + w->read, n);
    took(c, n);
    return b;
}

static const char *written(struct rdma_conn *c, uint32_t n)
{
    const char *why = valkey_wire_written(&c->v->w, n);
    if (unlikely(why)) return why;
    c->r->rx_bytes += n;
    if (unlikely(!rdma_conn_is_read(c))) valkey_drop(c);
    else if (likely(c->sock)) rdma_recv_give(c->sock);
    return NULL;
}

static const char *heard(struct rdma_conn *c, const struct buf *b, uint32_t n)
{
    struct valkey_wire *w = &c->v->w;
    const char *why = valkey_wire_heard(w, b->data, n);
    if (!why && (valkey_wire_has_to_say(w) || rdma_has_data(c))) rdma_send_mark(c);
    return why;
}

void valkey_received(struct rdma_conn *c, struct buf *b, const struct msgdev_completion *m)
{
    c->r->rx_messages++;
    c->is_silent = false;
    const char *why = NULL;
    if (likely(c->state <= CONN_UP)) /* else on our way out */
        why = m->flags & MSGDEV_HAS_IMMEDIATE ? written(c, m->immediate) : heard(c, b, m->len);
    if (unlikely(why)) rdma_conn_protocol_error(c, why);
}

/* SPDX-License-Identifier: MIT
 *
 * See strangers.h. Room is made ahead of need, since a connection that is cut off keeps its buffer until the device has
 * let go of it: from three quarters on, each that comes costs the oldest.
 */
#include "libos/rdma/strangers.h"

#include "alloc/base/log.h"
#include "libos/rdma/sock.h"

#include <errno.h>

#define STRANGER_NS 1000000000u

static void cut_oldest(struct rdma *r)
{
    struct list *l = list_first(&r->strangers.all);
    if (!l) return;
    struct valkey *v = list_entry(l, struct valkey, stranger);
    if (runtime_clock(r->base.rt) - v->since_ns < STRANGER_NS) return;
    list_remove(&v->stranger);
    r->strangers.cut++;
    if (rdma_may_tell(r)) log_notice(NULL, "rdma: %s: a client that nobody knows is cut off for another", r->dev->what);
    rdma_conn_fail(v->conn, ECONNRESET);
}

bool strangers_have_room(struct rdma *r, uint32_t n, uint32_t most)
{
    if (!most) return true;
    uint64_t after = r->strangers.bytes + n;
    if (after > most / 4 * 3) cut_oldest(r);
    if (r->strangers.bytes + n <= most) return true;
    r->strangers.refused++;
    return false;
}

void strangers_add(struct rdma_conn *c)
{
    struct valkey *v = c->v;
    v->conn = c;
    v->is_stranger = true;
    v->since_ns = runtime_clock(c->r->base.rt);
    c->r->strangers.bytes += v->w.size;
    list_push_back(&c->r->strangers.all, &v->stranger);
}

void strangers_remove(struct rdma_conn *c)
{
    struct valkey *v = c->v;
    if (!v->is_stranger) return;
    v->is_stranger = false;
    list_remove(&v->stranger);
    c->r->strangers.bytes -= v->w.size;
}

/* SPDX-License-Identifier: MIT
 *
 * A packet to ourselves is copied: its bytes may belong to a program that has lent them, or to a send queue that will
 * want to send them again, and who receives a packet may write to it.
 */
#include "tcp/loop.h"

#include <errno.h>

#include "alloc/heap.h"
#include "tcp/ip4.h"
#include "tcp/ip6.h"

int loop_init(struct net_stack *s)
{
    uint32_t size = s->conf.limits.tx_frames;
    s->ip.loop.slots = heap_alloc((size_t)size * sizeof *s->ip.loop.slots);
    if (!s->ip.loop.slots) return -ENOMEM;
    s->ip.loop.mask = size - 1;
    return 0;
}

void loop_fini(struct net_stack *s)
{
    struct ip_loop *l = &s->ip.loop;
    for (; l->head != l->tail; l->head++) buf_unref(l->slots[l->head & l->mask]);
    heap_free(l->slots);
}

void loop_push(struct net_stack *s, struct buf *b, uint32_t len)
{
    struct ip_loop *l = &s->ip.loop;
    if (l->tail - l->head > l->mask) {
        s->n.drop_tx_full++;
        buf_unref(b);
        return;
    }
    b = buf_together(s, b, len);
    if (!b) return;
    s->n.tx_loop++;
    l->slots[l->tail++ & l->mask] = b;
}

void loop_run(struct net_stack *s)
{
    struct ip_loop *l = &s->ip.loop;
    for (uint32_t end = l->tail; l->head != end;) {
        struct buf *b = l->slots[l->head++ & l->mask];
        struct link_info from = {.csum_ok = true, .is_loop = true};
        if (b->data[0] >> 4 == 4) ip4_input(s, b, b->len, &from);
        else ip6_input(s, b, b->len, &from);
    }
}

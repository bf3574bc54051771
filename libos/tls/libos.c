/* SPDX-License-Identifier: MIT
 *
 * The libOS behind TLS queues: it has no sockets of its own, and is started with the first connection. It turns the
 * queues on which something has happened, counts, and knows what is still to leave when the runtime ends.
 */
#include "libos/tls/parts.h"

#include <stdlib.h>

void tls_schedule(struct tls_queue *t)
{
    if (t->is_scheduled) return;
    t->is_scheduled = true;
    list_push_back(&t->libos->scheduled, &t->scheduled);
    runtime_need_flush(t->q.rt);
}

static int start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct tls_libos *l = calloc(1, sizeof *l);
    if (!l) return -ENOMEM;
    list_init(&l->scheduled);
    list_init(&l->closing);
    list_init(&l->open);
    const struct counter all[] = {
        {"tls.sessions", &l->sessions}, {"tls.handshakes", &l->handshakes},
        {"tls.resumed", &l->resumed},   {"tls.failed", &l->failed},
        {"tls.cut", &l->cut},           {"tls.rx_bytes", &l->rx_bytes},
        {"tls.tx_bytes", &l->tx_bytes}, {"tls.waits", &l->waits},
    };
    int err = counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
    if (err) {
        counters_remove(&rt->counters, l, sizeof *l);
        free(l);
        return err;
    }
    *out = &l->base;
    return 0;
}

static void stop(struct libos *base)
{
    struct tls_libos *l = (struct tls_libos *)base;
    counters_remove(&base->rt->counters, l, sizeof *l);
    ASSERT(list_is_empty(&l->open)); /* the runtime has closed them */
    while (!list_is_empty(&l->closing)) {
        struct tls_queue *t = list_entry(l->closing.next, struct tls_queue, all);
        tls_fail(t, ECONNABORTED, "the runtime has ended");
        tls_turn(t);
    }
    free(l);
}

/* Only those that were there at first: one that a turn puts there anew is for the next flush. */
static void flush(struct libos *base)
{
    struct tls_libos *l = (struct tls_libos *)base;
    struct list now;
    list_init(&now);
    list_splice_back(&now, &l->scheduled);
    for (struct list *it; (it = list_pop_front(&now));) {
        struct tls_queue *t = list_entry(it, struct tls_queue, scheduled);
        t->is_scheduled = false;
        tls_turn(t);
    }
    if (!list_is_empty(&l->scheduled)) runtime_need_flush(base->rt);
}

/* What was scheduled by the flush of a libOS below is not left until something else happens. */
static uint64_t next_deadline(struct libos *base)
{
    return list_is_empty(&((struct tls_libos *)base)->scheduled) ? UINT64_MAX : 0;
}

static uint64_t undrained(struct libos *base)
{
    struct tls_libos *l = (struct tls_libos *)base;
    uint64_t left = 0;
    list_for_each(it, &l->closing)
    {
        struct tls_queue *t = list_entry(it, struct tls_queue, all);
        left += t->queued - t->sealed + 1;
    }
    return left;
}

const struct libos_ops tls_libos = {.name = "tls",
                                    .start = start,
                                    .stop = stop,
                                    .flush = flush,
                                    .next_deadline = next_deadline,
                                    .undrained = undrained};

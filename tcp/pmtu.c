/* SPDX-License-Identifier: MIT
 *
 * An entry lives ten minutes (RFC 1191 6.3, RFC 8201 4), then the path is tried with the link's MTU again. It only ever
 * gets smaller, never below conf.pmtu_min for IPv4 (a forged error shall not make us send tinygrams: RFC 5927 7) and
 * never below 1280 for IPv6 (RFC 8201 4). A sender that gets an error without a size goes down the plateaus of RFC 1191
 * 7. When the table is full the entry nearest its end goes.
 */
#include "tcp/pmtu.h"

#include <errno.h>

#include "alloc/base/hash.h"
#include "alloc/heap.h"
#include "tcp/route.h"

#define PMTU_AGE    (600 * NSEC_PER_SEC)
#define PMTU_MIN_V6 1280
#define PMTU_WAYS   4 /* places an address may have */

struct pmtu_entry {
    struct ip_addr dst;
    nsec until; /* 0: free */
    uint16_t mtu;
};

struct pmtu_table {
    struct net_stack *stack;
    struct timer timer; /* runs while there are entries */
    uint32_t mask;      /* of sets of PMTU_WAYS */
    struct pmtu_entry entries[];
};

int pmtu_init(struct net_stack *s)
{
    uint32_t sets = 1;
    while (sets * PMTU_WAYS < s->conf.limits.paths) sets <<= 1;
    struct pmtu_table *t = heap_calloc(1, sizeof *t + (size_t)sets * PMTU_WAYS * sizeof t->entries[0]);
    if (!t) return -ENOMEM;
    t->stack = s;
    t->mask = sets - 1;
    s->ip.pmtu = t;
    return 0;
}

void pmtu_fini(struct net_stack *s)
{
    heap_free(s->ip.pmtu);
    s->ip.pmtu = NULL;
}

static struct pmtu_entry *set_of(const struct net_stack *s, const struct ip_addr *dst)
{
    struct pmtu_table *t = s->ip.pmtu;
    return &t->entries[((uint32_t)hash_pair(dst->q[0], dst->q[1], s->hash_seed) & t->mask) * PMTU_WAYS];
}

static struct pmtu_entry *pmtu_find(const struct net_stack *s, const struct ip_addr *dst)
{
    struct pmtu_entry *e = set_of(s, dst);
    for (unsigned i = 0; i < PMTU_WAYS; i++)
        if (e[i].until > s->now && addr_equal(&e[i].dst, dst)) return &e[i];
    return NULL;
}

uint16_t pmtu_get(const struct net_stack *s, const struct ip_addr *dst)
{
    const struct pmtu_entry *e = pmtu_find(s, dst);
    return e ? e->mtu : 0;
}

/* When entries end, paths look again. */
static void sweep(struct timer *timer)
{
    struct pmtu_table *t = container_of(timer, struct pmtu_table, timer);
    nsec next = NSEC_NEVER;
    bool ended = false;
    for (uint32_t i = 0; i < (t->mask + 1) * PMTU_WAYS; i++) {
        struct pmtu_entry *e = &t->entries[i];
        if (e->until && e->until <= t->stack->now) {
            e->until = 0;
            ended = true;
        } else if (e->until && e->until < next) {
            next = e->until;
        }
    }
    if (ended) route_changed(t->stack);
    if (next != NSEC_NEVER) wheel_start(&t->stack->wheel, &t->timer, next + NSEC_PER_SEC, sweep);
}

/* RFC 1191 7.1: the largest plateau below. */
static uint16_t plateau_below(uint16_t mtu)
{
    static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};
    for (unsigned i = 0; i < sizeof plateaus / sizeof *plateaus; i++)
        if (plateaus[i] < mtu) return plateaus[i];
    return 68;
}

bool pmtu_learn(struct net_stack *s, const struct ip_addr *dst, uint16_t mtu)
{
    struct pmtu_entry *e = pmtu_find(s, dst);
    bool v4 = addr_is_v4(dst);
    uint16_t now_mtu = e ? e->mtu : v4 ? s->ip.mtu4 : s->ip.mtu6;
    uint16_t floor = v4 ? s->conf.pmtu_min : PMTU_MIN_V6;
    if (mtu == 0 && v4) mtu = plateau_below(now_mtu);
    if (mtu < floor) {
        if (!v4) return false; /* RFC 8201 4: must not */
        mtu = floor;
    }
    if (mtu >= now_mtu) return false;
    if (!e) {
        e = set_of(s, dst);
        for (struct pmtu_entry *other = e + 1, *end = e + PMTU_WAYS; other < end; other++)
            if (other->until < e->until) e = other;
    }
    *e = (struct pmtu_entry){.dst = *dst, .until = s->now + PMTU_AGE, .mtu = mtu};
    struct pmtu_table *t = s->ip.pmtu;
    if (!timer_runs(&t->timer)) wheel_start(&s->wheel, &t->timer, e->until, sweep);
    s->n.pmtu_updates++;
    route_changed(s);
    return true;
}

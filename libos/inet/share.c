/* SPDX-License-Identifier: MIT
 *
 * See share.h.
 *
 * Groups are found by name under a mutex, which only joining and leaving take. Between two members there is a ring each
 * way (alloc/base/ring.h); a full one drops and counts. Frames travel as malloc()ed copies, since a buf belongs to its
 * thread. A member that leaves waits until nobody is about to ring it (`senders`); rings and what is in them stay with
 * the group, which the last member frees.
 */
#include "libos/inet/share.h"

#include "alloc/base/list.h"
#include "alloc/base/ring.h"
#include "libos/runtime/runtime.h"
#include "tcp/hdr.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define RING_SLOTS 512
#define KEY_MAX    256
#define ALONE      0x8000u /* in a port's owners: without SO_REUSEPORT */

static_assert(SHARE_MAX < 16, "a bit each, and ALONE");

struct handed {
    uint32_t len;
    uint16_t flags;
    uint8_t bytes[];
};

struct share {
    struct share_group *group;
    unsigned index;
    atomic_bool active;
    atomic_int senders; /* others who are handing us something now */
    struct wake wake;
    share_take_fn take;
    void *arg;
    struct runtime *rt;
    uint64_t given, taken, lost;
    uint8_t *counts[2];           /* how often each port is ours */
    struct ring rings[SHARE_MAX]; /* from each */
    void *slots[SHARE_MAX][RING_SLOTS];
};

struct share_group {
    struct list link;
    char key[KEY_MAX];
    unsigned places, used;
    uint16_t low, high; /* ports of active opens, in `places` equal parts */
    struct share *members[SHARE_MAX];
    _Atomic uint16_t owners[2][65536]; /* TCP, UDP */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list groups = {&groups, &groups};
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A forked child has no thread but one, and none of the parent's places. */
static void share_fork_prepare(void) { pthread_mutex_lock(&lock); }
static void share_fork_parent(void) { pthread_mutex_unlock(&lock); }
static void share_fork_child(void)
{
    list_init(&groups);
    pthread_mutex_unlock(&lock);
}
static void watch_forks(void) { pthread_atfork(share_fork_prepare, share_fork_parent, share_fork_child); }

/* --- ports -------------------------------------------------------------------------------------------------------- */

static unsigned part_size(const struct share_group *g) { return (g->high - g->low + 1u) / g->places; }

void share_ports(const struct share *s, uint16_t *low, uint16_t *high)
{
    unsigned size = part_size(s->group);
    *low = (uint16_t)(s->group->low + s->index * size);
    *high = (uint16_t)(*low + size - 1);
}

int share_own(struct share *s, bool dgram, uint16_t port, bool reuse)
{
    _Atomic uint16_t *owners = &s->group->owners[dgram][port];
    uint16_t mine = (uint16_t)(1u << s->index), seen = atomic_load(owners);
    if (s->counts[dgram][port] == UINT8_MAX) return -EADDRINUSE;
    do {
        if (seen & ~(mine | ALONE) && (!reuse || seen & ALONE)) return -EADDRINUSE;
    } while (!atomic_compare_exchange_weak(owners, &seen, (uint16_t)(seen | mine | (reuse ? 0 : ALONE))));
    s->counts[dgram][port]++;
    return 0;
}

void share_disown(struct share *s, bool dgram, uint16_t port)
{
    if (!s->counts[dgram][port] || --s->counts[dgram][port]) return;
    _Atomic uint16_t *owners = &s->group->owners[dgram][port];
    uint16_t mine = (uint16_t)(1u << s->index), seen = atomic_load(owners);
    while (!atomic_compare_exchange_weak(owners, &seen, (uint16_t)(seen & ~(mine | ALONE))))
        ;
}

/* --- handing over ------------------------------------------------------------------------------------------------- */

/* Whose a frame is, by index; SHARE_MAX: everybody's. */
static unsigned owner_of_port(const struct share *s, bool dgram, uint16_t port)
{
    struct share_group *g = s->group;
    uint16_t owners = atomic_load_explicit(&g->owners[dgram][port], memory_order_relaxed) & (uint16_t)~ALONE;
    if (owners & 1u << s->index) return s->index;
    if (owners) return (unsigned)__builtin_ctz(owners);
    if (port < g->low || port > g->high) return s->index;
    unsigned part = (port - g->low) / part_size(g);
    return part < g->places ? part : s->index;
}

static unsigned owner_of_l4(const struct share *s, uint8_t proto, const uint8_t *l4, const uint8_t *end)
{
    if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) && end - l4 >= 4)
        return owner_of_port(s, proto == IPPROTO_UDP, load_be16(l4 + 2));
    if (l4 >= end) return s->index;
    if (proto == IPPROTO_ICMP) return *l4 == 8 ? s->index : SHARE_MAX;                   /* a ping is answered here */
    if (proto == IPPROTO_ICMPV6) return *l4 == 128 || *l4 == 135 ? s->index : SHARE_MAX; /* and so is a solicitation */
    return s->index;
}

static unsigned owner_of(const struct share *s, const struct frame *f)
{
    const uint8_t *p = f->b->data, *end = p + f->b->len;
    if (end - p < 14) return s->index;
    uint16_t type = load_be16(p + 12);
    if (type == ETH_TYPE_ARP) return end - p >= 22 && load_be16(p + 20) == 2 ? SHARE_MAX : s->index;
    if (type == ETH_TYPE_IP4 && end - p >= 34) {
        const uint8_t *l4 = p + 14 + (size_t)(p[14] & 15) * 4;
        if (load_be16(p + 20) & (IP4_MF | IP4_OFFSET)) return s->index;
        if (p[0] & 1) return SHARE_MAX;
        return l4 > end ? s->index : owner_of_l4(s, p[23], l4, end);
    }
    if (type == ETH_TYPE_IP6 && end - p >= 54) {
        if (p[0] & 1 && p[20] != IPPROTO_ICMPV6) return SHARE_MAX;
        return owner_of_l4(s, p[20], p + 54, end);
    }
    return s->index;
}

static void hand_over(struct share *s, struct share *to, const struct frame *f)
{
    if (!to || !atomic_load_explicit(&to->active, memory_order_acquire)) return;
    struct handed *h = malloc(sizeof *h + f->len);
    if (!h) {
        s->lost++;
        return;
    }
    h->len = f->len;
    h->flags = f->flags;
    buf_chain_copy(f->b, 0, h->bytes, f->len);
    atomic_fetch_add(&to->senders, 1);
    if (atomic_load(&to->active) && ring_push(&to->rings[s->index], h)) {
        wake_ring(&to->wake);
        h = NULL;
        s->given++;
    }
    atomic_fetch_sub(&to->senders, 1);
    s->lost += h != NULL;
    free(h);
}

unsigned share_sort(struct share *s, struct frame *f, unsigned n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned owner = owner_of(s, &f[i]);
        struct share *to = owner < SHARE_MAX ? __atomic_load_n(&s->group->members[owner], __ATOMIC_ACQUIRE) : NULL;
        if (owner < SHARE_MAX && owner != s->index && to && atomic_load_explicit(&to->active, memory_order_relaxed)) {
            hand_over(s, to, &f[i]);
            buf_unref(f[i].b);
            continue;
        }
        for (unsigned m = 0; owner == SHARE_MAX && m < s->group->places; m++)
            if (m != s->index) hand_over(s, __atomic_load_n(&s->group->members[m], __ATOMIC_ACQUIRE), &f[i]);
        f[kept++] = f[i];
    }
    return kept;
}

static void take_all(struct wake *w)
{
    struct share *s = container_of(w, struct share, wake);
    for (unsigned m = 0; m < s->group->places; m++) {
        void *p;
        for (unsigned i = 0; i < RING_SLOTS && ring_pop(&s->rings[m], &p); i++) {
            struct handed *h = p;
            struct frame f = {.len = h->len, .flags = h->flags, .b = buf_take(h->len)};
            if (f.b) {
                memcpy(buf_put_back(f.b, h->len), h->bytes, h->len);
                s->take(s->arg, &f, 1);
                s->taken++;
            } else {
                s->lost++;
            }
            free(h);
        }
    }
}

/* --- membership --------------------------------------------------------------------------------------------------- */

static struct share_group *find_group(const char *key, unsigned places, uint16_t low, uint16_t high)
{
    list_for_each(it, &groups)
    {
        struct share_group *g = list_entry(it, struct share_group, link);
        if (!strcmp(g->key, key)) return g;
    }
    struct share_group *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    strncpy(g->key, key, KEY_MAX - 1);
    g->places = places;
    g->low = low;
    g->high = high;
    list_push_back(&groups, &g->link);
    return g;
}

static void free_member(struct share *s)
{
    void *p;
    for (unsigned m = 0; m < SHARE_MAX; m++)
        while (ring_pop(&s->rings[m], &p)) free(p);
    free(s->counts[0]);
    free(s->counts[1]);
    free(s);
}

static void free_group(struct share_group *g)
{
    for (unsigned m = 0; m < SHARE_MAX; m++)
        if (g->members[m]) free_member(g->members[m]);
    list_remove(&g->link);
    free(g);
}

static struct share *new_member(struct share_group *g, unsigned index)
{
    struct share *s = aligned_alloc(64, (sizeof *s + 63) & ~(size_t)63);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    s->group = g;
    s->index = index;
    for (unsigned m = 0; m < SHARE_MAX; m++) ring_init(&s->rings[m], s->slots[m], RING_SLOTS);
    s->counts[0] = calloc(1, 65536);
    s->counts[1] = calloc(1, 65536);
    if (s->counts[0] && s->counts[1]) return s;
    free_member(s);
    return NULL;
}

static int join(struct share_group *g, unsigned index, struct share **out)
{
    if (index >= g->places || (g->members[index] && atomic_load(&g->members[index]->active))) return -EBUSY;
    struct share *s = g->members[index]; /* somebody had the place before */
    if (!s) s = new_member(g, index);
    if (!s) return -ENOMEM;
    g->used++;
    *out = s;
    return 0;
}

int share_join(struct runtime *rt, const char *key, const struct netdev_caps *caps, uint16_t low, uint16_t high,
               share_take_fn take, void *arg, struct share **out)
{
    struct share *s = NULL;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    struct share_group *g = find_group(key, caps->queue_count < SHARE_MAX ? caps->queue_count : SHARE_MAX, low, high);
    int err = g ? join(g, caps->queue, &s) : -ENOMEM;
    if (err && g && !g->used) free_group(g);
    if (!err) {
        s->take = take;
        s->arg = arg;
        s->rt = rt;
        wake_init(&s->wake, rt, take_all);
        atomic_store(&s->active, true);
        __atomic_store_n(&g->members[s->index], s, __ATOMIC_RELEASE);
        counters_add(&rt->counters, "share.given", &s->given);
        counters_add(&rt->counters, "share.taken", &s->taken);
        counters_add(&rt->counters, "share.lost", &s->lost);
        *out = s;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void share_leave(struct share *s)
{
    if (!s) return;
    struct share_group *g = s->group;
    atomic_store(&s->active, false);
    while (atomic_load(&s->senders)) sched_yield();
    wake_end(&s->wake);
    counters_remove(&s->rt->counters, s, sizeof *s);
    for (unsigned dgram = 0; dgram < 2; dgram++)
        for (unsigned port = 0; port < 65536; port++)
            while (s->counts[dgram][port]) share_disown(s, dgram, (uint16_t)port);
    pthread_mutex_lock(&lock);
    if (!--g->used) free_group(g);
    pthread_mutex_unlock(&lock);
}

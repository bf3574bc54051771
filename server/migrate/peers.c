/* SPDX-License-Identifier: MIT */
#include "server/migrate/peers.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "server/mem.h"

void peers_init(struct peers *p)
{
    list_init(&p->all);
    p->count = 0;
}

static bool is_for(const struct peer_entry *e, struct bytes host, struct bytes port)
{
    return e->name_size == host.n + 1 + port.n && memcmp(e->name, host.p, host.n) == 0 && e->name[host.n] == 0 &&
           memcmp(e->name + host.n + 1, port.p, port.n) == 0;
}

static void drop(struct peers *p, struct peer_entry *e)
{
    link_close(&e->link);
    list_remove(&e->all);
    p->count--;
    mem_free(e);
}

/* The list is in the order in which they were given back; those that are busy are behind. */
static struct peer_entry *oldest_idle(struct peers *p)
{
    list_for_each(it, &p->all)
    {
        struct peer_entry *e = list_entry(it, struct peer_entry, all);
        if (!e->busy) return e;
    }
    return NULL;
}

static struct peer_entry *find_idle(struct peers *p, struct bytes host, struct bytes port)
{
    list_for_each(it, &p->all)
    {
        struct peer_entry *e = list_entry(it, struct peer_entry, all);
        if (!e->busy && is_for(e, host, port)) return e;
    }
    return NULL;
}

struct peer_entry *peers_take(struct peers *p, struct bytes host, struct bytes port)
{
    struct peer_entry *e = find_idle(p, host, port);
    if (e) {
        list_remove(&e->all);
    } else {
        struct peer_entry *victim = p->count >= PEERS_MAX ? oldest_idle(p) : NULL;
        if (victim) drop(p, victim);
        e = mem_calloc(sizeof *e + host.n + 1 + port.n);
        link_init(&e->link);
        e->db = -1;
        e->name_size = host.n + 1 + port.n;
        if (host.n) memcpy(e->name, host.p, host.n);
        if (port.n) memcpy(e->name + host.n + 1, port.p, port.n);
        p->count++;
    }
    e->busy = true;
    list_push_back(&p->all, &e->all);
    return e;
}

void peers_give(struct peers *p, struct peer_entry *e, int64_t now_ms)
{
    ASSERT(e->busy);
    e->busy = false;
    e->used_ms = now_ms;
    if (!link_is_open(&e->link)) {
        drop(p, e);
        return;
    }
    list_remove(&e->all);
    list_push_back(&p->all, &e->all);
}

void peers_close_idle(struct peers *p, int64_t now_ms)
{
    list_for_each_safe(it, &p->all)
    {
        struct peer_entry *e = list_entry(it, struct peer_entry, all);
        if (!e->busy && (now_ms < e->used_ms || now_ms - e->used_ms > PEERS_IDLE_MS)) drop(p, e);
    }
}

void peers_close_all(struct peers *p)
{
    list_for_each_safe(it, &p->all)
    {
        struct peer_entry *e = list_entry(it, struct peer_entry, all);
        if (e->busy) link_close(&e->link);
        else drop(p, e);
    }
}

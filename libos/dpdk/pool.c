/* SPDX-License-Identifier: MIT
 *
 * Pools of mbufs. Programs may hold received bufs beyond the life of the device they came from, and net_ring peers each
 * other's mbufs: a pool that is given back with mbufs out stays in a list until they are home, and serves the next
 * device of the same shape.
 */
#include "libos/dpdk/dpdk.h"

#include <stdio.h>

#include <rte_errno.h>
#include <rte_mempool.h>

#define LATE_MAX  64 /* pools waiting for mbufs; more are leaked to the EAL, which frees them with the process */
#define CACHE_MAX 256
static_assert(CACHE_MAX + CACHE_MAX / 2 <= DPDK_TX_SPARE - 2 * DPDK_FRAME_MBUFS, "another thread's cache may be full");

static struct { /* under port.c's mutex, as all of the control path */
    struct rte_mempool *late[LATE_MAX];
    unsigned late_count;
    unsigned made; /* names must differ */
} pools;

static bool fits(const struct rte_mempool *pool, uint32_t count, uint32_t room)
{
    return pool->size >= count && pool->size <= 2 * count &&
           rte_pktmbuf_data_room_size((struct rte_mempool *)(uintptr_t)pool) == room;
}

/* Takes one that fits from the late ones that are whole again, and frees the whole ones that do not. */
static struct rte_mempool *sweep(uint32_t count, uint32_t room)
{
    struct rte_mempool *found = NULL;
    for (unsigned i = 0; i < pools.late_count;) {
        struct rte_mempool *pool = pools.late[i];
        if (!rte_mempool_full(pool)) {
            i++;
            continue;
        }
        pools.late[i] = pools.late[--pools.late_count];
        if (!found && fits(pool, count, room)) found = pool;
        else rte_mempool_free(pool);
    }
    return found;
}

struct rte_mempool *pool_take(uint32_t count, uint32_t room)
{
    struct rte_mempool *pool = sweep(count, room);
    if (pool) return pool;
    char name[32];
    snprintf(name, sizeof name, "demi-%u", pools.made++);
    unsigned cache = RTE_MIN(count / 8, (uint32_t)CACHE_MAX);
    /* Private areas are multiples of 8 by RTE_MBUF_PRIV_ALIGN. */
    uint16_t private = RTE_ALIGN(sizeof(struct mbuf_room), RTE_MBUF_PRIV_ALIGN);
    pool = rte_pktmbuf_pool_create(name, count, cache, private, (uint16_t)room, (int)rte_socket_id());
    if (!pool) pool = rte_pktmbuf_pool_create(name, count, cache, private, (uint16_t)room, SOCKET_ID_ANY);
    return pool;
}

void pool_give(struct rte_mempool *pool)
{
    if (!pool) return;
    if (rte_mempool_full(pool)) rte_mempool_free(pool);
    else if (pools.late_count < LATE_MAX) pools.late[pools.late_count++] = pool;
}

/* SPDX-License-Identifier: MIT
 *
 * The memory that the two ends of a connection share: a memfd, sealed so that nobody can shrink it under the other's
 * feet, mapped by both.
 *
 *     0      the sides' words: a line each, written by one of them (rarely) and read by the other
 *            side[0].head | side[0].waits | side[1].head | side[1].waits
 *     4096   ring from side 0 to side 1      ring_size bytes
 *            ring from side 1 to side 0      ring_size bytes
 *
 * Side 0 made it: who connects, or who creates a pipe.
 */
#ifndef SHM_AREA_H
#define SHM_AREA_H

#include "libos/shm/ring.h"

/* What a side that sleeps, or will, wants to be rung for. Its owner sets bits; who rings takes them away, so that there
 * is one ring for each time of going to sleep. */
enum area_waits { WAITS_DATA = 1, WAITS_ROOM = 2 };

struct area_side {
    _Alignas(RING_LINE) _Atomic uint64_t head; /* bytes of lines it has read */
    _Alignas(RING_LINE) _Atomic uint32_t waits;
};

struct area {
    struct area_side side[2];
};

#define AREA_RINGS 4096u /* where the rings begin */
static_assert(sizeof(struct area) <= AREA_RINGS, "in front of the rings");

/* Makes one; *fd is what to hand over. -errno. */
int area_make(uint32_t ring_size, struct area **out, int *fd);
/* Maps what another process has handed over. -EPROTO: it is not what we would have made; ring_size is not trusted. */
int area_map(int fd, uint32_t ring_size, struct area **out);
void area_unmap(struct area *a, uint32_t ring_size);

static inline uint8_t *area_ring(struct area *a, uint32_t ring_size, int from)
{
    return (uint8_t *)a + AREA_RINGS + (size_t)from * ring_size;
}

#endif

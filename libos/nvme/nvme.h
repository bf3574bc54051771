/* SPDX-License-Identifier: MIT
 *
 * A controller and one namespace of it, as a device of blocks (libos/blockdev.h). Nothing here waits: nvme_turn() is
 * called by the libOS's poll, takes what has completed, and brings the controller from each state into the next.
 *
 *      STOPPING --> ENABLING --> ASKING --> LIVE --> LEAVING --> SHUTTING --> OFF
 *          ^                                 |
 *          +---- does not answer, or lies ---+       from any state: DEAD, when it has gone, or resets do not help
 *
 * Requests live in slots from their posting to their completion, a controller's reset included: they are issued again
 * when it is live again. A slot's number is its command's identifier (CID).
 *
 *      free --> posted --> issued --> done: its word and its error lie in done[] until they are taken
 *                  ^         |
 *                  +---------+ a reset, or a status that may be tried again
 *
 * One thread has it.
 */
#ifndef NVME_NVME_H
#define NVME_NVME_H

#include <stddef.h>

#include "alloc/base/log.h"
#include "alloc/registry.h"
#include "libos/blockdev.h"
#include "libos/nvme/identify.h"
#include "libos/nvme/ring.h"

#define NVME_DEPTH         64u /* requests at a time */
#define NVME_RING_SIZE     128u
#define NVME_ADMIN_SIZE    16u
#define NVME_REQUEST_MAX   (256u << 10)
#define NVME_BOUNCES       4u /* requests whose bytes the device cannot reach, at a time */
#define NVME_TRIES         4u /* of a request, the first included */
#define NVME_RESETS        3u /* in a row, without a request that succeeds between them */
#define NVME_TIMEOUT_NS    ((uint64_t)10000000000)
#define NVME_LOOK_NS       ((uint64_t)1000000000)  /* between two looks at a live controller's status */
#define NVME_AWAY_NS       (2 * NVME_LOOK_NS)      /* between two turns: longer is the program's doing */
#define NVME_STEP_NS       ((uint64_t)100000)      /* the same where it is waited for */
#define NVME_SHUTDOWN_NS   ((uint64_t)5000000000)  /* where it does not say how long that takes, */
#define NVME_SHUTDOWN_MOST ((uint64_t)20000000000) /* and whatever it says */

static_assert(NVME_DEPTH < NVME_RING_SIZE, "a full ring would look like an empty one");
static_assert(NVME_REQUEST_MAX / NVME_PAGE + 1 <= NVME_PAGE / 8, "a request's pages fit into one list");

enum nvme_state {
    NVME_STOPPING, /* CC.EN = 0; until CSTS.RDY = 0 */
    NVME_ENABLING, /* until CSTS.RDY = 1 */
    NVME_ASKING,   /* admin commands, one after the other */
    NVME_LIVE,
    NVME_LEAVING,  /* queues are deleted */
    NVME_SHUTTING, /* CC.SHN; until CSTS.SHST says that it is done */
    NVME_OFF,
    NVME_DEAD,
};

/* What an admin command is for, and its CID: one of each at a time. */
enum nvme_admin { NVME_ADMIN_STEP, NVME_ADMIN_ABORT, NVME_ADMIN_EVENT, NVME_ADMIN_LOG, NVME_ADMIN_COUNT };

/* The controller's own memory, which is mapped once. Its parts begin at pages. */
struct nvme_memory {
    struct nvme_sqe admin_sq[NVME_PAGE / sizeof(struct nvme_sqe)];
    struct nvme_cqe admin_cq[NVME_PAGE / sizeof(struct nvme_cqe)];
    struct nvme_sqe io_sq[NVME_RING_SIZE];
    struct nvme_cqe io_cq[NVME_PAGE / sizeof(struct nvme_cqe)];
    uint8_t page[NVME_PAGE]; /* what IDENTIFY and GET LOG PAGE answer */
    uint64_t lists[NVME_DEPTH][NVME_PAGE / 8];
    uint8_t bounces[NVME_BOUNCES][NVME_REQUEST_MAX];
};
static_assert(sizeof(struct nvme_memory) % NVME_PAGE == 0, "whole pages");
static_assert(sizeof(((struct nvme_memory *)0)->io_sq) % NVME_PAGE == 0, "the next part begins at a page");

struct nvme_slot {
    struct blockdev_request r;
    uint64_t address; /* of its bytes, for the device; of a FLUSH: nvme.written when it was issued */
    uint64_t since;   /* when it was issued, or its ABORT was sent */
    uint8_t tries;
    uint8_t bounce; /* number of its piece + 1; 0: none */
    bool aborted;
} __attribute__((aligned(64))); /* a line of the processor's cache */

struct nvme_counters {
    uint64_t reads, writes, flushes, deallocates, read_bytes, write_bytes;
    uint64_t errors;     /* requests that have failed */
    uint64_t retries;    /* requests issued once more */
    uint64_t bounced;    /* whose bytes were copied */
    uint64_t timeouts;   /* requests that were not answered in time */
    uint64_t aborts;     /* that were asked for */
    uint64_t resets;     /* of a controller */
    uint64_t lies;       /* completions of nothing that is out */
    uint64_t events;     /* asynchronous ones */
    uint64_t gone;       /* controllers */
    uint64_t unclean;    /* shutdowns that did not end */
    uint64_t cache_lost; /* FLUSHes refused, since what they were to make durable may have gone with a fatal error */
    uint64_t interrupts;
};

struct nvme {
    struct blockdev base;
    struct nvme_port *port;
    struct nvme_ring io;
    uint64_t busy, issued; /* bits of slots */
    uint32_t busy_count;
    struct nvme_memory *memory;
    uint64_t iova;  /* of memory */
    int registry;   /* the device's number there; -1: none */
    unsigned shift; /* of a block */
    uint32_t nsid;
    uint32_t depth; /* slots that are used */
    uint32_t done_count, done_taken;
    enum nvme_state state;
    uint64_t now;       /* of this turn */
    uint64_t next_look; /* when the status is looked at */
    struct nvme_counters *counters;
    uint64_t written, flushed; /* writes that have completed without being durable; and up to which they are now */
    bool doubtful;             /* the next FLUSH would be a lie */
    uint8_t bounce_free;
    struct blockdev_completion done[NVME_DEPTH];
    struct nvme_slot slots[NVME_DEPTH];
    /* states */
    struct nvme_ring admin;
    unsigned admin_busy; /* bits of enum nvme_admin */
    const struct nvme_step *step;
    uint64_t deadline; /* of the state, or of its admin command */
    uint64_t timeout_ns;
    unsigned resets_left;
    uint64_t cap;
    struct nvme_facts facts;
    bool was_live;
    bool has_event; /* an event's log page has been read, and the next is not waited for yet */
    int error;      /* errno of DEAD */
    struct log_budget lines;
    char name[32];
    char why[NVME_WHY_SIZE]; /* of DEAD: what has happened, in one line */
};

/* --- life.c: the states ------------------------------------------------------------------------------------------- */

/* Begins with STOPPING. The port becomes its; nsid counts from 1. -ENOMEM, -ENOTSUP, or what mapping memory said, with
 * why; then the port is still the caller's. */
int nvme_new(struct nvme **out, struct nvme_port *port, uint32_t nsid, const char *name, struct nvme_counters *counters,
             uint64_t now, char why[NVME_WHY_SIZE]);
/* Whatever it is doing, it does no more, and touches nobody's bytes. */
void nvme_free(struct nvme *v);
/* Takes what has completed, looks after it where that is due. How many requests have ended. */
unsigned nvme_turn(struct nvme *v, uint64_t now);
/* When the next turn is due although nothing interrupts. */
uint64_t nvme_deadline(const struct nvme *v);
/* Orderly: then OFF, or DEAD. Nothing is out. */
void nvme_shut(struct nvme *v);
/* STOPPING, from whatever state. */
void nvme_stop(struct nvme *v);
/* An interrupt: it may be of the admin queue. */
void nvme_interrupted(struct nvme *v);

/* --- trouble.c: what a controller should not do ------------------------------------------------------------------- */

/* It is reset, and what is out is issued again; DEAD where that did not help before. */
void nvme_reset(struct nvme *v, const char *why);
/* Everything that is out fails, and all that comes. */
void nvme_die(struct nvme *v, int err, const char *why);
/* All ones were read. */
void nvme_gone(struct nvme *v);
/* A look at a live controller: gone, fatal, events, requests that are not answered. */
void nvme_look(struct nvme *v);
/* A line about it; not too many. */
void nvme_tell(struct nvme *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- admin.c: its admin queue ------------------------------------------------------------------------------------- */

struct nvme_sqe *nvme_admin_begin(struct nvme *v, enum nvme_admin what, uint8_t opcode);
void nvme_admin_send(struct nvme *v);
void nvme_admin_reap(struct nvme *v);
/* The first command of a start, or of leaving. */
void nvme_ask(struct nvme *v);
void nvme_leave(struct nvme *v);
void nvme_abort(struct nvme *v, unsigned slot);
void nvme_wait_for_event(struct nvme *v);

/* --- io.c: requests ----------------------------------------------------------------------------------------------- */

extern const struct blockdev_ops nvme_blockdev_ops; /* its close() does nothing: who has opened it closes it */
unsigned nvme_io_reap(struct nvme *v);
/* Everything posted and not issued is issued. */
void nvme_io_issue_all(struct nvme *v);
/* A slot's request has ended. */
void nvme_io_end(struct nvme *v, unsigned slot, int err);

static inline uint32_t nvme_read32(const struct nvme *v, uint32_t at)
{
    return __atomic_load_n((const volatile uint32_t *)(v->port->bar + at), __ATOMIC_ACQUIRE);
}
static inline void nvme_write32(const struct nvme *v, uint32_t at, uint32_t value)
{
    __atomic_store_n((volatile uint32_t *)(v->port->bar + at), value, __ATOMIC_RELEASE);
}
/* By halves, the low one first: a bus may not carry more at once. */
static inline uint64_t nvme_read64(const struct nvme *v, uint32_t at)
{
    uint64_t low = nvme_read32(v, at);
    return low | (uint64_t)nvme_read32(v, at + 4) << 32;
}
static inline void nvme_write64(const struct nvme *v, uint32_t at, uint64_t value)
{
    nvme_write32(v, at, (uint32_t)value);
    nvme_write32(v, at + 4, (uint32_t)(value >> 32));
}

#endif

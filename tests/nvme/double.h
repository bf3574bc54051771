/* SPDX-License-Identifier: MIT
 *
 * An NVMe controller in this process's memory: registers, queues, one namespace, a volatile cache, and faults when they
 * are asked for. It follows the specification where the driver does, checks what the driver tells it, and is of no use
 * for more.
 *
 * double_run() is all that it does at a moment: whoever has it calls that, or a thread of its own does
 * (double_thread_begin). Memory that it was not given is not touched: `strays` counts where a command named some.
 */
#ifndef TESTS_NVME_DOUBLE_H
#define TESTS_NVME_DOUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "libos/nvme/port.h"

#define DOUBLE_BLOCKS_MAX ((uint64_t)1 << 16)

struct double_shape {
    uint64_t size;  /* bytes of the namespace */
    unsigned shift; /* of a block */
    uint32_t mqes;  /* entries of a queue at most; 0: 2048 */
    uint8_t mdts, dstrd;
    uint16_t awupf; /* counted from 0 */
    bool volatile_cache, deallocate, no_interrupts;
};

/* Each counts down, and works while it is not 0. */
struct double_faults {
    unsigned status; /* that the next `failing` requests of I/O end with */
    unsigned failing;
    unsigned ignored; /* requests of I/O that are never answered */
    unsigned ignored_admin;
    unsigned twice;                              /* are answered twice */
    unsigned wrong_cid, wrong_queue, wrong_head; /* answers that say so */
    unsigned no_abort;                           /* ABORTs that do nothing */
    bool never_ready, never_stops, never_shuts, fatal, gone;
    bool holds;                                    /* requests of I/O lie where they are */
    void (*identify)(uint8_t *page, unsigned cns); /* changes what is answered */
};

struct double_said { /* what the driver has done */
    unsigned enables, shutdowns, creates, deletes, identifies, aborts, events_wanted, log_pages;
    uint64_t reads, writes, flushes, discards, fua, doorbells;
    unsigned strays;  /* addresses that were never mapped */
    unsigned misuses; /* commands that the specification forbids */
    unsigned most_out;
    unsigned cuts;
};

struct nvme_double;

struct nvme_double *double_new(const struct double_shape *shape);
void double_free(struct nvme_double *d);
/* It stays the double's: a port that is closed may be had again. */
struct nvme_port *double_port(struct nvme_double *d);
struct double_faults *double_faults(struct nvme_double *d);
struct double_said *double_said(struct nvme_double *d);
/* One look at the registers, doorbells and queues. */
void double_run(struct nvme_double *d);
/* An asynchronous event, if one is waited for. */
void double_tell(struct nvme_double *d, uint32_t what);
/* The power goes: what was in the cache is there or not, block by block, as the seed says. */
void double_cut_power(struct nvme_double *d, uint64_t seed);
/* What is on the medium. */
uint8_t *double_medium(struct nvme_double *d);
/* Maps nothing from now on, but what has it already. */
void double_refuse_maps(struct nvme_double *d, bool refuse);
/* A thread that runs it; requests take ns from their doorbell to their completion. */
void double_thread_begin(struct nvme_double *d, uint64_t ns);
void double_thread_end(struct nvme_double *d);

#endif

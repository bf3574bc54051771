/* SPDX-License-Identifier: MIT
 *
 * A simulated disk: what a host of the simulation has instead of libos/disk, with the same semantics (demi_open() and
 * its kin). It is a small file system in memory that is there twice: as programs see it, and as a crash leaves it at
 * least. What was written, and every name that was made, changed or taken away, is safe when its file or its folder was
 * synced; before that a crash keeps any part of it.
 *
 * A disk outlives its host: another one on the same disk is a reboot.
 *
 *     struct sim_disk *d = sim_disk_new(s, NULL);
 *     struct sim_host *h = sim_host_add(s, "10.0.0.1", server, world);
 *     sim_host_mount(h, d);
 *     ... sim_host_crash(h) ...                                  (sim.h)
 *     sim_host_mount(sim_host_add(s, "10.0.0.1", server, world), d);
 *
 * Paths begin at the disk's one root folder. The process's working directory is another name for it, so that who asks
 * for that (getcwd(3)) and puts a name behind it finds the same file.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "libos/sim/sim.h"

struct sim_disk;

struct sim_disk_settings {
    uint64_t delay_ns, jitter_ns; /* an operation takes delay_ns and up to jitter_ns more; opening with none, none */
    uint64_t sync_ns, sync_jitter_ns; /* a sync that much more */
    uint64_t bytes_per_s;             /* read and written; 0: no limit */
    uint32_t stall_ppm;               /* operations that take up to stall_ns more */
    uint64_t stall_ns;
    uint32_t pieces_ppm; /* writes that are done in several parts, with time between them */
    uint64_t space;      /* bytes that all files may have together: then ENOSPC, after what fits; 0: no limit */
    /* operations that fail with EIO: of a write some bytes may be written; after a sync what it did not write is clean
     * and not safe, and the next sync says nothing of it; names are what open, rename, unlink and mkdir change */
    uint32_t open_eio_ppm, read_eio_ppm, write_eio_ppm, sync_eio_ppm, name_eio_ppm;
    uint32_t corrupt_ppm;   /* reads in which a bit is another */
    uint32_t misdirect_ppm; /* reads that come from another place of the file, or from another file */
    /* A crash keeps of what is not safe nothing, all, or what was done up to a moment: of a file its bytes from front
     * to back, maybe with zeroes for the rest; of names what was done first. These make it any subset: */
    bool any_sectors, any_names;
};

#define SIM_DISK_SECTOR 512u

struct sim_disk_stats {
    uint64_t operations, writes, syncs, reads, bytes_written;
    uint64_t failed;  /* operations that ended with an error of the settings or of sim_disk_fail_nth() */
    uint64_t crashes; /* and what they took: */
    uint64_t sectors_lost, names_lost;
};

/* settings NULL: quick and good. It is freed with the simulation. */
struct sim_disk *sim_disk_new(struct sim *s, const struct sim_disk_settings *settings);
/* Drawn from the seed: quick to slow, and a crash of either kind. Nothing of it fails. */
struct sim_disk_settings sim_disk_random(struct sim *s);
/* From the next operation on. */
void sim_disk_set(struct sim_disk *d, const struct sim_disk_settings *settings);
/* The n-th operation from now on (1: the next) ends with this errno. */
void sim_disk_fail_nth(struct sim_disk *d, uint64_t n, int error);
/* In the middle of the n-th operation from now on fn(arg) is called, as by sim_at(). 0: not any more. */
void sim_disk_when(struct sim_disk *d, uint64_t n, void (*fn)(void *arg), void *arg);
/* The disk is the host's, until that ends or crashes. Before the host first runs. */
void sim_host_mount(struct sim_host *h, struct sim_disk *d);

/* For who looks on from outside: the file as programs see it, valid until somebody writes to it. NULL: it is not
 * there. */
const char *sim_disk_bytes(const struct sim_disk *d, const char *path, size_t *n);
/* Makes it, or writes it over; all of it is safe. Its folder must be there. 0 or -errno. */
int sim_disk_put(struct sim_disk *d, const char *path, const void *bytes, size_t n);
/* Calls fn with each file's path. */
void sim_disk_visit(const struct sim_disk *d, void (*fn)(void *arg, const char *path), void *arg);
/* Bytes of all files. */
uint64_t sim_disk_used(const struct sim_disk *d);
const struct sim_disk_stats *sim_disk_stats(const struct sim_disk *d);

#endif

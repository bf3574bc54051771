/* SPDX-License-Identifier: MIT
 *
 * A host with a simulated disk and nothing else, and what its program does with files.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "tests/sim/sim_test.h"

#include "libos/sim/disk.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* --- in a host ---------------------------------------------------------------------------------------------------- */

#define FINE(w, call)         CHECK_EQUAL(w, call, 0)
#define FAILS(w, error, call) CHECK_EQUAL(w, call, error)

/* Both are 0 or an errno. */
static inline int open_file(int *qd, const char *path, int flags)
{
    demi_qtoken_t qt;
    int err = demi_async_open(&qt, qd, path, flags, 0600);
    return err ? err : wait_done(qt);
}

static inline int close_file(int qd)
{
    demi_qtoken_t qt;
    int err = demi_async_close(&qt, qd);
    return err ? err : wait_done(qt);
}

static inline int sync_file(int qd)
{
    demi_qtoken_t qt;
    int err = demi_sync(&qt, qd, true);
    return err ? err : wait_done(qt);
}

static inline int rename_file(const char *from, const char *to)
{
    demi_qtoken_t qt;
    int err = demi_rename(&qt, from, to);
    return err ? err : wait_done(qt);
}

static inline int unlink_file(const char *path)
{
    demi_qtoken_t qt;
    int err = demi_unlink(&qt, path);
    return err ? err : wait_done(qt);
}

static inline int make_folder(const char *path)
{
    demi_qtoken_t qt;
    int err = demi_mkdir(&qt, path, 0700);
    return err ? err : wait_done(qt);
}

static inline int truncate_file(int qd, off_t size)
{
    demi_qtoken_t qt;
    int err = demi_truncate(&qt, qd, size);
    return err ? err : wait_done(qt);
}

static inline int sync_folder(const char *path)
{
    int qd, err = open_file(&qd, path, O_RDONLY | O_DIRECTORY);
    if (err) return err;
    err = sync_file(qd);
    demi_close(qd);
    return err;
}

/* -1: it could not be told. */
static inline int64_t file_size(int qd)
{
    demi_qtoken_t qt;
    if (demi_file_size(&qt, qd)) return -1;
    demi_qresult_t qr = wait_for(qt);
    return qr.qr_opcode == DEMI_OPC_FAILED ? -1 : qr.qr_ret;
}

static inline int64_t seek_to(int qd, off_t offset, int whence)
{
    off_t at = -1;
    int err = demi_lseek(qd, offset, whence, &at);
    return err ? -err : at;
}

/* Byte i of a pattern is (seed + i) modulo 251: a prime, so that what is shifted shows. */
static inline void fill_pattern(uint8_t *p, size_t n, size_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)((seed + i) % 251);
}

static inline bool is_pattern(const void *bytes, size_t n, size_t seed)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        if (p[i] != (seed + i) % 251) return false;
    return true;
}

/* Pushes n bytes of it; 0 or an errno. */
static inline int push_pattern(demi_qtoken_t *qt, int qd, size_t n, size_t seed)
{
    demi_sgarray_t sga = demi_sgaalloc(n);
    if (!sga.sga_numsegs) return ENOMEM;
    fill_pattern(sga.sga_segs[0].sgaseg_buf, n, seed);
    int err = demi_push(qt, qd, &sga);
    demi_sgafree(&sga);
    return err;
}

/* One push that ends when it is on the disk. */
static inline int write_durably(int qd, size_t n, size_t seed)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = demi_sgaalloc(n);
    if (!sga.sga_numsegs) return ENOMEM;
    fill_pattern(sga.sga_segs[0].sgaseg_buf, n, seed);
    int err = demi_pushv(&qt, qd, &(struct iovec){sga.sga_segs[0].sgaseg_buf, n}, 1, DEMI_PUSH_DURABLE);
    demi_sgafree(&sga);
    return err ? err : wait_done(qt);
}

static inline int write_pattern(int qd, size_t n, size_t seed)
{
    demi_qtoken_t qt;
    int err = push_pattern(&qt, qd, n, seed);
    return err ? err : wait_done(qt);
}

/* n bytes from the cursor on are those of the pattern; n 0: it is the end. */
static inline bool reads_pattern(int qd, size_t n, size_t seed)
{
    static uint8_t got[POP_MAX];
    for (size_t at = 0; at < n || n == 0;) {
        int k = pop_bytes(qd, got, sizeof got);
        if (n == 0) return k == 0;
        if (k <= 0 || (size_t)k > n - at || !is_pattern(got, (size_t)k, seed + at)) return false;
        at += (size_t)k;
    }
    return true;
}

/* --- a scenario of one host --------------------------------------------------------------------------------------- */

struct disk_world {
    struct world *w;
    struct sim_disk *disk;
    struct sim_host *host;
    int (*fn)(struct disk_world *d);
    struct rng rng;            /* the program's */
    uint64_t safe, written, n; /* the program's */
    int life;
};

static inline int disk_program(void *arg)
{
    struct disk_world *d = arg;
    return d->fn(d);
}

/* The world's state is a struct disk_world; settings NULL: of chance. */
static inline struct disk_world *disk_world_add(struct world *w, const struct sim_disk_settings *settings,
                                                int (*fn)(struct disk_world *d))
{
    struct disk_world *d = w->state = calloc(1, sizeof *d);
    struct sim_disk_settings set = settings ? *settings : sim_disk_random(w->sim);
    rng_seed(&d->rng, hash_u64(3, w->seed));
    d->w = w;
    d->fn = fn;
    d->disk = sim_disk_new(w->sim, &set);
    d->host = sim_host_add(w->sim, "10.0.0.1", disk_program, d);
    sim_host_mount(d->host, d->disk);
    return d;
}

#endif

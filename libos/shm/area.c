/* SPDX-License-Identifier: MIT
 *
 * See area.h. What is handed over is looked at before it is touched: a file of another kind could be cut off, or have
 * its pages brought by the other side when it likes.
 */
#include "libos/shm/area.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static size_t area_bytes(uint32_t ring_size) { return AREA_RINGS + 2 * (size_t)ring_size; }

static int area_open(int fd, uint32_t ring_size, struct area **out)
{
    void *p = mmap(NULL, area_bytes(ring_size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return -errno;
    madvise(p, area_bytes(ring_size), MADV_DONTFORK); /* a child has no part in it */
    *out = p;
    return 0;
}

int area_make(uint32_t ring_size, struct area **out, int *fd_out)
{
    int fd = memfd_create("demikernel-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;
    if (fd < 0) return -errno;
    if (ftruncate(fd, (off_t)area_bytes(ring_size)) || fcntl(fd, F_ADD_SEALS, SEALS)) {
        err = -errno;
        close(fd);
        return err;
    }
    err = area_open(fd, ring_size, out);
    if (err) close(fd);
    else *fd_out = fd;
    return err;
}

int area_map(int fd, uint32_t ring_size, struct area **out)
{
    struct stat st;
    struct statfs fs;
    if (ring_size < RING_SIZE_MIN || ring_size > RING_SIZE_MAX || ring_size % 4096) return -EPROTO;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) return -EPROTO;
    if (fstat(fd, &st) || (uint64_t)st.st_size != area_bytes(ring_size)) return -EPROTO;
    /* Huge pages may run out, and then a touch kills. */
    if (fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC) return -EPROTO;
    return area_open(fd, ring_size, out) ? -EPROTO : 0;
}

void area_unmap(struct area *a, uint32_t ring_size)
{
    if (a) munmap(a, area_bytes(ring_size));
}

/* SPDX-License-Identifier: MIT */
#include "tests/packets/shim/user.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <unistd.h>

#define PAGE 4096u

static bool touch(uintptr_t at, bool write)
{
    char byte;
    struct iovec ours = {&byte, 1}, theirs = {(void *)at, 1};
    if (process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0) != 1) return false;
    return !write || process_vm_writev(getpid(), &ours, 1, &theirs, 1, 0) == 1;
}

static bool touch_all(uintptr_t at, size_t n, bool write)
{
    if (!n) return true;
    uintptr_t last = at + n - 1;
    if (last < at) return false;
    for (; last - at >= PAGE; at += PAGE)
        if (!touch(at, write)) return false;
    return touch(at, write) && touch(last, write);
}

bool user_readable(const void *p, size_t n) { return touch_all((uintptr_t)p, n, false); }
bool user_writable(void *p, size_t n) { return touch_all((uintptr_t)p, n, true); }

int user_vector(const struct iovec *v, size_t count, bool write, size_t most, size_t *total)
{
    size_t n = 0;
    if (count > IOV_MAX) return -EINVAL;
    if (!user_readable(v, count * sizeof *v)) return -EFAULT;
    for (size_t i = 0; i < count; i++) {
        if (v[i].iov_len > most - n) return -EINVAL;
        if (!(write ? user_writable(v[i].iov_base, v[i].iov_len) : user_readable(v[i].iov_base, v[i].iov_len)))
            return -EFAULT;
        n += v[i].iov_len;
    }
    *total = n;
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * By itself the system takes a page from the node of whoever touches it first. For a heap that is mostly right; but
 * a helper thread (alloc/prefault.c) touches pages too, and may run elsewhere. So a region is told where its owner is,
 * on machines that have more than one node.
 *
 * These are system calls and not libnuma: that library asks for a thread's memory policy before main() runs, which
 * the filter of an ordinary service kills for (systemd's @system-service without @resources), and a program that
 * needs it does not start where it is not installed.
 */
#include "alloc/node.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "alloc/base/sandbox.h"

#define PREFERRED 1 /* MPOL_PREFERRED of linux/mempolicy.h: that node first, then the others */
#define WORD_BITS (8 * sizeof(unsigned long))

static bool read_number(const char **p, int *out)
{
    if (**p < '0' || **p > '9') return false;
    int n = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++) {
        n = n * 10 + (**p - '0');
        if (n >= NODE_MAX) return false;
    }
    *out = n;
    return true;
}

int node_list_count(const char *list)
{
    int count = 0;
    for (const char *p = list;; p++) {
        int from, to;
        if (!read_number(&p, &from)) return 0;
        to = from;
        if (*p == '-') {
            p++;
            if (!read_number(&p, &to) || to < from) return 0;
        }
        if (to >= count) count = to + 1;
        if (*p == '\n' || !*p) return count;
        if (*p != ',') return 0;
    }
}

static int count;

static void read_count(void)
{
    char text[256];
    count = 1;
    int fd = open("/sys/devices/system/node/online", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return;
    text[n] = 0;
    int found = node_list_count(text);
    if (found) count = found;
}

int node_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_count);
    return count;
}

int node_here(void)
{
    unsigned node;
    return syscall(SYS_getcpu, NULL, &node, NULL) == 0 ? (int)node : -errno;
}

int node_prefer(void *base, size_t len, int node)
{
    ASSERT(node >= 0 && node < NODE_MAX);
    if (sandbox_filters_calls()) return -EPERM;
    unsigned long mask[NODE_MAX / WORD_BITS] = {0};
    mask[(size_t)node / WORD_BITS] = 1ul << (size_t)node % WORD_BITS;
    /* The kernel takes the count of bits to be one too high. */
    return syscall(SYS_mbind, base, len, PREFERRED, mask, (unsigned long)NODE_MAX + 1, 0) == 0 ? 0 : -errno;
}

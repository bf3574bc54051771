/* SPDX-License-Identifier: MIT
 *
 * Pointers that a script hands to a call, which may be any: the kernel would say EFAULT, so do we. The kernel itself is
 * asked, page by page, by reading (and writing back) a byte of our own memory as if it were another process's.
 */
#ifndef SHIM_USER_H
#define SHIM_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Whether all n bytes at p can be read; written. n 0: they can. */
bool user_readable(const void *p, size_t n);
bool user_writable(void *p, size_t n);
/* The same for a vector and all it points to, whose lengths together are *total, at most `most`: 0, -EFAULT,
 * -EINVAL. */
int user_vector(const struct iovec *v, size_t count, bool write, size_t most, size_t *total);

#endif

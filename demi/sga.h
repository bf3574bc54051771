/* SPDX-License-Identifier: MIT
 *
 * Scatter-gather arrays: memory that a device can read and write as it lies.
 */
#ifndef DEMI_SGA_H
#define DEMI_SGA_H

#include "demi/cc.h"
#include "demi/types.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Allocates an array of one segment of exactly `size` bytes (1 to 65,535, uninitialised). On failure every field
 * is zero: test sga_numsegs or sga_buf. The caller owns it until demi_sgafree(). */
ATTR_NODISCARD
extern demi_sgarray_t demi_sgaalloc(_In_ size_t size);

/* Gives an array back, at any time, and sets *sga to zeros: bytes that a push still needs stay where they are until the
 * device has let go of them. An array that is not freed goes with demi_exit(). EINVAL: NULL, no buffer, more than one
 * segment, or an array that is not outstanding on this thread: freed before (through a copy), or never allocated. */
extern int demi_sgafree(_In_ demi_sgarray_t *sga);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif

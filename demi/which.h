/* SPDX-License-Identifier: MIT
 *
 * Which libOSes there are in this library: the one table. Not installed.
 */
#ifndef DEMI_WHICH_H
#define DEMI_WHICH_H

#include "libos/runtime/libos.h"

/* By either of its names. NULL: none that is here. */
const struct libos_ops *libos_find(const char *name);
/* The i-th, or NULL: there are no more. */
const struct libos_ops *libos_at(unsigned i);

#endif

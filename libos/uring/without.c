/* SPDX-License-Identifier: MIT
 *
 * In a build without liburing: the name is known, and says what is missing.
 */
#include "libos/uring/uring.h"

#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdio.h>

static int refuse(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    snprintf(rt->why, sizeof rt->why,
             "uring: built without liburing; apt-get install liburing-dev and build again, or LIBOS=posix");
    return -ENOTSUP;
}

static void never(struct libos *l) {}

const struct libos_ops uring_libos = {.name = "uring", .start = refuse, .stop = never};

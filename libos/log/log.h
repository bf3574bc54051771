/* SPDX-License-Identifier: MIT
 *
 * Append logs as queues (Demikernel's cattree). A device is a file, a block device or a namespace of NVMe with up to
 * ALOG_LOGS_MAX named logs; "log:PATH" is the log "main" of the one at PATH, "log:PATH#NAME" another.
 *
 * A push appends one record, and completes when it has its place, in order, or (O_DSYNC at open, DEMI_PUSH_DURABLE)
 * when it is durable; its result is its offset. A sync completes when all that was pushed before is. A pop gives the
 * record at the queue's cursor; an empty array is the end. A truncate frees what lies BEFORE the offset.
 *
 * All of a thread's queues to one device share it. Another process, or thread, gets EBUSY.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "libos/runtime/libos.h"

#define ALOG_SCHEME "log:"

extern const struct libos_ops alog_libos_ops;

/* Whether the device of a path, its scheme included, is a controller of NVMe: "log:nvme:0000:01:00.0#NAME". */
bool alog_is_on_nvme(const char *path);

/* As libos_ops.open, with an operation; below: the libOS that has the device's file, or its controller. What is started
 * on the queue before op has ended fails with EBUSY. -EINVAL: the name. -ENAMETOOLONG, -ENOMEM. */
int alog_open(struct libos *l, struct libos *below, const char *path, int flags, unsigned mode, struct op *op,
              struct queue **out);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The beginning and the end of a device of logs: its file, who else has it, and what is in it.
 */
#ifndef LOG_OPEN_H
#define LOG_OPEN_H

#include "libos/log/device.h"

/* Inside of the device's coroutine: opens d->path, or makes it (O_CREAT), and recovers all of its logs. On failure
 * nothing is open, and d->im.why may say in one line what was wrong. -EBUSY: somebody else has it. */
int alog_open_file(struct alog_device *d, void (*news)(void *arg));
/* Closes it; *err becomes the error of that, if it was 0. */
void alog_close_file(struct alog_device *d, int *err);

#endif

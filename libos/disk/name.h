/* SPDX-License-Identifier: MIT
 *
 * Jobs on the names of files: a helper renames or removes one, since both may wait for a disk.
 */
#ifndef DISK_NAME_H
#define DISK_NAME_H

#include "libos/disk/helper.h"
#include "libos/runtime/op.h"

/* Renames `from`; to NULL: removes it. Both are copied. op ends when it is done; *errors counts failures, and lives
 * until then. -ENAMETOOLONG, -ENOMEM. */
int name_submit(struct helper *h, struct op_table *ops, struct op *op, const char *from, const char *to,
                uint64_t *errors);

#endif

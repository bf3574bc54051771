/* SPDX-License-Identifier: MIT
 *
 * Jobs on the names of files: a helper renames or removes one, or makes a folder, since all of them may wait for a
 * disk.
 */
#ifndef DISK_NAME_H
#define DISK_NAME_H

#include "libos/disk/helper.h"
#include "libos/runtime/op.h"

/* What is to be done; the paths are copied. */
struct name_change {
    enum { NAME_RENAME, NAME_UNLINK, NAME_MKDIR } what;
    const char *path, *to; /* to: of a rename */
    unsigned mode;         /* of a folder */
};

/* op ends when it is done; *errors counts failures, and lives until then. -ENAMETOOLONG, -ENOMEM. */
int name_submit(struct helper *h, struct op_table *ops, struct op *op, const struct name_change *change,
                uint64_t *errors);

#endif

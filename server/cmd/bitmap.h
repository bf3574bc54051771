/* SPDX-License-Identifier: MIT
 *
 * Steps the bit commands share (server/cmd/bitmap.c, bitfield.c).
 */
#ifndef SERVER_CMD_BITMAP_H
#define SERVER_CMD_BITMAP_H

#include "server/exec/call.h"
#include "server/db/entry.h"

/* The number of a bit, below proto-max-bulk-len * 8; with width > 0, "#n" counts fields of that width. False: an
 * error was replied. */
bool bitmap_offset(struct call *c, struct bytes arg, unsigned width, uint64_t *out);
/* The string of argv[1] as bytes to change, made if missing and long enough for `bit`; *grown: that changed
 * something. NULL: an error was replied. */
char *bitmap_edit(struct call *c, uint64_t bit, struct entry **e, bool *grown);

#endif

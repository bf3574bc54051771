/* SPDX-License-Identifier: MIT
 *
 * Commands whose keys, or what is done to them, depend on words anywhere among the arguments: no
 * key spec can tell. The contract is that of struct command's getkeys.
 */
#ifndef SERVER_COMMAND_GETKEYS_H
#define SERVER_COMMAND_GETKEYS_H

#include "alloc/base/bytes.h"

/* SET key value … : only overwrites the key, unless GET stands among the options. */
int getkeys_set(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);
/* BITFIELD key …: reads, unless there is a step that does not. */
int getkeys_bitfield(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);
/* MIGRATE: the key, or those behind KEYS. */
int getkeys_migrate(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);
/* SORT key … STORE key: the last STORE counts. */
int getkeys_sort(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);
/* PFMERGE: all of them, of which the first is written. By its key specs one without sources has no key at all, and so
 * would be anybody's to write. */
int getkeys_pfmerge(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);
int getkeys_sort_ro(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);

#endif

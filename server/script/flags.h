/* SPDX-License-Identifier: MIT
 *
 * What a program says of itself in its first line: "#!lua flags=no-writes,allow-stale".
 */
#ifndef SERVER_SCRIPT_FLAGS_H
#define SERVER_SCRIPT_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

enum script_flag {
    SCRIPT_NO_WRITES = 1u << 0,
    SCRIPT_ALLOW_OOM = 1u << 1,
    SCRIPT_ALLOW_STALE = 1u << 2,
    SCRIPT_NO_CLUSTER = 1u << 3,
    SCRIPT_ALLOW_CROSS_SLOT = 1u << 4,
    SCRIPT_COMPAT = 1u << 5, /* it says nothing: each command is looked at when it runs */
};

/* 0: there is none of this name. any_case: as register_function() reads names, and the first line does not. */
uint32_t script_flag_named(struct bytes name, bool any_case);
/* The names of flags, in the order of their bits; NULL behind the last. */
const char *script_flag_name(unsigned bit);
/* Reads the first line of body; *code is what follows it, its newline included, so that lines keep their numbers.
 * False: an error, in words with its code. */
bool script_read_shebang(struct bytes body, uint32_t *flags, struct bytes *code, char *err, size_t size);

/* What the flags of a command that runs such a program (enum cmd_flag) are worth then. */
uint32_t script_command_flags(uint32_t command_flags, uint32_t flags);

#endif

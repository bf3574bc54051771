/* SPDX-License-Identifier: MIT
 *
 * Names of the system's constants as scripts write them.
 */
#ifndef PACKETS_SYMBOLS_H
#define PACKETS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>

bool symbol_find(const char *name, long *out);
/* "ECONNRESET", or NULL. */
const char *symbol_of_errno(int err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Redis's glob: '*' any run, '?' any byte, [abc] [a-z] [^x] sets, '\' takes the next byte as it is. Broken patterns
 * have Redis's meaning too: a set without its ']' ends with the pattern, a lone '\' at the end stands for itself.
 */
#ifndef SERVER_DS_GLOB_H
#define SERVER_DS_GLOB_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

/* Work is at most pattern length times string length. nocase folds ASCII only. */
bool glob_match(struct bytes pattern, struct bytes s, bool nocase);
/* No byte of the pattern is special: it matches itself only (KEYS and PUBSUB can look it up instead). */
bool glob_is_literal(struct bytes pattern);

#endif

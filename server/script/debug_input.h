/* SPDX-License-Identifier: MIT
 *
 * What a debugger's client sends while its script is stopped: commands as arrays of RESP, cut out of bytes as they
 * come. Bounded as in Redis: 1,024 words of 1 to 1,024 bytes, 1 MiB in all that is not read yet.
 */
#ifndef SERVER_SCRIPT_DEBUG_INPUT_H
#define SERVER_SCRIPT_DEBUG_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/bytes.h"

#define DEBUG_INPUT_MAX      ((size_t)1 << 20)
#define DEBUG_INPUT_WORDS    1024
#define DEBUG_INPUT_WORD_MAX 1024

struct debug_input {
    char *p;
    size_t at, n, cap; /* [at, n) is not read yet */
    struct bytes words[DEBUG_INPUT_WORDS];
    int count; /* of words */
};

enum debug_input_result { DEBUG_INPUT_COMMAND, DEBUG_INPUT_MORE, DEBUG_INPUT_BROKEN };

void debug_input_fini(struct debug_input *in);
/* Bytes that have come; false: there would be too many. */
bool debug_input_add(struct debug_input *in, struct bytes s);
/* The next command is in words until bytes are added; more bytes are needed; or it is none, nor is what follows. */
enum debug_input_result debug_input_next(struct debug_input *in);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Bytes as the inside of a JSON string (RFC 8259 section 7): valid UTF-8 (RFC 3629) stays, a quote, a backslash and
 * control characters are escaped, and a byte that is no UTF-8 becomes \u00XX: the reader sees which byte it was, and
 * the line stays JSON whatever a client sent.
 */
#ifndef SERVER_DS_JSON_TEXT_H
#define SERVER_DS_JSON_TEXT_H

#include "alloc/base/bytes.h"

enum { JSON_TEXT_GROWTH = 6 }; /* bytes written for a byte read, at most */

/* Writes into out as many characters as fit whole into size, without quotes and without a NUL. Returns the bytes. */
size_t json_text_write(char *out, size_t size, struct bytes text);

#endif

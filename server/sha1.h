/* SPDX-License-Identifier: MIT
 *
 * SHA-1 (RFC 3174), for DEBUG DIGEST, whose value has to be Redis's. Not for anything that must resist an attacker.
 */
#ifndef SERVER_SHA1_H
#define SERVER_SHA1_H

#include "alloc/base/bytes.h"

#define SHA1_SIZE 20
void sha1(struct bytes text, unsigned char out[SHA1_SIZE]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * SHA-256 (RFC 6234), for passwords as Redis keeps them.
 */
#ifndef SERVER_SHA256_H
#define SERVER_SHA256_H

#include "alloc/base/bytes.h"

#define SHA256_SIZE 32
void sha256(struct bytes text, unsigned char out[SHA256_SIZE]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The digest of a value or of everything: DEBUG DIGEST. Equal data gives an equal digest, in whatever order hash tables
 * keep it, and the same one as redis-server 7.0 computes.
 */
#ifndef SERVER_DIGEST_H
#define SERVER_DIGEST_H

#include "server/sha1.h"

struct server;
struct entry;

/* Mixed into what digest holds. */
void digest_value(const struct entry *e, unsigned char digest[SHA1_SIZE]);
void digest_everything(struct server *srv, unsigned char digest[SHA1_SIZE]);

#endif

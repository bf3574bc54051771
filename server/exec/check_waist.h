/* SPDX-License-Identifier: MIT
 *
 * What debug builds assert about every command: one that may only read changes nothing, and one that changed a value
 * said so at both doors (server/db/keyspace.h) and counted it. Values are compared by digest, as far as they are small;
 * nothing of this is in a release build.
 */
#ifndef SERVER_EXEC_CHECK_WAIST_H
#define SERVER_EXEC_CHECK_WAIST_H

#include "server/exec/call.h"

#ifdef DEMI_DEBUG
#include "server/sha1.h"

#define CHECK_KEYS 8

struct check_waist {
    int count; /* keys looked at */
    unsigned char digest[CHECK_KEYS][SHA1_SIZE];
};

/* c is about to be handed to its handler. */
void check_waist_before(struct check_waist *k, const struct call *c);
/* The handler has returned. */
void check_waist_after(const struct check_waist *k, const struct call *c);
#else
struct check_waist {
};
static inline void check_waist_before(struct check_waist *k, const struct call *c) {}
static inline void check_waist_after(const struct check_waist *k, const struct call *c) {}
#endif

#endif

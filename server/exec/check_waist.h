/* SPDX-License-Identifier: MIT
 *
 * What debug builds assert about every command: one that may only read changes nothing; and one that changed a value
 * told the observer of the slice once, before the change, with the value as it was (server/db/preimage.h), and counted
 * a change; and each gave one reply, whole. Values are compared by digest, as far as they are small. So any run of the
 * random generator of tests/compat/ against a debug build proves it for what it sends. Nothing of this is in a release
 * build.
 */
#ifndef SERVER_EXEC_CHECK_WAIST_H
#define SERVER_EXEC_CHECK_WAIST_H

#include "server/exec/call.h"

#ifdef DEMI_DEBUG
#include "server/sha1.h"

#define CHECK_KEYS 8

struct check_waist {
    size_t reply_from; /* where its reply begins */
    int count;         /* keys looked at */
    unsigned char digest[CHECK_KEYS][SHA1_SIZE];
};

/* An observer of every database; one a server. */
void check_waist_init(struct server *srv);
void check_waist_fini(struct server *srv);

/* c is about to be handed to its handler. */
void check_waist_before(struct check_waist *k, const struct call *c);
/* The handler has returned. */
void check_waist_after(const struct check_waist *k, const struct call *c);
#else
struct check_waist {
    char none; /* C has no empty struct */
};
static inline void check_waist_init(struct server *srv) { (void)srv; }
static inline void check_waist_fini(struct server *srv) { (void)srv; }
static inline void check_waist_before(struct check_waist *k, const struct call *c) { (void)k, (void)c; }
static inline void check_waist_after(const struct check_waist *k, const struct call *c) { (void)k, (void)c; }
#endif

#endif

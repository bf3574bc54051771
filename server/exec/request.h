/* SPDX-License-Identifier: MIT
 *
 * A parsed request: what was asked, and which keys it names. The keys are found and hashed here, once; whoever runs the
 * request at once (the batch), later (a transaction, a client that waits) or on somebody else's behalf hands the same
 * references on.
 */
#ifndef SERVER_EXEC_REQUEST_H
#define SERVER_EXEC_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "server/command/command.h"
#include "server/db/db.h"

struct request {
    const struct command *cmd;
    const struct bytes *argv; /* argv[0]: the name */
    const struct key_ref *keys;
    int argc, key_count;
};

/* Key references one behind the other; grows. All zero is empty. */
struct key_refs {
    struct key_ref *v;
    size_t used, cap;
};
void key_refs_fini(struct key_refs *refs);
/* Empties it; room far beyond what is common is given back. */
void key_refs_reset(struct key_refs *refs);

/* Room for n more behind used. */
void key_refs_reserve(struct key_refs *refs, size_t n);

/* Out of line: a command that names no key, or not just one. */
int request_find_by_specs(const struct db *db, const struct command *cmd, const struct bytes *argv, int argc,
                          struct key_refs *out);
/* Appends the keys of a request to out, in the order of the command's specifications, and returns their number; 0 when
 * the request contradicts itself (its handler will refuse it). db may be any of the server's. out->v may move. */
static inline __attribute__((always_inline)) int request_find_keys(const struct db *db, const struct command *cmd,
                                                                   const struct bytes *argv, int argc,
                                                                   struct key_refs *out)
{
    if (unlikely(!cmd->one_key)) return cmd->key_count ? request_find_by_specs(db, cmd, argv, argc, out) : 0;
    int arg = cmd->first_key;
    if (unlikely(arg >= argc)) return 0;
    if (unlikely(out->used == out->cap)) key_refs_reserve(out, 1);
    struct key_ref *k = &out->v[out->used++];
    k->name = argv[arg];
    k->hash = db_hash(db, argv[arg]);
    k->slot = unlikely(db->slice_count > 1) ? (uint16_t)slot_of_key(argv[arg]) : 0;
    k->flags = cmd->keys->flags;
    k->arg = arg;
    return 1;
}

/* A copy of its own: one allocation, freed by mem_free(). */
struct request *request_dup(const struct request *r);
/* Bytes of the copy. */
size_t request_dup_size(const struct request *r);

/* Out of line: with several slices. */
uint64_t request_slices(const struct request *r, const struct db *db);
/* The slices it has to hold, a bit each (enum command_hold); what the queue of EXEC holds together is the caller's to
 * say. With one slice: all. */
static inline uint64_t request_held(const struct request *r, const struct db *db)
{
    return likely(db->slice_count == 1) ? UINT64_MAX : request_slices(r, db);
}

#endif

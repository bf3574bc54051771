/* SPDX-License-Identifier: MIT
 *
 * Makers of payloads (server/repl/payload.h). One walks the data and puts what it packs straight into the payload; the
 * other saves them to the file `dbfilename` first, as BGSAVE does, and then reads that. Both are tasks of the loop, and
 * nothing they do blocks it.
 *
 *     walk, packer's thread ------------------------> payload       (it has a mark)
 *     walk, packer's thread --> file --> disk queue --> payload     (its length is known)
 */
#ifndef SERVER_REPL_FULL_COPY_H
#define SERVER_REPL_FULL_COPY_H

#include <stdbool.h>

struct payload;
struct worker;

struct full_copy; /* server/repl/full_copy.c; w->copy: the one that walks the data now, NULL: none does */

/* Begins to make p; no other walk is under way (persist_may_walk()). One that has a mark is
 * to flow when this returns; the other will, and full_sync_flows() is called then. At the end
 * full_sync_ended() is, once. False: it cannot, the log says why, and p is the caller's. */
bool full_copy_begin(struct worker *w, struct payload *p);
/* The payload of the walk that is under way, or NULL. */
struct payload *full_copy_payload(const struct worker *w);
/* Files that are being read: waits until none is. No payload has a reader any more. */
void full_copy_fini(struct worker *w);

#endif

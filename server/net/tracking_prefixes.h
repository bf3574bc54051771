/* SPDX-License-Identifier: MIT
 *
 * CLIENT TRACKING ... BCAST: clients that are told of every key whose name begins with one of their prefixes. What
 * changes is noted with each prefix that fits, once a turn of the loop, and told at its end, in one message a prefix:
 * prefixes in their order, and the names in theirs.
 */
#ifndef SERVER_NET_TRACKING_PREFIXES_H
#define SERVER_NET_TRACKING_PREFIXES_H

#include <stdbool.h>

#include "server/net/tracking_parts.h"

/* Of count prefixes that cl is to have beside those that it has, two overlap if one begins with the other. The first
 * that does so with one it has (*old) or with one behind it (*at2). False: none. */
struct prefix_overlap {
    size_t at, at2;
    bool with_old;
    struct bytes old; /* valid until cl's prefixes change */
};
bool prefixes_overlap(const struct client *cl, const struct bytes *prefixes, size_t count, struct prefix_overlap *out);

/* seed: that of the hashes in the references to keys. */
void prefixes_add(struct tracking *t, struct client *cl, const struct bytes *prefixes, size_t count, uint64_t seed);
void prefixes_remove(struct tracking *t, struct client *cl); /* all of cl's */
struct bytes prefix_name(const struct prefix_member *m);

/* key was changed, last by this client (0: by none, or its script). */
void prefixes_note(struct tracking *t, struct worker *w, const struct key_ref *key, uint64_t by);
/* Tells what was noted. */
void prefixes_broadcast(struct worker *w, struct tracking *t, const struct client *running);
/* So much was noted that it should be told before the turn is over. */
bool prefixes_are_many(const struct tracking *t);
size_t prefixes_count(const struct tracking *t);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Inside of tracking: what tracking.c and tracking_prefixes.c have of each other.
 */
#ifndef SERVER_NET_TRACKING_PARTS_H
#define SERVER_NET_TRACKING_PARTS_H

#include "server/db/tracked.h"
#include "server/net/tracking.h"

struct prefixes;

struct tracking {
    struct tracked **slices; /* what a slice's interest points at */
    unsigned slice_count;
    size_t clients;
    unsigned tries; /* how often in a row the table was too full and could not be made smaller */
    /* For the client whose command is running, behind its reply: names, and (count > 0) that so often nothing was true
     * any more. */
    struct tracked_key *behind, *behind_last;
    struct prefixes *prefixes; /* NULL: nobody has any */
};

/* The head of a message to who tracks: its value, an array of names or null, is to follow. running: whose command is
 * being run, or NULL. NULL: there is nobody to tell. */
struct reply *tracking_message(struct worker *w, struct client *cl, const struct client *running);

#endif

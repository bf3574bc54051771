/* SPDX-License-Identifier: MIT
 *
 * CLIENT TRACKING: clients that keep values in a cache of their own are told when these are no longer true.
 *
 *     it reads      tracking_remember() --> the slice's interest: name, number of the client (server/db/tracked.h)
 *     it changes    tracking_changed()  --> "invalidate" to each of them, and the name is forgotten
 *     BCAST         tracking_changed()  --> prefixes that fit (tracking_prefixes.h); told at the end of the turn
 *
 * A message goes to the client itself if it speaks RESP3, or to the connection it named (REDIRECT), as a push or, in
 * RESP2, as a message of the channel __redis__:invalidate. Nothing is said inside of a reply: what a command causes for
 * its own client follows the whole of it, that of EXEC too.
 *
 * What there is of it is made with the first client that tracks, and goes when the last has gone.
 */
#ifndef SERVER_TRACKING_H
#define SERVER_TRACKING_H

#include <stddef.h>
#include <stdint.h>

#include "server/exec/session.h"
#include "server/net/client.h"

struct call;
struct request;
struct prefix_member;

enum tracking_flag {
    TRACKING_BCAST = 1,
    TRACKING_OPTIN = 2,
    TRACKING_OPTOUT = 4,
    TRACKING_NOLOOP = 8,
    TRACKING_CACHING = 16, /* CLIENT CACHING: of the next command, or transaction */
    TRACKING_BROKEN = 32,  /* the connection that it named is gone */
    TRACKING_ON = 64,
};

/* What a client that tracks has (client->tracking). */
struct tracking_client {
    uint32_t flags;                  /* enum tracking_flag */
    uint64_t redirect;               /* number of a client; 0: itself */
    struct prefix_member **prefixes; /* BCAST: in their order */
    size_t prefix_count, prefix_bytes;
};

/* With other options than before, too: prefixes are added to those it has. They do not overlap
 * (tracking_prefixes.h). */
void tracking_start(struct call *c, uint64_t redirect, uint32_t flags, const struct bytes *prefixes, size_t count);
void tracking_stop(struct client *cl);

/* s is about to run r: where it will be looked for is asked of the memory. */
void tracking_prefetch(const struct session *s, const struct request *r);
/* s has run r, for itself, as a part of a transaction, or of a script. */
void tracking_remember(struct session *s, const struct request *r);
/* After any command but CLIENT ..., outside of MULTI. */
void tracking_forget_caching(struct client *cl);
static inline bool tracking_has_caching(const struct client *cl)
{
    return cl->tracking && (cl->tracking->flags & TRACKING_CACHING);
}
/* Whole databases were emptied or exchanged: all who track are told that nothing is true any more. */
void tracking_flushed(struct call *c);

/* The command of cl has replied: what it caused for itself follows (server/net/pushes.c). */
void tracking_deliver(struct worker *w, struct client *cl);
/* The end of the turn. */
void tracking_end_turn(struct worker *w);
void tracking_cron(struct worker *w);
/* There is another configuration, by a command or since the last turn. */
void tracking_take_config(struct worker *w);
void tracking_fini(struct server *srv);

struct tracking_figures {
    size_t clients, keys, items, prefixes;
    size_t bytes; /* what all this takes, but for what is counted as clients' */
};
struct tracking_figures tracking_figures(const struct server *srv);
/* What it takes of a client's memory. */
size_t tracking_client_memory(const struct client *cl);

#endif

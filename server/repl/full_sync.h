/* SPDX-License-Identifier: MIT
 *
 * Full synchronisations: who waits for a payload (server/repl/payload.h) gets one. Those that wait get it together, as
 * soon as nothing else walks the data: into their connections where all of them take that, after
 * repl-diskless-sync-delay, so that others may come; else through a file, and who comes while that is being saved gets
 * it, too.
 */
#ifndef SERVER_FULL_SYNC_H
#define SERVER_FULL_SYNC_H

#include <stdbool.h>

struct client;
struct payload;
struct worker;

/* cl gets a payload and then the history; no replies any more. The payload is one that is being saved, unless too much
 * has happened since it stood; else a new one. */
void full_sync_attach(struct client *cl);
/* One for all who wait, if it can begin now. */
void full_sync_serve(struct worker *w);

/* --- for who makes a payload, and who sends it -------------------------------------------------------------------- */

/* Its pieces come from now on: its readers are told in which form. */
void full_sync_flows(struct worker *w, struct payload *p);
void full_sync_grew(struct worker *w, const struct payload *p);
/* It came to its end, with 0 or -errno: then its readers are closed, and come back. */
void full_sync_ended(struct worker *w, struct payload *p, int err);
/* Its readers have taken so much that more may be put. If not, its maker is told when they have. */
bool full_sync_has_room(const struct worker *w, struct payload *p);
/* cl has taken some of it; all of it. */
void full_sync_taken(struct client *cl);
void full_sync_transferred(struct client *cl);

/* --- some times a second, and once a second ----------------------------------------------------------------------- */

/* One that is as far behind as it may be, while another waits for more, is closed in the end. */
void full_sync_close_slow(struct worker *w);
/* A newline tells who waits for a payload that the link is alive. */
void full_sync_tell_waiting(struct worker *w);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What being a replica means to everybody else: which commands are refused, whose time keys run by, who decides what is
 * deleted. Of whom it is one, and how far the link is, says srv->upstream (server/repl/upstream.h).
 *
 *     nobody's replica    everything is as ever: none of this costs anything
 *     a replica           keys past their time are hidden and stay until the primary deletes them; nothing is evicted
 *                         (replica-ignore-maxmemory)
 *       read only         clients' writes are refused (replica-read-only)
 *       writable          they are not, and stay here: no replica and no primary hears of them. What its own clients
 *                         gave a time is its own to delete when that has come (server/db/own_expires.h)
 *       stale             without its link, and not to serve what it has (replica-serve-stale-data no)
 */
#ifndef SERVER_REPL_ROLE_H
#define SERVER_REPL_ROLE_H

struct worker;

/* To be called after whatever it depends on has changed: srv->upstream, its state, or an option. */
void role_update(struct worker *w);

/* It becomes a replica, or that of another: whoever waits for a key or the log has waited for what may never come, is
 * told so, and is closed. */
void role_disturb_waiting(struct worker *w);

#endif

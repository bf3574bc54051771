/* SPDX-License-Identifier: MIT
 *
 * Who started us and wants to hear from us: systemd, by datagrams (sd_notify(3)), or upstart, by a stop.
 */
#ifndef SERVER_OBSERVE_SUPERVISOR_H
#define SERVER_OBSERVE_SUPERVISOR_H

#include <stdbool.h>

struct config;
struct server;

/* Sets what srv has to know of it: is there one, and how often does it want a sign of life. */
void supervisor_find(struct server *srv, const struct config *cfg);
/* Lines of sd_notify(3); nothing without systemd. */
void supervisor_tell(const struct server *srv, const char *state);
/* The data are there. */
void supervisor_ready(struct server *srv);
/* The loop has come round: a sign of life, if it is time for one. */
void supervisor_feed(struct server *srv);
/* The loop stands still on purpose from here on, however long that takes (a save or load in the foreground); and goes
 * on. */
void supervisor_hold(struct server *srv);
void supervisor_release(struct server *srv);

#endif

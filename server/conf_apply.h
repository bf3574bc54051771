/* SPDX-License-Identifier: MIT
 *
 * What the server does when an option changes while it runs, and rename-command.
 */
#ifndef SERVER_CONF_APPLY_H
#define SERVER_CONF_APPLY_H

#include "alloc/base/bytes.h"

struct config;
struct server;

/* The hooks of CONFIG SET, before cfg is published; what options ask of the process at its start. */
void conf_apply_register(struct server *srv, struct config *cfg);
void conf_apply_start(struct server *srv);
/* A conf_rename_fn: before the first command runs. */
const char *conf_apply_rename(struct bytes from, struct bytes to);

/* Sets the locale by which SORT ALPHA compares, for the process: -EINVAL when there is none of that name. One that the
 * environment names and the machine does not have is no error: bytes are compared then. */
int conf_apply_locale(const struct config *cfg);

#endif

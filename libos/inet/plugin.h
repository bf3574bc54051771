/* SPDX-License-Identifier: MIT
 *
 * Loading the devices that are shared objects of their own.
 */
#ifndef INET_PLUGIN_H
#define INET_PLUGIN_H

#include "libos/border.h"

/* What a plug-in is given of the library. */
extern const struct netdev_host plugin_host;

/* Loads the plug-in as runtime/plugin.h has it. -ENOENT, -ENOEXEC: also one of another version. why (256 bytes): in one
 * line. */
int plugin_load(const char *name, netdev_open_fn *open, char *why);

#endif

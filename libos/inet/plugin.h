/* SPDX-License-Identifier: MIT
 *
 * Finding the devices that are shared objects of their own: libdemikernel-<name>.so.
 */
#ifndef INET_PLUGIN_H
#define INET_PLUGIN_H

#include "libos/border.h"

/* What a plug-in is given of the library. */
extern const struct netdev_host plugin_host;

/* Loads the plug-in (once a process; it stays). Looked for in $DEMI_PLUGIN_PATH (folders between colons), beside the
 * running program, beside the library, in the folder the library was built to be installed in, and where the dynamic
 * linker looks. -ENOENT: nowhere;
 * -ENOEXEC: not one of ours, or of another version, or something it needs is missing. why (256 bytes): in one line. */
int plugin_load(const char *name, netdev_open_fn *open, char *why);

#endif

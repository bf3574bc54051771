/* SPDX-License-Identifier: MIT
 *
 * Finding the parts of the library that are shared objects of their own: libdemikernel-<name>.so.
 */
#ifndef RUNTIME_PLUGIN_H
#define RUNTIME_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

/* Loads the plug-in (once a process; it stays) and finds its symbol. Looked for in $DEMI_PLUGIN_PATH (folders between
 * colons), beside the running program, beside the library, in the folder the library was built to be installed in, and
 * where the dynamic linker looks. -ENOENT: nowhere; -ENOEXEC: not one of ours, or something it needs is missing. why
 * (why_size bytes): in one line. */
int plugin_find(const char *name, const char *symbol, void **entry, char *why, size_t why_size);
/* Whether plugin_find() would find a file of this name. It is loaded only where the linker alone knows the folder. */
bool plugin_is_there(const char *name);
/* A plug-in that says it is of another version: the line, and -ENOEXEC. */
int plugin_is_other(const char *name, char *why, size_t why_size);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What libOSes are called: by what they are, or by Demikernel's name for the same.
 */
#ifndef RUNTIME_NAMES_H
#define RUNTIME_NAMES_H

/* "catnap" or "posix" gives "posix"; NULL: nobody is called so. */
const char *libos_canonical_name(const char *name);

#endif

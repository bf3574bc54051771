/* SPDX-License-Identifier: MIT
 *
 * Numbers of descriptors: those that the library keeps for itself, and the program's calls that make, double and close
 * numbers.
 */
#ifndef SHIM_FDS_H
#define SHIM_FDS_H

/* Moves a descriptor that a call has just made (or its -1) up, out of the program's way, with close-on-exec. Where
 * there is no room above it stays where it is. */
int fds_hide(int fd);
void fds_close_hidden(int fd);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Whether this thread runs under a filter of system calls (seccomp(2)): a service manager's, a container's.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stdbool.h>

/* True: a call that the program could do without may be the last thing it does, since a filter may kill whoever makes
 * it instead of answering with an errno. So what is only wished for (a place in memory, a priority) is not tried.
 * Asks the system each time (about 10 us): a filter can come at any moment, and it never goes. */
bool sandbox_filters_calls(void);

#endif

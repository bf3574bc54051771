/* SPDX-License-Identifier: MIT
 *
 * A thread that looks after the library OS while the program does not call: it computes, or sleeps by other means.
 *
 * The kernel's TCP acknowledges and sends again by itself; one in the process needs turns. So where the library OS has
 * a TCP of its own, or bytes were taken from the program and have not left yet, a thread of ours turns it every 10 ms,
 * if nobody else has. It is started when it is needed: a program on kernel sockets that reads what it is sent has none.
 */
#ifndef SHIM_CARE_H
#define SHIM_CARE_H

/* Both under the engine's lock. */
void shim_care_start(void);
void shim_care_fork_child(void);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Invariants of what a worker holds, looked at after every turn in debug builds (and so under the simulator's and the
 * sanitizers' tests): its clients, their sessions, who waits, what is ready, the journal. A broken one asserts.
 */
#ifndef SERVER_CHECK_H
#define SERVER_CHECK_H

struct worker;

#ifdef DEMI_DEBUG
void worker_check(const struct worker *w);
#else
static inline void worker_check(const struct worker *w) { (void)w; }
#endif

#endif

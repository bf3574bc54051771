/* SPDX-License-Identifier: MIT
 *
 * Whether this system is set up well for a server like ours: `demikv-server --check-system`, as redis-server has it.
 */
#ifndef SERVER_OBSERVE_SYSCHECK_H
#define SERVER_OBSERVE_SYSCHECK_H

#include <stdbool.h>
#include <stdio.h>

/* Makes every check and writes a line each: "[name]...OK", "...skipped" where the system does not tell, or
 * "...WARNING:" and what to do about it. True: nothing was wrong. `root` stands in front of /proc and /sys: "" but in
 * tests. */
bool syscheck_run(FILE *out, const char *root);

/* The clock's own judgement, for tests: too much of the time spent in the system. */
bool syscheck_clock_is_slow(long long user_us, long long system_us);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What is written to the log when the server crashes: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, an assertion, memory
 * that is out. The frame is redis-server's ("=== REDIS BUG REPORT START"), which people and tools look for. Afterwards
 * the process ends as it would have: by the same signal, with a core if the system writes one.
 */
#ifndef SERVER_OBSERVE_CRASH_H
#define SERVER_OBSERVE_CRASH_H

struct config;
struct server;

/* Once, on the thread of the loop, before other threads exist. From here on crashes of this process are reported if
 * crash-log-enabled says so; assertions are told in the log in any case. */
void crash_init(struct server *srv);
/* Before the server's parts go; for one that has not called crash_init(), too. */
void crash_fini(void);
/* crash-log-enabled was changed. */
void crash_apply(struct server *srv, const struct config *cfg);

/* An error of the server's own that it cannot go on after; text as printf. */
_Noreturn void crash_panic(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

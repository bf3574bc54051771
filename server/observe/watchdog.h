/* SPDX-License-Identifier: MIT
 *
 * watchdog-period: where the loop is, told in the log, when it does not come to its cron for so long. While the period
 * is 0 there is no timer.
 */
#ifndef SERVER_OBSERVE_WATCHDOG_H
#define SERVER_OBSERVE_WATCHDOG_H

struct config;
struct server;

/* Once, on the thread of the loop, by crash_init(). */
void watchdog_init(struct server *srv);
/* Before the server's parts go: no timer any more. */
void watchdog_fini(void);
/* watchdog-period was changed. */
void watchdog_apply(const struct config *cfg);
/* The loop has come to its cron, and the period is not 0: it begins again. */
void watchdog_feed(const struct config *cfg);
/* In a handler of SIGALRM, on any thread; context: its ucontext_t. */
void watchdog_alarm(void *context);

#endif

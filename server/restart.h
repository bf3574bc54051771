/* SPDX-License-Identifier: MIT
 *
 * The program again, in the same process, with the command line that it was started with.
 */
#ifndef SERVER_RESTART_H
#define SERVER_RESTART_H

#include <stdint.h>

#define RESTART_DELAY_MS_MAX 3600000

struct server;

/* At the start, before anybody writes over argv. It lasts as long as the process. */
void restart_remember(struct server *srv, int argc, char **argv);
/* Nothing is saved or ended in order; returns only if the program cannot be executed. */
void restart_execute(struct server *srv, int64_t delay_ms);

#endif

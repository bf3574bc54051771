/* SPDX-License-Identifier: MIT
 *
 * What ps shows of the process: set-proc-title, proc-title-template.
 */
#ifndef SERVER_OBSERVE_PROC_TITLE_H
#define SERVER_OBSERVE_PROC_TITLE_H

struct config;
struct server;

/* First of all in main(), before anybody keeps a pointer into the environment: both are moved to memory of their own,
 * since the title lies where they were. What argv points to is overwritten by the first proc_title_show(). */
void proc_title_take(int argc, char **argv);
/* As the template of cfg says; nothing before proc_title_take(), or without set-proc-title. */
void proc_title_show(const struct server *srv, const struct config *cfg);

#endif

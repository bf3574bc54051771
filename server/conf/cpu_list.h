/* SPDX-License-Identifier: MIT
 *
 * Lists of CPUs as taskset(1) has them: "0,2", "4-7", "0-7:2" for every second one.
 */
#ifndef SERVER_CONF_CPU_LIST_H
#define SERVER_CONF_CPU_LIST_H

#include <sched.h>
#include <stdbool.h>

/* False: it is no such list, or names a CPU of CPU_SETSIZE or higher; out is as it was then. */
bool cpu_list_parse(const char *text, cpu_set_t *out);
/* The shortest list of the same CPUs; cut at size. */
void cpu_list_format(char *out, size_t size, const cpu_set_t *set);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What the shim has to say, and what it has counted.
 *
 * Lines go to the file that DEMI_SHIM_LOG names ("-": stderr), and nowhere without; but a library OS that was asked for
 * and does not start is told on stderr. Counters go to the file that DEMI_SHIM_STATS names when the process ends.
 */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include <stdint.h>

void shim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void shim_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

enum shim_counter {
    COUNT_OURS,      /* sockets that became the library OS's */
    COUNT_KERNEL,    /* that became the kernel's */
    COUNT_ACCEPTED,  /* connections */
    COUNT_CONNECTED, /* connections */
    COUNT_SETS,      /* epoll sets with sockets of ours */
    COUNT_OPTIONS,   /* options that the library OS did not know, set on the shadow alone */
    COUNT_REFUSED,   /* calls that were refused: splice, SCM_RIGHTS… */
    COUNTERS
};
extern uint64_t shim_counters[COUNTERS];
static inline void shim_count(enum shim_counter c) { shim_counters[c]++; }
void shim_stats_write(void);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The parts of a crash report. Each may itself crash or hang (what it reads may be what is broken):
 * server/observe/crash.c ends it then, and goes on with the next.
 */
#ifndef SERVER_OBSERVE_CRASH_PARTS_H
#define SERVER_OBSERVE_CRASH_PARTS_H

#include <stdint.h>

#include "server/observe/report.h"
#include "server/resp/reply.h"

struct server;

struct crash_parts {
    struct report *out;
    struct server *srv;
    void *context;           /* ucontext_t of the signal; NULL: none */
    struct reply info;       /* room for INFO's text, taken in better times */
    uint64_t memcheck_until; /* clock_mono_ns() */
};

typedef void crash_part(struct crash_parts *p);
/* The instruction that was running; 0: not known on this processor. */
uintptr_t crash_instruction(const struct crash_parts *p);

crash_part crash_stack, crash_registers, crash_command, crash_info_collect, crash_info, crash_clients, crash_config,
    crash_memory;

#endif

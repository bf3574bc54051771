/* SPDX-License-Identifier: MIT
 *
 * Passwords in commands: what MONITOR and the slow log show instead.
 */
#ifndef SERVER_REDACT_H
#define SERVER_REDACT_H

#include "server/command/command.h"

/* The call as others may see it: argv itself, or for AUTH, HELLO and CONFIG SET an array for mem_free() with
 * "(redacted)" in place of user names, passwords and the values of sensitive options. */
const struct bytes *redact(const struct command *cmd, const struct bytes *argv, int argc);

/* Some of its arguments are, or may be, secrets. */
bool redact_needed(const struct command *cmd);

#endif

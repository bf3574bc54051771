/* SPDX-License-Identifier: MIT
 *
 * Rows of the command table as replies.
 */
#ifndef SERVER_CMD_COMMAND_REPLY_H
#define SERVER_CMD_COMMAND_REPLY_H

#include "server/command/command.h"
#include "server/resp/reply.h"

/* One element of COMMAND and COMMAND INFO, with its subcommands. */
void command_reply_info(struct reply *out, const struct command *cmd);
/* One pair of COMMAND DOCS: the full name and a map. */
void command_reply_docs(struct reply *out, const struct command *cmd);
/* enum key_flag as words. */
void command_reply_key_flags(struct reply *out, unsigned flags);

#endif

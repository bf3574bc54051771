/* SPDX-License-Identifier: MIT
 *
 * MULTI and EXEC.
 */
#include "server/command/handlers.h"
#include "server/command/spec.h"

const struct command spec_transactions[] = {
    {
        .name = "DISCARD",
        .handler = cmd_discard,
        .arity = 1,
        .flags =
            CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY | CMD_RUNS_IN_MULTI | CMD_ENDS_MULTI,
        .acl = ACL_FAST | ACL_TRANSACTION,
        .group = "transactions",
        .since = "2.0.0",
        .complexity = "O(N), when N is the number of queued commands",
        .summary = "Discards a transaction.",
    },
    {
        .name = "EXEC",
        .handler = cmd_exec,
        .arity = 1,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_SLOWLOG | CMD_RUNS_IN_MULTI | CMD_ENDS_MULTI |
                 CMD_RUNS_QUEUE,
        .acl = ACL_SLOW | ACL_TRANSACTION,
        .group = "transactions",
        .since = "1.2.0",
        .complexity = "Depends on commands in the transaction",
        .summary = "Executes all commands in a transaction.",
    },
    {
        .name = "MULTI",
        .handler = cmd_multi,
        .arity = 1,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY | CMD_RUNS_IN_MULTI,
        .acl = ACL_FAST | ACL_TRANSACTION,
        .group = "transactions",
        .since = "1.2.0",
        .complexity = "O(1)",
        .summary = "Starts a transaction.",
    },
    {
        .name = "UNWATCH",
        .handler = cmd_unwatch,
        .arity = 1,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY,
        .acl = ACL_FAST | ACL_TRANSACTION,
        .group = "transactions",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Forgets about watched keys of a transaction.",
    },
    {
        .name = "WATCH",
        .handler = cmd_watch,
        .arity = -2,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY | CMD_RUNS_IN_MULTI,
        .acl = ACL_FAST | ACL_TRANSACTION,
        KEYS({KEY_RANGE(KEY_RO, 1, -1, 1, 0)}),
        .group = "transactions",
        .since = "2.2.0",
        .complexity = "O(1) for every key.",
        .summary = "Monitors changes to keys to determine the execution of a transaction.",
        ARGS({.name = "key", .type = ARG_KEY, .flags = ARG_MULTIPLE, .key_spec = 1}),
    },
};

const unsigned spec_transactions_count = COUNT(spec_transactions);

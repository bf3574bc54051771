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
        .complexity = "O(N), N being the commands queued",
        .summary = "Drops the transaction begun on this connection.",
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
        .complexity = "Depends on the commands queued",
        .summary = "Runs the commands queued since MULTI.",
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
        .summary = "Begins a transaction: what follows is queued until EXEC.",
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
        .summary = "Forgets the watched keys of this connection.",
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
        .complexity = "O(1) a key.",
        .summary = "Lets the next EXEC fail if any of these keys changes before.",
        ARGS({.name = "key", .type = ARG_KEY, .flags = ARG_MULTIPLE, .key_spec = 1}),
    },
};

const unsigned spec_transactions_count = COUNT(spec_transactions);

/* SPDX-License-Identifier: MIT
 *
 * Counting different elements, roughly, in strings.
 */
#include "server/command/getkeys.h"
#include "server/command/handlers.h"
#include "server/command/spec.h"

const struct command spec_hyperloglog[] = {
    {
        .name = "PFADD",
        .handler = cmd_pfadd,
        .arity = -2,
        .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
        .acl = ACL_WRITE | ACL_HYPERLOGLOG | ACL_FAST,
        KEYS({KEY_RANGE(KEY_RW | KEY_INSERT, 1, 0, 1, 0)}),
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(1) to add every element.",
        .summary = "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.",
        ARGS({.name = "key", .type = ARG_KEY, .key_spec = 1},
             {.name = "element", .type = ARG_STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE}),
    },
    {
        .name = "PFCOUNT",
        .handler = cmd_pfcount,
        .arity = -2,
        .flags = CMD_READONLY | CMD_MAY_REPLICATE,
        .acl = ACL_READ | ACL_HYPERLOGLOG | ACL_SLOW,
        KEYS({KEY_RANGE(KEY_RW | KEY_ACCESS, 1, -1, 1, 0),
              .notes = "RW because it may change the internal representation of the key, and propagate to replicas"}),
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity =
            "O(1) with a very small average constant time when called with a single key. O(N) with N being the "
            "number of keys, and much bigger constant times, when called with multiple keys.",
        .summary = "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
        ARGS({.name = "key", .type = ARG_KEY, .flags = ARG_MULTIPLE, .key_spec = 1}),
    },
    {
        .name = "PFDEBUG",
        .handler = cmd_pfdebug,
        .arity = 3,
        .flags = CMD_WRITE | CMD_DENYOOM | CMD_ADMIN,
        .acl = ACL_WRITE | ACL_ADMIN | ACL_DANGEROUS | ACL_HYPERLOGLOG | ACL_SLOW,
        KEYS({KEY_RANGE(KEY_RW | KEY_ACCESS, 2, 0, 1, 0)}),
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "N/A",
        .summary = "Internal commands for debugging HyperLogLog values.",
        .doc_flags = DOC_SYSCMD,
        ARGS({.name = "subcommand", .type = ARG_STRING}, {.name = "key", .type = ARG_KEY, .key_spec = 1}),
    },
    {
        .name = "PFMERGE",
        .handler = cmd_pfmerge,
        .arity = -2,
        .flags = CMD_WRITE | CMD_DENYOOM,
        .acl = ACL_WRITE | ACL_HYPERLOGLOG | ACL_SLOW,
        KEYS({KEY_RANGE(KEY_RW | KEY_ACCESS | KEY_INSERT, 1, 0, 1, 0)}, {KEY_RANGE(KEY_RO | KEY_ACCESS, 2, -1, 1, 0)}),
        .getkeys = getkeys_pfmerge,
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(N) to merge N HyperLogLogs, but with high constant times.",
        .summary = "Merges one or more HyperLogLog values into a single key.",
        ARGS({.name = "destkey", .type = ARG_KEY, .key_spec = 1},
             {.name = "sourcekey", .type = ARG_KEY, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .key_spec = 2}),
    },
    {
        .name = "PFSELFTEST",
        .handler = cmd_pfselftest,
        .arity = 1,
        .flags = CMD_ADMIN,
        .acl = ACL_ADMIN | ACL_DANGEROUS | ACL_HYPERLOGLOG | ACL_SLOW,
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "N/A",
        .summary = "An internal command for testing HyperLogLog values.",
        .doc_flags = DOC_SYSCMD,
    },
};
const unsigned spec_hyperloglog_count = COUNT(spec_hyperloglog);

/* SPDX-License-Identifier: MIT
 *
 * Scripts.
 */
#include "server/command/handlers.h"
#include "server/command/spec.h"

#define EVAL_NOTES    "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"
#define EVAL_RO_NOTES "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"

#define EVAL_ARGS(first)                                                                                               \
    ARGS({.name = first, .type = ARG_STRING}, {.name = "numkeys", .type = ARG_INTEGER},                                \
         {.name = "key", .type = ARG_KEY, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .key_spec = 1},                        \
         {.name = "arg", .type = ARG_STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE})

static const struct command script_subs[] = {
    {
        .name = "DEBUG",
        .handler = cmd_script_debug,
        .arity = 3,
        .flags = CMD_NOSCRIPT | CMD_NEEDS_CLIENT,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .group = "scripting",
        .since = "3.2.0",
        .complexity = "O(1)",
        .summary = "Sets the debug mode of server-side Lua scripts.",
        ARGS({.name = "mode",
              .type = ARG_ONEOF,
              SUB_ARGS({.name = "yes", .type = ARG_PURE_TOKEN, .token = "YES"},
                       {.name = "sync", .type = ARG_PURE_TOKEN, .token = "SYNC"},
                       {.name = "no", .type = ARG_PURE_TOKEN, .token = "NO"})}),
    },
    {
        .name = "EXISTS",
        .handler = cmd_script_exists,
        .arity = -3,
        .flags = CMD_NOSCRIPT,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .group = "scripting",
        .since = "2.6.0",
        .complexity =
            "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
        .summary = "Determines whether server-side Lua scripts exist in the script cache.",
        TIPS("request_policy:all_shards", "response_policy:agg_logical_and"),
        ARGS({.name = "sha1", .type = ARG_STRING, .flags = ARG_MULTIPLE}),
    },
    {
        .name = "FLUSH",
        .handler = cmd_script_flush,
        .arity = -2,
        .flags = CMD_NOSCRIPT,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .group = "scripting",
        .since = "2.6.0",
        .complexity = "O(N) with N being the number of scripts in cache",
        .summary = "Removes all server-side Lua scripts from the script cache.",
        TIPS("request_policy:all_nodes", "response_policy:all_succeeded"),
        HISTORY({"6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers."}),
        ARGS({.name = "flush-type",
              .type = ARG_ONEOF,
              .flags = ARG_OPTIONAL,
              .since = "6.2.0",
              SUB_ARGS({.name = "async", .type = ARG_PURE_TOKEN, .token = "ASYNC"},
                       {.name = "sync", .type = ARG_PURE_TOKEN, .token = "SYNC"})}),
    },
    {
        .name = "HELP",
        .handler = cmd_script_help,
        .arity = 2,
        .flags = CMD_LOADING | CMD_STALE,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .group = "scripting",
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Returns helpful text about the different subcommands.",
    },
    {
        .name = "KILL",
        .handler = cmd_script_kill,
        .arity = 2,
        .flags = CMD_NOSCRIPT | CMD_ALLOW_BUSY,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .group = "scripting",
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Terminates a server-side Lua script during execution.",
        TIPS("request_policy:all_shards", "response_policy:one_succeeded"),
    },
    {
        .name = "LOAD",
        .handler = cmd_script_load,
        .arity = 3,
        .flags = CMD_NOSCRIPT | CMD_STALE,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .group = "scripting",
        .since = "2.6.0",
        .complexity = "O(N) with N being the length in bytes of the script body.",
        .summary = "Loads a server-side Lua script to the script cache.",
        TIPS("request_policy:all_nodes", "response_policy:all_succeeded"),
        ARGS({.name = "script", .type = ARG_STRING}),
    },
};

const struct command spec_scripting[] = {
    {
        .name = "EVAL",
        .handler = cmd_eval,
        .arity = -3,
        .flags = CMD_NOSCRIPT | CMD_SKIP_MONITOR | CMD_MAY_REPLICATE | CMD_NO_MANDATORY_KEYS | CMD_STALE,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .holds = HOLD_ALL,
        KEYS({KEY_NUM(KEY_RW | KEY_ACCESS | KEY_UPDATE, 2, 0, 1, 1), .notes = EVAL_NOTES}),
        .group = "scripting",
        .since = "2.6.0",
        .complexity = "Depends on the script that is executed.",
        .summary = "Executes a server-side Lua script.",
        EVAL_ARGS("script"),
    },
    {
        .name = "EVALSHA",
        .handler = cmd_evalsha,
        .arity = -3,
        .flags = CMD_NOSCRIPT | CMD_SKIP_MONITOR | CMD_MAY_REPLICATE | CMD_NO_MANDATORY_KEYS | CMD_STALE,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .holds = HOLD_ALL,
        KEYS({KEY_NUM(KEY_RW | KEY_ACCESS | KEY_UPDATE, 2, 0, 1, 1)}),
        .group = "scripting",
        .since = "2.6.0",
        .complexity = "Depends on the script that is executed.",
        .summary = "Executes a server-side Lua script by SHA1 digest.",
        EVAL_ARGS("sha1"),
    },
    {
        .name = "EVALSHA_RO",
        .handler = cmd_evalsha_ro,
        .arity = -3,
        .flags = CMD_NOSCRIPT | CMD_SKIP_MONITOR | CMD_READONLY | CMD_NO_MANDATORY_KEYS | CMD_STALE,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .holds = HOLD_ALL,
        KEYS({KEY_NUM(KEY_RO | KEY_ACCESS, 2, 0, 1, 1)}),
        .group = "scripting",
        .since = "7.0.0",
        .complexity = "Depends on the script that is executed.",
        .summary = "Executes a read-only server-side Lua script by SHA1 digest.",
        EVAL_ARGS("sha1"),
    },
    {
        .name = "EVAL_RO",
        .handler = cmd_eval_ro,
        .arity = -3,
        .flags = CMD_NOSCRIPT | CMD_SKIP_MONITOR | CMD_READONLY | CMD_NO_MANDATORY_KEYS | CMD_STALE,
        .acl = ACL_SLOW | ACL_SCRIPTING,
        .holds = HOLD_ALL,
        KEYS({KEY_NUM(KEY_RO | KEY_ACCESS, 2, 0, 1, 1), .notes = EVAL_RO_NOTES}),
        .group = "scripting",
        .since = "7.0.0",
        .complexity = "Depends on the script that is executed.",
        .summary = "Executes a read-only server-side Lua script.",
        EVAL_ARGS("script"),
    },
    {
        .name = "SCRIPT",
        .arity = -2,
        .acl = ACL_SLOW,
        .subs = script_subs,
        .sub_count = COUNT(script_subs),
        .group = "scripting",
        .since = "2.6.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for Lua scripts management commands.",
    },
};

const unsigned spec_scripting_count = COUNT(spec_scripting);

/* SPDX-License-Identifier: MIT
 *
 * Modules: none are there, and none can be loaded.
 */
#include "server/command/handlers.h"
#include "server/command/spec.h"

static const struct command module_subs[] = {
    {
        .name = "HELP",
        .handler = cmd_module_help,
        .arity = 2,
        .flags = CMD_LOADING | CMD_STALE,
        .acl = ACL_SLOW,
        .group = "server",
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Returns helpful text about the different subcommands.",
    },
    {
        .name = "LIST",
        .handler = cmd_module_list,
        .arity = 2,
        .flags = CMD_ADMIN | CMD_NOSCRIPT,
        .acl = ACL_ADMIN | ACL_SLOW | ACL_DANGEROUS,
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(N) where N is the number of loaded modules.",
        .summary = "Returns all loaded modules.",
        TIPS("nondeterministic_output_order"),
    },
    {
        .name = "LOAD",
        .handler = cmd_module_load,
        .arity = -3,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_PROTECTED | CMD_NO_ASYNC_LOADING,
        .acl = ACL_ADMIN | ACL_SLOW | ACL_DANGEROUS,
        .lacks = LACKS_MODULES,
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Loads a module.",
        ARGS({.name = "path", .type = ARG_STRING},
             {.name = "arg", .type = ARG_STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE}),
    },
    {
        .name = "LOADEX",
        .handler = cmd_module_loadex,
        .arity = -3,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_PROTECTED | CMD_NO_ASYNC_LOADING,
        .acl = ACL_ADMIN | ACL_SLOW | ACL_DANGEROUS,
        .lacks = LACKS_MODULES,
        .group = "server",
        .since = "7.0.0",
        .complexity = "O(1)",
        .summary = "Loads a module using extended parameters.",
        ARGS({.name = "path", .type = ARG_STRING},
             {.name = "configs",
              .type = ARG_BLOCK,
              .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN,
              .token = "CONFIG",
              SUB_ARGS({.name = "name", .type = ARG_STRING}, {.name = "value", .type = ARG_STRING})},
             {.name = "args", .type = ARG_STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .token = "ARGS"}),
    },
    {
        .name = "UNLOAD",
        .handler = cmd_module_unload,
        .arity = 3,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_PROTECTED | CMD_NO_ASYNC_LOADING,
        .acl = ACL_ADMIN | ACL_SLOW | ACL_DANGEROUS,
        .lacks = LACKS_MODULES,
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Unloads a module.",
        ARGS({.name = "name", .type = ARG_STRING}),
    },
};

const struct command spec_module[] = {
    {
        .name = "MODULE",
        .arity = -2,
        .acl = ACL_SLOW,
        .subs = module_subs,
        .sub_count = COUNT(module_subs),
        .group = "server",
        .since = "4.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for module commands.",
    },
};
const unsigned spec_module_count = COUNT(spec_module);

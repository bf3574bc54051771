/* SPDX-License-Identifier: MIT
 *
 * COMMAND: the table of commands, told to clients. Drivers ask it where keys are, redis-cli asks it
 * for help and completion. Commands that rename-command took away are left out. The replies of
 * COMMAND INFO and COMMAND DOCS are in command_reply.c.
 */
#include "server/exec/call.h"
#include "server/cmd/command_reply.h"
#include "server/command/category.h"
#include "server/command/handlers.h"
#include "server/ds/glob.h"
#include "server/mem.h"

/* Top-level commands that clients can reach. */
static const struct command *top_next(unsigned *i)
{
    const struct command *cmd;
    while ((cmd = command_at((*i)++)))
        if (!cmd->parent && command_is_known(cmd)) return cmd;
    return NULL;
}

static size_t top_count(void)
{
    size_t n = 0;
    for (unsigned i = 0; top_next(&i);) n++;
    return n;
}

static void reply_all_infos(struct call *c)
{
    reply_array(c->out, top_count());
    const struct command *cmd;
    for (unsigned i = 0; (cmd = top_next(&i));) command_reply_info(c->out, cmd);
}

void cmd_command(struct call *c) { reply_all_infos(c); }

void cmd_command_count(struct call *c) { call_integer(c, (int64_t)top_count()); }

void cmd_command_info(struct call *c)
{
    if (c->argc == 2) {
        reply_all_infos(c);
        return;
    }
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_find_full(c->argv[i]);
        if (cmd) command_reply_info(c->out, cmd);
        else reply_null(c->out);
    }
}

void cmd_command_docs(struct call *c)
{
    const struct command *cmd;
    if (c->argc == 2) {
        reply_map(c->out, top_count());
        for (unsigned i = 0; (cmd = top_next(&i));) command_reply_docs(c->out, cmd);
        return;
    }
    struct reply_mark mark = reply_defer(c->out);
    size_t count = 0;
    for (int i = 2; i < c->argc; i++) {
        cmd = command_find_full(c->argv[i]);
        if (!cmd) continue;
        command_reply_docs(c->out, cmd);
        count++;
    }
    reply_defer_map(c->out, mark, count);
}

/* --- COMMAND LIST -------------------------------------------------------------------------- */

struct filter {
    enum { FILTER_NONE, FILTER_CATEGORY, FILTER_PATTERN, FILTER_MODULE } by;
    uint32_t category;
    struct bytes pattern;
};

static bool filter_parse(struct call *c, struct filter *f)
{
    *f = (struct filter){.by = FILTER_NONE};
    if (c->argc == 2) return true;
    if (c->argc != 5 || !bytes_is_word(c->argv[2], "filterby")) return false;
    if (bytes_is_word(c->argv[3], "aclcat")) {
        f->by = FILTER_CATEGORY;
        f->category = command_category(c->argv[4]);
    } else if (bytes_is_word(c->argv[3], "pattern")) {
        f->by = FILTER_PATTERN;
        f->pattern = c->argv[4];
    } else if (bytes_is_word(c->argv[3], "module")) {
        f->by = FILTER_MODULE; /* there are none */
    } else {
        return false;
    }
    return true;
}

static bool filter_passes(const struct filter *f, const struct command *cmd)
{
    switch (f->by) {
    case FILTER_NONE: return true;
    case FILTER_CATEGORY: return (cmd->acl & f->category) != 0;
    case FILTER_PATTERN: return glob_match(f->pattern, bytes_of_str(cmd->full_name), true);
    case FILTER_MODULE: break;
    }
    return false;
}

void cmd_command_list(struct call *c)
{
    struct filter f;
    if (!filter_parse(c, &f)) {
        call_syntax_error(c);
        return;
    }
    struct reply_mark mark = reply_defer(c->out);
    size_t count = 0;
    const struct command *cmd;
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        if (!command_is_known(cmd) || !filter_passes(&f, cmd)) continue;
        reply_bulk_str(c->out, cmd->full_name);
        count++;
    }
    reply_defer_array(c->out, mark, count);
}

/* --- COMMAND GETKEYS ----------------------------------------------------------------------- */

/* The command a whole call names; NULL: none, or a container with an unknown subcommand. */
static const struct command *called(const struct bytes *argv, int argc)
{
    const struct command *cmd = command_find(argv[0]);
    if (!cmd || cmd->sub_count == 0 || argc == 1) return cmd;
    return command_find_sub(cmd, argv[1]);
}

static bool may_have_keys(const struct command *cmd)
{
    if (cmd->getkeys) return true;
    for (unsigned i = 0; i < cmd->key_count; i++)
        if (!(cmd->keys[i].flags & KEY_NOT_KEY)) return true;
    return false;
}

/* NULL with the error replied. */
static const struct command *call_with_keys(struct call *c)
{
    int argc = c->argc - 2;
    const struct command *cmd = called(c->argv + 2, argc);
    if (!cmd) {
        call_error(c, "ERR Invalid command specified");
        return NULL;
    }
    if (!may_have_keys(cmd)) {
        call_error(c, "ERR The command has no key arguments");
        return NULL;
    }
    if ((cmd->arity > 0 && argc != cmd->arity) || argc < -cmd->arity) {
        call_error(c, "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    return cmd;
}

static void reply_keys(struct call *c, bool with_flags)
{
    const struct command *cmd = call_with_keys(c);
    if (!cmd) return;
    /* Every key is an argument, so there is room for all; getkeys functions want two places in any
     * case. */
    int max = c->argc;
    int *keys = mem_alloc(sizeof *keys * (size_t)max);
    uint16_t *flags = mem_alloc(sizeof *flags * (size_t)max);
    int n = command_keys(cmd, c->argv + 2, c->argc - 2, keys, flags, max);
    if (n > max) n = max;
    if (n <= 0 && !(cmd->flags & CMD_NO_MANDATORY_KEYS)) {
        call_error(c, "ERR Invalid arguments specified for command");
    } else {
        if (n < 0) n = 0;
        reply_array(c->out, (size_t)n);
        for (int i = 0; i < n; i++) {
            if (with_flags) reply_array(c->out, 2);
            call_bulk(c, c->argv[keys[i] + 2]);
            if (with_flags) command_reply_key_flags(c->out, flags[i]);
        }
    }
    mem_free(keys);
    mem_free(flags);
}

void cmd_command_getkeys(struct call *c) { reply_keys(c, false); }

void cmd_command_getkeysandflags(struct call *c) { reply_keys(c, true); }

void cmd_command_help(struct call *c)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    call_help(c, lines);
}

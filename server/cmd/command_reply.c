/* SPDX-License-Identifier: MIT
 *
 * COMMAND INFO and COMMAND DOCS, field by field in Redis's order.
 */
#include "server/cmd/command_reply.h"

#include "server/command/category.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- words for bits ------------------------------------------------------------------------ */

struct word {
    uint32_t bit;
    const char *text;
};

/* In the order they are told. Flags the server keeps to itself are not here. */
static const struct word command_words[] = {
    {CMD_WRITE, "write"},
    {CMD_READONLY, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_MODULE, "module"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_SKIP_MONITOR, "skip_monitor"},
    {CMD_SKIP_SLOWLOG, "skip_slowlog"},
    {CMD_ASKING, "asking"},
    {CMD_FAST, "fast"},
    {CMD_NO_AUTH, "no_auth"},
    {CMD_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {CMD_NO_ASYNC_LOADING, "no_async_loading"},
    {CMD_NO_MULTI, "no_multi"},
    {CMD_MOVABLE_KEYS, "movablekeys"},
    {CMD_ALLOW_BUSY, "allow_busy"},
};

static const struct word key_words[] = {
    {KEY_RO, "RO"},
    {KEY_RW, "RW"},
    {KEY_OW, "OW"},
    {KEY_RM, "RM"},
    {KEY_ACCESS, "access"},
    {KEY_UPDATE, "update"},
    {KEY_INSERT, "insert"},
    {KEY_DELETE, "delete"},
    {KEY_NOT_KEY, "not_key"},
    {KEY_INCOMPLETE, "incomplete"},
    {KEY_VARIABLE_FLAGS, "variable_flags"},
};

static const struct word doc_words[] = {{DOC_DEPRECATED, "deprecated"}, {DOC_SYSCMD, "syscmd"}};

static const struct word arg_words[] = {
    {ARG_OPTIONAL, "optional"}, {ARG_MULTIPLE, "multiple"}, {ARG_MULTIPLE_TOKEN, "multiple_token"}};

static void reply_words(struct reply *out, uint32_t bits, const struct word *words, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) n += (bits & words[i].bit) != 0;
    reply_set(out, n);
    for (size_t i = 0; i < count; i++)
        if (bits & words[i].bit) reply_status(out, words[i].text);
}

static void reply_categories(struct reply *out, uint32_t bits)
{
    size_t n = 0;
    for (unsigned i = 0; i < CATEGORY_COUNT; i++) n += (bits & categories[i].bit) != 0;
    reply_set(out, n);
    for (unsigned i = 0; i < CATEGORY_COUNT; i++)
        if (bits & categories[i].bit) reply_status(out, categories[i].name);
}

void command_reply_key_flags(struct reply *out, unsigned flags)
{
    reply_words(out, flags, key_words, COUNT(key_words));
}

/* --- INFO ---------------------------------------------------------------------------------- */

static void pair_str(struct reply *out, const char *name, const char *value)
{
    reply_bulk_str(out, name);
    reply_bulk_str(out, value);
}

static void pair_int(struct reply *out, const char *name, int64_t value)
{
    reply_bulk_str(out, name);
    reply_int(out, value);
}

/* "type" and "spec", of which `fields` pairs follow. */
static void typed(struct reply *out, const char *name, const char *type, size_t fields)
{
    reply_bulk_str(out, name);
    reply_map(out, 2);
    pair_str(out, "type", type);
    reply_bulk_str(out, "spec");
    reply_map(out, fields);
}

static void reply_begin(struct reply *out, const struct key_spec *ks)
{
    switch (ks->begin) {
    case KEY_BEGIN_UNKNOWN: typed(out, "begin_search", "unknown", 0); break;
    case KEY_BEGIN_INDEX:
        typed(out, "begin_search", "index", 1);
        pair_int(out, "index", ks->begin_pos);
        break;
    case KEY_BEGIN_KEYWORD:
        typed(out, "begin_search", "keyword", 2);
        pair_str(out, "keyword", ks->begin_keyword);
        pair_int(out, "startfrom", ks->begin_pos);
        break;
    }
}

static void reply_find(struct reply *out, const struct key_spec *ks)
{
    switch (ks->find) {
    case KEY_FIND_UNKNOWN: typed(out, "find_keys", "unknown", 0); break;
    case KEY_FIND_RANGE:
        typed(out, "find_keys", "range", 3);
        pair_int(out, "lastkey", ks->last);
        pair_int(out, "keystep", ks->step);
        pair_int(out, "limit", ks->limit);
        break;
    case KEY_FIND_KEYNUM:
        typed(out, "find_keys", "keynum", 3);
        pair_int(out, "keynumidx", ks->keynum_index);
        pair_int(out, "firstkey", ks->first_key);
        pair_int(out, "keystep", ks->keynum_step);
        break;
    }
}

static void reply_key_specs(struct reply *out, const struct command *cmd)
{
    reply_set(out, cmd->key_count);
    for (unsigned i = 0; i < cmd->key_count; i++) {
        const struct key_spec *ks = &cmd->keys[i];
        reply_map(out, ks->notes ? 4 : 3);
        if (ks->notes) pair_str(out, "notes", ks->notes);
        reply_bulk_str(out, "flags");
        command_reply_key_flags(out, ks->flags);
        reply_begin(out, ks);
        reply_find(out, ks);
    }
}

void command_reply_info(struct reply *out, const struct command *cmd)
{
    reply_array(out, 10);
    reply_bulk_str(out, cmd->full_name);
    reply_int(out, cmd->arity);
    reply_words(out, cmd->flags, command_words, COUNT(command_words));
    reply_int(out, cmd->first_key);
    reply_int(out, cmd->last_key);
    reply_int(out, cmd->key_step);
    reply_categories(out, cmd->acl);
    reply_set(out, cmd->tip_count);
    for (unsigned i = 0; i < cmd->tip_count; i++) reply_bulk_str(out, cmd->tips[i]);
    reply_key_specs(out, cmd);
    if (cmd->sub_count == 0) {
        reply_set(out, 0);
        return;
    }
    reply_array(out, cmd->sub_count);
    for (unsigned i = 0; i < cmd->sub_count; i++) command_reply_info(out, &cmd->subs[i]);
}

/* --- DOCS ---------------------------------------------------------------------------------- */

static void reply_args(struct reply *out, const struct command_arg *args, unsigned count)
{
    static const char *const types[] = {
        [ARG_STRING] = "string",         [ARG_INTEGER] = "integer",
        [ARG_DOUBLE] = "double",         [ARG_KEY] = "key",
        [ARG_PATTERN] = "pattern",       [ARG_UNIX_TIME] = "unix-time",
        [ARG_PURE_TOKEN] = "pure-token", [ARG_ONEOF] = "oneof",
        [ARG_BLOCK] = "block",
    };
    reply_array(out, count);
    for (unsigned i = 0; i < count; i++) {
        const struct command_arg *a = &args[i];
        bool shown = a->type != ARG_ONEOF && a->type != ARG_BLOCK; /* those are shown by their parts */
        reply_map(out, 2u + shown + !!a->key_spec + !!a->token + !!a->since + !!a->deprecated_since + !!a->flags +
                           !!a->sub_count);
        pair_str(out, "name", a->name);
        pair_str(out, "type", types[a->type]);
        if (shown) pair_str(out, "display_text", a->display ? a->display : a->name);
        if (a->key_spec) pair_int(out, "key_spec_index", a->key_spec - 1);
        if (a->token) pair_str(out, "token", a->token);
        if (a->since) pair_str(out, "since", a->since);
        if (a->deprecated_since) pair_str(out, "deprecated_since", a->deprecated_since);
        if (a->flags) {
            reply_bulk_str(out, "flags");
            reply_words(out, a->flags, arg_words, COUNT(arg_words));
        }
        if (a->sub_count) {
            reply_bulk_str(out, "arguments");
            reply_args(out, a->sub, a->sub_count);
        }
    }
}

static void reply_history(struct reply *out, const struct command *cmd)
{
    reply_bulk_str(out, "history");
    reply_set(out, cmd->history_count);
    for (unsigned i = 0; i < cmd->history_count; i++) {
        reply_array(out, 2);
        pair_str(out, cmd->history[i].since, cmd->history[i].text);
    }
}

static size_t doc_fields(const struct command *cmd)
{
    return 1u + !!cmd->summary + !!cmd->since + !!cmd->complexity + !!cmd->doc_flags + !!cmd->deprecated_since +
           !!cmd->replaced_by + !!cmd->history_count + !!cmd->arg_count + !!cmd->sub_count;
}

void command_reply_docs(struct reply *out, const struct command *cmd)
{
    reply_bulk_str(out, cmd->full_name);
    reply_map(out, doc_fields(cmd));
    if (cmd->summary) pair_str(out, "summary", cmd->summary);
    if (cmd->since) pair_str(out, "since", cmd->since);
    pair_str(out, "group", cmd->group);
    if (cmd->complexity) pair_str(out, "complexity", cmd->complexity);
    if (cmd->doc_flags) {
        reply_bulk_str(out, "doc_flags");
        reply_words(out, cmd->doc_flags, doc_words, COUNT(doc_words));
    }
    if (cmd->deprecated_since) pair_str(out, "deprecated_since", cmd->deprecated_since);
    if (cmd->replaced_by) pair_str(out, "replaced_by", cmd->replaced_by);
    if (cmd->history_count) reply_history(out, cmd);
    if (cmd->arg_count) {
        reply_bulk_str(out, "arguments");
        reply_args(out, cmd->args, cmd->arg_count);
    }
    if (cmd->sub_count) {
        reply_bulk_str(out, "subcommands");
        reply_map(out, cmd->sub_count);
        for (unsigned i = 0; i < cmd->sub_count; i++) command_reply_docs(out, &cmd->subs[i]);
    }
}

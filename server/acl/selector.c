/* SPDX-License-Identifier: MIT */
#include "server/acl/selector.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "server/command/category.h"
#include "server/command/missing.h"
#include "server/ds/glob.h"
#include "server/mem.h"

/* --- its life ----------------------------------------------------------------------------------------------------- */

void acl_selector_init(struct acl_selector *s, bool open_channels)
{
    ASSERT(command_count() <= ACL_COMMANDS_MAX);
    *s = (struct acl_selector){.all_channels = open_channels};
}

static void forget_keys(struct acl_selector *s)
{
    for (size_t i = 0; i < s->key_count; i++) mem_free((char *)s->keys[i].text.p);
    mem_free(s->keys);
    s->keys = NULL;
    s->key_count = s->key_cap = s->last_key = 0;
}

static void forget_first_args(struct acl_selector *s)
{
    for (size_t i = 0; i < s->first_arg_count; i++) mem_free((char *)s->first_args[i].word.p);
    mem_free(s->first_args);
    s->first_args = NULL;
    s->first_arg_count = 0;
}

void acl_selector_fini(struct acl_selector *s)
{
    forget_keys(s);
    forget_first_args(s);
    acl_words_clear(&s->channels);
    acl_words_clear(&s->rules);
}

void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from)
{
    *to = *from;
    to->keys = mem_alloc((from->key_count + 1) * sizeof *to->keys);
    to->key_cap = from->key_count + 1;
    for (size_t i = 0; i < from->key_count; i++) {
        to->keys[i] = from->keys[i];
        to->keys[i].text = acl_text_copy(from->keys[i].text);
    }
    to->first_args = mem_alloc((from->first_arg_count + 1) * sizeof *to->first_args);
    for (size_t i = 0; i < from->first_arg_count; i++)
        to->first_args[i] = (struct acl_first_arg){from->first_args[i].cmd, acl_text_copy(from->first_args[i].word)};
    to->channels = to->rules = (struct acl_words){0};
    acl_words_copy(&to->channels, &from->channels);
    acl_words_copy(&to->rules, &from->rules);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

/* By the name it was born with: rename-command changes what clients call it, not what it is. */
static const struct command *command_by_name(struct bytes name)
{
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command *cmd = command_at(i);
        if (bytes_is_word(name, cmd->full_name)) return cmd;
    }
    return NULL;
}

/* A command of Redis's that is not there yet: rules about it are kept, so that files need not be changed, and mean
 * nothing. */
static bool is_yet_to_come(struct bytes name)
{
    const char *bar = memchr(name.p, '|', name.n);
    struct bytes argv[2] = {name, {"", 0}};
    if (bar) {
        argv[0].n = (size_t)(bar - name.p);
        argv[1] = bytes_of(bar + 1, name.n - argv[0].n - 1);
    }
    return missing_find(argv, bar ? 2 : 1) >= 0;
}

static void set_bit(struct acl_selector *s, const struct command *cmd, bool allow)
{
    uint64_t bit = UINT64_C(1) << (cmd->index % 64), *word = &s->commands[cmd->index / 64];
    *word = allow ? *word | bit : *word & ~bit;
    if (!allow) s->all_commands = false;
}

static void forget_first_args_of(struct acl_selector *s, const struct command *cmd)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->first_arg_count; i++) {
        if (s->first_args[i].cmd == cmd) mem_free((char *)s->first_args[i].word.p);
        else s->first_args[kept++] = s->first_args[i];
    }
    s->first_arg_count = kept;
}

/* With its subcommands. */
static void change(struct acl_selector *s, const struct command *cmd, bool allow)
{
    set_bit(s, cmd, allow);
    forget_first_args_of(s, cmd);
    for (unsigned i = 0; cmd->sub_count && i < command_count(); i++)
        if (command_at(i)->parent == cmd) set_bit(s, command_at(i), allow);
}

static void change_all(struct acl_selector *s, bool allow)
{
    memset(s->commands, allow ? 255 : 0, sizeof s->commands);
    s->all_commands = s->from_all = allow;
    acl_words_clear(&s->rules);
    forget_first_args(s);
}

/* A rule takes the place of an earlier one about the same, and of those about its subcommands. */
static void note_rule(struct acl_selector *s, struct bytes what, bool allow)
{
    struct conf_text text = {0};
    conf_text_add_str(&text, allow ? "+" : "-");
    conf_text_add(&text, what);
    for (size_t i = 0; i < text.n; i++) text.p[i] = (char)tolower((unsigned char)text.p[i]);
    for (size_t i = 0; i < s->rules.count;) {
        struct bytes had = s->rules.v[i];
        bool same = had.n >= text.n && memcmp(had.p + 1, text.p + 1, text.n - 1) == 0 &&
                    (had.n == text.n || had.p[text.n] == '|');
        if (same) acl_words_remove(&s->rules, i);
        else i++;
    }
    acl_words_add(&s->rules, conf_text_bytes(&text));
    conf_text_free(&text);
}

static int note_to_come(struct acl_selector *s, struct bytes name, bool allow)
{
    if (!is_yet_to_come(name)) return -ENOENT;
    note_rule(s, name, allow);
    return 0;
}

static int set_category(struct acl_selector *s, struct bytes rule, bool allow)
{
    uint32_t bit = command_category(bytes_of(rule.p + 2, rule.n - 2));
    if (!bit) return -ENOENT;
    note_rule(s, bytes_of(rule.p + 1, rule.n - 1), allow);
    for (unsigned i = 0; i < command_count(); i++)
        if (command_at(i)->acl & bit) change(s, command_at(i), allow);
    return 0;
}

static void add_first_arg(struct acl_selector *s, const struct command *cmd, struct bytes word)
{
    for (size_t i = 0; i < s->first_arg_count; i++) {
        const struct acl_first_arg *f = &s->first_args[i];
        if (f->cmd == cmd && f->word.n == word.n && strncasecmp(f->word.p, word.p, word.n) == 0) return;
    }
    s->first_args = mem_realloc(s->first_args, (s->first_arg_count + 1) * sizeof *s->first_args);
    s->first_args[s->first_arg_count++] = (struct acl_first_arg){cmd, acl_text_copy(word)};
}

/* "+config|get", "+select|0" */
static int allow_part(struct acl_selector *s, struct bytes name, const char *bar)
{
    struct bytes container = bytes_of(name.p, (size_t)(bar - name.p));
    struct bytes part = bytes_of(bar + 1, name.n - container.n - 1);
    const struct command *cmd = command_by_name(container);
    if (!cmd) return note_to_come(s, name, true);
    if (cmd->parent) return -ECHILD;
    if (!part.n) return -EINVAL;
    if (cmd->sub_count) {
        const struct command *sub = command_by_name(name);
        if (!sub) return note_to_come(s, name, true);
        change(s, sub, true);
    } else {
        add_first_arg(s, cmd, part);
    }
    note_rule(s, name, true);
    return 0;
}

static int set_command(struct acl_selector *s, struct bytes rule, bool allow)
{
    struct bytes name = bytes_of(rule.p + 1, rule.n - 1);
    const char *bar = allow ? memrchr(name.p, '|', name.n) : NULL;
    if (bar) return allow_part(s, name, bar);
    const struct command *cmd = command_by_name(name);
    if (!cmd) return note_to_come(s, name, allow);
    change(s, cmd, allow);
    note_rule(s, bytes_of_str(cmd->full_name), allow);
    return 0;
}

/* --- keys and channels -------------------------------------------------------------------------------------------- */

static bool has_spaces(struct bytes b)
{
    for (size_t i = 0; i < b.n; i++)
        if (isspace((unsigned char)b.p[i]) || !b.p[i]) return true;
    return false;
}

static size_t prefix_of(struct bytes pattern)
{
    if (!pattern.n || pattern.p[pattern.n - 1] != '*') return SIZE_MAX;
    for (size_t i = 0; i + 1 < pattern.n; i++)
        if (memchr("*?[]\\", pattern.p[i], 5)) return SIZE_MAX;
    return pattern.n - 1;
}

/* "~a", "%R~a", "%RW~a": what may be done, and how long the introduction is; 0: it is none. */
static size_t access_of(struct bytes rule, unsigned *access)
{
    *access = ACL_MAY_BOTH;
    if (rule.p[0] == '~') return 1;
    *access = 0;
    for (size_t i = 1; i < rule.n; i++) {
        unsigned letter = toupper((unsigned char)rule.p[i]) == 'R'   ? ACL_MAY_READ
                          : toupper((unsigned char)rule.p[i]) == 'W' ? ACL_MAY_WRITE
                                                                     : 0;
        if (letter && !(*access & letter)) *access |= letter;
        else return rule.p[i] == '~' && *access ? i + 1 : 0;
    }
    return 0;
}

static int add_key(struct acl_selector *s, struct bytes rule)
{
    unsigned access;
    if (s->all_keys) return -EEXIST;
    size_t skip = access_of(rule, &access);
    if (!skip) return -EINVAL;
    struct bytes text = bytes_of(rule.p + skip, rule.n - skip);
    if (has_spaces(text)) return -EINVAL;
    for (size_t i = 0; i < s->key_count; i++) {
        if (!bytes_equal(s->keys[i].text, text)) continue;
        s->keys[i].access |= (uint8_t)access;
        return 0;
    }
    if (s->key_count == s->key_cap) {
        s->key_cap = s->key_cap ? s->key_cap * 2 : 4;
        s->keys = mem_realloc(s->keys, s->key_cap * sizeof *s->keys);
    }
    struct acl_pattern *p = &s->keys[s->key_count++];
    *p = (struct acl_pattern){.text = acl_text_copy(text), .prefix_size = prefix_of(text), .access = (uint8_t)access};
    size_t n = p->prefix_size == SIZE_MAX ? 0 : p->prefix_size < sizeof p->first ? p->prefix_size : sizeof p->first;
    if (n) memcpy(&p->first, text.p, n);
    memset(&p->mask, 255, n);
    return 0;
}

static int add_channel(struct acl_selector *s, struct bytes rule)
{
    struct bytes text = bytes_of(rule.p + 1, rule.n - 1);
    if (s->all_channels) return -EISDIR;
    if (has_spaces(text)) return -EINVAL;
    if (acl_words_find(&s->channels, text) < 0) acl_words_add(&s->channels, text);
    return 0;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static void set_keys(struct acl_selector *s, bool all)
{
    forget_keys(s);
    s->all_keys = all;
}

static void set_channels(struct acl_selector *s, bool all)
{
    acl_words_clear(&s->channels);
    s->all_channels = all;
}

/* False: it is none of those that are whole words. */
static bool set_whole(struct acl_selector *s, struct bytes rule)
{
    if (bytes_is_word(rule, "allkeys") || bytes_is_word(rule, "~*")) set_keys(s, true);
    else if (bytes_is_word(rule, "resetkeys")) set_keys(s, false);
    else if (bytes_is_word(rule, "allchannels") || bytes_is_word(rule, "&*")) set_channels(s, true);
    else if (bytes_is_word(rule, "resetchannels")) set_channels(s, false);
    else if (bytes_is_word(rule, "allcommands") || bytes_is_word(rule, "+@all")) change_all(s, true);
    else if (bytes_is_word(rule, "nocommands") || bytes_is_word(rule, "-@all")) change_all(s, false);
    else return false;
    return true;
}

int acl_selector_set(struct acl_selector *s, struct bytes rule)
{
    if (!rule.n) return -EINVAL;
    if (set_whole(s, rule)) return 0;
    char first = rule.p[0];
    if (first == '~' || first == '%') return add_key(s, rule);
    if (first == '&') return add_channel(s, rule);
    if (first != '+' && first != '-') return -EINVAL;
    bool is_category = rule.n > 1 && rule.p[1] == '@';
    return is_category ? set_category(s, rule, first == '+') : set_command(s, rule, first == '+');
}

/* --- shown -------------------------------------------------------------------------------------------------------- */

static void add_blank(struct conf_text *out)
{
    if (out->n) conf_text_add_str(out, " ");
}

void acl_selector_commands(const struct acl_selector *s, struct conf_text *out)
{
    conf_text_add_str(out, s->from_all ? "+@all" : "-@all");
    for (size_t i = 0; i < s->rules.count; i++) {
        add_blank(out);
        conf_text_add(out, s->rules.v[i]);
    }
}

static const char *introduction(unsigned access)
{
    return access == ACL_MAY_BOTH ? "~" : access == ACL_MAY_READ ? "%R~" : "%W~";
}

void acl_selector_keys(const struct acl_selector *s, struct conf_text *out)
{
    if (s->all_keys) conf_text_add_str(out, "~*");
    for (size_t i = 0; i < s->key_count; i++) {
        if (i) add_blank(out);
        conf_text_add_str(out, introduction(s->keys[i].access));
        conf_text_add(out, s->keys[i].text);
    }
}

void acl_selector_channels(const struct acl_selector *s, struct conf_text *out)
{
    if (s->all_channels) conf_text_add_str(out, "&*");
    for (size_t i = 0; i < s->channels.count; i++) {
        conf_text_add_str(out, i ? " &" : "&");
        conf_text_add(out, s->channels.v[i]);
    }
}

void acl_selector_describe(const struct acl_selector *s, struct conf_text *out)
{
    acl_selector_keys(s, out);
    if (s->all_keys || s->key_count) conf_text_add_str(out, " ");
    if (!s->all_channels) conf_text_add_str(out, "resetchannels ");
    acl_selector_channels(s, out);
    if (s->all_channels || s->channels.count) conf_text_add_str(out, " ");
    acl_selector_commands(s, out);
}

/* --- asked -------------------------------------------------------------------------------------------------------- */

static bool pattern_has(const struct acl_pattern *p, struct bytes key, unsigned access)
{
    if ((p->access & access) != access) return false;
    if (p->prefix_size == SIZE_MAX) return glob_match(p->text, key, false);
    return key.n >= p->prefix_size && (!p->prefix_size || memcmp(key.p, p->text.p, p->prefix_size) == 0);
}

bool acl_selector_has_key(struct acl_selector *s, struct bytes key, uint16_t key_flags)
{
    unsigned access = acl_access_wanted(key_flags);
    if (s->all_keys) return true;
    if (s->last_key < s->key_count && pattern_has(&s->keys[s->last_key], key, access)) return true;
    for (size_t i = 0; i < s->key_count; i++) {
        if (!pattern_has(&s->keys[i], key, access)) continue;
        s->last_key = (unsigned)i;
        return true;
    }
    return false;
}

bool acl_selector_has_all_keys(const struct acl_selector *s, uint16_t key_flags)
{
    unsigned access = acl_access_wanted(key_flags);
    if (s->all_keys) return true;
    for (size_t i = 0; i < s->key_count; i++)
        if ((s->keys[i].access & access) == access && bytes_equal(s->keys[i].text, BYTES("*"))) return true;
    return false;
}

bool acl_selector_has_channel(const struct acl_selector *s, struct bytes channel, bool is_pattern)
{
    if (s->all_channels) return true;
    if (is_pattern) return acl_words_find(&s->channels, channel) >= 0;
    for (size_t i = 0; i < s->channels.count; i++)
        if (glob_match(s->channels.v[i], channel, false)) return true;
    return false;
}

static bool has_first_arg(const struct acl_selector *s, const struct acl_wish *w)
{
    int at = w->cmd->parent ? 2 : 1;
    if (w->argc <= at) return false;
    for (size_t i = 0; i < s->first_arg_count; i++) {
        const struct acl_first_arg *f = &s->first_args[i];
        if (f->cmd != w->cmd || f->word.n != w->argv[at].n) continue;
        if (strncasecmp(f->word.p, w->argv[at].p, f->word.n) == 0) return true;
    }
    return false;
}

/* A call that contradicts itself names no key, and its handler will refuse it. */
static void find_keys(struct acl_wish *w)
{
    w->key_count = 0;
    if (!w->cmd->key_count && !w->cmd->getkeys) return;
    size_t max = (size_t)w->argc < 2 ? 2 : (size_t)w->argc;
    w->keys = mem_alloc(max * sizeof *w->keys);
    w->flags = mem_alloc(max * sizeof *w->flags);
    int found = command_keys(w->cmd, w->argv, w->argc, w->keys, w->flags, (int)max);
    if (found > 0) w->key_count = found < (int)max ? found : (int)max;
}

static bool allows_keys(struct acl_selector *s, struct acl_wish *w, int *at)
{
    if (s->all_keys) return true;
    if (w->key_count < 0) find_keys(w);
    for (int i = 0; i < w->key_count; i++) {
        if (acl_selector_has_key(s, w->argv[w->keys[i]], w->flags[i])) continue;
        *at = w->keys[i];
        return false;
    }
    return true;
}

/* The channels of a call are its arguments from one on: those of PUBLISH and SPUBLISH the first, those of subscriptions
 * all. Ends of subscriptions are everybody's. */
static bool allows_channels(const struct acl_selector *s, const struct acl_wish *w, int *at)
{
    static const struct {
        const char *name;
        bool all, is_pattern;
    } rows[] = {{"publish", false, false},
                {"spublish", false, false},
                {"subscribe", true, false},
                {"ssubscribe", true, false},
                {"psubscribe", true, true}};
    if (s->all_channels || !(w->cmd->flags & CMD_PUBSUB)) return true;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (strcmp(rows[r].name, w->cmd->full_name) != 0) continue;
        for (int i = 1; i < w->argc && (rows[r].all || i == 1); i++) {
            if (acl_selector_has_channel(s, w->argv[i], rows[r].is_pattern)) continue;
            *at = i;
            return false;
        }
    }
    return true;
}

enum acl_denied acl_selector_check(struct acl_selector *s, struct acl_wish *wish, int *at)
{
    const struct command *cmd = wish->cmd;
    bool is_allowed = s->all_commands || (cmd->flags & CMD_NO_AUTH) || acl_selector_has_command(s, cmd);
    *at = 0;
    if (!is_allowed && !has_first_arg(s, wish)) return ACL_DENIED_COMMAND;
    if (!allows_keys(s, wish, at)) return ACL_DENIED_KEY;
    if (!allows_channels(s, wish, at)) return ACL_DENIED_CHANNEL;
    return ACL_ALLOWED;
}

/* SPDX-License-Identifier: MIT
 *
 * A selector: which commands, on which keys and channels. A user has one for himself, its root, and may have more: a
 * command is allowed if one of them allows all of it.
 *
 * Commands are a bitmap by command->index. What it came from is kept as it was said, so that it can be shown, and said
 * again: the last "+@all" or "-@all", and the rules since, each once.
 *
 * Semantics are those of redis-server 7.2.4 (ACL SETUSER), with one difference: %~key and % say no permission and are
 * refused (CVE-2024-51741).
 */
#ifndef SERVER_ACL_SELECTOR_H
#define SERVER_ACL_SELECTOR_H

#include "server/acl/words.h"
#include "server/command/command.h"
#include "server/conf/text.h"

enum acl_access { ACL_MAY_READ = 1, ACL_MAY_WRITE = 2, ACL_MAY_BOTH = 3 };

/* In the order in which the most telling of several is chosen. */
enum acl_denied { ACL_ALLOWED, ACL_DENIED_COMMAND, ACL_DENIED_KEY, ACL_DENIED_AUTH, ACL_DENIED_CHANNEL };

struct acl_pattern {
    struct bytes text;
    size_t prefix_size;   /* of "abc*": what comes before the star is all there is to compare; else SIZE_MAX */
    uint64_t first, mask; /* as much of that as fits, and which bytes those are */
    uint8_t access;       /* enum acl_access */
};

static inline unsigned acl_access_wanted(uint16_t key_flags)
{
    unsigned access = key_flags & KEY_ACCESS ? ACL_MAY_READ : 0;
    if (key_flags & (KEY_INSERT | KEY_DELETE | KEY_UPDATE)) access |= ACL_MAY_WRITE;
    return access;
}

/* A command that is allowed with this first argument only. */
struct acl_first_arg {
    const struct command *cmd;
    struct bytes word;
};

#define ACL_COMMANDS_MAX 512

struct acl_selector { /* private, but for what acl_quick() looks at */
    uint64_t commands[ACL_COMMANDS_MAX / 64];
    bool all_keys, all_channels, all_commands;
    bool from_all;     /* the rules take away from all commands, those to come included */
    unsigned last_key; /* the pattern that matched last: mostly it will again */
    struct acl_pattern *keys;
    size_t key_count, key_cap;
    struct acl_words channels;
    struct acl_words rules; /* "+get", "-@admin": in their order */
    struct acl_first_arg *first_args;
    size_t first_arg_count;
};

/* Allows nothing; all channels if acl-pubsub-default says so. */
void acl_selector_init(struct acl_selector *s, bool open_channels);
void acl_selector_fini(struct acl_selector *s);
void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from); /* to is not initialised */

/* One rule. 0; -EINVAL: a mistake; -ENOENT: no such command or category; -EEXIST, -EISDIR: a pattern of keys, or of
 * channels, where all are allowed; -ECHILD: a first argument of a subcommand. */
int acl_selector_set(struct acl_selector *s, struct bytes rule);

/* "-@all +get", "~a %R~b", "&news.*": as ACL GETUSER shows them. */
void acl_selector_commands(const struct acl_selector *s, struct conf_text *out);
void acl_selector_keys(const struct acl_selector *s, struct conf_text *out);
void acl_selector_channels(const struct acl_selector *s, struct conf_text *out);
/* All three, as ACL LIST does. */
void acl_selector_describe(const struct acl_selector *s, struct conf_text *out);

/* What a command asks for. */
struct acl_wish {
    const struct command *cmd;
    const struct bytes *argv;
    int argc;
    int *keys; /* arguments that are keys, and what is done with them: found when they are first asked for */
    uint16_t *flags;
    int key_count; /* -1: not looked for yet */
};

/* *at: the argument that is refused, 0 for the command itself. */
enum acl_denied acl_selector_check(struct acl_selector *s, struct acl_wish *wish, int *at);
bool acl_selector_has_key(struct acl_selector *s, struct bytes key, uint16_t key_flags);
/* The pattern that allowed the last key allows this one, which is seen without a call. False says nothing. */
static inline bool acl_selector_has_key_again(const struct acl_selector *s, struct bytes key, uint16_t key_flags)
{
    if (s->last_key >= s->key_count) return false;
    const struct acl_pattern *p = &s->keys[s->last_key];
    unsigned wanted = acl_access_wanted(key_flags);
    if ((p->access & wanted) != wanted || key.n < sizeof p->first || key.n < p->prefix_size) return false;
    if ((load_u64(key.p) ^ p->first) & p->mask) return false;
    return p->prefix_size <= sizeof p->first ||
           memcmp(key.p + sizeof p->first, p->text.p + sizeof p->first, p->prefix_size - sizeof p->first) == 0;
}
/* A name of a channel, or a pattern, which has to be allowed as it is. */
bool acl_selector_has_channel(const struct acl_selector *s, struct bytes channel, bool is_pattern);
/* Every key there can be, for what key_flags say. */
bool acl_selector_has_all_keys(const struct acl_selector *s, uint16_t key_flags);

static inline bool acl_selector_has_command(const struct acl_selector *s, const struct command *cmd)
{
    return s->commands[cmd->index / 64] >> (cmd->index % 64) & 1;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * A user: who he is, how he proves it, what he may. A session points to the user it runs as, or to none and may do
 * everything (what a log or a primary says).
 */
#ifndef SERVER_ACL_USER_H
#define SERVER_ACL_USER_H

#include "server/acl/selector.h"

struct acl_user {
    struct bytes name;
    bool enabled, no_password, skip_sanitize;
    struct acl_words passwords; /* SHA-256, 64 hexadecimal digits each */
    struct acl_selector *selectors;
    size_t selector_count; /* at least 1: the first is the root */
};

/* Disabled, without any right. open_channels: acl-pubsub-default. */
struct acl_user *acl_user_new(struct bytes name, bool open_channels);
void acl_user_free(struct acl_user *u);
/* The same rights and passwords under another name. */
struct acl_user *acl_user_dup(const struct acl_user *u, struct bytes name);
/* u becomes what from is, but for its name; from is emptied and freed. */
void acl_user_take(struct acl_user *u, struct acl_user *from);

/* Whether it may be a user's name: no blanks, no NUL. */
bool acl_user_name_is_fine(struct bytes name);

/* One rule. 0; acl_selector_set()'s errors; -ENODEV: no such password to remove; -EBADMSG: no hash of a password. */
int acl_user_set(struct acl_user *u, struct bytes rule, bool open_channels);
/* What ACL SETUSER says of such an error. */
const char *acl_user_error(int err);

/* "on nopass sanitize-payload ~* &* +@all": without the name. */
void acl_user_describe(const struct acl_user *u, struct conf_text *out);

/* He may come in by this password; takes the same time whether it is nearly right or not. */
bool acl_user_comes_in(const struct acl_user *u, struct bytes password);

/* Whether nothing is refused to him: then nobody needs to ask. */
bool acl_user_is_unrestricted(const struct acl_user *u);

/* *at: the argument that is refused, 0 for the command. u NULL: everything is allowed. */
enum acl_denied acl_user_check(struct acl_user *u, const struct command *cmd, const struct bytes *argv, int argc,
                               int *at);
/* The command, and every key there may be for what key_flags say: SORT's BY and GET. */
bool acl_user_check_all_keys(struct acl_user *u, const struct command *cmd, const struct bytes *argv, int argc,
                             uint16_t key_flags);
bool acl_user_has_channel(const struct acl_user *u, struct bytes channel, bool is_pattern);

/* "User bob has no permissions to run the 'get' command". named: the key or the channel is told, too. */
void acl_user_denied_text(const struct acl_user *u, enum acl_denied why, const struct command *cmd, struct bytes what,
                          bool named, struct conf_text *out);

#endif

/* SPDX-License-Identifier: MIT
 *
 * All users of a server. There always is "default", whom connections are until they say otherwise, and whose place in
 * memory never changes.
 */
#ifndef SERVER_ACL_ACL_H
#define SERVER_ACL_ACL_H

#include "server/acl/log.h"
#include "server/acl/user.h"

struct acl_users {
    struct acl_user **v; /* by name */
    size_t count, cap;
};

struct acl {
    struct acl_users users;
    struct acl_user *default_user;
    struct acl_log log;
};

/* "default", who may do everything and needs no password. */
void acl_init(struct acl *acl);
void acl_fini(struct acl *acl);

/* NULL: there is none of this name. */
struct acl_user *acl_find(const struct acl *acl, struct bytes name);
/* Whether connections are the default user without a password. */
static inline bool acl_is_open(const struct acl *acl)
{
    return acl->default_user->no_password && acl->default_user->enabled;
}
/* requirepass: the default user's one password; empty: he needs none. */
void acl_set_default_password(struct acl *acl, struct bytes password);

/* What the user of this name would be after these rules; selectors may be spread over several words. NULL: err says why
 * not, and nothing has changed. acl_put() or acl_user_free() it. */
struct acl_user *acl_plan(const struct acl *acl, struct bytes name, const struct bytes *rules, int count,
                          bool open_channels, struct conf_text *err);
/* It becomes, or takes the place of, the user of its name. */
void acl_put(struct acl *acl, struct acl_user *planned);
/* Out of the set; acl_user_free() it when nobody is it any more. NULL: there is none. Not "default". */
struct acl_user *acl_remove(struct acl *acl, struct bytes name);

/* All users of a text of lines "user name rules...", as ACL SAVE writes them; file is its name for errors. False: err
 * says all that is wrong. */
bool acl_parse(struct bytes text, const char *file, bool open_channels, struct acl_users *out, struct conf_text *err);
void acl_users_free(struct acl_users *users);
/* They take the place of those there are, whom *old gets, but for "default": who stays where he is, and becomes what
 * he is among them, or what he was born as. */
void acl_replace(struct acl *acl, struct acl_users *users, struct acl_users *old);

/* A line for each user, "user name rules...". */
void acl_describe(const struct acl *acl, struct conf_text *out);
/* A line of one user. */
void acl_describe_one(const struct acl_user *u, struct conf_text *out);

#endif

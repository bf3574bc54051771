/* SPDX-License-Identifier: MIT
 *
 * Users from the configuration, and their file.
 */
#ifndef SERVER_ACL_LOAD_H
#define SERVER_ACL_LOAD_H

#include "server/acl/acl.h"

/* Lines "name rules...", each word quoted (config.users), in place of what a user was before. False: err says which
 * line is wrong, and some of those before it are in force. */
bool acl_load_lines(struct acl *acl, const char *lines, bool open_channels, struct conf_text *err);
/* What the file says (acl_parse()), or in err why not. */
bool acl_load_file(const char *path, bool open_channels, struct acl_users *out, struct conf_text *err);
/* 0 or -errno. */
int acl_save_file(const struct acl *acl, const char *path);

#endif

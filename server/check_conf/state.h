/* SPDX-License-Identifier: MIT
 *
 * What demikv-check-conf knows while it reads: the configuration so far, as the server would have it, and who decided
 * what.
 */
#ifndef SERVER_CHECK_CONF_STATE_H
#define SERVER_CHECK_CONF_STATE_H

#include "server/check_conf/verdict.h"
#include "server/conf/conf.h"

/* Of the table's options there are about 200. */
enum { CHECKED_OPTIONS_MAX = 512, CHECKED_USERS_MAX = 4096, CHECK_NOBODY = -1 };

struct check_conf {
    struct config cfg;
    struct verdict_list verdicts;
    int decided[CHECKED_OPTIONS_MAX]; /* by the option's place in conf_options: its last verdict, or CHECK_NOBODY */
    int noted[CHECKED_OPTIONS_MAX];   /* the first verdict that told what is different, or CHECK_NOBODY */
    struct bytes users[CHECKED_USERS_MAX];
    unsigned user_count;
    bool default_user; /* a line says what the user "default" may */
    bool has_secret;   /* a line holds a password */
};

/* One line, trimmed, neither empty nor a comment, and no include. */
void check_conf_line(struct check_conf *k, unsigned file, int line, struct bytes text);
/* As the server reads it: with what it includes. The name is for messages. */
void check_conf_text(struct check_conf *k, const char *name, struct bytes text);
/* False: it cannot be read; the verdict says why. */
bool check_conf_file(struct check_conf *k, const char *path);
/* Of everything together, when all is read. path: the file, or NULL. */
void check_conf_whole(struct check_conf *k, const char *path);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Reading, changing and writing the configuration. main.c loads it (file, standard input, command
 * line), CONFIG SET changes it, CONFIG REWRITE writes it back. Every option is a row of
 * conf_table.c; what redis-server 7.0.15 knows is known here, with the same names, bounds, defaults
 * and error texts.
 *
 * An option that asks for something this server cannot do yet is refused, in the file as in CONFIG
 * SET, by naming it:
 * "'appendonly yes' is not supported yet".
 */
#ifndef SERVER_CONF_CONF_H
#define SERVER_CONF_CONF_H

#include <stdio.h>
#include <sys/types.h>

#include "alloc/base/bytes.h"
#include "server/conf/config.h"
#include "server/conf/text.h"

struct server;

/* What the server does when CONFIG SET changes an option; next is the configuration it leads to, not published yet. 0
 * or -errno; *err (a constant or static text) may say why not; then next is given up and the hooks that ran are run
 * again with the configuration that stays. Several options may share a function: it runs once a call. settle, or NULL,
 * runs when all is decided, either way: apply leaves to it what cannot be taken back. A hook that cannot be taken back
 * at all is `last`: it runs when nothing else can refuse. */
struct conf_hook {
    const char *option; /* its first name, not an alias */
    int (*apply)(struct server *srv, const struct config *next, const char **err);
    void (*settle)(struct server *srv);
    bool last;
};

/* All options at their defaults. Fini frees what was set. */
void conf_init(struct config *cfg);
void conf_fini(struct config *cfg);
/* A copy that shares nothing with cfg, and its end; never NULL. */
struct config *conf_copy(const struct config *cfg);
void conf_free(struct config *copy);
/* hooks stay the caller's and must outlive cfg. Before cfg is published. */
void conf_register(struct config *cfg, const struct conf_hook *hooks, unsigned count, struct server *srv);

/* --- at the start -------------------------------------------------------------------------- */

enum { CONF_REASON_SIZE = 512, CONF_LINE_SIZE = 1024 };

struct conf_failure {
    bool cannot_open;          /* reason is all there is to say */
    int line;                  /* 0: not about a line */
    char text[CONF_LINE_SIZE]; /* the line, cut when longer */
    char reason[CONF_REASON_SIZE];
};
/* As redis-server writes it, to stderr before main() exits with 1. */
void conf_failure_print(const struct conf_failure *f, FILE *out);

/* rename-command FROM TO (TO may be empty). NULL, or why not. */
typedef const char *conf_rename_fn(struct bytes from, struct bytes to);

/* The command line of the server: [file] [-] [--option value ...] [-], argv[0] left out of account.
 * Options of the command line come last and so win. cfg->file becomes the file's absolute path.
 * rename NULL: rename-command is checked for its form only. -errno: *f says what to print. */
int conf_load(struct config *cfg, int argc, char *const *argv, conf_rename_fn *rename, struct conf_failure *f);
/* Text of a configuration file. Includes are opened only when may_include. */
int conf_load_text(struct config *cfg, struct bytes text, bool may_include, conf_rename_fn *rename,
                   struct conf_failure *f);

/* The words of a command line from argv[first] on, as lines of a file; *from_stdin: one of them was "-". */
void conf_arguments_text(int argc, char *const *argv, int first, struct conf_text *out, bool *from_stdin);

/* --- while it runs ------------------------------------------------------------------------- */

/* CONFIG SET: count names, each followed by its value. All of them or none; now stays as it is either way. 0: *next is
 * a copy with the new values, whose hooks ran; conf_free() it. -EBUSY: not while data is loading; -EINVAL: err gets the
 * text, without the code. protected_too: options that need enable-protected-configs may be set. */
int conf_set(const struct config *now, const struct bytes *pairs, int count, bool protected_too, bool loading,
             struct config **next, struct conf_text *err);
/* CONFIG GET: every option some pattern matches, once, under the name that matched (aliases are
 * names too). Returns their number; fn NULL: only counts. Hidden options are found by their full
 * name only. */
int conf_get(const struct config *cfg, const struct bytes *patterns, int count,
             void (*fn)(void *arg, struct bytes name, struct bytes value), void *arg);
/* True when the value of the option must not show in logs. */
bool conf_is_sensitive(struct bytes name);
/* CONFIG REWRITE into cfg->file. 0 or -errno; -ENOENT also when there is no file. users: lines "user name rules...",
 * which take the place of those that are there. force: options at their defaults are written too. */
int conf_rewrite(const struct config *cfg, struct bytes users, bool force);
/* text becomes the file's content, whole or not at all; its name and its mode stay. 0 or -errno. */
int conf_file_replace(const char *path, mode_t mode, struct bytes text);

#endif

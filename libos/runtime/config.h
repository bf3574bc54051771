/* SPDX-License-Identifier: MIT
 *
 * A libOS's configuration: "section.key" -> value, read from a file of the YAML subset that
 * Demikernel's configuration uses (keys nested by indentation, scalars, comments, lists of scalars
 * in [..] or with dashes). The environment wins: NODELAY=0 beats tcp_socket_options.nodelay.
 */
#ifndef RUNTIME_CONFIG_H
#define RUNTIME_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct demi_config;

/* -ENOENT, -EACCES…: the file. -EINVAL: malformed (err says the line, if given), or more than
 * CONFIG_BYTES_MAX bytes. */
#define CONFIG_BYTES_MAX (1u << 20)
int config_read(const char *path, struct demi_config **out, unsigned *line_out);
int config_parse(const char *text, size_t n, struct demi_config **out, unsigned *line_out);
void config_free(struct demi_config *c);

/* NULL: not set. conf may be NULL. List items are "key.0", "key.1"…; a mapping's keys are visited
 * with config_next(). */
const char *config_get(const struct demi_config *c, const char *path);
/* A value that beats file and environment. Like there only the key's last word counts: config_set(c, "interface", …)
 * is found as "packet.interface", too. *c NULL: a new one. -ENOMEM. */
int config_set(struct demi_config **c, const char *key, const char *value);
/* The first of those that nobody has looked for since: a slip of the pen, or of a libOS that has no use for it. known
 * gets, in order, the words that were looked for. NULL: none. */
const char *config_unasked(const struct demi_config *c, char *known, size_t size);
int64_t config_int(const struct demi_config *c, const char *path, int64_t otherwise);
bool config_bool(const struct demi_config *c, const char *path, bool otherwise);

/* Goes through the entries below "prefix."; *at starts as 0. NULL: no more. *rest is the path
 * behind the prefix. */
const char *config_next(const struct demi_config *c, const char *prefix, size_t *at, const char **rest);

#endif

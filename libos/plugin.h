/* SPDX-License-Identifier: MIT
 *
 * What the plug-ins (libos/dpdk, libos/xdp) share: reading their keys, and saying in one line why they do not open.
 * Inline, because a plug-in is a shared object of its own that sees nothing of the library but struct netdev_host.
 */
#ifndef LIBOS_PLUGIN_H
#define LIBOS_PLUGIN_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "libos/border.h"

#define PLUGIN_WHY_SIZE 256 /* of netdev_env.why */
#define PLUGIN_EXPORT   __attribute__((visibility("default")))

enum choice { CHOICE_NO, CHOICE_YES, CHOICE_AUTO };

/* Writes the reason and returns -err. */
__attribute__((format(printf, 3, 4))) static inline int plugin_refuse(const struct netdev_env *env, int err,
                                                                      const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (env->why) vsnprintf(env->why, PLUGIN_WHY_SIZE, fmt, args);
    va_end(args);
    return -err;
}

/* The value of a key, NULL where it is not given or empty. */
static inline const char *plugin_text(const struct netdev_env *env, const char *key)
{
    const char *text = env->get ? env->get(env->arg, key) : NULL;
    return text && *text ? text : NULL;
}

/* A number from least to most; *out keeps its value when the key is not given. */
static inline int plugin_number(const struct netdev_env *env, const char *key, long least, long most, long *out)
{
    const char *text = plugin_text(env, key);
    if (!text) return 0;
    char *end = NULL;
    errno = 0;
    long n = strtol(text, &end, 0);
    if (errno || end == text || *end || n < least || n > most)
        return plugin_refuse(env, EINVAL, "%s: \"%.40s\" is not a number from %ld to %ld", key, text, least, most);
    *out = n;
    return 0;
}

/* yes, no and their kin, and auto; *out keeps its value when the key is not given. */
static inline int plugin_choice(const struct netdev_env *env, const char *key, enum choice *out)
{
    static const struct {
        const char *word;
        enum choice choice;
    } words[] = {{"yes", CHOICE_YES}, {"true", CHOICE_YES}, {"on", CHOICE_YES},
                 {"1", CHOICE_YES},   {"no", CHOICE_NO},    {"false", CHOICE_NO},
                 {"off", CHOICE_NO},  {"0", CHOICE_NO},     {"auto", CHOICE_AUTO}};
    const char *text = plugin_text(env, key);
    if (!text) return 0;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i].word)) continue;
        *out = words[i].choice;
        return 0;
    }
    return plugin_refuse(env, EINVAL, "%s: \"%.40s\" is neither yes, no nor auto", key, text);
}

#endif

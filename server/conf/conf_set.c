/* SPDX-License-Identifier: MIT
 *
 * CONFIG SET and CONFIG GET. Setting several options is one change: names are checked first, then all values are set
 * in a copy, then the server's hooks run with it; when any step refuses, the copy is thrown away and the hooks that ran
 * are run once more with what stays. The working directory is the one value that lies outside of a configuration: it is
 * left through a descriptor of the old one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "server/conf/option.h"
#include "server/ds/glob.h"

/* --- CONFIG SET ---------------------------------------------------------------------------- */

struct setting {
    const struct conf_option *option;
    const char *name; /* the one of its names that was given */
    struct bytes value;
    const struct conf_hook *hook; /* to run; NULL: none, or another setting runs it */
};

struct conf_change {
    const struct config *now;
    struct config *next;
    struct setting *settings;
    int count, set_count;
    int old_dir; /* -1: the working directory is none of the settings */
};

static int value_refuse(struct conf_text *err, const char *name, const char *why)
{
    conf_text_printf(err, "CONFIG SET failed (possibly related to argument '%s')", name);
    if (why && *why) conf_text_printf(err, " - %s", why);
    return -EINVAL;
}

static int refuse_typed(struct conf_text *err, struct bytes name, const char *why)
{
    char *typed = conf_text_copy(name);
    int rc = value_refuse(err, typed, why);
    free(typed);
    return rc;
}

static int refuse_unknown(struct conf_text *err, struct bytes name)
{
    char *typed = conf_text_copy(name);
    conf_text_printf(err, "Unknown option or number of arguments for CONFIG SET - '%s'", typed);
    free(typed);
    return -EINVAL;
}

static bool is_immutable(const struct config *cfg, const struct conf_option *o, struct bytes value)
{
    if (!(o->flags & CONF_OURS)) return o->flags & CONF_IMMUTABLE;
    struct conf_text now = {0};
    conf_option_get(cfg, o, &now);
    bool same = bytes_equal(conf_text_bytes(&now), value);
    conf_text_free(&now);
    return !same;
}

static int settings_find(struct conf_change *ch, const struct bytes *pairs, bool protected_too, bool loading,
                         struct conf_text *err)
{
    for (int i = 0; i < ch->count; i++) {
        struct bytes name = pairs[2 * i];
        const struct conf_option *o = conf_option_find(name);
        if (!o) return refuse_unknown(err, name);
        if (is_immutable(ch->now, o, pairs[2 * i + 1])) return refuse_typed(err, name, "can't set immutable config");
        if ((o->flags & CONF_PROTECTED) && !protected_too) return refuse_typed(err, name, "can't set protected config");
        if ((o->flags & CONF_DENY_LOADING) && loading) return -EBUSY;
        for (int k = 0; k < i; k++)
            if (ch->settings[k].option == o) return refuse_typed(err, name, "duplicate parameter");
        const char *canonical = bytes_is_word(name, o->name) ? o->name : o->alias;
        ch->settings[i] = (struct setting){.option = o, .name = canonical, .value = pairs[2 * i + 1]};
    }
    return 0;
}

static int value_set(struct config *cfg, const struct conf_option *o, struct bytes value, char *err)
{
    struct conf_args words;
    if (!(o->flags & CONF_MULTI)) {
        char *copy = conf_text_copy(value);
        struct bytes one = bytes_of(copy, value.n);
        int changed = conf_option_set(cfg, o, &one, 1, err);
        free(copy);
        return changed;
    }
    if (conf_split_spaces(value, &words) < 0) {
        conf_error(err, "wrong number of arguments");
        return -1;
    }
    int changed = conf_option_set(cfg, o, words.argv, words.argc, err);
    conf_args_free(&words);
    return changed;
}

static const struct conf_hook *hook_find(const struct config *cfg, const struct conf_option *o)
{
    for (unsigned i = 0; i < cfg->hook_count; i++)
        if (strcmp(cfg->hooks[i].option, o->name) == 0) return &cfg->hooks[i];
    return NULL;
}

static bool hook_is_taken(const struct conf_change *ch, const struct conf_hook *hook)
{
    for (int i = 0; i < ch->set_count; i++)
        if (ch->settings[i].hook && ch->settings[i].hook->apply == hook->apply) return true;
    return false;
}

static int values_set(struct conf_change *ch, struct conf_text *err)
{
    for (; ch->set_count < ch->count; ch->set_count++) {
        struct setting *s = &ch->settings[ch->set_count];
        char why[CONF_ERROR_SIZE];
        if (s->option->special == &conf_special_dir) ch->old_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int changed = value_set(ch->next, s->option, s->value, why);
        if (changed < 0) return value_refuse(err, s->name, why);
        const struct conf_hook *hook = changed ? hook_find(ch->now, s->option) : NULL;
        if (hook && !hook_is_taken(ch, hook)) s->hook = hook;
    }
    return 0;
}

/* Those that can be taken back come first; among equals the order is the caller's. */
static void settings_order(struct conf_change *ch)
{
    for (int i = 0, end = ch->count; i < end;) {
        struct setting s = ch->settings[i];
        if (!s.hook || !s.hook->last) {
            i++;
            continue;
        }
        memmove(ch->settings + i, ch->settings + i + 1, (size_t)(ch->count - i - 1) * sizeof s);
        ch->settings[ch->count - 1] = s;
        end--;
    }
}

/* Runs the hooks of the first `count` settings with cfg; returns how many settings it got past. */
static int hooks_run(struct conf_change *ch, const struct config *cfg, int count, const char **why)
{
    for (int i = 0; i < count; i++) {
        const struct conf_hook *hook = ch->settings[i].hook;
        if (hook && hook->apply(ch->now->owner, cfg, why) < 0) return i;
    }
    return count;
}

static void hooks_settle(struct conf_change *ch, int count)
{
    for (int i = 0; i < count; i++) {
        const struct conf_hook *hook = ch->settings[i].hook;
        if (hook && hook->settle) hook->settle(ch->now->owner);
    }
}

/* Can fail only where the folder is closed to us since: then the new one stays. */
static void leave_new_dir(struct conf_change *ch)
{
    if (ch->old_dir >= 0 && fchdir(ch->old_dir) < 0) return;
}

static int change_make(struct conf_change *ch, const struct bytes *pairs, bool protected_too, bool loading,
                       struct conf_text *err)
{
    int rc = settings_find(ch, pairs, protected_too, loading, err);
    if (rc < 0) return rc;
    rc = values_set(ch, err);
    if (rc < 0) {
        leave_new_dir(ch);
        return rc;
    }
    conf_settle(ch->next);
    settings_order(ch);
    const char *why = NULL, *ignored = NULL;
    int done = hooks_run(ch, ch->next, ch->count, &why);
    if (done == ch->count) {
        hooks_settle(ch, ch->count);
        return 0;
    }
    rc = value_refuse(err, ch->settings[done].name, why);
    leave_new_dir(ch);
    /* The one that refused changed nothing if it is one that cannot be taken back. */
    int again = ch->settings[done].hook->last ? done : done + 1;
    hooks_run(ch, ch->now, again, &ignored);
    hooks_settle(ch, again);
    return rc;
}

int conf_set(const struct config *now, const struct bytes *pairs, int count, bool protected_too, bool loading,
             struct config **next, struct conf_text *err)
{
    /* Nothing can be set twice, so more names than options hold at least one wrong one; the first
     * is found among these. */
    int bound = (int)conf_option_count + 1;
    struct conf_change ch = {.now = now, .count = count < bound ? count : bound, .old_dir = -1};
    ch.settings = calloc((size_t)ch.count + 1, sizeof *ch.settings);
    if (!ch.settings) return -ENOMEM;
    ch.next = conf_copy(now);
    int rc = change_make(&ch, pairs, protected_too, loading, err);
    if (ch.old_dir >= 0) close(ch.old_dir);
    free(ch.settings);
    if (rc == 0) *next = ch.next;
    else conf_free(ch.next);
    return rc;
}

/* --- CONFIG GET ---------------------------------------------------------------------------- */

enum { NAMES_MAX = 1024 };

struct query {
    const struct config *cfg;
    void (*fn)(void *arg, struct bytes name, struct bytes value);
    void *arg;
    int count;
    uint64_t seen[NAMES_MAX / 64]; /* two bits an option: its name and its alias */
};

static void found(struct query *q, const struct conf_option *o, unsigned which, struct bytes name)
{
    unsigned at = (unsigned)(o - conf_options) * 2 + which;
    if (q->seen[at / 64] >> at % 64 & 1) return;
    q->seen[at / 64] |= UINT64_C(1) << at % 64;
    q->count++;
    if (!q->fn) return;
    struct conf_text value = {0};
    conf_option_get(q->cfg, o, &value);
    q->fn(q->arg, name, conf_text_bytes(&value));
    conf_text_free(&value);
}

static void match_all(struct query *q, struct bytes pattern)
{
    for (unsigned i = 0; i < conf_option_count; i++) {
        const struct conf_option *o = &conf_options[i];
        if (o->flags & CONF_HIDDEN) continue;
        struct bytes name = bytes_of_str(o->name), alias = bytes_of_str(o->alias ? o->alias : "");
        if (glob_match(pattern, name, true)) found(q, o, 0, name);
        if (o->alias && glob_match(pattern, alias, true)) found(q, o, 1, alias);
    }
}

static bool has_wildcard(struct bytes b)
{
    return b.n && (memchr(b.p, '*', b.n) || memchr(b.p, '?', b.n) || memchr(b.p, '[', b.n));
}

int conf_get(const struct config *cfg, const struct bytes *patterns, int count,
             void (*fn)(void *arg, struct bytes name, struct bytes value), void *arg)
{
    ASSERT(conf_option_count * 2 <= NAMES_MAX);
    struct query q = {.cfg = cfg, .fn = fn, .arg = arg};
    for (int i = 0; i < count; i++) {
        if (has_wildcard(patterns[i])) {
            match_all(&q, patterns[i]);
            continue;
        }
        const struct conf_option *o = conf_option_find(patterns[i]);
        if (o) found(&q, o, !bytes_is_word(patterns[i], o->name), patterns[i]);
    }
    return q.count;
}

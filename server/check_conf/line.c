/* SPDX-License-Identifier: MIT
 *
 * A line gets its verdict: the server's own reader is given it, alone, and says whether it takes it and what the option
 * is then; the notes say whether that is what it would be in Redis.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "server/acl/load.h"
#include "server/check_conf/notes.h"
#include "server/check_conf/state.h"
#include "server/conf/option.h"
#include "server/conf_apply.h"

#define HIDDEN BYTES("(hidden)")

static bool is_additive(const struct conf_option *o)
{
    return !strcmp(o->name, "save") || !strcmp(o->name, "client-output-buffer-limit");
}

/* --- what may be shown ------------------------------------------------------------------------ */

static bool sounds_secret(struct bytes word)
{
    for (size_t i = 0; i + 4 <= word.n; i++)
        if (!strncasecmp(word.p + i, "pass", 4) || !strncasecmp(word.p + i, "auth", 4)) return true;
    return false;
}

/* A misspelt password is a password. */
static bool is_secret(struct bytes name, const struct conf_option *o)
{
    if (o) return (o->flags & CONF_SENSITIVE) || (o->type == CONF_STRING && sounds_secret(name));
    const char *near = option_nearest(name);
    if (near && conf_is_sensitive(bytes_of_str(near))) return true;
    return sounds_secret(name) || bytes_is_word(name, "user") || bytes_is_word(name, "sentinel");
}

static size_t first_word(struct bytes text)
{
    size_t n = 0;
    while (n < text.n && !memchr(" \t\r\n", text.p[n], 4)) n++;
    return n;
}

static struct bytes value_shown(struct bytes text, bool secret)
{
    size_t n = first_word(text);
    while (n < text.n && memchr(" \t\r\n", text.p[n], 4)) n++;
    return secret && n < text.n ? HIDDEN : bytes_of(text.p + n, text.n - n);
}

/* --- refused ---------------------------------------------------------------------------------- */

static void say_unknown(struct check_conf *k, struct verdict *v, struct bytes name, const char *reason)
{
    const struct foreign_option *of = foreign_option_find(name);
    const char *near = of ? NULL : option_nearest(name);
    struct conf_text says = {0}, advice = {0};
    conf_text_add_str(&says, reason);
    if (of) {
        conf_text_printf(&says, " (an option of %s)", of->of);
        conf_text_add_str(&advice, of->advice);
    } else if (near) {
        conf_text_printf(&advice, "Did you mean %s?", near);
    }
    verdicts_change(&k->verdicts, v, VERDICT_UNKNOWN);
    verdict_say(v, says.p, advice.p);
    conf_text_free(&says);
    conf_text_free(&advice);
}

/* What the file asks of this machine may be otherwise on the one it is meant for. */
static bool is_about_the_folder(const struct conf_option *o, struct bytes value)
{
    return !strcmp(o->name, "dir") && value.n && access(value.p, X_OK) != 0;
}

static void say_refused(struct check_conf *k, struct verdict *v, const struct conf_option *o, const struct conf_args *a,
                        const char *reason)
{
    if (o && a->argc == 2 && is_about_the_folder(o, a->argv[1])) {
        struct conf_text says = {0};
        conf_text_printf(&says, "here and for this user the server would not start: %s", reason);
        verdicts_change(&k->verdicts, v, VERDICT_RISK);
        verdict_say(v, says.p, "The folder must be there, and the server's user must be able to enter it.");
        conf_text_free(&says);
        return;
    }
    const struct option_note *note = o && a->argc >= 2 ? option_note_find(bytes_of_str(o->name), a->argv[1]) : NULL;
    bool has_advice = note && note->kind == VERDICT_REFUSED;
    verdict_say(v, reason, has_advice ? note->advice : NULL);
    if (a->argc && bytes_is_word(a->argv[0], "loadmodule"))
        verdict_say(v, NULL, "Leave the line out: there are no modules here, and their data types are not loaded.");
    if (a->argc && bytes_is_word(a->argv[0], "sentinel"))
        verdict_say(v, NULL,
                    "This is a file for redis-sentinel, which watches demikv-servers as it does redis-servers.");
}

static bool is_unknown(const struct conf_option *o, const struct conf_args *a)
{
    static const char *const directives[] = {"include", "rename-command", "user", "loadmodule", "sentinel"};
    if (o || !a->argc || memchr(a->argv[0].p, '.', a->argv[0].n)) return false;
    for (unsigned i = 0; i < sizeof directives / sizeof *directives; i++)
        if (bytes_is_word(a->argv[0], directives[i])) return false;
    return true;
}

/* --- taken ------------------------------------------------------------------------------------- */

static void override_earlier(struct check_conf *k, int before, unsigned file, int line)
{
    struct verdict *v = &k->verdicts.at[before];
    if (v->kind >= VERDICT_UNKNOWN) return;
    struct conf_text says = {0};
    conf_text_printf(&says, "the line %s:%d counts", k->verdicts.files[file], line);
    verdicts_change(&k->verdicts, v, VERDICT_OVERRIDDEN);
    free(v->advice);
    v->advice = NULL;
    verdict_say(v, says.p, NULL);
    conf_text_free(&says);
}

static void say_taken(struct check_conf *k, unsigned at, const struct conf_option *o, struct bytes name)
{
    struct verdict *v = &k->verdicts.at[at];
    unsigned index = (unsigned)(o - conf_options);
    int before = k->decided[index];
    if (before != CHECK_NOBODY && !is_additive(o)) {
        if (k->noted[index] == before) k->noted[index] = CHECK_NOBODY;
        override_earlier(k, before, v->file, v->line);
    }
    struct conf_text value = {0}, says = {0};
    conf_option_get(&k->cfg, o, &value);
    const struct option_note *note = option_note_find(bytes_of_str(o->name), conf_text_bytes(&value));
    conf_text_free(&value);
    if (o->alias && bytes_is_word(name, o->alias)) {
        verdicts_change(&k->verdicts, v, VERDICT_RENAMED);
        conf_text_printf(&says, "another name of %s", o->name);
    }
    if (note && note->kind != VERDICT_REFUSED) {
        int told = k->noted[index];
        if (note->kind != VERDICT_SAME) verdicts_change(&k->verdicts, v, note->kind);
        if (told == CHECK_NOBODY) {
            conf_text_printf(&says, "%s%s", says.n ? "; " : "", note->says);
            k->noted[index] = (int)at;
        } else {
            conf_text_printf(&says, "%sas line %d", says.n ? "; " : "", k->verdicts.at[told].line);
        }
        verdict_say(v, says.p, told == CHECK_NOBODY ? note->advice : NULL);
    } else {
        verdict_say(v, says.p, NULL);
    }
    conf_text_free(&says);
    k->decided[index] = (int)at;
}

static bool user_seen(struct check_conf *k, struct bytes name)
{
    for (unsigned i = 0; i < k->user_count; i++)
        if (bytes_equal(k->users[i], name)) return true;
    if (k->user_count < CHECKED_USERS_MAX) k->users[k->user_count++] = bytes_of(conf_text_copy(name), name.n);
    return false;
}

/* The rules of a user, which the server looks at when it starts. */
static void judge_user(struct check_conf *k, struct verdict *v, struct bytes name)
{
    struct acl acl;
    struct conf_text err = {0};
    k->has_secret = true;
    if (bytes_is_word(name, "default")) k->default_user = true;
    acl_init(&acl);
    bool fine = acl_load_lines(&acl, k->cfg.users, k->cfg.acl_pubsub_default == ACL_PUBSUB_ALLCHANNELS, &err);
    acl_fini(&acl);
    if (fine && user_seen(k, name)) {
        conf_text_printf(&err, "Error in user declaration '%s': %s", name.p, acl_user_error(-EALREADY));
        fine = false;
    }
    if (!fine) {
        verdicts_change(&k->verdicts, v, VERDICT_REFUSED);
        verdict_say(v, err.p, NULL);
    }
    conf_text_free(&err);
}

void check_conf_line(struct check_conf *k, unsigned file, int line, struct bytes text)
{
    struct conf_args a = {0};
    struct conf_failure f;
    bool split = conf_split(text, &a) == 0;
    struct bytes name = split && a.argc ? a.argv[0] : bytes_of(text.p, first_word(text));
    const struct conf_option *o = conf_option_find(name);
    bool secret = is_secret(name, o);
    bool is_user = split && bytes_is_word(name, "user");
    struct verdict *v = verdicts_add(&k->verdicts, VERDICT_SAME, file, line, name,
                                     is_user && a.argc > 1 ? a.argv[1] : value_shown(text, secret));
    ASSERT(!o || o - conf_options < CHECKED_OPTIONS_MAX);
    if (secret && a.argc > 1) k->has_secret = true;
    if (v && conf_load_text(&k->cfg, text, false, conf_apply_rename, &f) < 0) {
        verdicts_change(&k->verdicts, v, VERDICT_REFUSED);
        if (split && is_unknown(o, &a)) say_unknown(k, v, name, f.reason);
        else say_refused(k, v, o, &a, f.reason);
    } else if (v && o) {
        say_taken(k, k->verdicts.count - 1, o, name);
    } else if (v && is_user && a.argc > 1) {
        judge_user(k, v, a.argv[1]);
    } else if (v && split && !bytes_is_word(name, "rename-command")) {
        verdict_say(v, "it means nothing any more, as in redis-server 7.2", NULL);
    }
    free(k->cfg.users); /* one line's at a time: however many there are, each is looked at once */
    k->cfg.users = NULL;
    if (split) conf_args_free(&a);
}

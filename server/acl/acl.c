/* SPDX-License-Identifier: MIT */
#include "server/acl/acl.h"

#include <errno.h>

#include "server/mem.h"

static const struct bytes default_name = {"default", 7};

/* --- the set ------------------------------------------------------------------------------------------------------ */

/* Where the name is, or would be. */
static size_t place_of(const struct acl_users *users, struct bytes name, bool *found)
{
    size_t low = 0, high = users->count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = bytes_compare(users->v[middle]->name, name);
        if (order == 0) *found = true;
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void insert(struct acl_users *users, struct acl_user *u)
{
    bool found;
    size_t at = place_of(users, u->name, &found);
    ASSERT(!found);
    if (users->count == users->cap) {
        users->cap = users->cap ? users->cap * 2 : 8;
        users->v = mem_realloc(users->v, users->cap * sizeof *users->v);
    }
    memmove(&users->v[at + 1], &users->v[at], (users->count - at) * sizeof *users->v);
    users->v[at] = u;
    users->count++;
}

static struct acl_user *find_in(const struct acl_users *users, struct bytes name)
{
    bool found;
    size_t at = place_of(users, name, &found);
    return found ? users->v[at] : NULL;
}

static struct acl_user *remove_from(struct acl_users *users, struct bytes name)
{
    bool found;
    size_t at = place_of(users, name, &found);
    if (!found) return NULL;
    struct acl_user *u = users->v[at];
    memmove(&users->v[at], &users->v[at + 1], (users->count - at - 1) * sizeof *users->v);
    users->count--;
    return u;
}

void acl_users_free(struct acl_users *users)
{
    for (size_t i = 0; i < users->count; i++) acl_user_free(users->v[i]);
    mem_free(users->v);
    *users = (struct acl_users){0};
}

struct acl_user *acl_find(const struct acl *acl, struct bytes name) { return find_in(&acl->users, name); }

/* --- its life ----------------------------------------------------------------------------------------------------- */

static struct acl_user *new_default(void)
{
    static const char *const rules[] = {"+@all", "~*", "&*", "on", "nopass"};
    struct acl_user *u = acl_user_new(default_name, false);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        int err = acl_user_set(u, bytes_of_str(rules[i]), false);
        ASSERT(err == 0);
    }
    return u;
}

void acl_init(struct acl *acl)
{
    *acl = (struct acl){0};
    acl->default_user = new_default();
    insert(&acl->users, acl->default_user);
}

void acl_fini(struct acl *acl)
{
    acl_users_free(&acl->users);
    acl_log_clear(&acl->log);
}

void acl_set_default_password(struct acl *acl, struct bytes password)
{
    struct acl_user *u = acl->default_user;
    if (!password.n) {
        acl_user_set(u, BYTES("nopass"), false);
        return;
    }
    struct conf_text rule = {0};
    conf_text_add_str(&rule, ">");
    conf_text_add(&rule, password);
    acl_user_set(u, BYTES("resetpass"), false);
    acl_user_set(u, conf_text_bytes(&rule), false);
    conf_text_free(&rule);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

/* Words of one selector become one: "(~a" "+get)" is "(~a +get)". -1, or which word begins one that does not end. */
static int merge_selectors(const struct bytes *rules, int count, struct acl_words *out)
{
    struct conf_text open = {0};
    int from = -1;
    for (int i = 0; i < count; i++) {
        struct bytes r = rules[i];
        bool ends = r.n && r.p[r.n - 1] == ')';
        if (from < 0 && (!r.n || r.p[0] != '(' || ends)) {
            acl_words_add(out, r);
            continue;
        }
        if (from < 0) from = i;
        else conf_text_add_str(&open, " ");
        conf_text_add(&open, r);
        if (from == i || !ends) continue;
        acl_words_add(out, conf_text_bytes(&open));
        conf_text_free(&open);
        open = (struct conf_text){0};
        from = -1;
    }
    conf_text_free(&open);
    return from;
}

struct acl_user *acl_plan(const struct acl *acl, struct bytes name, const struct bytes *rules, int count,
                          bool open_channels, struct conf_text *err)
{
    struct acl_words words = {0};
    const struct acl_user *now = acl_find(acl, name);
    struct acl_user *planned = NULL;
    int unmatched = merge_selectors(rules, count, &words);
    if (unmatched >= 0) {
        conf_text_add_str(err, "Unmatched parenthesis in acl selector starting at '");
        conf_text_add(err, rules[unmatched]);
        conf_text_add_str(err, "'.");
    } else {
        planned = now ? acl_user_dup(now, name) : acl_user_new(name, open_channels);
    }
    for (size_t i = 0; planned && i < words.count; i++) {
        int why = acl_user_set(planned, words.v[i], open_channels);
        if (!why) continue;
        conf_text_add_str(err, "Error in ACL SETUSER modifier '");
        conf_text_add_str(err, words.v[i].p); /* up to a NUL: the text is one line of an error */
        conf_text_printf(err, "': %s", acl_user_error(why));
        acl_user_free(planned);
        planned = NULL;
    }
    acl_words_clear(&words);
    return planned;
}

void acl_put(struct acl *acl, struct acl_user *planned)
{
    struct acl_user *u = acl_find(acl, planned->name);
    if (u) acl_user_take(u, planned);
    else insert(&acl->users, planned);
}

struct acl_user *acl_remove(struct acl *acl, struct bytes name)
{
    ASSERT(!bytes_equal(name, default_name));
    return remove_from(&acl->users, name);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static struct bytes trimmed(struct bytes b)
{
    while (b.n && strchr(" \t\r\n", b.p[0]) && b.p[0]) b = bytes_of(b.p + 1, b.n - 1);
    while (b.n && b.p[b.n - 1] && strchr(" \t\r\n", b.p[b.n - 1])) b.n--;
    return b;
}

/* A missing command is named each time, since its name is no secret; of all other mistakes the first of the line is. */
static void set_rules(struct acl_user *u, const struct acl_words *rules, const char *file, int line, bool open_channels,
                      struct conf_text *err)
{
    bool told = false;
    for (size_t i = 0; i < rules->count; i++) {
        struct bytes rule = trimmed(rules->v[i]);
        int why = acl_user_set(u, rule, open_channels);
        if (why == -ENOENT) {
            conf_text_printf(err, "%s:%d: Error in applying operation '", file, line);
            conf_text_add(err, rule);
            conf_text_printf(err, "': %s. ", acl_user_error(why));
        } else if (why && !told) {
            conf_text_printf(err, "%s:%d: %s. ", file, line, acl_user_error(why));
            told = true;
        }
    }
}

/* At each single blank. */
static void split(struct bytes text, struct acl_words *out)
{
    for (size_t at = 0; at <= text.n;) {
        const char *end = memchr(text.p + at, ' ', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        acl_words_add(out, bytes_of(text.p + at, n));
        at += n + 1;
    }
}

static void parse_line(const struct acl_words *a, const char *file, int line, bool open_channels,
                       struct acl_users *users, struct conf_text *err)
{
    if (a->count < 2 || !bytes_equal(a->v[0], BYTES("user"))) {
        conf_text_printf(err, "%s:%d should start with user keyword followed by the username. ", file, line);
        return;
    }
    struct bytes name = a->v[1];
    if (!acl_user_name_is_fine(name)) {
        conf_text_printf(err, "'%s:%d: username '%s' contains invalid characters. ", file, line, name.p);
        return;
    }
    if (find_in(users, name)) {
        conf_text_printf(err, "WARNING: Duplicate user '%s' found on line %d. ", name.p, line);
        return;
    }
    struct acl_user *u = acl_user_new(name, open_channels);
    struct acl_words rules = {0};
    insert(users, u);
    if (merge_selectors(a->v + 2, (int)(a->count - 2), &rules) >= 0)
        conf_text_printf(err, "%s:%d: Unmatched parenthesis in selector definition.", file, line);
    else set_rules(u, &rules, file, line, open_channels, err);
    acl_words_clear(&rules);
}

bool acl_parse(struct bytes text, const char *file, bool open_channels, struct acl_users *out, struct conf_text *err)
{
    *out = (struct acl_users){0};
    int line = 1;
    for (size_t at = 0; at < text.n; line++) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        struct bytes words = trimmed(bytes_of(text.p + at, n));
        struct acl_words a = {0};
        at += n + 1;
        if (!words.n) continue;
        split(words, &a);
        parse_line(&a, file, line, open_channels, out, err);
        acl_words_clear(&a);
    }
    if (!err->n) return true;
    acl_users_free(out);
    conf_text_add_str(err, "WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    return false;
}

void acl_replace(struct acl *acl, struct acl_users *users, struct acl_users *old)
{
    struct acl_user *is = remove_from(users, default_name);
    acl_user_take(acl->default_user, is ? is : new_default());
    remove_from(&acl->users, default_name);
    *old = acl->users;
    acl->users = *users;
    *users = (struct acl_users){0};
    insert(&acl->users, acl->default_user);
}

void acl_describe_one(const struct acl_user *u, struct conf_text *out)
{
    conf_text_add_str(out, "user ");
    conf_text_add(out, u->name);
    conf_text_add_str(out, " ");
    acl_user_describe(u, out);
}

void acl_describe(const struct acl *acl, struct conf_text *out)
{
    for (size_t i = 0; i < acl->users.count; i++) {
        acl_describe_one(acl->users.v[i], out);
        conf_text_add_str(out, "\n");
    }
}

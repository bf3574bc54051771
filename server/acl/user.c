/* SPDX-License-Identifier: MIT */
#include "server/acl/user.h"

#include <errno.h>
#include <stdio.h>

#include "server/mem.h"
#include "server/sha256.h"

#define HASH_DIGITS (2 * (size_t)SHA256_SIZE)

/* --- its life ----------------------------------------------------------------------------------------------------- */

static struct acl_user *new_of(struct bytes name, size_t selectors)
{
    struct acl_user *u = mem_calloc(sizeof *u);
    u->name = acl_text_copy(name);
    u->selectors = mem_calloc(selectors * sizeof *u->selectors);
    u->selector_count = selectors;
    return u;
}

struct acl_user *acl_user_new(struct bytes name, bool open_channels)
{
    struct acl_user *u = new_of(name, 1);
    acl_selector_init(&u->selectors[0], open_channels);
    return u;
}

/* But for its name. */
static void empty(struct acl_user *u)
{
    for (size_t i = 0; i < u->selector_count; i++) acl_selector_fini(&u->selectors[i]);
    mem_free(u->selectors);
    acl_words_clear(&u->passwords);
}

void acl_user_free(struct acl_user *u)
{
    if (!u) return;
    empty(u);
    mem_free((char *)u->name.p);
    mem_free(u);
}

struct acl_user *acl_user_dup(const struct acl_user *u, struct bytes name)
{
    struct acl_user *copy = new_of(name, u->selector_count);
    copy->enabled = u->enabled;
    copy->no_password = u->no_password;
    copy->skip_sanitize = u->skip_sanitize;
    acl_words_copy(&copy->passwords, &u->passwords);
    for (size_t i = 0; i < u->selector_count; i++) acl_selector_copy(&copy->selectors[i], &u->selectors[i]);
    return copy;
}

void acl_user_take(struct acl_user *u, struct acl_user *from)
{
    struct bytes name = u->name;
    empty(u);
    *u = *from;
    u->name = name;
    mem_free((char *)from->name.p);
    mem_free(from);
}

bool acl_user_name_is_fine(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!name.p[i] || strchr(" \t\n\v\f\r", name.p[i])) return false;
    return true;
}

/* --- passwords ---------------------------------------------------------------------------------------------------- */

static void hash(struct bytes password, char out[HASH_DIGITS])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA256_SIZE];
    sha256(password, sum);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
}

static bool is_hash(struct bytes text)
{
    if (text.n != HASH_DIGITS) return false;
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f'))) return false;
    return true;
}

/* ">secret", "#hash": added; "<secret", "!hash": taken away. */
static int set_password(struct acl_user *u, struct bytes rule)
{
    char digits[HASH_DIGITS];
    struct bytes text = bytes_of(rule.p + 1, rule.n - 1);
    bool is_plain = rule.p[0] == '>' || rule.p[0] == '<';
    if (!is_plain && !is_hash(text)) return -EBADMSG;
    if (is_plain) {
        hash(text, digits);
        text = bytes_of(digits, sizeof digits);
    }
    long at = acl_words_find(&u->passwords, text);
    if (rule.p[0] == '>' || rule.p[0] == '#') {
        if (at < 0) acl_words_add(&u->passwords, text);
        u->no_password = false;
        return 0;
    }
    if (at < 0) return -ENODEV;
    acl_words_remove(&u->passwords, (size_t)at);
    return 0;
}

static bool same_hash(const char *a, const char *b)
{
    unsigned char diff = 0;
    for (size_t i = 0; i < HASH_DIGITS; i++) diff |= (unsigned char)(a[i] ^ b[i]);
    return diff == 0;
}

bool acl_user_comes_in(const struct acl_user *u, struct bytes password)
{
    char digits[HASH_DIGITS];
    bool fits = false;
    if (!u->enabled) return false;
    if (u->no_password) return true;
    hash(password, digits);
    for (size_t i = 0; i < u->passwords.count; i++) fits |= same_hash(u->passwords.v[i].p, digits);
    return fits;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static void clear_selectors(struct acl_user *u)
{
    while (u->selector_count > 1) acl_selector_fini(&u->selectors[--u->selector_count]);
}

/* In a line of a file the word of a selector stands for itself: it does not end the selector, nor has it quotes. Redis
 * takes others, too, and then does not start from what it has saved. */
static bool reads_back(struct bytes word)
{
    struct conf_args words;
    if (!word.n || word.p[word.n - 1] == ')' || conf_split(word, &words)) return false;
    bool same = words.argc == 1 && bytes_equal(words.argv[0], word);
    conf_args_free(&words);
    return same;
}

/* "(~a* +get)": the rules between blanks, as a line of the configuration has them. */
static int add_selector(struct acl_user *u, struct bytes rule, bool open_channels)
{
    struct acl_selector s;
    struct conf_args words;
    struct bytes inside = bytes_of(rule.p + 1, rule.n - 2);
    int err = inside.n ? conf_split(inside, &words) : 0;
    if (err) return -EINVAL;
    acl_selector_init(&s, open_channels);
    for (int i = 0; inside.n && i < words.argc && !err; i++)
        err = words.argv[i].n ? acl_selector_set(&s, words.argv[i]) : -EINVAL;
    for (int i = 0; inside.n && i < words.argc && !err; i++) err = reads_back(words.argv[i]) ? 0 : -EINVAL;
    if (inside.n) conf_args_free(&words);
    if (err) {
        acl_selector_fini(&s);
        return err;
    }
    u->selectors = mem_realloc(u->selectors, (u->selector_count + 1) * sizeof *u->selectors);
    u->selectors[u->selector_count++] = s;
    return 0;
}

static void reset(struct acl_user *u, bool open_channels)
{
    empty(u);
    *u = (struct acl_user){.name = u->name, .selectors = mem_calloc(sizeof *u->selectors), .selector_count = 1};
    acl_selector_init(&u->selectors[0], open_channels);
}

static void clear_passwords(struct acl_user *u, bool none_needed)
{
    acl_words_clear(&u->passwords);
    u->no_password = none_needed;
}

/* False: it is none of those that are whole words. */
static bool set_whole_word(struct acl_user *u, struct bytes rule, bool open_channels)
{
    if (bytes_is_word(rule, "on")) u->enabled = true;
    else if (bytes_is_word(rule, "off")) u->enabled = false;
    else if (bytes_is_word(rule, "skip-sanitize-payload")) u->skip_sanitize = true;
    else if (bytes_is_word(rule, "sanitize-payload")) u->skip_sanitize = false;
    else if (bytes_is_word(rule, "nopass")) clear_passwords(u, true);
    else if (bytes_is_word(rule, "resetpass")) clear_passwords(u, false);
    else if (bytes_is_word(rule, "clearselectors")) clear_selectors(u);
    else if (bytes_is_word(rule, "reset")) reset(u, open_channels);
    else return false;
    return true;
}

int acl_user_set(struct acl_user *u, struct bytes rule, bool open_channels)
{
    if (!rule.n || set_whole_word(u, rule, open_channels)) return 0;
    if (strchr("><#!", rule.p[0])) return set_password(u, rule);
    if (rule.n > 1 && rule.p[0] == '(' && rule.p[rule.n - 1] == ')') return add_selector(u, rule, open_channels);
    return acl_selector_set(&u->selectors[0], rule);
}

const char *acl_user_error(int err)
{
    switch (-err) {
    case ENOENT: return "Unknown command or category name in ACL";
    case EINVAL: return "Syntax error";
    case EEXIST:
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any "
               "effect. Try 'resetkeys' to start with an empty list of patterns";
    case EISDIR:
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any "
               "effect. Try 'resetchannels' to start with an empty list of channels";
    case ENODEV: return "The password you are trying to remove from the user does not exist";
    case EBADMSG:
        return "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    case EALREADY: return "Duplicate user found. A user can only be defined once in config files";
    case ECHILD: return "Allowing first-arg of a subcommand is not supported";
    default: return "Wrong format";
    }
}

void acl_user_describe(const struct acl_user *u, struct conf_text *out)
{
    conf_text_printf(out, "%s %s%s ", u->enabled ? "on" : "off", u->no_password ? "nopass " : "",
                     u->skip_sanitize ? "skip-sanitize-payload" : "sanitize-payload");
    for (size_t i = 0; i < u->passwords.count; i++) {
        conf_text_add_str(out, "#");
        conf_text_add(out, u->passwords.v[i]);
        conf_text_add_str(out, " ");
    }
    for (size_t i = 0; i < u->selector_count; i++) {
        struct conf_text one = {0};
        acl_selector_describe(&u->selectors[i], &one);
        if (i) conf_text_add_str(out, " (");
        conf_text_add(out, conf_text_bytes(&one));
        if (i) conf_text_add_str(out, ")");
        conf_text_free(&one);
    }
}

/* --- asked -------------------------------------------------------------------------------------------------------- */

bool acl_user_is_unrestricted(const struct acl_user *u)
{
    const struct acl_selector *root = &u->selectors[0];
    return root->all_commands && root->all_keys && root->all_channels;
}

static void forget_wish(struct acl_wish *w)
{
    if (w->key_count < 0) return;
    mem_free(w->keys);
    mem_free(w->flags);
}

enum acl_denied acl_user_check(struct acl_user *u, const struct command *cmd, const struct bytes *argv, int argc,
                               int *at)
{
    struct acl_wish wish = {.cmd = cmd, .argv = argv, .argc = argc, .key_count = -1};
    enum acl_denied told = ACL_DENIED_COMMAND;
    *at = 0;
    if (!u) return ACL_ALLOWED;
    for (size_t i = 0; i < u->selector_count; i++) {
        int here = 0;
        enum acl_denied why = acl_selector_check(&u->selectors[i], &wish, &here);
        if (why == ACL_ALLOWED) {
            told = why;
            break;
        }
        /* Of several reasons that which was nearest to success. */
        if (why > told || (why == told && here > *at)) {
            told = why;
            *at = here;
        }
    }
    forget_wish(&wish);
    return told;
}

bool acl_user_check_all_keys(struct acl_user *u, const struct command *cmd, const struct bytes *argv, int argc,
                             uint16_t key_flags)
{
    struct acl_wish wish = {.cmd = cmd, .argv = argv, .argc = argc, .key_count = -1};
    bool may = !u;
    for (size_t i = 0; !may && i < u->selector_count; i++) {
        int at;
        may = acl_selector_check(&u->selectors[i], &wish, &at) == ACL_ALLOWED &&
              acl_selector_has_all_keys(&u->selectors[i], key_flags);
    }
    forget_wish(&wish);
    return may;
}

bool acl_user_has_channel(const struct acl_user *u, struct bytes channel, bool is_pattern)
{
    for (size_t i = 0; i < u->selector_count; i++)
        if (acl_selector_has_channel(&u->selectors[i], channel, is_pattern)) return true;
    return false;
}

void acl_user_denied_text(const struct acl_user *u, enum acl_denied why, const struct command *cmd, struct bytes what,
                          bool named, struct conf_text *out)
{
    ASSERT(why == ACL_DENIED_COMMAND || why == ACL_DENIED_KEY || why == ACL_DENIED_CHANNEL);
    const char *kind = why == ACL_DENIED_KEY ? "key" : "channel";
    if (why != ACL_DENIED_COMMAND && !named) {
        conf_text_printf(out, "No permissions to access a %s", kind);
        return;
    }
    conf_text_add_str(out, "User ");
    conf_text_add(out, u->name);
    if (why == ACL_DENIED_COMMAND) {
        conf_text_printf(out, " has no permissions to run the '%s' command", cmd->full_name);
        return;
    }
    conf_text_add_str(out, " has no permissions to access the '");
    conf_text_add(out, what);
    conf_text_printf(out, "' %s", kind);
}

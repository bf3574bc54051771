/* SPDX-License-Identifier: MIT
 *
 * ACL: users and their rules (server/acl/), shown and changed. Whoever is a user that goes, or comes from the file
 * anew, is closed; who runs the command gets its reply first. Subscribers that may not hear what they hear any more are
 * closed, too.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "server/acl/load.h"
#include "server/command/category.h"
#include "server/command/handlers.h"
#include "server/ds/number.h"
#include "server/exec/exec.h"
#include "server/net/pubsub.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

static bool channels_are_open(const struct call *c) { return c->cfg->acl_pubsub_default == ACL_PUBSUB_ALLCHANNELS; }

static void reply_text(struct reply *out, struct conf_text *text)
{
    reply_bulk(out, conf_text_bytes(text));
    conf_text_free(text);
}

static void reply_error_of(struct call *c, const char *code, struct conf_text *text)
{
    call_errorf(c, "%s%s", code, text->p);
    conf_text_free(text);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

/* To all workers: somebody's user has changed, or is about to. */
struct users_message {
    struct worker_message m;
    struct client *me;
    const struct acl_user *gone;      /* whose clients are closed; they are nobody's from now on */
    const struct acl_user *from, *to; /* whose subscribers are closed that `to` would not let hear */
};

static void close_client(struct client *cl, const struct client *me)
{
    if (cl == me) client_close_after_reply(cl);
    else client_kill(cl);
}

static void close_gone(struct worker *w, struct worker_message *m)
{
    struct users_message *u = container_of(m, struct users_message, m);
    list_for_each_safe(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        if (cl->s.user != u->gone) continue;
        session_set_user(&cl->s, w->srv->acl.default_user);
        cl->s.flags &= ~(uint32_t)(SESSION_AUTHENTICATED | SESSION_LET_IN);
        close_client(cl, u->me);
    }
}

static void free_user(struct call *c, struct acl_user *u)
{
    struct users_message m = {.m.handle = close_gone, .me = c->client, .gone = u};
    worker_post_all(c->srv, &m.m);
    acl_user_free(u);
}

struct hearing {
    const struct acl_user *user;
    bool is_pattern, may;
};

static void may_hear(void *arg, struct bytes name)
{
    struct hearing *h = arg;
    h->may = h->may && acl_user_has_channel(h->user, name, h->is_pattern);
}

static void close_deaf(struct worker *w, struct worker_message *m)
{
    struct users_message *u = container_of(m, struct users_message, m);
    list_for_each_safe(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        struct hearing h = {.user = u->to, .may = true};
        if (cl->s.user != u->from || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        for (int kind = 0; kind < PUBSUB_KINDS; kind++) {
            h.is_pattern = kind == PUBSUB_PATTERNS;
            pubsub_client_each(cl, (enum pubsub_kind)kind, may_hear, &h);
        }
        if (!h.may) close_client(cl, u->me);
    }
}

static void look_at_rules(struct worker *w, struct worker_message *m)
{
    (void)m;
    client_users_changed(w);
}

static void users_changed(struct call *c)
{
    struct users_message m = {.m.handle = look_at_rules};
    worker_post_all(c->srv, &m.m);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

void cmd_acl_setuser(struct call *c)
{
    struct acl *acl = &c->srv->acl;
    struct bytes name = c->argv[2];
    struct conf_text err = {0};
    if (!acl_user_name_is_fine(name)) {
        call_error(c, "ERR Usernames can't contain spaces or null characters");
        return;
    }
    struct acl_user *planned = acl_plan(acl, name, c->argv + 3, c->argc - 3, channels_are_open(c), &err);
    if (!planned) {
        reply_error_of(c, "ERR ", &err);
        return;
    }
    struct acl_user *now = acl_find(acl, name);
    if (now) {
        struct users_message m = {.m.handle = close_deaf, .me = c->client, .from = now, .to = planned};
        worker_post_all(c->srv, &m.m);
    }
    acl_put(acl, planned);
    users_changed(c);
    call_ok(c);
}

void cmd_acl_deluser(struct call *c)
{
    int64_t deleted = 0;
    for (int i = 2; i < c->argc; i++) {
        if (!bytes_equal(c->argv[i], BYTES("default"))) continue;
        call_error(c, "ERR The 'default' user cannot be removed");
        return;
    }
    for (int i = 2; i < c->argc; i++) {
        struct acl_user *u = acl_remove(&c->srv->acl, c->argv[i]);
        if (!u) continue;
        free_user(c, u);
        deleted++;
    }
    call_integer(c, deleted);
}

static const char *file_of(struct call *c)
{
    if (c->cfg->aclfile && *c->cfg->aclfile) return c->cfg->aclfile;
    call_error(c, "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the "
                  "ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file "
                  "set) in order to store users in the Redis configuration.");
    return NULL;
}

void cmd_acl_load(struct call *c)
{
    struct acl_users users, old;
    struct conf_text err = {0};
    const char *file = file_of(c);
    if (!file) return;
    if (!acl_load_file(file, channels_are_open(c), &users, &err)) {
        reply_error_of(c, "ERR ", &err);
        return;
    }
    acl_replace(&c->srv->acl, &users, &old);
    while (old.count) free_user(c, old.v[--old.count]);
    acl_users_free(&old);
    users_changed(c);
    call_ok(c);
}

void cmd_acl_save(struct call *c)
{
    const char *file = file_of(c);
    if (!file) return;
    int err = acl_save_file(&c->srv->acl, file);
    if (!err) {
        call_ok(c);
        return;
    }
    server_log(c->srv, LOG_WARNING_LEVEL, "Writing ACL file for ACL SAVE: %s", strerror(-err));
    call_error(c, "ERR There was an error trying to save the ACLs. Please check the server logs for more information");
}

/* --- shown -------------------------------------------------------------------------------------------------------- */

void cmd_acl_list(struct call *c)
{
    const struct acl_users *users = &c->srv->acl.users;
    reply_array(c->out, users->count);
    for (size_t i = 0; i < users->count; i++) {
        struct conf_text line = {0};
        acl_describe_one(users->v[i], &line);
        reply_text(c->out, &line);
    }
}

void cmd_acl_users(struct call *c)
{
    const struct acl_users *users = &c->srv->acl.users;
    reply_array(c->out, users->count);
    for (size_t i = 0; i < users->count; i++) reply_bulk(c->out, users->v[i]->name);
}

void cmd_acl_whoami(struct call *c)
{
    if (c->session->user) call_bulk(c, c->session->user->name);
    else reply_null(c->out);
}

static void reply_selector(struct reply *out, const struct acl_selector *s)
{
    static const struct {
        const char *name;
        void (*text)(const struct acl_selector *s, struct conf_text *out);
    } fields[] = {
        {"commands", acl_selector_commands}, {"keys", acl_selector_keys}, {"channels", acl_selector_channels}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct conf_text text = {0};
        fields[i].text(s, &text);
        reply_bulk_str(out, fields[i].name);
        reply_text(out, &text);
    }
}

void cmd_acl_getuser(struct call *c)
{
    const struct acl_user *u = acl_find(&c->srv->acl, c->argv[2]);
    struct reply *out = c->out;
    if (!u) {
        reply_null(out);
        return;
    }
    reply_map(out, 6);
    reply_bulk_str(out, "flags");
    reply_set(out, u->no_password ? 3 : 2);
    reply_bulk_str(out, u->enabled ? "on" : "off");
    if (u->no_password) reply_bulk_str(out, "nopass");
    reply_bulk_str(out, u->skip_sanitize ? "skip-sanitize-payload" : "sanitize-payload");
    reply_bulk_str(out, "passwords");
    reply_array(out, u->passwords.count);
    for (size_t i = 0; i < u->passwords.count; i++) reply_bulk(out, u->passwords.v[i]);
    reply_selector(out, &u->selectors[0]);
    reply_bulk_str(out, "selectors");
    reply_array(out, u->selector_count - 1);
    for (size_t i = 1; i < u->selector_count; i++) {
        reply_map(out, 3);
        reply_selector(out, &u->selectors[i]);
    }
}

void cmd_acl_cat(struct call *c)
{
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 2) {
        reply_array(c->out, CATEGORY_COUNT);
        for (unsigned i = 0; i < CATEGORY_COUNT; i++) reply_bulk_str(c->out, categories[i].name + 1);
        return;
    }
    uint32_t bit = command_category(c->argv[2]);
    size_t count = 0;
    if (!bit) {
        call_errorf(c, "ERR Unknown category '%.*s'", (int)(c->argv[2].n < 128 ? c->argv[2].n : 128), c->argv[2].p);
        return;
    }
    struct reply_mark mark = reply_defer(c->out);
    for (unsigned i = 0; i < command_count(); i++) {
        if (!(command_at(i)->acl & bit)) continue;
        reply_bulk_str(c->out, command_at(i)->full_name);
        count++;
    }
    reply_defer_array(c->out, mark, count);
}

void cmd_acl_dryrun(struct call *c)
{
    char why[256];
    struct conf_text text = {0};
    const struct bytes *argv = c->argv + 3;
    int argc = c->argc - 3, at;
    struct acl_user *u = acl_find(&c->srv->acl, c->argv[2]);
    if (!u) {
        call_errorf(c, "ERR User '%.*s' not found", (int)(c->argv[2].n < 128 ? c->argv[2].n : 128), c->argv[2].p);
        return;
    }
    const struct command *cmd = exec_lookup(argv, argc, why, sizeof why);
    if (!cmd) {
        call_errorf(c, "ERR Command '%.*s' not found", (int)(argv[0].n < 128 ? argv[0].n : 128), argv[0].p);
        return;
    }
    if (cmd->arity >= 0 ? argc != cmd->arity : argc < -cmd->arity) {
        call_errorf(c, "ERR wrong number of arguments for '%s' command", cmd->full_name);
        return;
    }
    enum acl_denied denied = acl_user_check(u, cmd, argv, argc, &at);
    if (denied == ACL_ALLOWED) {
        call_ok(c);
        return;
    }
    acl_user_denied_text(u, denied, cmd, argv[at], true, &text);
    reply_text(c->out, &text);
}

void cmd_acl_genpass(struct call *c)
{
    enum { BITS_MAX = 4096 };
    unsigned char random[BITS_MAX / 8];
    char text[BITS_MAX / 4];
    int64_t bits = 256;
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 3 && !call_int(c, c->argv[2], &bits)) return;
    if (bits <= 0 || bits > BITS_MAX) {
        call_errorf(c,
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up "
                    "to %d",
                    BITS_MAX);
        return;
    }
    size_t chars = (size_t)(bits + 3) / 4;
    if (getrandom(random, (chars + 1) / 2, GRND_NONBLOCK) != (ssize_t)((chars + 1) / 2)) {
        call_error(c, "ERR the system has no random numbers to give");
        return;
    }
    for (size_t i = 0; i < chars; i++) text[i] = "0123456789abcdef"[random[i / 2] >> (4 * (i & 1)) & 15];
    call_bulk(c, bytes_of(text, chars));
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static void reply_log_entry(struct call *c, const struct acl_log_entry *e)
{
    static const char *const reasons[] = {[ACL_DENIED_COMMAND] = "command",
                                          [ACL_DENIED_KEY] = "key",
                                          [ACL_DENIED_AUTH] = "auth",
                                          [ACL_DENIED_CHANNEL] = "channel"};
    static const char *const contexts[] = {
        [ACL_TOP_LEVEL] = "toplevel", [ACL_IN_MULTI] = "multi", [ACL_IN_LUA] = "lua"};
    struct reply *out = c->out;
    reply_map(out, 10);
    reply_bulk_str(out, "count"), reply_int(out, (int64_t)e->count);
    reply_bulk_str(out, "reason"), reply_bulk_str(out, reasons[e->what.reason]);
    reply_bulk_str(out, "context"), reply_bulk_str(out, contexts[e->what.context]);
    reply_bulk_str(out, "object"), reply_bulk(out, e->what.object);
    reply_bulk_str(out, "username"), reply_bulk(out, e->what.user);
    reply_bulk_str(out, "age-seconds"), reply_double(out, (double)(c->now_ms - e->updated_ms) / 1000);
    reply_bulk_str(out, "client-info"), reply_bulk(out, e->what.client);
    reply_bulk_str(out, "entry-id"), reply_int(out, (int64_t)e->id);
    reply_bulk_str(out, "timestamp-created"), reply_int(out, e->created_ms);
    reply_bulk_str(out, "timestamp-last-updated"), reply_int(out, e->updated_ms);
}

void cmd_acl_log(struct call *c)
{
    struct acl_log *log = &c->srv->acl.log;
    int64_t count = 10;
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 3 && bytes_is_word(c->argv[2], "reset")) {
        acl_log_clear(log);
        call_ok(c);
        return;
    }
    if (c->argc == 3 && !call_int(c, c->argv[2], &count)) return;
    if (count < 0) count = 0;
    if (count > (int64_t)log->count) count = (int64_t)log->count;
    reply_array(c->out, (size_t)count);
    if (!count) return;
    list_for_each(it, &log->entries)
    {
        if (count-- == 0) return;
        reply_log_entry(c, list_entry(it, struct acl_log_entry, link));
    }
}

void cmd_acl_help(struct call *c)
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List the categories of commands, or the commands of one.",
        "DELUSER <username> [<username> ...]",
        "    Remove users, and close their connections.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Tell whether the user may run the command, without running it.",
        "GETUSER <username>",
        "    Show what a user is and may.",
        "GENPASS [<bits>]",
        "    Make up a password of so many bits (default: 256).",
        "LIST",
        "    Show all users as a configuration file would have them.",
        "LOAD",
        "    Read the users from the ACL file anew.",
        "LOG [<count> | RESET]",
        "    Show what was refused to whom, or forget it.",
        "SAVE",
        "    Write the users to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Make or change a user.",
        "USERS",
        "    List the names of all users.",
        "WHOAMI",
        "    Tell as whom this connection is known.",
        NULL,
    };
    call_help(c, lines);
}

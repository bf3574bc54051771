/* SPDX-License-Identifier: MIT
 *
 * CLIENT: what an operator sees of connections and does to them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/cmd/client_name.h"
#include "server/command/handlers.h"
#include "server/ds/number.h"
#include "server/exec/blocked.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

/* --- names -------------------------------------------------------------------------------------------------------- */

static bool is_plain(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '!' || s.p[i] > '~') return false;
    return true;
}

static void set_text(char **to, struct bytes text)
{
    mem_free(*to);
    *to = NULL;
    if (text.n == 0) return;
    *to = mem_alloc(text.n + 1);
    memcpy(*to, text.p, text.n);
    (*to)[text.n] = 0;
}

bool client_set_name(struct call *c, struct bytes name)
{
    if (!is_plain(name)) {
        call_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    set_text(&c->client->name, name);
    return true;
}

void client_clear_name(struct client *cl) { set_text(&cl->name, BYTES("")); }

void cmd_client_setname(struct call *c)
{
    if (client_set_name(c, c->argv[2])) call_ok(c);
}

void cmd_client_getname(struct call *c)
{
    if (c->client->name) reply_bulk_str(c->out, c->client->name);
    else reply_null(c->out);
}

void cmd_client_setinfo(struct call *c)
{
    bool name = bytes_is_word(c->argv[2], "lib-name");
    if (!name && !bytes_is_word(c->argv[2], "lib-ver")) {
        call_errorf(c, "ERR Unrecognized option '%.*s'", (int)(c->argv[2].n < 128 ? c->argv[2].n : 128), c->argv[2].p);
        return;
    }
    if (!is_plain(c->argv[3])) {
        call_errorf(c, "ERR %s cannot contain spaces, newlines or special characters.", name ? "lib-name" : "lib-ver");
        return;
    }
    set_text(name ? &c->client->lib_name : &c->client->lib_ver, c->argv[3]);
    call_ok(c);
}

void cmd_client_id(struct call *c) { call_integer(c, (int64_t)c->client->id); }

/* --- list --------------------------------------------------------------------------------------------------------- */

static void write_line(struct reply *text, const struct client *cl, const struct output_held *held)
{
    char small[1024], *line = small;
    size_t n = client_describe(cl, held, small, sizeof small);
    if (n >= sizeof small) { /* names are as long as clients make them */
        line = mem_alloc(n + 1);
        client_describe(cl, held, line, n + 1);
    }
    reply_raw(text, bytes_of(line, n));
    reply_raw(text, BYTES("\n"));
    if (line != small) mem_free(line);
}

void cmd_client_info(struct call *c)
{
    struct reply text;
    struct output_held held = {0};
    if (c->client->unsent) held = client_output_held(c->w);
    reply_init(&text, 2);
    write_line(&text, c->client, &held);
    call_text(c, &text);
}

#define TYPE_PRIMARY CLASS_COUNT /* no class of limits: nothing is sent to it but its acknowledgements */

static int class_by_name(struct bytes name)
{
    if (bytes_is_word(name, "normal")) return CLASS_NORMAL;
    if (bytes_is_word(name, "slave") || bytes_is_word(name, "replica")) return CLASS_REPLICA;
    if (bytes_is_word(name, "pubsub")) return CLASS_PUBSUB;
    if (bytes_is_word(name, "master")) return TYPE_PRIMARY;
    return -1;
}

/* Monitors have a replica's limits and are not listed as replicas. */
static bool is_of_type(const struct client *cl, int type)
{
    if (cl->s.flags & SESSION_PRIMARY) return type == TYPE_PRIMARY;
    if (cl->s.flags & SESSION_REPLICA) return type == CLASS_REPLICA;
    return type == ((cl->s.flags & SESSION_PUBSUB) ? CLASS_PUBSUB : CLASS_NORMAL);
}

/* Whoever was killed in this turn is gone, though its memory is not yet. */
static bool is_listed(const struct client *cl) { return !(cl->flags & CLIENT_CLOSE_NOW); }

static void list_by_id(struct call *c, struct reply *text, const struct output_held *held)
{
    for (int i = 3; i < c->argc; i++) {
        int64_t id;
        if (!number_parse_i64(c->argv[i], &id)) continue;
        struct client *cl = client_find(c->srv, (uint64_t)id);
        if (cl && is_listed(cl)) write_line(text, cl, held);
    }
}

void cmd_client_list(struct call *c)
{
    int want = -1;
    bool by_id = false;
    if (c->argc == 4 && bytes_is_word(c->argv[2], "type")) {
        want = class_by_name(c->argv[3]);
        if (want < 0) {
            call_errorf(c, "ERR Unknown client type '%.*s'", (int)(c->argv[3].n < 128 ? c->argv[3].n : 128),
                        c->argv[3].p);
            return;
        }
    } else if (c->argc > 3 && bytes_is_word(c->argv[2], "id")) {
        for (int i = 3; i < c->argc; i++) {
            int64_t id;
            if (!call_int_range(c, c->argv[i], INT64_MIN, INT64_MAX, &id, "ERR Invalid client ID")) return;
        }
        by_id = true;
    } else if (c->argc != 2) {
        call_syntax_error(c);
        return;
    }
    struct reply text;
    struct output_held held = client_output_held(c->w);
    reply_init(&text, 2);
    if (by_id) {
        list_by_id(c, &text, &held);
    } else {
        list_for_each(it, &c->w->clients)
        {
            struct client *cl = list_entry(it, struct client, all);
            if (!is_listed(cl) || (want >= 0 && !is_of_type(cl, want))) continue;
            write_line(&text, cl, &held);
        }
    }
    call_text(c, &text);
}

/* --- kill --------------------------------------------------------------------------------------------------------- */

struct kill_filter {
    struct bytes addr, laddr;
    const struct acl_user *user;
    bool has_addr, has_laddr, has_user, has_id, has_type, skip_me;
    uint64_t id;
    int type;
};

static bool kill_matches(const struct kill_filter *f, const struct client *cl, const struct client *me)
{
    if (f->has_addr && !bytes_equal(f->addr, bytes_of_str(cl->peer))) return false;
    if (f->has_laddr && !bytes_equal(f->laddr, bytes_of_str(cl->local))) return false;
    if (f->has_user && cl->s.user != f->user) return false;
    if (f->has_id && cl->id != f->id) return false;
    if (f->has_type && !is_of_type(cl, f->type)) return false;
    return !(f->skip_me && cl == me);
}

static void kill_one(struct client *cl, const struct client *me)
{
    if (cl == me) cl->flags |= CLIENT_CLOSE_AFTER;
    else client_kill(cl);
}

static bool try_kill(struct client *cl, const struct kill_filter *f, const struct client *me)
{
    if ((cl->flags & CLIENT_CLOSE_NOW) || !kill_matches(f, cl, me)) return false;
    kill_one(cl, me);
    return true;
}

static bool parse_kill(struct call *c, struct kill_filter *f)
{
    for (int i = 2; i < c->argc; i += 2) {
        if (i + 1 >= c->argc) {
            call_syntax_error(c);
            return false;
        }
        struct bytes name = c->argv[i], value = c->argv[i + 1];
        if (bytes_is_word(name, "id")) {
            int64_t id;
            if (!call_int_range(c, value, 1, INT64_MAX, &id, "ERR client-id should be greater than 0")) return false;
            f->has_id = true;
            f->id = (uint64_t)id;
        } else if (bytes_is_word(name, "type")) {
            f->type = class_by_name(value);
            if (f->type < 0) {
                call_errorf(c, "ERR Unknown client type '%.*s'", (int)(value.n < 128 ? value.n : 128), value.p);
                return false;
            }
            f->has_type = true;
        } else if (bytes_is_word(name, "addr")) {
            f->has_addr = true;
            f->addr = value;
        } else if (bytes_is_word(name, "laddr")) {
            f->has_laddr = true;
            f->laddr = value;
        } else if (bytes_is_word(name, "user")) {
            f->has_user = true;
            f->user = acl_find(&c->srv->acl, value);
            if (!f->user) {
                call_errorf(c, "ERR No such user '%.*s'", (int)(value.n < 128 ? value.n : 128), value.p);
                return false;
            }
        } else if (bytes_is_word(name, "skipme")) {
            if (bytes_is_word(value, "yes")) f->skip_me = true;
            else if (bytes_is_word(value, "no")) f->skip_me = false;
            else {
                call_syntax_error(c);
                return false;
            }
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

struct kill_message {
    struct worker_message m;
    const struct kill_filter *filter;
    const struct client *me;
    bool only_one;
    int64_t killed;
};

/* Among w's clients. */
static void kill_here(struct worker *w, struct worker_message *m)
{
    struct kill_message *k = container_of(m, struct kill_message, m);
    struct client *one = k->filter->has_id ? client_find(w->srv, k->filter->id) : NULL;
    if (one && one->w == w) k->killed += try_kill(one, k->filter, k->me);
    if (k->filter->has_id) return;
    list_for_each_safe(it, &w->clients)
    {
        if (k->only_one && k->killed) return;
        k->killed += try_kill(list_entry(it, struct client, all), k->filter, k->me);
    }
}

void cmd_client_kill(struct call *c)
{
    struct kill_filter f = {.skip_me = true};
    bool old_form = c->argc == 3;
    if (old_form) {
        f.has_addr = true;
        f.addr = c->argv[2];
        f.skip_me = false;
    } else if (!parse_kill(c, &f)) {
        return;
    }
    struct kill_message k = {.m.handle = kill_here, .filter = &f, .me = c->client, .only_one = old_form};
    worker_post_all(c->srv, &k.m);
    if (!old_form) call_integer(c, k.killed);
    else if (k.killed) call_ok(c);
    else call_error(c, "ERR No such client");
    if (c->client->flags & CLIENT_CLOSE_AFTER) client_output(c->client);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

void cmd_client_unblock(struct call *c)
{
    enum unblock_reason why = UNBLOCK_TIMEOUT;
    if (c->argc > 4) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 4) {
        if (bytes_is_word(c->argv[3], "error")) why = UNBLOCK_ERROR;
        else if (!bytes_is_word(c->argv[3], "timeout")) {
            call_error(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
            return;
        }
    }
    int64_t id;
    if (!call_int(c, c->argv[2], &id)) return;
    struct client *cl = client_find(c->srv, (uint64_t)id);
    bool done = cl && !(cl->flags & CLIENT_CLOSE_NOW) && blocked_unblock(cl, why);
    call_integer(c, done);
}

void cmd_client_pause(struct call *c)
{
    bool writes_only = false;
    if (c->argc > 4) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 4) {
        if (bytes_is_word(c->argv[3], "write")) writes_only = true;
        else if (!bytes_is_word(c->argv[3], "all")) {
            call_error(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    int64_t ms;
    if (!number_parse_i64(c->argv[2], &ms) || ms > INT64_MAX - c->now_ms) {
        call_error(c, "ERR timeout is not an integer or out of range");
        return;
    }
    if (ms < 0) {
        call_error(c, "ERR timeout is negative");
        return;
    }
    struct server *srv = c->srv;
    /* Of two pauses the longer time and the stricter mode hold. */
    if (!srv->pause_until_ms || !writes_only) srv->pause_writes_only = writes_only;
    if (c->now_ms + ms > srv->pause_until_ms) srv->pause_until_ms = c->now_ms + ms;
    srv->unusual |= SERVER_PAUSED;
    call_ok(c);
}

void cmd_client_unpause(struct call *c)
{
    if (c->srv->pause_until_ms) c->srv->pause_until_ms = c->now_ms;
    call_ok(c);
}

void cmd_client_reply(struct call *c)
{
    struct client *cl = c->client;
    if (bytes_is_word(c->argv[2], "on")) {
        cl->s.flags &= ~(uint32_t)SESSION_REPLY_ANY;
        reply_status(&cl->out, "OK");
    } else if (bytes_is_word(c->argv[2], "off")) {
        cl->s.flags |= SESSION_REPLY_OFF;
    } else if (bytes_is_word(c->argv[2], "skip")) {
        if (!(cl->s.flags & SESSION_REPLY_OFF)) cl->s.flags |= SESSION_REPLY_SKIP_NEXT;
    } else {
        call_syntax_error(c);
    }
}

static void on_or_off(struct call *c, uint32_t *flags, uint32_t flag)
{
    bool on = bytes_is_word(c->argv[2], "on");
    if (!on && !bytes_is_word(c->argv[2], "off")) {
        call_syntax_error(c);
        return;
    }
    *flags = on ? *flags | flag : *flags & ~flag;
    call_ok(c);
}

void cmd_client_no_evict(struct call *c) { on_or_off(c, &c->client->flags, CLIENT_NO_EVICT); }
void cmd_client_no_touch(struct call *c) { on_or_off(c, &c->session->flags, SESSION_NO_TOUCH); }

void cmd_client_help(struct call *c)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Whether keys of the next command are tracked, in OPTIN or OPTOUT mode.",
        "GETNAME",
        "    Tell the name of this connection.",
        "GETREDIR",
        "    Tell the number of the connection that invalidations are redirected to.",
        "ID",
        "    Tell the number of this connection.",
        "INFO",
        "    Describe this connection, as LIST does.",
        "KILL <ip:port>",
        "    Close the connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Close connections that fit all options:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Made from this address.",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Made to this address of the server.",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Of this type.",
        "    * USER <username>",
        "      Authenticated as this user.",
        "    * SKIPME (YES|NO)",
        "      Leave out this connection (the default).",
        "LIST [options ...]",
        "    Describe connections, one line each. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Of this type only.",
        "    * ID <client-id> [<client-id> [...]]",
        "      Of these numbers only.",
        "NO-EVICT (ON|OFF)",
        "    Keep this connection out of client eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Commands of this connection leave the idle time of keys as it is.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Hold back all commands, or those that write, for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether the server replies to this connection.",
        "SETINFO <option> <value>",
        "    Set LIB-NAME or LIB-VER, which LIST shows.",
        "SETNAME <name>",
        "    Give this connection a name.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
        "    Whether the server tells which keys that this connection has read, or that begin with",
        "    <prefix>, have changed.",
        "TRACKINGINFO",
        "    Tell how keys are tracked for this connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    End the wait of a blocked connection.",
        "UNPAUSE",
        "    End a pause.",
        NULL,
    };
    call_help(c, lines);
}

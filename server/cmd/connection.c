/* SPDX-License-Identifier: MIT
 *
 * What a client says about its own connection: PING, ECHO, AUTH, HELLO, SELECT, RESET, QUIT.
 */
#include <string.h>

#include "server/cmd/client_name.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/number.h"
#include "server/exec/exec.h"
#include "server/exec/multi.h"
#include "server/net/pubsub.h"
#include "server/net/monitor.h"
#include "server/net/tracking.h"
#include "server/server.h"
#include "server/worker.h"

void cmd_ping(struct call *c)
{
    if (c->argc > 2) {
        call_arity_error(c);
        return;
    }
    if ((c->session->flags & SESSION_PUBSUB) && c->out->proto == 2) {
        reply_array(c->out, 2);
        reply_bulk(c->out, BYTES("pong"));
        reply_bulk(c->out, c->argc == 1 ? BYTES("") : c->argv[1]);
        return;
    }
    if (c->argc == 1) reply_status(c->out, "PONG");
    else call_bulk(c, c->argv[1]);
}

void cmd_echo(struct call *c) { call_bulk(c, c->argv[1]); }

void cmd_quit(struct call *c)
{
    call_ok(c);
    client_close_after_reply(c->client);
}

void cmd_select(struct call *c)
{
    int64_t id;
    if (!call_int(c, c->argv[1], &id)) return;
    if (id < INT32_MIN || id > INT32_MAX) {
        call_error(c, "ERR value is out of range, value must between -2147483648 and 2147483647");
        return;
    }
    struct db *db = srv_db(c, id);
    if (!db) {
        call_error(c, "ERR DB index is out of range");
        return;
    }
    c->session->db = db;
    call_ok(c);
}

static bool authenticate(struct call *c, struct bytes user, struct bytes password)
{
    struct acl_user *u = acl_find(&c->srv->acl, user);
    if (!u || !acl_user_comes_in(u, password)) {
        exec_note_not_authenticated(c->session, user, c->argv[0]);
        call_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    session_set_user(c->session, u);
    c->session->flags |= SESSION_AUTHENTICATED;
    c->session->flags &= ~(uint32_t)SESSION_LET_IN;
    if (c->session->client) client_trust(c->session->client);
    return true;
}

void cmd_auth(struct call *c)
{
    if (c->argc > 3) {
        call_syntax_error(c);
        return;
    }
    if (c->argc == 2) {
        if (c->srv->acl.default_user->no_password) {
            call_error(c, "ERR AUTH <password> called without any password configured for the "
                          "default user. Are you sure your "
                          "configuration is correct?");
            return;
        }
        if (authenticate(c, BYTES("default"), c->argv[1])) call_ok(c);
        return;
    }
    if (authenticate(c, c->argv[1], c->argv[2])) call_ok(c);
}

struct hello {
    int proto;
    bool auth, named;
    struct bytes user, password, name;
};

static bool parse_hello(struct call *c, struct hello *h)
{
    int next = 1;
    if (c->argc > 1) {
        int64_t v;
        if (!number_parse_i64(c->argv[1], &v)) {
            call_error(c, "ERR Protocol version is not an integer or out of range");
            return false;
        }
        if (v < 2 || v > 3) {
            call_error(c, "NOPROTO unsupported protocol version");
            return false;
        }
        h->proto = (int)v;
        next = 2;
    }
    while (next < c->argc) {
        int more = c->argc - next - 1;
        if (more >= 2 && bytes_is_word(c->argv[next], "auth")) {
            h->auth = true;
            h->user = c->argv[next + 1];
            h->password = c->argv[next + 2];
            next += 3;
        } else if (more >= 1 && bytes_is_word(c->argv[next], "setname")) {
            h->named = true;
            h->name = c->argv[next + 1];
            next += 2;
        } else {
            call_errorf(c, "ERR Syntax error in HELLO option '%.*s'",
                        (int)(c->argv[next].n < 128 ? c->argv[next].n : 128), c->argv[next].p);
            return false;
        }
    }
    return true;
}

static void field(struct reply *out, const char *name) { reply_bulk_str(out, name); }

void cmd_hello(struct call *c)
{
    struct hello h = {0};
    struct client *cl = c->client;
    if (!parse_hello(c, &h)) return;
    if (h.auth && !authenticate(c, h.user, h.password)) return;
    if (!(cl->s.flags & SESSION_AUTHENTICATED)) {
        call_error(c, "NOAUTH HELLO must be called with the client already authenticated, "
                      "otherwise the HELLO <proto> AUTH <user> <pass> "
                      "option can be used to authenticate the client and select the RESP protocol "
                      "version at the same time");
        return;
    }
    if (h.named && !client_set_name(c, h.name)) return;
    if (h.proto) cl->out.proto = c->out->proto = (uint8_t)h.proto;
    reply_map(c->out, 7);
    field(c->out, "server"), field(c->out, "redis");
    field(c->out, "version"), field(c->out, REDIS_VERSION);
    field(c->out, "proto"), reply_int(c->out, cl->out.proto);
    field(c->out, "id"), reply_int(c->out, (int64_t)cl->id);
    field(c->out, "mode"), field(c->out, "standalone");
    field(c->out, "role"), field(c->out, c->srv->upstream ? "replica" : "master");
    field(c->out, "modules"), reply_array(c->out, 0);
}

void cmd_reset(struct call *c)
{
    struct client *cl = c->client;
    if (cl->s.flags & (SESSION_REPLICA | SESSION_PRIMARY)) {
        call_error(c, "ERR can only reset normal connections");
        return;
    }
    multi_free(&cl->s);
    pubsub_forget(cl);
    tracking_stop(cl);
    monitor_remove(cl);
    cl->s.flags &= ~(uint32_t)(SESSION_MULTI | SESSION_DIRTY_EXEC | SESSION_DIRTY_CAS | SESSION_REPLY_ANY |
                               SESSION_PUBSUB | SESSION_NO_TOUCH | SESSION_DEBUGS | SESSION_DEBUG_REFUSED);
    cl->flags &= ~(uint32_t)CLIENT_NO_EVICT;
    cl->s.db = &c->srv->dbs[0];
    cl->out.proto = 2;
    client_clear_name(cl);
    cl->s.flags &= ~(uint32_t)SESSION_LET_IN;
    session_set_user(&cl->s, c->srv->acl.default_user);
    if (!acl_is_open(&c->srv->acl)) cl->s.flags &= ~(uint32_t)SESSION_AUTHENTICATED;
    else cl->s.flags |= SESSION_AUTHENTICATED;
    reply_status(&cl->out, "RESET");
}

/* SPDX-License-Identifier: MIT
 *
 * Small commands about the server as a whole: TIME, ROLE, SHUTDOWN.
 */
#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/db/hooks.h"
#include "server/ds/number.h"
#include "server/repl/upstream.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/script/scripts.h"
#include "server/server.h"
#include "server/shutdown.h"

void cmd_time(struct call *c)
{
    int64_t us = srv_in_script(c) ? scripts_now_us(c->srv) : demi_wall_us();
    reply_array(c->out, 2);
    reply_bulk_int(c->out, us / 1000000);
    reply_bulk_int(c->out, us % 1000000);
}

static void reply_replica_role(struct call *c, const struct upstream *u)
{
    static const char *const states[] = {[UPSTREAM_CONNECT] = "connect",
                                         [UPSTREAM_CONNECTING] = "connecting",
                                         [UPSTREAM_HANDSHAKE] = "handshake",
                                         [UPSTREAM_TRANSFER] = "sync",
                                         [UPSTREAM_CONNECTED] = "connected"};
    reply_array(c->out, 5);
    reply_bulk(c->out, BYTES("slave"));
    reply_bulk(c->out, bytes_of_str(u->host));
    reply_int(c->out, u->port);
    reply_bulk(c->out, bytes_of_str(states[u->state]));
    reply_int(c->out, u->state == UPSTREAM_CONNECTED ? (int64_t)history_offset(&c->srv->history) : -1);
}

static bool is_online(const struct call *c, size_t i) { return replicas_at(c->w, i)->replica->state == REPLICA_ONLINE; }

static void reply_replica(struct call *c, const struct client *cl)
{
    char ip[REPLICA_IP_MAX], text[NUMBER_I64_SIZE];
    const struct replica *r = cl->replica;
    replica_address(cl, ip, sizeof ip);
    reply_array(c->out, 3);
    reply_bulk(c->out, bytes_of_str(ip));
    reply_bulk(c->out, bytes_of(text, number_format_i64(text, r->port)));
    reply_bulk(c->out, bytes_of(text, number_format_i64(text, r->ack_offset)));
}

void cmd_role(struct call *c)
{
    if (c->srv->upstream) {
        reply_replica_role(c, c->srv->upstream);
        return;
    }
    size_t online = 0;
    for (size_t i = 0; i < replicas_count(c->w); i++) online += is_online(c, i);
    reply_array(c->out, 3);
    reply_bulk(c->out, BYTES("master"));
    reply_int(c->out, (int64_t)history_offset(&c->srv->history));
    reply_array(c->out, online);
    for (size_t i = 0; i < replicas_count(c->w); i++)
        if (is_online(c, i)) reply_replica(c, replicas_at(c->w, i));
}

/* --- SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] | ABORT ----------------------------------------------------------------- */

#define SHUTDOWN_ERROR "ERR Errors trying to SHUTDOWN. Check logs."

/* Who waits for the end hears of it by being closed, or that there is none. */
static bool answer_shutdown(struct client *cl, const struct request *r, struct reply *out, bool last)
{
    (void)r;
    if (!last && shutdown_is_awaited(cl->w->srv)) return false;
    reply_error(out, "-" SHUTDOWN_ERROR);
    return true;
}

void cmd_shutdown(struct call *c)
{
    bool abort_it = false;
    unsigned flags = 0, both = SHUTDOWN_ON_SIG_SAVE | SHUTDOWN_ON_SIG_NOSAVE;
    for (int i = 1; i < c->argc; i++) {
        if (bytes_is_word(c->argv[i], "nosave")) flags |= SHUTDOWN_ON_SIG_NOSAVE;
        else if (bytes_is_word(c->argv[i], "save")) flags |= SHUTDOWN_ON_SIG_SAVE;
        else if (bytes_is_word(c->argv[i], "now")) flags |= SHUTDOWN_ON_SIG_NOW;
        else if (bytes_is_word(c->argv[i], "force")) flags |= SHUTDOWN_ON_SIG_FORCE;
        else if (bytes_is_word(c->argv[i], "abort")) abort_it = true;
        else {
            call_syntax_error(c);
            return;
        }
    }
    if ((flags & both) == both || (abort_it && flags)) {
        call_syntax_error(c);
        return;
    }
    if (abort_it) {
        if (shutdown_abort(c->w)) reply_ok(c->out);
        else call_error(c, "ERR No shutdown in progress.");
        return;
    }
    if (c->deny_blocking && !(flags & SHUTDOWN_ON_SIG_NOW)) {
        call_error(c, "ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client");
        return;
    }
    if ((c->srv->unusual & SERVER_BUSY) && !(flags & SHUTDOWN_ON_SIG_NOSAVE)) {
        call_errorf(c, "BUSY Redis is busy running a script. You can only call %s KILL or SHUTDOWN NOSAVE.",
                    (c->srv->unusual & SERVER_BUSY_SCRIPT) ? "SCRIPT" : "FUNCTION");
        return;
    }
    switch (shutdown_begin(c->w, flags)) {
    case SHUTDOWN_FAILS: call_error(c, SHUTDOWN_ERROR); break;
    case SHUTDOWN_WAITS:
        if (c->client) call_block_on_log(c, 0, answer_shutdown);
        break;
    case SHUTDOWN_GOES:
        if (c->client) client_close_soon(c->client);
        break;
    }
}

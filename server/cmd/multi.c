/* SPDX-License-Identifier: MIT
 *
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH over server/exec/multi.h.
 */
#include "server/command/handlers.h"
#include "server/exec/exec.h"
#include "server/exec/multi.h"
#include "server/server.h"

void cmd_multi(struct call *c)
{
    if (c->client->flags & CLIENT_MULTI) {
        call_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->client->flags |= CLIENT_MULTI;
    call_ok(c);
}

void cmd_discard(struct call *c)
{
    if (!(c->client->flags & CLIENT_MULTI)) {
        call_error(c, "ERR DISCARD without MULTI");
        return;
    }
    multi_end(c->client);
    call_ok(c);
}

void cmd_exec(struct call *c)
{
    struct client *cl = c->client;
    if (!(cl->flags & CLIENT_MULTI)) {
        call_error(c, "ERR EXEC without MULTI");
        return;
    }
    if (watch_any_expired(c)) cl->flags |= CLIENT_DIRTY_CAS;
    if (cl->flags & CLIENT_DIRTY_EXEC) {
        call_error(c, "EXECABORT Transaction discarded because of previous errors.");
        multi_end(cl);
        return;
    }
    if (cl->flags & CLIENT_DIRTY_CAS) {
        reply_null_array(c->out);
        multi_end(cl);
        return;
    }
    watch_forget(cl); /* its own writes must not mark it */
    cl->flags &= ~(uint32_t)CLIENT_MULTI;
    size_t count = multi_count(cl);
    reply_array(c->out, count);
    /* RESET or QUIT cannot be queued, so the queue does not change under this loop. */
    for (size_t i = 0; i < count; i++)
        exec_call(c->w, cl, multi_at(cl, i), (struct exec_how){.in_exec = true, .deny_blocking = true});
    multi_end(cl);
}

void cmd_watch(struct call *c)
{
    if (c->client->flags & CLIENT_MULTI) {
        call_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    /* Already doomed: watching more changes nothing. */
    if (!(c->client->flags & CLIENT_DIRTY_CAS))
        for (int i = 1; i < c->argc; i++) watch_key(c, call_key(c, i));
    call_ok(c);
}

void cmd_unwatch(struct call *c)
{
    watch_forget(c->client);
    c->client->flags &= ~(uint32_t)CLIENT_DIRTY_CAS;
    call_ok(c);
}

/* SPDX-License-Identifier: MIT
 *
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH over server/exec/multi.h.
 */
#include "server/command/handlers.h"
#include "server/exec/exec.h"
#include "server/exec/run.h"
#include "server/exec/multi.h"
#include "server/net/tracking.h"
#include "server/server.h"

void cmd_multi(struct call *c)
{
    if (c->session->flags & SESSION_MULTI) {
        call_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->session->flags |= SESSION_MULTI;
    call_ok(c);
}

void cmd_discard(struct call *c)
{
    if (!(c->session->flags & SESSION_MULTI)) {
        call_error(c, "ERR DISCARD without MULTI");
        return;
    }
    multi_end(c->session);
    call_ok(c);
}

void cmd_exec(struct call *c)
{
    struct session *s = c->session;
    if (!(s->flags & SESSION_MULTI)) {
        call_error(c, "ERR EXEC without MULTI");
        return;
    }
    if (watch_any_expired(c)) s->flags |= SESSION_DIRTY_CAS;
    if (s->flags & SESSION_DIRTY_EXEC) {
        call_error(c, "EXECABORT Transaction discarded because of previous errors.");
        multi_end(s);
        return;
    }
    if (s->flags & SESSION_DIRTY_CAS) {
        reply_null_array(c->out);
        multi_end(s);
        return;
    }
    watch_forget(s); /* its own writes must not mark it */
    s->flags &= ~(uint32_t)SESSION_MULTI;
    size_t count = multi_count(s);
    multi_begin_exec(s, c->argv);
    reply_array(c->out, count);
    /* RESET or QUIT cannot be queued, so the queue does not change under this loop. */
    for (size_t i = 0; i < count; i++) {
        if (unlikely(!exec_permits_queued(s, multi_at(s, i)))) continue;
        run_request(s, multi_at(s, i), (struct run_how){.in_exec = true, .deny_blocking = true});
        if (unlikely(s->flags & SESSION_TRACKING)) tracking_remember(s, multi_at(s, i));
    }
    multi_end(s);
}

void cmd_watch(struct call *c)
{
    if (c->session->flags & SESSION_MULTI) {
        call_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    /* Already doomed: watching more changes nothing. */
    if (!(c->session->flags & SESSION_DIRTY_CAS))
        for (int i = 1; i < c->argc; i++) watch_key(c, call_key(c, i));
    call_ok(c);
}

void cmd_unwatch(struct call *c)
{
    watch_forget(c->session);
    c->session->flags &= ~(uint32_t)SESSION_DIRTY_CAS;
    call_ok(c);
}

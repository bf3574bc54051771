/* SPDX-License-Identifier: MIT
 *
 * One reply a worker is enough: only one command runs at a time, and what it left here is handed over before the next
 * one, a waiter that it serves included. It is bounded by the limit of the client it is for, as if it were that
 * client's output already.
 */
#include "server/net/pushes.h"

#include "server/net/client.h"
#include "server/net/tracking.h"
#include "server/server.h"
#include "server/worker.h"

static bool may_grow(struct reply *r, size_t bytes)
{
    struct reply *out = &session_origin(list_entry(r, struct worker, pushes)->call.session)->out;
    return out->may_grow(out, reply_bytes(out) + bytes);
}

void pushes_init(struct worker *w)
{
    reply_init(&w->pushes, 2);
    w->pushes.may_grow = may_grow;
}

void pushes_fini(struct worker *w) { reply_fini(&w->pushes); }

struct reply *pushes_output(struct worker *w, struct client *cl, const struct client *running)
{
    if (cl != running) {
        client_output(cl);
        return &cl->out;
    }
    ASSERT(session_origin(w->call.session) == cl);
    w->pushes.proto = cl->out.proto;
    w->has_pushes = true;
    return &w->pushes;
}

void pushes_deliver(struct worker *w, struct client *cl)
{
    ASSERT(cl && w->has_pushes);
    w->has_pushes = false;
    reply_append(&cl->out, &w->pushes);
    reply_reset(&w->pushes);
    if (unlikely(w->srv->tracking != NULL)) tracking_deliver(w, cl);
    client_output(cl);
}

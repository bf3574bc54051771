/* SPDX-License-Identifier: MIT */
#include "server/exec/session.h"

#include "server/acl/user.h"
#include "server/exec/multi.h"
#include "server/server.h"
#include "server/worker.h"

void session_init(struct session *s, struct worker *w, struct reply *out)
{
    *s = (struct session){.w = w, .db = &w->srv->dbs[0], .out = out, .flags = SESSION_AUTHENTICATED | SESSION_LOCAL};
}

void session_set_user(struct session *s, struct acl_user *u)
{
    s->user = u;
    s->flags &= ~(uint32_t)SESSION_RESTRICTED;
    if (u && !acl_user_is_unrestricted(u)) s->flags |= SESSION_RESTRICTED;
}

void session_fini(struct session *s) { multi_free(s); }

struct reply *session_nowhere(struct session *s)
{
    s->w->nowhere.proto = s->out->proto;
    s->w->nowhere.on_error_ctx = s;
    return &s->w->nowhere;
}

/* SPDX-License-Identifier: MIT */
#include "server/check.h"

#ifdef DEMI_DEBUG

#include "server/exec/blocked.h"
#include "server/exec/multi.h"
#include "server/net/feed.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

static void session_check(const struct session *s, const struct worker *w)
{
    const struct server *srv = w->srv;
    ASSERT(s->w == w);
    ASSERT(s->db >= srv->dbs && s->db < srv->dbs + srv->db_count);
    ASSERT(s->out != NULL);
    ASSERT(s->out->proto == 2 || s->out->proto == 3);
    ASSERT(s->out->deferred == 0);
    /* A queue exists inside MULTI only; a transaction that is doomed is one. */
    if (!(s->flags & SESSION_MULTI)) ASSERT(multi_count(s) == 0);
    if (s->flags & SESSION_DIRTY_EXEC) ASSERT(s->flags & SESSION_MULTI);
}

static void client_check(const struct client *cl, const struct worker *w)
{
    ASSERT(cl->w == w);
    ASSERT(cl->s.client == cl && cl->s.out == &cl->out);
    session_check(&cl->s, w);
    /* Input lies in one place, and what is parsed is a part of it. */
    ASSERT(cl->in_off <= cl->in_len);
    if (cl->in_len > cl->in_off) ASSERT(cl->in != NULL);
    ASSERT(!(cl->in_own && cl->in_sga.sga_buf));
    if (cl->in_own) ASSERT(cl->in_len <= cl->in_cap);
    ASSERT(!cl->blocked == !(cl->flags & CLIENT_BLOCKED));
    /* The turn is over: only who waits for the disk has output in a list. */
    ASSERT(!(cl->flags & CLIENT_FLUSH_QUEUED) == !(cl->flags & CLIENT_HELD));
    if (cl->flags & CLIENT_HELD) ASSERT(cl->durable_at > w->durable);
    if (!cl->feed) return;
    ASSERT(cl->s.flags & SESSION_REPLICA);
    broadcast_reader_check(&cl->feed->in_payload);
    broadcast_reader_check(&cl->feed->in_journal);
    broadcast_reader_check(&cl->feed->sent);
}

static void journal_check(const struct journal *j)
{
    ASSERT((j->readers && j->takes_effects) == !list_is_empty(&j->sink.link));
    if (j->readers == 0) ASSERT(j->text.bytes == 0);
}

void worker_check(const struct worker *w)
{
    size_t clients = 0, blocked = 0, monitors = 0, replicas = 0;
    list_for_each(it, &w->clients)
    {
        const struct client *cl = list_entry(it, struct client, all);
        client_check(cl, w);
        clients++;
        blocked += cl->blocked != NULL;
        monitors += (cl->s.flags & SESSION_MONITOR) != 0;
        replicas += (cl->s.flags & SESSION_REPLICA) != 0;
    }
    ASSERT(clients == w->client_count);
    ASSERT(blocked == w->blocked_count);
    ASSERT(monitors == w->monitor_count);
    ASSERT(replicas == replicas_count(w));
    ASSERT(blocked_timed_count(w) <= blocked);
    ASSERT(!blocked_any_ready(w));
    ASSERT(!effects_pending(&w->effects));
    ASSERT(!w->flush && (!w->dying || w->srv->stopping));
    journal_check(&w->srv->journal);
    journal_check(&w->srv->history.journal);
    history_check(&w->srv->history);
    blocked_check(w);
    replicas_check(w);
}

#endif

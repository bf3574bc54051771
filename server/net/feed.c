/* SPDX-License-Identifier: MIT */
#include "server/net/feed.h"

#include <sys/uio.h>

#include "demi/ext.h"
#include "server/mem.h"
#include "server/net/client.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define PIECES 32 /* segments a push */

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

struct snapshot *snapshot_new(struct journal *j)
{
    struct snapshot *s = mem_calloc(sizeof *s);
    s->refs = 1;
    s->journal = j;
    broadcast_read(&s->text, &s->first);
    journal_read(j, &s->since);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    ASSERT(s->refs > 0);
    if (--s->refs) return;
    broadcast_reader_end(&s->first);
    journal_reader_end(s->journal, &s->since);
    broadcast_fini(&s->text);
    mem_free(s);
}

uint64_t snapshot_age(const struct snapshot *s) { return broadcast_unread(&s->since); }

/* --- a client's feed ---------------------------------------------------------------------------------------------- */

void feed_start(struct client *cl, struct snapshot *s)
{
    ASSERT(!cl->feed);
    struct feed *f = mem_calloc(sizeof *f);
    f->snapshot = s;
    s->refs++;
    f->journal = s->journal;
    broadcast_read_from(&s->first, &f->in_snapshot);
    journal_read_from(s->journal, &s->since, &f->in_journal);
    cl->feed = f;
    cl->feed_from = UINT64_MAX; /* until the snapshot has been pushed */
}

void feed_continue(struct client *cl, uint64_t from)
{
    ASSERT(!cl->feed);
    struct history *h = &cl->w->srv->history;
    struct feed *f = cl->feed = mem_calloc(sizeof *f);
    f->journal = &h->journal;
    history_read_from(h, from, &f->in_journal);
    cl->feed_from = cl->net_out + reply_bytes(&cl->out);
}

static void leave_snapshot(struct feed *f)
{
    if (!f->snapshot) return;
    broadcast_reader_end(&f->in_snapshot);
    snapshot_unref(f->snapshot);
    f->snapshot = NULL;
}

void feed_end(struct client *cl)
{
    if (!cl->feed) return;
    leave_snapshot(cl->feed);
    journal_reader_end(cl->feed->journal, &cl->feed->in_journal);
    mem_free(cl->feed);
    cl->feed = NULL;
}

uint64_t feed_lag(const struct client *cl) { return cl->feed ? broadcast_unread(&cl->feed->in_journal) : 0; }

/* The reader it is at, with something to read; NULL: it has caught up. */
static struct broadcast_reader *current(struct client *cl)
{
    struct feed *f = cl->feed;
    if (f->snapshot) {
        if (!f->snapshot->is_whole) return NULL;
        if (broadcast_unread(&f->in_snapshot)) return &f->in_snapshot;
        leave_snapshot(f);
        cl->feed_from = cl->net_out;
        replicas_transferred(cl);
    }
    if (f->held) return NULL;
    return broadcast_unread(&f->in_journal) ? &f->in_journal : NULL;
}

/* A push of up to n bytes; its token tells when there is room for more. */
static int push_some(struct client *cl, struct broadcast_reader *r, size_t n)
{
    struct bytes pieces[PIECES];
    struct iovec iov[PIECES];
    unsigned count = broadcast_peek(r, pieces, PIECES, n);
    size_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){(void *)(uintptr_t)pieces[i].p, pieces[i].n};
        sum += pieces[i].n;
    }
    demi_qtoken_t none;
    bool told = !cl->push;
    int err = demi_pushv(told ? &cl->push : &none, cl->qd, iov, (int)count,
                         DEMI_PUSH_HANDED_OVER | (told ? 0 : DEMI_PUSH_NO_TOKEN));
    if (err) {
        if (told) cl->push = 0;
        return err;
    }
    cl->unsent += sum;
    cl->net_out += sum;
    cl->w->stats.net_out += sum;
    cl->w->stats.repl_out += sum;
    cl->w->stats.writes++;
    broadcast_advance(r, sum);
    return 0;
}

int feed_push(struct client *cl)
{
    demi_unsent(cl->qd, &cl->unsent);
    struct broadcast_reader *r;
    while (cl->unsent < FEED_WINDOW && (r = current(cl)) != NULL) {
        int err = push_some(cl, r, FEED_WINDOW - cl->unsent);
        if (err) return err;
    }
    return 0;
}

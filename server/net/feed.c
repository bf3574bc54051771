/* SPDX-License-Identifier: MIT */
#include "server/net/feed.h"

#include <sys/uio.h>

#include "demi/ext.h"
#include "server/mem.h"
#include "server/net/client.h"
#include "server/repl/payload.h"
#include "server/repl/full_sync.h"
#include "server/server.h"
#include "server/worker.h"

#define PIECES 32                 /* segments a push */
#define FEW    ((size_t)16 << 10) /* bytes that are not worth a push while another one is on its way */

void feed_start(struct client *cl, struct payload *p)
{
    ASSERT(!cl->feed);
    struct feed *f = cl->feed = mem_calloc(sizeof *f);
    f->payload = p;
    payload_add_reader(p);
    f->journal = p->journal;
    journal_read_from(p->journal, &p->since, &f->in_journal);
    broadcast_read_from(&f->in_journal, &f->sent);
    cl->feed_from = UINT64_MAX; /* until the payload has been pushed */
}

void feed_flow(struct client *cl)
{
    struct feed *f = cl->feed;
    ASSERT(f->payload->stage == PAYLOAD_FLOWS && !f->in_payload.of);
    broadcast_read(&f->payload->text, &f->in_payload);
}

void feed_continue(struct client *cl, uint64_t from)
{
    ASSERT(!cl->feed);
    struct history *h = &cl->w->srv->history;
    struct feed *f = cl->feed = mem_calloc(sizeof *f);
    f->journal = &h->journal;
    history_read_from(h, from, &f->in_journal);
    broadcast_read_from(&f->in_journal, &f->sent);
    cl->feed_from = cl->net_out + reply_bytes(&cl->out);
}

static void leave_payload(struct feed *f)
{
    struct payload *p = f->payload;
    if (!p) return;
    f->payload = NULL;
    broadcast_reader_end(&f->in_payload);
    payload_drop_reader(p);
}

void feed_end(struct client *cl)
{
    struct feed *f = cl->feed;
    if (!f) return;
    cl->feed = NULL;
    leave_payload(f);
    broadcast_reader_end(&f->sent);
    journal_reader_end(f->journal, &f->in_journal);
    mem_free(f);
}

uint64_t feed_lag(const struct client *cl) { return cl->feed ? broadcast_unread(&cl->feed->in_journal) : 0; }

void feed_see_sent(struct client *cl)
{
    struct feed *f = cl->feed;
    ASSERT(f->sent.offset <= f->in_journal.offset);
    uint64_t pushed = f->in_journal.offset - f->sent.offset;
    if (pushed <= cl->unsent) return;
    broadcast_advance(&f->sent, (size_t)(pushed - cl->unsent));
    history_trim(&cl->w->srv->history); /* what it held */
}

/* The reader it is at, with something to read; NULL: it has caught up. */
static struct broadcast_reader *current(struct client *cl)
{
    struct feed *f = cl->feed;
    if (f->payload) {
        if (broadcast_unread(&f->in_payload)) return &f->in_payload;
        if (f->payload->stage != PAYLOAD_WHOLE) return NULL;
        f->held = f->payload->has_mark;
        leave_payload(f);
        cl->feed_from = cl->net_out;
        full_sync_transferred(cl);
    }
    return !f->held && broadcast_unread(&f->in_journal) ? &f->in_journal : NULL;
}

/* The library copies small pushes that it cannot send at once: a peer that does not read would have each command of the
 * stream twice in memory. They lie in the stream until the push before them has gone, whose token brings us back. */
static bool can_wait(const struct client *cl, const struct broadcast_reader *r)
{
    return cl->push && cl->unsent && broadcast_unread(r) < FEW;
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
    if (r == &cl->feed->in_payload) full_sync_taken(cl);
    return 0;
}

int feed_push(struct client *cl)
{
    demi_unsent(cl->qd, &cl->unsent);
    feed_see_sent(cl);
    struct broadcast_reader *r;
    while (cl->unsent < FEED_WINDOW && (r = current(cl)) != NULL && !can_wait(cl, r)) {
        int err = push_some(cl, r, FEED_WINDOW - cl->unsent);
        if (err) return err;
    }
    return 0;
}

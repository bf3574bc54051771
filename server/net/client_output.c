/* SPDX-License-Identifier: MIT
 *
 * Output of clients: built, held, pushed, owed.
 *
 * Replies are built in chunks of registered memory and handed to the libOS once a turn; a chunk is freed as soon as it
 * has been pushed (the libOS holds it until the bytes have left).
 *
 * Bounds. client-output-buffer-limit of the class, looked at where a reply takes memory (client_may_grow()), so that no
 * command, transaction or message goes far beyond it; and maxmemory-clients, of all together. Whoever has no such limit
 * may owe: a client with more than TURN_BYTES built in a turn is not served on before that was handed to the libOS,
 * and one with more than OWED_BYTES unsent not before these were sent (CLIENT_OWING); so it holds these and one
 * command's reply.
 *
 *     served --TURN_BYTES built--> owing --flushed, at most OWED_BYTES unsent--> served
 *                                    | more: neither served nor read from; its push has a token
 *                                    +--the token completes: sent--> served
 *                                    +--nothing moves for STUCK_MS--> not served, but read from
 *
 * Who sends all that it has before it reads anything would wait for us as we wait for it. So its requests are taken in,
 * as those of a client that blocks are, up to client-query-buffer-limit; it holds these then, and not their replies.
 *
 * Who has not given the password yet owes what redis-server lets him owe since 7.2.8, the 16 KiB of a reply's first
 * buffer and 1,024 bytes; there he is closed, here he waits as others do. What does not move for STALL_MS is closed if
 * it is more than STALL_BYTES.
 *
 *     client_output() --> the turn's list --client_flush()--> pushed
 *                                             |  changed what is not on the disk yet (`appendfsync always`)
 *                                             `--> held --client_release_held()--> the turn's list
 */
#include "server/net/client_parts.h"

#include <limits.h>
#include <sys/uio.h>

#include "demi/libos.h"
#include "server/net/client.h"
#include "server/net/client_weight.h"
#include "server/net/feed.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

#define TURN_BYTES            ((size_t)1 << 20)
#define OWED_BYTES            ((size_t)2 << 20)
#define UNAUTHENTICATED_BYTES ((size_t)17 << 10)
#define STUCK_MS              50
#define STALL_BYTES           ((size_t)256 << 20)
#define STALL_MS              60000
#define PIECE_BYTES           ((size_t)1 << 30)
#define COPIED_MAX            2048 /* demi_pushv(3): larger pieces are lent */
static_assert(UNAUTHENTICATED_BYTES > REPLY_CHUNK_SIZE, "who gave no password gets a first chunk of replies");
static_assert(PIECE_BYTES <= INT_MAX, "a piece of a push");
static_assert(TURN_BYTES > REPLY_CHUNK_MAX && OWED_BYTES > TURN_BYTES, "a turn's replies may be owed");

/* --- bounds ------------------------------------------------------------------------------------------------------- */

size_t client_output_bytes(const struct client *cl)
{
    return reply_bytes(&cl->out) + cl->unsent + (size_t)feed_lag(cl);
}

/* Of the snapshot in front of a replica's effects: it is as large as the data and not under the limits of output, but
 * under a bound of its own (cmd_sync). */
static size_t unsent_snapshot(const struct client *cl)
{
    uint64_t sent = cl->net_out - cl->unsent;
    if (cl->feed_from <= sent) return 0;
    return cl->feed_from - sent < cl->unsent ? (size_t)(cl->feed_from - sent) : cl->unsent;
}

size_t client_hard_limit(const struct worker *w, enum client_class class)
{
    const struct config *cfg = w->conf.cfg;
    int64_t hard = cfg->client_output_buffer_limit[class].hard_bytes;
    if (hard && class == CLASS_REPLICA && hard < cfg->repl_backlog_size) hard = cfg->repl_backlog_size;
    return (size_t)hard;
}

static size_t hard_limit(const struct client *cl) { return client_hard_limit(cl->w, client_class_of(cl)); }

void client_close_over_limit(struct client *cl)
{
    if (cl->flags & CLIENT_CLOSE_NOW) return;
    struct worker *w = cl->w;
    client_log(cl, LOG_WARNING_LEVEL, "Client ",
               " scheduled to be closed ASAP for overcoming of output buffer limits.");
    w->stats.output_limit_closed++;
    client_close_without_rest(cl);
}

static size_t turn_bytes(const struct client *cl)
{
    return (cl->s.flags & SESSION_AUTHENTICATED) ? TURN_BYTES : REPLY_CHUNK_SIZE - sizeof(struct reply_chunk);
}

/* Where there is a limit it is what closes, as redis-server does it, and nobody waits. */
static size_t owed_bytes(const struct client *cl)
{
    if (!(cl->s.flags & SESSION_AUTHENTICATED)) return UNAUTHENTICATED_BYTES;
    bool limited = cl->w->conf.cfg->client_output_buffer_limit[client_class_of(cl)].hard_bytes;
    if (cl->flags & CLIENT_WEIGHED) limited |= !(cl->flags & CLIENT_NO_EVICT); /* it is closed when it owes too much */
    return limited ? SIZE_MAX : OWED_BYTES;
}

/* Its replies and messages are to take memory: they may not beyond the hard limit of its class, and it owes (see above)
 * when they are many. */
bool client_may_grow(struct reply *r, size_t bytes)
{
    struct client *cl = list_entry(r, struct client, out);
    size_t hard = hard_limit(cl);
    if (unlikely(hard && bytes + cl->unsent > hard + unsent_snapshot(cl))) {
        client_close_over_limit(cl);
        return false;
    }
    if (unlikely(cl->flags & CLIENT_WEIGHED) && !client_weight_allows(cl, bytes)) return false;
    if (unlikely(bytes > turn_bytes(cl))) cl->flags |= CLIENT_OWING;
    return true;
}

void client_check_output(struct client *cl)
{
    size_t unsent = 0;
    demi_unsent(cl->qd, &unsent);
    if (unsent < cl->unsent || unsent == 0) cl->stalled_ms = 0;
    else if (!cl->stalled_ms) cl->stalled_ms = cl->w->now_ms;
    cl->unsent = unsent;
    if (!unsent) cl->copied = 0;
    if (cl->feed) feed_see_sent(cl);
    size_t total = client_output_bytes(cl) - unsent_snapshot(cl);
    const struct output_limit *lim = &cl->w->conf.cfg->client_output_buffer_limit[client_class_of(cl)];
    if (lim->hard_bytes && total > hard_limit(cl)) {
        client_close_over_limit(cl);
        return;
    }
    if (lim->soft_bytes && total > (size_t)lim->soft_bytes) {
        if (!cl->soft_limit_ms) cl->soft_limit_ms = cl->w->now_ms;
        else if (cl->w->now_ms - cl->soft_limit_ms > lim->soft_seconds * 1000) client_close_over_limit(cl);
    } else {
        cl->soft_limit_ms = 0;
    }
    if (unsent <= STALL_BYTES / 2 && (cl->flags & CLIENT_STALLED)) {
        cl->flags &= ~(uint32_t)CLIENT_STALLED;
        client_ask_for_input(cl);
    } else if (unsent > STALL_BYTES) {
        cl->flags |= CLIENT_STALLED;
        if (cl->stalled_ms && cl->w->now_ms - cl->stalled_ms > STALL_MS) client_close_over_limit(cl);
    }
}

/* --- pushing ------------------------------------------------------------------------------------------------------ */

void client_output(struct client *cl)
{
    if (cl->flags & CLIENT_FLUSH_QUEUED) return;
    cl->flags |= CLIENT_FLUSH_QUEUED;
    cl->next_flush = cl->w->flush;
    cl->w->flush = cl;
}

/* Pieces for a push: what lies behind the first *off bytes of *at, of which both are moved on. A chunk of more than
 * PIECE_BYTES, a value that is lent, is cut: demi_pushv() takes no piece of more than INT_MAX bytes. */
static int next_pieces(struct reply_chunk **at, size_t *off, struct iovec *iov, int room)
{
    int n = 0;
    while (*at && n < room) {
        struct reply_chunk *c = *at;
        size_t left = c->used - *off, take = left < PIECE_BYTES ? left : PIECE_BYTES;
        if (take) iov[n++] = (struct iovec){c->data + *off, take};
        *off += take;
        if (*off < c->used) continue;
        *at = c->next;
        *off = 0;
    }
    return n;
}

/* Bytes that the library will have a copy of. */
static size_t to_copy(const struct reply_chunk *c)
{
    size_t bytes = 0;
    for (; c; c = c->next)
        if (c->used <= COPIED_MAX) bytes += c->used;
    return bytes;
}

/* The last push of who owes has a token. */
static int push_chunks(struct client *cl, struct reply_chunk *chunk)
{
    struct iovec iov[64];
    int err = 0;
    bool wants_token = (cl->flags & CLIENT_OWING) && !cl->push;
    struct reply_chunk *c = chunk;
    size_t off = 0;
    while (c && !err) {
        int n = next_pieces(&c, &off, iov, 64);
        demi_qtoken_t none;
        bool last = wants_token && !c;
        /* What a device of ours has taken is still kept until it is acknowledged: the token is to wait for that. */
        unsigned how = last ? 0 : DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN;
        if (n) err = demi_pushv(last ? &cl->push : &none, cl->qd, iov, n, how);
        if (err && last) cl->push = 0;
        while (chunk != c) {
            struct reply_chunk *next = chunk->next;
            reply_chunk_free(chunk);
            chunk = next;
        }
    }
    while (chunk) {
        struct reply_chunk *next = chunk->next;
        reply_chunk_free(chunk);
        chunk = next;
    }
    return err;
}

/* After a flush, or when what was flushed was sent: it is served on if it does not owe too much. */
static void settle_debt(struct client *cl)
{
    if (cl->flags & CLIENT_CLOSE_NOW) return;
    demi_unsent(cl->qd, &cl->unsent);
    if (cl->push && cl->unsent > owed_bytes(cl)) {
        client_ask_for_input(cl);
        return;
    }
    cl->flags &= ~(uint32_t)CLIENT_OWING;
    if (cl->in_off < cl->in_len) worker_ready(cl->w, cl); /* what it has sent comes first; then it is asked for more */
    else client_ask_for_input(cl);
}

/* The result of the push of a client that owes. */
void client_pushed(struct client *cl, const demi_qresult_t *qr)
{
    cl->push = 0;
    if (qr->qr_opcode != DEMI_OPC_PUSH) client_close_soon(cl);
    else if (cl->feed) client_output(cl);
    else if (cl->flags & CLIENT_OWING) settle_debt(cl);
}

void client_say(struct client *cl, struct reply *said)
{
    size_t bytes = reply_bytes(said);
    cl->w->stats.net_out += bytes;
    cl->w->stats.writes++;
    cl->net_out += bytes;
    if (push_chunks(cl, reply_take_chunks(said)) != 0) client_close_soon(cl);
}

bool client_is_stuck(const struct client *cl)
{
    return (cl->s.flags & SESSION_AUTHENTICATED) && cl->stalled_ms && cl->w->now_ms - cl->stalled_ms >= STUCK_MS;
}

bool client_is_behind(struct client *cl)
{
    demi_unsent(cl->qd, &cl->unsent);
    return cl->unsent > OWED_BYTES;
}

/* --- held for the disk -------------------------------------------------------------------------------------------- */

/* It stays queued, on the other list. */
static void hold_output(struct client *cl)
{
    cl->flags |= CLIENT_HELD;
    cl->next_flush = cl->w->held;
    cl->w->held = cl;
    cl->w->held_all++;
}

void client_forget_held(struct client *cl)
{
    struct client **at = &cl->w->held;
    while (*at != cl) at = &(*at)->next_flush;
    *at = cl->next_flush;
    cl->flags &= ~(uint32_t)(CLIENT_HELD | CLIENT_FLUSH_QUEUED);
}

void client_release_held(struct worker *w)
{
    struct client **at = &w->held;
    if (*at) demi_wake_ring(w->wake);
    while (*at) {
        struct client *cl = *at;
        if (cl->durable_at > w->durable) {
            at = &cl->next_flush;
            continue;
        }
        *at = cl->next_flush;
        cl->flags &= ~(uint32_t)(CLIENT_HELD | CLIENT_FLUSH_QUEUED);
        w->freed_all++;
        client_output(cl);
    }
}

/* What was pushed now is gone in a moment, unless something was left that had been pushed before. */
static void weigh_flushed(struct client *cl)
{
    if (cl->unsent && !(cl->flags & CLIENT_CLOSE_NOW)) demi_unsent(cl->qd, &cl->unsent);
    client_weigh(cl);
}

/* --- the end of a turn -------------------------------------------------------------------------------------------- */

/* Whose output is looked at each time; that of others every 64 KiB, and while some of it is unsent. */
#define LOOKED_AT (SESSION_PUBSUB | SESSION_MONITOR | SESSION_REPLICA | SESSION_AUTHENTICATED)

void client_flush(struct client *cl)
{
    struct worker *w = cl->w;
    if (unlikely(cl->durable_at > w->durable) && !(cl->s.flags & SESSION_PRIMARY)) {
        hold_output(cl);
        return;
    }
    cl->flags &= ~(uint32_t)CLIENT_FLUSH_QUEUED;
    size_t bytes = reply_bytes(&cl->out);
    /* Before the push: what the libOS still has now, it did not get rid of in earlier turns. */
    if (unlikely(cl->unsent || (cl->net_out ^ (cl->net_out + bytes)) >> 16 ||
                 ((cl->s.flags ^ SESSION_AUTHENTICATED) & LOOKED_AT) ||
                 (cl->flags & (CLIENT_OWING | CLIENT_WEIGHED)))) {
        client_check_output(cl);
        if (bytes && cl->unsent > owed_bytes(cl)) cl->flags |= CLIENT_OWING;
    }
    if (bytes && !(cl->flags & CLIENT_CLOSE_NOW)) {
        w->stats.net_out += bytes;
        w->stats.writes++;
        cl->net_out += bytes;
        struct reply_chunk *chunks = reply_take_chunks(&cl->out);
        if (unlikely(cl->unsent)) cl->copied += to_copy(chunks);
        if (push_chunks(cl, chunks) != 0) client_close_soon(cl);
    }
    if (unlikely(cl->feed != NULL) && !(cl->flags & CLIENT_CLOSE_NOW) && feed_push(cl) != 0) client_close_soon(cl);
    client_settle_input(cl);
    if (unlikely(cl->put_off != NULL)) client_take_put_off(cl);
    if (cl->flags & CLIENT_CLOSE_AFTER) client_close_soon(cl);
    if (likely(!(cl->flags & (CLIENT_OWING | CLIENT_WEIGHED)))) {
        client_ask_for_input(cl);
        return;
    }
    if (cl->flags & CLIENT_WEIGHED) weigh_flushed(cl);
    if (cl->flags & CLIENT_OWING) settle_debt(cl);
    else client_ask_for_input(cl);
}

/* --- what it takes ------------------------------------------------------------------------------------------------ */

struct output_held client_output_held(const struct worker *w)
{
    struct demi_mem_stats heap;
    demi_mem_counts(&heap);
    struct output_held h = {.memory = heap.held};
    list_for_each(it, &w->clients) h.unsent += list_entry(it, struct client, all)->unsent;
    return h;
}

size_t client_output_memory(const struct client *cl, const struct output_held *held)
{
    size_t bytes = 0;
    for (const struct reply_chunk *c = cl->out.head; c; c = c->next) bytes += sizeof *c + c->cap;
    if (!cl->unsent || !held->unsent) return bytes;
    bytes += cl->copied < cl->unsent ? cl->copied : cl->unsent;
    return bytes + (size_t)((double)held->memory * (double)cl->unsent / (double)held->unsent);
}

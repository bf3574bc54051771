/* SPDX-License-Identifier: MIT
 *
 * How connections end, on every libOS alike: pairs.h says where each row runs.
 */
#include "tests/demi/pairs.h"

static void push_big(struct run *r, int qd)
{
    for (uint64_t at = 0; at < BIG_BYTES; at += ARRAY_BYTES) {
        demi_qtoken_t qt;
        demi_sgarray_t sga = array_of(r, ARRAY_BYTES, at);
        TRY(r, demi_push(&qt, qd, &sga));
        demi_sgafree(&sga);
    }
}

/* Until the actor has closed, and what it sent then has arrived. */
static void rest_until_closed(struct run *r)
{
    for (int i = 0; i < 5000 && !r->closed; i++) rest(r, 2);
    rest(r, 100);
}

/* Pops until the end or an error; not at once, so that what is on its way backs up. */
static int pop_all(struct run *r, int qd)
{
    rest(r, 100);
    for (;;) {
        int what = pop(r, qd);
        if (what != DATA) return what;
    }
}

/* --- the programs of the rows ------------------------------------------------------------------------------------- */

static void see_all(struct run *r, int qd)
{
    note(r, OBSERVER, pop_all(r, qd));
    note(r, OBSERVER, pop(r, qd)); /* and it stays the end */
}

static void act_close(struct run *r, int qd)
{
    push_big(r, qd);
    closes(r, qd);
}

static void act_close_with_linger(struct run *r, int qd)
{
    struct linger soft = {1, 20};
    TRY(r, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &soft, sizeof soft));
    push_big(r, qd);
    uint64_t before = demi_clock_ns();
    closes(r, qd);
    note(r, ACTOR, demi_clock_ns() - before > 1000 * MS); /* it has not waited */
}

static void act_exit(struct run *r, int qd)
{
    push_big(r, qd);
    TRY(r, demi_exit());
}

static void act_shutdown(struct run *r, int qd)
{
    push_big(r, qd);
    TRY(r, demi_shutdown(qd, SHUT_WR));
    note(r, ACTOR, push(r, qd, 8));
    note(r, ACTOR, pop(r, qd)); /* the observer closes when it has seen all */
    closes(r, qd);
}

static void act_shutdown_and_close(struct run *r, int qd)
{
    push_big(r, qd);
    TRY(r, demi_shutdown(qd, SHUT_WR));
    closes(r, qd);
}

static void act_cancel(struct run *r, int qd)
{
    demi_qtoken_t pops[2];
    for (int i = 0; i < 2; i++) TRY(r, demi_pop(&pops[i], qd));
    closes(r, qd);
    for (int i = 0; i < 2; i++) note(r, ACTOR, outcome(r, pops[i]));
}

static void act_reset(struct run *r, int qd)
{
    rest(r, 50); /* until the observer's pops and pushes are there */
    resets(r, qd);
}

static void act_reset_after_push(struct run *r, int qd)
{
    push_big(r, qd);
    resets(r, qd);
}

static void see_reset(struct run *r, int qd)
{
    rest_until_closed(r); /* before anything is read: who reads makes room for the rest */
    note(r, OBSERVER, pop_all(r, qd) == ECONNRESET ? ECONNRESET : -100);
    note(r, OBSERVER, r->bytes < BIG_BYTES);
    note(r, OBSERVER, pop(r, qd));
}

static void see_reset_twice(struct run *r, int qd)
{
    demi_qtoken_t pops[2];
    for (int i = 0; i < 2; i++) TRY(r, demi_pop(&pops[i], qd));
    for (int i = 0; i < 2; i++) note(r, OBSERVER, outcome(r, pops[i]));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

/* More than goes: some of it waits when the reset comes. */
static void see_reset_both_ways(struct run *r, int qd)
{
    demi_qtoken_t first, last, waits;
    demi_sgarray_t sga = array_of(r, ARRAY_BYTES, 0);
    TRY(r, demi_pop(&first, qd));
    for (int i = 0; i < 200; i++) TRY(r, demi_push(&last, qd, &sga));
    demi_sgafree(&sga);
    TRY(r, demi_pop(&waits, qd));
    note(r, OBSERVER, outcome(r, first));
    note(r, OBSERVER, outcome(r, waits));
    note(r, OBSERVER, outcome(r, last));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

static void see_push_into_reset(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, push(r, qd, 8)); /* nobody has heard of it yet */
    note(r, OBSERVER, push(r, qd, 8));
    note(r, OBSERVER, pop(r, qd)); /* a reader must not take it for the end */
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

static void act_close_at_once(struct run *r, int qd) { closes(r, qd); }

static void see_push_into_closed(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8)); /* the end of a stream is no end of the other direction, */
    rest(r, 100);
    note(r, OBSERVER, push(r, qd, 8)); /* but nobody was there */
    note(r, OBSERVER, pop(r, qd));
}

/* One that has no operation: what it hears at once. */
static int push_quietly(struct run *r, int qd, size_t size)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = array_of(r, size, 0);
    struct iovec iov = {sga.sga_segs[0].sgaseg_buf, size};
    int err = demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN);
    demi_sgafree(&sga);
    return err;
}

static void see_quiet_push_into_reset(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, push_quietly(r, qd, 8)); /* a copy */
    note(r, OBSERVER, push_quietly(r, qd, ARRAY_BYTES));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push_quietly(r, qd, 8));
}

/* As an operation ends that waits for the peer, and one to an address. */
static void see_pushes_into_reset(struct run *r, int qd)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = array_of(r, 8, 0);
    rest_until_closed(r);
    note(r, OBSERVER, demi_push(&qt, qd, &sga));
    note(r, OBSERVER, demi_pushto(&qt, qd, &sga, ADDR(&r->at)));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, demi_push(&qt, qd, &sga));
    note(r, OBSERVER, demi_pushto(&qt, qd, &sga, ADDR(&r->at)));
    demi_sgafree(&sga);
}

static void see_quiet_push_into_closed(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, push_quietly(r, qd, 8));
    rest(r, 100);
    note(r, OBSERVER, push_quietly(r, qd, 8));
    note(r, OBSERVER, push_quietly(r, qd, ARRAY_BYTES));
    note(r, OBSERVER, pop(r, qd)); /* the peer's end came first, and nothing a reader wanted is lost */
    note(r, OBSERVER, pop(r, qd));
}

/* Bytes that came before the reset may be lost or not; what is read is followed by the error, not by the end. */
static void act_push_and_reset(struct run *r, int qd)
{
    note(r, ACTOR, push(r, qd, 100));
    rest(r, 100);
    resets(r, qd);
}

static void see_pop_one_before_reset(struct run *r, int qd)
{
    int what;
    rest_until_closed(r);
    note(r, OBSERVER, push_quietly(r, qd, 8));
    while ((what = pop(r, qd)) == DATA) continue;
    note(r, OBSERVER, what);
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

/* The peer has ended its direction only. */
static void act_shutdown_and_read(struct run *r, int qd)
{
    TRY(r, demi_shutdown(qd, SHUT_WR));
    r->closed = 1;
    int what;
    while ((what = pop(r, qd)) == DATA) continue;
    note(r, ACTOR, what);
    note(r, ACTOR, (int)r->bytes);
    closes(r, qd);
}

static void see_push_behind_the_end(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 251)); /* the pattern begins anew with each */
    rest(r, 50);
    note(r, OBSERVER, push_quietly(r, qd, 251));
    note(r, OBSERVER, pop(r, qd));
    TRY(r, demi_shutdown(qd, SHUT_WR));
    note(r, OBSERVER, push(r, qd, 8)); /* now it is our own end */
    rest(r, 100);
}

static void act_close_unread(struct run *r, int qd)
{
    rest(r, 100);
    closes(r, qd);
}

static void see_unread(struct run *r, int qd)
{
    note(r, OBSERVER, push(r, qd, 100));
    rest_until_closed(r);
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, pop(r, qd));
}

static void act_shutdown_read(struct run *r, int qd)
{
    TRY(r, demi_shutdown(qd, SHUT_RD));
    note(r, ACTOR, pop(r, qd));
    rest(r, 200); /* what comes meanwhile is thrown away */
    note(r, ACTOR, pop(r, qd));
    closes(r, qd);
}

static void see_shutdown_read(struct run *r, int qd)
{
    rest(r, 50);
    note(r, OBSERVER, push(r, qd, 100));
    note(r, OBSERVER, pop(r, qd));
}

static const struct row table[] = {
    {"what was pushed before a close arrives", act_close, see_all, .all = true, .sees = {END, END}},
    {"a close with linger does not wait", act_close_with_linger, see_all, .all = true, .sees = {END, END}},
    {"what was pushed before a shutdown arrives", act_shutdown, see_all, .all = true, .acts = {EPIPE, END},
     .sees = {END, END}},
    {"a close behind a shutdown cuts nothing", act_shutdown_and_close, see_all, .all = true, .sees = {END, END}},
    {"what was pushed before demi_exit() arrives", act_exit, see_all, EXITS, .all = true, .sees = {END, END}},
    {"what was pushed before the process ends arrives", push_big, see_all, RETURNS, .all = true, .sees = {END, END}},
    {"what was closed before the process ends arrives", act_close, see_all, RETURNS, .all = true, .sees = {END, END}},
    {"what was pushed before the thread ends arrives", push_big, see_all, THREAD, .all = true, .sees = {END, END}},
    {"a close cancels what is outstanding", act_cancel, see_all, .acts = {ECANCELED, ECANCELED}, .sees = {END, END}},
    {"linger 0 resets", act_reset_after_push, see_reset, .sees = {ECONNRESET, 1, END}},
    {"two pops outstanding at a reset both say so", act_reset, see_reset_twice,
     .sees = {ECONNRESET, ECONNRESET, END, EPIPE}},
    {"pops and pushes outstanding at a reset say so", act_reset, see_reset_both_ways,
     .sees = {ECONNRESET, ECONNRESET, ECONNRESET, END, EPIPE}},
    {"a push into a reset connection", act_reset, see_push_into_reset,
     .sees = {ECONNRESET, ECONNRESET, ECONNRESET, END, EPIPE}},
    {"a push to a peer that has closed", act_close_at_once, see_push_into_closed, .sees = {END, 0, EPIPE, END}},
    {"pushes without an operation into a reset connection", act_reset, see_quiet_push_into_reset,
     .sees = {ECONNRESET, ECONNRESET, ECONNRESET, END, EPIPE}},
    {"every kind of push into a reset connection", act_reset, see_pushes_into_reset,
     .sees = {ECONNRESET, ECONNRESET, ECONNRESET, EPIPE, EPIPE}},
    {"pushes without an operation to a peer that has closed", act_close_at_once, see_quiet_push_into_closed,
     .sees = {0, EPIPE, EPIPE, END, END}},
    {"a push into a connection that was reset behind bytes", act_push_and_reset, see_pop_one_before_reset,
     .sees = {ECONNRESET, ECONNRESET, END, EPIPE}},
    {"pushes to a peer that has ended its direction", act_shutdown_and_read, see_push_behind_the_end,
     .acts = {END, 502}, .sees = {END, 0, 0, END, EPIPE}},
    {"a close with bytes unread resets", act_close_unread, see_unread, .sees = {0, ECONNRESET, END}},
    {"after a shutdown for reading bytes are thrown away", act_shutdown_read, see_shutdown_read, .acts = {END, END},
     .sees = {0, END}},
};

int main(void) { return run_rows(table, sizeof table / sizeof *table); }

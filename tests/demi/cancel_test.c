/* SPDX-License-Identifier: MIT
 *
 * What demi_cancel() does to connects and accepts, on every libOS alike: pairs.h says where each row runs.
 */
#include "tests/demi/pairs.h"

#define MANY 60

/* Cancels what has not completed. Its result is there at once, without another turn of the loop, and once only. */
static int cancel(struct run *r, demi_qtoken_t qt)
{
    demi_qresult_t qr;
    int err = demi_cancel(qt);
    if (err) return err;
    if (!TRY(r, demi_wait(&qr, qt, &now))) return -100;
    if (demi_cancel(qt) != EINVAL) wrong(r, "a token that was waited for", EEXIST);
    return qr.qr_opcode == DEMI_OPC_FAILED ? (int)qr.qr_ret : 0;
}

static int new_socket(struct run *r)
{
    int qd = -1;
    TRY(r, demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    return qd;
}

static demi_qtoken_t start(struct run *r, int qd, const struct sockaddr_in *to)
{
    demi_qtoken_t qt = 0;
    TRY(r, demi_connect(&qt, qd, ADDR(to)));
    return qt;
}

static demi_qtoken_t start_accept(struct run *r, int listener)
{
    demi_qtoken_t qt = 0;
    TRY(r, demi_accept(&qt, listener));
    return qt;
}

/* The accepted queue, or an errno as a negative number. */
static int accepted(struct run *r, demi_qtoken_t qt)
{
    const struct timespec limit = {100, 0};
    demi_qresult_t qr;
    if (!TRY(r, demi_wait(&qr, qt, &limit))) return -ETIMEDOUT;
    return qr.qr_opcode == DEMI_OPC_FAILED ? -(int)qr.qr_ret : qr.qr_value.ares.qd;
}

/* The first eight bytes: DATA, or what comes in their place. */
static int pop_eight(struct run *r, int qd)
{
    int what = DATA;
    r->bytes = 0;
    while (what == DATA && r->bytes < 8) what = pop(r, qd);
    return what;
}

static void rest_until_step(struct run *r, int step)
{
    for (int i = 0; i < 10000 && r->step < step; i++) rest(r, 2);
}

static void connect_and_push(struct run *r, int qd, const struct sockaddr_in *to)
{
    note(r, ACTOR, outcome(r, start(r, qd, to)));
    note(r, ACTOR, push(r, qd, 8));
    TRY(r, demi_close(qd));
}

/* Accepts until one comes with bytes; what was cancelled may be seen, but only as a connection that was reset. */
static void see_bytes(struct run *r, int listener)
{
    for (int i = 0; i < 4 * MANY; i++) {
        int qd = accepted(r, start_accept(r, listener));
        if (qd < 0) continue;
        int what = pop_eight(r, qd);
        TRY(r, demi_close(qd));
        if (what == ECONNRESET) continue;
        note(r, OBSERVER, what);
        return;
    }
}

/* --- connects ----------------------------------------------------------------------------------------------------- */

static void act_cancel_and_connect(struct run *r, int none)
{
    struct sockaddr_in to = address_of_observer(r);
    int qd = new_socket(r);
    note(r, ACTOR, cancel(r, start(r, qd, &to)));
    connect_and_push(r, qd, &to);
}

/* Half of them when the loop has turned: they are on their way, or there. */
static void act_cancel_many(struct run *r, int none)
{
    struct sockaddr_in to = address_of_observer(r);
    int qd = new_socket(r);
    unsigned wrongs = 0;
    for (int i = 0; i < MANY; i++) {
        demi_qresult_t qr;
        demi_qtoken_t qt = start(r, qd, &to);
        if (i % 2 && !demi_wait(&qr, qt, &now)) wrongs += qr.qr_opcode != DEMI_OPC_CONNECT;
        else wrongs += cancel(r, qt) != ECANCELED;
        if (i % 3 == 0 || i % 2) { /* else on with the same */
            resets(r, qd);
            qd = new_socket(r);
        }
    }
    note(r, ACTOR, (int)wrongs);
    connect_and_push(r, qd, &to);
}

static void act_cancel_too_late(struct run *r, int none)
{
    struct sockaddr_in to = address_of_observer(r);
    int qd = new_socket(r);
    demi_qtoken_t qt = start(r, qd, &to);
    rest_until_step(r, 1);
    rest(r, 50);
    note(r, ACTOR, cancel(r, qt)); /* the result is the connection */
    note(r, ACTOR, push(r, qd, 8));
    TRY(r, demi_close(qd));
}

static void see_one(struct run *r, int listener)
{
    int qd = accepted(r, start_accept(r, listener));
    r->step = 1;
    int what;
    while ((what = pop(r, qd)) == DATA) continue;
    note(r, OBSERVER, what);
    note(r, OBSERVER, (int)r->bytes);
    TRY(r, demi_close(qd));
}

/* Nobody has answered, and later nobody hears of it. */
static void act_cancel_to_nobody(struct run *r, int none)
{
    demi_qresult_t qr;
    struct sockaddr_in to = address_of_observer(r);
    int qd = new_socket(r), other = new_socket(r);
    demi_qtoken_t qt = start(r, qd, &r->nobody), same = start(r, other, &r->nobody);
    rest(r, 300);
    note(r, ACTOR, demi_wait(&qr, qt, &now));
    note(r, ACTOR, cancel(r, qt));
    note(r, ACTOR, cancel(r, same));
    TRY(r, demi_close(other));
    note(r, ACTOR, demi_wait_batch(&qr, 1, &(int){0}, &now));
    for (int i = r->simulated ? 600 : 1; i; i--) rest(r, 100);
    connect_and_push(r, qd, &to);
}

/* It is what it was: a socket without an address. */
static void act_cancel_and_listen(struct run *r, int none)
{
    struct sockaddr_in to = address_of_observer(r), any = {.sin_family = AF_INET}, own;
    socklen_t size = sizeof own;
    int qd = new_socket(r);
    note(r, ACTOR, cancel(r, start(r, qd, &to)));
    note(r, ACTOR, demi_listen(qd, 1));
    note(r, ACTOR, demi_bind(qd, ADDR(&any)));
    TRY(r, demi_getsockname(qd, (struct sockaddr *)&own, &size));
    note(r, ACTOR, cancel(r, start(r, qd, &to)));
    note(r, ACTOR, demi_listen(qd, 1)); /* and one with one, if it had one */
    TRY(r, demi_close(qd));
    connect_and_push(r, new_socket(r), &to);
}

static void act_connect_to_dead_neighbour(struct run *r, int none)
{
    struct sockaddr_in to = address_of_observer(r);
    uint64_t before = demi_clock_ns();
    int qd = new_socket(r);
    note(r, ACTOR, outcome(r, start(r, qd, &r->nobody)));
    uint64_t ms = (demi_clock_ns() - before) / MS;
    note(r, ACTOR, ms >= 2000 && ms < 20000); /* three questions, a second each; TCP by itself: 127 s */
    connect_and_push(r, qd, &to);
}

/* --- accepts ------------------------------------------------------------------------------------------------------ */

static void act_connect_twice(struct run *r, int none)
{
    struct sockaddr_in to = address_of_observer(r);
    rest_until_step(r, 1);
    for (int i = 0; i < 2; i++) {
        int qd = new_socket(r);
        note(r, ACTOR, outcome(r, start(r, qd, &to)));
        note(r, ACTOR, push(r, qd, 8));
        note(r, ACTOR, pop(r, qd));
        TRY(r, demi_close(qd));
    }
}

static void take_one(struct run *r, demi_qtoken_t accepting)
{
    int qd = accepted(r, accepting);
    note(r, OBSERVER, qd < 0 ? qd : pop_eight(r, qd));
    TRY(r, demi_close(qd));
}

/* The first, the middle, the last, and those between get the connections. */
static void see_cancelled_accepts(struct run *r, int listener)
{
    demi_qtoken_t qts[5];
    for (int i = 0; i < 5; i++) qts[i] = start_accept(r, listener);
    for (int i = 0; i < 5; i += 2) note(r, OBSERVER, cancel(r, qts[i]));
    r->step = 1;
    take_one(r, qts[1]);
    take_one(r, qts[3]);
}

/* A connection that comes when nobody waits any more waits itself. */
static void see_accept_after_cancel(struct run *r, int listener)
{
    note(r, OBSERVER, cancel(r, start_accept(r, listener)));
    r->step = 1;
    rest(r, 200);
    take_one(r, start_accept(r, listener));
    take_one(r, start_accept(r, listener));
}

static void see_cancel_of_accepted(struct run *r, int listener)
{
    demi_qtoken_t qts[2];
    for (int i = 0; i < 2; i++) qts[i] = start_accept(r, listener);
    r->step = 1;
    rest(r, 300);
    note(r, OBSERVER, demi_cancel(qts[0])); /* it had completed: the result is the connection */
    take_one(r, qts[0]);
    take_one(r, qts[1]);
    note(r, OBSERVER, cancel(r, start_accept(r, listener)));
}

static const struct row table[] = {
    {"a cancelled connect leaves a socket that can connect", act_cancel_and_connect, see_bytes, .apart = true,
     .acts = {ECANCELED}, .sees = {DATA}},
    {"many cancelled connects leave nothing", act_cancel_many, see_bytes, .apart = true, .sees = {DATA}},
    {"a cancel that comes too late", act_cancel_too_late, see_one, .apart = true, .sees = {END, 8}},
    {"a connect that nobody answers is cancelled", act_cancel_to_nobody, see_bytes, .apart = true, .to_nobody = true,
     .acts = {ETIMEDOUT, ECANCELED, ECANCELED, ETIMEDOUT}, .sees = {DATA}},
    {"a cancelled connect leaves a socket that can listen", act_cancel_and_listen, see_bytes, .apart = true,
     .acts = {ECANCELED, EDESTADDRREQ, 0, ECANCELED}, .sees = {DATA}},
    {"a connect to a dead neighbour ends when ARP gives up", act_connect_to_dead_neighbour, see_bytes, .apart = true,
     .to_nobody = true, .to_neighbour = true, .acts = {EHOSTUNREACH, 1}, .sees = {DATA}},
    {"cancelled accepts take no connections", act_connect_twice, see_cancelled_accepts, .apart = true,
     .acts = {0, 0, END, 0, 0, END}, .sees = {ECANCELED, ECANCELED, ECANCELED, DATA, DATA}},
    {"a connection waits for the accept after a cancelled one", act_connect_twice, see_accept_after_cancel,
     .apart = true, .acts = {0, 0, END, 0, 0, END}, .sees = {ECANCELED, DATA, DATA}},
    {"an accept that has completed is not cancelled", act_connect_twice, see_cancel_of_accepted, .apart = true,
     .acts = {0, 0, END, 0, 0, END}, .sees = {0, DATA, DATA, ECANCELED}},
};

int main(void) { return run_rows(table, sizeof table / sizeof *table); }

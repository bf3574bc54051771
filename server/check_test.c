/* SPDX-License-Identifier: MIT
 *
 * That worker_check() sees what it says: one field after the other is spoilt. Clients here have no connection.
 */
#include "server/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc/base/assert_test.h"
#include "server/db/interest.h"
#include "server/exec/session_fixture.h"
#include "server/net/client.h"
#include "server/net/feed.h"
#include "server/worker.h"

#ifdef DEMI_DEBUG

static struct fixture f;
static struct client cl;

static void appended(struct journal *j) { (void)j; }
static void check(void *w) { worker_check(w); }

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    journal_init(&f.srv.journal, &f.srv, appended);
    history_init(&f.srv.history, &f.srv, appended);
    cl = (struct client){.w = &f.w};
    reply_init(&cl.out, 2);
    session_init(&cl.s, &f.w, &cl.out);
    cl.s.client = &cl;
    list_push_back(&f.w.clients, &cl.all);
    f.w.client_count = 1;
    worker_check(&f.w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    worker_check(&f.w);
    blocked_forget(&cl);
    session_fini(&cl.s);
    reply_fini(&cl.out);
    list_init(&f.w.clients);
    journal_fini(&f.srv.journal);
    history_fini(&f.srv.history);
    fixture_fini(&f);
    return 0;
}

static void test_of_a_session(void **state)
{
    (void)state;
    struct worker other = {0};
    struct reply *out = cl.s.out;
    assert_non_null(out);
    SEEN(check, &f.w, cl.s.w, &other, "s->w == w");
    struct db *db = cl.s.db;
    cl.s.db = f.dbs + FIXTURE_DBS;
    assert_is_seen(check, &f.w, "db", "s->db", __LINE__);
    cl.s.db = db;
    SEEN(check, &f.w, cl.s.out, &f.w.nowhere, "cl->s.out == &cl->out");
    SEEN(check, &f.w, cl.s.client, NULL, "cl->s.client == cl");
    SEEN(check, &f.w, cl.out.proto, 4, "s->out->proto");
    SEEN(check, &f.w, cl.out.deferred, 1, "s->out->deferred == 0");
    SEEN(check, &f.w, cl.s.flags, cl.s.flags | SESSION_DIRTY_EXEC, "s->flags & SESSION_MULTI");
    fixture_ask(&f, &cl.s, "MULTI");
    fixture_ask(&f, &cl.s, "GET k");
    worker_check(&f.w);
    SEEN(check, &f.w, cl.s.flags, cl.s.flags & ~(uint32_t)SESSION_MULTI, "multi_count(s) == 0");
    fixture_ask(&f, &cl.s, "DISCARD");
}

static void test_of_a_client(void **state)
{
    (void)state;
    struct worker other = {0};
    char text[8] = "";
    struct feed feed = {0};
    SEEN(check, &f.w, cl.w, &other, "cl->w == w");
    SEEN(check, &f.w, cl.in_off, 1, "cl->in_off <= cl->in_len");
    SEEN(check, &f.w, cl.in_len, 1, "cl->in != NULL");
    cl.in = text;
    cl.in_own = text;
    cl.in_cap = sizeof text;
    cl.in_len = sizeof text;
    worker_check(&f.w);
    SEEN(check, &f.w, cl.in_len, sizeof text + 1, "cl->in_len <= cl->in_cap");
    cl.in_sga.sga_buf = text;
    assert_is_seen(check, &f.w, "two inputs", "cl->in_own && cl->in_sga.sga_buf", __LINE__);
    cl.in_sga.sga_buf = NULL;
    cl.in = cl.in_own = NULL;
    cl.in_cap = cl.in_len = 0;
    SEEN(check, &f.w, cl.flags, cl.flags | CLIENT_BLOCKED, "cl->flags & CLIENT_BLOCKED");
    SEEN(check, &f.w, cl.flags, cl.flags | CLIENT_FLUSH_QUEUED, "CLIENT_FLUSH_QUEUED");
    SEEN(check, &f.w, cl.flags, cl.flags | CLIENT_HELD, "CLIENT_FLUSH_QUEUED");
    SEEN(check, &f.w, cl.flags, cl.flags | CLIENT_HELD | CLIENT_FLUSH_QUEUED, "cl->durable_at > w->durable");
    SEEN(check, &f.w, cl.feed, &feed, "SESSION_REPLICA");
}

static void test_of_a_worker(void **state)
{
    (void)state;
    SEEN(check, &f.w, f.w.client_count, 2, "clients == w->client_count");
    SEEN(check, &f.w, f.w.blocked_count, 1, "blocked == w->blocked_count");
    SEEN(check, &f.w, f.w.monitor_count, 1, "monitors == w->monitor_count");
    SEEN(check, &f.w, cl.s.flags, cl.s.flags | SESSION_MONITOR, "monitors == w->monitor_count");
    SEEN(check, &f.w, cl.s.flags, cl.s.flags | SESSION_REPLICA, "replicas == replicas_count(w)");
    SEEN(check, &f.w, f.w.flush, &cl, "!w->flush");
    SEEN(check, &f.w, f.w.dying, &cl, "!w->dying");
    f.w.copy = (struct full_copy *)(uintptr_t)&cl; /* not looked into: there are no replicas */
    assert_is_seen(check, &f.w, "copy", "!w->copy", __LINE__);
    f.w.copy = NULL;
}

static void test_of_the_journal(void **state)
{
    (void)state;
    struct broadcast_reader r;
    SEEN(check, &f.w, f.srv.journal.readers, 1, "list_is_empty(&j->sink.link)");
    SEEN(check, &f.w, f.srv.journal.text.bytes, 1, "j->text.bytes == 0");
    journal_read(&f.srv.journal, &r);
    worker_check(&f.w);
    SEEN(check, &f.w, f.srv.journal.readers, 0, "list_is_empty(&j->sink.link)");
    journal_reader_end(&f.srv.journal, &r);
}

static void test_of_the_history(void **state)
{
    (void)state;
    struct history *h = &f.srv.history;
    SEEN(check, &f.w, h->journal.takes_effects, false, "h->follows != h->journal.takes_effects");
    SEEN(check, &f.w, h->second_offset, 1, "h->second_offset == -1");
    SEEN(check, &f.w, h->id[3], 0, "strlen(h->id) == HISTORY_ID_SIZE - 1");
    struct broadcast_reader r;
    journal_read(&h->journal, &r);
    assert_is_seen(check, &f.w, "a reader without a backlog", "history_is_kept(h)", __LINE__);
    history_keep(h);
    journal_reader_end(&h->journal, &r);
    worker_check(&f.w);
    SEEN(check, &f.w, h->journal.text.end, h->backlog_size + HISTORY_TRIM, "b->offset + b->used == r->of->end");
    history_forget(h);
}

static void test_of_who_waits(void **state)
{
    (void)state;
    fixture_ask(&f, &cl.s, "BLPOP a b 10");
    assert_non_null(cl.blocked);
    worker_check(&f.w);
    SEEN(check, &f.w, f.w.blocked_count, 0, "blocked == w->blocked_count");
    SEEN(check, &f.w, cl.flags, cl.flags & ~(uint32_t)CLIENT_BLOCKED, "cl->flags & CLIENT_BLOCKED");
    const struct key_ref key = key_ref_of(&f.dbs[0], BYTES("a"));
    struct interest_key *k = interest_find(&f.dbs[0], &key);
    struct interest_link *link = list_entry(list_first(&k->links[INTEREST_WAIT]), struct interest_link, link);
    link->key = NULL;
    assert_is_seen(check, &f.w, "key", "b->waiters[i].link.key", __LINE__);
    link->key = k;
    struct blocked *b = cl.blocked;
    cl.blocked = NULL;
    cl.flags &= ~(uint32_t)CLIENT_BLOCKED;
    f.w.blocked_count = 0;
    assert_is_seen(check, &f.w, "a deadline without a client", "blocked_timed_count(w) <= blocked", __LINE__);
    cl.blocked = b;
    cl.flags |= CLIENT_BLOCKED;
    f.w.blocked_count = 1;
    blocked_forget(&cl);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_of_a_session),   TEST(test_of_a_client),    TEST(test_of_a_worker),
        TEST(test_of_the_journal), TEST(test_of_the_history), TEST(test_of_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_is_nothing_in_a_release(void **state)
{
    (void)state;
    worker_check(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_is_nothing_in_a_release)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif

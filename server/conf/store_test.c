/* SPDX-License-Identifier: MIT */
#include "server/conf/store.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/assert_test.h"

struct world {
    struct config first;
    const struct config *_Atomic current;
    struct conf_store store;
    struct conf_reader a, b;
};

static int set_up(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    conf_init(&w.first);
    w.current = &w.first;
    conf_store_init(&w.store, &w.current);
    conf_store_join(&w.store, &w.a);
    conf_store_join(&w.store, &w.b);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    conf_store_leave(&w->store, &w->a);
    conf_store_leave(&w->store, &w->b);
    conf_store_fini(&w->store);
    assert_ptr_equal(w->current, &w->first);
    conf_fini(&w->first);
    return 0;
}

static int set(struct world *w, const char *pairs)
{
    struct conf_args a;
    struct conf_text err = {0};
    assert_int_equal(conf_split(bytes_of_str(pairs), &a), 0);
    int rc = conf_store_set(&w->store, a.argv, a.argc / 2, true, false, &err);
    assert_int_equal(rc == 0, err.p == NULL);
    conf_text_free(&err);
    conf_args_free(&a);
    return rc;
}

static void test_a_reader_keeps_what_it_has_until_it_passes(void **state)
{
    struct world *w = *state;
    assert_int_equal(set(w, "timeout 1 dbfilename one.rdb"), 0);
    assert_true(w->a.cfg->timeout == 0 && w->current->timeout == 1);
    conf_store_pass(&w->store, &w->a);
    const struct config *one = w->a.cfg;
    assert_ptr_equal(one, w->current);
    assert_int_equal(set(w, "timeout 2 dbfilename two.rdb"), 0);
    conf_store_pass(&w->store, &w->b);
    assert_true(w->b.cfg->timeout == 2);
    assert_string_equal(one->dbfilename, "one.rdb"); /* the sanitizer's build sees when it is gone */
    assert_int_equal(w->store.replaced_count, 1);
    conf_store_pass(&w->store, &w->a);
    assert_int_equal(w->store.replaced_count, 0);
    assert_string_equal(w->a.cfg->dbfilename, "two.rdb");
}

/* A reader may have seen any that was current since it passed last, and not only the one it took. */
static void test_one_that_sleeps_keeps_all_since(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(set(w, i % 2 ? "hz 10" : "hz 20"), 0);
        conf_store_pass(&w->store, &w->a);
    }
    assert_int_equal(w->store.replaced_count, 3);
    conf_store_pass(&w->store, &w->b);
    assert_int_equal(w->store.replaced_count, 0);
}

static void test_what_waits_is_bounded(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < CONF_REPLACED_MAX; i++) assert_int_equal(set(w, "hz 20"), 0);
    const struct config *last = w->current;
    assert_int_equal(set(w, "hz 30"), -EAGAIN);
    assert_ptr_equal(w->current, last);
    assert_true(last->hz == 20);
    conf_store_pass(&w->store, &w->a);
    assert_int_equal(set(w, "hz 30"), -EAGAIN);
    conf_store_pass(&w->store, &w->b);
    assert_int_equal(set(w, "hz 30"), 0);
}

static void test_a_reader_that_leaves_holds_nothing_up(void **state)
{
    struct world *w = *state;
    assert_int_equal(set(w, "hz 20"), 0);
    conf_store_pass(&w->store, &w->a);
    assert_int_equal(w->store.replaced_count, 1);
    conf_store_leave(&w->store, &w->b);
    assert_int_equal(w->store.replaced_count, 0);
    conf_store_join(&w->store, &w->b);
    assert_true(w->b.cfg->hz == 20);
}

static int applied[8], applied_count;

static int apply_timeout(struct server *srv, const struct config *next, const char **err)
{
    applied[applied_count++ & 7] = (int)next->timeout;
    return 0;
}

static int apply_port(struct server *srv, const struct config *next, const char **err)
{
    *err = "in use";
    return next->port == 1 ? -EADDRINUSE : 0;
}

static const struct conf_hook hooks[] = {{.option = "timeout", .apply = apply_timeout},
                                         {.option = "port", .apply = apply_port}};

static void test_a_refused_change_publishes_nothing(void **state)
{
    struct world *w = *state;
    conf_register(&w->first, hooks, 2, NULL);
    assert_int_equal(set(w, "timeout 5"), 0);
    conf_store_pass(&w->store, &w->a);
    conf_store_pass(&w->store, &w->b);
    const struct config *now = w->current;
    struct config bytes = *now;
    applied_count = 0;
    assert_int_equal(set(w, "dbfilename x timeout 6 port 1 hz 20"), -EINVAL); /* the third of four */
    assert_ptr_equal(w->current, now);
    assert_memory_equal(&bytes, now, sizeof bytes);
    assert_int_equal(applied_count, 2); /* applied, and again with what stayed */
    assert_int_equal(applied[0], 6);
    assert_int_equal(applied[1], 5);
    assert_int_equal(w->store.replaced_count, 0);
    assert_int_equal(set(w, "port 2 hz 99999999999999999999"), -EINVAL);
    assert_memory_equal(&bytes, now, sizeof bytes);
}

static void join(void *w) { conf_store_join(&((struct world *)w)->store, &((struct world *)w)->a); }
static void leave(void *w) { conf_store_leave(&((struct world *)w)->store, &((struct world *)w)->a); }
static void pass(void *w) { conf_store_pass(&((struct world *)w)->store, &((struct world *)w)->a); }

static void test_who_joins_twice_or_leaves_twice_is_seen(void **state)
{
    struct world *w = *state;
    assert_is_seen(join, w, "a second join", "!r->cfg", __LINE__);
    leave(w);
    assert_is_seen(leave, w, "a second leave", "r->cfg", __LINE__);
    assert_is_seen(pass, w, "a pass after it left", "r->cfg", __LINE__);
    join(w);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

enum { CHANGES = 300 };

struct thread {
    struct world *w;
    struct conf_reader reader;
    atomic_bool *over;
    unsigned seen, wrong;
};

/* A worker as worker_run() does it. The two options always change together. */
static void *reads(void *arg)
{
    struct thread *t = arg;
    conf_store_join(&t->w->store, &t->reader);
    while (!atomic_load(t->over)) {
        if (t->w->current != t->reader.cfg) {
            conf_store_pass(&t->w->store, &t->reader);
            t->seen++;
        }
        const struct config *own = t->reader.cfg, *shared = t->w->current;
        t->wrong += (int64_t)strlen(own->dbfilename) != own->timeout + 4;
        t->wrong += (int64_t)strlen(shared->dbfilename) != shared->timeout + 4;
    }
    conf_store_leave(&t->w->store, &t->reader);
    return NULL;
}

static void test_two_workers_and_who_changes(void **state)
{
    struct world *w = *state;
    conf_store_leave(&w->store, &w->b);
    assert_int_equal(set(w, "timeout 4 dbfilename dump.rdb"), 0);
    conf_store_pass(&w->store, &w->a);
    atomic_bool over = false;
    struct thread t[2] = {{.w = w, .over = &over}, {.w = w, .over = &over}};
    pthread_t id[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&id[i], NULL, reads, &t[i]), 0);
    for (int i = 0, done = 0; done < CHANGES; i++) {
        int rc = set(w, i % 2 ? "timeout 1 dbfilename a.rdb" : "timeout 7 dbfilename seventh.rdb");
        assert_true(rc == 0 || rc == -EAGAIN);
        done += rc == 0;
        conf_store_pass(&w->store, &w->a);
        if (rc) sched_yield();
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(id[i], NULL);
        assert_int_equal(t[i].wrong, 0);
    }
    assert_int_equal(w->store.replaced_count, 0);
    conf_store_join(&w->store, &w->b);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_a_reader_keeps_what_it_has_until_it_passes),
        T(test_one_that_sleeps_keeps_all_since),
        T(test_what_waits_is_bounded),
        T(test_a_reader_that_leaves_holds_nothing_up),
        T(test_who_joins_twice_or_leaves_twice_is_seen),
        T(test_a_refused_change_publishes_nothing),
        T(test_two_workers_and_who_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

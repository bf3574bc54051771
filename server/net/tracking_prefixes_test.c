/* SPDX-License-Identifier: MIT
 *
 * Which prefixes overlap, against a comparison of each with each; and what is told of changes, by a client that reads
 * its output.
 */
#include "server/exec/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "server/net/tracking_prefixes.h"

#define PREFIXES 12

static struct fixture f;
static struct client cl;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    client_index_init(&f.w);
    memset(&cl, 0, sizeof cl);
    cl.w = &f.w;
    cl.id = 7;
    reply_init(&cl.out, 3);
    session_init(&cl.s, &f.w, &cl.out);
    cl.s.client = &cl;
    f.w.call.session = &cl.s;
    f.w.call.client = &cl;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tracking_stop(&cl);
    reply_fini(&cl.out);
    f.w.flush = NULL;
    client_index_fini(&f.w);
    fixture_fini(&f);
    return 0;
}

static bool one_begins_with_the_other(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    return !n || memcmp(a.p, b.p, n) == 0;
}

/* As redis-server looks for it: the first that overlaps with one that is there, or with one behind it. */
static bool model(const struct bytes *old, size_t old_count, const struct bytes *v, size_t count, size_t *at)
{
    for (size_t i = 0; i < count; i++) {
        *at = i;
        for (size_t k = 0; k < old_count; k++)
            if (one_begins_with_the_other(old[k], v[i])) return true;
        for (size_t k = i + 1; k < count; k++)
            if (one_begins_with_the_other(v[k], v[i])) return true;
    }
    return false;
}

static void draw(struct rng *rng, char (*text)[8], struct bytes *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = rng_below(rng, 6);
        for (size_t k = 0; k < n; k++) text[i][k] = (char)('a' + rng_below(rng, 3));
        v[i] = bytes_of(text[i], n);
    }
}

static void test_overlaps_are_found_as_redis_finds_them(void **state)
{
    (void)state;
    struct rng rng;
    unsigned refused = 0, taken = 0;
    rng_seed(&rng, 3);
    for (unsigned round = 0; round < 20000; round++) {
        char text[PREFIXES][8], more_text[PREFIXES][8];
        struct bytes old[PREFIXES], v[PREFIXES];
        size_t old_count = rng_below(&rng, 4), count = 1 + rng_below(&rng, 4), at = 0;
        struct prefix_overlap found, none;
        draw(&rng, text, old, old_count);
        draw(&rng, more_text, v, count);
        tracking_stop(&cl);
        if (prefixes_overlap(&cl, old, old_count, &none)) continue;
        if (old_count) tracking_start(&f.w.call, 0, TRACKING_BCAST, old, old_count);
        bool overlap = model(old, old_count, v, count, &at);
        assert_int_equal(prefixes_overlap(&cl, v, count, &found), overlap);
        overlap ? refused++ : taken++;
        if (!overlap) continue;
        assert_int_equal(found.at, at);
        assert_true(one_begins_with_the_other(v[at], found.with_old ? found.old : v[found.at2]));
    }
    assert_in_range(refused, 1000, 20000);
    assert_in_range(taken, 1000, 20000);
}

static const char *told(void)
{
    static char text[4096];
    tracking_end_turn(&f.w);
    size_t n = reply_bytes(&cl.out);
    assert_true(n < sizeof text);
    reply_copy_out(&cl.out, text);
    text[n] = 0;
    reply_reset(&cl.out);
    return text;
}

static void change(const char *name, uint64_t by)
{
    struct key_ref key = key_ref_of(&f.dbs[0], bytes_of_str(name));
    prefixes_note(f.srv.tracking, &f.w, &key, by);
}

static void test_each_prefix_tells_its_names_once_and_in_order(void **state)
{
    (void)state;
    struct bytes prefixes[] = {BYTES("user:"), BYTES("a")};
    tracking_start(&f.w.call, 0, TRACKING_BCAST, prefixes, 2);
    assert_string_equal(told(), "");
    change("user:2", 0), change("other", 0), change("user:1", 0), change("user:2", 0), change("a", 0), change("use", 0);
    assert_string_equal(told(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
                                ">2\r\n$10\r\ninvalidate\r\n*2\r\n$6\r\nuser:1\r\n$6\r\nuser:2\r\n");
    assert_string_equal(told(), "");
}

static void test_noloop_leaves_out_what_one_changed_last_oneself(void **state)
{
    (void)state;
    tracking_start(&f.w.call, 0, TRACKING_BCAST | TRACKING_NOLOOP, NULL, 0);
    change("a", 7), change("b", 8), change("c", 8), change("c", 7), change("d", 7), change("d", 8);
    assert_string_equal(told(), ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nb\r\n$1\r\nd\r\n");
    change("a", 7);
    assert_string_equal(told(), "");
    /* By nobody (its time had come), or by a script. */
    change("a", 0);
    assert_string_equal(told(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
}

static void test_much_is_told_before_the_turn_is_over(void **state)
{
    (void)state;
    tracking_start(&f.w.call, 0, TRACKING_BCAST, NULL, 0);
    char name[1001];
    memset(name, 'x', sizeof name);
    name[1000] = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, 8, "%06u", i);
        name[6] = 'x';
        change(name, 0);
        assert_false(prefixes_are_many(f.srv.tracking));
    }
    for (unsigned i = 1000; i < 1100; i++) {
        snprintf(name, 8, "%06u", i);
        name[6] = 'x';
        change(name, 0);
    }
    assert_true(prefixes_are_many(f.srv.tracking));
    prefixes_broadcast(&f.w, f.srv.tracking, NULL);
    assert_false(prefixes_are_many(f.srv.tracking));
    assert_in_range(reply_bytes(&cl.out), 1100 * 1000, 1100 * 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_overlaps_are_found_as_redis_finds_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_prefix_tells_its_names_once_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_noloop_leaves_out_what_one_changed_last_oneself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_much_is_told_before_the_turn_is_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

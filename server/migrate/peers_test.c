/* SPDX-License-Identifier: MIT */
#include "server/migrate/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "demi/ext.h"
#include "demi/libos.h"

static struct bytes word(const char *s) { return bytes_of_str(s); }

/* As if it had been connected. */
static struct peer_entry *take_open(struct peers *p, const char *host, const char *port)
{
    struct peer_entry *e = peers_take(p, word(host), word(port));
    if (!link_is_open(&e->link)) assert_int_equal(demi_queue(&e->link.qd), 0);
    return e;
}

static void test_an_open_link_is_kept_for_its_name_alone(void **state)
{
    struct peers p;
    peers_init(&p);
    struct peer_entry *a = take_open(&p, "h", "1");
    assert_true(a->db == -1);
    a->db = 3;
    peers_give(&p, a, 0);
    assert_ptr_equal(peers_take(&p, word("h"), word("1")), a);
    assert_true(a->db == 3);
    struct peer_entry *second = take_open(&p, "h", "1"); /* the first is busy */
    assert_ptr_not_equal(second, a);
    peers_give(&p, a, 0);
    peers_give(&p, second, 0);
    static const char *const others[][2] = {{"h", "11"}, {"h1", ""}, {"", "h1"}, {"H", "1"}};
    for (size_t i = 0; i < 4; i++) {
        struct peer_entry *e = peers_take(&p, word(others[i][0]), word(others[i][1]));
        assert_false(link_is_open(&e->link));
        peers_give(&p, e, 0); /* closed: not kept */
    }
    assert_int_equal(p.count, 2);
    peers_close_all(&p);
    assert_int_equal(p.count, 0);
}

static void test_the_one_that_was_idle_for_longest_makes_room(void **state)
{
    struct peers p;
    char port[16];
    peers_init(&p);
    struct peer_entry *busy = take_open(&p, "busy", "0");
    for (int i = 1; i < PEERS_MAX; i++) {
        snprintf(port, sizeof port, "%d", i);
        peers_give(&p, take_open(&p, "h", port), i);
    }
    peers_give(&p, take_open(&p, "h", "1"), 1000); /* 2 is the oldest now */
    peers_give(&p, take_open(&p, "h", "new"), 1001);
    assert_int_equal(p.count, PEERS_MAX);
    struct peer_entry *one = peers_take(&p, word("h"), word("1"));
    assert_true(link_is_open(&one->link));
    struct peer_entry *two = peers_take(&p, word("h"), word("2"));
    assert_false(link_is_open(&two->link));
    peers_give(&p, one, 1002);
    peers_give(&p, two, 1002);
    peers_give(&p, busy, 1002);
    peers_close_all(&p);
    assert_int_equal(p.count, 0);
}

static void test_none_is_idle_for_long(void **state)
{
    struct peers p;
    peers_init(&p);
    struct peer_entry *busy = take_open(&p, "busy", "0");
    peers_give(&p, take_open(&p, "h", "1"), 0);
    peers_give(&p, take_open(&p, "h", "2"), 1);
    peers_close_idle(&p, PEERS_IDLE_MS);
    assert_int_equal(p.count, 3);
    peers_close_idle(&p, PEERS_IDLE_MS + 1);
    assert_int_equal(p.count, 2);
    peers_close_idle(&p, 0); /* the clock was set back */
    assert_int_equal(p.count, 1);
    peers_close_all(&p);
    assert_int_equal(p.count, 1);
    assert_false(link_is_open(&busy->link));
    peers_give(&p, busy, 0);
    assert_int_equal(p.count, 0);
}

int main(void)
{
    if (demi_init_with("posix", NULL) != 0) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_open_link_is_kept_for_its_name_alone),
        cmocka_unit_test(test_the_one_that_was_idle_for_longest_makes_room),
        cmocka_unit_test(test_none_is_idle_for_long),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    demi_exit();
    return failed;
}

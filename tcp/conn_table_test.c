/* SPDX-License-Identifier: MIT */
#include "tcp/peer_test.h"

#include <stdlib.h>

#define MANY 5000u

static struct conn *make(struct rng *r, bool v6)
{
    struct conn *c = calloc(1, sizeof *c);
    c->local.addr = peer_addr(1);
    c->remote.addr = peer_addr((unsigned)rng_below(r, 200));
    if (v6) {
        c->local.addr.q[0] = 1;
        c->remote.addr.q[0] = rng_below(r, 3);
        c->flags = CF_V6;
    }
    c->local.port = (uint16_t)rng_below(r, 4);
    c->remote.port = (uint16_t)rng_u64(r);
    c->ports = conn_ports(c->local.port, c->remote.port);
    return c;
}
static uint32_t hash_of(const struct conn *c, uint64_t seed)
{
    return conn_hash(seed, &c->local.addr, &c->remote.addr, c->ports);
}
static struct conn *find(const struct conn_table *t, const struct conn *c, uint64_t seed)
{
    return conn_table_find(t, hash_of(c, seed), &c->local.addr, &c->remote.addr, c->ports);
}

static void test_what_was_put_in_is_found_until_it_is_taken_out(void **state)
{
    static struct conn *all[MANY];
    struct rng r;
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct conn_table t;
        unsigned count = 0;
        rng_seed(&r, seed);
        assert_int_equal(conn_table_init(&t), 0);
        for (unsigned i = 0; i < MANY; i++) {
            all[i] = make(&r, i & 1);
            if (find(&t, all[i], seed)) { /* the same four-tuple again */
                free(all[i]);
                all[i] = NULL;
                continue;
            }
            assert_int_equal(conn_table_insert(&t, hash_of(all[i], seed), all[i]), 0);
            count++;
            if (rng_below(&r, 3) == 0) { /* holes in clusters */
                unsigned k = (unsigned)rng_below(&r, i + 1);
                if (!all[k]) continue;
                conn_table_remove(&t, hash_of(all[k], seed), all[k]);
                assert_null(find(&t, all[k], seed));
                free(all[k]);
                all[k] = NULL;
                count--;
            }
        }
        assert_int_equal(t.count, count);
        for (unsigned i = 0; i < MANY; i++) {
            if (!all[i]) continue;
            assert_ptr_equal(find(&t, all[i], seed), all[i]);
            uint64_t key = (uint64_t)all[i]->local.addr.w[3] << 32 | all[i]->remote.addr.w[3];
            if (!(all[i]->flags & CF_V6))
                assert_ptr_equal(conn_table_find4(&t, conn_hash4(seed, key, all[i]->ports), key, all[i]->ports),
                                 all[i]);
            conn_table_remove(&t, hash_of(all[i], seed), all[i]);
            free(all[i]);
        }
        assert_int_equal(t.count, 0);
        conn_table_fini(&t);
    }
}

/* Seeds decide where a four-tuple lies: what collides under one does not under another. */
static void test_the_seed_decides_what_collides(void **state)
{
    struct rng r;
    unsigned same = 0, pairs = 0;
    const uint64_t one = 0x243f6a8885a308d3u, other = 0x13198a2e03707344u; /* digits of pi; a stack's are random */
    rng_seed(&r, 5);
    struct conn *first = make(&r, false);
    for (unsigned i = 0; i < 200000; i++) {
        struct conn *c = make(&r, false);
        if ((hash_of(c, one) & 255) == (hash_of(first, one) & 255)) {
            pairs++;
            same += (hash_of(c, other) & 255) == (hash_of(first, other) & 255);
        }
        free(c);
    }
    assert_true(pairs > 500 && pairs < 1100); /* 781 are to be expected */
    assert_true(same < pairs / 20);
    free(first);
}

/* The peer's prefix and our own address hold the words the hash is made with: no factor is voided by them. */
static void test_no_address_is_all_the_hash_there_is(void **state)
{
    enum { PEERS = 4096 };
    static uint8_t seen[1 << 16];
    static const uint64_t words[] = {0, 1, UINT64_MAX, HASH_K0, HASH_K1, HASH_K2, HASH_K3};
    enum { WORDS = sizeof words / sizeof *words };
    struct rng r;
    rng_seed(&r, 11);
    for (unsigned v = 0; v < WORDS * WORDS * 2; v++) {
        struct ip_addr local = {.q = {1, words[v % WORDS]}}, remote = {.q = {words[v / WORDS % WORDS]}};
        uint64_t seed = rng_u64(&r);
        unsigned meet = 0;
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < PEERS; i++) {
            remote.q[1] = v < WORDS * WORDS ? i : i << 40;
            uint32_t h = conn_hash(seed, &local, &remote, 4711);
            meet += seen[h & 0xffff]++ > 0;
        }
        assert_in_range(meet, 0, 128 + 6 * 12); /* 125 are to be expected */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_put_in_is_found_until_it_is_taken_out),
        cmocka_unit_test(test_the_seed_decides_what_collides),
        cmocka_unit_test(test_no_address_is_all_the_hash_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

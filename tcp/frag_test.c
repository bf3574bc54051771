/* SPDX-License-Identifier: MIT
 *
 * Reassembly against pieces made by hand: overlaps, floods, lies about length, and whole datagrams in every order; and
 * what we cut ourselves.
 */
#include "tcp/frag.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/ip6.h"
#include "tcp/nd.h"
#include "tcp/wire_test.h"

struct host {
    struct wire w;
    struct net_stack *s;
    struct udp_sock *u;
    uint8_t datagram[4096]; /* UDP, 8 + 1592 bytes */
    size_t size;
    bool v6;
};

static const char *const SRC4 = "10.0.0.9", *const DST4 = "10.0.0.1", *const SRC6 = "2001:db8::9",
                         *const DST6 = "2001:db8::1";

static struct ip_addr src(const struct host *h) { return ip(h->v6 ? SRC6 : SRC4); }
static struct ip_addr dst(const struct host *h) { return ip(h->v6 ? DST6 : DST4); }

static void host_begin(struct host *h, bool v6)
{
    *h = (struct host){.v6 = v6};
    h->s = wire_add4(&h->w);
    struct ip_addr six = ip(DST6);
    OK(stack_add_address(h->s, &six, 64, true));
    struct ip_port local = {.port = 9};
    OK(udp_open(h->s, &local, false, false, NULL, &h->u));
    uint8_t text[1592];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * 7 + i / 256);
    h->size = make_udp(h->datagram, src(h), 5, dst(h), 9, text, sizeof text);
}

/* Bytes [from, from + n) of the datagram. */
static void put_piece(struct host *h, uint32_t id, size_t from, size_t n, bool more, const uint8_t *bytes)
{
    uint8_t frame[4200], body[4200];
    size_t len;
    if (h->v6) {
        struct ip6_frag f = {.next = IPPROTO_UDP, .offset_more = be16_of(from | more), .id = be32_of(id)};
        memcpy(body, &f, 8);
        memcpy(body + 8, bytes, n);
        len = make_ip6(frame, h->s->conf.mac, src(h), dst(h), IPPROTO_FRAGMENT, 64, body, n + 8);
    } else {
        len = make_ip4(frame, h->s->conf.mac, src(h), dst(h), IPPROTO_UDP, (uint16_t)(from / 8 | (more ? IP4_MF : 0)),
                       bytes, n);
        ((struct ip4_hdr *)(frame + 14))->id = be16_of(id);
        fix_ip4(frame);
    }
    input_bytes(h->s, frame, len, h->w.now);
}
static void put(struct host *h, uint32_t id, size_t from, size_t to)
{
    put_piece(h, id, from, to - from, to < h->size, h->datagram + from);
}

static bool hears(struct host *h)
{
    struct ip_port from;
    int err;
    struct buf *b = udp_pop(h->u, &from, &err);
    if (!b) return false;
    assert_int_equal(b->len, h->size - 8);
    assert_memory_equal(b->data, h->datagram + 8, b->len);
    buf_unref(b);
    return true;
}

static void test_an_overlap_ends_the_datagram_and_all_that_comes_of_it(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct host h;
        host_begin(&h, v6);
        static const size_t overlaps[][2] = {{0, 808}, {792, 808}, {1592, 1600}, {400, 1200}};
        for (uint32_t i = 0; i < 4; i++) {
            put(&h, i, 0, 800);
            put(&h, i, 1200, 1600);
            uint64_t before = h.s->n.drop_frag_overlap;
            put(&h, i, overlaps[i][0], overlaps[i][1]);
            assert_int_equal(h.s->n.drop_frag_overlap, before + 3);
            put(&h, i, 800, 1200);
            put(&h, i, 0, 800);
            put(&h, i, 1200, 1600);
            assert_false(hears(&h));
            assert_int_equal(h.s->n.drop_frag_overlap, before + 6);
        }
        /* An exact copy is none; one with other bytes is. */
        put(&h, 9, 0, 800);
        put(&h, 9, 0, 800);
        put(&h, 9, 800, 1600);
        assert_true(hears(&h));
        put(&h, 10, 0, 800);
        uint8_t other[800];
        memcpy(other, h.datagram, 800);
        other[700] ^= 1;
        put_piece(&h, 10, 0, 800, true, other);
        put(&h, 10, 800, 1600);
        assert_false(hears(&h));
        wire_end(&h.w);
    }
}

static void test_pieces_that_lie_about_length_are_refused(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct host h;
        host_begin(&h, v6);
        put_piece(&h, 1, 0, 13, true, h.datagram);       /* no multiple of 8 */
        put_piece(&h, 1, 65528, 800, false, h.datagram); /* beyond 65,535 */
        put_piece(&h, 1, 0, 0, true, h.datagram);
        assert_int_equal(h.s->n.drop_frag_bad, 3);
        put(&h, 2, 800, 1600);
        put_piece(&h, 2, 1600, 8, true, h.datagram); /* behind the last */
        assert_int_equal(h.s->n.drop_frag_bad, 5);
        put(&h, 3, 800, 1600);
        put_piece(&h, 3, 8, 400, false, h.datagram); /* another last one */
        assert_int_equal(h.s->n.drop_frag_bad, 7);
        put(&h, 4, 800, 1600);
        put_piece(&h, 4, 400, 16, false, h.datagram);
        put(&h, 4, 0, 400);
        assert_false(hears(&h));
        wire_end(&h.w);
    }
}

static void test_memory_is_bounded_whatever_comes(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct host h;
        host_begin(&h, v6);
        size_t before = heap_used();
        for (uint32_t id = 0; id < 200; id++) /* FragmentSmack: tiny, never whole */
            for (size_t at = 8; at < 800; at += 16) put_piece(&h, id, at, 8, true, h.datagram + at);
        assert_true(heap_used() - before < 2u << 20);
        assert_true(h.s->n.drop_frag_bound > 0);
        put(&h, 5000, 0, 800);
        put(&h, 5000, 800, 1600);
        assert_true(hears(&h)); /* and one in the middle of it still arrives */
        for (size_t at = 0; at < 1000; at += 8) put_piece(&h, 6000, at, 8, true, h.datagram + at);
        put(&h, 6000, 1000, 1600);
        assert_false(hears(&h)); /* too many pieces */
        wire_until(&h.w, h.w.now + 61 * SECOND);
        /* what is left are sockets, neighbours' answers and the like, no pieces */
        assert_true(heap_used() - before < 64u << 10);
        assert_true(h.s->n.drop_frag_timeout > 0);
        wire_end(&h.w);
    }
}

static void test_whole_datagrams_come_out_of_any_order(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct host h;
        host_begin(&h, v6);
        struct rng r;
        rng_seed(&r, 11);
        for (uint32_t id = 0; id < 500; id++) {
            size_t cuts[64], n = 0;
            for (size_t at = 0; at < h.size && n < 60;) {
                cuts[n++] = at;
                at += 8 * (1 + rng_below(&r, 40));
            }
            cuts[n] = h.size;
            unsigned order[64];
            for (unsigned i = 0; i < n; i++) {
                unsigned j = (unsigned)rng_below(&r, i + 1);
                order[i] = order[j];
                order[j] = i;
            }
            for (unsigned i = 0; i < n; i++) {
                assert_false(hears(&h));
                put(&h, id, cuts[order[i]], cuts[order[i] + 1]);
            }
            assert_true(hears(&h));
        }
        assert_int_equal(h.s->n.frag_done, 500);
        wire_end(&h.w);
    }
}

static void test_time_is_up_is_said_if_the_first_piece_came(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct host h;
        host_begin(&h, v6);
        struct ip_addr peer = src(&h);
        OK(stack_add_neighbour(h.s, &peer, (const uint8_t *)"\x02\x00\x00\x00\x00\x99"));
        put(&h, 1, 800, 1600);
        wire_until(&h.w, h.w.now + 61 * SECOND);
        assert_int_equal(h.s->n.icmp_tx, 0);
        put(&h, 2, 0, 800);
        wire_until(&h.w, h.w.now + 61 * SECOND);
        assert_int_equal(h.s->n.icmp_tx, 1);
        const uint8_t *icmp = h.w.last + (v6 ? 54 : 34);
        assert_int_equal(icmp[0], v6 ? 3 : 11);
        assert_int_equal(icmp[1], 1);
        assert_memory_equal(icmp + 8 + (v6 ? 48 : 20), h.datagram, 8);
        wire_end(&h.w);
    }
}

static void test_ecn_marks_survive_and_must_agree(void **state)
{
    struct host h;
    host_begin(&h, false);
    uint8_t frame[2000];
    for (unsigned i = 0; i < 2; i++) { /* ECT beside CE is fine; not-ECT beside CE is not */
        size_t n = make_ip4(frame, h.s->conf.mac, src(&h), dst(&h), IPPROTO_UDP, IP4_MF, h.datagram, 800);
        frame[15] = 3;
        frame[19] = (uint8_t)i;
        fix_ip4(frame);
        input_bytes(h.s, frame, n, h.w.now);
        n = make_ip4(frame, h.s->conf.mac, src(&h), dst(&h), IPPROTO_UDP, 100, h.datagram + 800, 800);
        frame[15] = i ? 0 : 2;
        frame[19] = (uint8_t)i;
        fix_ip4(frame);
        input_bytes(h.s, frame, n, h.w.now);
        assert_int_equal(hears(&h), i == 0);
    }
    wire_end(&h.w);
}

static void test_large_datagrams_are_cut_and_put_together_again(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct ip_addr six_a = ip("2001:db8::1"), six_b = ip("2001:db8::2");
    OK(stack_add_address(a, &six_a, 64, true));
    OK(stack_add_address(b, &six_b, 64, true));
    struct udp_sock *ua, *ub;
    struct ip_port any = {.port = 0}, local = {.port = 9};
    OK(udp_open(a, &any, false, false, NULL, &ua));
    OK(udp_open(b, &local, false, false, NULL, &ub));
    static const size_t sizes[] = {1452, 1453, 1472, 1473, 1480, 2952, 2953, 20000, 65507};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int v6 = 0; v6 < 2; v6++) {
            struct buf *big = buf_take(sizes[i]);
            uint8_t *p = buf_put_back(big, sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++) p[k] = (uint8_t)(k * 31 + (k >> 8));
            struct buf *kept = buf_slice(big, 0, sizes[i]);
            struct ip_port to = at(v6 ? "2001:db8::2" : "10.0.0.2", 9), from;
            OK(udp_push(ua, big, &to, false));
            wire_run(&w);
            int err;
            struct buf *got = udp_pop(ub, &from, &err);
            assert_non_null(got);
            assert_int_equal(got->len, sizes[i]);
            assert_memory_equal(got->data, kept->data, sizes[i]);
            buf_unref(got);
            buf_unref(kept);
        }
    assert_int_equal(b->n.drop_udp_checksum, 0);
    assert_true(a->n.frag_tx > 0);
    struct buf *too_big = buf_take(65508);
    buf_put_back(too_big, 65508);
    struct ip_port to = at("10.0.0.2", 9);
    assert_int_equal(udp_push(ua, too_big, &to, false), -EMSGSIZE);
    buf_unref(too_big);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_overlap_ends_the_datagram_and_all_that_comes_of_it),
        cmocka_unit_test(test_pieces_that_lie_about_length_are_refused),
        cmocka_unit_test(test_memory_is_bounded_whatever_comes),
        cmocka_unit_test(test_whole_datagrams_come_out_of_any_order),
        cmocka_unit_test(test_time_is_up_is_said_if_the_first_piece_came),
        cmocka_unit_test(test_ecn_marks_survive_and_must_agree),
        cmocka_unit_test(test_large_datagrams_are_cut_and_put_together_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

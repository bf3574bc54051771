/* SPDX-License-Identifier: MIT
 *
 * The neighbour cache and ARP: whom it believes, whom it makes room for, and that nobody outside pushes out whom we
 * talk to.
 */
#include "tcp/neighbour.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/arp.h"
#include "tcp/path.h"
#include "tcp/tcp.h"
#include "tcp/wire_test.h"

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0x99}, other_mac[6] = {2, 0, 0, 0, 0, 0x77};

static size_t make_arp(uint8_t *out, const uint8_t *to, uint16_t op, const uint8_t *mac, const char *src,
                       const char *dst)
{
    memset(out, 0, 60);
    struct eth_hdr *e = (void *)out;
    memcpy(e->dst, to, 6);
    memcpy(e->src, mac, 6);
    e->type = be16_of(ETH_TYPE_ARP);
    struct arp_hdr *h = (void *)(e + 1);
    *h = (struct arp_hdr){.hw = be16_of(1),
                          .proto = be16_of(ETH_TYPE_IP4),
                          .hw_len = 6,
                          .proto_len = 4,
                          .op = be16_of(op),
                          .src_ip = ip(src).w[3],
                          .dst_ip = ip(dst).w[3]};
    memcpy(h->src_mac, mac, 6);
    return 60;
}

static void arp(struct wire *w, bool broadcast, uint16_t op, const uint8_t *mac, const char *src, const char *dst)
{
    static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
    uint8_t frame[60];
    size_t n = make_arp(frame, broadcast ? all : w->stacks[0]->conf.mac, op, mac, src, dst);
    input_bytes(w->stacks[0], frame, n, w->now);
    wire_run(w);
}

static struct neighbour *find(struct net_stack *s, const char *text)
{
    struct ip_addr a = ip(text);
    return neighbour_find(s, &a);
}

static struct net_stack *add_small(struct wire *w, unsigned neighbours)
{
    struct stack_config c = wire_conf(0);
    c.limits.neighbours = neighbours;
    struct net_stack *s = wire_add(w, &c);
    struct ip_addr a = ip("10.0.0.1");
    OK(stack_add_address(s, &a, 8, true));
    return s;
}

static struct udp_sock *socket_of(struct net_stack *s)
{
    struct udp_sock *u;
    struct ip_port any = {.port = 0};
    OK(udp_open(s, &any, false, false, NULL, &u));
    return u;
}

static void test_malformed_arp_is_dropped(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    uint8_t frame[60];
    uint64_t dropped = 0;
    static const size_t wrong[] = {14, 16, 18, 19, 20, 21}; /* hardware, protocol, their lengths, operation */
    for (size_t i = 0; i < 6; i++) {
        make_arp(frame, s->conf.mac, 1, peer_mac, "10.0.0.9", "10.0.0.1");
        frame[wrong[i]] ^= 0x10;
        input_bytes(s, frame, 60, w.now);
        assert_int_equal(s->n.drop_arp, ++dropped);
    }
    /* a group as sender */
    make_arp(frame, s->conf.mac, 1, (const uint8_t *)"\x03\x00\x00\x00\x00\x01", "10.0.0.9", "10.0.0.1");
    input_bytes(s, frame, 60, w.now);
    assert_int_equal(s->n.drop_arp, ++dropped);
    make_arp(frame, s->conf.mac, 1, peer_mac, "10.0.0.9", "10.0.0.1");
    for (size_t n = 22; n < 42; n++) {
        input_bytes(s, frame, n, w.now);
        assert_int_equal(s->n.drop_arp, ++dropped);
    }
    assert_null(find(s, "10.0.0.9"));
    wire_end(&w);
}

static void test_answers_nobody_asked_for_make_no_entry(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    arp(&w, false, 2, peer_mac, "10.0.0.9", "10.0.0.1");
    arp(&w, true, 2, peer_mac, "10.0.0.9", "10.0.0.9"); /* gratuitous */
    arp(&w, true, 1, peer_mac, "10.0.0.9", "10.0.0.9");
    arp(&w, true, 1, peer_mac, "10.0.0.9", "10.0.0.7"); /* a question to another */
    assert_null(find(s, "10.0.0.9"));
    arp(&w, false, 1, peer_mac, "192.0.2.1", "10.0.0.1"); /* not of our link */
    arp(&w, false, 1, peer_mac, "127.0.0.1", "10.0.0.1");
    arp(&w, false, 1, peer_mac, "224.0.0.1", "10.0.0.1");
    assert_null(find(s, "192.0.2.1"));
    assert_null(find(s, "127.0.0.1"));
    assert_null(find(s, "224.0.0.1"));
    arp(&w, true, 1, peer_mac, "10.0.0.9", "10.0.0.1");
    assert_non_null(find(s, "10.0.0.9"));
    assert_int_equal(find(s, "10.0.0.9")->state, NEIGH_STALE);
    wire_end(&w);
}

static void test_who_claims_our_address_is_told(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    wire_run(&w);
    uint64_t before = s->n.arp_tx;
    for (unsigned i = 0; i < 10; i++) arp(&w, true, 1, peer_mac, "10.0.0.1", "10.0.0.1");
    assert_int_equal(s->n.arp_tx, before + 1); /* once a second */
    assert_null(find(s, "10.0.0.1"));
    wire_end(&w);
}

static void test_a_changed_mac_is_taken_but_asked(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    struct udp_sock *u = socket_of(s);
    udp_say(u, "1", at("10.0.0.9", 5));
    wire_run(&w);
    arp(&w, false, 2, peer_mac, "10.0.0.9", "10.0.0.1");
    assert_int_equal(find(s, "10.0.0.9")->state, NEIGH_REACHABLE);
    arp(&w, true, 2, other_mac, "10.0.0.9", "10.0.0.9"); /* fail-over, or a liar */
    assert_int_equal(find(s, "10.0.0.9")->state, NEIGH_STALE);
    uint64_t before = s->n.arp_tx;
    udp_say(u, "2", at("10.0.0.9", 5));
    wire_run(&w);
    assert_int_equal(find(s, "10.0.0.9")->state, NEIGH_PROBE);
    assert_int_equal(s->n.arp_tx, before + 1);
    assert_memory_equal(w.last, other_mac, 6); /* asked itself, not everybody */
    wire_until(&w, w.now + 4 * SECOND);
    assert_null(find(s, "10.0.0.9")); /* it was a liar: the next packet asks all */
    udp_say(u, "3", at("10.0.0.9", 5));
    wire_run(&w);
    assert_int_equal(w.last[0], 255);
    wire_end(&w);
}

static void ping_many(struct net_stack *s, const char *peer, unsigned count)
{
    struct ip_addr from = ip("10.0.0.1"), to = ip(peer);
    struct path_ends ends = path_between(&from, &to);
    struct path p;
    OK(path_open(s, &p, &ends, IPPROTO_ICMP));
    for (unsigned i = 0; i < count; i++) {
        char text[24];
        snprintf(text, sizeof text, "1234567%03u", i);
        path_send(s, &p, buf_from(text, 10), 10, 8, 0, 0);
    }
    path_close(s, &p);
}

static void test_waiting_frames_are_bounded_and_the_oldest_goes(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    ping_many(s, "10.0.0.9", 300);
    wire_run(&w);
    assert_int_equal(s->n.drop_neigh_queue, 300 - 256);
    uint64_t before = w.frames;
    arp(&w, false, 2, peer_mac, "10.0.0.9", "10.0.0.1");
    assert_int_equal(w.frames, before + 256);
    assert_memory_equal(w.last, peer_mac, 6);
    assert_memory_equal(w.last + 41, "299", 3);
    wire_end(&w);
}

/* Whoever waits for many that do not answer leaves a few frames to everybody else. */
static void test_waiting_frames_of_all_are_bounded(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    char peer[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(peer, sizeof peer, "10.0.0.%u", 20 + i);
        ping_many(s, peer, 256);
    }
    assert_int_equal(s->n.drop_neigh_queue, 6 * 252); /* four have all of theirs, six have four */
    wire_run(&w);
    uint64_t before = w.frames;
    ping_many(s, "10.0.0.9", 5);
    arp(&w, false, 2, peer_mac, "10.0.0.9", "10.0.0.1");
    assert_int_equal(w.frames, before + 1 + 4); /* it was asked for */
    assert_memory_equal(w.last + 41, "004", 3);
    wire_end(&w);
}

enum { MANY = 1000 };

/* All of them, and in their order: a datagram that was pushed does not make room for a later one. */
static void test_datagrams_wait_until_the_neighbour_answers(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    struct udp_sock *u = socket_of(s), *closed = socket_of(s);
    struct ip_port to = at("10.0.0.9", 5);
    char text[8];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%04u", i);
        assert_int_equal(udp_send(u, buf_from(text, 4), &to, false, &w.told[0]), 1);
    }
    assert_int_equal(udp_send(closed, buf_from("last", 4), &to, false, &w.told[0]), 1);
    udp_close(closed);
    wire_run(&w);
    assert_int_equal(w.told[0].sent, 0);
    assert_int_equal(stack_unconfirmed(s), MANY + 1);
    uint64_t before = w.frames;
    arp(&w, false, 2, peer_mac, "10.0.0.9", "10.0.0.1");
    assert_int_equal(w.frames, before + MANY + 1);
    assert_memory_equal(w.last + 42, "last", 4);
    assert_int_equal(w.told[0].sent, MANY); /* of a socket that is closed nobody hears */
    assert_int_equal(stack_unconfirmed(s), 0);
    assert_int_equal(udp_send(u, buf_from("now", 3), &to, false, &w.told[0]), 0);
    wire_end(&w);
}

static void test_datagrams_that_wait_are_bounded_and_hear_of_silence(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    struct udp_sock *u = socket_of(s);
    struct ip_port to = at("10.0.0.9", 5);
    struct buf *b = buf_from("x", 1);
    unsigned count = 0;
    while (udp_send(u, buf_ref(b), &to, false, &w.told[0]) == 1) count++;
    assert_int_equal(count, 1024);
    assert_int_equal(b->refs, 1 + count + 1); /* the one that was refused is still ours */
    buf_unref(b);
    buf_unref(b);
    wire_until(&w, w.now + 4 * SECOND);
    assert_int_equal(w.told[0].unsent, count);
    assert_int_equal(w.told[0].why, EHOSTUNREACH);
    assert_int_equal(s->n.drop_unreachable, count);
    assert_udp_silent(u, 0); /* each has told itself */
    wire_end(&w);
}

static void test_datagrams_whose_neighbour_is_pushed_out_fail(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add_small(&w, 8);
    struct udp_sock *u = socket_of(s);
    for (unsigned i = 0; i < 20; i++) {
        char text[24];
        snprintf(text, sizeof text, "10.0.1.%u", i);
        struct ip_port to = at(text, 5);
        assert_int_equal(udp_send(u, buf_from("x", 1), &to, false, &w.told[0]), 1);
    }
    wire_run(&w);
    assert_int_equal(w.told[0].unsent, 12);
    assert_int_equal(w.told[0].why, ENOBUFS);
    wire_end(&w);
}

static void connect_many(struct net_stack *s, const char *peer)
{
    struct ip_port to = at(peer, 80), from = {.addr = ip("10.0.0.1")};
    for (unsigned i = 0; i < MANY; i++) {
        struct conn *c;
        from.port = (uint16_t)(2000 + i);
        OK(conn_connect(s, &from, &to, NULL, NULL, &c));
    }
}

static void test_connections_wait_for_their_neighbour(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    connect_many(s, "10.0.0.9");
    wire_run(&w);
    uint64_t before = w.frames;
    arp(&w, false, 2, peer_mac, "10.0.0.9", "10.0.0.1");
    assert_int_equal(w.frames, before + MANY); /* a SYN each */
    assert_int_equal(s->n.drop_neigh_queue + s->n.drop_tx_full, 0);
    wire_end(&w);
}

static void test_connections_to_nobody_end_when_arp_gives_up(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    connect_many(s, "10.0.0.9");
    wire_until(&w, w.now + 2 * SECOND);
    assert_int_equal(w.told[0].failed, 0);
    wire_until(&w, w.now + 2 * SECOND);
    assert_int_equal(w.told[0].failed, MANY);
    assert_int_equal(w.told[0].why, EHOSTUNREACH);
    /* one that has answered once, and is silent now: the SYN that is sent again hears of it */
    arp(&w, false, 1, peer_mac, "10.0.0.9", "10.0.0.1");
    connect_many(s, "10.0.0.9");
    wire_until(&w, w.now + 20 * SECOND);
    assert_int_equal(w.told[0].failed, 2 * MANY);
    assert_int_equal(w.told[0].why, EHOSTUNREACH);
    wire_end(&w);
}

static void test_silence_is_told_to_who_sent(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    struct udp_sock *u = socket_of(s);
    struct ip_port to = at("10.0.0.9", 5);
    OK(udp_connect(u, &to));
    uint64_t before = s->n.arp_tx;
    OK(udp_push(u, buf_from("x", 1), NULL, false));
    wire_until(&w, w.now + 2 * SECOND + SECOND / 2);
    assert_int_equal(s->n.arp_tx, before + 3);
    assert_udp_silent(u, 0);
    wire_until(&w, w.now + SECOND);
    assert_udp_silent(u, EHOSTUNREACH);
    assert_int_equal(s->n.drop_unreachable, 1);
    wire_end(&w);
}

static void test_rumours_cannot_push_out_whom_we_talk_to(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add_small(&w, 64);
    struct udp_sock *u = socket_of(s);
    char text[24];
    for (unsigned i = 0; i < 40; i++) { /* 40 whom we talk to */
        snprintf(text, sizeof text, "10.0.1.%u", i);
        udp_say(u, "x", at(text, 5));
        wire_run(&w);
        arp(&w, false, 2, peer_mac, text, "10.0.0.1");
    }
    wire_until(&w, w.now + 100 * SECOND); /* all stale by now */
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u", i >> 8, i & 255);
        arp(&w, true, 1, other_mac, text, "10.0.0.1");
    }
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "10.0.1.%u", i);
        assert_non_null(find(s, text));
    }
    assert_non_null(find(s, "10.1.19.135")); /* the last of the rumours is there, but few of them */
    unsigned rumours = 0;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u", i >> 8, i & 255);
        rumours += find(s, text) != NULL;
    }
    assert_int_equal(rumours, 16);
    wire_end(&w);
}

static void test_a_scan_pushes_out_only_itself(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add_small(&w, 64);
    struct udp_sock *u = socket_of(s);
    char text[24];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "10.0.1.%u", i);
        udp_say(u, "x", at(text, 5));
        wire_run(&w);
        arp(&w, false, 2, peer_mac, text, "10.0.0.1");
    }
    for (unsigned i = 0; i < 3000; i++) { /* datagrams we are made to send to addresses nobody has */
        snprintf(text, sizeof text, "10.1.%u.%u", i >> 8, i & 255);
        udp_say(u, "x", at(text, 5));
        wire_run(&w);
    }
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "10.0.1.%u", i);
        assert_non_null(find(s, text));
        assert_int_equal(find(s, text)->state, NEIGH_REACHABLE);
    }
    wire_until(&w, w.now + 10 * SECOND);
    wire_end(&w);
}

static void test_a_path_follows_its_neighbour(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct udp_sock *ua = socket_of(a), *ub;
    struct ip_port local = {.port = 9};
    OK(udp_open(b, &local, false, false, NULL, &ub));
    local = at("10.0.0.2", 9);
    OK(udp_connect(ua, &local));
    for (unsigned i = 0; i < 3; i++) {
        OK(udp_push(ua, buf_from("x", 1), NULL, false));
        wire_until(&w, w.now + 70 * SECOND); /* reachable, stale, asked, reachable again */
        assert_udp_hears(ub, "x", NULL);
        OK(udp_push(ua, buf_from("y", 1), NULL, false));
        wire_run(&w);
        assert_udp_hears(ub, "y", NULL);
        neighbour_forget(a, find(a, "10.0.0.2"));
    }
    assert_int_equal(stack_remove_address(a, &(struct ip_addr){.w = {1}}), -EADDRNOTAVAIL);
    struct ip_addr own = ip("10.0.0.1");
    OK(stack_remove_address(a, &own));
    struct buf *left = buf_from("z", 1);
    assert_int_equal(udp_push(ua, left, &local, false), -ENETUNREACH);
    buf_unref(left);
    wire_end(&w);
}

static void test_static_entries_stand(void **state)
{
    struct wire w = {0};
    struct stack_config c = wire_conf(0);
    c.arp = false;
    struct net_stack *s = wire_add(&w, &c);
    struct ip_addr a = ip("10.0.0.1"), peer = ip("10.0.0.9"), group = ip("224.0.0.1");
    OK(stack_add_address(s, &a, 24, true));
    OK(stack_add_neighbour(s, &peer, peer_mac));
    assert_int_equal(stack_add_neighbour(s, &group, peer_mac), -EINVAL);
    arp(&w, false, 2, other_mac, "10.0.0.9", "10.0.0.1");
    assert_int_equal(s->n.drop_eth_type, 1);
    neighbour_rumour(s, &peer, other_mac, true);
    neighbour_answered(s, find(s, "10.0.0.9"), other_mac, true);
    wire_until(&w, w.now + 1000 * SECOND);
    udp_say(socket_of(s), "x", at("10.0.0.9", 5));
    wire_run(&w);
    assert_memory_equal(w.last, peer_mac, 6);
    assert_int_equal(s->n.arp_tx, 0);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_arp_is_dropped),
        cmocka_unit_test(test_answers_nobody_asked_for_make_no_entry),
        cmocka_unit_test(test_who_claims_our_address_is_told),
        cmocka_unit_test(test_a_changed_mac_is_taken_but_asked),
        cmocka_unit_test(test_waiting_frames_are_bounded_and_the_oldest_goes),
        cmocka_unit_test(test_waiting_frames_of_all_are_bounded),
        cmocka_unit_test(test_datagrams_wait_until_the_neighbour_answers),
        cmocka_unit_test(test_datagrams_that_wait_are_bounded_and_hear_of_silence),
        cmocka_unit_test(test_datagrams_whose_neighbour_is_pushed_out_fail),
        cmocka_unit_test(test_connections_wait_for_their_neighbour),
        cmocka_unit_test(test_connections_to_nobody_end_when_arp_gives_up),
        cmocka_unit_test(test_silence_is_told_to_who_sent),
        cmocka_unit_test(test_rumours_cannot_push_out_whom_we_talk_to),
        cmocka_unit_test(test_a_scan_pushes_out_only_itself),
        cmocka_unit_test(test_a_path_follows_its_neighbour),
        cmocka_unit_test(test_static_entries_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

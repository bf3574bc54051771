/* SPDX-License-Identifier: MIT
 *
 * Streams between two runtimes: what completes when, what ends how, and who holds which memory for how long.
 */
#include "libos/inet/two_test.h"

#include "alloc/base/assert_test.h"
#include "alloc/heap.h"
#include "libos/inet/sock.h"

#include <netinet/tcp.h>

static void echo(struct pair p)
{
    static const size_t sizes[] = {1, 100, 1448, 5000, 65535};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        on(0);
        demi_qtoken_t there = push(p.client, sizes[i], i);
        on(1);
        pop(p.server, sizes[i], i);
        demi_qtoken_t back = push(p.server, sizes[i], i + 7);
        on(0);
        pop(p.client, sizes[i], i + 7);
        wait_ok(there, DEMI_OPC_PUSH);
        on(1);
        wait_ok(back, DEMI_OPC_PUSH);
    }
}

static void test_streams_carry_bytes_both_ways_over_ipv4(void **state) { echo(pair_new()); }

static void test_streams_carry_bytes_both_ways_over_ipv6(void **state)
{
    struct sockaddr_in6 addr = v6(2, PORT), peer;
    socklen_t size = sizeof peer;
    struct pair p = connect_pair(ADDR(&addr));
    OK(demi_getpeername(p.server, (struct sockaddr *)&peer, &size));
    assert_int_equal(size, sizeof peer);
    addr = v6(1, 0);
    assert_memory_equal(&peer.sin6_addr, &addr.sin6_addr, 16);
    echo(p);
}

static void test_an_ipv6_wildcard_takes_ipv4_unless_it_is_told_not_to(void **state)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)}, peer;
    struct sockaddr_in addr = v4(2, PORT), any4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    socklen_t size = sizeof peer;
    demi_qtoken_t accepting, connecting;
    int client, other, yes = 1;
    on(1);
    int listener = listen_on(ADDR(&any));
    OK(demi_accept(&accepting, listener));
    on(0);
    OK(demi_socket(&client, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, client, ADDR(&addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    on(1);
    int server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    OK(demi_getpeername(server, (struct sockaddr *)&peer, &size));
    assert_true(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    OK(demi_socket(&other, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, demi_bind(other, ADDR(&any4)));
    OK(demi_close(listener));

    OK(demi_socket(&listener, AF_INET6, SOCK_STREAM, 0));
    OK(demi_setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes));
    OK(demi_bind(listener, ADDR(&any)));
    FAILS(EINVAL, demi_setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes));
    OK(demi_bind(other, ADDR(&any4))); /* both may be there now */
}

static void test_a_push_completes_when_the_peer_has_acknowledged_it(void **state)
{
    struct pair p = pair_new();
    on(0);
    ends[1].cut = true; /* no acknowledgement comes through */
    demi_qtoken_t qt = push(p.client, 100, 1);
    not_yet(qt);
    on(1);
    pop(p.server, 100, 1);
    on(0);
    not_yet(qt);
    ends[1].cut = false;
    wait_ok(qt, DEMI_OPC_PUSH);
}

static void test_a_push_handed_over_completes_at_once_and_arrives(void **state)
{
    struct pair p = pair_new();
    char *large = demi_malloc(5000);
    struct iovec iov[] = {{large, 5000}};
    demi_qtoken_t qt, none = 1;
    demi_qresult_t qr;
    for (unsigned i = 0; i < 5000; i++) large[i] = (char)(i % 251);
    on(0);
    ends[1].cut = true;
    OK(demi_pushv(&qt, p.client, iov, 1, DEMI_PUSH_HANDED_OVER));
    OK(demi_wait(&qr, qt, &poll_once));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_PUSH);
    assert_true(demi_is_pinned(large)); /* it may still be sent again */
    OK(demi_pushv(&none, p.client, iov, 1, DEMI_PUSH_NO_TOKEN));
    assert_true(none == 0);
    ends[1].cut = false;
    on(1);
    pop(p.server, 5000, 0);
    pop(p.server, 5000, 0);
    on(0);
    while (demi_is_pinned(large))
        demi_wait(&qr, 0, &poll_once), now_ns += 1000000, runtime_turn(ends[1].rt, true),
            runtime_turn(ends[0].rt, true);
    demi_free(large);
}

static void push_flags(int qd, unsigned flags)
{
    static char text[100];
    const struct iovec iov = {text, sizeof text};
    demi_qtoken_t none;
    OK(demi_pushv(&none, qd, &iov, 1, flags | DEMI_PUSH_NO_TOKEN));
}

static void test_a_push_with_more_leaves_with_the_next(void **state)
{
    struct pair p = pair_new();
    on(0);
    wait_ok(push(p.client, 1, 0), DEMI_OPC_PUSH);
    uint64_t segments = counter("tcp.tx_segments");
    push_flags(p.client, DEMI_PUSH_MORE);
    runtime_turn(ends[0].rt, true);
    assert_int_equal(counter("tcp.tx_segments"), segments);
    push_flags(p.client, 0);
    runtime_turn(ends[0].rt, true);
    assert_int_equal(counter("tcp.tx_segments"), segments + 1);
}

static void test_nodelay_sends_what_cork_or_more_holds_back(void **state)
{
    int yes = 1;
    struct pair p = pair_new();
    on(0);
    for (int cork = 0; cork < 2; cork++) {
        OK(demi_setsockopt(p.client, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork));
        wait_ok(push(p.client, 1, 0), DEMI_OPC_PUSH);
        uint64_t segments = counter("tcp.tx_segments");
        push_flags(p.client, cork ? 0 : DEMI_PUSH_MORE);
        runtime_turn(ends[0].rt, true);
        assert_int_equal(counter("tcp.tx_segments"), segments);
        OK(demi_setsockopt(p.client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes));
        runtime_turn(ends[0].rt, true);
        assert_int_equal(counter("tcp.tx_segments"), segments + 1);
    }
}

static void test_pushes_beyond_the_unsent_bound_are_refused_until_they_have_left(void **state)
{
    int bound = 150;
    size_t unsent;
    struct pair p = pair_new();
    static char text[100];
    const struct iovec iov = {text, sizeof text};
    demi_qtoken_t qt;
    on(0);
    OK(demi_setsockopt(p.client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bound, sizeof bound));
    push_flags(p.client, 0);
    push_flags(p.client, 0);
    OK(demi_unsent(p.client, &unsent));
    assert_int_equal(unsent, 200);
    FAILS(EBUSY, demi_pushv(&qt, p.client, &iov, 1, 0));
    FAILS(EBUSY, demi_pushv(&qt, p.client, &iov, 1, DEMI_PUSH_NO_TOKEN));
    runtime_turn(ends[0].rt, true);
    push_flags(p.client, 0);
}

static void test_options_of_a_listener_go_to_who_comes_later(void **state)
{
    struct sockaddr_in addr = v4(2, PORT);
    int mss = 700, client, got;
    socklen_t size = sizeof got;
    demi_qtoken_t accepting, connecting;
    on(1);
    int listener = listen_on(ADDR(&addr));
    OK(demi_setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss));
    OK(demi_setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "newreno", 7));
    OK(demi_accept(&accepting, listener));
    on(0);
    OK(demi_socket(&client, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, client, ADDR(&addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    OK(demi_getsockopt(client, IPPROTO_TCP, TCP_MAXSEG, &got, &size));
    assert_in_range(got, 600, 700);
    on(1);
    int server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    char cc[16];
    size = sizeof cc;
    OK(demi_getsockopt(server, IPPROTO_TCP, TCP_CONGESTION, cc, &size));
    assert_string_equal(cc, "newreno");
}

static void test_a_reply_carries_the_acknowledgement_of_its_request(void **state)
{
    struct pair p = pair_new();
    on(1);
    for (unsigned i = 0; i < 10; i++) {
        on(0);
        push(p.client, 50, i);
        on(1);
        pop(p.server, 50, i);
        uint64_t acks = counter("tcp.pure_acks_sent"), segments = counter("tcp.tx_segments");
        push(p.server, 50, i);
        on(0);
        pop(p.client, 50, i);
        on(1);
        assert_int_equal(counter("tcp.pure_acks_sent"), acks);
        assert_int_equal(counter("tcp.tx_segments"), segments + 1);
    }
}

static void test_shutdown_ends_one_direction(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t qt;
    on(0);
    demi_sgarray_t sga = demi_sgaalloc(10);
    push(p.client, 3000, 2);
    OK(demi_shutdown(p.client, SHUT_WR));
    FAILS(EPIPE, demi_push(&qt, p.client, &sga));
    on(1);
    pop(p.server, 3000, 2);
    pop_end(p.server);
    pop_end(p.server);
    push(p.server, 2000, 3);
    on(0);
    pop(p.client, 2000, 3);
    on(1);
    OK(demi_close(p.server));
    on(0);
    pop_end(p.client);
    OK(demi_sgafree(&sga));
}

static void test_a_socket_shut_for_reading_gives_what_it_has_and_then_the_end(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t first, second;
    on(0);
    push(p.client, 500, 2);
    on(1);
    OK(demi_pop(&first, p.server));
    wait_ok(first, DEMI_OPC_POP);
    on(0);
    wait_ok(push(p.client, 300, 3), DEMI_OPC_PUSH);
    on(1);
    OK(demi_shutdown(p.server, SHUT_RD));
    pop(p.server, 300, 3);
    OK(demi_pop(&second, p.server));
    assert_int_equal(wait_ok(second, DEMI_OPC_POP).qr_value.sga.sga_segs[0].sgaseg_len, 0);
}

static void test_linger_of_zero_resets(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t qt;
    on(1);
    OK(demi_pop(&qt, p.server));
    on(0);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    on(1);
    assert_int_equal(wait_failed(qt), ECONNRESET);
    pop_end(p.server); /* said once */
    demi_sgarray_t sga = demi_sgaalloc(10);
    FAILS(EPIPE, demi_push(&qt, p.server, &sga));
    OK(demi_sgafree(&sga));
}

static void test_what_came_before_a_reset_can_be_popped(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t qt;
    on(0);
    wait_ok(push(p.client, 4000, 5), DEMI_OPC_PUSH);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    on(1);
    demi_timer(&qt, 1000000);
    wait_ok(qt, DEMI_OPC_TIMER);
    pop(p.server, 4000, 5);
    OK(demi_pop(&qt, p.server));
    assert_int_equal(wait_failed(qt), ECONNRESET);
}

static void test_close_sends_what_was_pushed_and_ends_tokens(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t pops[3], pushed;
    on(0);
    for (int i = 0; i < 3; i++) OK(demi_pop(&pops[i], p.client));
    ends[0].cut = true;
    pushed = push(p.client, 60000, 4);
    OK(demi_close(p.client));
    ends[0].cut = false;
    for (int i = 0; i < 3; i++) assert_int_equal(wait_failed(pops[i]), ECANCELED);
    assert_int_equal(wait_failed(pushed), ECANCELED);
    FAILS(EBADF, demi_close(p.client));
    on(1);
    pop(p.server, 60000, 4);
    pop_end(p.server);
}

static void test_cancel_ends_everything_but_pushes(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t accepting, popping, pushing, connecting;
    on(1);
    OK(demi_accept(&accepting, p.listener));
    OK(demi_pop(&popping, p.server));
    OK(demi_cancel(accepting));
    OK(demi_cancel(popping));
    assert_int_equal(wait_failed(accepting), ECANCELED);
    assert_int_equal(wait_failed(popping), ECANCELED);
    ends[1].cut = true;
    pushing = push(p.server, 10, 0);
    FAILS(EBUSY, demi_cancel(pushing));
    struct sockaddr_in addr = v4(1, 99);
    int qd;
    OK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, qd, ADDR(&addr)));
    OK(demi_cancel(connecting));
    assert_int_equal(wait_failed(connecting), ECANCELED);
    OK(demi_close(qd));
}

static void test_a_full_connection_refuses_pushes_until_there_is_room(void **state)
{
    struct pair p = pair_new();
    int size = 20000;
    demi_qtoken_t qt, last = 0;
    on(0);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    ends[1].cut = true;
    demi_sgarray_t sga = demi_sgaalloc(9000);
    memset(sga.sga_segs[0].sgaseg_buf, 0, 9000);
    int err = 0;
    unsigned taken = 0;
    for (; taken < 100 && !(err = demi_push(&qt, p.client, &sga)); taken++) last = qt;
    assert_int_equal(err, EBUSY);
    assert_in_range(taken, 2, 5);
    assert_true(counter("inet.push_busy") > 0);
    ends[1].cut = false;
    wait_ok(last, DEMI_OPC_PUSH);
    OK(demi_push(&qt, p.client, &sga));
    OK(demi_sgafree(&sga));
}

static void test_a_device_that_is_full_loses_nothing(void **state)
{
    struct pair p = pair_new();
    on(0);
    ends[0].full = true;
    demi_qtoken_t qt = push(p.client, 50000, 8);
    not_yet(qt);
    ends[0].full = false;
    on(1);
    pop(p.server, 50000, 8);
    on(0);
    wait_ok(qt, DEMI_OPC_PUSH);
    assert_true(counter("inet.tx_stuck") > 0);
}

static void test_nobody_listens_nobody_answers_nobody_is_there(void **state)
{
    struct sockaddr_in refused = v4(2, 99), nobody = v4(77, 99), foreign = v4(1, 99);
    foreign.sin_addr.s_addr = htonl(0xc6336401);
    demi_qtoken_t qt;
    int qd;
    OK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&qt, qd, ADDR(&refused)));
    assert_int_equal(wait_failed(qt), ECONNREFUSED);
    OK(demi_connect(&qt, qd, ADDR(&foreign)));
    assert_int_equal(wait_failed(qt), ENETUNREACH);
    OK(demi_connect(&qt, qd, ADDR(&nobody)));
    demi_qresult_t qr;
    OK(demi_wait(&qr, qt, NULL));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, EHOSTUNREACH); /* when ARP has given up */
}

static void test_a_thousand_connections_are_small_and_leave_nothing(void **state)
{
    enum { COUNT = 1000 };
    static int clients[COUNT], servers[COUNT];
    struct sockaddr_in addr = v4(2, PORT);
    demi_qtoken_t accepting, connecting;
    on(1);
    int listener = listen_on(ADDR(&addr));
    size_t server_bytes = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        on(1);
        OK(demi_accept(&accepting, listener));
        on(0);
        size_t before = heap_used();
        OK(demi_socket(&clients[i], AF_INET, SOCK_STREAM, 0));
        OK(demi_connect(&connecting, clients[i], ADDR(&addr)));
        wait_ok(connecting, DEMI_OPC_CONNECT);
        on(1);
        servers[i] = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
        server_bytes += (heap_used() - before) / 2;
    }
    assert_in_range(server_bytes / COUNT + sizeof(struct op), 1, 1024); /* an op: its pop waits */
    for (unsigned i = 0; i < COUNT; i++) {
        on(0);
        OK(demi_close(clients[i]));
        on(1);
        OK(demi_close(servers[i]));
    }
}

/* Somebody reads a request while the peer resets, and reads on when connection and sockets have gone and their
 * memory serves others. */
static void test_what_was_popped_outlives_its_connection(void **state)
{
    struct linger hard = {1, 0};
    demi_sgarray_t held[8];
    demi_qtoken_t qt;
    for (unsigned i = 0; i < 8; i++) {
        struct pair p = pair_new();
        on(0);
        wait_ok(push(p.client, 1000 + i, i), DEMI_OPC_PUSH);
        on(1);
        OK(demi_pop(&qt, p.server));
        held[i] = wait_ok(qt, DEMI_OPC_POP).qr_value.sga;
        OK(demi_pop(&qt, p.server)); /* and waits for more when the reset comes */
        on(0);
        OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
        OK(demi_close(p.client));
        on(1);
        assert_int_equal(wait_failed(qt), ECONNRESET);
        OK(demi_close(p.server));
        OK(demi_close(p.listener));
    }
    echo(pair_new());
    on(1);
    for (unsigned i = 0; i < 8; i++) {
        const demi_sgaseg_t *seg = &held[i].sga_segs[0];
        assert_int_equal(seg->sgaseg_len, 1000 + i);
        for (unsigned at = 0; at < seg->sgaseg_len; at++)
            assert_int_equal(((uint8_t *)seg->sgaseg_buf)[at], (i + at) % 251);
        OK(demi_sgafree(&held[i]));
    }
}

/* What was pushed and not acknowledged is let go of when a reset ends the connection, exactly once, wherever it is:
 * sent, or still waiting. */
static void test_what_was_pushed_is_let_go_of_at_a_reset(void **state)
{
    struct linger hard = {1, 0};
    struct iovec iov[] = {{NULL, 300000}};
    demi_qtoken_t handed_over, pushed;
    struct pair p = pair_new();
    on(1);
    size_t before = demi_mem_used();
    char *mine = iov[0].iov_base = demi_calloc(1, iov[0].iov_len);
    OK(demi_pushv(&handed_over, p.server, iov, 1, DEMI_PUSH_HANDED_OVER)); /* more than any window takes */
    wait_ok(handed_over, DEMI_OPC_PUSH);
    pushed = push(p.server, 5000, 1);
    not_yet(pushed);
    demi_free(mine); /* pinned: it stays until the connection has let go */
    assert_true(demi_mem_used() > before);
    on(0);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    on(1);
    assert_int_equal(wait_failed(pushed), ECONNRESET);
    struct demi_mem_stats stats;
    demi_mem_stats(&stats);
    assert_int_equal(stats.pinned, 0);
    assert_true(demi_mem_used() <= before);
    OK(demi_close(p.server));
}

static void check_sock(void *s) { inet_sock_check(s); }

static struct inet_sock *sock_behind(int qd)
{
    struct queue *q = queue_find(&runtime_current()->queues, qd);
    assert_non_null(q);
    return sock_of(q);
}

static void test_a_spoilt_socket_is_seen(void **state)
{
    struct pair p = pair_new();
    int udp;
    on(0);
    demi_qtoken_t qt = push(p.client, 100, 0);
    struct inet_sock *s = sock_behind(p.client);
    check_sock(s);
    SEEN(check_sock, s, s->state, SOCK_ENDED + 1, "s->state <= SOCK_ENDED");
    SEEN(check_sock, s, s->state, SOCK_ENDED, "(s->state == SOCK_ENDED) == ((s->st.flags & STREAM_FAILED) != 0)");
    SEEN(check_sock, s, s->conn, NULL, "s->conn && conn_user(s->conn) == s");
    SEEN(check_sock, s, s->st.pushes.tail->arg, UINT64_MAX, "s->st.pushes.tail->arg <= conn_queued(s->conn)");
    SEEN(check_sock, s, s->st.pushes.head->arg, 0, "s->st.pushes.head->arg > conn_acked(s->conn)");
    SEEN(check_sock, s, s->st.error, ECONNRESET, "!st->error || st->flags & STREAM_FAILED");
    on(1);
    pop(p.server, 100, 0);
    on(0);
    wait_ok(qt, DEMI_OPC_PUSH);
    OK(demi_socket(&udp, AF_INET, SOCK_DGRAM, 0));
    struct inet_sock *u = sock_behind(udp);
    struct op op = {.state = OP_PENDING};
    assert_null(u->udp);
    SEEN(check_sock, u, u->st.pops.head, &op, "!s->st.pops.head || s->udp");
    SEEN(check_sock, u, u->st.pushes.head, &op, "!s->st.pushes.head || s->udp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        inet_unit_test(test_streams_carry_bytes_both_ways_over_ipv4),
        inet_unit_test(test_a_spoilt_socket_is_seen),
        inet_unit_test(test_streams_carry_bytes_both_ways_over_ipv6),
        inet_unit_test(test_an_ipv6_wildcard_takes_ipv4_unless_it_is_told_not_to),
        inet_unit_test(test_a_push_completes_when_the_peer_has_acknowledged_it),
        inet_unit_test(test_a_push_handed_over_completes_at_once_and_arrives),
        inet_unit_test(test_a_push_with_more_leaves_with_the_next),
        inet_unit_test(test_nodelay_sends_what_cork_or_more_holds_back),
        inet_unit_test(test_pushes_beyond_the_unsent_bound_are_refused_until_they_have_left),
        inet_unit_test(test_options_of_a_listener_go_to_who_comes_later),
        inet_unit_test(test_a_reply_carries_the_acknowledgement_of_its_request),
        inet_unit_test(test_shutdown_ends_one_direction),
        inet_unit_test(test_a_socket_shut_for_reading_gives_what_it_has_and_then_the_end),
        inet_unit_test(test_linger_of_zero_resets),
        inet_unit_test(test_what_came_before_a_reset_can_be_popped),
        inet_unit_test(test_close_sends_what_was_pushed_and_ends_tokens),
        inet_unit_test(test_cancel_ends_everything_but_pushes),
        inet_unit_test(test_a_full_connection_refuses_pushes_until_there_is_room),
        inet_unit_test(test_a_device_that_is_full_loses_nothing),
        inet_unit_test(test_nobody_listens_nobody_answers_nobody_is_there),
        inet_unit_test(test_a_thousand_connections_are_small_and_leave_nothing),
        inet_unit_test(test_what_was_popped_outlives_its_connection),
        inet_unit_test(test_what_was_pushed_is_let_go_of_at_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

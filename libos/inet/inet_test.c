/* SPDX-License-Identifier: MIT
 *
 * Addresses, datagrams, options and captures of two runtimes; streams are stream_test.c's.
 */
#include "libos/inet/two_test.h"

#include "libos/inet/tcp_info.h"

#include <netinet/tcp.h>

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void test_bind_takes_own_addresses_and_port_0(void **state)
{
    struct sockaddr_in mine = v4(1, 0), yours = v4(2, 80), got;
    socklen_t size = sizeof got;
    int a, b;
    OK(demi_socket(&a, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRNOTAVAIL, demi_bind(a, ADDR(&yours)));
    OK(demi_bind(a, ADDR(&mine)));
    OK(demi_getsockname(a, (struct sockaddr *)&got, &size));
    assert_in_range(ntohs(got.sin_port), 1024, 65535);
    OK(demi_socket(&b, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, demi_bind(b, ADDR(&got)));
    OK(demi_listen(a, 1));
    OK(demi_close(a));
    OK(demi_bind(b, ADDR(&got)));
}

static void test_two_may_share_a_port_if_both_say_so(void **state)
{
    struct sockaddr_in addr = v4(1, 80);
    int qd[3], yes = 1;
    for (int i = 0; i < 3; i++) OK(demi_socket(&qd[i], AF_INET, SOCK_STREAM, 0));
    for (int i = 0; i < 2; i++) OK(demi_setsockopt(qd[i], SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
    OK(demi_bind(qd[0], ADDR(&addr)));
    OK(demi_bind(qd[1], ADDR(&addr)));
    FAILS(EADDRINUSE, demi_bind(qd[2], ADDR(&addr)));
}

/* A listener that is to go, and one that comes beside it before that. */
static void test_a_listener_may_let_one_that_overlaps_come_beside_it(void **state)
{
    struct sockaddr_in all = v4(1, 80), exact = v4(1, 80);
    int old, new, third, yes = 1, no = 0;
    all.sin_addr.s_addr = INADDR_ANY;
    OK(demi_socket(&old, AF_INET, SOCK_STREAM, 0));
    OK(demi_bind(old, ADDR(&all)));
    OK(demi_listen(old, 1));
    OK(demi_socket(&new, AF_INET, SOCK_STREAM, 0));
    OK(demi_socket(&third, AF_INET, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, demi_bind(new, ADDR(&exact)));
    OK(demi_setsockopt(old, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
    OK(demi_setsockopt(new, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
    OK(demi_bind(new, ADDR(&exact)));
    OK(demi_listen(new, 1));
    OK(demi_setsockopt(old, SOL_SOCKET, SO_REUSEPORT, &no, sizeof no));
    OK(demi_setsockopt(new, SOL_SOCKET, SO_REUSEPORT, &no, sizeof no));
    OK(demi_setsockopt(third, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
    OK(demi_close(old));
    FAILS(EADDRINUSE, demi_bind(third, ADDR(&exact)));
    FAILS(EADDRINUSE, demi_bind(third, ADDR(&all)));
    OK(demi_close(new));
    OK(demi_bind(third, ADDR(&all)));
}

static void test_unix_sockets_are_not_ours(void **state)
{
    int qd;
    FAILS(ENOTSUP, demi_socket(&qd, AF_UNIX, SOCK_STREAM, 0)); /* and in simulated time nobody's */
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

static void test_datagrams_arrive_whole_with_their_sender(void **state)
{
    static const size_t sizes[] = {1, 1472, 1473, 9000, 65507};
    struct sockaddr_in to = v4(2, 53);
    demi_qtoken_t pushing, popping;
    int a, b;
    on(1);
    OK(demi_socket(&b, AF_INET, SOCK_DGRAM, 0));
    FAILS(EDESTADDRREQ, demi_pop(&popping, b));
    OK(demi_bind(b, ADDR(&to)));
    on(0);
    OK(demi_socket(&a, AF_INET, SOCK_DGRAM, 0));
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        on(0);
        demi_sgarray_t sga = demi_sgaalloc(sizes[i]);
        memset(sga.sga_segs[0].sgaseg_buf, (int)i, sizes[i]);
        OK(demi_pushto(&pushing, a, &sga, ADDR(&to)));
        OK(demi_sgafree(&sga));
        wait_ok(pushing, DEMI_OPC_PUSH);
        on(1);
        OK(demi_pop(&popping, b));
        demi_qresult_t qr = wait_ok(popping, DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, sizes[i]);
        assert_int_equal(qr.qr_value.sga.sga_addr.sin_addr.s_addr, v4(1, 0).sin_addr.s_addr);
        struct sockaddr_in back = qr.qr_value.sga.sga_addr;
        OK(demi_pushto(&pushing, b, &qr.qr_value.sga, ADDR(&back)));
        OK(demi_sgafree(&qr.qr_value.sga));
        on(0);
        OK(demi_pop(&popping, a));
        qr = wait_ok(popping, DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, sizes[i]);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
}

static void test_a_connected_datagram_socket_hears_that_nobody_listens(void **state)
{
    struct sockaddr_in6 to = v6(2, 5353);
    demi_qtoken_t qt, popping;
    int qd;
    OK(demi_socket(&qd, AF_INET6, SOCK_DGRAM, 0));
    OK(demi_connect(&qt, qd, ADDR(&to)));
    wait_ok(qt, DEMI_OPC_CONNECT);
    OK(demi_pop(&popping, qd));
    wait_ok(push(qd, 20, 0), DEMI_OPC_PUSH);
    assert_int_equal(wait_failed(popping), ECONNREFUSED);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static int get(int qd, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof v;
    OK(demi_getsockopt(qd, level, name, &v, &len));
    return v;
}

static void test_options_are_kept_and_nonsense_is_refused(void **state)
{
    static const struct {
        int level, name, value;
    } all[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},          {SOL_SOCKET, SO_RCVBUF, 100000},    {SOL_SOCKET, SO_SNDBUF, 50000},
        {IPPROTO_TCP, TCP_NODELAY, 0},          {IPPROTO_TCP, TCP_NODELAY, 1},      {IPPROTO_TCP, TCP_CORK, 1},
        {IPPROTO_TCP, TCP_QUICKACK, 1},         {IPPROTO_TCP, TCP_KEEPIDLE, 10},    {IPPROTO_TCP, TCP_KEEPINTVL, 3},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},          {IPPROTO_TCP, TCP_USER_TIMEOUT, 9}, {IPPROTO_IP, IP_TTL, 33},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096}, {IPPROTO_IP, IP_TOS, 0x20},         {SOL_SOCKET, SO_REUSEADDR, 1},
        {SOL_SOCKET, SO_BROADCAST, 1},
    };
    struct pair p = pair_new();
    int fresh, v = 1, sockets[3];
    on(1);
    OK(demi_socket(&fresh, AF_INET, SOCK_STREAM, 0));
    sockets[0] = fresh, sockets[1] = p.server, sockets[2] = p.listener;
    for (unsigned k = 0; k < 3; k++) {
        assert_int_equal(get(sockets[k], IPPROTO_TCP, TCP_NODELAY), 1);
        for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
            OK(demi_setsockopt(sockets[k], all[i].level, all[i].name, &all[i].value, sizeof v));
            assert_int_equal(get(sockets[k], all[i].level, all[i].name), all[i].value);
        }
    }
    assert_int_equal(get(p.listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
    assert_int_equal(get(p.server, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    FAILS(ENOTSUP, demi_setsockopt(fresh, 1234, 1, &v, sizeof v));
    FAILS(ENOPROTOOPT, demi_setsockopt(fresh, SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v));
    FAILS(ENOPROTOOPT, demi_setsockopt(fresh, IPPROTO_TCP, TCP_DEFER_ACCEPT, &v, sizeof v));
    FAILS(EINVAL, demi_setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &v, 2));
    FAILS(EINVAL, demi_setsockopt(fresh, IPPROTO_TCP, TCP_KEEPCNT, &(int){0}, sizeof v));
    FAILS(EINVAL, demi_setsockopt(fresh, IPPROTO_IP, IP_TTL, &(int){256}, sizeof v));
    FAILS(ENOENT, demi_setsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, "warp", 4));
    OK(demi_setsockopt(p.server, IPPROTO_TCP, TCP_CONGESTION, "newreno", 7));
    char name[16];
    socklen_t len = sizeof name;
    OK(demi_getsockopt(p.server, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    assert_string_equal(name, "newreno");
}

static void test_tcp_info_is_linuxs(void **state)
{
    struct linux_tcp_info info;
    struct tcp_info theirs;
    socklen_t len = sizeof info;
    struct pair p = pair_new();
    on(0);
    wait_ok(push(p.client, 10000, 0), DEMI_OPC_PUSH);
    OK(demi_getsockopt(p.client, IPPROTO_TCP, TCP_INFO, &info, &len));
    assert_int_equal(len, 280);
    assert_int_equal(info.state, TCP_ESTABLISHED);
    assert_int_equal(info.bytes_acked, 10000);
    assert_int_equal(info.unacked, 0);
    assert_in_range(info.snd_mss, 1400, 1460);
    assert_in_range(info.data_segs_out, 7, 10);
    len = sizeof theirs;
    OK(demi_getsockopt(p.client, IPPROTO_TCP, TCP_INFO, &theirs, &len));
    assert_int_equal(theirs.tcpi_snd_mss, info.snd_mss);
    assert_int_equal(theirs.tcpi_snd_cwnd, info.snd_cwnd);
    on(1);
    len = sizeof info;
    OK(demi_getsockopt(p.listener, IPPROTO_TCP, TCP_INFO, &info, &len));
    assert_int_equal(info.state, TCP_LISTEN);
}

/* --- captures ----------------------------------------------------------------------------------------------------- */

static void test_a_capture_has_every_frame_and_stops_at_its_size(void **state)
{
    char path[] = "/tmp/demi-pcap-XXXXXX", spec[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(spec, sizeof spec, "%s:2k", path);
    on(0);
    FAILS(ENOENT, demi_set_option("pcap", "/nonexistent/file"));
    FAILS(ENOPROTOOPT, demi_set_option("nonsense", "1"));
    OK(demi_set_option("pcap", spec));
    struct pair p = pair_new();
    on(0);
    uint64_t frames = counter("pcap.frames");
    assert_int_equal(frames, counter("dev.rx_frames") + counter("dev.tx_frames"));
    push(p.client, 20000, 0);
    on(1);
    pop(p.server, 20000, 0);
    on(0);
    assert_true(counter("pcap.left_out") > 0);
    FAILS(ENOENT, demi_set_option("pcap", "/nonexistent/file")); /* and the one that there is goes on */
    assert_true(counter("pcap.left_out") > 0);
    OK(demi_set_option("pcap", "off"));
    uint32_t header[6], record[4];
    assert_int_equal(read(fd, header, sizeof header), sizeof header);
    assert_int_equal(header[0], 0xa1b23c4d);
    assert_int_equal(header[5], 1);
    uint64_t seen = 0, bytes = sizeof header;
    while (read(fd, record, sizeof record) == sizeof record) {
        uint8_t frame[2048];
        assert_int_equal(record[2], record[3]);
        assert_int_equal(read(fd, frame, record[2]), record[2]);
        seen++;
        bytes += sizeof record + record[2];
    }
    assert_true(seen >= frames);
    assert_in_range(bytes, 500, 2048);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        inet_unit_test(test_bind_takes_own_addresses_and_port_0),
        inet_unit_test(test_two_may_share_a_port_if_both_say_so),
        inet_unit_test(test_a_listener_may_let_one_that_overlaps_come_beside_it),
        inet_unit_test(test_unix_sockets_are_not_ours),
        inet_unit_test(test_datagrams_arrive_whole_with_their_sender),
        inet_unit_test(test_a_connected_datagram_socket_hears_that_nobody_listens),
        inet_unit_test(test_options_are_kept_and_nonsense_is_refused),
        inet_unit_test(test_tcp_info_is_linuxs),
        inet_unit_test(test_a_capture_has_every_frame_and_stops_at_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

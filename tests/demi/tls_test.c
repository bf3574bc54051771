/* SPDX-License-Identifier: MIT
 *
 * TLS over TCP connections and pipes: what goes in comes out, by whatever pieces; what does not belong ends its own
 * connection, with a reason, and nothing else.
 *
 * Where the wire itself matters there is a relay between two pipes, client - [a0 a1] relay [b0 b1] - server, that hands
 * on what it likes.
 */
#include "tests/demi/demi_test.h"
#include "tests/demi/tls_files.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/uio.h>

static demi_tls_context_t *server_context, *client_context;

static demi_tls_context_t *context_of(struct demi_tls_options o)
{
    demi_tls_context_t *c = NULL;
    char why[256];
    if (demi_tls_context_new(&c, &o, why, sizeof why)) fail_msg("%s", why);
    return c;
}

/* --- two ends ----------------------------------------------------------------------------------------------------- */

struct ends {
    int client, server;
    struct pair tcp;
};

static struct ends ends_new(demi_tls_context_t *client, demi_tls_context_t *server)
{
    struct ends e = {.tcp = pair_new()};
    e.client = e.tcp.client;
    e.server = e.tcp.server;
    OK(demi_tls_client(e.client, client, NULL));
    OK(demi_tls_server(e.server, server));
    return e;
}

static void ends_close(struct ends *e) { pair_close(&e->tcp); }

/* The handshake of both; their errors, 0 for none. */
static void shake_hands(struct ends *e, int *client_error, int *server_error)
{
    demi_qtoken_t qts[2];
    demi_qresult_t qrs[2];
    OK(demi_tls_handshake(&qts[0], e->client));
    OK(demi_tls_handshake(&qts[1], e->server));
    OK(demi_wait_all(qrs, qts, 2, &soon));
    *client_error = qrs[0].qr_opcode == DEMI_OPC_FAILED ? (int)qrs[0].qr_ret : 0;
    *server_error = qrs[1].qr_opcode == DEMI_OPC_FAILED ? (int)qrs[1].qr_ret : 0;
}

static void shake_hands_well(struct ends *e)
{
    int client, server;
    shake_hands(e, &client, &server);
    assert_int_equal(client, 0);
    assert_int_equal(server, 0);
}

static const char *why_of(int qd)
{
    static struct demi_tls_info info;
    OK(demi_tls_info(qd, &info));
    return info.why;
}

static void says(int qd, const char *word)
{
    if (!strstr(why_of(qd), word)) fail_msg("\"%s\" has no \"%s\"", why_of(qd), word);
}

static uint64_t counted;
static void count(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, arg)) counted = value;
}
static uint64_t counter(const char *name)
{
    counted = 0;
    demi_counters(count, (void *)(uintptr_t)name);
    return counted;
}

/* A client that has closed stays until its server has, too. */
static void sessions_become(uint64_t n)
{
    for (int i = 0; i < 5000 && counter("tls.sessions") != n; i++) {
        demi_qtoken_t qt;
        OK(demi_timer(&qt, 1000000));
        wait_ok(qt, DEMI_OPC_TIMER);
    }
    assert_int_equal(counter("tls.sessions"), n);
}

static void test_what_is_pushed_is_popped(void **state)
{
    static const size_t sizes[] = {1, 2, 64, 1660, 1664, 1665, 2048, 15999, 16000, 16001, 16384, 16385, 65535};
    struct ends e = ends_new(client_context, server_context);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        demi_qtoken_t there = push_pattern(e.client, sizes[i], i);
        pop_pattern(e.server, sizes[i], i);
        demi_qtoken_t back = push_pattern(e.server, sizes[i], i + 100);
        pop_pattern(e.client, sizes[i], i + 100);
        assert_int_equal(wait_ok(there, DEMI_OPC_PUSH).qr_qd, e.client);
        wait_ok(back, DEMI_OPC_PUSH);
    }
    struct demi_tls_info info;
    OK(demi_tls_info(e.server, &info));
    assert_true(info.is_done);
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(info.why, "");
    assert_int_equal(counter("tls.sessions"), 2);
    assert_int_equal(counter("tls.handshakes"), 2);
    ends_close(&e);
    sessions_become(0);
}

static void test_a_connection_knows_its_peer(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    struct demi_tls_certificate c;
    FAILS(ENOENT, demi_tls_peer(e.server, &c));
    shake_hands_well(&e);
    OK(demi_tls_peer(e.server, &c));
    assert_string_equal(c.subject, "CN=client,O=demikv");
    assert_true(c.not_after_s - c.not_before_s == 30 * 86400);
    assert_true(*c.serial);
    OK(demi_tls_peer(e.client, &c));
    assert_string_equal(c.subject, "CN=localhost");
    ends_close(&e);
}

static void test_a_context_shows_its_certificates(void **state)
{
    struct demi_tls_certificate own, ca;
    OK(demi_tls_context_certificate(server_context, DEMI_TLS_OWN, &own));
    OK(demi_tls_context_certificate(server_context, DEMI_TLS_CA, &ca));
    assert_string_equal(own.subject, "CN=localhost");
    assert_string_equal(ca.subject, "CN=ca,O=demikv");
    demi_tls_context_t *bare = context_of((struct demi_tls_options){.verify = DEMI_TLS_VERIFY_NONE});
    FAILS(ENOENT, demi_tls_context_certificate(bare, DEMI_TLS_OWN, &own));
    FAILS(ENOENT, demi_tls_context_certificate(bare, DEMI_TLS_CA, &ca));
    demi_tls_context_free(bare);
}

/* Pushes before the handshake wait for it, and a program that only pushes and closes gets its bytes through. */
static void test_a_push_and_a_close_before_the_handshake_arrive(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    push_pattern(e.client, 50000, 1);
    push_pattern(e.client, 300, 50001);
    OK(demi_close(e.client));
    pop_pattern(e.server, 50300, 1);
    pop_end(e.server);
    OK(demi_close(e.server));
    OK(demi_close(e.tcp.listener));
}

static void push_small(int qd, const void *p, size_t n)
{
    demi_qtoken_t qt;
    struct iovec iov = {(void *)(uintptr_t)p, n};
    OK(demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN));
}

static void test_small_pushes_of_a_turn_arrive_as_one_pop(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    shake_hands_well(&e);
    for (int i = 0; i < 10; i++) push_small(e.client, "0123456789", 10);
    demi_qtoken_t timer, pop;
    OK(demi_timer(&timer, 20000000));
    wait_ok(timer, DEMI_OPC_TIMER);
    OK(demi_pop(&pop, e.server));
    demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 100);
    OK(demi_sgafree(&qr.qr_value.sga));
    ends_close(&e);
}

static void test_pieces_of_any_size_are_one_stream(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    static char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)((7 + i) % 251);
    for (size_t at = 0, n = 1; at < sizeof bytes; n = n * 3 % 7919 + 1) {
        demi_qtoken_t qt;
        struct iovec iov[3];
        int count = 0;
        for (; count < 3 && at < sizeof bytes; count++) {
            size_t k = n / (size_t)(count + 1) + 1;
            if (k > sizeof bytes - at) k = sizeof bytes - at;
            iov[count] = (struct iovec){bytes + at, k};
            at += k;
        }
        OK(demi_pushv(&qt, e.client, iov, count, DEMI_PUSH_HANDED_OVER));
        wait_ok(qt, DEMI_OPC_PUSH);
        size_t from = (size_t)((char *)iov[0].iov_base - bytes);
        pop_pattern(e.server, at - from, 7 + (unsigned)from);
    }
    ends_close(&e);
}

/* --- back-pressure ------------------------------------------------------------------------------------------------ */

#define LOTS ((size_t)32 << 20)

/* What nobody reads is neither encrypted ahead nor copied: it lies where the program has it. */
static void test_what_is_not_read_is_not_encrypted(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    demi_qtoken_t qt;
    struct demi_mem_stats before, after;
    shake_hands_well(&e);
    char *big = demi_malloc(LOTS);
    for (size_t i = 0; i < LOTS; i++) big[i] = (char)(i % 251);
    demi_mem_stats(&before);
    struct iovec iov = {big, LOTS};
    OK(demi_pushv(&qt, e.client, &iov, 1, 0));
    for (int i = 0; i < 100; i++) {
        demi_qresult_t qr;
        FAILS(ETIMEDOUT, demi_wait(&qr, qt, &now));
    }
    demi_mem_stats(&after);
    size_t unsent = 0;
    OK(demi_unsent(e.client, &unsent));
    assert_true(after.used - before.used < 4u << 20);
    assert_true(!test_is_kernel() || unsent > LOTS / 2);
    demi_free(big);
    pop_pattern(e.server, LOTS, 0);
    wait_ok(qt, DEMI_OPC_PUSH);
    OK(demi_unsent(e.client, &unsent));
    assert_int_equal(unsent, 0);
    ends_close(&e);
}

static struct sockaddr_in reader_at;

static void *read_in_thread(void *arg)
{
    struct ends e = {.client = -1};
    demi_qtoken_t qt;
    uint64_t *got = arg;
    OK(demi_init_with("posix", NULL));
    e.client = socket_new(SOCK_STREAM);
    OK(demi_connect(&qt, e.client, ADDR(&reader_at)));
    wait_ok(qt, DEMI_OPC_CONNECT);
    OK(demi_tls_client(e.client, client_context, NULL));
    for (uint32_t n = 1; n; *got += n) {
        OK(demi_pop(&qt, e.client));
        demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
        n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    OK(demi_close(e.client));
    OK(demi_exit());
    return NULL;
}

/* Its thread sleeps for nothing else: what completes in the last moment before is not slept over. */
static void test_a_push_completes_though_nothing_else_happens(void **state)
{
    enum { PUSHES = 36 };
    uint64_t got = 0, sent = 0;
    pthread_t thread;
    demi_qtoken_t qt;
    if (!test_is_kernel()) skip();
    int listener = listener_new(&reader_at);
    OK(demi_accept(&qt, listener));
    OK(pthread_create(&thread, NULL, read_in_thread, &got));
    int qd = wait_ok(qt, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    OK(demi_tls_server(qd, server_context));
    char *big = demi_calloc(1, 2 << 20);
    for (int i = 0; i < PUSHES; i++) {
        struct iovec iov = {big, (size_t)(1 + i % 12) << 17}; /* so that the last record leaves anywhere in a turn */
        sent += iov.iov_len;
        OK(demi_pushv(&qt, qd, &iov, 1, 0));
        wait_ok(qt, DEMI_OPC_PUSH);
    }
    demi_free(big);
    OK(demi_close(qd));
    OK(demi_close(listener));
    OK(demi_exit());
    OK(pthread_join(thread, NULL));
    assert_int_equal(got, sent);
    OK(test_setup(state));
}

/* … and arrives although its program has closed meanwhile. */
static void test_a_backlog_outlives_the_close(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    demi_qtoken_t qt;
    shake_hands_well(&e);
    char *big = demi_malloc(LOTS);
    for (size_t i = 0; i < LOTS; i++) big[i] = (char)(i % 251);
    struct iovec iov = {big, LOTS};
    OK(demi_pushv(&qt, e.client, &iov, 1, 0));
    demi_free(big);
    OK(demi_close(e.client));
    assert_int_equal(wait_failed(qt), ECANCELED);
    pop_pattern(e.server, LOTS, 0);
    pop_end(e.server);
    OK(demi_close(e.server));
    OK(demi_close(e.tcp.listener));
    sessions_become(0);
}

static void test_a_hard_close_drops_the_backlog(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    struct linger hard = {.l_onoff = 1};
    demi_qtoken_t qt;
    shake_hands_well(&e);
    char *big = demi_calloc(1, LOTS);
    struct iovec iov = {big, LOTS};
    OK(demi_pushv(&qt, e.client, &iov, 1, 0));
    demi_free(big);
    OK(demi_setsockopt(e.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(e.client));
    assert_int_equal(wait_failed(qt), ECANCELED);
    sessions_become(1);
    struct demi_mem_stats m;
    demi_mem_stats(&m);
    assert_true(m.used < LOTS);
    OK(demi_close(e.server));
    OK(demi_close(e.tcp.listener));
}

/* Bytes that OpenSSL has decrypted and that did not fit are there for the next pop, without a packet. */
static void test_pending_plaintext_waits_for_no_packet(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    shake_hands_well(&e);
    for (int i = 0; i < 4; i++) wait_ok(push_pattern(e.client, 16000, (unsigned)i * 16000), DEMI_OPC_PUSH);
    pop_pattern(e.server, 64000, 0);
    push_pattern(e.client, 60000, 5);
    OK(demi_close(e.client));
    demi_qtoken_t qt; /* one pop, and the rest goes with the connection */
    OK(demi_pop(&qt, e.server));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_close(e.server));
    OK(demi_close(e.tcp.listener));
    sessions_become(0);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void test_each_direction_ends_for_itself(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    push_pattern(e.client, 1000, 3);
    OK(demi_shutdown(e.client, SHUT_WR));
    pop_pattern(e.server, 1000, 3);
    pop_end(e.server);
    pop_end(e.server);
    push_pattern(e.server, 65535, 4);
    pop_pattern(e.client, 65535, 4);
    demi_qtoken_t qt;
    demi_sgarray_t sga = sga_pattern(5, 0);
    FAILS(EPIPE, demi_push(&qt, e.client, &sga));
    OK(demi_sgafree(&sga));
    OK(demi_shutdown(e.server, SHUT_RDWR));
    pop_end(e.client);
    pop_end(e.server);
    ends_close(&e);
}

static void test_close_is_the_end_of_the_peers_stream(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    demi_qtoken_t pop;
    shake_hands_well(&e);
    OK(demi_pop(&pop, e.client));
    OK(demi_close(e.server));
    demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
    assert_int_equal(counter("tls.cut"), 0);
    OK(demi_close(e.client));
    OK(demi_close(e.tcp.listener));
}

static void test_close_cancels_what_is_outstanding(void **state)
{
    struct ends e = ends_new(client_context, server_context);
    demi_qtoken_t pop, shake, other;
    OK(demi_pop(&pop, e.client));
    OK(demi_tls_handshake(&shake, e.client));
    OK(demi_pop(&other, e.server));
    OK(demi_cancel(other));
    assert_int_equal(wait_failed(other), ECANCELED);
    OK(demi_close(e.client));
    assert_int_equal(wait_failed(pop), ECANCELED);
    assert_int_equal(wait_failed(shake), ECANCELED);
    OK(demi_close(e.server));
    OK(demi_close(e.tcp.listener));
}

/* --- over a relay ------------------------------------------------------------------------------------------------- */

struct relayed {
    int a[2], b[2]; /* a[0] is the client, b[1] the server; a[1] and b[0] the relay's */
    demi_qtoken_t from_client, from_server;
};

static struct relayed relayed_new(demi_tls_context_t *client, demi_tls_context_t *server)
{
    struct relayed r;
    OK(demi_pipe(r.a));
    OK(demi_pipe(r.b));
    OK(demi_tls_server(r.b[1], server));
    OK(demi_tls_client(r.a[0], client, NULL));
    OK(demi_pop(&r.from_client, r.a[1]));
    OK(demi_pop(&r.from_server, r.b[0]));
    return r;
}

static void relayed_close(struct relayed *r)
{
    OK(demi_close(r->a[0]));
    OK(demi_close(r->a[1]));
    OK(demi_close(r->b[0]));
    OK(demi_close(r->b[1]));
}

static void push_pieces(int qd, const demi_sgarray_t *sga, size_t piece)
{
    const char *p = sga->sga_segs[0].sgaseg_buf;
    size_t n = sga->sga_segs[0].sgaseg_len;
    for (size_t at = 0; at < n; at += piece) push_small(qd, p + at, n - at < piece ? n - at : piece);
}

/* Hands on what there is, in pieces of so many bytes. False: there is nothing. */
static bool relay(struct relayed *r, size_t piece)
{
    bool any = false;
    for (int way = 0; way < 2; way++) {
        demi_qtoken_t *qt = way ? &r->from_server : &r->from_client;
        demi_qresult_t qr;
        if (!*qt || demi_wait(&qr, *qt, &now)) continue;
        *qt = 0;
        if (qr.qr_opcode == DEMI_OPC_FAILED) continue;
        any = true;
        if (qr.qr_value.sga.sga_segs[0].sgaseg_len) {
            push_pieces(way ? r->a[1] : r->b[0], &qr.qr_value.sga, piece);
            OK(demi_pop(qt, way ? r->b[0] : r->a[1]));
        } else {
            OK(demi_shutdown(way ? r->a[1] : r->b[0], SHUT_WR));
        }
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    return any;
}

static void relay_all(struct relayed *r, size_t piece)
{
    for (int idle = 0; idle < 3;) idle = relay(r, piece) ? 0 : idle + 1;
}

static void shake_relayed(struct relayed *r, size_t piece)
{
    demi_qtoken_t client, server;
    OK(demi_tls_handshake(&client, r->a[0]));
    OK(demi_tls_handshake(&server, r->b[1]));
    relay_all(r, piece);
    wait_ok(client, DEMI_OPC_CONNECT);
    wait_ok(server, DEMI_OPC_CONNECT);
}

static void exchange_in_pieces(demi_tls_context_t *client, demi_tls_context_t *server, size_t piece)
{
    struct relayed r = relayed_new(client, server);
    shake_relayed(&r, piece);
    push_pattern(r.a[0], 3000, 1);
    push_pattern(r.b[1], 2000, 2);
    relay_all(&r, piece);
    pop_pattern(r.b[1], 3000, 1);
    pop_pattern(r.a[0], 2000, 2);
    OK(demi_shutdown(r.a[0], SHUT_WR));
    relay_all(&r, piece);
    pop_end(r.b[1]);
    relayed_close(&r);
}

static void test_a_handshake_in_pieces_of_one_byte(void **state)
{
    exchange_in_pieces(client_context, server_context, 1);
    exchange_in_pieces(client_context, server_context, 3);
    exchange_in_pieces(client_context, server_context, 65535);
}

static void test_each_version_alone(void **state)
{
    static const char *const versions[] = {"TLSv1.2", "TLSv1.3"};
    for (int i = 0; i < 2; i++) {
        struct demi_tls_options o = tls_server_options(), all = tls_client_options();
        o.protocols = versions[i];
        demi_tls_context_t *one = context_of(o);
        all.protocols = versions[!i];
        demi_tls_context_t *other = context_of(all);
        exchange_in_pieces(client_context, one, 7);
        struct ends e = ends_new(client_context, one);
        shake_hands_well(&e);
        struct demi_tls_info info;
        OK(demi_tls_info(e.client, &info));
        assert_string_equal(info.version, versions[i]);
        ends_close(&e);
        e = ends_new(other, one);
        int client, server;
        shake_hands(&e, &client, &server);
        assert_int_equal(client, EPROTO);
        assert_int_equal(server, EPROTO);
        says(e.server, i ? "unsupported protocol" : "unsupported protocol");
        ends_close(&e);
        demi_tls_context_free(one);
        demi_tls_context_free(other);
    }
}

/* The bytes of a stream that was cut are given; the cut is an error and no end. */
static void test_a_cut_stream_is_no_end(void **state)
{
    struct relayed r = relayed_new(client_context, server_context);
    demi_qtoken_t qt;
    shake_relayed(&r, 1000);
    push_pattern(r.a[0], 100, 9);
    relay_all(&r, 1000);
    OK(demi_close(r.b[0]));
    r.from_server = 0;
    pop_pattern(r.b[1], 100, 9);
    OK(demi_pop(&qt, r.b[1]));
    assert_int_equal(wait_failed(qt), ECONNABORTED);
    says(r.b[1], "close_notify");
    pop_end(r.b[1]);
    assert_int_equal(counter("tls.cut"), 1);
    OK(demi_close(r.a[0]));
    OK(demi_close(r.a[1]));
    OK(demi_close(r.b[1]));
}

static void test_who_vanishes_in_the_handshake_is_no_end(void **state)
{
    for (int words = 0; words < 2; words++) {
        int p[2];
        demi_qtoken_t qt, shake;
        OK(demi_pipe(p));
        OK(demi_tls_server(p[1], server_context));
        OK(demi_pop(&qt, p[1]));
        OK(demi_tls_handshake(&shake, p[1]));
        if (words) push_small(p[0], "\x16\x03\x01\x02\x00\x01", 6);
        OK(demi_close(p[0]));
        assert_int_equal(wait_failed(qt), ECONNABORTED);
        assert_int_equal(wait_failed(shake), ECONNABORTED);
        says(p[1], "before the handshake was over");
        OK(demi_tls_handshake(&shake, p[1]));
        assert_int_equal(wait_failed(shake), ECONNABORTED);
        OK(demi_close(p[1]));
    }
}

static void test_a_byte_that_was_changed_ends_the_connection(void **state)
{
    struct relayed r = relayed_new(client_context, server_context);
    demi_qtoken_t qt;
    demi_qresult_t qr;
    shake_relayed(&r, 1000);
    push_pattern(r.a[0], 100, 9);
    OK(demi_wait(&qr, r.from_client, &soon));
    char *p = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
    p[50] = (char)(p[50] ^ 1);
    push_pieces(r.b[0], &qr.qr_value.sga, 1000);
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_pop(&r.from_client, r.a[1]));
    OK(demi_pop(&qt, r.b[1]));
    assert_int_equal(wait_failed(qt), EPROTO);
    says(r.b[1], "bad record mac");
    relay_all(&r, 1000); /* and the client hears by an alert why */
    OK(demi_pop(&qt, r.a[0]));
    assert_int_equal(wait_failed(qt), EPROTO);
    says(r.a[0], "bad record mac");
    relayed_close(&r);
}

/* --- what does not belong ----------------------------------------------------------------------------------------- */

static void refused(const char *bytes, size_t n, const char *reason)
{
    int p[2];
    demi_qtoken_t qt;
    OK(demi_pipe(p));
    OK(demi_tls_server(p[1], server_context));
    OK(demi_pop(&qt, p[1]));
    push_small(p[0], bytes, n);
    assert_int_equal(wait_failed(qt), EPROTO);
    says(p[1], reason);
    demi_sgarray_t sga = sga_pattern(5, 0);
    FAILS(EPIPE, demi_push(&qt, p[1], &sga));
    OK(demi_sgafree(&sga));
    FAILS(ENOTCONN, demi_shutdown(p[1], SHUT_WR));
    OK(demi_close(p[0]));
    OK(demi_close(p[1]));
}

static void test_plain_text_and_garbage_are_refused(void **state)
{
    refused("PING\r\nPING\r\n", 12, "wrong version number");
    refused("GET / HTTP/1.1\r\n\r\n", 18, "http request");
    refused("*1\r\n$4\r\nPING\r\n", 14, "wrong version number");
    refused("\x16\x03\x01\xff\xff\x01\x00\x00", 8, "packet length too long");
    refused("\x17\x03\x03\x00\x10"
            "0123456789abcdef",
            21, "");
}

static void refused_pair(demi_tls_context_t *client, demi_tls_context_t *server, const char *client_why,
                         const char *server_why)
{
    struct ends e = ends_new(client, server);
    demi_qtoken_t qt;
    int client_error, server_error;
    shake_hands(&e, &client_error, &server_error);
    if (!client_error) { /* of TLS 1.3 a client hears when it reads */
        OK(demi_pop(&qt, e.client));
        client_error = wait_failed(qt);
    }
    assert_int_equal(client_error, EPROTO);
    says(e.client, client_why);
    if (server_why) assert_int_equal(server_error, EPROTO);
    if (server_why) says(e.server, server_why);
    ends_close(&e);
}

static void test_who_is_not_trusted_is_refused(void **state)
{
    struct demi_tls_options o = tls_client_options();
    o.cert_file = tls_file("stranger.crt");
    o.key_file = tls_file("stranger.key");
    demi_tls_context_t *stranger = context_of(o);
    o = tls_client_options();
    o.ca_file = tls_file("other.crt");
    demi_tls_context_t *wary = context_of(o);
    o = tls_client_options();
    o.cert_file = o.key_file = NULL;
    demi_tls_context_t *bare = context_of(o);
    refused_pair(stranger, server_context, "unknown ca", "unable to get local issuer certificate");
    refused_pair(wary, server_context, "certificate verify failed", "unknown ca");
    refused_pair(bare, server_context, "certificate required", "peer did not return a certificate");
    o = tls_server_options();
    o.verify = DEMI_TLS_VERIFY_OPTIONAL;
    demi_tls_context_t *open = context_of(o);
    refused_pair(stranger, open, "unknown ca", "unable to get local issuer certificate");
    exchange_in_pieces(bare, open, 1000);
    o.verify = DEMI_TLS_VERIFY_NONE;
    o.ca_file = NULL;
    demi_tls_context_t *blind = context_of(o);
    exchange_in_pieces(bare, blind, 1000);
    exchange_in_pieces(stranger, blind, 1000);
    demi_tls_context_free(stranger);
    demi_tls_context_free(wary);
    demi_tls_context_free(bare);
    demi_tls_context_free(open);
    demi_tls_context_free(blind);
}

static void test_a_client_may_ask_for_a_name(void **state)
{
    static const struct {
        const char *name;
        bool fits;
    } names[] = {
        {"localhost", true}, {"127.0.0.1", true}, {"example.org", false}, {"127.0.0.2", false}, {"::1", false}};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct ends e = {.tcp = pair_new()};
        e.client = e.tcp.client;
        e.server = e.tcp.server;
        OK(demi_tls_client(e.client, client_context, names[i].name));
        OK(demi_tls_server(e.server, server_context));
        int client, server;
        shake_hands(&e, &client, &server);
        assert_int_equal(client, names[i].fits ? 0 : EPROTO);
        if (!names[i].fits) says(e.client, "mismatch");
        ends_close(&e);
    }
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void test_a_handshake_has_its_time(void **state)
{
    struct demi_tls_options o = tls_server_options();
    o.handshake_ns_max = 20000000;
    demi_tls_context_t *hasty = context_of(o);
    int p[2];
    demi_qtoken_t qt;
    OK(demi_pipe(p));
    OK(demi_tls_server(p[1], hasty));
    OK(demi_pop(&qt, p[1]));
    push_small(p[0], "\x16\x03\x01\x02\x00\x01", 6);
    assert_int_equal(wait_failed(qt), ETIMEDOUT);
    says(p[1], "too long");
    OK(demi_close(p[1]));
    OK(demi_close(p[0]));
    demi_tls_context_free(hasty);
}

static void test_a_handshake_has_its_length(void **state)
{
    static char record[5 + 16000] = "\x16\x03\x01\x3e\x80\x01\x03\xf0\x00";
    int p[2];
    demi_qtoken_t qt;
    OK(demi_pipe(p));
    OK(demi_tls_server(p[1], server_context));
    OK(demi_pop(&qt, p[1]));
    for (int i = 0; i < 40; i++) {
        push_small(p[0], record, sizeof record);
        demi_qresult_t qr;
        if (!demi_wait(&qr, qt, &now)) {
            assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
            assert_int_equal(qr.qr_ret, EPROTO);
            break;
        }
        assert_true(i < 30);
    }
    OK(demi_close(p[1]));
    OK(demi_close(p[0]));
}

/* A thousand that say nothing cost little, and nobody else is kept from his handshake. */
static void test_a_thousand_half_open_handshakes(void **state)
{
    enum { MANY = 1000 };
    static int pipes[MANY][2];
    struct demi_mem_stats before, after;
    demi_mem_stats(&before);
    for (int i = 0; i < MANY; i++) {
        OK(demi_pipe(pipes[i]));
        OK(demi_tls_server(pipes[i][1], server_context));
        if (i % 2) push_small(pipes[i][0], "\x16\x03\x01\x02\x00\x01", 6);
    }
    demi_mem_stats(&after);
    assert_true(after.used - before.used < MANY * 4096u);
    exchange_in_pieces(client_context, server_context, 1000);
    sessions_become(MANY);
    for (int i = 0; i < MANY; i++) {
        OK(demi_close(pipes[i][0]));
        OK(demi_close(pipes[i][1]));
    }
    sessions_become(0);
}

static void test_a_session_is_resumed(void **state)
{
    if (!test_is_kernel()) skip(); /* the openssl command is the client */
    for (int caches = 0; caches < 2; caches++) {
        struct demi_tls_options o = tls_server_options();
        o.session_cache = caches;
        demi_tls_context_t *server = context_of(o);
        char line[512];
        struct sockaddr_in addr;
        int listener = listener_new(&addr);
        uint64_t before = counter("tls.resumed");
        snprintf(line, sizeof line,
                 "openssl s_client -connect 127.0.0.1:%d -CAfile ca.crt -cert client.crt -key client.key -reconnect "
                 "-tls1_2 </dev/null >session.log 2>&1 & true",
                 ntohs(addr.sin_port));
        demi_qtoken_t accepting, shake;
        OK(demi_accept(&accepting, listener));
        OK(tls_run(line) ? EIO : 0);
        for (int i = 0; i < 6; i++) {
            int qd = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
            if (i < 5) OK(demi_accept(&accepting, listener));
            OK(demi_tls_server(qd, server));
            OK(demi_tls_handshake(&shake, qd));
            wait_ok(shake, DEMI_OPC_CONNECT);
            demi_qtoken_t qt;
            OK(demi_pop(&qt, qd));
            wait_for(qt);
            OK(demi_close(qd));
        }
        assert_int_equal(counter("tls.resumed") - before, caches ? 5 : 0);
        OK(demi_close(listener));
        demi_tls_context_free(server);
    }
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static void context_refused(struct demi_tls_options o, const char *reason)
{
    demi_tls_context_t *c = NULL;
    char why[512];
    FAILS(EINVAL, demi_tls_context_new(&c, &o, why, sizeof why));
    assert_null(c);
    if (!strstr(why, reason)) fail_msg("\"%s\" has no \"%s\"", why, reason);
    FAILS(EINVAL, demi_tls_context_new(&c, &o, NULL, 0));
}

static void test_what_is_wrong_with_a_context_is_said(void **state)
{
    struct demi_tls_options good = tls_server_options(), o = good;
    o.cert_file = "/nowhere/server.crt";
    context_refused(o, "Failed to load certificate: /nowhere/server.crt: error:");
    o = good, o.key_file = tls_file("log");
    context_refused(o, "Failed to load private key: ");
    o = good, o.key_file = tls_file("client.key");
    context_refused(o, "key values mismatch");
    o = good, o.key_file = NULL;
    context_refused(o, "needs its key");
    o = good, o.key_file = tls_file("secret.key");
    context_refused(o, "Failed to load private key: ");
    o.key_pass = "wrong";
    context_refused(o, "Failed to load private key: ");
    o.key_pass = "open sesame";
    demi_tls_context_free(context_of(o));
    o = good, o.ca_file = "/nowhere/ca.crt";
    context_refused(o, "Failed to configure CA certificate(s) file/directory: ");
    o = good, o.protocols = "TLSv1.2 SSLv3";
    context_refused(o, "Invalid tls-protocols");
    o = good, o.protocols = " ";
    context_refused(o, "Invalid tls-protocols");
    o = good, o.ciphers = "nonsense";
    context_refused(o, "Failed to configure ciphers: nonsense");
    o = good, o.ciphersuites = "nonsense";
    context_refused(o, "Failed to configure ciphersuites: nonsense");
    o = good, o.dh_file = "/nowhere/dh.pem";
    context_refused(o, "Failed to load /nowhere/dh.pem: No such file");
    o = good, o.dh_file = tls_file("ca.crt");
    context_refused(o, "failed to read DH params");
    o = good, o.verify = (enum demi_tls_verify)7;
    context_refused(o, "verify");
}

static void test_ciphers_are_chosen(void **state)
{
    struct demi_tls_options o = tls_server_options();
    struct demi_tls_info info;
    o.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    o.prefer_server_ciphers = true;
    demi_tls_context_t *c = context_of(o);
    struct ends e = ends_new(client_context, c);
    shake_hands_well(&e);
    OK(demi_tls_info(e.client, &info));
    assert_string_equal(info.cipher, "TLS_CHACHA20_POLY1305_SHA256");
    ends_close(&e);
    demi_tls_context_free(c);
}

/* Connections keep what they need, and those that have not begun their handshake, too. */
static void test_a_context_may_go_first(void **state)
{
    demi_tls_context_t *server = context_of(tls_server_options()), *client = context_of(tls_client_options());
    struct ends e = ends_new(client, server);
    demi_tls_context_free(server);
    demi_tls_context_free(client);
    demi_tls_context_free(NULL);
    shake_hands_well(&e);
    push_pattern(e.client, 10, 1);
    pop_pattern(e.server, 10, 1);
    ends_close(&e);
}

static void test_wrong_arguments(void **state)
{
    struct demi_tls_options o = tls_server_options();
    struct demi_tls_certificate c;
    struct demi_tls_info info;
    demi_tls_context_t *x;
    demi_qtoken_t qt;
    FAILS(EINVAL, demi_tls_context_new(NULL, &o, NULL, 0));
    FAILS(EINVAL, demi_tls_context_new(&x, NULL, NULL, 0));
    FAILS(EINVAL, demi_tls_context_certificate(NULL, DEMI_TLS_OWN, &c));
    FAILS(EINVAL, demi_tls_context_certificate(server_context, DEMI_TLS_OWN, NULL));
    FAILS(EINVAL, demi_tls_context_certificate(server_context, (enum demi_tls_which)9, &c));
    FAILS(EBADF, demi_tls_server(1, server_context));
    FAILS(EBADF, demi_tls_client(1, client_context, NULL));
    int qd = socket_new(SOCK_STREAM);
    FAILS(EINVAL, demi_tls_server(qd, NULL));
    FAILS(ENOTCONN, demi_tls_server(qd, server_context));
    FAILS(ENOTSUP, demi_tls_info(qd, &info));
    FAILS(ENOTSUP, demi_tls_peer(qd, &c));
    FAILS(ENOTSUP, demi_tls_handshake(&qt, qd));
    FAILS(EBADF, demi_tls_info(1, &info));
    FAILS(EINVAL, demi_tls_info(qd, NULL));
    FAILS(EINVAL, demi_tls_peer(qd, NULL));
    FAILS(EINVAL, demi_tls_handshake(NULL, qd));
    OK(demi_close(qd));
    OK(demi_open(&qd, tls_file("log"), O_RDONLY, 0));
    FAILS(ENOTSUP, demi_tls_server(qd, server_context));
    OK(demi_close(qd));
    struct ends e = ends_new(client_context, server_context);
    FAILS(EALREADY, demi_tls_server(e.server, server_context));
    demi_sgarray_t sga = sga_pattern(5, 0);
    FAILS(ENOTSUP, demi_pushto(&qt, e.client, &sga, ADDR(&e.tcp.addr)));
    OK(demi_sgafree(&sga));
    struct sockaddr_in addr;
    socklen_t size = sizeof addr;
    OK(demi_getpeername(e.client, (struct sockaddr *)&addr, &size));
    assert_int_equal(addr.sin_port, e.tcp.addr.sin_port);
    assert_true(!test_is_kernel() || demi_queue_fd(e.client) >= 0);
    ends_close(&e);
}

static int tls_setup(void **state)
{
    server_context = context_of(tls_server_options());
    client_context = context_of(tls_client_options());
    return test_setup(state);
}

static int tls_teardown(void **state)
{
    int err = test_teardown(state);
    demi_tls_context_free(server_context);
    demi_tls_context_free(client_context);
    return err;
}

#define tls_unit_test(f) cmocka_unit_test_setup_teardown(f, tls_setup, tls_teardown)

int main(void)
{
    const char *missing = tls_missing();
    if (missing) {
        printf("1..0 # SKIP %s\n", missing);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        tls_unit_test(test_what_is_pushed_is_popped),
        tls_unit_test(test_a_connection_knows_its_peer),
        tls_unit_test(test_a_context_shows_its_certificates),
        tls_unit_test(test_a_push_and_a_close_before_the_handshake_arrive),
        tls_unit_test(test_small_pushes_of_a_turn_arrive_as_one_pop),
        tls_unit_test(test_pieces_of_any_size_are_one_stream),
        tls_unit_test(test_what_is_not_read_is_not_encrypted),
        tls_unit_test(test_a_push_completes_though_nothing_else_happens),
        tls_unit_test(test_a_backlog_outlives_the_close),
        tls_unit_test(test_a_hard_close_drops_the_backlog),
        tls_unit_test(test_pending_plaintext_waits_for_no_packet),
        tls_unit_test(test_each_direction_ends_for_itself),
        tls_unit_test(test_close_is_the_end_of_the_peers_stream),
        tls_unit_test(test_close_cancels_what_is_outstanding),
        tls_unit_test(test_a_handshake_in_pieces_of_one_byte),
        tls_unit_test(test_each_version_alone),
        tls_unit_test(test_a_cut_stream_is_no_end),
        tls_unit_test(test_who_vanishes_in_the_handshake_is_no_end),
        tls_unit_test(test_a_byte_that_was_changed_ends_the_connection),
        tls_unit_test(test_plain_text_and_garbage_are_refused),
        tls_unit_test(test_who_is_not_trusted_is_refused),
        tls_unit_test(test_a_client_may_ask_for_a_name),
        tls_unit_test(test_a_handshake_has_its_time),
        tls_unit_test(test_a_handshake_has_its_length),
        tls_unit_test(test_a_thousand_half_open_handshakes),
        tls_unit_test(test_a_session_is_resumed),
        tls_unit_test(test_what_is_wrong_with_a_context_is_said),
        tls_unit_test(test_ciphers_are_chosen),
        tls_unit_test(test_a_context_may_go_first),
        tls_unit_test(test_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

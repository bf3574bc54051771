/* SPDX-License-Identifier: MIT
 *
 * Many connections at once, all bytes checked: clients push pieces of random sizes, a server pushes
 * back what it pops without waiting for anything and frees at once, everything in one batch loop.
 * Sizes come from a seed.
 */
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 48, BYTES_EACH = 300000 };

struct client {
    int qd;
    uint32_t sent, received;
};

static struct client clients[CLIENTS];
static int listener;
static unsigned finished;
static uint64_t seed = 20261121;

static uint32_t dice(uint32_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % sides;
}

static char byte_at(const struct client *c, uint32_t i) { return (char)((i * 31 + (uint32_t)(c - clients) * 7) >> 2); }

static void start_pop(int qd, struct client *c)
{
    demi_qtoken_t qt;
    assert_int_equal(demi_pop(&qt, qd), 0);
    demi_set_data(qt, c);
}

/* One to four pieces in one push, small and large. */
static void send_more(struct client *c)
{
    struct iovec iov[4];
    int n = 0;
    demi_qtoken_t qt;
    for (int pieces = 1 + (int)dice(4); n < pieces && c->sent < BYTES_EACH; n++) {
        uint32_t size = 1 + (dice(3) ? dice(3000) : dice(30000));
        if (size > BYTES_EACH - c->sent) size = BYTES_EACH - c->sent;
        char *p = demi_malloc(size);
        for (uint32_t i = 0; i < size; i++) p[i] = byte_at(c, c->sent + i);
        iov[n] = (struct iovec){p, size};
        c->sent += size;
    }
    if (!n) return;
    assert_int_equal(demi_pushv(&qt, c->qd, iov, n, 0), 0);
    demi_set_data(qt, c);
    for (int i = 0; i < n; i++) demi_free(iov[i].iov_base);
}

static void check_received(struct client *c, const demi_sgarray_t *sga)
{
    const char *p = sga->sga_segs[0].sgaseg_buf;
    for (uint32_t i = 0; i < sga->sga_segs[0].sgaseg_len; i++)
        if (p[i] != byte_at(c, c->received + i)) fail_msg("byte %u differs", c->received + i);
    c->received += sga->sga_segs[0].sgaseg_len;
}

static void client_popped(struct client *c, demi_sgarray_t *sga)
{
    check_received(c, sga);
    demi_sgafree(sga);
    if (c->received < BYTES_EACH) {
        start_pop(c->qd, c);
        return;
    }
    finished++;
    demi_close(c->qd);
}

static void server_popped(int qd, demi_sgarray_t *sga)
{
    struct iovec iov[2];
    demi_qtoken_t none;
    char *p = sga->sga_segs[0].sgaseg_buf;
    uint32_t n = sga->sga_segs[0].sgaseg_len;
    if (!n) {
        demi_sgafree(sga);
        demi_close(qd);
        return;
    }
    uint32_t cut = dice(n + 1);
    iov[0] = (struct iovec){p, cut};
    iov[1] = (struct iovec){p + cut, n - cut};
    assert_int_equal(demi_pushv(&none, qd, iov, 2, DEMI_PUSH_NO_TOKEN), 0);
    demi_sgafree(sga);
    start_pop(qd, NULL);
}

static void step(demi_qresult_t *qr)
{
    struct client *c = demi_result_data(qr);
    demi_qtoken_t qt;
    switch (qr->qr_opcode) {
    case DEMI_OPC_ACCEPT:
        start_pop(qr->qr_value.ares.qd, NULL);
        assert_int_equal(demi_accept(&qt, listener), 0);
        break;
    case DEMI_OPC_CONNECT:
        start_pop(c->qd, c);
        send_more(c);
        break;
    case DEMI_OPC_PUSH: send_more(c); break;
    case DEMI_OPC_POP:
        if (c) client_popped(c, &qr->qr_value.sga);
        else server_popped(qr->qr_qd, &qr->qr_value.sga);
        break;
    default: fail_msg("opcode %d, errno %d", (int)qr->qr_opcode, (int)qr->qr_ret);
    }
}

static void test_every_byte_comes_back_on_every_connection(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    demi_qtoken_t qt;
    demi_qresult_t qr[32];
    int n;
    struct demi_mem_stats before, after;
    assert_int_equal(demi_init_with("posix", NULL), 0);
    demi_socket(&listener, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(demi_bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(demi_listen(listener, CLIENTS), 0);
    demi_getsockname(listener, (struct sockaddr *)&addr, &len);
    demi_mem_stats(&before);
    assert_int_equal(demi_accept(&qt, listener), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(demi_socket(&clients[i].qd, AF_INET, SOCK_STREAM, 0), 0);
        assert_int_equal(demi_connect(&qt, clients[i].qd, (struct sockaddr *)&addr, sizeof addr), 0);
        demi_set_data(qt, &clients[i]);
    }
    while (finished < CLIENTS) {
        assert_int_equal(demi_wait_batch(qr, 32, &n, NULL), 0);
        for (int i = 0; i < n; i++) step(&qr[i]);
    }
    assert_int_equal(demi_exit(), 0);
    demi_mem_stats(&after);
    assert_int_equal(after.pinned, 0);
    assert_true(after.used <= before.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_byte_comes_back_on_every_connection)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

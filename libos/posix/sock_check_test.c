/* SPDX-License-Identifier: MIT
 *
 * What sock_check() sees: a listener and a connected socket whose fields are spoilt one after the other.
 */
#include "alloc/base/assert_test.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "libos/posix/sock.h"

#include <arpa/inet.h>

#define OK(call) assert_int_equal(call, 0)

static void check(void *s) { sock_check(s); }

static struct posix_sock *sock_behind(int qd)
{
    struct queue *q = queue_find(&runtime_current()->queues, qd);
    assert_non_null(q);
    return sock_of(q);
}

static void test_a_spoilt_socket_is_seen(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    int listener, client;
    demi_qtoken_t accepting, connecting;
    demi_qresult_t qr;
    static char hello[] = "hello";
    struct iovec iov = {hello, 5};
    OK(demi_init_with("posix", NULL));
    OK(demi_socket(&listener, AF_INET, SOCK_STREAM, 0));
    OK(demi_bind(listener, (struct sockaddr *)&addr, sizeof addr));
    OK(demi_listen(listener, 4));
    OK(demi_getsockname(listener, (struct sockaddr *)&addr, &size));
    OK(demi_accept(&accepting, listener));
    struct posix_sock *l = sock_behind(listener);
    check(l);
    SEEN(check, l, l->state, SOCK_BOUND, "!s->accepts.head || s->state == SOCK_LISTENING");
    SEEN(check, l, l->state, SOCK_CONNECTING, "SOCK_LISTENING");
    SEEN(check, l, l->state, SOCK_CLOSING, "SOCK_LISTENING");
    OK(demi_socket(&client, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, client, (struct sockaddr *)&addr, sizeof addr));
    OK(demi_wait(&qr, connecting, NULL));
    OK(demi_wait(&qr, accepting, NULL));
    demi_qtoken_t push;
    OK(demi_pushv(&push, client, &iov, 1, 0));
    struct posix_sock *s = sock_behind(client);
    check(s);
    SEEN(check, s, s->out.count, s->out.room + 1, "s->out.count <= s->out.room");
    SEEN(check, s, s->queued, s->queued + 1, "bytes == s->queued - s->sent");
    SEEN(check, s, s->sent, s->sent + 1, "bytes == s->queued - s->sent");
    SEEN(check, s, s->st.pushes.tail->arg, s->queued + 1, "s->st.pushes.tail->arg <= s->queued");
    SEEN(check, s, s->st.pushes.head->arg, s->sent, "s->st.pushes.head->arg > s->sent");
    SEEN(check, s, s->connecting, (struct op *)s, "!s->connecting == (s->state != SOCK_CONNECTING)");
    SEEN(check, s, s->fin_due, true, "!s->fin_due || s->st.flags & STREAM_WRITE_SHUT");
    SEEN(check, s, s->state, SOCK_CLOSING, "list_is_empty(&s->closing) == (s->state != SOCK_CLOSING)");
    SEEN(check, s, s->dirty_link, NULL, "!s->out.count || s->blocked || s->dirty_link");
    SEEN(check, s, s->dgram_count, 1, "!s->dgrams == !s->dgram_count");
    SEEN(check, s, s->st.error, ECONNRESET, "!st->error || st->flags & STREAM_FAILED");
    OK(demi_wait(&qr, push, NULL));
    OK(demi_exit());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_spoilt_socket_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

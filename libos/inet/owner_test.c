/* SPDX-License-Identifier: MIT
 *
 * Names and ports against another process, which is a child here. No rights are needed: the loopback is the interface.
 */
#include "libos/inet/owner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "libos/inet/kport.h"

/* What another process is answered: the code of fn(arg) as an exit status. */
static int in_another(int (*fn)(void *arg), void *arg)
{
    int status;
    pid_t child = fork();
    if (!child) _exit(-fn(arg));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static char who[OWNER_WHO_SIZE];

static int take(void *name) { return owner_take(name, who, sizeof who); }

static int take_and_see_pid(void *pid)
{
    char wanted[32];
    if (owner_take("test/named", who, sizeof who) != -EADDRINUSE) return -1;
    snprintf(wanted, sizeof wanted, "(pid %d)", *(pid_t *)pid);
    return strstr(who, wanted) ? 0 : -2;
}

static void test_a_name_is_one_processs(void **state)
{
    char name[] = "test/one", other[] = "test/other";
    assert_int_equal(owner_take(name, who, sizeof who), 0);
    assert_int_equal(in_another(take, name), -EADDRINUSE);
    assert_int_equal(in_another(take, other), 0);
    owner_give(name);
    assert_int_equal(in_another(take, name), 0);
}

static void test_threads_count_together(void **state)
{
    char name[] = "test/counted";
    assert_int_equal(owner_take(name, NULL, 0), 0);
    assert_int_equal(owner_take(name, NULL, 0), 0);
    owner_give(name);
    assert_int_equal(in_another(take, name), -EADDRINUSE);
    owner_give(name);
    assert_int_equal(in_another(take, name), 0);
    owner_give(name); /* once too often is nothing */
}

static void test_the_owner_is_named(void **state)
{
    pid_t me = getpid();
    assert_int_equal(owner_take("test/named", who, sizeof who), 0);
    assert_int_equal(in_another(take_and_see_pid, &me), 0);
    owner_give("test/named");
}

/* --- ports --- */

static unsigned loopback(void) { return if_nametoindex("lo"); }

static uint16_t some_port(int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, type, 0);
    assert_int_equal(bind(fd, (void *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (void *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

struct bound {
    int type;
    uint16_t port;
};

/* As a service of the kernel's would. */
static int serve(void *arg)
{
    const struct bound *b = arg;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(b->port)};
    int one = 1, fd = socket(AF_INET, b->type, 0);
    if (b->type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&a, sizeof a)) return -errno;
    if (b->type == SOCK_STREAM && listen(fd, 1)) return -errno;
    return 0;
}

static int claim(void *arg)
{
    const struct bound *b = arg;
    return kport_take(loopback(), b->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP, b->port);
}

/* Where filters on streams are not for everybody (Linux 6.18), nothing is held. */
static void skip_without_filters(void)
{
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const struct sock_fprog prog = {.len = 1, .filter = nothing};
    int fd = socket(AF_INET, SOCK_STREAM, 0), err = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
    close(fd);
    if (err) skip();
}

static void test_a_port_is_ours_in_the_kernel_too(void **state)
{
    skip_without_filters();
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (unsigned i = 0; i < 2; i++) {
        struct bound b = {types[i], some_port(types[i])};
        uint8_t proto = types[i] == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
        assert_int_equal(claim(&b), 0);
        assert_int_equal(claim(&b), 0);
        assert_int_equal(in_another(serve, &b), -EADDRINUSE);
        assert_int_equal(in_another(claim, &b), -EADDRINUSE);
        kport_give(loopback(), proto, b.port);
        assert_int_equal(in_another(claim, &b), -EADDRINUSE);
        kport_give(loopback(), proto, b.port);
        assert_int_equal(in_another(serve, &b), 0);
    }
}

static void test_a_port_of_a_service_is_refused(void **state)
{
    skip_without_filters();
    struct bound b = {SOCK_STREAM, some_port(SOCK_STREAM)};
    assert_int_equal(serve(&b), 0); /* stays open to the end */
    assert_int_equal(claim(&b), -EADDRINUSE);
    b.type = SOCK_DGRAM;
    assert_int_equal(claim(&b), 0);
    kport_give(loopback(), IPPROTO_UDP, b.port);
}

static void test_ports_move_with_their_interface(void **state)
{
    skip_without_filters();
    struct bound b = {SOCK_STREAM, some_port(SOCK_STREAM)};
    assert_int_equal(kport_take(4242, IPPROTO_TCP, b.port), 0); /* there is none: nothing is held, and nothing wrong */
    assert_int_equal(in_another(serve, &b), 0);
    kport_move(4242, loopback());
    assert_int_equal(in_another(serve, &b), -EADDRINUSE);
    kport_give(loopback(), IPPROTO_TCP, b.port);
    assert_int_equal(in_another(serve, &b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_one_processs),
        cmocka_unit_test(test_threads_count_together),
        cmocka_unit_test(test_the_owner_is_named),
        cmocka_unit_test(test_a_port_is_ours_in_the_kernel_too),
        cmocka_unit_test(test_a_port_of_a_service_is_refused),
        cmocka_unit_test(test_ports_move_with_their_interface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

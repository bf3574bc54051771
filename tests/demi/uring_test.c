/* SPDX-License-Identifier: MIT
 *
 * What only io_uring can get wrong: buffers that run out, sends without a copy, requests that outlive their socket, a
 * ring that is refused. What every libOS does alike the other tests of this folder ask of it, too
 * (tests/interop/api_on_uring.sh). The peers are bare sockets of the kernel. This test looks inside: at debug builds'
 * checks, and at what is still held.
 */
#include "tests/demi/demi_test.h"

#if __has_include(<liburing.h>)
#include "alloc/base/assert_test.h"
#include "libos/uring/sock.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int start_with(const char *key, const char *value)
{
    struct demi_setting s = {key, value};
    char why[256];
    int err = demi_init_options(&(struct demi_init_options){
        .libos = "uring", .settings = &s, .setting_count = key ? 1 : 0, .why = why, .why_size = sizeof why});
    if (err) print_message("%s\n", why);
    return err;
}

static int start_uring(void **state)
{
    (void)state;
    return start_with(NULL, NULL) ? -1 : 0;
}

static int start_few_buffers(void **state)
{
    (void)state;
    return start_with("uring.buffers", "8") ? -1 : 0;
}

static int start_zero_copy(void **state)
{
    (void)state;
    return start_with("uring.zero_copy_bytes", "4096") ? -1 : 0;
}

struct found {
    const char *name;
    uint64_t value;
};

static void find_counter(void *arg, const char *name, uint64_t value)
{
    struct found *f = arg;
    if (!strcmp(name, f->name)) f->value = value;
}

static uint64_t counter(const char *name)
{
    struct found f = {name, UINT64_MAX};
    demi_counters(find_counter, &f);
    assert_true(f.value != UINT64_MAX);
    return f.value;
}

static struct uring *the_uring(void) { return (struct uring *)runtime_current()->libos[0]; }

static struct uring_sock *sock_behind(int qd)
{
    struct queue *q = queue_find(&runtime_current()->queues, qd);
    assert_non_null(q);
    return uring_sock_of(q);
}

static void turn(void)
{
    demi_qresult_t qr;
    demi_qtoken_t qt;
    OK(demi_timer(&qt, 1));
    OK(demi_wait(&qr, qt, &soon));
}

static void rest_ms(void)
{
    demi_qresult_t qr;
    demi_qtoken_t qt;
    OK(demi_timer(&qt, 1000000));
    OK(demi_wait(&qr, qt, &soon));
}

/* What must become so has ten seconds, as everywhere here. */
#define EVENTUALLY(what)                                                                                               \
    do {                                                                                                               \
        for (int n_ = 0; n_ < 10000 && !(what); n_++) rest_ms();                                                       \
        assert_true(what);                                                                                             \
    } while (0)

static int client_of(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    OK(connect(fd, (const struct sockaddr *)addr, sizeof *addr));
    return fd;
}

static int accepted_by(int listener)
{
    demi_qtoken_t qt;
    OK(demi_accept(&qt, listener));
    return wait_ok(qt, DEMI_OPC_ACCEPT).qr_value.ares.qd;
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void fill_line(char line[16], int client, int piece)
{
    memset(line, 'a' + piece, 16);
    memcpy(line, &client, sizeof client);
}

/* More connections than there are buffers have sent something before the loop looks: receives end for want of one, are
 * made again, and nothing is missing. */
static void test_buffers_that_run_out_come_back(void **state)
{
    enum { CLIENTS = 400, ROUNDS = 3 };
    static int fds[CLIENTS], qds[CLIENTS];
    struct sockaddr_in addr;
    int listener = listener_new(&addr);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_of(&addr);
        qds[i] = accepted_by(listener);
        assert_int_equal(fcntl(fds[i], F_SETFL, 0), 0);
    }
    turn();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            for (int piece = 0; piece < 3; piece++) {
                char line[16];
                fill_line(line, i, piece);
                assert_int_equal(send(fds[i], line, sizeof line, 0), sizeof line);
            }
        for (int i = 0; i < CLIENTS; i++) {
            char all[48];
            for (size_t got = 0; got < sizeof all;) {
                demi_qtoken_t qt;
                OK(demi_pop(&qt, qds[i]));
                demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
                uint32_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
                assert_in_range(n, 1, sizeof all - got);
                memcpy(all + got, qr.qr_value.sga.sga_segs[0].sgaseg_buf, n);
                got += n;
                OK(demi_sgafree(&qr.qr_value.sga));
            }
            for (int piece = 0; piece < 3; piece++) {
                char line[16];
                fill_line(line, i, piece);
                assert_memory_equal(all + piece * 16, line, 16);
            }
        }
    }
    assert_true(counter("uring.rx_starved") > 0);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
        OK(demi_close(qds[i]));
    }
    OK(demi_close(listener));
}

/* A peer that sends while nobody pops fills the kernel's buffer, not ours. */
static void test_who_does_not_pop_is_not_sent_everything(void **state)
{
    enum { MUCH = 64 << 20 };
    static char block[65536];
    struct sockaddr_in addr;
    int listener = listener_new(&addr), fd = client_of(&addr), qd = accepted_by(listener);
    size_t sent = 0, got = 0;
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i % 251);
    for (int idle = 0; idle < 50;) {
        ssize_t n = send(fd, block, sizeof block, MSG_DONTWAIT);
        turn();
        if (n > 0) sent += (size_t)n;
        idle = n > 0 ? 0 : idle + 1;
        assert_true(sent < MUCH);
    }
    assert_in_range(counter("uring.rx_bytes"), 1, 2 * URING_UNREAD_BUFS * 65536);
    close(fd);
    size_t index = 0;
    for (;;) {
        demi_qtoken_t qt;
        OK(demi_pop(&qt, qd));
        demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
        uint32_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        const unsigned char *p = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
        for (uint32_t i = 0; i < n; i++, index = (index + 1) % sizeof block)
            if (p[i] != (unsigned char)block[index]) fail();
        got += n;
        OK(demi_sgafree(&qr.qr_value.sga));
        if (!n) break;
    }
    assert_true(got > 0 && (got <= sent));
    OK(demi_close(qd));
    OK(demi_close(listener));
}

/* The program frees at once, and fills what it gets next with something else. */
static void test_what_leaves_without_a_copy_stays_in_place(void **state)
{
    enum { SIZE = 300000, PUSHES = 20 };
    struct sockaddr_in addr;
    int listener = listener_new(&addr), fd = client_of(&addr), qd = accepted_by(listener);
    demi_qtoken_t qts[PUSHES];
    static unsigned char in[SIZE];
    int flags = fcntl(fd, F_GETFL);
    for (int i = 0; i < PUSHES; i++) {
        unsigned char *p = demi_malloc(SIZE);
        assert_non_null(p);
        memset(p, 'a' + i, SIZE);
        struct iovec iov = {p, SIZE};
        OK(demi_pushv(&qts[i], qd, &iov, 1, 0));
        demi_free(p);
        p = demi_malloc(SIZE);
        assert_non_null(p);
        memset(p, 'z', SIZE);
        demi_free(p);
    }
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    for (int i = 0; i < PUSHES; i++) {
        for (size_t got = 0; got < SIZE;) {
            ssize_t n = recv(fd, in + got, SIZE - got, 0);
            if (n > 0) got += (size_t)n;
            else turn();
        }
        for (size_t k = 0; k < SIZE; k++)
            if (in[k] != 'a' + i) fail();
    }
    for (int i = 0; i < PUSHES; i++) wait_ok(qts[i], DEMI_OPC_PUSH);
    assert_true(counter("uring.zero_copies") > 0);
    EVENTUALLY(!the_uring()->held_count);
    close(fd);
    OK(demi_close(qd));
    OK(demi_close(listener));
}

/* Its peer does not read, and goes; so does the program. */
static void test_a_socket_may_end_before_its_memory_is_let_go(void **state)
{
    struct sockaddr_in addr;
    int listener = listener_new(&addr), fd = client_of(&addr), qd = accepted_by(listener);
    const struct linger now_linger = {1, 0};
    demi_qtoken_t qt;
    char *p = demi_malloc(8 << 20);
    assert_non_null(p);
    memset(p, 1, 8 << 20);
    struct iovec iov = {p, 8 << 20};
    OK(demi_pushv(&qt, qd, &iov, 1, 0));
    demi_free(p);
    turn();
    OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now_linger, sizeof now_linger));
    OK(demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &now_linger, sizeof now_linger));
    OK(demi_close(qd));
    assert_int_equal(wait_failed(qt), ECANCELED);
    close(fd);
    EVENTUALLY(!the_uring()->held_count);
    assert_false(list_is_empty(&the_uring()->socks)); /* the listener */
    OK(demi_close(listener));
    EVENTUALLY(list_is_empty(&the_uring()->socks));
}

static void test_thousands_of_short_connections_leave_nothing(void **state)
{
    struct sockaddr_in addr;
    int listener = listener_new(&addr);
    unsigned before = open_descriptors();
    for (int i = 0; i < 3000; i++) {
        int fd = client_of(&addr), qd = accepted_by(listener);
        char byte = 'x';
        demi_qtoken_t qt;
        assert_int_equal(send(fd, &byte, 1, 0), 1);
        if (i % 3) {
            OK(demi_pop(&qt, qd));
            demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
            OK(demi_sgafree(&qr.qr_value.sga));
        }
        if (i % 2) close(fd);
        OK(demi_close(qd));
        if (!(i % 2)) {
            assert_true(recv(fd, &byte, 1, 0) <= 0); /* the end or, with unread bytes, a reset: now and not some day */
            close(fd);
        }
    }
    EVENTUALLY(open_descriptors() == before);
    OK(demi_close(listener));
    EVENTUALLY(list_is_empty(&the_uring()->socks));
}

static void test_an_unfinished_connect_may_be_taken_back_and_made_again(void **state)
{
    struct sockaddr_in addr, nobody = loopback(9);
    int full = socket(AF_INET, SOCK_STREAM, 0), fill[3], listener = listener_new(&addr);
    socklen_t size = sizeof nobody;
    nobody.sin_port = 0;
    OK(bind(full, ADDR(&nobody)));
    OK(listen(full, 0));
    OK(getsockname(full, (struct sockaddr *)&nobody, &size));
    for (int i = 0; i < 3; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], ADDR(&nobody));
    }
    for (int bound = 0; bound < 2; bound++) {
        struct sockaddr_in own;
        int qd = bound ? socket_bound(SOCK_STREAM, &own) : socket_new(SOCK_STREAM);
        for (int i = 0; i < 20; i++) {
            demi_qtoken_t qt;
            OK(demi_connect(&qt, qd, ADDR(&nobody)));
            if (i % 2) turn();
            OK(demi_cancel(qt));
            assert_int_equal(wait_failed(qt), ECANCELED);
            if (i % 3) turn();
        }
        demi_qtoken_t connecting, accepting;
        OK(demi_accept(&accepting, listener));
        OK(demi_connect(&connecting, qd, ADDR(&addr)));
        wait_ok(connecting, DEMI_OPC_CONNECT);
        int peer = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
        wait_ok(push_pattern(qd, 5000, 1), DEMI_OPC_PUSH);
        pop_pattern(peer, 5000, 1);
        OK(demi_close(qd));
        OK(demi_close(peer));
    }
    OK(demi_close(listener));
    for (int i = 0; i < 3; i++) close(fill[i]);
    close(full);
}

/* Who came while nobody accepted is kept, and closed with the listener. */
static void test_connections_that_nobody_accepts_end_with_the_listener(void **state)
{
    enum { CLIENTS = 30 };
    struct sockaddr_in addr;
    int listener = listener_new(&addr), fds[CLIENTS];
    unsigned before = open_descriptors();
    int first = client_of(&addr), qd = accepted_by(listener);
    for (int i = 0; i < 12; i++) fds[i] = client_of(&addr);
    EVENTUALLY(sock_behind(listener)->parked_count > 0);
    int second = accepted_by(listener);
    OK(demi_close(listener));
    for (int i = 1; i < 12; i++) {
        char byte;
        assert_true(recv(fds[i], &byte, 1, 0) <= 0);
    }
    OK(demi_close(qd));
    OK(demi_close(second));
    for (int i = 0; i < 12; i++) close(fds[i]);
    close(first);
    EVENTUALLY(open_descriptors() == before - 1);
}

static void check_sock(void *s) { uring_sock_check(s); }

static void test_a_spoilt_socket_is_seen(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t push;
    static char hello[] = "hello";
    struct iovec iov = {hello, 5};
    struct uring_sock *l = sock_behind(p.listener);
    demi_qtoken_t accepting;
    OK(demi_accept(&accepting, p.listener));
    SEEN(check_sock, l, l->state, URING_BOUND, "!s->accepts.head || s->state == URING_LISTENING");
    OK(demi_pushv(&push, p.client, &iov, 1, 0));
    struct uring_sock *s = sock_behind(p.client);
    check_sock(s);
    SEEN(check_sock, s, s->out.count, s->out.room + 1, "s->out.count <= s->out.room");
    SEEN(check_sock, s, s->queued, s->queued + 1, "bytes == s->queued - s->sent");
    SEEN(check_sock, s, s->unread_count, 1, "count == s->unread_count");
    SEEN(check_sock, s, s->unread_bytes, 1, "unread == s->unread_bytes");
    SEEN(check_sock, s, s->fin_due, true, "!s->fin_due || s->st.flags & STREAM_WRITE_SHUT");
    SEEN(check_sock, s, s->dirty_link, NULL, "!s->out.count || s->sending || s->dirty_link");
    SEEN(check_sock, s, s->dgram_count, 1, "!s->dgrams == !s->dgram_count");
    SEEN(check_sock, s, s->flight, 0, "s->flight >=");
    wait_ok(push, DEMI_OPC_PUSH);
    pair_close(&p);
}

static int refuse_rings(int error)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* 0: it was refused, in one line that has all of `words` in it; another number says which step went wrong. */
static int refused(int error, const char *const *words)
{
    char why[256] = "";
    if (refuse_rings(error)) return 2;
    if (!demi_init_options(&(struct demi_init_options){.libos = "catcollar", .why = why, .why_size = sizeof why}))
        return 3;
    if (demi_libos_name() || strchr(why, '\n')) return 4;
    for (; *words; words++)
        if (!strstr(why, *words)) return 5;
    return 0;
}

static void test_a_refused_ring_is_one_line_and_no_other_libos(void **state)
{
    static const struct {
        int error;
        const char *words[4];
    } rows[] = {
        {EPERM, {"uring", "seccomp", "LIBOS=posix"}},
        {ENOSYS, {"uring", "6.1", "LIBOS=posix"}},
        {ENOMEM, {"uring", "ulimit -l"}},
        {EMFILE, {"uring", "ulimit -n"}},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) _exit(refused(rows[i].error, rows[i].words));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

#define uring_test(f)             cmocka_unit_test_setup_teardown(f, start_uring, test_teardown)
#define uring_test_few_buffers(f) cmocka_unit_test_setup_teardown(f, start_few_buffers, test_teardown)
#define uring_test_zero_copy(f)   cmocka_unit_test_setup_teardown(f, start_zero_copy, test_teardown)

int main(void)
{
    const struct CMUnitTest refusals[] = {cmocka_unit_test(test_a_refused_ring_is_one_line_and_no_other_libos)};
    const struct CMUnitTest tests[] = {
        uring_test_few_buffers(test_buffers_that_run_out_come_back),
        uring_test(test_who_does_not_pop_is_not_sent_everything),
        uring_test_zero_copy(test_what_leaves_without_a_copy_stays_in_place),
        uring_test_zero_copy(test_a_socket_may_end_before_its_memory_is_let_go),
        uring_test(test_thousands_of_short_connections_leave_nothing),
        uring_test(test_an_unfinished_connect_may_be_taken_back_and_made_again),
        uring_test(test_connections_that_nobody_accepts_end_with_the_listener),
        uring_test(test_a_spoilt_socket_is_seen),
    };
    int failed = cmocka_run_group_tests(refusals, NULL, NULL);
    if (start_with(NULL, NULL)) return failed ? failed : 77; /* no ring here, and that was said */
    OK(demi_exit());
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) { return 77; } /* built without liburing */
#endif

/* SPDX-License-Identifier: MIT
 *
 * Many connections of the library over the double: a thousand at once, thousands that come and go, in both framings,
 * and peers that vanish in the middle. Nothing may be left of any of them: no object of verbs, no descriptor, no memory
 * of the heap, nothing that is lent. Both ends are of this thread, so a connection costs twice here.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "tests/rdma/double.h"

#define MANY    1000
#define SHORT   2000
#define LENT    65536
#define PAYLOAD 100

static const struct double_controls *ctl;
static const struct timespec patience = {60, 0};
static int listener;
static struct sockaddr_in at;
static char payload[PAYLOAD];

struct pair {
    int client, server;
};

static uint64_t found;
static void find(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, arg)) found = value;
}
static uint64_t counter(const char *name)
{
    found = UINT64_MAX;
    demi_counters(find, (void *)(uintptr_t)name);
    assert_true(found != UINT64_MAX);
    return found;
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

/* Some turns of the library, for what nobody waits for. */
static void turn(void)
{
    demi_qresult_t r;
    demi_qtoken_t qt;
    assert_int_equal(demi_timer(&qt, 100000), 0);
    demi_wait(&r, qt, &patience);
}

static struct pair come(bool valkey)
{
    struct pair p;
    demi_qtoken_t in, out;
    demi_qresult_t r;
    int bytes = LENT;
    assert_int_equal(demi_socket(&p.client, AF_INET, SOCK_STREAM, 0), 0);
    if (valkey) assert_int_equal(demi_setsockopt(p.client, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes), 0);
    assert_int_equal(demi_accept(&in, listener), 0);
    assert_int_equal(demi_connect(&out, p.client, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(demi_wait(&r, out, &patience), 0);
    assert_int_equal(r.qr_opcode, DEMI_OPC_CONNECT);
    assert_int_equal(demi_wait(&r, in, &patience), 0);
    assert_int_equal(r.qr_opcode, DEMI_OPC_ACCEPT);
    p.server = r.qr_value.ares.qd;
    return p;
}

static void push(int qd, unsigned n)
{
    struct iovec v = {payload, n};
    demi_qtoken_t none;
    assert_int_equal(demi_pushv(&none, qd, &v, 1, DEMI_PUSH_NO_TOKEN | DEMI_PUSH_HANDED_OVER), 0);
}

static void expect(int qd, unsigned n)
{
    demi_qtoken_t qt;
    demi_qresult_t r;
    for (unsigned got = 0; got < n;) {
        assert_int_equal(demi_pop(&qt, qd), 0);
        assert_int_equal(demi_wait(&r, qt, &patience), 0);
        assert_int_equal(r.qr_opcode, DEMI_OPC_POP);
        got += r.qr_value.sga.sga_segs[0].sgaseg_len;
        assert_true(got <= n);
        demi_sgafree(&r.qr_value.sga);
    }
}

static void go(struct pair p)
{
    demi_close(p.client);
    demi_close(p.server);
}

static int begin(void **state)
{
    socklen_t size = sizeof at;
    int bytes = LENT;
    setenv("LIBOS", "rdma", 1);
    setenv("DEVICE", "double_rxe0", 1);
    setenv("SEND_DEPTH", "8", 1); /* as rxe, the double has a completion queue of 32,767 */
    unsetenv("ADDRESS");
    assert_int_equal(demi_init(NULL), 0);
    at = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, "10.77.0.1", &at.sin_addr), 1);
    assert_int_equal(demi_socket(&listener, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes), 0);
    assert_int_equal(demi_bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(demi_getsockname(listener, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(demi_listen(listener, 128), 0);
    return 0;
}

static int end(void **state)
{
    demi_close(listener);
    return demi_exit();
}

static void a_thousand(void)
{
    static struct pair all[MANY];
    for (unsigned i = 0; i < MANY; i++) all[i] = come(i % 10 == 0);
    /* All ask before anybody answers. */
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) push(all[i].client, PAYLOAD);
        for (unsigned i = 0; i < MANY; i++) expect(all[i].server, PAYLOAD);
        for (unsigned i = 0; i < MANY; i++) push(all[i].server, PAYLOAD);
        for (unsigned i = 0; i < MANY; i++) expect(all[i].client, PAYLOAD);
    }
    assert_int_equal(counter("rdma.valkey_lent"), (uint64_t)MANY / 10 * 2 * LENT);
    for (unsigned i = 0; i < MANY; i++) go(all[i]);
    for (unsigned i = 0; i < 20000 && (counter("rdma.words") || counter("rdma.valkey_lent")); i++) turn();
    assert_int_equal(counter("rdma.valkey_lent"), 0);
    assert_int_equal(counter("rdma.words"), 0);
}

/* What the first thousand leave, room for words and regions of the heap, the second ones use. */
static void test_a_thousand_at_once(void **state)
{
    a_thousand();
    for (unsigned i = 0; i < 200; i++) turn();
    unsigned live = ctl->live(), fds = descriptors();
    a_thousand();
    for (unsigned i = 0; i < 20000 && ctl->live() > live; i++) turn();
    assert_int_equal(ctl->live(), live);
    assert_int_equal(descriptors(), fds);
}

/* The second half of them must cost nothing that the first has not. */
static void come_and_go(bool valkey)
{
    unsigned live = 0, fds = 0;
    size_t used = 0;
    for (unsigned i = 0; i < SHORT; i++) {
        if (i == SHORT / 2) {
            for (unsigned k = 0; k < 200; k++) turn();
            live = ctl->live();
            fds = descriptors();
            used = demi_mem_used();
        }
        struct pair p = come(valkey);
        push(p.client, 1 + i % PAYLOAD);
        if (i % 4) expect(p.server, 1 + i % PAYLOAD); /* else it goes in the middle of it */
        if (i % 4 == 1) push(p.server, PAYLOAD);
        go(p);
    }
    for (unsigned i = 0; i < 20000 && (ctl->live() != live || demi_mem_used() > used + 65536); i++) turn();
    assert_int_equal(ctl->live(), live);
    assert_int_equal(descriptors(), fds);
    assert_true(demi_mem_used() <= used + 65536);
    assert_int_equal(counter("rdma.valkey_lent"), 0);
    assert_int_equal(counter("rdma.words"), 0);
}

static void test_thousands_come_and_go(void **state) { come_and_go(false); }
static void test_thousands_come_and_go_in_valkeys_framing(void **state) { come_and_go(true); }

static void test_a_port_that_goes_down_is_told_and_counted(void **state)
{
    struct pair p = come(false);
    uint64_t lost = counter("dev.carrier_lost");
    assert_int_equal(counter("dev.up"), 1);
    ctl->port(false);
    for (unsigned i = 0; i < 20000 && counter("dev.up"); i++) turn();
    assert_int_equal(counter("dev.up"), 0);
    assert_int_equal(counter("dev.carrier_lost"), lost + 1);
    /* What is on its way then fails as hardware has it: the transport's retries are exhausted. */
    demi_qtoken_t qt;
    demi_qresult_t r;
    ctl->next_status(12 /* IBV_WC_RETRY_EXC_ERR */);
    push(p.client, PAYLOAD);
    assert_int_equal(demi_pop(&qt, p.client), 0);
    assert_int_equal(demi_wait(&r, qt, &patience), 0);
    assert_int_equal(r.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(r.qr_ret, ETIMEDOUT);
    assert_int_equal(counter("rdma.ended_peer_silent"), 1);
    ctl->port(true);
    for (unsigned i = 0; i < 20000 && !counter("dev.up"); i++) turn();
    assert_int_equal(counter("dev.up"), 1);
    go(p);
    p = come(false);
    push(p.client, PAYLOAD);
    expect(p.server, PAYLOAD);
    go(p);
}

static bool load(void)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    for (int i = 0; n > 0 && i < 4; i++) { /* BUILD/tests/tests/rdma/many_test */
        path[n] = 0;
        char *slash = strrchr(path, '/');
        n = slash ? slash - path : 0;
    }
    path[n > 0 ? n : 0] = 0;
    strcat(path, "/double");
    setenv("DEMI_PLUGIN_PATH", path, 1);
    strcat(path, "/libdemikernel-rdma.so");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    double_controls_fn controls = so ? (double_controls_fn)dlsym(so, "double_controls") : NULL;
    if (controls) ctl = controls();
    else printf("Bail out! %s\n", dlerror());
    return controls != NULL;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    static const struct CMUnitTest all[] = {
        CASE(test_a_thousand_at_once),
        CASE(test_thousands_come_and_go),
        CASE(test_thousands_come_and_go_in_valkeys_framing),
        CASE(test_a_port_that_goes_down_is_told_and_counted),
    };
    if (getenv("CMOCKA_TEST_FILTER")) cmocka_set_test_filter(getenv("CMOCKA_TEST_FILTER"));
    return load() ? cmocka_run_group_tests(all, NULL, NULL) : 1;
}

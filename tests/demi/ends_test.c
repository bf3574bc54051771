/* SPDX-License-Identifier: MIT
 *
 * How connections end, on every libOS alike: each row of a table is a pair of programs, and what each of them must see.
 * They run over kernel sockets and over our own stack in one runtime (two tasks), as two processes over kernel sockets
 * and over a veth pair (where network namespaces may be made), and as two hosts of the simulator, on its sockets and on
 * our own stack over its wires. A program notes what it sees in memory that both share; the test compares.
 */
#include "tests/demi/demi_test.h"

#include "libos/sim/sim.h"
#include "tcp/stack.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ARRAY_BYTES 65000
#define BIG_BYTES   6500000u /* more than kernels and windows hold */
#define NOTES_MAX   8
#define END         (-1) /* a pop of no bytes */
#define DATA        (-2) /* a pop of some */
#define MS          1000000u

/* Whose end it is that the row is about. */
enum leaves {
    STAYS,   /* the process is there until the other has seen everything, and turns its loop */
    EXITS,   /* demi_exit() */
    RETURNS, /* from main(), or from a host's program, without another call */
    THREAD,  /* the thread ends, the process goes on */
};

struct run;
typedef void (*program)(struct run *r, int qd);

struct row {
    const char *name;
    program act, see; /* who has connected; who has accepted */
    enum leaves leaves;
    bool all;                             /* every byte of push_big() arrives */
    int acts[NOTES_MAX], sees[NOTES_MAX]; /* what they note, in order */
};

struct run {
    const struct row *row;
    const char *libos;
    struct sockaddr_in at; /* where the observer listens */
    const struct demi_setting *settings[2];
    size_t setting_count;
    atomic_int port;                   /* of the listener, in network order */
    atomic_int accepted, done, closed; /* the observer has and is, the actor has */
    unsigned noted[2];
    int notes[2][NOTES_MAX + 1];
    uint64_t bytes; /* that the observer has popped */
    char failure[200];
};

static void wrong(struct run *r, const char *what, int err)
{
    if (!r->failure[0]) snprintf(r->failure, sizeof r->failure, "%s: %s", what, strerror(err));
}

static bool okay(struct run *r, const char *what, int err)
{
    if (err) wrong(r, what, err);
    return !err;
}
#define TRY(r, call) okay(r, #call, call)

enum { ACTOR, OBSERVER };
static void note(struct run *r, int who, int what)
{
    if (r->noted[who] <= NOTES_MAX) r->notes[who][r->noted[who]++] = what;
}

/* What an operation came to: 0, END, DATA or an errno. Popped bytes are compared. */
static int outcome(struct run *r, demi_qtoken_t qt)
{
    const struct timespec limit = {30, 0};
    demi_qresult_t qr;
    if (!TRY(r, demi_wait(&qr, qt, &limit))) return -100;
    if (qr.qr_opcode == DEMI_OPC_FAILED) return (int)qr.qr_ret;
    if (qr.qr_opcode != DEMI_OPC_POP) return 0;
    const unsigned char *p = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
    uint32_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
    for (uint32_t i = 0; i < n; i++)
        if (p[i] != (r->bytes + i) % 251) {
            wrong(r, "a byte is not what was pushed", EIO);
            break;
        }
    r->bytes += n;
    demi_sgafree(&qr.qr_value.sga);
    return n ? DATA : END;
}

static int pop(struct run *r, int qd)
{
    demi_qtoken_t qt;
    int err = demi_pop(&qt, qd);
    return err ? err : outcome(r, qt);
}

static demi_sgarray_t array_of(struct run *r, size_t size, uint64_t at)
{
    demi_sgarray_t sga = demi_sgaalloc(size);
    if (!sga.sga_numsegs) wrong(r, "demi_sgaalloc", ENOMEM);
    unsigned char *p = sga.sga_segs[0].sgaseg_buf;
    for (size_t i = 0; sga.sga_numsegs && i < size; i++) p[i] = (unsigned char)((at + i) % 251);
    return sga;
}

/* The push's own errno, or its result's. handed_over: it does not wait for the peer. */
static int push(struct run *r, int qd, size_t size)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = array_of(r, size, 0);
    struct iovec iov = {sga.sga_segs[0].sgaseg_buf, size};
    int err = demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_HANDED_OVER);
    demi_sgafree(&sga);
    return err ? err : outcome(r, qt);
}

static void push_big(struct run *r, int qd)
{
    for (uint64_t at = 0; at < BIG_BYTES; at += ARRAY_BYTES) {
        demi_qtoken_t qt;
        demi_sgarray_t sga = array_of(r, ARRAY_BYTES, at);
        TRY(r, demi_push(&qt, qd, &sga));
        demi_sgafree(&sga);
    }
}

static void rest(struct run *r, unsigned ms)
{
    demi_qtoken_t qt;
    if (TRY(r, demi_timer(&qt, (uint64_t)ms * MS))) outcome(r, qt);
}

static void closes(struct run *r, int qd)
{
    TRY(r, demi_close(qd));
    r->closed = 1;
}

static void resets(struct run *r, int qd)
{
    struct linger hard = {1, 0};
    TRY(r, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    closes(r, qd);
}

/* Until the actor has closed, and what it sent then has arrived. */
static void rest_until_closed(struct run *r)
{
    for (int i = 0; i < 5000 && !r->closed; i++) rest(r, 2);
    rest(r, 100);
}

/* Pops until the end or an error; not at once, so that what is on its way backs up. */
static int pop_all(struct run *r, int qd)
{
    rest(r, 100);
    for (;;) {
        int what = pop(r, qd);
        if (what != DATA) return what;
    }
}

/* --- the programs of the rows ------------------------------------------------------------------------------------- */

static void see_all(struct run *r, int qd)
{
    note(r, OBSERVER, pop_all(r, qd));
    note(r, OBSERVER, pop(r, qd)); /* and it stays the end */
}

static void act_close(struct run *r, int qd)
{
    push_big(r, qd);
    closes(r, qd);
}

static void act_close_with_linger(struct run *r, int qd)
{
    struct linger soft = {1, 20};
    TRY(r, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &soft, sizeof soft));
    push_big(r, qd);
    uint64_t before = demi_clock_ns();
    closes(r, qd);
    note(r, ACTOR, demi_clock_ns() - before > 1000 * MS); /* it has not waited */
}

static void act_exit(struct run *r, int qd)
{
    push_big(r, qd);
    TRY(r, demi_exit());
}

static void act_shutdown(struct run *r, int qd)
{
    push_big(r, qd);
    TRY(r, demi_shutdown(qd, SHUT_WR));
    note(r, ACTOR, push(r, qd, 8));
    note(r, ACTOR, pop(r, qd)); /* the observer closes when it has seen all */
    closes(r, qd);
}

static void act_shutdown_and_close(struct run *r, int qd)
{
    push_big(r, qd);
    TRY(r, demi_shutdown(qd, SHUT_WR));
    closes(r, qd);
}

static void act_cancel(struct run *r, int qd)
{
    demi_qtoken_t pops[2];
    for (int i = 0; i < 2; i++) TRY(r, demi_pop(&pops[i], qd));
    closes(r, qd);
    for (int i = 0; i < 2; i++) note(r, ACTOR, outcome(r, pops[i]));
}

static void act_reset(struct run *r, int qd)
{
    rest(r, 50); /* until the observer's pops and pushes are there */
    resets(r, qd);
}

static void act_reset_after_push(struct run *r, int qd)
{
    push_big(r, qd);
    resets(r, qd);
}

static void see_reset(struct run *r, int qd)
{
    note(r, OBSERVER, pop_all(r, qd) == ECONNRESET ? ECONNRESET : -100);
    note(r, OBSERVER, r->bytes < BIG_BYTES);
    note(r, OBSERVER, pop(r, qd));
}

static void see_reset_twice(struct run *r, int qd)
{
    demi_qtoken_t pops[2];
    for (int i = 0; i < 2; i++) TRY(r, demi_pop(&pops[i], qd));
    for (int i = 0; i < 2; i++) note(r, OBSERVER, outcome(r, pops[i]));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

/* More than goes: some of it waits when the reset comes. */
static void see_reset_both_ways(struct run *r, int qd)
{
    demi_qtoken_t first, last, waits;
    demi_sgarray_t sga = array_of(r, ARRAY_BYTES, 0);
    TRY(r, demi_pop(&first, qd));
    for (int i = 0; i < 200; i++) TRY(r, demi_push(&last, qd, &sga));
    demi_sgafree(&sga);
    TRY(r, demi_pop(&waits, qd));
    note(r, OBSERVER, outcome(r, first));
    note(r, OBSERVER, outcome(r, waits));
    note(r, OBSERVER, outcome(r, last));
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

static void see_push_into_reset(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, push(r, qd, 8)); /* nobody has heard of it yet */
    note(r, OBSERVER, push(r, qd, 8));
    note(r, OBSERVER, pop(r, qd)); /* a reader must not take it for the end */
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8));
}

static void act_close_at_once(struct run *r, int qd) { closes(r, qd); }

static void see_push_into_closed(struct run *r, int qd)
{
    rest_until_closed(r);
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, push(r, qd, 8)); /* the end of a stream is no end of the other direction, */
    rest(r, 100);
    note(r, OBSERVER, push(r, qd, 8)); /* but nobody was there */
    note(r, OBSERVER, pop(r, qd));
}

static void act_close_unread(struct run *r, int qd)
{
    rest(r, 100);
    closes(r, qd);
}

static void see_unread(struct run *r, int qd)
{
    note(r, OBSERVER, push(r, qd, 100));
    rest_until_closed(r);
    note(r, OBSERVER, pop(r, qd));
    note(r, OBSERVER, pop(r, qd));
}

static void act_shutdown_read(struct run *r, int qd)
{
    TRY(r, demi_shutdown(qd, SHUT_RD));
    note(r, ACTOR, pop(r, qd));
    rest(r, 200); /* what comes meanwhile is thrown away */
    note(r, ACTOR, pop(r, qd));
    closes(r, qd);
}

static void see_shutdown_read(struct run *r, int qd)
{
    rest(r, 50);
    note(r, OBSERVER, push(r, qd, 100));
    note(r, OBSERVER, pop(r, qd));
}

static const struct row rows[] = {
    {"what was pushed before a close arrives", act_close, see_all, .all = true, .sees = {END, END}},
    {"a close with linger does not wait", act_close_with_linger, see_all, .all = true, .sees = {END, END}},
    {"what was pushed before a shutdown arrives", act_shutdown, see_all, .all = true, .acts = {EPIPE, END},
     .sees = {END, END}},
    {"a close behind a shutdown cuts nothing", act_shutdown_and_close, see_all, .all = true, .sees = {END, END}},
    {"what was pushed before demi_exit() arrives", act_exit, see_all, EXITS, .all = true, .sees = {END, END}},
    {"what was pushed before the process ends arrives", push_big, see_all, RETURNS, .all = true, .sees = {END, END}},
    {"what was closed before the process ends arrives", act_close, see_all, RETURNS, .all = true, .sees = {END, END}},
    {"what was pushed before the thread ends arrives", push_big, see_all, THREAD, .all = true, .sees = {END, END}},
    {"a close cancels what is outstanding", act_cancel, see_all, .acts = {ECANCELED, ECANCELED}, .sees = {END, END}},
    {"linger 0 resets", act_reset_after_push, see_reset, .sees = {ECONNRESET, 1, END}},
    {"two pops outstanding at a reset both say so", act_reset, see_reset_twice,
     .sees = {ECONNRESET, ECONNRESET, END, EPIPE}},
    {"pops and pushes outstanding at a reset say so", act_reset, see_reset_both_ways,
     .sees = {ECONNRESET, ECONNRESET, ECONNRESET, END, EPIPE}},
    {"a push into a reset connection", act_reset, see_push_into_reset,
     .sees = {ECONNRESET, ECONNRESET, ECONNRESET, END, EPIPE}},
    {"a push to a peer that has closed", act_close_at_once, see_push_into_closed, .sees = {END, 0, EPIPE, END}},
    {"a close with bytes unread resets", act_close_unread, see_unread, .sees = {0, ECONNRESET, END}},
    {"after a shutdown for reading bytes are thrown away", act_shutdown_read, see_shutdown_read, .acts = {END, END},
     .sees = {0, END}},
};

/* --- both ends ---------------------------------------------------------------------------------------------------- */

static int64_t observe(void *arg)
{
    struct run *r = arg;
    int listener, qd = -1;
    struct sockaddr_in addr = r->at;
    socklen_t size = sizeof addr;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    const struct timespec limit = {30, 0};
    if (TRY(r, demi_socket(&listener, AF_INET, SOCK_STREAM, 0)) && TRY(r, demi_bind(listener, ADDR(&addr))) &&
        TRY(r, demi_listen(listener, 4)) && TRY(r, demi_getsockname(listener, (struct sockaddr *)&addr, &size)) &&
        TRY(r, demi_accept(&qt, listener))) {
        r->port = addr.sin_port;
        if (TRY(r, demi_wait(&qr, qt, &limit)) && qr.qr_opcode == DEMI_OPC_ACCEPT) {
            qd = qr.qr_value.ares.qd;
            r->accepted = 1;
            r->row->see(r, qd);
            demi_close(qd);
        } else {
            wrong(r, "accept", (int)qr.qr_ret);
        }
        demi_close(listener);
    }
    r->done = 1;
    return 0;
}

static int64_t act(void *arg)
{
    struct run *r = arg;
    int qd;
    demi_qtoken_t qt;
    for (int i = 0; i < 10000 && !r->port; i++) rest(r, 1);
    struct sockaddr_in addr = r->at;
    addr.sin_port = (in_port_t)r->port;
    if (!TRY(r, demi_socket(&qd, AF_INET, SOCK_STREAM, 0)) || !TRY(r, demi_connect(&qt, qd, ADDR(&addr)))) return 1;
    int err = outcome(r, qt);
    if (!okay(r, "connect", err)) return 1;
    for (int i = 0; i < 10000 && !r->accepted; i++) rest(r, 1); /* a reset may come before, and nobody would see it */
    r->row->act(r, qd);
    for (int i = 0; r->row->leaves == STAYS && i < 20000 && !r->done && !r->failure[0]; i++) rest(r, 2);
    return 0;
}

static unsigned failures;

__attribute__((format(printf, 2, 3))) static void bad(const struct run *r, const char *fmt, ...)
{
    if (failures++ > 20) return;
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print_error("%s: %s: %s\n", r->libos, r->row->name, text);
}

static void compare(const struct run *r)
{
    static const char *const names[] = {"actor", "observer"};
    const struct row *w = r->row;
    const int *want[] = {w->acts, w->sees};
    if (r->failure[0]) bad(r, "%s", r->failure);
    for (int who = 0; who < 2; who++)
        for (unsigned i = 0; i < r->noted[who]; i++)
            if (r->notes[who][i] != want[who][i])
                bad(r, "the %s's outcome %u is %d, not %d", names[who], i + 1, r->notes[who][i], want[who][i]);
    if (w->all && r->bytes != BIG_BYTES) bad(r, "%llu of %u bytes arrived", (unsigned long long)r->bytes, BIG_BYTES);
    if (!r->done) bad(r, "the observer has not come to its end");
}

static struct run *run_new(const char *libos, const struct row *row)
{
    struct run *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(r, MAP_FAILED);
    r->row = row;
    r->libos = libos;
    r->at = loopback(0);
    return r;
}

static void run_end(struct run *r)
{
    compare(r);
    munmap(r, sizeof *r);
}

#define EACH_ROW(w) for (const struct row *w = rows; w < rows + sizeof rows / sizeof *rows; w++)

/* --- two tasks ---------------------------------------------------------------------------------------------------- */

static void both_in_one_runtime(const char *libos)
{
    EACH_ROW(w)
    {
        if (w->leaves != STAYS) continue; /* nobody would be left to see it */
        struct run *r = run_new(libos, w);
        OK(demi_init_with(libos, NULL));
        demi_qtoken_t a, b;
        OK(demi_spawn(&a, observe, r, 0));
        OK(demi_spawn(&b, act, r, 0));
        wait_ok(a, DEMI_OPC_TASK);
        wait_ok(b, DEMI_OPC_TASK);
        OK(demi_exit());
        run_end(r);
    }
}

static void test_kernel_sockets_of_one_thread(void **state)
{
    both_in_one_runtime("posix");
    assert_int_equal(failures, 0);
}

static void test_our_own_stack_with_itself(void **state)
{
    both_in_one_runtime("loop");
    assert_int_equal(failures, 0);
}

/* --- two processes ------------------------------------------------------------------------------------------------ */

static bool begin(struct run *r, int who)
{
    return TRY(r, demi_init_options(&(struct demi_init_options){
                      .libos = r->libos, .settings = r->settings[who], .setting_count = r->setting_count}));
}

static void *act_in_thread(void *arg)
{
    if (begin(arg, ACTOR)) act(arg);
    return NULL; /* without demi_exit() */
}

static void actor_process(struct run *r)
{
    pthread_t thread;
    if (r->row->leaves == THREAD) {
        if (okay(r, "pthread_create", pthread_create(&thread, NULL, act_in_thread, r))) pthread_join(thread, NULL);
        _exit(0);
    }
    if (begin(r, ACTOR)) act(r);
    if (r->row->leaves == RETURNS) exit(0);
    if (r->row->leaves == STAYS) demi_exit(); /* the observer has seen all: it may end in order, too */
    _exit(0);
}

static pid_t child(struct run *r, int who)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    alarm(60);
    if (who == ACTOR) actor_process(r);
    if (begin(r, OBSERVER)) {
        observe(r);
        demi_exit();
    }
    _exit(0);
}

static void both_processes(struct run *r)
{
    pid_t observer = child(r, OBSERVER), actor = child(r, ACTOR);
    waitpid(observer, NULL, 0);
    waitpid(actor, NULL, 0);
    run_end(r);
}

static void test_kernel_sockets_of_two_processes(void **state)
{
    EACH_ROW(w) both_processes(run_new("posix", w));
    assert_int_equal(failures, 0);
}

static bool put(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return done;
}

/* A veth pair in a network namespace of its own, which goes with this process. */
static bool make_net(void)
{
    unsigned uid = getuid(), gid = getgid();
    char map[64];
    if (uid == 0) {
        if (unshare(CLONE_NEWNET)) return false;
    } else {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) return false;
        put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1", gid);
        put("/proc/self/gid_map", map);
        snprintf(map, sizeof map, "0 %u 1", uid);
        if (!put("/proc/self/uid_map", map)) return false;
    }
    return !system("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 2>/dev/null; "
                   "ip link add ea type veth peer name eb 2>/dev/null && ip link set ea up && ip link set eb up");
}

static void packet_rows(void)
{
    static const struct demi_setting there[] = {{"interface", "ea"}, {"address", "10.78.0.1/24"}};
    static const struct demi_setting here[] = {{"interface", "eb"}, {"address", "10.78.0.2/24"}};
    EACH_ROW(w)
    {
        struct run *r = run_new("packet", w);
        r->settings[ACTOR] = there;
        r->settings[OBSERVER] = here;
        r->setting_count = 2;
        inet_pton(AF_INET, "10.78.0.2", &r->at.sin_addr);
        both_processes(r);
    }
}

static void test_our_own_stack_over_a_wire(void **state)
{
    if (!make_net()) skip();
    packet_rows();
    assert_int_equal(failures, 0);
}

/* --- two hosts ---------------------------------------------------------------------------------------------------- */

static int observing_host(void *arg) { return (int)observe(arg); }
static int acting_host(void *arg) { return (int)act(arg); }

static void simulated(bool frames)
{
    EACH_ROW(w)
    {
        if (w->leaves == THREAD) continue; /* a host has one */
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct run *r = run_new(frames ? "sim, frames" : "sim", w);
            struct stack_config sc = {.arp = true, .limits.snd_buffer = 32u << 20};
            struct sim *s = sim_new(seed);
            inet_pton(AF_INET, "10.0.0.1", &r->at.sin_addr);
            if (frames) {
                sim_net_host_add(s, "10.0.0.1", &sc, observing_host, r);
                sim_net_host_add(s, "10.0.0.2", &sc, acting_host, r);
            } else {
                sim_host_add(s, "10.0.0.1", observing_host, r);
                sim_host_add(s, "10.0.0.2", acting_host, r);
            }
            int err = sim_run(s, SIM_START_NS + (uint64_t)600 * 1000 * MS);
            uint64_t stuck = sim_stats(s)->stuck;
            sim_free(s);
            run_end(r);
            assert_int_equal(err, 0);
            assert_int_equal(stuck, 0);
        }
    }
}

static void test_simulated_sockets(void **state)
{
    simulated(false);
    assert_int_equal(failures, 0);
}

static void test_our_own_stack_over_simulated_wires(void **state)
{
    simulated(true);
    assert_int_equal(failures, 0);
}

static int no_failures(void **state)
{
    failures = 0;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kernel_sockets_of_one_thread, no_failures),
        cmocka_unit_test_setup(test_our_own_stack_with_itself, no_failures),
        cmocka_unit_test_setup(test_simulated_sockets, no_failures),
        cmocka_unit_test_setup(test_our_own_stack_over_simulated_wires, no_failures),
        cmocka_unit_test_setup(test_kernel_sockets_of_two_processes, no_failures),
        cmocka_unit_test_setup(test_our_own_stack_over_a_wire, no_failures), /* the last: it changes the namespace */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

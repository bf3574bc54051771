/* SPDX-License-Identifier: MIT
 *
 * Tables that hold on every libOS: a row is a pair of programs, and what each of them must see. They run over kernel
 * sockets, shared memory and our own stack in one runtime (two tasks), as two processes over kernel sockets, shared
 * memory and a veth pair (where network namespaces may be made), and as two hosts of the simulator, on its sockets and
 * on our own stack over its wires. A program notes what it sees in memory that both share; the test compares.
 */
#ifndef TESTS_DEMI_PAIRS_H
#define TESTS_DEMI_PAIRS_H

#include "tests/demi/demi_test.h"

#include "libos/sim/sim.h"
#include "tcp/stack.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
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
    bool apart;        /* they are not connected, but meet as they like: act has -1, see the listener */
    bool to_nobody;    /* needs an address where nobody answers */
    bool to_neighbour; /* ... and is asked for there by ARP */
    bool marked;       /* what they send has marks in its IP header that are looked for on the wire, if there is one */
    bool six;          /* needs IPv6 */
    bool all;          /* every byte of push_big() arrives */
    int acts[NOTES_MAX], sees[NOTES_MAX]; /* what they note, in order */
};

struct run {
    const struct row *row;
    const char *libos;
    struct sockaddr_in at; /* where the observer listens */
    const struct demi_setting *settings[2];
    size_t setting_count;
    struct sockaddr_in nobody;  /* does not answer; port 0: there is no such address */
    bool neighbour;             /* and is asked for by ARP */
    bool simulated;             /* time costs nothing */
    struct sockaddr_in6 at6;    /* the observer's address, if it has one */
    const char *wire;           /* an interface on which all that is sent can be seen, or "both" ends of it */
    atomic_int marked_ports[2]; /* of the observer, TCP's and UDP's, in network order */
    bool looked;                /* somebody does */
    unsigned seen[2][2],
        bare[2][2];  /* TCP and UDP, of the actor and the observer: packets, those that lack the marks */
    atomic_int port; /* of the listener, in network order */
    atomic_int accepted, done, closed; /* the observer has and is, the actor has */
    atomic_int step;                   /* rows that are apart: as they like */
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
static inline void note(struct run *r, int who, int what)
{
    if (r->noted[who] <= NOTES_MAX) r->notes[who][r->noted[who]++] = what;
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */

/* Hop limit (or TTL) and traffic class (or TOS) of what actor and observer send. */
static const uint8_t marks[2][2] = {{77, 0x28}, {55, 0x48}};

/* An Ethernet frame of theirs with a SYN, or with bytes: what follows a connection's end may be the kernel's. */
static void look(struct run *r, const uint8_t *frame, size_t n)
{
    if (n < 14 + 40) return;
    const uint8_t *ip = frame + 14;
    bool six = ip[0] >> 4 == 6, udp = (six ? ip[6] : ip[9]) == 17;
    const uint8_t *l4 = ip + (six ? 40 : (ip[0] & 15) * 4);
    size_t packet = six ? 40u + (size_t)(ip[4] << 8 | ip[5]) : (size_t)(ip[2] << 8 | ip[3]);
    uint16_t from, to;
    if ((!udp && (six ? ip[6] : ip[9]) != 6) || l4 + 20 > frame + n) return;
    memcpy(&from, l4, 2);
    memcpy(&to, l4 + 2, 2);
    int port = r->marked_ports[udp], who = from == port ? OBSERVER : ACTOR;
    size_t headers = (size_t)(l4 - ip) + (udp ? 8u : (l4[12] >> 4) * 4u);
    if (!port || (from != port && to != port) || (!udp && !(l4[13] & 2) && packet <= headers)) return;
    uint8_t hops = six ? ip[7] : ip[8], tos = six ? (uint8_t)(ip[0] << 4 | ip[1] >> 4) : ip[1];
    r->seen[udp][who]++;
    r->bare[udp][who] += hops != marks[who][0] || (tos & 0xfc) != marks[who][1];
}

/* -1: there is no wire, or we may not look. */
static int tap_wire(const struct run *r)
{
    int fd = r->row->marked && r->wire ? socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL)) : -1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    if (fd < 0) return -1;
    at.sll_ifindex = (int)if_nametoindex(r->wire); /* 0: all */
    OK(bind(fd, ADDR(&at)));
    return fd;
}

static void see_wire(struct run *r, int fd)
{
    uint8_t frame[2048];
    ssize_t n;
    if (fd < 0) return;
    while ((n = recv(fd, frame, sizeof frame, 0)) > 0) look(r, frame, (size_t)n);
    close(fd);
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

static inline int pop(struct run *r, int qd)
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
static inline int push(struct run *r, int qd, size_t size)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = array_of(r, size, 0);
    struct iovec iov = {sga.sga_segs[0].sgaseg_buf, size};
    int err = demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_HANDED_OVER);
    demi_sgafree(&sga);
    return err ? err : outcome(r, qt);
}

static void rest(struct run *r, unsigned ms)
{
    demi_qtoken_t qt;
    if (TRY(r, demi_timer(&qt, (uint64_t)ms * MS))) outcome(r, qt);
}

static inline void closes(struct run *r, int qd)
{
    TRY(r, demi_close(qd));
    r->closed = 1;
}

static inline void resets(struct run *r, int qd)
{
    struct linger hard = {1, 0};
    TRY(r, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    closes(r, qd);
}

/* --- both ends ---------------------------------------------------------------------------------------------------- */

static int listen_at(struct run *r)
{
    int listener = -1;
    struct sockaddr_in addr = r->at;
    socklen_t size = sizeof addr;
    if (TRY(r, demi_socket(&listener, AF_INET, SOCK_STREAM, 0)) && TRY(r, demi_bind(listener, ADDR(&addr))) &&
        TRY(r, demi_listen(listener, 4)))
        TRY(r, demi_getsockname(listener, (struct sockaddr *)&addr, &size));
    r->at.sin_port = addr.sin_port;
    return listener;
}

static void see_accepted(struct run *r, int listener)
{
    const struct timespec limit = {30, 0};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (!TRY(r, demi_accept(&qt, listener))) return;
    r->port = r->at.sin_port;
    if (TRY(r, demi_wait(&qr, qt, &limit)) && qr.qr_opcode == DEMI_OPC_ACCEPT) {
        r->accepted = 1;
        r->row->see(r, qr.qr_value.ares.qd);
        demi_close(qr.qr_value.ares.qd);
    } else {
        wrong(r, "accept", (int)qr.qr_ret);
    }
}

static int64_t observe(void *arg)
{
    struct run *r = arg;
    int listener = listen_at(r);
    if (!r->failure[0] && r->row->apart) {
        r->port = r->at.sin_port;
        r->row->see(r, listener);
    } else if (!r->failure[0]) {
        see_accepted(r, listener);
    }
    demi_close(listener);
    r->done = 1;
    return 0;
}

/* The observer's address, once it listens. */
static struct sockaddr_in address_of_observer(struct run *r)
{
    for (int i = 0; i < 10000 && !r->port; i++) rest(r, 1);
    struct sockaddr_in addr = r->at;
    addr.sin_port = (in_port_t)r->port;
    return addr;
}

static bool act_connected(struct run *r)
{
    int qd;
    demi_qtoken_t qt;
    struct sockaddr_in addr = address_of_observer(r);
    if (!TRY(r, demi_socket(&qd, AF_INET, SOCK_STREAM, 0)) || !TRY(r, demi_connect(&qt, qd, ADDR(&addr)))) return false;
    if (!okay(r, "connect", outcome(r, qt))) return false;
    for (int i = 0; i < 10000 && !r->accepted; i++) rest(r, 1); /* a reset may come before, and nobody would see it */
    r->row->act(r, qd);
    return true;
}

static int64_t act(void *arg)
{
    struct run *r = arg;
    if (r->row->apart) r->row->act(r, -1);
    else if (!act_connected(r)) return 1;
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
        for (unsigned i = 0; i < NOTES_MAX && (i < r->noted[who] || want[who][i]); i++)
            if (r->notes[who][i] != want[who][i])
                bad(r, "the %s's outcome %u is %d, not %d", names[who], i + 1, r->notes[who][i], want[who][i]);
    if (w->all && r->bytes != BIG_BYTES) bad(r, "%llu of %u bytes arrived", (unsigned long long)r->bytes, BIG_BYTES);
    for (int i = 0; i < 4 && w->marked && r->looked; i++) {
        bool udp = i / 2;
        int who = i % 2;
        if (udp && who == OBSERVER) continue; /* it sends none */
        if (!r->seen[udp][who]) bad(r, "no packet of the %s's was seen", names[who]);
        if (r->bare[udp][who])
            bad(r, "%u of %u packets of the %s's lack its marks", r->bare[udp][who], r->seen[udp][who], names[who]);
    }
    if (!r->done) bad(r, "the observer has not come to its end");
}

/* A listener of the kernel's whose backlog is full: it takes no SYN any more. */
static int full[3] = {-1, -1, -1};

static void fill_listener(struct run *r)
{
    struct sockaddr_in addr = loopback(0);
    socklen_t size = sizeof addr;
    full[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(full[0], ADDR(&addr)) | listen(full[0], 0), 0);
    OK(getsockname(full[0], (struct sockaddr *)&addr, &size));
    for (int i = 1; i < 3; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        int err = connect(full[i], ADDR(&addr)) ? errno : 0;
        assert_true(!err || err == EINPROGRESS);
    }
    r->nobody = addr;
}

static void empty_listener(void)
{
    for (int i = 0; i < 3; i++) {
        if (full[i] >= 0) close(full[i]);
        full[i] = -1;
    }
}

static void nobody_at(struct run *r, const char *addr, bool neighbour)
{
    r->nobody = loopback(9);
    inet_pton(AF_INET, addr, &r->nobody.sin_addr);
    r->neighbour = neighbour;
}

static void at6(struct run *r, const char *addr)
{
    r->at6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
    inet_pton(AF_INET6, addr, &r->at6.sin6_addr);
}

static bool is_kernel(const char *libos) { return !strcmp(libos, "posix") || !strcmp(libos, "uring"); }

static struct run *run_new(const char *libos, const struct row *row)
{
    struct run *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(r, MAP_FAILED);
    r->row = row;
    r->libos = libos;
    r->at = loopback(0);
    if (row->to_nobody && is_kernel(libos)) fill_listener(r);
    if (is_kernel(libos) || !strcmp(libos, "loop")) at6(r, "::1");
    if (is_kernel(libos)) r->wire = "lo";
    return r;
}

static void run_end(struct run *r)
{
    empty_listener();
    compare(r);
    munmap(r, sizeof *r);
}

static const struct row *rows;
static unsigned row_count;

#define EACH_ROW(w) for (const struct row *w = rows; w < rows + row_count; w++)

static bool can_run(const struct row *w, const struct run *r)
{
    if (w->six && !r->at6.sin6_family) return false;
    return (!w->to_nobody || r->nobody.sin_port) && (!w->to_neighbour || r->neighbour);
}

/* The row is not for this libOS. */
static void run_not(struct run *r)
{
    empty_listener();
    munmap(r, sizeof *r);
}

/* --- two tasks ---------------------------------------------------------------------------------------------------- */

static void both_in_one_runtime(const char *libos)
{
    EACH_ROW(w)
    {
        if (w->leaves != STAYS) continue; /* nobody would be left to see it */
        struct run *r = run_new(libos, w);
        if (!can_run(w, r)) {
            run_not(r);
            continue;
        }
        OK(demi_init_with(libos, NULL));
        int tap = tap_wire(r);
        r->looked = tap >= 0;
        demi_qtoken_t a, b;
        OK(demi_spawn(&a, observe, r, 0));
        OK(demi_spawn(&b, act, r, 0));
        wait_ok(a, DEMI_OPC_TASK);
        wait_ok(b, DEMI_OPC_TASK);
        OK(demi_exit());
        see_wire(r, tap);
        run_end(r);
    }
}

static void test_kernel_sockets_of_one_thread(void **state)
{
    both_in_one_runtime("posix");
    assert_int_equal(failures, 0);
}

/* A build without liburing, a kernel or a filter that has no ring for us: tests/interop/api_on_uring.sh says which. */
static void need_uring(void)
{
    char why[256];
    if (demi_init_options(&(struct demi_init_options){.libos = "uring", .why = why, .why_size = sizeof why})) skip();
    OK(demi_exit());
}

static void test_io_uring_of_one_thread(void **state)
{
    need_uring();
    both_in_one_runtime("uring");
    assert_int_equal(failures, 0);
}

static void test_shared_memory_of_one_thread(void **state)
{
    both_in_one_runtime("shm");
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
    if (!can_run(r->row, r)) {
        run_not(r);
        return;
    }
    int tap = tap_wire(r);
    r->looked = tap >= 0;
    pid_t observer = child(r, OBSERVER), actor = child(r, ACTOR);
    waitpid(observer, NULL, 0);
    waitpid(actor, NULL, 0);
    see_wire(r, tap);
    run_end(r);
}

static void test_kernel_sockets_of_two_processes(void **state)
{
    EACH_ROW(w) both_processes(run_new("posix", w));
    assert_int_equal(failures, 0);
}

static void test_io_uring_of_two_processes(void **state)
{
    need_uring();
    EACH_ROW(w) both_processes(run_new("uring", w));
    assert_int_equal(failures, 0);
}

static void test_shared_memory_of_two_processes(void **state)
{
    EACH_ROW(w) both_processes(run_new("shm", w));
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
    static const struct demi_setting there[] = {{"interface", "ea"}, {"address", "10.78.0.1/24 fd00:78::1/64"}};
    static const struct demi_setting here[] = {{"interface", "eb"}, {"address", "10.78.0.2/24 fd00:78::2/64"}};
    EACH_ROW(w)
    {
        struct run *r = run_new("packet", w);
        r->settings[ACTOR] = there;
        r->settings[OBSERVER] = here;
        r->setting_count = 2;
        inet_pton(AF_INET, "10.78.0.2", &r->at.sin_addr);
        nobody_at(r, "10.78.0.77", true);
        at6(r, "fd00:78::2");
        r->wire = "both"; /* what is sent past the queues is seen where it arrives */
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

/* There, and behind a link that is cut. */
static int silent_host(void *arg)
{
    const struct run *r = arg;
    while (!r->done) rest(arg, 100);
    return 0;
}

static void see_frame(void *arg, struct sim_raw *raw, const uint8_t *frame, size_t n) { look(arg, frame, n); }

static void add_hosts(struct sim *s, struct run *r, bool frames)
{
    struct stack_config sc = {.arp = true, .limits.snd_buffer = 32u << 20};
    if (frames) {
        nobody_at(r, "10.0.0.77", true);
        at6(r, "fd00::a00:1");
        r->looked = sim_raw_add(s, NULL, see_frame, r) != NULL;
        sim_net_host_add(s, "10.0.0.1", &sc, observing_host, r);
        sim_net_host_add(s, "10.0.0.2", &sc, acting_host, r);
        return;
    }
    sim_host_add(s, "10.0.0.1", observing_host, r);
    struct sim_host *actor = sim_host_add(s, "10.0.0.2", acting_host, r);
    if (!r->row->to_nobody) return;
    nobody_at(r, "10.0.0.77", false);
    sim_cut(s, actor, sim_host_add(s, "10.0.0.77", silent_host, r));
}

static void simulated(bool frames)
{
    EACH_ROW(w)
    {
        if (w->leaves == THREAD) continue; /* a host has one */
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct run *r = run_new(frames ? "sim, frames" : "sim", w);
            struct sim *s = sim_new(seed);
            r->simulated = true;
            inet_pton(AF_INET, "10.0.0.1", &r->at.sin_addr);
            add_hosts(s, r, frames);
            if (!can_run(w, r)) {
                sim_free(s);
                run_not(r);
                break;
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

static int run_rows(const struct row *table, unsigned count)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kernel_sockets_of_one_thread, no_failures),
        cmocka_unit_test_setup(test_io_uring_of_one_thread, no_failures),
        cmocka_unit_test_setup(test_shared_memory_of_one_thread, no_failures),
        cmocka_unit_test_setup(test_our_own_stack_with_itself, no_failures),
        cmocka_unit_test_setup(test_simulated_sockets, no_failures),
        cmocka_unit_test_setup(test_our_own_stack_over_simulated_wires, no_failures),
        cmocka_unit_test_setup(test_kernel_sockets_of_two_processes, no_failures),
        cmocka_unit_test_setup(test_io_uring_of_two_processes, no_failures),
        cmocka_unit_test_setup(test_shared_memory_of_two_processes, no_failures),
        cmocka_unit_test_setup(test_our_own_stack_over_a_wire, no_failures), /* the last: it changes the namespace */
    };
    rows = table;
    row_count = count;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif

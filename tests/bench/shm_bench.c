/* SPDX-License-Identifier: MIT
 *
 * libos/shm beside what it stands on, in one run and in rounds that alternate: 64 bytes there and back between two
 * processes, pinned to two processors,
 *
 *     line     a cache line each way and nothing else: what the machine needs
 *     ring     libos/shm's ring without the library
 *     demi     demi_push() and demi_pop() at both ends
 *
 * and bytes of large pushes: by the ring (a copy in and a copy out), and fetched by the reader out of the writer's
 * memory in one copy (process_vm_readv), which is what lending them would cost at least where the reader must not
 * look at memory that the other side can change. Medians of ROUNDS.
 *
 *     shm_bench ping          the first three alone
 *     shm_bench instructions PART MESSAGES
 *                             one thread with both ends of 32 connections, for callgrind, which counts what is called
 *                             "measured" (tools/bench/shm.py does that): PART of messages of 64 bytes is
 *         receive    a poll that completes 32 pops
 *         send       32 pushes (a copy, no token), and the flush
 *         echo       as the server above: the wait for a pop that has been answered, a push, the wait for it, a pop
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/runtime/runtime.h"
#include "libos/shm/ring.h"

enum {
    ROUNDS = 7,
    PINGS = 100000,
    WARM = 2000,
    BYTES = 64,
    RING = 65536,
    BULK_BYTES = 256 << 20,
    BIGGEST = 1 << 20,
    BURST = 32
};

struct line {
    _Alignas(64) _Atomic uint64_t turn;
    char bytes[56];
};

struct shared {
    struct line there, back;
    _Alignas(64) _Atomic uint64_t heads[16];
    _Alignas(64) uint8_t rings[2][RING];
    uint8_t source[BIGGEST];
    _Alignas(64) _Atomic uint64_t go, done;
};

static struct shared *m;
static struct sockaddr_in at = {.sin_family = AF_INET};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static pid_t child(void (*fn)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(1);
    fn();
    _exit(0);
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "shm_bench: %s\n", what);
    exit(1);
}

/* --- a cache line ------------------------------------------------------------------------------------------------- */

static void line_server(void)
{
    for (uint64_t i = 1; i <= WARM + PINGS; i++) {
        while (atomic_load_explicit(&m->there.turn, memory_order_acquire) != i) continue;
        memcpy(m->back.bytes, m->there.bytes, sizeof m->back.bytes);
        atomic_store_explicit(&m->back.turn, i, memory_order_release);
    }
}

static double line_ping(void)
{
    uint64_t start = 0;
    for (uint64_t i = 1; i <= WARM + PINGS; i++) {
        if (i == WARM + 1) start = now_ns();
        m->there.bytes[0] = (char)i;
        atomic_store_explicit(&m->there.turn, i, memory_order_release);
        while (atomic_load_explicit(&m->back.turn, memory_order_acquire) != i) continue;
    }
    return (double)(now_ns() - start) / PINGS;
}

/* --- the ring alone ----------------------------------------------------------------------------------------------- */

static void ring_pair(struct ring_writer *w, struct ring_reader *r, int side)
{
    ring_writer_init(w, m->rings[side], RING, &m->heads[side ? 0 : 8]);
    ring_reader_init(r, m->rings[!side], RING, &m->heads[side ? 8 : 0]);
    /* heads[8]: side 1 has read so far of ring 0; heads[0]: side 0 of ring 1 */
}

static uint32_t ring_pop(struct ring_reader *r, void *out)
{
    struct ring_batch b;
    for (;;) {
        __builtin_prefetch((const char *)ring_next(r) + RING_LINE);
        if (!ring_has_record(r)) continue;
        ring_look_in(r, &b, RING_GATHER_SIZE);
        ring_take(r, &b, out);
        return b.bytes;
    }
}

static void ring_server(void)
{
    struct ring_writer w;
    struct ring_reader r;
    char bytes[RING_GATHER_SIZE];
    ring_pair(&w, &r, 1);
    for (unsigned i = 0; i < WARM + PINGS; i++) ring_write(&w, bytes, ring_pop(&r, bytes));
}

static double ring_ping(void)
{
    struct ring_writer w;
    struct ring_reader r;
    char bytes[RING_GATHER_SIZE] = {0};
    uint64_t start = 0;
    ring_pair(&w, &r, 0);
    for (unsigned i = 0; i < WARM + PINGS; i++) {
        if (i == WARM) start = now_ns();
        ring_write(&w, bytes, BYTES);
        ring_pop(&r, bytes);
    }
    return (double)(now_ns() - start) / PINGS;
}

/* --- the library -------------------------------------------------------------------------------------------------- */

static demi_qresult_t wait_one(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    if (demi_wait(&qr, qt, NULL) || qr.qr_opcode == DEMI_OPC_FAILED) die("an operation failed");
    return qr;
}

static void demi_server(void)
{
    demi_qtoken_t qt, push;
    int listener;
    if (demi_init_with("shm", NULL) || demi_socket(&listener, AF_INET, SOCK_STREAM, 0) ||
        demi_bind(listener, (struct sockaddr *)&at, sizeof at) || demi_listen(listener, 4) ||
        demi_accept(&qt, listener))
        die("no listener");
    atomic_store(&m->go, 1);
    int qd = wait_one(qt).qr_value.ares.qd;
    for (;;) {
        if (demi_pop(&qt, qd)) die("pop");
        demi_qresult_t qr = wait_one(qt);
        if (!qr.qr_value.sga.sga_segs[0].sgaseg_len) break;
        if (demi_push(&push, qd, &qr.qr_value.sga)) die("push");
        demi_sgafree(&qr.qr_value.sga);
        wait_one(push);
    }
    demi_exit();
}

static double demi_ping(void)
{
    demi_qtoken_t qt;
    int qd;
    uint64_t start = 0;
    while (!atomic_load(&m->go)) usleep(1000);
    if (demi_init_with("shm", NULL) || demi_socket(&qd, AF_INET, SOCK_STREAM, 0) ||
        demi_connect(&qt, qd, (struct sockaddr *)&at, sizeof at))
        die("no connection");
    wait_one(qt);
    demi_sgarray_t sga = demi_sgaalloc(BYTES);
    memset(sga.sga_segs[0].sgaseg_buf, 1, BYTES);
    for (unsigned i = 0; i < WARM + PINGS; i++) {
        if (i == WARM) start = now_ns();
        if (demi_push(&qt, qd, &sga)) die("push");
        wait_one(qt);
        if (demi_pop(&qt, qd)) die("pop");
        demi_qresult_t qr = wait_one(qt);
        demi_sgafree(&qr.qr_value.sga);
    }
    double ns = (double)(now_ns() - start) / PINGS;
    demi_sgafree(&sga);
    demi_close(qd);
    demi_exit();
    return ns;
}

/* --- bulk --------------------------------------------------------------------------------------------------------- */

static uint32_t size;
static char *target;

static void bulk_writer(void)
{
    struct ring_writer w;
    struct ring_reader r;
    static char source[BIGGEST];
    memset(source, 1, sizeof source);
    ring_pair(&w, &r, 1);
    for (uint64_t left = BULK_BYTES; left; left -= size)
        for (uint32_t done = 0; done < size;) done += (uint32_t)ring_write(&w, source + done, size - done);
}

static double bulk_ring(void)
{
    struct ring_writer w;
    struct ring_reader r;
    ring_pair(&w, &r, 0);
    uint64_t start = now_ns();
    for (uint64_t got = 0, at_byte = 0; got < BULK_BYTES;) {
        uint32_t n = ring_pop(&r, target + at_byte);
        got += n;
        at_byte = (at_byte + n) % (BIGGEST - RING_GATHER_SIZE);
    }
    return (double)BULK_BYTES / (double)(now_ns() - start);
}

static void lender(void)
{
    memset(m->source, 1, sizeof m->source);
    atomic_store(&m->go, 1);
    while (!atomic_load(&m->done)) usleep(1000);
}

static double bulk_fetch(pid_t pid)
{
    while (!atomic_load(&m->go)) usleep(100);
    uint64_t start = now_ns();
    for (uint64_t got = 0; got < BULK_BYTES; got += size) {
        struct iovec mine = {target, size}, his = {m->source, size};
        if (process_vm_readv(pid, &mine, 1, &his, 1, 0) != (ssize_t)size) return 0;
    }
    double rate = (double)BULK_BYTES / (double)(now_ns() - start);
    atomic_store(&m->done, 1);
    return rate;
}

/* --- instructions ------------------------------------------------------------------------------------------------- */

static int ends[2][BURST]; /* of who connected, of who accepted */
static demi_qtoken_t pops[BURST];
static struct libos *libos;

static void connect_all(void)
{
    int listener;
    demi_qtoken_t both[2];
    if (demi_init_with("shm", NULL) || demi_socket(&listener, AF_INET, SOCK_STREAM, 0) ||
        demi_bind(listener, (struct sockaddr *)&at, sizeof at) || demi_listen(listener, BURST))
        die("no listener");
    for (unsigned i = 0; i < BURST; i++) {
        if (demi_socket(&ends[0][i], AF_INET, SOCK_STREAM, 0) || demi_accept(&both[0], listener) ||
            demi_connect(&both[1], ends[0][i], (struct sockaddr *)&at, sizeof at))
            die("no connection");
        wait_one(both[1]);
        ends[1][i] = wait_one(both[0]).qr_value.ares.qd;
    }
    demi_close(listener);
    libos = runtime_current()->libos[0];
}

static void push_all(unsigned side)
{
    static char bytes[BYTES];
    struct iovec v = {bytes, BYTES};
    demi_qtoken_t none;
    for (unsigned i = 0; i < BURST; i++)
        if (demi_pushv(&none, ends[side][i], &v, 1, DEMI_PUSH_NO_TOKEN)) die("push");
}

static void pop_all(unsigned side)
{
    for (unsigned i = 0; i < BURST; i++)
        if (demi_pop(&pops[i], ends[side][i])) die("pop");
}

static void take_all(void)
{
    for (unsigned i = 0; i < BURST; i++) {
        demi_qresult_t qr = wait_one(pops[i]);
        if (qr.qr_value.sga.sga_segs[0].sgaseg_len != BYTES) die("what came is not what was sent");
        demi_sgafree(&qr.qr_value.sga);
    }
}

static void echo_one(unsigned i)
{
    demi_qtoken_t push;
    demi_qresult_t qr = wait_one(pops[i]);
    if (demi_push(&push, ends[1][i], &qr.qr_value.sga)) die("push");
    demi_sgafree(&qr.qr_value.sga);
    wait_one(push);
    if (demi_pop(&pops[i], ends[1][i])) die("pop");
}

enum part { RECEIVE, SEND, ECHO };

static void measured(enum part what)
{
    if (what == RECEIVE) libos->ops->poll(libos);
    if (what == SEND) push_all(0);
    if (what == SEND) libos->ops->flush(libos);
    for (unsigned i = 0; what == ECHO && i < BURST; i++) echo_one(i);
}

static void (*volatile const run)(enum part what) = measured; /* neither inlined nor specialised */

static void count(enum part what, unsigned messages)
{
    connect_all();
    for (unsigned left = messages; left >= BURST; left -= BURST) {
        pop_all(1);
        if (what == SEND) {
            run(SEND);
        } else {
            push_all(0);
            runtime_flush(runtime_current());
            if (what == ECHO) libos->ops->poll(libos);
            run(what);
        }
        if (what == ECHO) { /* the pops of the next messages are taken back, and the echoes taken */
            for (unsigned i = 0; i < BURST; i++)
                if (demi_cancel(pops[i])) die("cancel");
            demi_qresult_t qr;
            for (unsigned i = 0; i < BURST; i++) demi_wait(&qr, pops[i], NULL);
            pop_all(0);
        }
        take_all();
    }
    printf("%u messages\n", messages / BURST * BURST);
    demi_exit();
}

static void clear(void)
{
    memset((void *)m->heads, 0, sizeof m->heads);
    memset(m->rings, 0, sizeof m->rings);
    atomic_store(&m->there.turn, 0);
    atomic_store(&m->back.turn, 0);
    atomic_store(&m->go, 0);
    atomic_store(&m->done, 0);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, by_value);
    return v[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    static const struct {
        void (*server)(void);
        double (*ping)(void);
        const char *name;
    } kinds[] = {{line_server, line_ping, "line"}, {ring_server, ring_ping, "ring"}, {demi_server, demi_ping, "demi"}};
    double got[3][ROUNDS];
    m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    target = malloc(BIGGEST);
    if (m == MAP_FAILED || !target) die("no memory");
    memset(target, 0, BIGGEST);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)(20000 + getpid() % 10000));
    if (argc == 4 && !strcmp(argv[1], "instructions")) {
        count(!strcmp(argv[2], "send") ? SEND : !strcmp(argv[2], "echo") ? ECHO : RECEIVE, (unsigned)atoi(argv[3]));
        return 0;
    }
    pin(0);
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < 3; k++) {
            clear();
            pid_t pid = child(kinds[k].server);
            got[k][round] = kinds[k].ping();
            waitpid(pid, NULL, 0);
        }
    double line = median(got[0]);
    for (int k = 0; k < 3; k++) {
        double ns = median(got[k]);
        printf("%s: 64 bytes there and back %.0f ns, %.2f of a line\n", kinds[k].name, ns, ns / line);
    }
    for (size = 4096; argc == 1 && size <= BIGGEST; size *= 4) {
        double rates[2][ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            clear();
            pid_t pid = child(bulk_writer);
            rates[0][round] = bulk_ring();
            waitpid(pid, NULL, 0);
            clear();
            pid = child(lender);
            rates[1][round] = bulk_fetch(pid);
            atomic_store(&m->done, 1);
            waitpid(pid, NULL, 0);
        }
        printf("pushes of %u KiB: ring %.1f GB/s, fetched %.1f GB/s\n", size / 1024, median(rates[0]),
               median(rates[1]));
    }
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * What the scenarios share: running one over many seeds, checking what every run must leave behind, and writing
 * programs for its hosts.
 *
 * A scenario is two functions: `set_up` adds hosts to world->sim, `verify` looks at what they left in world->state
 * (both with cmocka's asserts out of bounds: hosts have stacks of their own, so a failed check is noted with CHECK()
 * and told at the end).
 *
 * SIM_SEED=n runs one seed, SIM_SEEDS=a-b a range, instead of the seeds that belong to the test; SIM_ONLY=word only the
 * scenarios whose name has that word in it; SIM_TRACE=1 prints what happens.
 */
#ifndef TESTS_SIM_SIM_TEST_H
#define TESTS_SIM_SIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc/base/hash.h"
#include "alloc/base/sanitize.h"
#include "alloc/heap.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS(n)   ((uint64_t)(n)*1000000)
#define SEC(n)  ((uint64_t)(n)*1000000000)
#define DAYS(n) SEC((uint64_t)(n)*86400)

/* Sanitized programs are slower, and look at each access instead of at many runs. */
#if SANITIZE_THREAD
#define SEEDS_SHARE 20
#elif SANITIZE_ADDRESS
#define SEEDS_SHARE 4
#else
#define SEEDS_SHARE 1
#endif

/* How long a long run is, in simulated seconds. The thread sanitizer takes some fifty times as long for each (Nov
 * 2026), and a simulation has one thread: there the second number holds, with which the same bounds are kept. */
#if SANITIZE_THREAD
#define SANITIZED_SECONDS(n, short_n) (short_n)
#define LONG_RUNS_TWICE               false /* that they repeat is shown by all other builds, and by short runs here */
#else
#define SANITIZED_SECONDS(n, short_n) (n)
#define LONG_RUNS_TWICE               true
#endif

struct world {
    struct sim *sim;
    uint64_t seed;
    void *state;               /* the scenario's: of calloc(), freed after the run */
    struct sim_host *hosts[4]; /* its own, too */
    bool lossy;                /* over wires that may lose a whole handshake: who connects tries again */
    char failure[512];         /* the first */
};

struct scenario {
    const char *name;
    void (*set_up)(struct world *w);
    void (*verify)(struct world *w); /* may be NULL */
    uint64_t limit_ns;               /* of simulated time */
};

/* Set by a test whose bytes have chance of their own (OpenSSL's): two runs of one seed differ. */
static bool rolls_dice;

#define CHECK(w, cond)       check(w, cond, "%s:%d: %s", __FILE__, __LINE__, #cond)
#define CHECK_EQUAL(w, a, b) check_equal(w, (long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)

__attribute__((format(printf, 3, 4))) static inline bool check(struct world *w, bool holds, const char *fmt, ...)
{
    if (holds || w->failure[0]) return holds;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->failure, sizeof w->failure, fmt, ap);
    va_end(ap);
    return false;
}

static inline bool check_equal(struct world *w, long long a, long long b, const char *file, int line, const char *text)
{
    return check(w, a == b, "%s:%d: %s: %lld, not %lld", file, line, text, a, b);
}

struct outcome {
    uint64_t trace, simulated_ns;
    struct sim_stats stats;
};

/* One run of one seed. */
static inline struct outcome run_once(const struct scenario *sc, uint64_t seed, struct world *w)
{
    struct outcome out = {0};
    struct heap_stats before, after;
    heap_stats(&before);
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->sim = sim_new(seed);
    sc->set_up(w);
    int err = sim_run(w->sim, SIM_START_NS + sc->limit_ns);
    check(w, !err, "the run ended with %s", strerror(-err));
    if (sc->verify && !err) sc->verify(w);
    out.trace = sim_trace(w->sim);
    out.simulated_ns = sim_now(w->sim) - SIM_START_NS;
    out.stats = *sim_stats(w->sim);
    sim_free(w->sim);
    free(w->state);
    heap_stats(&after);
    CHECK_EQUAL(w, out.stats.stuck, 0);
    CHECK_EQUAL(w, after.used, before.used);
    CHECK_EQUAL(w, after.pinned, before.pinned);
    return out;
}

static inline void seeds_of(unsigned count, uint64_t *first, uint64_t *last)
{
    const char *one = getenv("SIM_SEED"), *range = getenv("SIM_SEEDS");
    unsigned long long a = 1, b = (count + SEEDS_SHARE - 1) / SEEDS_SHARE;
    if (one) a = b = strtoull(one, NULL, 10);
    else if (range && sscanf(range, "%llu-%llu", &a, &b) != 2) fail_msg("SIM_SEEDS is a range: 1-100");
    *first = a;
    *last = b;
}

static inline void add_stats(struct sim_stats *sum, const struct sim_stats *one)
{
    sum->bytes += one->bytes;
    sum->segments += one->segments;
    sum->resets += one->resets;
    sum->frames += one->frames;
    sum->frames_lost += one->frames_lost;
    sum->frames_corrupted += one->frames_corrupted;
    sum->frame_bytes += one->frame_bytes;
}

static inline void tell_seeds(const struct scenario *sc, uint64_t count, double real_s, double simulated_s,
                              const struct sim_stats *total)
{
    fprintf(stderr, "# %s: %llu seeds, %.0f a second, %.1f s simulated (%.0f a second), ", sc->name,
            (unsigned long long)count, (double)count / real_s, simulated_s, simulated_s / real_s);
    if (total->frames)
        fprintf(stderr, "%.1f MB in %llu frames, %llu lost, %llu damaged\n", (double)total->frame_bytes / 1e6,
                (unsigned long long)total->frames, (unsigned long long)total->frames_lost,
                (unsigned long long)total->frames_corrupted);
    else
        fprintf(stderr, "%.1f MB, %llu segments, %llu resets\n", (double)total->bytes / 1e6,
                (unsigned long long)total->segments, (unsigned long long)total->resets);
}

/* Runs the scenario with seeds 1 to count (sanitized: a share of them), the first of them twice: it must do the
 * same (LONG_RUNS_TWICE says of which builds that holds for the one seed of a long run). */
static inline void run_seeds(const struct scenario *sc, unsigned count)
{
    uint64_t first, last, simulated = 0, began = demi_clock_ns();
    const char *only = getenv("SIM_ONLY");
    struct sim_stats total = {0};
    struct world w;
    if (only && !strstr(sc->name, only)) return;
    seeds_of(count, &first, &last);
    if (count == 1) last = first; /* long, and chance has no part in it */
    bool twice = (count > 1 || LONG_RUNS_TWICE) && !rolls_dice;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct outcome out = run_once(sc, seed, &w);
        if (!w.failure[0] && seed == first && twice) {
            struct outcome again = run_once(sc, seed, &w);
            check(&w, again.trace == out.trace, "two runs of one seed differ: %llx, %llx",
                  (unsigned long long)out.trace, (unsigned long long)again.trace);
        }
        if (w.failure[0])
            fail_msg("seed %llu: %s (again: SIM_SEED=%llu)", (unsigned long long)seed, w.failure,
                     (unsigned long long)seed);
        simulated += out.simulated_ns;
        add_stats(&total, &out.stats);
    }
    tell_seeds(sc, last - first + 1, (double)(demi_clock_ns() - began) / 1e9, (double)simulated / 1e9, &total);
}

/* --- for programs ------------------------------------------------------------------------------------------------- */

static inline struct sockaddr_in address(const char *host, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    return a;
}

/* Of either family. */
struct place {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t size;
};

static inline struct place place_of(const char *host, uint16_t port)
{
    struct place p = {.v4 = address(host, port), .size = sizeof p.v4};
    if (!strchr(host, ':')) return p;
    p = (struct place){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}, .size = sizeof p.v6};
    inet_pton(AF_INET6, host, &p.v6.sin6_addr);
    return p;
}

static inline demi_qresult_t wait_for(demi_qtoken_t qt)
{
    demi_qresult_t qr = {.qr_opcode = DEMI_OPC_INVALID};
    demi_wait(&qr, qt, NULL);
    return qr;
}

/* The same as a number: 0, or the errno it failed with. */
static inline int wait_done(demi_qtoken_t qt)
{
    demi_qresult_t qr = wait_for(qt);
    return qr.qr_opcode == DEMI_OPC_FAILED ? (int)qr.qr_ret : 0;
}

static inline void sleep_ns(uint64_t ns)
{
    demi_qtoken_t qt;
    if (!demi_timer(&qt, ns)) wait_for(qt);
}

/* Who only waits hears of a peer that has gone. */
static inline int keep_alive(int qd, int idle_s)
{
    int on = 1, err = demi_setsockopt(qd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return err ? err : demi_setsockopt(qd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

/* A connected queue, or -errno. from may be NULL. */
static inline int connect_from(const struct place *from, const char *host, uint16_t port)
{
    struct place to = place_of(host, port);
    demi_qtoken_t qt;
    int qd, err = demi_socket(&qd, to.sa.sa_family, SOCK_STREAM, 0);
    if (err) return -err;
    if (from) err = demi_bind(qd, &from->sa, from->size);
    if (!err) err = demi_connect(&qt, qd, &to.sa, to.size);
    if (!err) err = wait_done(qt);
    if (!err) return qd;
    demi_close(qd);
    return -err;
}

static inline int connect_to(const char *host, uint16_t port) { return connect_from(NULL, host, port); }

static inline int listen_at(const char *host, uint16_t port, int backlog)
{
    struct place at = place_of(host, port);
    int qd, err = demi_socket(&qd, at.sa.sa_family, SOCK_STREAM, 0);
    if (err) return -err;
    err = demi_bind(qd, &at.sa, at.size);
    if (!err) err = demi_listen(qd, backlog);
    if (!err) return qd;
    demi_close(qd);
    return -err;
}

static inline int accept_on(int listener)
{
    demi_qtoken_t qt;
    int err = demi_accept(&qt, listener);
    if (err) return -err;
    demi_qresult_t qr = wait_for(qt);
    return qr.qr_opcode == DEMI_OPC_ACCEPT ? qr.qr_value.ares.qd : -(int)qr.qr_ret;
}

/* The pushed bytes may still be on their way when this returns: no token is kept. */
static inline int push_bytes(int qd, const void *p, size_t n)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    demi_qtoken_t qt;
    return demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN);
}

/* The most that one pop gives. */
#define POP_MAX 65536

/* Bytes popped into out; 0 at the end of the stream; -errno, -EMSGSIZE when there is no room for what came. */
static inline int pop_bytes(int qd, void *out, size_t room)
{
    demi_qtoken_t qt;
    int err = demi_pop(&qt, qd);
    if (err) return -err;
    demi_qresult_t qr = wait_for(qt);
    if (qr.qr_opcode != DEMI_OPC_POP) return -(int)qr.qr_ret;
    demi_sgarray_t sga = qr.qr_value.sga;
    size_t n = sga.sga_segs[0].sgaseg_len;
    if (n <= room) memcpy(out, sga.sga_segs[0].sgaseg_buf, n);
    demi_sgafree(&sga);
    return n <= room ? (int)n : -EMSGSIZE;
}

#endif

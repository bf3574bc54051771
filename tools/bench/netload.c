/* SPDX-License-Identifier: MIT
 *
 * Two ends of a network under demi/: what a round trip and a flow cost through the whole library, on whatever libOS
 * LIBOS names. To be held against wire_echo.c, which sends bare frames over the same device.
 *
 *     netload --server ADDRESS PORT             echoes TCP streams and UDP datagrams that come to PORT; TCP to PORT + 1
 *                                               is thrown away
 *     netload --tcp ADDRESS PORT                one connection, one message on its way at a time: p50 and p99 of the
 *                                               round trip
 *     netload --udp ADDRESS PORT                the same with datagrams
 *     netload --bulk ADDRESS PORT               pushes of --size bytes to PORT + 1, four at a time; a push counts when
 *                                               it is acknowledged
 *
 * The server ends after --seconds without anything to do (30).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "tools/bench/histogram.h"

enum { RESULTS = 64, BULK_PUSHES = 4, PATIENCE_S = 20, BACKLOG = 64 };

struct options {
    enum { SERVER, TCP, UDP, BULK } mode;
    struct sockaddr_in at;
    unsigned size;
    double seconds, warmup;
    bool machine, marks;
};

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("netload: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* The warm-up is over: whoever started us may see to it that nobody disturbs. */
static void measuring(const struct options *o)
{
    if (!o->marks) return;
    puts("measuring");
    fflush(stdout);
}

static void must(int err, const char *what)
{
    if (err) die("%s: %s", what, strerror(err));
}

static demi_qresult_t wait_for(demi_qtoken_t qt, const char *what)
{
    struct timespec patience = {.tv_sec = PATIENCE_S};
    demi_qresult_t r;
    must(demi_wait(&r, qt, &patience), what);
    if (r.qr_opcode == DEMI_OPC_FAILED) die("%s: %s", what, strerror((int)r.qr_ret));
    return r;
}

/* --- the server --------------------------------------------------------------------------------------------------- */

enum role { LISTENER, SINK_LISTENER, ECHO, SINK, DATAGRAMS };

static demi_qtoken_t start(int qd, enum role role)
{
    demi_qtoken_t qt;
    must(role <= SINK_LISTENER ? demi_accept(&qt, qd) : demi_pop(&qt, qd), "accept or pop");
    demi_set_data(qt, (void *)(uintptr_t)role);
    return qt;
}

static int open_at(const struct sockaddr_in *at, int type, bool listens)
{
    int qd;
    must(demi_socket(&qd, AF_INET, type, 0), "socket");
    must(demi_bind(qd, (const struct sockaddr *)at, sizeof *at), "bind");
    if (listens) must(demi_listen(qd, BACKLOG), "listen");
    return qd;
}

static void echo_stream(int qd, demi_sgarray_t *sga)
{
    struct iovec v = {sga->sga_segs[0].sgaseg_buf, sga->sga_segs[0].sgaseg_len};
    demi_qtoken_t none;
    demi_pushv(&none, qd, &v, 1, DEMI_PUSH_NO_TOKEN | DEMI_PUSH_HANDED_OVER);
}

static void echo_datagram(int qd, demi_sgarray_t *sga)
{
    demi_qtoken_t qt;
    struct sockaddr_in from = sga->sga_addr;
    demi_pushto(&qt, qd, sga, (struct sockaddr *)&from, sizeof from);
}

static void serve_result(demi_qresult_t *r)
{
    enum role role = (enum role)(uintptr_t)demi_result_data(r);
    if (r->qr_opcode == DEMI_OPC_ACCEPT) {
        start(r->qr_value.ares.qd, role == SINK_LISTENER ? SINK : ECHO);
        start(r->qr_qd, role);
    } else if (r->qr_opcode == DEMI_OPC_POP) {
        demi_sgarray_t *sga = &r->qr_value.sga;
        bool end = sga->sga_segs[0].sgaseg_len == 0 && role != DATAGRAMS;
        if (!end && role == ECHO) echo_stream(r->qr_qd, sga);
        if (!end && role == DATAGRAMS) echo_datagram(r->qr_qd, sga);
        demi_sgafree(sga);
        if (end) demi_close(r->qr_qd);
        else start(r->qr_qd, role);
    } else if (r->qr_opcode == DEMI_OPC_FAILED && (role == ECHO || role == SINK)) {
        demi_close(r->qr_qd);
    }
}

static void serve(const struct options *o)
{
    struct sockaddr_in sink = o->at;
    sink.sin_port = htons((uint16_t)(ntohs(o->at.sin_port) + 1));
    start(open_at(&o->at, SOCK_STREAM, true), LISTENER);
    start(open_at(&sink, SOCK_STREAM, true), SINK_LISTENER);
    start(open_at(&o->at, SOCK_DGRAM, false), DATAGRAMS);
    puts("ready");
    fflush(stdout);
    for (;;) {
        demi_qresult_t results[RESULTS];
        struct timespec patience = {.tv_sec = (time_t)o->seconds};
        int n = 0, err = demi_wait_batch(results, RESULTS, &n, &patience);
        if (err == ETIMEDOUT) return;
        must(err, "wait");
        for (int i = 0; i < n; i++) serve_result(&results[i]);
    }
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static int connect_to(const struct sockaddr_in *to, int type)
{
    int qd;
    demi_qtoken_t qt;
    must(demi_socket(&qd, AF_INET, type, 0), "socket");
    must(demi_connect(&qt, qd, (const struct sockaddr *)to, sizeof *to), "connect");
    wait_for(qt, "connect");
    return qd;
}

/* One message there and back. False: a datagram was lost. Messages are numbered, since the answer to one that was
 * given up may come after all, and would be ahead of every later one. */
static bool round_trip(const struct options *o, int qd, char *bytes, struct histogram *h)
{
    static uint64_t number;
    size_t tagged = o->size < sizeof number ? o->size : sizeof number;
    number++;
    memcpy(bytes, &number, tagged);
    struct timespec patience = {.tv_nsec = 200000000};
    struct iovec v = {(void *)(uintptr_t)bytes, o->size};
    demi_qtoken_t qt;
    uint64_t began = demi_clock_ns();
    must(demi_pushv(&qt, qd, &v, 1, DEMI_PUSH_NO_TOKEN | DEMI_PUSH_HANDED_OVER), "push");
    for (unsigned got = 0; got < o->size;) {
        demi_qresult_t r;
        must(demi_pop(&qt, qd), "pop");
        int err = demi_wait(&r, qt, o->mode == UDP ? &patience : NULL);
        if (err == ETIMEDOUT) {
            demi_cancel(qt);
            demi_wait(&r, qt, NULL);
            return false;
        }
        must(err, "wait");
        if (r.qr_opcode != DEMI_OPC_POP || !r.qr_value.sga.sga_segs[0].sgaseg_len) die("the server has gone");
        bool late = o->mode == UDP && memcmp(r.qr_value.sga.sga_segs[0].sgaseg_buf, bytes, tagged);
        if (!late) got += r.qr_value.sga.sga_segs[0].sgaseg_len;
        demi_sgafree(&r.qr_value.sga);
    }
    hist_add(h, demi_clock_ns() - began, 1);
    return true;
}

static void echo(const struct options *o)
{
    static struct histogram h;
    uint64_t lost = 0;
    int qd = connect_to(&o->at, o->mode == UDP ? SOCK_DGRAM : SOCK_STREAM);
    char *bytes = demi_calloc(1, o->size);
    if (!bytes) die("out of memory");
    for (int tries = 0; !round_trip(o, qd, bytes, &h); tries++) /* datagrams are lost until the wire is there */
        if (tries == 5 * PATIENCE_S) die("nothing comes back");
    for (uint64_t end = demi_clock_ns() + (uint64_t)(o->warmup * 1e9); demi_clock_ns() < end;)
        round_trip(o, qd, bytes, &h);
    memset(&h, 0, sizeof h);
    measuring(o);
    for (uint64_t end = demi_clock_ns() + (uint64_t)(o->seconds * 1e9); demi_clock_ns() < end;)
        lost += !round_trip(o, qd, bytes, &h);
    double p50 = (double)hist_quantile(&h, 0.5) / 1e3, p99 = (double)hist_quantile(&h, 0.99) / 1e3,
           rps = (double)h.count / o->seconds;
    const char *name = o->mode == UDP ? "udp" : "tcp";
    if (o->machine)
        printf("test=%s p50_us=%.3f p99_us=%.3f rps=%.0f lost=%llu\n", name, p50, p99, rps, (unsigned long long)lost);
    else
        printf("%s echo of %u bytes: p50 %.3f us, p99 %.3f us, %.0f a second, %llu lost\n", name, o->size, p50, p99,
               rps, (unsigned long long)lost);
    demi_free(bytes);
    demi_close(qd);
}

static void bulk(const struct options *o)
{
    struct sockaddr_in to = o->at;
    to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + 1));
    int qd = connect_to(&to, SOCK_STREAM);
    char *bytes = demi_calloc(1, o->size);
    if (!bytes) die("out of memory");
    struct iovec v = {bytes, o->size};
    demi_qtoken_t qts[BULK_PUSHES];
    unsigned next = 0;
    for (int i = 0; i < BULK_PUSHES; i++) must(demi_pushv(&qts[i], qd, &v, 1, 0), "push");
    for (uint64_t end = demi_clock_ns() + (uint64_t)(o->warmup * 1e9); demi_clock_ns() < end;
         next = (next + 1) % BULK_PUSHES) {
        wait_for(qts[next], "push");
        must(demi_pushv(&qts[next], qd, &v, 1, 0), "push");
    }
    measuring(o);
    uint64_t from = demi_clock_ns(), end = from + (uint64_t)(o->seconds * 1e9), bytes_done = 0, now = from;
    for (; now < end; next = (next + 1) % BULK_PUSHES) {
        wait_for(qts[next], "push");
        now = demi_clock_ns();
        bytes_done += o->size;
        must(demi_pushv(&qts[next], qd, &v, 1, 0), "push");
    }
    double gbits = (double)bytes_done * 8 / (double)(now - from);
    if (o->machine) printf("test=bulk gbits=%.3f\n", gbits);
    else printf("one flow, pushes of %u bytes: %.2f Gbit/s\n", o->size, gbits);
    for (int i = 0; i < BULK_PUSHES; i++) wait_for(qts[i], "push");
    demi_free(bytes);
    demi_close(qd);
}

/* --- the command line --------------------------------------------------------------------------------------------- */

static void usage(void)
{
    puts("usage: netload --server | --tcp | --udp | --bulk [options] ADDRESS PORT\n"
         "  --size N       bytes of a message (64; of a push of --bulk 262144)\n"
         "  --seconds S    (1; a server ends after so many without work: 30), after --warmup S (0.1)\n"
         "  --machine      one line of name=value\n"
         "  --marks        a line that says when the warm-up is over");
    exit(0);
}

int main(int argc, char **argv)
{
    enum { SIZE = 256, SECONDS, WARMUP, MACHINE, MARKS, HELP };
    struct options o = {.warmup = 0.1};
    const struct option names[] = {{"server", 0, (int *)&o.mode, SERVER},
                                   {"tcp", 0, (int *)&o.mode, TCP},
                                   {"udp", 0, (int *)&o.mode, UDP},
                                   {"bulk", 0, (int *)&o.mode, BULK},
                                   {"size", 1, NULL, SIZE},
                                   {"seconds", 1, NULL, SECONDS},
                                   {"warmup", 1, NULL, WARMUP},
                                   {"machine", 0, NULL, MACHINE},
                                   {"marks", 0, NULL, MARKS},
                                   {"help", 0, NULL, HELP},
                                   {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 0: break;
        case SIZE: o.size = (unsigned)atoi(optarg); break;
        case SECONDS: o.seconds = atof(optarg); break;
        case WARMUP: o.warmup = atof(optarg); break;
        case MACHINE: o.machine = true; break;
        case MARKS: o.marks = true; break;
        default: usage();
        }
    }
    o.at.sin_family = AF_INET;
    if (argc - optind != 2 || inet_pton(AF_INET, argv[optind], &o.at.sin_addr) != 1) usage();
    o.at.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
    if (!o.size) o.size = o.mode == BULK ? 262144 : 64;
    if (o.seconds <= 0) o.seconds = o.mode == SERVER ? 30 : 1;
    must(demi_init(NULL), "libOS");
    if (o.mode == SERVER) serve(&o);
    else if (o.mode == BULK) bulk(&o);
    else echo(&o);
    must(demi_exit(), "exit");
    return 0;
}

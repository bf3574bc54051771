/* SPDX-License-Identifier: MIT
 *
 * A load generator that counts bytes, over demi/. redis-benchmark parses every reply and so saturates before a fast
 * server does; here a reply of known length costs a division (workload.h), and the server stays what is measured.
 *
 * Closed loop (the default): each connection sends a batch of -P requests, waits for all replies, sends the next.
 * Open loop (--rate): requests have their times, evenly spaced over all connections, and a reply's latency counts from
 * the time its request was due, sent late or not: a server that stalls cannot hide it by not being asked.
 *
 * With --pid the CPU time of that process (all its threads, also those that have ended) is read at the start and the
 * end of the measurement itself: set-up and warm-up are not in the figure.
 *
 * SIGTERM and SIGINT end the measurement, and what was measured until then is reported.
 *
 * A connection that the server closes or resets is dead: the others go on, its unanswered requests are lost, and the
 * report and the exit status say so. So do connections that were asked and never answered anything (silent), and a
 * server that says nothing at all for STALL_SECONDS ends the run.
 *
 * Exit status: 0; 1: it did not start; 2: error replies; 3: connections died or were silent.
 *
 * Each connection has one pop outstanding; its requests lie in demi_malloc()ed memory that is freed as soon as it was
 * pushed. Bounds: at most MAX_CONNS connections and MAX_FLIGHT requests of one of them unanswered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "tools/bench/histogram.h"
#include "tools/bench/workload.h"

enum {
    MAX_CONNS = 16384,
    MAX_FLIGHT = 4096,
    RESULTS = 64,
    PROGRESS_NS = 100000000,
    SETUP_SECONDS = 20,
    STALL_SECONDS = 20,
    SILENT_NS = 1000000000,
};

struct load_conn {
    int qd;
    unsigned in_flight; /* requests sent and not answered */
    unsigned first;     /* ring index of the oldest of them */
    unsigned to_send;   /* open loop: due, and for want of room not sent */
    uint64_t partial;   /* of a request's reply that has not come in whole: bytes (fixed length), or commands */
    uint64_t *due;      /* ring of MAX_FLIGHT or, closed loop, the one time of the batch */
    struct scanner scanner;
    bool dead, heard; /* heard: something came back */
};

struct load {
    /* options */
    const char *host, *path, *test;
    int port, pid;
    unsigned conn_count, depth;
    uint64_t keys, limit, first_key;
    struct value value;
    double seconds, warmup, rate;
    bool machine, sequential, marks, valkey;
    /* state */
    struct request request;
    uint64_t reply_size; /* 0: scan */
    struct load_conn *conns;
    unsigned dead_count, silent_count;
    uint64_t lost;  /* requests of connections that died before the reply */
    char death[96]; /* of the first of them */
    uint64_t random, next_key;
    uint64_t issued, answered, errors;
    uint64_t start_ns, measure_ns, end_ns, progress_ns, measured_from, cpu_from, user_from;
    uint64_t last_reply_ns, gap_ns;
    bool measuring, stopping;
    struct histogram latency;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of a process so far, threads that have ended included; 0 when there is none. */
static uint64_t cpu_ns(int pid)
{
    clockid_t clock;
    struct timespec t;
    if (!pid || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* User-space part of it, in the kernel's ticks of 10 ms; 0 when there is none. */
static uint64_t user_ticks(int pid)
{
    char path[64], text[1024];
    unsigned long long ticks = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = pid ? fopen(path, "r") : NULL;
    if (!file) return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    char *after_name = strrchr(text, ')');
    if (!after_name || sscanf(after_name + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &ticks) != 1)
        return 0;
    return ticks;
}

/* --- sending -------------------------------------------------------------------------------------------------- */

static uint64_t next_number(struct load *l)
{
    if (l->sequential) return (l->first_key + l->next_key++) % l->keys;
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return (uint64_t)(((__uint128_t)l->random * l->keys) >> 64);
}

static void bury(struct load *l, struct load_conn *c, const char *why)
{
    if (c->dead) return;
    c->dead = true;
    if (!l->dead_count++) snprintf(l->death, sizeof l->death, "%s", why);
    l->lost += c->in_flight + c->to_send;
    c->in_flight = c->to_send = 0;
    demi_close(c->qd);
}

static void send_requests(struct load *l, struct load_conn *c, unsigned count)
{
    size_t size = l->request.size;
    uint8_t *bytes = demi_malloc(size * count);
    if (!bytes) die("out of memory");
    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes + i * size, l->request.bytes, size);
        uint64_t number = 0;
        for (unsigned k = 0; l->keys && k < l->request.digit_count; k++) {
            if (!l->request.repeats[k]) number = next_number(l);
            digits_write(bytes + i * size + l->request.digits[k], number);
        }
    }
    demi_qtoken_t token;
    struct iovec piece = {.iov_base = bytes, .iov_len = size * count};
    int error = demi_pushv(&token, c->qd, &piece, 1, DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN);
    demi_free(bytes);
    if (error) bury(l, c, strerror(error));
}

/* Closed loop: the next batch, unless enough was issued. */
static void send_batch(struct load *l, struct load_conn *c, uint64_t now)
{
    unsigned count = l->depth;
    if (l->limit && l->limit - l->issued < count) count = (unsigned)(l->limit - l->issued);
    if (!count || l->stopping || c->dead) return;
    l->issued += count;
    c->in_flight = count;
    c->due[0] = now;
    send_requests(l, c, count);
}

/* Open loop: what is due by now goes to the connections in turn. */
static void send_due(struct load *l, uint64_t now)
{
    uint64_t due = (uint64_t)((double)(now - l->start_ns) * l->rate / 1e9) + 1;
    if (l->limit && due > l->limit) due = l->limit;
    uint64_t first = l->issued;
    for (; l->issued < due && l->issued - first < (uint64_t)l->conn_count * MAX_FLIGHT; l->issued++) {
        struct load_conn *c = &l->conns[l->issued % l->conn_count];
        if (c->dead) {
            l->lost++;
            continue;
        }
        if (c->in_flight + c->to_send == MAX_FLIGHT) break; /* it stays due: its wait is in its latency */
        c->due[(c->first + c->in_flight + c->to_send++) % MAX_FLIGHT] =
            l->start_ns + (uint64_t)((double)l->issued * 1e9 / l->rate);
    }
    for (uint64_t i = first; i < l->issued && i - first < l->conn_count; i++) {
        struct load_conn *c = &l->conns[i % l->conn_count];
        if (!c->to_send) continue;
        unsigned count = c->to_send;
        c->in_flight += count;
        c->to_send = 0;
        send_requests(l, c, count);
    }
}

static void pop_next(struct load *l, struct load_conn *c)
{
    demi_qtoken_t token;
    int error = demi_pop(&token, c->qd);
    if (error) bury(l, c, strerror(error));
    else demi_set_data(token, c);
}

/* --- receiving ------------------------------------------------------------------------------------------------ */

/* Requests that are answered in whole. */
static uint64_t count_replies(struct load *l, struct load_conn *c, const uint8_t *bytes, size_t size)
{
    if (!l->reply_size) {
        uint64_t replies = c->partial + scanner_feed(&c->scanner, bytes, size, &l->errors);
        c->partial = replies % l->request.command_count;
        return replies / l->request.command_count;
    }
    if (!c->partial && bytes[0] == '-' && l->request.bytes[0] == '*') l->errors++;
    c->partial += size;
    uint64_t count = c->partial / l->reply_size;
    c->partial %= l->reply_size;
    return count;
}

static void take_replies(struct load *l, struct load_conn *c, uint64_t count, uint64_t now)
{
    if (count > c->in_flight) die("more replies than requests: replies of this workload differ in length");
    c->in_flight -= (unsigned)count;
    if (l->measuring) {
        if (l->rate > 0)
            for (uint64_t i = 0; i < count; i++) hist_add(&l->latency, now - c->due[(c->first + i) % MAX_FLIGHT], 1);
        else if (count) hist_add(&l->latency, now - c->due[0], count);
        l->answered += count;
        if (now - l->last_reply_ns > l->gap_ns) l->gap_ns = now - l->last_reply_ns;
    }
    l->last_reply_ns = now;
    c->first = (c->first + (unsigned)count) % MAX_FLIGHT;
    if (l->rate <= 0 && !c->in_flight) send_batch(l, c, now);
}

static void handle(struct load *l, demi_qresult_t *result, uint64_t now)
{
    if (result->qr_opcode == DEMI_OPC_PUSH) return;
    struct load_conn *c = demi_result_data(result);
    if (!c) return; /* of a connection that was buried before */
    if (result->qr_opcode != DEMI_OPC_POP) {
        bury(l, c, strerror((int)result->qr_ret));
        return;
    }
    demi_sgarray_t *sga = &result->qr_value.sga;
    size_t size = sga->sga_numsegs ? sga->sga_segs[0].sgaseg_len : 0;
    if (!size) {
        bury(l, c, "closed by the server");
        demi_sgafree(sga);
        return;
    }
    c->heard = true;
    take_replies(l, c, count_replies(l, c, sga->sga_segs[0].sgaseg_buf, size), now);
    demi_sgafree(sga);
    if (!c->dead) pop_next(l, c);
}

/* --- set-up ---------------------------------------------------------------------------------------------------- */

static int connect_start(struct load *l, demi_qtoken_t *token)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (l->path) snprintf(un.sun_path, sizeof un.sun_path, "%s", l->path);
    else if (inet_pton(AF_INET, l->host, &in.sin_addr) != 1) die("not an IPv4 address: %s", l->host);
    int qd, one = 1, lent = 1 << 20, error = demi_socket(&qd, l->path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    if (error) die("socket: %s", strerror(error));
    error = l->valkey ? demi_setsockopt(qd, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &lent, sizeof lent) : 0;
    if (error) die("--valkey: %s", strerror(error));
    if (!l->path) demi_setsockopt(qd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    error = l->path ? demi_connect(token, qd, (struct sockaddr *)&un, sizeof un)
                    : demi_connect(token, qd, (struct sockaddr *)&in, sizeof in);
    if (error) die("connect: %s", strerror(error));
    return qd;
}

static void connect_all(struct load *l)
{
    struct timespec patience = {.tv_sec = SETUP_SECONDS};
    size_t ring = l->rate > 0 ? MAX_FLIGHT : 1;
    l->conns = calloc(l->conn_count, sizeof *l->conns);
    uint64_t *rings = calloc(l->conn_count * ring, sizeof *rings);
    if (!l->conns || !rings) die("out of memory");
    for (unsigned i = 0; i < l->conn_count; i++) {
        demi_qtoken_t token;
        demi_qresult_t result;
        struct load_conn *c = &l->conns[i];
        c->due = rings + i * ring;
        c->qd = connect_start(l, &token);
        int error = demi_wait(&result, token, &patience);
        if (error || result.qr_opcode != DEMI_OPC_CONNECT)
            die("connection %u: %s", i + 1, strerror(error ? error : (int)result.qr_ret));
    }
}

/* Asks once, waits for the whole reply, and returns its length. */
static uint64_t probe(struct load *l, struct load_conn *c)
{
    struct timespec patience = {.tv_sec = SETUP_SECONDS};
    struct scanner scanner = {0};
    uint64_t size = 0, errors = 0, done = 0;
    bool echo = l->request.bytes[0] != '*';
    send_requests(l, c, 1);
    while (done < l->request.command_count) {
        demi_qtoken_t token;
        demi_qresult_t result;
        int error = demi_pop(&token, c->qd);
        if (!error) error = demi_wait(&result, token, &patience);
        if (error) die("no reply: %s", strerror(error));
        demi_sgaseg_t *segment = &result.qr_value.sga.sga_segs[0];
        if (result.qr_opcode != DEMI_OPC_POP || !segment->sgaseg_len) die("the server closed the connection");
        size += segment->sgaseg_len;
        if (echo) done = size >= l->request.size;
        else done += scanner_feed(&scanner, segment->sgaseg_buf, segment->sgaseg_len, &errors);
        if (errors) die("the server answers: %.*s", (int)segment->sgaseg_len, (char *)segment->sgaseg_buf);
        demi_sgafree(&result.qr_value.sga);
    }
    return size;
}

/* --- the run -------------------------------------------------------------------------------------------------- */

static void progress(struct load *l, uint64_t now)
{
    static const char bar[] = "########################################";
    double part = l->limit ? (double)l->answered / (double)l->limit
                           : (double)(now - l->start_ns) / (double)(l->end_ns - l->start_ns);
    int filled = (int)((part > 1 ? 1 : part) * 40);
    double seconds = (double)(now - l->measured_from) / 1e9;
    fprintf(stderr, "\r%s [%.*s%*s] %.0f requests/s ", l->test, filled, bar, 40 - filled, "",
            l->measuring && seconds > 0 ? (double)l->answered / seconds : 0.0);
    l->progress_ns = now + PROGRESS_NS;
}

static void begin_measuring(struct load *l, uint64_t now)
{
    l->measuring = true;
    l->measured_from = l->last_reply_ns = now;
    l->cpu_from = cpu_ns(l->pid);
    l->user_from = user_ticks(l->pid);
    if (!l->marks) return;
    puts("measuring");
    fflush(stdout);
}

static bool is_over(const struct load *l, uint64_t now)
{
    if (interrupted) return true;
    if (l->dead_count == l->conn_count || now - l->last_reply_ns > STALL_SECONDS * 1000000000ull) return true;
    return now >= l->end_ns || (l->limit && l->answered + l->lost >= l->limit);
}

/* How long the loop may sleep: until the next request is due, or the next look at the clock. */
static struct timespec sleep_time(const struct load *l, uint64_t now)
{
    uint64_t ns = 20000000;
    if (l->rate > 0) {
        uint64_t due = l->start_ns + (uint64_t)((double)l->issued * 1e9 / l->rate);
        if (due < now + ns) ns = due > now ? due - now : 0;
    }
    return (struct timespec){.tv_nsec = (long)ns};
}

/* Asked, a while ago, and never answered. */
static bool is_silent(const struct load_conn *c, uint64_t now)
{
    return !c->dead && !c->heard && c->in_flight && now - c->due[c->first] > SILENT_NS;
}

static void run(struct load *l)
{
    bool tty = isatty(STDERR_FILENO) && !l->machine;
    uint64_t now = l->start_ns = l->last_reply_ns = now_ns();
    l->measure_ns = now + (uint64_t)(l->warmup * 1e9);
    l->end_ns = l->limit ? UINT64_MAX : l->measure_ns + (uint64_t)(l->seconds * 1e9);
    if (l->warmup <= 0) begin_measuring(l, now);
    for (unsigned i = 0; i < l->conn_count; i++) {
        pop_next(l, &l->conns[i]);
        if (l->rate <= 0) send_batch(l, &l->conns[i], now);
    }
    while (!is_over(l, now)) {
        if (l->rate > 0) send_due(l, now);
        demi_qresult_t results[RESULTS];
        int count = 0;
        struct timespec patience = sleep_time(l, now);
        int error = demi_wait_batch(results, RESULTS, &count, &patience);
        if (error && error != ETIMEDOUT) die("wait: %s", strerror(error));
        now = now_ns();
        if (!l->measuring && now >= l->measure_ns) begin_measuring(l, now);
        for (int i = 0; i < count; i++) handle(l, &results[i], now);
        if (tty && now >= l->progress_ns) progress(l, now);
    }
    l->end_ns = now;
    for (unsigned i = 0; i < l->conn_count; i++) l->silent_count += is_silent(&l->conns[i], now);
    if (tty) fputs("\r\033[K", stderr);
}

static void report(struct load *l)
{
    const struct histogram *h = &l->latency;
    uint64_t replies = l->answered * l->request.command_count;
    double seconds = (double)(l->end_ns - l->measured_from) / 1e9;
    double rps = seconds > 0 ? (double)replies / seconds : 0;
    double cpu = l->pid && replies ? (double)(cpu_ns(l->pid) - l->cpu_from) / 1e3 / (double)replies : 0;
    double user = l->pid && replies ? (double)(user_ticks(l->pid) - l->user_from) * 1e4 / (double)replies : 0;
    double p50 = (double)hist_quantile(h, 0.5) / 1e3, p99 = (double)hist_quantile(h, 0.99) / 1e3;
    double p999 = (double)hist_quantile(h, 0.999) / 1e3, max = (double)h->max / 1e3;
    if (l->machine) {
        printf("test=%s rps=%.0f p50_us=%.2f p99_us=%.2f p999_us=%.2f max_us=%.2f gap_us=%.2f replies=%llu errors=%llu "
               "seconds=%.4f cpu_us=%.4f user_us=%.4f dead=%u silent=%u\n",
               l->test, rps, p50, p99, p999, max, (double)l->gap_ns / 1e3, (unsigned long long)replies,
               (unsigned long long)l->errors, seconds, cpu, user, l->dead_count, l->silent_count);
        return;
    }
    printf("%s: %.0f requests/s (%llu in %.2f s, %u connections, %u a batch)\n", l->test, rps,
           (unsigned long long)replies, seconds, l->conn_count, l->depth);
    printf("  latency: p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n", p50, p99, p999, max);
    if (l->errors) printf("  errors: %llu replies\n", (unsigned long long)l->errors);
    if (l->dead_count)
        printf("  dead: %u of %u connections (the first: %s), %llu requests lost\n", l->dead_count, l->conn_count,
               l->death, (unsigned long long)l->lost);
    if (l->silent_count) printf("  silent: %u of %u connections never answered\n", l->silent_count, l->conn_count);
    if (l->pid) printf("  server CPU: %.3f us a request\n", cpu);
}

static void usage(void)
{
    puts("usage: load [options]\n"
         "  -h HOST -p PORT      an IPv4 address and a port (127.0.0.1, 6379)\n"
         "  -s PATH              a Unix socket instead\n"
         "  -t TEST              ping set get getmiss incr lpush rpush lpop rpop sadd spop hset zadd zpopmin\n"
         "                       lrange100 setex mset mixed zfill zmixed echo (get); or words with spaces between\n"
         "                       them: %k a key's number, %m a member's, %v a value, \";\" another command\n"
         "  -c N  -P N           connections (50), requests a batch (1)\n"
         "  -r N                 random keys out of N (one key)\n"
         "  -d N                 bytes of a value (3)\n"
         "  --mixed-values       that do not compress\n"
         "  -n N                 requests in all; or\n"
         "  --seconds S          seconds (1), after --warmup S (0.1)\n"
         "  --rate N             open loop: N requests a second\n"
         "  --sequential         keys in order instead of at random, from --first N on (0)\n"
         "  --pid PID            tells the CPU time of that process a request\n"
         "  --valkey             in Valkey's framing (LIBOS=rdma)\n"
         "  --spin-us N          how long the library spins before it sleeps\n"
         "  --machine            one line of name=value\n"
         "  --marks              a line that says when the warm-up is over");
    exit(0);
}

static void parse_options(struct load *l, int argc, char **argv, const char **spin_us)
{
    enum { SECONDS = 256, WARMUP, RATE, SEQUENTIAL, PID, SPIN, MACHINE, HELP, FIRST, MARKS, MIXED, VALKEY };
    static const struct option names[] = {{"seconds", 1, NULL, SECONDS},
                                          {"warmup", 1, NULL, WARMUP},
                                          {"rate", 1, NULL, RATE},
                                          {"sequential", 0, NULL, SEQUENTIAL},
                                          {"pid", 1, NULL, PID},
                                          {"spin-us", 1, NULL, SPIN},
                                          {"machine", 0, NULL, MACHINE},
                                          {"help", 0, NULL, HELP},
                                          {"first", 1, NULL, FIRST},
                                          {"marks", 0, NULL, MARKS},
                                          {"mixed-values", 0, NULL, MIXED},
                                          {"valkey", 0, NULL, VALKEY},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "h:p:s:t:c:P:r:d:n:", names, NULL)) != -1;) {
        switch (c) {
        case 'h': l->host = optarg; break;
        case 'p': l->port = atoi(optarg); break;
        case 's': l->path = optarg; break;
        case 't': l->test = optarg; break;
        case 'c': l->conn_count = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'P': l->depth = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'r': l->keys = strtoull(optarg, NULL, 10); break;
        case 'd': l->value.size = strtoull(optarg, NULL, 10); break;
        case 'n': l->limit = strtoull(optarg, NULL, 10); break;
        case SECONDS: l->seconds = atof(optarg); break;
        case WARMUP: l->warmup = atof(optarg); break;
        case RATE: l->rate = atof(optarg); break;
        case SEQUENTIAL: l->sequential = true; break;
        case PID: l->pid = atoi(optarg); break;
        case SPIN: *spin_us = optarg; break;
        case MACHINE: l->machine = true; break;
        case MARKS: l->marks = true; break;
        case VALKEY: l->valkey = true; break;
        case MIXED: l->value.mixed = true; break;
        case FIRST: l->first_key = strtoull(optarg, NULL, 10); break;
        case HELP: usage(); break;
        default: exit(1);
        }
    }
    if (!l->conn_count || l->conn_count > MAX_CONNS) die("-c: 1 to %d", MAX_CONNS);
    if (!l->depth || l->depth > MAX_FLIGHT) die("-P: 1 to %d", MAX_FLIGHT);
    if (l->value.size > 1 << 20) die("-d: at most 1 MiB");
    if (l->sequential && !l->keys) die("--sequential needs -r");
    if (l->limit) l->warmup = 0;
}

int main(int argc, char **argv)
{
    static struct load l = {.host = "127.0.0.1",
                            .port = 6379,
                            .test = "get",
                            .conn_count = 50,
                            .depth = 1,
                            .value = {.size = 3},
                            .seconds = 1,
                            .warmup = 0.1,
                            .random = 88172645463325252u};
    const char *spin_us = NULL;
    parse_options(&l, argc, argv, &spin_us);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    const struct workload own = {"own", l.test, false}, *w = strchr(l.test, ' ') ? &own : workload_find(l.test);
    if (!w) die("no such test: %s", l.test);
    if (w->words ? request_build(&l.request, w->words, l.value) : request_build_echo(&l.request, l.value.size))
        die("out of memory");
    int error = demi_init(NULL);
    if (!error && spin_us) error = demi_set_option("spin-us", spin_us);
    if (error) die("libOS: %s", strerror(error));
    connect_all(&l);
    uint64_t length = probe(&l, &l.conns[0]);
    if (w->fixed && probe(&l, &l.conns[0]) == length) l.reply_size = length;
    l.next_key = 0;
    run(&l);
    report(&l);
    demi_exit();
    return l.dead_count || l.silent_count ? 3 : l.errors ? 2 : 0;
}

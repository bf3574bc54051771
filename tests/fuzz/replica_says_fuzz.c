/* SPDX-License-Identifier: MIT
 *
 * What replicas say, to a whole server in the simulator: REPLCONF, SYNC and PSYNC of up to four connections, right or
 * wrong, in any order and cut anywhere, while somebody writes. Every turn of the server's loop passes its checks, who
 * follows has the history to the byte, somebody new is served at the end, and all memory comes back.
 *
 * An input is lines. The first byte chooses the configuration, and whether a replica that does what is right is there
 * from the beginning on (with which the others are compared). Each line behind it says first what is done:
 *
 *     0 1 2 3  this connection says the words behind it as one command; who is not connected connects first
 *     w        the writer says them
 *     =nTEXT   connection n sends TEXT as it stands
 *     -n       connection n is closed
 *     zn       what comes to connection n is not read any more
 *     .n       time passes: 10^n ms
 *     Bn       the writer writes a value of n KiB, 63 at most, that does not compress
 *
 * Anywhere %i is the server's id, %e where its history ends, %n the byte behind that, and \r \n \0 \\ are themselves.
 */
#include "tests/sim/redis.h"

#include "libos/sim/disk.h"
#include "server/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS      4
#define WRITER     PEERS
#define WITNESS    (PEERS + 1)
#define SPEAKERS   (PEERS + 2)
#define STEPS_MAX  60
#define SLEPT_MAX  SEC(30)
#define TEXT_MAX   2048
#define WORDS_MAX  16
#define RECORD_MAX ((size_t)4 << 20)

#define USERS "user default on nopass ~* &* +@all -@dangerous -@scripting +replconf +psync +sync +role +info\n"
#define QUICK USERS "repl-timeout 5\nrepl-ping-replica-period 1\nrepl-backlog-ttl 3\n"

static const char *const confs[] = {
    QUICK "repl-diskless-sync-delay 0\n",
    QUICK "repl-diskless-sync no\nrepl-backlog-size 16384\n",
    QUICK "repl-diskless-sync-delay 2\nrepl-diskless-sync-max-replicas 2\nmin-replicas-to-write 1\n",
    QUICK "repl-diskless-sync-delay 0\nrepl-backlog-size 16384\nclient-output-buffer-limit replica 65536 32768 1\n",
};
#define CONFS (sizeof confs / sizeof *confs)

struct speaker {
    int qd; /* -1: not connected */
    demi_qtoken_t pop;
    bool pops, deaf; /* a pop is outstanding; none is to be any more */
    bool asked;      /* it said SYNC or PSYNC */
    bool wild;       /* and something that a replica does not say: what it got is not looked at */
    char *got;
    size_t n;
};

struct play {
    struct world *w;
    struct server_host server;
    const char *text;
    size_t n;
    bool has_witness;
    struct speaker at[SPEAKERS];
    uint64_t slept_ns;
};

/* --- connections -------------------------------------------------------------------------------------------------- */

static void speaker_close(struct speaker *c)
{
    if (c->qd < 0) return;
    demi_close(c->qd);
    if (c->pops) {
        demi_qresult_t qr = wait_for(c->pop);
        if (qr.qr_opcode == DEMI_OPC_POP) demi_sgafree(&qr.qr_value.sga);
    }
    free(c->got);
    *c = (struct speaker){.qd = -1};
}

static bool speaker_open(struct speaker *c)
{
    for (int tries = 0; c->qd < 0 && tries < 100; tries++) { /* until the server is there */
        int qd = connect_to(SERVER_ADDR, SERVER_PORT);
        if (qd >= 0) *c = (struct speaker){.qd = qd};
        else sleep_ns(MS(1));
    }
    return c->qd >= 0;
}

static void speaker_record(struct speaker *c, const void *bytes, size_t n)
{
    if (c->n + n > RECORD_MAX) c->wild = true;
    if (c->wild || !n) return;
    c->got = realloc(c->got, c->n + n);
    memcpy(c->got + c->n, bytes, n);
    c->n += n;
}

static void speaker_take(struct speaker *c, demi_qresult_t *qr)
{
    c->pops = false;
    bool ended = qr->qr_opcode != DEMI_OPC_POP;
    if (!ended) {
        demi_sgarray_t *sga = &qr->qr_value.sga;
        ended = sga->sga_segs[0].sgaseg_len == 0;
        speaker_record(c, sga->sga_segs[0].sgaseg_buf, sga->sga_segs[0].sgaseg_len);
        demi_sgafree(sga);
    }
    if (ended) speaker_close(c);
}

static int pops_of(struct play *p, demi_qtoken_t *qts, struct speaker **whose)
{
    int n = 0;
    for (int i = 0; i < SPEAKERS; i++) {
        struct speaker *c = &p->at[i];
        if (c->qd >= 0 && !c->deaf && !c->pops) {
            c->pops = demi_pop(&c->pop, c->qd) == 0;
            if (!c->pops) speaker_close(c);
        }
        if (!c->pops) continue;
        whose[n] = c;
        qts[n++] = c->pop;
    }
    return n;
}

/* What comes meanwhile is taken. */
static void pass(struct play *p, uint64_t ns)
{
    uint64_t until = demi_clock_ns() + ns;
    for (uint64_t now; (now = demi_clock_ns()) < until;) {
        demi_qtoken_t qts[SPEAKERS];
        struct speaker *whose[SPEAKERS];
        demi_qresult_t qr;
        int at, n = pops_of(p, qts, whose);
        if (n == 0) {
            sleep_ns(until - now);
            return;
        }
        struct timespec left = {(time_t)((until - now) / SEC(1)), (long)((until - now) % SEC(1))};
        if (demi_wait_any(&qr, &at, qts, n, &left)) return;
        speaker_take(whose[at], &qr);
    }
}

/* --- saying something --------------------------------------------------------------------------------------------- */

static size_t add_fact(const struct play *p, char what, char *out, size_t room)
{
    const struct history *h = p->server.srv ? &p->server.srv->history : NULL;
    unsigned long long end = h ? history_offset(h) : 0;
    int n = what == 'i' ? snprintf(out, room, "%s", h ? h->id : "?")
                        : snprintf(out, room, "%llu", what == 'n' ? end + 1 : end);
    return (size_t)n < room ? (size_t)n : room;
}

/* With what stands for something else replaced. */
static size_t expand(const struct play *p, const char *s, size_t n, char out[TEXT_MAX])
{
    static const char letters[] = "rn0\\", meant[] = "\r\n\0\\";
    size_t used = 0;
    for (size_t i = 0; i < n && used < TEXT_MAX; i++) {
        const char *letter = s[i] == '\\' && i + 1 < n && s[i + 1] ? strchr(letters, s[i + 1]) : NULL;
        if (letter) out[used++] = meant[letter - letters];
        else if (s[i] == '%' && i + 1 < n && s[i + 1] && strchr("ien", s[i + 1]))
            used += add_fact(p, s[i + 1], out + used, TEXT_MAX - used);
        else out[used++] = s[i];
        if (letter || (s[i] == '%' && i + 1 < n && s[i + 1] && strchr("ien", s[i + 1]))) i++;
    }
    return used;
}

static int words_of(const char *s, size_t n, struct bytes words[WORDS_MAX])
{
    int count = 0;
    for (size_t at = 0; at <= n && count < WORDS_MAX;) {
        const char *blank = at < n ? memchr(s + at, ' ', n - at) : NULL;
        size_t end = blank ? (size_t)(blank - s) : n;
        words[count++] = bytes_of(s + at, end - at);
        at = end + 1;
    }
    return count;
}

static void say_words(struct speaker *c, const struct bytes *words, int count)
{
    char text[TEXT_MAX + WORDS_MAX * 16 + 16];
    size_t used = (size_t)sprintf(text, "*%d\r\n", count);
    for (int i = 0; i < count; i++) {
        used += (size_t)sprintf(text + used, "$%zu\r\n", words[i].n);
        if (words[i].n) memcpy(text + used, words[i].p, words[i].n);
        used += words[i].n;
        text[used++] = '\r';
        text[used++] = '\n';
    }
    push_bytes(c->qd, text, used);
}

/* Behind PSYNC a replica says nothing but that it has got something. */
static void note_words(struct speaker *c, const struct bytes *words, int count)
{
    bool conf = bytes_is_word(words[0], "replconf"), ack = conf && count > 1 && bytes_is_word(words[1], "ack");
    bool sync = bytes_is_word(words[0], "psync") || bytes_is_word(words[0], "sync");
    if (c->asked ? !ack && !sync : !conf && !sync) c->wild = true;
    if (sync) c->asked = true;
}

static void say(struct play *p, struct speaker *c, const char *s, size_t n)
{
    char text[TEXT_MAX];
    struct bytes words[WORDS_MAX];
    if (!speaker_open(c)) return;
    int count = words_of(text, expand(p, s, n, text), words);
    note_words(c, words, count);
    say_words(c, words, count);
}

static void say_text(struct play *p, struct speaker *c, const char *s, size_t n)
{
    char text[TEXT_MAX];
    if (!speaker_open(c)) return;
    c->wild = true;
    push_bytes(c->qd, text, expand(p, s, n, text));
}

static void write_large(struct play *p, size_t kib)
{
    size_t n = kib << 10, head;
    char *text = malloc(n + 128);
    struct rng dice;
    rng_seed(&dice, kib);
    head = (size_t)sprintf(text, "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%zu\r\n", n);
    for (size_t i = 0; i < n; i++) text[head + i] = (char)rng_u64(&dice);
    memcpy(text + head + n, "\r\n", 2);
    if (speaker_open(&p->at[WRITER])) push_bytes(p->at[WRITER].qd, text, head + n + 2);
    free(text);
}

static void let_pass(struct play *p, unsigned tens)
{
    uint64_t ns = MS(1);
    for (unsigned i = 0; i < tens && i < 4; i++) ns *= 10;
    if (p->slept_ns + ns > SLEPT_MAX) return;
    p->slept_ns += ns;
    for (uint64_t left = ns; left;) { /* and who is to stay acknowledges */
        uint64_t some = left < SEC(1) ? left : SEC(1);
        pass(p, some);
        if (p->at[WITNESS].qd >= 0) say(p, &p->at[WITNESS], "replconf ack %e", 15);
        left -= some;
    }
}

static void step(struct play *p, const char *s, size_t n)
{
    unsigned digit = n > 1 ? (unsigned char)s[1] - (unsigned)'0' : 0;
    if (*s >= '0' && *s < '0' + PEERS) say(p, &p->at[*s - '0'], s + 1, n - 1);
    else if (*s == 'w') say(p, &p->at[WRITER], s + 1, n - 1);
    else if (*s == '.') let_pass(p, digit < 10 ? digit : 0);
    else if (*s == 'B') write_large(p, (size_t)(n > 1 ? atoi(s + 1) & 63 : 1));
    else if (digit >= PEERS) return;
    else if (*s == '=' && n > 2) say_text(p, &p->at[digit], s + 2, n - 2);
    else if (*s == '-') speaker_close(&p->at[digit]);
    else if (*s == 'z') p->at[digit].deaf = true;
    pass(p, MS(1) / 4);
}

static void play_all(struct play *p)
{
    const char *s = p->text, *end = s + p->n;
    for (int steps = 0; s < end && steps < STEPS_MAX; steps++) {
        const char *nl = memchr(s, '\n', (size_t)(end - s)), *stop = nl ? nl : end;
        char line[512];
        size_t n = (size_t)(stop - s) < sizeof line - 1 ? (size_t)(stop - s) : sizeof line - 1;
        memcpy(line, s, n);
        line[n] = 0;
        if (n) step(p, line, n);
        s = stop + 1;
    }
}

/* --- what they got ------------------------------------------------------------------------------------------------ */

struct stream {
    bool is_there, in_full;
    long long from; /* in full: what came before it */
    const char *p;
    size_t n;
};

/* Behind the line that announces it; 0: it has not come whole. */
static size_t payload_size(const char *line, const char *payload, size_t n)
{
    if (strncmp(line, "$EOF:", 5) != 0) {
        unsigned long long size = strtoull(line + 1, NULL, 10);
        return size <= n ? size : 0;
    }
    const char *mark = n ? memmem(payload, n, line + 5, 40) : NULL;
    return mark ? (size_t)(mark - payload) + 40 : 0;
}

/* The stream behind whatever stands in front of it. */
static struct stream stream_of(const struct speaker *c)
{
    struct stream out = {.from = -1};
    for (size_t at = 0; at < c->n;) {
        const char *line = c->got + at;
        size_t size = line_end(line, c->n - at);
        if (!size) return out;
        at += size;
        if (size > 10 && !memcmp(line, "+CONTINUE", 9)) {
            return (struct stream){.is_there = true, .from = -1, .p = c->got + at, .n = c->n - at};
        } else if (size > 53 && !memcmp(line, "+FULLRESYNC ", 12)) {
            out.from = strtoll(line + 53, NULL, 10);
        } else if (*line == '$') {
            size_t payload = payload_size(line, c->got + at, c->n - at);
            if (!payload) return out;
            at += payload;
            return (struct stream){
                .is_there = true, .in_full = true, .from = out.from, .p = c->got + at, .n = c->n - at};
        }
    }
    return out;
}

/* The bytes that the witness has for the same part of the history. */
static void compare(const struct play *p, const struct speaker *c, const struct stream *true_one)
{
    struct stream s = stream_of(c);
    if (!s.is_there || !s.n || (s.in_full && (s.from < 0 || s.from < true_one->from))) return;
    size_t skip = s.in_full ? (size_t)(s.from - true_one->from) : true_one->n - s.n;
    if (!CHECK(p->w, s.n <= true_one->n && skip + s.n <= true_one->n)) return;
    CHECK(p->w, memcmp(s.p, true_one->p + skip, s.n) == 0);
}

static void compare_all(const struct play *p)
{
    const struct speaker *w = &p->at[WITNESS];
    struct stream true_one = stream_of(w);
    if (w->qd < 0 || w->wild || !true_one.is_there || !true_one.in_full) return;
    for (int i = 0; i < PEERS; i++) {
        const struct speaker *c = &p->at[i];
        if (c->qd >= 0 && c->asked && !c->wild && !c->deaf) compare(p, c, &true_one);
    }
}

/* --- one input ---------------------------------------------------------------------------------------------------- */

static void stop(void *arg)
{
    struct play *p = arg;
    if (!p->server.srv) return;
    p->server.srv->stopping = true;
    demi_wake_ring(p->server.srv->workers[0].wake);
}

static void witness(struct play *p)
{
    struct speaker *c = &p->at[WITNESS];
    static const char capa[] = "replconf capa eof capa psync2", psync[] = "psync ? -1";
    say(p, c, capa, sizeof capa - 1);
    pass(p, MS(1)); /* PSYNC is refused while a reply is on its way */
    say(p, c, psync, sizeof psync - 1);
    for (int i = 0; i < 40 && c->qd >= 0 && !stream_of(c).is_there; i++) pass(p, MS(100));
    if (c->qd >= 0) say(p, c, "replconf ack %e", 15);
    pass(p, MS(10));
}

static int peers_main(void *arg)
{
    struct play *p = arg;
    struct link l;
    static const char first[] = "set a 1";
    say(p, &p->at[WRITER], first, sizeof first - 1);
    if (p->has_witness) witness(p);
    play_all(p);
    for (int i = 0; i < 2; i++) let_pass(p, 3);
    compare_all(p);
    for (int i = 0; i < SPEAKERS; i++) speaker_close(&p->at[i]);
    if (CHECK_EQUAL(p->w, link_open(&l, p->w), 0)) EXPECT(&l, "+PONG\r\n", "PING");
    link_close(&l);
    sim_at(p->w->sim, sim_now(p->w->sim) + 1, stop, p);
    return 0;
}

static const uint8_t *input;
static size_t input_size;

static void set_up(struct world *w)
{
    struct play *p = w->state = calloc(1, sizeof *p);
    struct sim_link link = {.delay_ns = 10000, .segment_max = 16384, .window = 65536};
    *p = (struct play){.w = w, .text = (const char *)input + 1, .n = input_size - 1, .has_witness = input[0] & 4};
    p->server = (struct server_host){.w = w, .conf = confs[input[0] % CONFS]};
    for (int i = 0; i < SPEAKERS; i++) p->at[i].qd = -1;
    sim_link_set(w->sim, NULL, NULL, &link);
    struct sim_host *host = sim_host_add(w->sim, SERVER_ADDR, server_main, &p->server);
    sim_host_mount(host, sim_disk_new(w->sim, NULL));
    sim_host_add(w->sim, "10.0.1.1", peers_main, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    if (size < 2) return 0;
    input = data;
    input_size = size;
    run_once(&(struct scenario){"replicas", set_up, NULL, SEC(3600)}, 1, &w);
    if (w.failure[0]) fprintf(stderr, "%s\n", w.failure);
    ASSERT(!w.failure[0]);
    return 0;
}

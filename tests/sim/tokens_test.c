/* SPDX-License-Identifier: MIT
 *
 * Three programs that call whatever comes to their mind, on links that break and are cut. Whatever a call answers:
 * every token it gave ends exactly once, with its own queue's name on it, and when all is closed nothing is left.
 */
#include "tests/sim/sim_test.h"

#define HOSTS   3
#define STEPS   400
#define SOCKETS 10
#define TOKENS  512
#define PORTS   3

struct token {
    demi_qtoken_t qt; /* 0: free */
    int qd;
    demi_opcode_t opcode;
};

struct program {
    struct world *w;
    struct rng rng;
    int qds[SOCKETS]; /* 0: free */
    struct token tokens[TOKENS];
    int outstanding, task_result;
    demi_qtoken_t stale;
};

struct chaos {
    struct program *programs;
    struct sim_host *hosts[HOSTS];
};

static bool coin(struct program *p, unsigned one_in) { return !rng_below(&p->rng, one_in); }
static int *any_qd(struct program *p) { return &p->qds[rng_below(&p->rng, SOCKETS)]; }

static struct sockaddr_in any_address(struct program *p)
{
    char host[32];
    snprintf(host, sizeof host, "10.0.0.%d", 1 + (int)rng_below(&p->rng, HOSTS));
    return address(host, (uint16_t)(7000 + rng_below(&p->rng, PORTS)));
}

static void remember(struct program *p, int err, const demi_qtoken_t *at, int qd, demi_opcode_t opcode)
{
    demi_qtoken_t qt = *at;
    if (err || !qt) return;
    for (int i = 0; i < TOKENS; i++) CHECK(p->w, p->tokens[i].qt != qt);
    for (int i = 0; i < TOKENS; i++) {
        if (p->tokens[i].qt) continue;
        p->tokens[i] = (struct token){qt, qd, opcode};
        p->outstanding++;
        return;
    }
}

static struct token *any_token(struct program *p)
{
    struct token *t = &p->tokens[rng_below(&p->rng, TOKENS)];
    for (int i = 0; i < TOKENS && !t->qt; i++) t = t == &p->tokens[TOKENS - 1] ? p->tokens : t + 1;
    return t->qt ? t : NULL;
}

static void adopt(struct program *p, int qd)
{
    for (int i = 0; i < SOCKETS; i++) {
        if (p->qds[i]) continue;
        p->qds[i] = qd;
        return;
    }
    demi_close(qd);
}

static void take(struct program *p, demi_qresult_t *qr)
{
    struct token *t = NULL;
    for (int i = 0; i < TOKENS && !t; i++)
        if (p->tokens[i].qt == qr->qr_qt) t = &p->tokens[i];
    if (!check(p->w, t, "a result nobody waits for: %llx", (unsigned long long)qr->qr_qt)) return;
    CHECK_EQUAL(p->w, qr->qr_qd, t->qd);
    if (qr->qr_opcode == DEMI_OPC_FAILED) CHECK(p->w, qr->qr_ret > 0);
    else CHECK_EQUAL(p->w, qr->qr_opcode, t->opcode);
    if (qr->qr_opcode == DEMI_OPC_POP) CHECK_EQUAL(p->w, demi_sgafree(&qr->qr_value.sga), 0);
    if (qr->qr_opcode == DEMI_OPC_ACCEPT) adopt(p, qr->qr_value.ares.qd);
    if (qr->qr_opcode == DEMI_OPC_TASK) CHECK_EQUAL(p->w, qr->qr_ret, 42);
    p->stale = t->qt;
    t->qt = 0;
    p->outstanding--;
}

/* --- what they do ------------------------------------------------------------------------------------------------- */

static void make_socket(struct program *p)
{
    int *slot = any_qd(p);
    if (*slot) return;
    CHECK_EQUAL(p->w, demi_socket(slot, AF_INET, coin(p, 5) ? SOCK_DGRAM : SOCK_STREAM, 0), 0);
}

static void name_it(struct program *p)
{
    int qd = *any_qd(p);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(7000 + rng_below(&p->rng, PORTS)))};
    demi_bind(qd, (struct sockaddr *)&at, sizeof at);
    demi_listen(qd, 1 + (int)rng_below(&p->rng, 4));
}

static void accept_or_connect(struct program *p)
{
    int qd = *any_qd(p);
    demi_qtoken_t qt = 0;
    struct sockaddr_in to = any_address(p);
    if (coin(p, 2)) remember(p, demi_accept(&qt, qd), &qt, qd, DEMI_OPC_ACCEPT);
    else remember(p, demi_connect(&qt, qd, (struct sockaddr *)&to, sizeof to), &qt, qd, DEMI_OPC_CONNECT);
}

static void push_something(struct program *p)
{
    int qd = *any_qd(p);
    demi_qtoken_t qt = 0;
    struct sockaddr_in to = any_address(p);
    size_t n = 1 + rng_below(&p->rng, coin(p, 4) ? 60000 : 100);
    if (coin(p, 2)) {
        demi_sgarray_t sga = demi_sgaalloc(n);
        memset(sga.sga_segs[0].sgaseg_buf, 'a', n);
        int err = coin(p, 4) ? demi_pushto(&qt, qd, &sga, (struct sockaddr *)&to, sizeof to) : demi_push(&qt, qd, &sga);
        remember(p, err, &qt, qd, DEMI_OPC_PUSH);
        demi_sgafree(&sga);
    } else {
        char *text = demi_calloc(1, n);
        struct iovec iov[2] = {{text, n / 2}, {text + n / 2, n - n / 2}};
        unsigned flags = DEMI_PUSH_HANDED_OVER | (coin(p, 3) ? DEMI_PUSH_NO_TOKEN : 0);
        remember(p, demi_pushv(&qt, qd, iov, 2, flags), &qt, qd, DEMI_OPC_PUSH);
        demi_free(text);
    }
}

static void pop_something(struct program *p)
{
    int qd = *any_qd(p);
    demi_qtoken_t qt = 0;
    remember(p, demi_pop(&qt, qd), &qt, qd, DEMI_OPC_POP);
}

/* Waits on a stack of its own for things of its own. */
static int64_t task(void *arg)
{
    struct program *p = arg;
    int ends[2];
    char c = 0;
    sleep_ns(rng_below(&p->rng, MS(20)));
    if (demi_pipe(ends)) return -1;
    demi_yield();
    push_bytes(ends[0], "x", 1);
    sleep_ns(rng_below(&p->rng, MS(20)));
    int n = pop_bytes(ends[1], &c, 1);
    demi_close(ends[0]);
    demi_close(ends[1]);
    return n == 1 && c == 'x' ? 42 : -1;
}

static void start_something_else(struct program *p)
{
    demi_qtoken_t qt = 0;
    if (coin(p, 2)) remember(p, demi_timer(&qt, rng_below(&p->rng, SEC(1))), &qt, 0, DEMI_OPC_TIMER);
    else if (!coin(p, 3)) remember(p, demi_spawn(&qt, task, p, 0), &qt, 0, DEMI_OPC_TASK);
}

static void end_something(struct program *p)
{
    int *slot = any_qd(p);
    struct token *t = any_token(p);
    struct linger none = {.l_onoff = 1};
    switch (rng_below(&p->rng, 5)) {
    case 0:
        if (t) demi_cancel(t->qt); /* it still has to be waited for */
        break;
    case 1: demi_shutdown(*slot, SHUT_WR); break;
    case 2: demi_shutdown(*slot, coin(p, 2) ? SHUT_RD : SHUT_RDWR); break;
    case 3: demi_setsockopt(*slot, SOL_SOCKET, SO_LINGER, &none, sizeof none); break;
    default:
        if (*slot) CHECK_EQUAL(p->w, demi_close(*slot), 0);
        *slot = 0;
        break;
    }
}

/* --- how they wait ------------------------------------------------------------------------------------------------ */

/* Up to room different ones, in no order. */
static int some_tokens(struct program *p, demi_qtoken_t *qts, int room)
{
    int n = 0;
    uint64_t start = rng_below(&p->rng, TOKENS);
    for (uint64_t i = 0; i < TOKENS && n < room; i++) {
        demi_qtoken_t qt = p->tokens[(start + i) % TOKENS].qt;
        if (qt) qts[n++] = qt;
    }
    return n;
}

static int wait_for_some(struct program *p, const struct timespec *ts)
{
    demi_qtoken_t qts[64];
    demi_qresult_t qrs[8];
    struct token *t = any_token(p);
    int n = 0, at = 0, err;
    if (!t) return 0;
    switch (rng_below(&p->rng, 5)) {
    case 0:
        err = demi_wait(qrs, t->qt, ts);
        n = !err;
        break;
    case 1:
        n = some_tokens(p, qts, 64);
        err = demi_wait_any(qrs, &at, qts, n, ts);
        if (!err) CHECK(p->w, qrs[0].qr_qt == qts[at]);
        n = !err;
        break;
    case 2:
        at = some_tokens(p, qts, 3);
        err = demi_wait_all(qrs, qts, at, ts);
        for (; !err && n < at; n++) CHECK(p->w, qrs[n].qr_qt == qts[n]);
        break;
    case 3: err = demi_wait_next_n(qrs, 1 + (int)rng_below(&p->rng, 8), &n, ts); break;
    default:
        err = demi_wait_batch(qrs, 1 + (int)rng_below(&p->rng, 8), &n, ts);
        if (!err) CHECK(p->w, n > 0);
        break;
    }
    CHECK(p->w, !err || err == ETIMEDOUT);
    for (int i = 0; i < n; i++) take(p, &qrs[i]);
    return n;
}

static void close_all(struct program *p)
{
    struct timespec second = {1, 0};
    for (int i = 0; i < 1000 && p->outstanding && !p->w->failure[0]; i++) {
        for (int k = 0; k < SOCKETS; k++) {
            if (p->qds[k]) demi_close(p->qds[k]);
            p->qds[k] = 0;
        }
        demi_qresult_t qrs[8];
        int n = 0;
        demi_wait_batch(qrs, 8, &n, &second);
        for (int k = 0; k < n; k++) take(p, &qrs[k]);
    }
    CHECK_EQUAL(p->w, p->outstanding, 0);
    demi_qresult_t qr;
    if (p->stale) CHECK_EQUAL(p->w, demi_wait(&qr, p->stale, NULL), EINVAL);
}

static int program_main(void *arg)
{
    static void (*const deeds[])(struct program *) = {
        make_socket,    make_socket,    name_it,       accept_or_connect, accept_or_connect,    accept_or_connect,
        push_something, push_something, pop_something, pop_something,     start_something_else, end_something,
    };
    struct program *p = arg;
    for (int i = 0; i < STEPS && !p->w->failure[0]; i++) {
        deeds[rng_below(&p->rng, sizeof deeds / sizeof *deeds)](p);
        struct timespec ts = {0, coin(p, 3) ? 0 : (long)rng_below(&p->rng, MS(2))};
        if (coin(p, 3) || p->outstanding > TOKENS - 8) wait_for_some(p, &ts);
    }
    close_all(p);
    return 0;
}

static void disturb(void *arg)
{
    struct world *w = arg;
    struct chaos *x = w->state;
    struct rng *r = sim_rng(w->sim);
    struct sim_host *a = x->hosts[rng_below(r, HOSTS)], *b = x->hosts[rng_below(r, HOSTS)];
    struct sim_link l = sim_link_random(w->sim);
    l.reset_ppm = (uint32_t)rng_below(r, 20000);
    l.loss_ppm = l.twice_ppm = 100000;
    switch (rng_below(r, 4)) {
    case 0: sim_cut(w->sim, a, b); break;
    case 1: sim_reset(w->sim, a, b); break;
    case 2: sim_link_set(w->sim, a, b, &l); break;
    default: sim_heal(w->sim, a, b); break;
    }
    sim_at(w->sim, sim_now(w->sim) + 1 + rng_below(r, MS(20)), disturb, w);
}

static void set_up_chaos(struct world *w)
{
    struct chaos *x = w->state = calloc(1, sizeof *x);
    x->programs = calloc(HOSTS, sizeof *x->programs);
    for (int i = 0; i < HOSTS; i++) {
        char addr[32];
        snprintf(addr, sizeof addr, "10.0.0.%d", i + 1);
        x->programs[i].w = w;
        rng_seed(&x->programs[i].rng, hash_u64((uint64_t)i, w->seed));
        x->hosts[i] = sim_host_add(w->sim, addr, program_main, &x->programs[i]);
    }
    sim_at(w->sim, SIM_START_NS + MS(5), disturb, w);
}

static void free_programs(struct world *w)
{
    struct chaos *x = w->state;
    free(x->programs);
}

static void test_every_token_ends_exactly_once(void **state)
{
    run_seeds(&(struct scenario){"chaos", set_up_chaos, free_programs, SEC(10000)}, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_token_ends_exactly_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Connects and accepts that are given up over bad wires: at any moment of the handshake, from ports of the program's
 * own that are used again at once, on sockets that go on and on such that are closed. What the peer has made of them
 * ends, and connections that are wanted come about.
 */
#include "tests/sim/net.h"

#define CANCEL_PORT 9
#define OWN_PORT    700
#define TURNS       40

struct cancels {
    bool six, over;
    unsigned serving; /* connections of the server's that have not ended */
    unsigned accepts_cancelled, cancelled, connected, failed, served, dropped;
};

struct service {
    struct world *w;
    int qd;
};

static const char *host_of(const struct cancels *x, int which)
{
    static const char *const hosts[2][2] = {{"10.0.0.1", "10.0.0.2"}, {"fd00::a00:1", "fd00::a00:2"}};
    return hosts[x->six][which];
}

/* --- the server --------------------------------------------------------------------------------------------------- */

static bool pop_word(int qd, uint64_t *word)
{
    char in[POP_MAX];
    size_t n = 0;
    for (int k; n < sizeof *word; n += (size_t)k) {
        k = pop_bytes(qd, in, sizeof in);
        if (k <= 0 || n + (size_t)k > sizeof *word) return false;
        memcpy((char *)word + n, in, (size_t)k);
    }
    return true;
}

/* Says a word and hears it again. Who gave the connection up does not, and its stack refuses the word. */
static int64_t serve(void *arg)
{
    struct service *s = arg;
    struct cancels *x = s->w->state;
    uint64_t word = hash_u64(1, s->w->seed), heard;
    push_bytes(s->qd, &word, sizeof word);
    if (pop_word(s->qd, &heard)) {
        CHECK(s->w, heard == word);
        x->served++;
    } else {
        x->dropped++;
    }
    demi_close(s->qd);
    free(s);
    x->serving--;
    return 0;
}

/* -1: it was not there in time, and the accept was cancelled. */
static int accept_for(struct world *w, int listener, uint64_t ns)
{
    struct cancels *x = w->state;
    struct timespec moment = {0, (long)ns + 1};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (!CHECK_EQUAL(w, demi_accept(&qt, listener), 0)) return -1;
    if (!demi_wait(&qr, qt, &moment)) return qr.qr_opcode == DEMI_OPC_ACCEPT ? qr.qr_value.ares.qd : -1;
    CHECK_EQUAL(w, demi_cancel(qt), 0);
    CHECK_EQUAL(w, wait_done(qt), ECANCELED);
    x->accepts_cancelled++;
    return -1;
}

static int serves(void *arg)
{
    struct world *w = arg;
    struct cancels *x = w->state;
    struct rng rng;
    rng_seed(&rng, hash_u64(2, w->seed));
    int l = listen_at(host_of(x, 0), CANCEL_PORT, 4);
    accept_for(w, l, 0);
    while ((!x->over || x->serving) && !w->failure[0]) {
        demi_qtoken_t task;
        int qd = accept_for(w, l, rng_below(&rng, SEC(1) - 1));
        if (qd < 0) continue;
        struct service *s = malloc(sizeof *s);
        *s = (struct service){w, qd};
        x->serving++;
        CHECK_EQUAL(w, demi_spawn(&task, serve, s, 4 * POP_MAX), 0);
    }
    demi_close(l);
    return 0;
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static uint64_t patience(struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0: return 0;
    case 1: return rng_below(rng, MS(1));
    case 2: return rng_below(rng, MS(300));
    default: return rng_below(rng, SEC(6));
    }
}

/* ECANCELED, 0 or why there is no connection. */
static int connect_for(struct world *w, int qd, uint64_t ns)
{
    struct place to = place_of(host_of(w->state, 0), CANCEL_PORT);
    struct timespec moment = {(time_t)(ns / SEC(1)), (long)(ns % SEC(1))};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int err = demi_connect(&qt, qd, &to.sa, to.size);
    if (!CHECK_EQUAL(w, err, 0)) return err;
    if (!demi_wait(&qr, qt, &moment)) return qr.qr_opcode == DEMI_OPC_CONNECT ? 0 : (int)qr.qr_ret;
    CHECK_EQUAL(w, demi_cancel(qt), 0);
    CHECK_EQUAL(w, demi_wait(&qr, qt, &(struct timespec){0, 0}), 0); /* at once */
    return qr.qr_opcode == DEMI_OPC_CONNECT ? 0 : (int)qr.qr_ret;
}

static bool hear_and_say(struct world *w, int qd)
{
    uint64_t word;
    if (!pop_word(qd, &word)) return false;
    CHECK(w, word == hash_u64(1, w->seed));
    push_bytes(qd, &word, sizeof word);
    return true;
}

static int socket_of(struct world *w, struct rng *rng)
{
    struct place own = place_of(host_of(w->state, 1), OWN_PORT);
    int qd = -1;
    if (!CHECK_EQUAL(w, demi_socket(&qd, own.sa.sa_family, SOCK_STREAM, 0), 0)) return -1;
    if (rng_below(rng, 3) == 0) CHECK_EQUAL(w, demi_bind(qd, &own.sa, own.size), 0);
    return qd;
}

static void give_up_often(struct world *w, struct rng *rng)
{
    struct cancels *x = w->state;
    int qd = socket_of(w, rng);
    for (int i = 0; i < TURNS && !w->failure[0]; i++) {
        int err = connect_for(w, qd, i ? patience(rng) : 0);
        *(err == ECANCELED ? &x->cancelled : err ? &x->failed : &x->connected) += 1;
        if (!err && rng_below(rng, 2)) hear_and_say(w, qd);
        if (err && rng_below(rng, 2)) continue; /* on with the same */
        demi_close(qd);
        qd = socket_of(w, rng);
    }
    demi_close(qd);
}

static int gives_up(void *arg)
{
    struct world *w = arg;
    struct cancels *x = w->state;
    struct rng rng;
    rng_seed(&rng, hash_u64(3, w->seed));
    while (!w->failure[0]) { /* until it listens */
        int qd = connect_to(host_of(x, 0), CANCEL_PORT);
        if (qd >= 0) demi_close(qd);
        if (qd >= 0) break;
        sleep_ns(MS(10));
    }
    give_up_often(w, &rng);
    for (bool heard = false; !heard && !w->failure[0];) { /* one that is wanted */
        int qd = connect_to(host_of(x, 0), CANCEL_PORT);
        heard = qd >= 0 && hear_and_say(w, qd);
        if (qd >= 0) demi_close(qd);
        else sleep_ns(MS(10));
    }
    x->over = true;
    while (x->serving && !w->failure[0]) sleep_ns(MS(100)); /* our stack has to refuse what nobody here wants */
    return 0;
}

static void set_up(struct world *w)
{
    struct cancels *x = w->state = calloc(1, sizeof *x);
    x->six = w->seed % 2;
    struct sim_host *server = add_usual_net_host(w->sim, host_of(&(struct cancels){0}, 0), serves, w);
    struct sim_host *client = add_usual_net_host(w->sim, host_of(&(struct cancels){0}, 1), gives_up, w);
    struct sim_wire wire = sim_wire_random(w->sim);
    sim_wire_set(w->sim, server, client, &wire);
    w->hosts[0] = server;
    w->hosts[1] = client;
}

static void verify(struct world *w)
{
    const struct cancels *x = w->state;
    CHECK(w, x->over && !x->serving && x->served);
    CHECK(w, x->cancelled && x->accepts_cancelled);
}

static void test_what_is_given_up_over_bad_wires_ends(void **state)
{
    run_seeds(&(struct scenario){"given up", set_up, verify, SEC(36000)}, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_given_up_over_bad_wires_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

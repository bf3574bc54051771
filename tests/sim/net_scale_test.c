/* SPDX-License-Identifier: MIT
 *
 * A hundred thousand connections on one host: what an idle one costs, and that a segment does not care how many there
 * are.
 *
 * The clients are one function on the switch, which answers for many addresses and remembers of each connection two
 * numbers: so memory is the server's alone. Every connection waits in a pop, as a server's do.
 */
#include "tests/sim/forge.h"
#include "tests/sim/net.h"

#include "tcp/conn_table.h"

#define PORT          7
#define FIRST_PORT    10000
#define PORTS         50000 /* of each of the clients' addresses */
#define IDLE_BYTES    1024  /* what an idle connection may cost */
#define SEGMENTS      200000
#define OPENED_A_TICK 32
#define SENT_A_TICK   64
#define TICK_NS       100000
#define PROBES_MEAN   1.6 /* at most half of the slots are used: linear probing looks at 1.5 of them */
#define PROBES_MOST   64

struct client {
    tcp_seq snd_nxt, rcv_nxt;
    bool open;
};

static struct crowd {
    struct world *w;
    struct rng rng;
    struct sim_raw *raw;
    struct client *clients;
    struct sim_host *server;
    struct way way;
    uint8_t mac[6];
    unsigned wanted, next, open, accepted, popped, sent;
    bool all_in, over;
    uint64_t began_cpu_ns, took_cpu_ns;
    double bytes_each, probes_mean;
    unsigned probes_most;
} crowd;

static void client_says(unsigned i, uint8_t flags, uint32_t n)
{
    struct client *c = &crowd.clients[i];
    struct forged f;
    struct way w = crowd.way;
    w.src = inet_addr("10.7.0.1") + (i / PORTS << 24);
    forge_tcp(&f, &w,
              &(struct forged_segment){.src_port = (uint16_t)(FIRST_PORT + i % PORTS),
                                       .dst_port = PORT,
                                       .seq = c->snd_nxt,
                                       .ack = c->rcv_nxt,
                                       .flags = flags,
                                       .window = 60000,
                                       .data = (const uint8_t *)"x",
                                       .n = n});
    c->snd_nxt += n + (flags & TCP_SYN ? 1 : 0);
    sim_raw_send(crowd.raw, f.b, f.n);
}

static void clients_hear(void *arg, struct sim_raw *raw, const uint8_t *p, size_t n)
{
    struct seen_segment seen;
    struct forged f;
    if (forge_arp_reply(&f, p, n, inet_addr("10.7.0.0"), inet_addr("255.255.0.0"), crowd.mac))
        sim_raw_send(raw, f.b, f.n);
    if (!see_tcp(p, n, &seen) || !(seen.flags & TCP_SYN)) return;
    unsigned i = ((seen.way.dst >> 24) - 1) * PORTS + seen.dst_port - FIRST_PORT;
    if (i >= crowd.wanted) return;
    struct client *c = &crowd.clients[i];
    crowd.open += !c->open;
    c->open = true;
    c->rcv_nxt = seen.seq + 1;
    c->snd_nxt = seen.ack;
    client_says(i, TCP_ACK, 0);
}

static void open_some(void)
{
    for (unsigned tries = 0, n = 0; crowd.open < crowd.wanted && tries < 100 * OPENED_A_TICK && n < OPENED_A_TICK;
         tries++) {
        unsigned i = crowd.next++ % crowd.wanted;
        struct client *c = &crowd.clients[i];
        if (c->open) continue;
        if (crowd.next > crowd.wanted && rng_below(&crowd.rng, 100)) continue; /* asked already: now and then again */
        c->snd_nxt = hash_u64(i, crowd.w->seed) & UINT32_MAX;
        client_says(i, TCP_SYN, 0);
        n++;
    }
}

/* What one of them sends is taken before the next tick: nothing is out of order, nothing lost. */
static void tick(void *arg)
{
    if (crowd.over) return;
    if (!crowd.all_in) open_some();
    else
        for (unsigned i = 0; i < SENT_A_TICK && crowd.sent < SEGMENTS; i++, crowd.sent++)
            client_says((unsigned)rng_below(&crowd.rng, crowd.wanted), TCP_ACK | TCP_PSH, 1);
    sim_at(crowd.w->sim, sim_now(crowd.w->sim) + TICK_NS, tick, NULL);
}

/* --- the server --------------------------------------------------------------------------------------------------- */

static void count_probes(const struct net_stack *s)
{
    const struct conn_table *t = &s->tcp.conns;
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= t->mask; i++) {
        if (!t->tags[i]) continue;
        uint32_t probes = 1 + ((i - (t->tags[i] & t->mask)) & t->mask);
        sum += probes;
        if (probes > crowd.probes_most) crowd.probes_most = probes;
    }
    crowd.probes_mean = (double)sum / t->count;
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void take_in(int listener, size_t used_before)
{
    demi_qtoken_t qt;
    while (crowd.accepted < crowd.wanted) {
        int qd = accept_on(listener);
        if (!CHECK(crowd.w, qd >= 0 && !demi_pop(&qt, qd))) return;
        crowd.accepted++;
    }
    sleep_ns(SEC(10)); /* whatever the handshakes needed goes */
    count_probes(sim_net_host_stack(crowd.server));
    crowd.bytes_each = (double)(demi_mem_used() - used_before) / crowd.wanted;
}

static int crowded_host(void *arg)
{
    demi_qresult_t qrs[64];
    demi_qtoken_t qt;
    int l = listen_at("10.0.0.1", PORT, 4096), n;
    size_t used_before = demi_mem_used();
    take_in(l, used_before);
    crowd.all_in = true;
    crowd.began_cpu_ns = cpu_ns();
    while (crowd.popped < SEGMENTS && !demi_wait_batch(qrs, 64, &n, NULL)) {
        for (int i = 0; i < n; i++) {
            if (!CHECK(crowd.w, qrs[i].qr_opcode == DEMI_OPC_POP)) continue;
            crowd.popped += (unsigned)qrs[i].qr_value.sga.sga_segs[0].sgaseg_len;
            demi_sgafree(&qrs[i].qr_value.sga);
            CHECK_EQUAL(crowd.w, demi_pop(&qt, qrs[i].qr_qd), 0);
        }
    }
    crowd.took_cpu_ns = cpu_ns() - crowd.began_cpu_ns;
    crowd.over = true;
    struct linger none = {.l_onoff = 1};
    demi_close(l);
    for (int qd = 0; qd < (int)crowd.wanted + 16; qd++) { /* all there are; nobody is left to hear a FIN out */
        if (!demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &none, sizeof none)) demi_close(qd);
    }
    return 0;
}

static unsigned how_many;

static void set_up_crowd(struct world *w)
{
    free(crowd.clients);
    crowd = (struct crowd){
        .w = w, .wanted = how_many, .mac = {2, 7, 7, 7, 7, 7}, .clients = calloc(how_many, sizeof(struct client))};
    rng_seed(&crowd.rng, rng_u64(sim_rng(w->sim)));
    struct stack_config sc = usual_stack();
    crowd.server = sim_net_host_add(w->sim, "10.0.0.1", &sc, crowded_host, w);
    crowd.raw = sim_raw_add(w->sim, crowd.mac, clients_hear, NULL);
    memcpy(crowd.way.src_mac, crowd.mac, 6);
    sim_net_host_mac(crowd.server, crowd.way.dst_mac);
    crowd.way.dst = inet_addr("10.0.0.1");
    sim_at(w->sim, SIM_START_NS + SEC(1), tick, NULL);
}

static void verify_crowd(struct world *w)
{
    fprintf(stderr,
            "#   %u connections: %.0f bytes each, %.2f probes on average, %u at most; %.0f ns a segment and its "
            "simulation\n",
            crowd.wanted, crowd.bytes_each, crowd.probes_mean, crowd.probes_most, (double)crowd.took_cpu_ns / SEGMENTS);
    CHECK_EQUAL(w, crowd.popped, SEGMENTS);
    check(w, crowd.wanted < 10000 || crowd.bytes_each <= IDLE_BYTES, "%.0f bytes each", crowd.bytes_each);
    check(w, crowd.probes_mean <= PROBES_MEAN && crowd.probes_most <= PROBES_MOST, "%.2f probes, %u at most",
          crowd.probes_mean, crowd.probes_most);
}

static double run_crowd(unsigned n)
{
    char name[64];
    how_many = n;
    snprintf(name, sizeof name, "%u connections", n);
    run_seeds(&(struct scenario){name, set_up_crowd, verify_crowd, SEC(36000)}, 1);
    free(crowd.clients);
    crowd.clients = NULL;
    return (double)crowd.took_cpu_ns;
}

static void test_a_segment_does_not_care_how_many_connections_there_are(void **state)
{
    double few = run_crowd(1000), many = run_crowd(100000 / SEEDS_SHARE);
    if (few > 0 && many > 0) fprintf(stderr, "#   a segment among many: %.2f times that among few\n", many / few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_does_not_care_how_many_connections_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

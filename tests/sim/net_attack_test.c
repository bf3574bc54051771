/* SPDX-License-Identifier: MIT
 *
 * Somebody on the switch who forges frames:
 *
 *     blind    guesses: knows addresses and ports, not the windows. Streams do not even notice (RFC 5961, RFC 5927).
 *     seeing   reads everything and forges near the windows. It can end and falsify streams, as anybody can who sits on
 *              the wire; it cannot crash a host, keep an operation from ending, or make a host keep memory.
 *     peer     speaks TCP to a server as its client, and lies in every field. Others are served; what it costs is
 *              bounded; when it falls silent, everything of it goes.
 *     flood    as many of one kind as a wire carries. Others are served.
 */
#include "tests/sim/exchange.h"
#include "tests/sim/forge.h"
#include "tests/sim/net.h"

#include "tcp/tcp.h"

/* --- blind -------------------------------------------------------------------------------------------------------- */

struct attacker {
    struct world *w;
    struct rng rng;
    struct sim_raw *raw;
    uint64_t until_ns;
    uint32_t one_in; /* frames are answered with a forgery */
};

static struct attacker attackers[1]; /* what sim_raw's function is given: one run at a time */

static struct attacker *attack(struct world *w, const uint8_t mac[6],
                               void (*fn)(void *, struct sim_raw *, const uint8_t *, size_t))
{
    struct attacker *a = &attackers[0];
    *a = (struct attacker){
        .w = w, .one_in = 1 + (uint32_t)rng_below(sim_rng(w->sim), 20), .until_ns = SIM_START_NS + SEC(120)};
    rng_seed(&a->rng, rng_u64(sim_rng(w->sim)));
    a->raw = sim_raw_add(w->sim, mac, fn, a);
    return a;
}

/* An ICMP error that quotes a segment: RFC 5927 has it checked against the window. */
static void forge_icmp_error(struct forged *f, const struct way *to, uint8_t type, uint8_t code, uint16_t mtu,
                             const struct way *quoted, const struct forged_segment *s)
{
    struct forged inner;
    struct icmp_hdr h = {.type = type, .code = code, .rest = be32_of(mtu)};
    forge_tcp(&inner, quoted, s);
    forge_ip4(f, to, 1, 0);
    forge_bytes(f, &h, sizeof h);
    forge_bytes(f, inner.b + 14, 28);
    forge_end4(f);
}

/* At least a quarter of the sequence space away from every window. */
static tcp_seq far_from(struct rng *r, tcp_seq seq) { return seq + (1u << 30) + (uint32_t)rng_below(r, 1u << 31); }

static void forge_blindly(void *arg, struct sim_raw *raw, const uint8_t *p, size_t n)
{
    struct attacker *a = arg;
    struct seen_segment seen;
    struct rng *r = &a->rng;
    if (!see_tcp(p, n, &seen) || seen.flags & (TCP_SYN | TCP_RST) || rng_below(r, a->one_in)) return;
    static const uint8_t flags[] = {TCP_RST, TCP_RST | TCP_ACK, TCP_SYN,           TCP_SYN | TCP_ACK,
                                    TCP_ACK, TCP_ACK | TCP_FIN, TCP_PSH | TCP_ACK, 0};
    uint8_t noise[64];
    for (unsigned i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)rng_u64(r);
    struct forged_segment s = {.src_port = seen.src_port,
                               .dst_port = seen.dst_port,
                               .seq = far_from(r, seen.seq),
                               .ack = far_from(r, seen.ack),
                               .flags = flags[rng_below(r, 8)],
                               .window = (uint16_t)rng_u64(r),
                               .data = noise,
                               .n = rng_below(r, 64)};
    struct forged f;
    struct way back = way_back(&seen.way);
    uint64_t kind = rng_below(r, 6);
    if (kind) forge_tcp(&f, &seen.way, &s);
    else
        forge_icmp_error(
            &f, &seen.way, 3, (uint8_t)rng_below(r, 6), 68, &back,
            &(struct forged_segment){
                .src_port = seen.dst_port, .dst_port = seen.src_port, .seq = far_from(r, seen.ack), .flags = TCP_ACK});
    sim_raw_send(raw, f.b, f.n);
}

static void exchange_attacked(struct world *w, uint64_t goal_max)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    struct sim_wire wire = {.delay_ns = 1000 + rng_below(sim_rng(w->sim), MS(5)),
                            .jitter_ns = 50000,
                            .loss_ppm = (uint32_t)rng_below(sim_rng(w->sim), 20000),
                            .bits_per_s = 20000000};
    x->goal_max = goal_max;
    w->hosts[0] = add_random_net_host(w->sim, "10.0.0.1", listening_host, w);
    w->hosts[1] = add_random_net_host(w->sim, "10.0.0.2", connecting_host, w);
    sim_wire_set(w->sim, NULL, NULL, &wire);
}

static void set_up_blind(struct world *w)
{
    exchange_attacked(w, 100000);
    attack(w, NULL, forge_blindly);
}

static void test_who_guesses_disturbs_no_stream(void **state)
{
    run_seeds(&(struct scenario){"blind attacker", set_up_blind, verify_exchange, SEC(36000)}, 100);
}

/* --- seeing ------------------------------------------------------------------------------------------------------- */

/* Bytes of a frame that went by, changed, with checksums that fit. */
static void forge_change(struct forged *f, struct rng *r, const uint8_t *p, size_t n)
{
    f->n = 0;
    forge_bytes(f, p, n);
    for (uint64_t i = 1 + rng_below(r, 4); i; i--) f->b[14 + rng_below(r, f->n - 14)] = (uint8_t)rng_u64(r);
    if (rng_below(r, 4) == 0) f->n = 14 + rng_below(r, f->n - 13);
    if (f->n > 36 && load_be16(f->b + 12) == ETH_TYPE_IP4 && rng_below(r, 4)) f->b[14] = 0x45, forge_end4(f);
}

/* Who has an address: the attacker, somebody else, nobody; asked or not. */
static void forge_arp(struct forged *f, struct rng *r, const struct seen_segment *seen)
{
    struct arp_hdr h = {.hw = be16_of(1),
                        .proto = be16_of(ETH_TYPE_IP4),
                        .hw_len = 6,
                        .proto_len = 4,
                        .op = be16_of(rng_below(r, 4)),
                        .src_ip = rng_below(r, 2) ? seen->way.dst : (uint32_t)rng_u64(r),
                        .dst_ip = seen->way.src};
    for (int i = 0; i < 6; i++) h.src_mac[i] = (uint8_t)(rng_u64(r) & (i ? 255 : 254));
    struct way back = way_back(&seen->way);
    forge_eth(f, &back, ETH_TYPE_ARP);
    forge_bytes(f, &h, sizeof h);
}

static void forge_pieces(struct forged *f, struct rng *r, const struct way *w)
{
    uint8_t bytes[600];
    memset(bytes, (int)rng_u64(r), sizeof bytes);
    forge_ip4(f, w, rng_below(r, 2) ? 6 : 17, (uint16_t)(rng_below(r, 2) * IP4_MF + rng_below(r, 200)));
    store_be16(f->b + 18, (uint16_t)rng_below(r, 4)); /* few identifications: they overlap */
    forge_bytes(f, bytes, rng_below(r, sizeof bytes));
    forge_end4(f);
}

static void forge_near(struct forged *f, struct rng *r, const struct seen_segment *seen)
{
    uint8_t noise[1400];
    uint32_t spread = rng_below(r, 2) ? 3000 : 100000;
    memset(noise, (int)rng_u64(r), sizeof noise);
    bool back = rng_below(r, 2);
    struct forged_segment s = {
        .src_port = back ? seen->dst_port : seen->src_port,
        .dst_port = back ? seen->src_port : seen->dst_port,
        .seq = back ? seen->ack : seen->seq + (rng_below(r, 2) ? seen->n : 0),
        .ack = back ? seen->seq + seen->n : seen->ack,
        .flags = rng_below(r, 3) ? (uint8_t)(TCP_ACK | (rng_below(r, 6) == 0 ? rng_u64(r) : 0)) : (uint8_t)rng_u64(r),
        .window = (uint16_t)(rng_below(r, 2) ? rng_u64(r) : rng_below(r, 3)),
        .data = noise,
        .n = rng_below(r, 2) ? rng_below(r, 3) : rng_below(r, sizeof noise),
    };
    if (rng_below(r, 2)) s.seq += (uint32_t)rng_below(r, spread) - spread / 2;
    if (rng_below(r, 2)) s.ack += (uint32_t)rng_below(r, spread) - spread / 2;
    if (rng_below(r, 2)) s.opts_size = forge_opts(r, s.opts, s.ack);
    struct way w = back ? way_back(&seen->way) : seen->way;
    forge_tcp(f, &w, &s);
}

static void forge_seeing(void *arg, struct sim_raw *raw, const uint8_t *p, size_t n)
{
    struct attacker *a = arg;
    struct rng *r = &a->rng;
    struct seen_segment seen;
    struct forged f;
    if (sim_now(a->w->sim) > a->until_ns || rng_below(r, a->one_in)) return;
    if (!see_tcp(p, n, &seen)) {
        forge_change(&f, r, p, n);
        sim_raw_send(raw, f.b, f.n);
        return;
    }
    struct way back = way_back(&seen.way);
    for (uint64_t i = 1 + rng_below(r, 3); i; i--) {
        switch (rng_below(r, 12)) {
        case 0: forge_arp(&f, r, &seen); break;
        case 1: forge_pieces(&f, r, &seen.way); break;
        case 2: forge_change(&f, r, p, n); break;
        case 3:
            forge_icmp_error(&f, &back, (uint8_t[]){3, 3, 3, 4, 5, 11, 12}[rng_below(r, 7)], (uint8_t)rng_below(r, 16),
                             (uint16_t)rng_u64(r), &seen.way,
                             &(struct forged_segment){.src_port = seen.src_port,
                                                      .dst_port = seen.dst_port,
                                                      .seq = seen.seq,
                                                      .ack = seen.ack,
                                                      .flags = seen.flags});
            break;
        default: forge_near(&f, r, &seen); break;
        }
        sim_raw_send(raw, f.b, f.n);
    }
}

static void set_up_seeing(struct world *w)
{
    exchange_attacked(w, 300000);
    struct exchange *x = w->state;
    x->forged = x->may_break = x->probes = true;
    x->give_up_ns = SEC(300);
    struct attacker *a = attack(w, NULL, forge_seeing);
    if (rng_below(&a->rng, 2)) a->one_in *= 20; /* rare enough that streams live on for a while */
}

static void test_who_sees_everything_gets_no_host_down(void **state)
{
    run_seeds(&(struct scenario){"seeing attacker", set_up_seeing, NULL, SEC(36000)}, 200);
}

/* --- a server and its clients ------------------------------------------------------------------------------------- */

#define ECHO_PORT 7
#define ECHO_MAX  256
#define PEERS     64
/* what one connection may cost: its receive buffer, what is echoed, and what small segments add to it */
#define PEER_BYTES   (160u << 10)
#define ECHO_RECEIVE 65536

struct echo {
    int qd;
    demi_qtoken_t pop, push;
    demi_sgarray_t sga;
};

struct served {
    struct world *w;
    struct echo echos[ECHO_MAX];
    struct sim_host *server;
    unsigned clients, rounds, finished;
    uint64_t served, used_before, used_peak, accepted;
    unsigned left; /* connections of which the server's stack still knows at the end */
};

static void echo_end(struct echo *e)
{
    demi_close(e->qd);
    *e = (struct echo){0};
}

static void echo_result(struct echo *e, demi_qresult_t *qr)
{
    bool pushed = qr->qr_qt == e->push;
    if (pushed) demi_sgafree(&e->sga);
    if (pushed) e->push = 0;
    else e->pop = 0;
    if (qr->qr_opcode == DEMI_OPC_FAILED || (!pushed && !qr->qr_value.sga.sga_segs[0].sgaseg_len)) {
        if (!pushed && qr->qr_opcode == DEMI_OPC_POP) demi_sgafree(&qr->qr_value.sga);
        echo_end(e);
        return;
    }
    if (!pushed) e->sga = qr->qr_value.sga;
    if (pushed ? demi_pop(&e->pop, e->qd) : demi_push(&e->push, e->qd, &e->sga)) {
        if (!pushed) demi_sgafree(&e->sga);
        echo_end(e);
    }
}

static void echo_begin(struct served *x, int qd)
{
    struct echo *e = x->echos;
    unsigned patience = 120000;
    while (e < x->echos + ECHO_MAX && e->qd) e++;
    x->accepted++;
    demi_setsockopt(qd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
    keep_alive(qd, 60);
    if (e == x->echos + ECHO_MAX || demi_pop(&e->pop, qd)) demi_close(qd);
    else e->qd = qd;
}

static void count_conn(void *arg, struct conn *c) { ++*(unsigned *)arg; }

/* Says back what it hears, until all clients are through and whatever else there was has gone. */
static int echo_host(void *arg)
{
    struct world *w = arg;
    struct served *x = w->state;
    struct timespec moment = {1, 0};
    demi_qtoken_t accept;
    uint64_t over_at = 0;
    int l = listen_at("10.0.0.1", ECHO_PORT, 128), n;
    if (!CHECK(w, l >= 0 && !demi_accept(&accept, l))) return -1;
    x->used_before = demi_mem_used();
    while (!over_at || demi_clock_ns() < over_at + SEC(1800)) {
        demi_qresult_t qrs[16];
        if (x->finished == x->clients && !over_at) over_at = demi_clock_ns();
        if (demi_wait_batch(qrs, 16, &n, &moment)) continue;
        for (int i = 0; i < n; i++) {
            if (qrs[i].qr_qt == accept) {
                if (qrs[i].qr_opcode == DEMI_OPC_ACCEPT) echo_begin(x, qrs[i].qr_value.ares.qd);
                CHECK_EQUAL(w, demi_accept(&accept, l), 0);
                continue;
            }
            struct echo *e = x->echos;
            while (e < x->echos + ECHO_MAX && (!e->qd || (qrs[i].qr_qt != e->pop && qrs[i].qr_qt != e->push))) e++;
            if (e < x->echos + ECHO_MAX) echo_result(e, &qrs[i]);
            else if (qrs[i].qr_opcode == DEMI_OPC_POP) demi_sgafree(&qrs[i].qr_value.sga);
        }
        if (demi_mem_used() > x->used_peak) x->used_peak = demi_mem_used();
    }
    stack_visit_conns(sim_net_host_stack(x->server), count_conn, &x->left);
    for (unsigned i = 0; i < ECHO_MAX; i++)
        if (x->echos[i].qd) echo_end(&x->echos[i]);
    demi_close(l);
    return 0;
}

/* Connects, asks, hears the same, closes; again and again. */
static int asking_host(void *arg)
{
    struct world *w = arg;
    struct served *x = w->state;
    static uint8_t out[3000], in[POP_MAX];
    for (unsigned i = 0; i < x->rounds && !w->failure[0]; i++) {
        size_t n = 1 + rng_below(sim_rng(w->sim), sizeof out), got = 0;
        int qd = connect_to("10.0.0.1", ECHO_PORT);
        if (qd < 0 && i == 0 && qd != -EIO) { /* it is not there yet */
            sleep_ns(MS(10));
            i--;
            continue;
        }
        if (!check(w, qd >= 0, "round %u: no connection: %s", i, strerror(-qd))) break;
        fill(i, 0, out, n);
        push_bytes(qd, out, n);
        while (got < n) {
            int k = pop_bytes(qd, in, sizeof in);
            if (!check(w, k > 0, "round %u: %zu of %zu bytes, then %s", i, got, n, k ? strerror(-k) : "the end")) break;
            CHECK(w, first_wrong(i, got, in, (size_t)k) == (size_t)k);
            got += (size_t)k;
        }
        demi_close(qd);
        x->served++;
        sleep_ns(rng_below(sim_rng(w->sim), MS(100)));
    }
    x->finished++;
    sleep_ns(SEC(120));
    return 0;
}

static struct served *serve_clients(struct world *w, const struct stack_config *sc, unsigned clients, unsigned rounds)
{
    struct served *x = w->state = calloc(1, sizeof *x);
    *x = (struct served){.w = w, .clients = clients, .rounds = rounds};
    x->server = w->hosts[0] = sim_net_host_add(w->sim, "10.0.0.1", sc, echo_host, w);
    for (unsigned i = 0; i < clients; i++) {
        char addr[32];
        snprintf(addr, sizeof addr, "10.0.0.%u", i + 2);
        sim_net_host_add(w->sim, addr, NULL, asking_host, w);
    }
    return x;
}

/* --- peer --------------------------------------------------------------------------------------------------------- */

/* A client of the server that follows the protocol as far as it likes. */
struct liar {
    bool open, greeted;
    tcp_seq iss, snd_nxt, rcv_nxt, una;
    uint64_t heard;
};

static struct liars {
    struct attacker *a;
    struct liar all[PEERS];
    struct way way;
    uint8_t mac[6];
    unsigned only; /* one lie, again and again; LIES: all */
} liars;

#define LIES 12

#define LIAR_PORT 40000

static void liar_says(struct liar *l, struct forged_segment *s)
{
    struct forged f;
    s->src_port = (uint16_t)(LIAR_PORT + (l - liars.all));
    s->dst_port = ECHO_PORT;
    forge_tcp(&f, &liars.way, s);
    sim_raw_send(liars.a->raw, f.b, f.n);
}

/* The order is that of `only`. */
static void liar_lies(struct liar *l)
{
    struct rng *r = &liars.a->rng;
    uint8_t noise[1400];
    memset(noise, 'x', sizeof noise);
    struct forged_segment s = {
        .seq = l->snd_nxt, .ack = l->rcv_nxt, .flags = TCP_ACK, .window = (uint16_t)rng_u64(r), .data = noise};
    switch (liars.only < LIES ? liars.only : rng_below(r, LIES)) {
    case 0: s.window = (uint16_t)rng_below(r, 3); break;    /* closes the window, or opens it a byte */
    case 1: s.ack += (uint32_t)rng_below(r, 100000); break; /* of what was never sent */
    case 2: s.ack -= (uint32_t)rng_below(r, 100000); break;
    case 3: s.opts_size = forge_opts(r, s.opts, l->una); break;
    case 4: s.seq += (uint32_t)rng_below(r, 60000), s.n = 1; break; /* many holes */
    case 5:                                                         /* what was sent before, with other bytes */
        s.seq += (uint32_t)rng_below(r, 3000) - 1500;
        s.n = rng_below(r, sizeof noise);
        memset(noise, (int)rng_u64(r), sizeof noise);
        break;
    case 6: s.flags = (uint8_t)rng_u64(r); break;
    case 7: s.n = 1, l->snd_nxt++; break; /* tiny, and in order */
    case 8: s.flags |= rng_below(r, 50) ? TCP_URG : TCP_FIN; break;
    case 9: s.ack = l->una + (uint32_t)rng_below(r, 2000); break; /* half a segment */
    default: s.n = rng_below(r, sizeof noise), l->snd_nxt += (uint32_t)s.n; break;
    }
    liar_says(l, &s);
}

static void liar_opens(struct liar *l)
{
    struct rng *r = &liars.a->rng;
    *l = (struct liar){.iss = (tcp_seq)rng_u64(r), .open = true};
    struct forged_segment s = {.seq = l->iss, .flags = TCP_SYN, .window = (uint16_t)rng_u64(r)};
    s.opts_size = forge_opts(r, s.opts, 0);
    l->snd_nxt = l->iss + 1;
    liar_says(l, &s);
}

static void liars_hear(void *arg, struct sim_raw *raw, const uint8_t *p, size_t n)
{
    struct seen_segment seen;
    struct forged f;
    struct rng *r = &liars.a->rng;
    if (forge_arp_reply(&f, p, n, inet_addr("10.6.6.6"), UINT32_MAX, liars.mac)) sim_raw_send(raw, f.b, f.n);
    if (sim_now(liars.a->w->sim) > liars.a->until_ns || !see_tcp(p, n, &seen) || seen.src_port != ECHO_PORT) return;
    unsigned i = (unsigned)seen.dst_port - LIAR_PORT;
    if (i >= PEERS) return;
    struct liar *l = &liars.all[i];
    if (seen.flags & TCP_RST) {
        l->open = false;
        return;
    }
    l->rcv_nxt = seen.seq + seen.n + !!(seen.flags & TCP_SYN) + !!(seen.flags & TCP_FIN);
    l->una = seen.seq;
    if (seen.flags & TCP_SYN) l->snd_nxt = seen.ack; /* of the SYN it has taken, should there have been several */
    bool confirms = seen.flags & TCP_SYN ? rng_below(r, 8) > 0 : rng_below(r, 3) == 0;
    l->greeted |= confirms && seen.flags & TCP_SYN;
    if (confirms)
        liar_says(l, &(struct forged_segment){.seq = l->snd_nxt, .ack = l->rcv_nxt, .flags = TCP_ACK, .window = 60000});
    if (l->greeted && rng_below(r, 3) == 0) liar_lies(l);
}

static void liars_act(void *arg)
{
    struct rng *r = &liars.a->rng;
    if (sim_now(liars.a->w->sim) > liars.a->until_ns) return;
    for (unsigned k = 0; k < 4; k++) {
        struct liar *l = &liars.all[rng_below(r, PEERS)];
        /* again: what it offered may have been malformed */
        if (!l->open || (!l->greeted && !rng_below(r, 16))) liar_opens(l);
        else if (l->greeted) liar_lies(l);
    }
    sim_at(liars.a->w->sim, sim_now(liars.a->w->sim) + rng_below(r, MS(2)), liars_act, NULL);
}

static void verify_served(struct world *w)
{
    const struct served *x = w->state;
    CHECK_EQUAL(w, x->served, (uint64_t)x->clients * x->rounds);
    CHECK_EQUAL(w, x->left, 0);
    CHECK(w, !liars.a || x->accepted > x->served + PEERS / 4); /* they were let in */
    uint64_t most = (uint64_t)(PEERS + x->clients) * PEER_BYTES;
    check(w, x->used_peak < x->used_before + most, "%llu bytes of memory",
          (unsigned long long)(x->used_peak - x->used_before));
}

static void set_up_liars(struct world *w)
{
    struct stack_config sc = random_stack(sim_rng(w->sim));
    sc.limits.rcv_buffer = ECHO_RECEIVE;
    sc.mtu = 1500;
    serve_clients(w, &sc, 2, 8);
    liars = (struct liars){.mac = {2, 6, 6, 6, 6, 6}, .only = (unsigned)(w->seed % (2 * LIES))};
    liars.a = attack(w, liars.mac, liars_hear);
    liars.a->until_ns = SIM_START_NS + SEC(2);
    memcpy(liars.way.src_mac, liars.mac, 6);
    sim_net_host_mac(w->hosts[0], liars.way.dst_mac);
    liars.way.src = inet_addr("10.6.6.6");
    liars.way.dst = inet_addr("10.0.0.1");
    sim_at(w->sim, SIM_START_NS + MS(1), liars_act, NULL);
}

static void test_a_peer_that_lies_in_every_field_costs_little_and_goes(void **state)
{
    run_seeds(&(struct scenario){"lying peers", set_up_liars, verify_served, SEC(36000)}, 60);
    liars.a = NULL;
}

/* --- flood -------------------------------------------------------------------------------------------------------- */

static struct flood {
    struct attacker *a;
    unsigned kind;
    struct way way;
    uint64_t sent;
    uint64_t cookies;
} flood;

enum { FLOOD_SYN, FLOOD_ACK, FLOOD_RST, FLOOD_UDP, FLOOD_PING, FLOOD_PIECES, FLOOD_ARP, FLOOD_KINDS };

static void flood_one(struct rng *r)
{
    struct forged f;
    struct way w = flood.way;
    uint8_t noise[64] = {8};
    w.src = flood.kind == FLOOD_SYN && rng_below(r, 2) ? (uint32_t)rng_u64(r) : (uint32_t)(10 | rng_u64(r) << 8);
    struct forged_segment s = {.src_port = (uint16_t)rng_u64(r),
                               .dst_port = ECHO_PORT,
                               .seq = (tcp_seq)rng_u64(r),
                               .ack = (tcp_seq)rng_u64(r),
                               .window = 1000,
                               .flags = flood.kind == FLOOD_SYN   ? TCP_SYN
                                        : flood.kind == FLOOD_RST ? TCP_RST
                                                                  : TCP_ACK};
    struct seen_segment seen = {.way = way_back(&w)};
    switch (flood.kind) {
    case FLOOD_UDP:
    case FLOOD_PING:
        forge_ip4(&f, &w, flood.kind == FLOOD_UDP ? 17 : 1, 0);
        if (flood.kind == FLOOD_UDP) store_be16(noise + 4, sizeof noise);
        forge_bytes(&f, noise, sizeof noise);
        forge_end4(&f);
        break;
    case FLOOD_PIECES: forge_pieces(&f, r, &w); break;
    case FLOOD_ARP: forge_arp(&f, r, &seen); break;
    default: forge_tcp(&f, &w, &s); break;
    }
    sim_raw_send(flood.a->raw, f.b, f.n);
    flood.sent++;
}

static void flood_some(void *arg)
{
    struct world *w = flood.a->w;
    if (sim_now(w->sim) > flood.a->until_ns) {
        if (flood.kind == FLOOD_SYN) flood.cookies = counter_of(w, w->hosts[0], "tcp.cookies_sent");
        return;
    }
    for (int i = 0; i < 20; i++) flood_one(&flood.a->rng);
    sim_at(w->sim, sim_now(w->sim) + MS(1), flood_some, NULL);
}

static void hear_nothing(void *arg, struct sim_raw *raw, const uint8_t *p, size_t n) {}

static void set_up_flood(struct world *w)
{
    struct stack_config sc = usual_stack();
    sc.limits.half_open = 64;
    serve_clients(w, &sc, 3, 12);
    flood = (struct flood){.kind = (unsigned)(w->seed % FLOOD_KINDS)};
    flood.a = attack(w, (uint8_t[6]){2, 6, 6, 6, 6, 6}, hear_nothing);
    flood.a->until_ns = SIM_START_NS + SEC(1);
    memcpy(flood.way.src_mac, (uint8_t[6]){2, 6, 6, 6, 6, 6}, 6);
    sim_net_host_mac(w->hosts[0], flood.way.dst_mac);
    flood.way.dst = inet_addr("10.0.0.1");
    sim_at(w->sim, SIM_START_NS + MS(1), flood_some, NULL);
}

static void verify_flood(struct world *w)
{
    verify_served(w);
    CHECK(w, flood.sent > 10000);
    if (flood.kind == FLOOD_SYN) CHECK(w, flood.cookies > 1000);
}

static void test_clients_are_served_in_a_flood(void **state)
{
    run_seeds(&(struct scenario){"flood", set_up_flood, verify_flood, SEC(36000)}, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_guesses_disturbs_no_stream),
        cmocka_unit_test(test_who_sees_everything_gets_no_host_down),
        cmocka_unit_test(test_a_peer_that_lies_in_every_field_costs_little_and_goes),
        cmocka_unit_test(test_clients_are_served_in_a_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

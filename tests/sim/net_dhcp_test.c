/* SPDX-License-Identifier: MIT
 *
 * Hosts whose addresses come from a DHCP server (RFC 2131), which is a function on the switch: one that loses and
 * garbles some of its replies, renews leases, and falls silent. A host keeps its address as long as the lease says,
 * serves under it, and gives it up then.
 */
#include "tests/sim/forge.h"
#include "tests/sim/net.h"

#define PORT    7
#define LEASE_S 3600
#define SILENT  SEC(20000) /* the server answers nobody from then on */

struct office {
    struct world *w;
    struct sim_raw *raw;
    struct sim_host *clients[2];
    unsigned offers, acks, garbled, served;
    uint64_t had_ns[2], lost_ns[2]; /* when the address came and went */
};

static struct office office;

static const uint8_t office_mac[6] = {2, 9, 9, 9, 9, 9};

static uint8_t kind_of(const uint8_t *m, size_t n)
{
    for (size_t i = 240; i + 2 < n && m[i] != 255; i += m[i] ? 2u + m[i + 1] : 1u)
        if (m[i] == 53 && m[i + 1] == 1) return m[i + 2];
    return 0;
}

/* A reply to message m: BOOTREPLY, the client's transaction and MAC address, the address by that. */
static void office_replies(const uint8_t *m, uint8_t kind)
{
    struct rng *r = sim_rng(office.w->sim);
    struct way w = {.src = inet_addr("10.0.0.254"), .dst = INADDR_BROADCAST};
    uint8_t reply[280] = {2, 1, 6};
    struct forged f;
    memcpy(w.src_mac, office_mac, 6);
    memset(w.dst_mac, 255, 6);
    memcpy(reply + 4, m + 4, 4);
    uint32_t yours = inet_addr("10.0.1.0") | (uint32_t)m[33] << 24; /* the MAC's last byte: 02:00 and the host's name */
    memcpy(reply + 16, &yours, 4);
    memcpy(reply + 28, m + 28, 6);
    static const uint8_t opts[] = {99,           130,           83, 99, 53,  1, 0, 54, 4,  10, 0, 0, 254, 51, 4, 0, 0,
                                   LEASE_S >> 8, LEASE_S & 255, 1,  4,  255, 0, 0, 0,  255};
    memcpy(reply + 236, opts, sizeof opts);
    reply[242] = kind;
    if (rng_below(r, 8) == 0) { /* a byte of it is anything; what the client cannot use it has to ignore */
        reply[236 + rng_below(r, 6)] ^= (uint8_t)(1 + rng_below(r, 255));
        office.garbled++;
    }
    uint8_t udp[8] = {0, 67, 0, 68, (8 + sizeof reply) >> 8, (uint8_t)(8 + sizeof reply)};
    forge_ip4(&f, &w, 17, 0);
    forge_bytes(&f, udp, sizeof udp);
    forge_bytes(&f, reply, sizeof reply);
    forge_end4(&f);
    sim_raw_send(office.raw, f.b, f.n);
}

static void office_hears(void *arg, struct sim_raw *raw, const uint8_t *p, size_t n)
{
    struct rng *r = sim_rng(office.w->sim);
    struct forged f;
    if (sim_now(office.w->sim) > SIM_START_NS + SILENT) return;
    if (forge_arp_reply(&f, p, n, inet_addr("10.0.0.254"), UINT32_MAX, office_mac)) sim_raw_send(raw, f.b, f.n);
    if (n < 42 + 241 || load_be16(p + 12) != ETH_TYPE_IP4 || p[23] != 17 || load_be16(p + 36) != 67) return;
    uint8_t kind = kind_of(p + 42, n - 42);
    if (rng_below(r, 4) == 0) return;
    if (kind == 1) office.offers++, office_replies(p + 42, 2);
    if (kind == 3) office.acks++, office_replies(p + 42, 5);
}

static bool has_address(const struct sim_host *h)
{
    struct ip_addr a;
    unsigned bits;
    for (unsigned i = 0; stack_address(sim_net_host_stack(h), i, &a, &bits); i++)
        if (addr_is_v4(&a) && !addr_is_loopback(&a)) return true;
    return false;
}

static void await_address(int number, bool there)
{
    while (has_address(office.clients[number]) != there && sim_now(office.w->sim) < SIM_START_NS + 2 * SILENT)
        sleep_ns(SEC(1));
    *(there ? &office.had_ns[number] : &office.lost_ns[number]) = sim_now(office.w->sim) - SIM_START_NS;
}

static int serving_host(void *arg)
{
    char in[POP_MAX];
    await_address(0, true);
    int l = listen_at("0.0.0.0", PORT, 4);
    for (int n; office.served < 5;) {
        int qd = accept_on(l);
        while ((n = pop_bytes(qd, in, sizeof in)) > 0) push_bytes(qd, in, (size_t)n);
        demi_close(qd);
    }
    await_address(0, false);
    demi_close(l);
    return 0;
}

/* At long intervals, so that leases are renewed in between. */
static int asking_host(void *arg)
{
    struct world *w = arg;
    char in[POP_MAX];
    await_address(1, true);
    while (office.served < 5 && !w->failure[0]) {
        int qd = connect_to("10.0.1.1", PORT);
        if (qd < 0 && sim_now(w->sim) < SIM_START_NS + SEC(1000)) {
            sleep_ns(SEC(1)); /* the other may be waiting for its address still */
            continue;
        }
        if (!check(w, qd >= 0, "no connection: %s", strerror(-qd))) break;
        push_bytes(qd, "hello", 5);
        CHECK_EQUAL(w, pop_bytes(qd, in, sizeof in), 5);
        office.served++;
        demi_close(qd);
        sleep_ns(SEC(3000));
    }
    await_address(1, false);
    return 0;
}

static void set_up_office(struct world *w)
{
    struct stack_config sc = usual_stack();
    sc.dhcp = true;
    office = (struct office){.w = w};
    office.clients[0] = sim_net_host_add(w->sim, "10.9.9.1", &sc, serving_host, w);
    office.clients[1] = sim_net_host_add(w->sim, "10.9.9.2", &sc, asking_host, w);
    office.raw = sim_raw_add(w->sim, office_mac, office_hears, NULL);
}

static void verify_office(struct world *w)
{
    CHECK_EQUAL(w, office.served, 5);
    CHECK(w, office.offers >= 2 && office.acks >= 10); /* renewed a few times, at half of the lease */
    for (int i = 0; i < 2; i++) {
        check(w, office.had_ns[i] < SEC(900), "the address came after %.1f s", (double)office.had_ns[i] / 1e9);
        bool in_time = office.lost_ns[i] > SILENT && office.lost_ns[i] < SILENT + SEC(LEASE_S + 5);
        check(w, in_time, "it went at %.1f s", (double)office.lost_ns[i] / 1e9);
    }
}

static void test_a_lease_is_kept_renewed_and_given_up(void **state)
{
    run_seeds(&(struct scenario){"leases", set_up_office, verify_office, SEC(100000)}, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lease_is_kept_renewed_and_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

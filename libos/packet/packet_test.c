/* SPDX-License-Identifier: MIT
 *
 * The devices on real interfaces: veth pairs and TAP devices in network namespaces that this process makes for itself
 * and that vanish with it. As root in plain ones; as anybody else in a user namespace. Skipped where neither is
 * allowed.
 *
 *     here:   va 10.77.0.1 -- vb                   the kernel, or a device, on va; a device on vb
 *     there:  another namespace, for an interface both kernel and device use
 */
#include "libos/packet/filter.h"
#include "libos/packet/packet.h"
#include "libos/packet/vnet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 5000 /* for what must come */
#define VB_MAC  "02:00:00:00:00:0b"

static bool privileged; /* at the start */
static int here = -1, there = -1;
static const uint8_t va_mac[6] = {2, 0, 0, 0, 0, 10}, vb_mac[6] = {2, 0, 0, 0, 0, 11}, our_mac[6] = {2, 0, 0, 0, 0, 12};

/* --- surroundings --- */

static bool shell(const char *command) { return system(command) == 0; }

static bool put(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return done;
}

static bool own_namespaces(void)
{
    unsigned uid = getuid(), gid = getgid();
    char map[64];
    if (uid == 0) return unshare(CLONE_NEWNET) == 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) return false;
    put("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", gid);
    put("/proc/self/gid_map", map);
    snprintf(map, sizeof map, "0 %u 1", uid);
    return put("/proc/self/uid_map", map);
}

static bool make_net(void)
{
    if (!own_namespaces()) return false;
    here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (unshare(CLONE_NEWNET)) return false;
    there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (setns(here, CLONE_NEWNET)) return false;
    return shell("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 2>/dev/null; "
                 "ip link add va address 02:00:00:00:00:0a type veth peer name vb address " VB_MAC " && "
                 "ip link set va up && ip link set vb up && ip addr add 10.77.0.1/24 dev va && "
                 "ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:0c dev va");
}

static int set_up(void **state)
{
    if (here < 0 || there < 0) skip();
    return 0;
}

struct settings {
    const char *names[8], *values[8];
};

static const char *get(void *arg, const char *key)
{
    const struct settings *s = arg;
    for (int i = 0; i < 8 && s->names[i]; i++)
        if (!strcmp(s->names[i], key)) return s->values[i];
    return NULL;
}

static char why[PACKET_WHY_SIZE];

static int open_with(const struct settings *s, struct netdev **out)
{
    struct netdev_env env = {.get = get, .arg = (void *)(uintptr_t)s, .why = why};
    why[0] = 0;
    return packet_open(&env, out);
}

#define OPEN(...) opened(&(struct settings){__VA_ARGS__})
static struct netdev *opened(const struct settings *s)
{
    struct netdev *d = NULL;
    int err = open_with(s, &d);
    if (err) print_message("# %s\n", why);
    assert_int_equal(err, 0);
    return d;
}

/* --- frames --- */

static void send_bytes(struct netdev *d, const void *p, size_t n, struct frame like)
{
    struct frame f = like;
    f.b = buf_take(n);
    f.len = (uint32_t)n;
    memcpy(buf_put_back(f.b, n), p, n);
    assert_int_equal(d->ops->send(d, &f, 1), 1);
}

/* An IPv4 UDP datagram; its checksum is none (0) unless left to the device. */
static size_t udp_frame(uint8_t *p, const uint8_t *to, uint16_t from_port, uint16_t to_port, const char *text)
{
    static const uint8_t ip[20] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1};
    size_t n = strlen(text);
    memset(p, 0, 42);
    memcpy(p, to, 6);
    memcpy(p + 6, our_mac, 6);
    store_be16(p + 12, 0x0800);
    memcpy(p + 14, ip, 20);
    store_be16(p + 16, (uint16_t)(28 + n));
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2) sum += load_be16(p + 14 + i);
    store_be16(p + 24, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    store_be16(p + 34, from_port);
    store_be16(p + 36, to_port);
    store_be16(p + 38, (uint16_t)(8 + n));
    memcpy(p + 42, text, n);
    return 42 + n;
}

static unsigned recv_some(struct netdev *d, struct frame *out, unsigned max)
{
    unsigned n = d->ops->recv(d, out, max);
    for (int waited = 0; !n && waited < WAIT_MS; waited += 10) {
        struct pollfd p = {.fd = d->ops->fd(d), .events = POLLIN};
        if (d->ops->arm(d) == 0) poll(&p, 1, 10);
        n = d->ops->recv(d, out, max);
    }
    return n;
}

/* The next frame with this UDP or TCP destination port; others (the kernel's own chatter) are passed over. */
static struct frame recv_port(struct netdev *d, uint16_t port)
{
    struct frame f;
    for (int i = 0; i < 100; i++) {
        if (recv_some(d, &f, 1) != 1) break;
        if (f.len >= 42 && load_be16(f.b->data + 12) == 0x0800 && load_be16(f.b->data + 36) == port) return f;
        buf_unref(f.b);
    }
    fail_msg("no frame to port %u came", port);
    return (struct frame){0};
}

static bool is_quiet(struct netdev *d, uint16_t port)
{
    struct frame f;
    for (unsigned n; (n = d->ops->recv(d, &f, 1));) {
        bool found = f.len >= 42 && load_be16(f.b->data + 12) == 0x0800 && load_be16(f.b->data + 36) == port;
        buf_unref(f.b);
        if (found) return false;
    }
    return true;
}

/* --- tests --- */

static void test_bad_configurations_are_refused_in_one_line(void **state)
{
    static const struct settings bad[] = {
        {{NULL}, {NULL}},
        {{"interface"}, {""}},
        {{"interface", "tap"}, {"va", "tap0"}},
        {{"interface"}, {"no-such-if"}},
        {{"interface"}, {"a-name-that-is-longer-than-sixteen"}},
        {{"interface", "ring"}, {"va", "63"}},
        {{"interface", "ring"}, {"va", "99999999999999999999999"}},
        {{"interface", "ring"}, {"va", "-64"}},
        {{"interface", "ring"}, {"va", "128x"}},
        {{"interface", "queues"}, {"va", "0"}},
        {{"interface", "queues"}, {"va", "65"}},
        {{"interface", "mac"}, {"va", "02:00:00:00:00"}},
        {{"interface", "mac"}, {"va", "02:00:00:00:00:01:02"}},
        {{"interface", "mac"}, {"va", "03:00:00:00:00:01"}},
        {{"interface", "mac"}, {"va", "00:00:00:00:00:00"}},
        {{"interface", "promiscuous"}, {"va", "maybe"}},
        {{"interface", "offload"}, {"va", "2"}},
        {{"tap"}, {"a-name-that-is-longer-than-sixteen"}},
        {{"tap"}, {"va"}},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct netdev *d = NULL;
        assert_true(open_with(&bad[i], &d) < 0);
        assert_null(d);
        assert_true(strncmp(why, "packet: ", 8) == 0);
        assert_null(strchr(why, '\n'));
    }
    assert_true(shell("ip link set va down"));
    struct netdev *d = NULL;
    assert_int_equal(open_with(&(struct settings){{"interface"}, {"va"}}, &d), -ENETDOWN);
    assert_non_null(strstr(why, "ip link set va up"));
    assert_true(shell("ip link set va up && (ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:0c dev va)"));
}

/* Runs the filter's program on a frame as the kernel would; what it does not know it fails on. */
static bool filter_takes(const struct sock_filter *code, unsigned count, const uint8_t *p, unsigned n)
{
    uint32_t a = 0, x = 0, mem[16] = {0};
    for (unsigned pc = 0; pc < count; pc++) {
        struct sock_filter i = code[pc];
        uint32_t at = i.k + (BPF_MODE(i.code) == BPF_IND ? x : 0);
        switch (i.code) {
        case BPF_LD | BPF_B | BPF_ABS:
            if (at + 1 > n) return false;
            a = p[at];
            break;
        case BPF_LD | BPF_H | BPF_IND:
        case BPF_LD | BPF_H | BPF_ABS:
            if (at + 2 > n) return false;
            a = load_be16(p + at);
            break;
        case BPF_LD | BPF_W | BPF_ABS:
            if (at + 4 > n) return false;
            a = load_be32(p + at);
            break;
        case BPF_LDX | BPF_B | BPF_MSH:
            if (i.k >= n) return false;
            x = (p[i.k] & 0xf) * 4u;
            break;
        case BPF_LD | BPF_MEM: a = mem[i.k]; break;
        case BPF_ST: mem[i.k] = a; break;
        case BPF_JMP | BPF_JA: pc += i.k; break;
        case BPF_JMP | BPF_JEQ | BPF_K: pc += a == i.k ? i.jt : i.jf; break;
        case BPF_JMP | BPF_JGE | BPF_K: pc += a >= i.k ? i.jt : i.jf; break;
        case BPF_JMP | BPF_JSET | BPF_K: pc += a & i.k ? i.jt : i.jf; break;
        case BPF_RET | BPF_K: return i.k != 0;
        default: fail_msg("instruction %#x", i.code);
        }
    }
    fail_msg("the program has no end");
    return false;
}

static void test_filter_takes_our_ports_and_what_has_none(void **state)
{
    struct sock_filter code[FILTER_SIZE_MAX];
    static struct claims c;
    uint8_t p[128];
    claims_init(&c);
    assert_int_equal(claims_set(&c, IPPROTO_ICMP, 1, true), -EPROTONOSUPPORT);
    assert_int_equal(claims_set(&c, IPPROTO_UDP, 5000, true), 1);
    assert_int_equal(claims_set(&c, IPPROTO_UDP, 5000, true), 0);
    assert_int_equal(claims_set(&c, IPPROTO_TCP, 6379, true), 1);
    unsigned n = filter_build(code, vb_mac, &c), len = (unsigned)udp_frame(p, vb_mac, 1, 5000, "x");
    assert_true(filter_takes(code, n, p, len));
    store_be16(p + 36, 5001);
    assert_false(filter_takes(code, n, p, len));
    store_be16(p + 20, 185); /* a later fragment has no ports */
    assert_true(filter_takes(code, n, p, len));
    store_be16(p + 20, 0x2000); /* the first has */
    assert_false(filter_takes(code, n, p, len));
    p[23] = 1; /* ICMP */
    assert_true(filter_takes(code, n, p, len));
    p[23] = 6;
    assert_false(filter_takes(code, n, p, len));
    store_be16(p + 36, 6379);
    assert_true(filter_takes(code, n, p, len));
    p[14] = 0x46; /* options move the ports */
    store_be16(p + 40, 6379);
    store_be16(p + 36, 1);
    assert_true(filter_takes(code, n, p, len));
    p[5] ^= 1; /* for another station */
    assert_false(filter_takes(code, n, p, len));
    p[0] |= 1; /* or for all */
    assert_true(filter_takes(code, n, p, len));

    memset(p, 0, sizeof p);
    memcpy(p, vb_mac, 6);
    store_be16(p + 12, 0x0806);
    assert_true(filter_takes(code, n, p, 42));
    store_be16(p + 12, 0x86dd);
    p[20] = 58;
    assert_true(filter_takes(code, n, p, 60));
    p[20] = 6;
    assert_false(filter_takes(code, n, p, 60));
    store_be16(p + 56, 6379);
    assert_true(filter_takes(code, n, p, 60));
    p[20] = 17;
    assert_false(filter_takes(code, n, p, 60));

    assert_int_equal(claims_set(&c, IPPROTO_TCP, 0, true), 1);
    p[20] = 6;
    store_be16(p + 56, c.ephemeral_first);
    assert_false(filter_takes(code, n, p, 60));
    n = filter_build(code, vb_mac, &c);
    assert_true(filter_takes(code, n, p, 60));
    store_be16(p + 56, (uint16_t)(c.ephemeral_first - 1));
    assert_false(filter_takes(code, n, p, 60));
    for (unsigned i = 1; i <= FILTER_PORTS_MAX; i++) claims_set(&c, IPPROTO_TCP, (uint16_t)(i + 100), true);
    n = filter_build(code, vb_mac, &c); /* too many to list */
    assert_true(filter_takes(code, n, p, 60));
    claims_set(&c, IPPROTO_TCP, 101, false);
    claims_set(&c, IPPROTO_UDP, 5000, false);
    n = filter_build(code, vb_mac, &c); /* the longest there is */
    assert_false(filter_takes(code, n, p, 60));
}

static void test_claimed_words_follow_ports(void **state)
{
    static struct claims c;
    claims_init(&c);
    c.ephemeral_first = 61000;
    claims_set(&c, IPPROTO_TCP, 65535, true);
    assert_int_equal(claims_word(&c, CLAIMS_TCP, 1023), (uint64_t)1 << 63);
    assert_int_equal(claims_word(&c, CLAIMS_UDP, 1023), 0);
    claims_set(&c, IPPROTO_TCP, 0, true);
    assert_int_equal(claims_word(&c, CLAIMS_TCP, 61000 >> 6), ~(uint64_t)0 << (61000 & 63));
    assert_int_equal(claims_word(&c, CLAIMS_TCP, (61000 >> 6) - 1), 0);
    assert_int_equal(claims_word(&c, CLAIMS_TCP, 1000), ~(uint64_t)0);
    assert_true(claims_has(&c, CLAIMS_TCP, 61000) && !claims_has(&c, CLAIMS_TCP, 60999) &&
                !claims_has(&c, CLAIMS_UDP, 61000));
    claims_set(&c, IPPROTO_TCP, 0, false);
    assert_int_equal(claims_word(&c, CLAIMS_TCP, 1023), (uint64_t)1 << 63);
}

static void test_frames_arrive_whole_and_in_order(void **state)
{
    struct netdev *a = OPEN({"interface"}, {"va"}), *b = OPEN({"interface", "mac"}, {"vb", "02:00:00:00:00:0c"});
    uint8_t p[1514];
    struct frame f;
    assert_memory_equal(a->caps.mac, va_mac, 6);
    assert_false(a->caps.own_mac);
    assert_memory_equal(b->caps.mac, our_mac, 6);
    assert_true(b->caps.own_mac);
    assert_int_equal(b->caps.mtu, 1500);
    for (unsigned round = 0; round < 40; round++) /* more than once around the ring */
        for (unsigned i = 0; i < 64; i++) {
            unsigned n = 60 + (i * 23) % (sizeof p - 60) +
                         (i == 63 ? (unsigned)sizeof p - 60 - (i * 23) % ((unsigned)sizeof p - 60) : 0);
            memset(p, (int)(i + round), sizeof p);
            udp_frame(p, our_mac, 7, 4000, "");
            store_be16(p + 38, (uint16_t)i);
            send_bytes(a, p, n, (struct frame){0});
            f = recv_port(b, 4000);
            assert_int_equal(f.len, n);
            assert_int_equal(buf_chain_len(f.b), n);
            assert_memory_equal(f.b->data, p, n);
            buf_unref(f.b);
        }
    assert_int_equal(a->n.tx_frames, 40 * 64);
    a->ops->close(a);
    b->ops->close(b);
}

static void test_chains_are_put_together_and_lies_about_length_dropped(void **state)
{
    struct netdev *a = OPEN({"interface"}, {"va"}), *b = OPEN({"interface", "mac"}, {"vb", "02:00:00:00:00:0c"});
    uint8_t p[200];
    memset(p, 7, sizeof p);
    udp_frame(p, our_mac, 7, 4001, "");
    for (int lie = -1; lie <= 1; lie++) {
        struct frame f = {.b = buf_take(100), .len = (uint32_t)(200 + lie)};
        memcpy(buf_put_back(f.b, 50), p, 50);
        struct buf *second = buf_take(150), *empty = buf_take(0);
        memcpy(buf_put_back(second, 150), p + 50, 150);
        buf_chain_append(f.b, empty);
        buf_chain_append(f.b, second);
        assert_int_equal(a->ops->send(a, &f, 1), 1);
        assert_int_equal(a->n.tx_dropped, lie == -1 ? 1 : lie == 0 ? 1 : 2);
        if (lie) continue;
        f = recv_port(b, 4001);
        assert_int_equal(f.len, 200);
        assert_memory_equal(f.b->data, p, 200);
        buf_unref(f.b);
    }
    struct frame f = {.b = buf_take(0)};
    assert_int_equal(a->ops->send(a, &f, 1), 1);
    static uint8_t large[40000];
    send_bytes(a, large, sizeof large, (struct frame){0});
    assert_int_equal(a->n.tx_dropped, 4);
    assert_true(is_quiet(b, 4001));
    a->ops->close(a);
    b->ops->close(b);
}

static void test_full_ring_loses_frames_and_counts_them(void **state)
{
    struct netdev *a = OPEN({"interface"}, {"va"}),
                  *b = OPEN({"interface", "mac", "ring"}, {"vb", "02:00:00:00:00:0c", "64"});
    uint8_t p[64];
    struct frame f[NETDEV_BURST];
    unsigned came = 0, n;
    size_t len = udp_frame(p, our_mac, 7, 4002, "full");
    assert_int_equal(b->ops->arm(b), 0);
    for (int i = 0; i < 1000; i++) send_bytes(a, p, len, (struct frame){0});
    assert_int_equal(b->ops->arm(b), -EAGAIN);
    while ((n = b->ops->recv(b, f, NETDEV_BURST)))
        for (unsigned i = 0; i < n; i++, came++) buf_unref(f[i].b);
    send_bytes(a, p, len, (struct frame){0}); /* the first one behind the loss tells of it */
    f[0] = recv_port(b, 4002);
    buf_unref(f[0].b);
    assert_true(came < 1000);
    assert_int_equal(came + b->n.rx_dropped, 1000);
    a->ops->close(a);
    b->ops->close(b);
}

static void test_tagged_frames_and_other_stations_are_not_ours(void **state)
{
    struct netdev *a = OPEN({"interface"}, {"va"}), *b = OPEN({"interface", "mac"}, {"vb", "02:00:00:00:00:0c"});
    static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};
    uint8_t p[100], tagged[104];
    size_t n = udp_frame(p, our_mac, 7, 4003, "tag");
    memcpy(tagged, p, 12);
    store_be16(tagged + 12, 0x8100);
    store_be16(tagged + 14, 5);
    memcpy(tagged + 16, p + 12, n - 12);
    send_bytes(a, tagged, n + 4, (struct frame){0});
    store_be16(tagged + 14, 0); /* a priority, no VLAN */
    send_bytes(a, tagged, n + 4, (struct frame){0});
    memcpy(p, va_mac, 6);
    send_bytes(a, p, n, (struct frame){0});
    memcpy(p, everybody, 6);
    send_bytes(a, p, n, (struct frame){0});
    struct frame f = recv_port(b, 4003);
    assert_memory_equal(f.b->data, our_mac, 6);
    buf_unref(f.b);
    f = recv_port(b, 4003);
    assert_memory_equal(f.b->data, everybody, 6);
    buf_unref(f.b);
    assert_true(is_quiet(b, 4003));
    assert_int_equal(b->n.rx_dropped, 1);
    a->ops->close(a);
    b->ops->close(b);
}

/* What a kernel peer with segmentation left to its device sends: 16,000 bytes that no slot holds. */
static void test_segments_joined_by_a_peer_arrive_as_one_frame(void **state)
{
    struct netdev *a = OPEN({"interface"}, {"va"}), *b = OPEN({"interface", "mac"}, {"vb", "02:00:00:00:00:0c"});
    if (!(a->caps.offloads & OFFLOAD_TX_TSO)) {
        a->ops->close(a);
        b->ops->close(b);
        skip();
    }
    static uint8_t p[54 + 15000];
    for (unsigned i = 0; i < sizeof p; i++) p[i] = (uint8_t)(i * 7);
    udp_frame(p, our_mac, 7, 4004, "");
    store_be16(p + 16, (uint16_t)(sizeof p - 14));
    p[23] = IPPROTO_TCP;
    p[46] = 5 << 4;
    store_be16(p + 50, 0);
    struct frame like = {
        .flags = FRAME_TX_L4_CSUM | FRAME_TX_TSO, .tso_mss = 1448, .l2_len = 14, .l3_len = 20, .l4_len = 20};
    send_bytes(a, p, sizeof p, like);
    send_bytes(a, p, 200, (struct frame){0}); /* and one that a slot holds, behind it */
    struct frame f = recv_port(b, 4004);
    assert_int_equal(f.len, sizeof p);
    assert_true(f.flags & FRAME_L4_CSUM_OK);
    assert_memory_equal(f.b->data + 54, p + 54, sizeof p - 54);
    buf_unref(f.b);
    f = recv_port(b, 4004);
    assert_int_equal(f.len, 200);
    assert_false(f.flags & FRAME_L4_CSUM_OK);
    buf_unref(f.b);
    a->ops->close(a);
    b->ops->close(b);
}

static int udp_to_us(uint16_t port, const char *text)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "10.77.0.2", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(sendto(fd, text, strlen(text), 0, (void *)&to, sizeof to), strlen(text));
    return fd;
}

static void expect_answer(struct netdev *d, int fd, const struct frame *f, const uint8_t *to)
{
    uint8_t p[100], got[100];
    size_t n = udp_frame(p, to, 4005, load_be16(f->b->data + 34), "back");
    uint32_t sum = 17 + 8 + 4; /* the pseudo-header's, not complemented */
    for (int i = 26; i < 34; i += 2) sum += load_be16(p + i);
    store_be16(p + 40, (uint16_t)((sum & 0xffff) + (sum >> 16)));
    send_bytes(d, p, n,
               (struct frame){.flags = FRAME_TX_L4_CSUM | FRAME_TX_UDP, .l2_len = 14, .l3_len = 20, .l4_len = 8});
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    assert_int_equal(recv(fd, got, sizeof got, 0), 4);
    assert_memory_equal(got, "back", 4);
}

static void test_open_checksums_of_this_machine_are_good_both_ways(void **state)
{
    struct netdev *b = OPEN({"interface", "mac"}, {"vb", "02:00:00:00:00:0c"});
    assert_true(b->caps.offloads & OFFLOAD_TX_L4_CSUM);
    int fd = udp_to_us(4005, "open");
    struct frame f = recv_port(b, 4005);
    assert_true(f.flags & FRAME_L4_CSUM_OK);
    assert_memory_equal(f.b->data + 42, "open", 4);
    expect_answer(b, fd, &f, va_mac);
    buf_unref(f.b);
    close(fd);
    b->ops->close(b);
}

static void test_flows_are_dealt_out_among_queues(void **state)
{
    enum { FLOWS = 64 };
    struct settings two = {{"interface", "mac", "queues"}, {"vb", "02:00:00:00:00:0c", "2"}};
    struct netdev *a = OPEN({"interface"}, {"va"}), *q[2] = {opened(&two), opened(&two)}, *third = NULL;
    assert_int_equal(open_with(&two, &third), -EBUSY);
    assert_non_null(strstr(why, "queues"));
    assert_int_equal(q[0]->caps.queue, 0);
    assert_int_equal(q[1]->caps.queue, 1);
    assert_int_equal(q[1]->caps.queue_count, 2);
    uint8_t p[100];
    unsigned came[2] = {0}, where[FLOWS] = {0}, sent = 0;
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < FLOWS; i++, sent++)
            send_bytes(a, p, udp_frame(p, our_mac, (uint16_t)(5000 + i), 4006, "flow"), (struct frame){0});
    for (int k = 0; k < 2; k++) {
        struct frame f;
        while (q[k]->ops->recv(q[k], &f, 1)) {
            if (load_be16(f.b->data + 36) == 4006) {
                where[load_be16(f.b->data + 34) - 5000] |= 1u << k;
                came[k]++;
            }
            buf_unref(f.b);
        }
    }
    assert_int_equal(came[0] + came[1], sent);
    assert_true(came[0] && came[1]);
    for (unsigned i = 0; i < FLOWS; i++) assert_true(where[i] == 1 || where[i] == 2);
    q[1]->ops->close(q[1]);
    q[1] = opened(&two); /* its place is free again */
    assert_int_equal(q[1]->caps.queue, 1);
    a->ops->close(a);
    q[0]->ops->close(q[0]);
    q[1]->ops->close(q[1]);
}

static void test_one_queue_is_one_threads(void **state)
{
    struct netdev *a = OPEN({"interface"}, {"va"}), *second = NULL;
    const struct settings again = {{"interface"}, {"va"}}, other = {{"interface", "mac"}, {"va", "02:00:00:00:00:0d"}};
    assert_int_equal(open_with(&again, &second), -EBUSY);
    assert_non_null(strstr(why, "va"));
    assert_int_equal(open_with(&other, &second), 0); /* another station */
    second->ops->close(second);
    a->ops->close(a);
    a = OPEN({"interface"}, {"va"});
    a->ops->close(a);
}

/* A connection that is being opened from the kernel here to the kernel and us there. */
static int connect_there(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "10.78.0.2", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (void *)&to, sizeof to), -1);
    assert_true(errno == EINPROGRESS || errno == ECONNREFUSED);
    return fd;
}

static bool is_refused(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int err = 0;
    socklen_t len = sizeof err;
    if (poll(&p, 1, wait_ms) != 1) return false;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return err == ECONNREFUSED;
}

static void test_kernel_does_not_reset_what_is_ours(void **state)
{
    char command[256];
    if (!privileged) skip(); /* BPF wants a right that no user namespace gives */
    snprintf(command, sizeof command,
             "ip link add vc type veth peer name vd netns /proc/%d/fd/%d && ip link set vc up && ip addr add "
             "10.78.0.1/24 dev vc",
             (int)getpid(), there);
    assert_true(shell(command));
    assert_int_equal(setns(there, CLONE_NEWNET), 0);
    assert_true(shell("ip link set vd up && ip addr add 10.78.0.2/24 dev vd"));
    struct netdev *d = OPEN({"interface"}, {"vd"});
    assert_int_equal(setns(here, CLONE_NEWNET), 0);
    assert_false(d->caps.own_mac);

    int fd = connect_there(7001); /* nobody's: the kernel says so */
    assert_true(is_refused(fd, WAIT_MS));
    assert_true(is_quiet(d, 7001));
    close(fd);

    assert_int_equal(d->ops->claim(d, IPPROTO_TCP, 7001, true), 0);
    fd = connect_there(7001);
    struct frame f = recv_port(d, 7001);
    assert_int_equal(f.b->data[47] & 0x3f, 2); /* its SYN */
    buf_unref(f.b);
    assert_false(is_refused(fd, 50));
    close(fd);
    fd = connect_there(7002);
    assert_true(is_refused(fd, WAIT_MS));
    close(fd);

    assert_int_equal(d->ops->claim(d, IPPROTO_TCP, 0, true), 0);
    fd = connect_there(65000);
    f = recv_port(d, 65000);
    buf_unref(f.b);
    assert_false(is_refused(fd, 50));
    close(fd);
    assert_int_equal(d->ops->claim(d, IPPROTO_TCP, 7001, false), 0);
    fd = connect_there(7001);
    assert_true(is_refused(fd, WAIT_MS));
    close(fd);

    d->ops->close(d);
    fd = connect_there(65000); /* with the device its guard has gone */
    assert_true(is_refused(fd, WAIT_MS));
    close(fd);
    assert_true(shell("ip link del vc"));
}

static void test_tap_carries_frames_both_ways(void **state)
{
    struct netdev *d = NULL;
    int err = open_with(&(struct settings){{"tap"}, {"dtap"}}, &d);
    if (err == -ENOENT) skip(); /* no /dev/net/tun */
    assert_int_equal(err, 0);
    assert_true(d->caps.own_mac);
    assert_true(d->caps.mac[0] & 2);
    char command[256];
    snprintf(command, sizeof command,
             "ip addr flush dev va; ip addr add 10.77.0.1/24 dev dtap && ip neigh add 10.77.0.2 lladdr "
             "%02x:%02x:%02x:%02x:%02x:%02x dev dtap",
             d->caps.mac[0], d->caps.mac[1], d->caps.mac[2], d->caps.mac[3], d->caps.mac[4], d->caps.mac[5]);
    assert_true(shell(command));
    int fd = udp_to_us(4005, "open");
    struct frame f = recv_port(d, 4005);
    assert_true(f.flags & FRAME_L4_CSUM_OK);
    assert_memory_equal(f.b->data + 42, "open", 4);
    assert_int_equal(f.len, 46);
    uint8_t kernel_mac[6];
    memcpy(kernel_mac, f.b->data + 6, 6);
    expect_answer(d, fd, &f, kernel_mac);
    buf_unref(f.b);
    close(fd);

    struct netdev *again = NULL;
    assert_int_equal(open_with(&(struct settings){{"tap"}, {"dtap"}}, &again), -EBUSY);
    char large[1400];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    fd = udp_to_us(4007, large);
    f = recv_port(d, 4007);
    assert_int_equal(f.len, 42 + sizeof large - 1);
    buf_unref(f.b);
    close(fd);
    d->ops->close(d);
    assert_true(shell("ip addr add 10.77.0.1/24 dev va; ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:0c dev va"));
}

static void test_tap_queues_are_told_apart(void **state)
{
    struct settings two = {{"tap", "queues"}, {"dtap", "2"}};
    struct netdev *q[2], *third = NULL;
    int err = open_with(&two, &q[0]);
    if (err == -ENOENT) skip();
    assert_int_equal(err, 0);
    q[1] = opened(&two);
    assert_int_equal(q[1]->caps.queue, 1);
    assert_memory_equal(q[0]->caps.mac, q[1]->caps.mac, 6);
    assert_int_equal(open_with(&two, &third), -EBUSY);
    q[0]->ops->close(q[0]);
    q[1]->ops->close(q[1]);
}

/* What a user without rights gets in a namespace of his own. */
static void test_nobody_can_use_both_in_a_user_namespace(void **state)
{
    if (!privileged) skip(); /* all of the above ran so */
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (setgid(65534) || setuid(65534) || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) || !make_net()) _exit(77);
        struct netdev *a = NULL, *b = NULL;
        if (open_with(&(struct settings){{"interface"}, {"va"}}, &a)) _exit(1);
        if (open_with(&(struct settings){{"interface", "mac"}, {"vb", "02:00:00:00:00:0c"}}, &b)) _exit(2);
        uint8_t p[100];
        struct frame f;
        send_bytes(a, p, udp_frame(p, our_mac, 1, 2, "userns"), (struct frame){0});
        if (recv_some(b, &f, 1) != 1) _exit(3);
        int err = open_with(&(struct settings){{"tap"}, {"dtap"}}, &a);
        _exit(err && err != -ENOENT && err != -EACCES ? 4 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    privileged = getuid() == 0;
    if (!make_net()) here = there = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_bad_configurations_are_refused_in_one_line, set_up),
        cmocka_unit_test(test_filter_takes_our_ports_and_what_has_none),
        cmocka_unit_test(test_claimed_words_follow_ports),
        cmocka_unit_test_setup(test_frames_arrive_whole_and_in_order, set_up),
        cmocka_unit_test_setup(test_chains_are_put_together_and_lies_about_length_dropped, set_up),
        cmocka_unit_test_setup(test_full_ring_loses_frames_and_counts_them, set_up),
        cmocka_unit_test_setup(test_tagged_frames_and_other_stations_are_not_ours, set_up),
        cmocka_unit_test_setup(test_segments_joined_by_a_peer_arrive_as_one_frame, set_up),
        cmocka_unit_test_setup(test_open_checksums_of_this_machine_are_good_both_ways, set_up),
        cmocka_unit_test_setup(test_flows_are_dealt_out_among_queues, set_up),
        cmocka_unit_test_setup(test_one_queue_is_one_threads, set_up),
        cmocka_unit_test_setup(test_kernel_does_not_reset_what_is_ours, set_up),
        cmocka_unit_test_setup(test_tap_carries_frames_both_ways, set_up),
        cmocka_unit_test_setup(test_tap_queues_are_told_apart, set_up),
        cmocka_unit_test_setup(test_nobody_can_use_both_in_a_user_namespace, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

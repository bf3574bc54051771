/* SPDX-License-Identifier: MIT
 *
 * The xdp plug-in, loaded as the library loads it, on one end of a veth pair in a network namespace of each case's own.
 * The other end is a packet socket, which sends and sees what it likes; a second one behind the device sees what the
 * program leaves to the kernel. Wants root.
 */
#include "libos/plugin_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

/* --- opening --- */

static struct netdev *must_open(const char *b, const char *c)
{
    struct netdev *d = NULL;
    int err = try_open(&d, "interface=xa", b, c);
    if (err) fprintf(stderr, "open: %s: %s\n", strerror(-err), why);
    CHECK(!err);
    return d;
}

static void shell(const char *command)
{
    int status = system(command);
    if (status) fprintf(stderr, "%s: %d\n", command, status);
    CHECK(!status);
}

/* A pair xa - xb; nothing speaks on it by itself. */
static void make_wire(const char *queues)
{
    char line[256];
    CHECK(!unshare(CLONE_NEWNET));
    snprintf(line, sizeof line,
             "ip link add xa numrxqueues %s numtxqueues %s type veth peer name xb numrxqueues %s numtxqueues %s",
             queues, queues, queues, queues);
    shell(line);
    shell("for i in xa xb; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; ip link set $i up; done");
}

/* What is sent from here arrives at the other end; what arrives here is read here. */
static int tap(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    int one = 1, room = 8 << 20;
    CHECK(fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room));
    CHECK(!setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one));
    CHECK(!bind(fd, (struct sockaddr *)&at, sizeof at));
    return fd;
}

/* --- frames --- */

static void fill(uint8_t *p, size_t n, uint8_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(seed + i * 7);
    if (n >= 14) p[12] = 0x88, p[13] = 0xb5; /* a type nobody answers to */
}

static bool same(const uint8_t *p, size_t n, uint8_t seed)
{
    uint8_t want[2048];
    fill(want, n, seed);
    return !memcmp(p, want, n);
}

static struct frame one(size_t n, uint8_t seed)
{
    struct buf *b = buf_take(n);
    uint8_t *p = buf_put_back(b, n);
    CHECK(p);
    fill(p, n, seed);
    return (struct frame){.b = b, .len = (uint32_t)n};
}

static struct frame next_frame(struct netdev *d)
{
    struct frame f;
    nsec start = clock_mono_ns();
    while (!d->ops->recv(d, &f, 1)) CHECK(clock_mono_ns() - start < PATIENCE);
    return f;
}

static size_t next_read(struct netdev *d, int fd, uint8_t *out)
{
    struct frame f;
    nsec start = clock_mono_ns();
    for (;;) {
        ssize_t n = recv(fd, out, 2048, 0);
        if (n > 0) return (size_t)n;
        CHECK(clock_mono_ns() - start < PATIENCE);
        CHECK(!d->ops->recv(d, &f, 1)); /* kicks what is still to be sent */
    }
}

static void send_one(struct netdev *d, struct frame f)
{
    nsec start = clock_mono_ns();
    while (!d->ops->send(d, &f, 1)) CHECK(clock_mono_ns() - start < PATIENCE);
}

/* Where a frame from xb goes: to our device (true), or to the kernel, whose tap on xa sees it. */
static bool comes_to_us(struct netdev *d, int wire, int kernel, const void *p, size_t n)
{
    uint8_t got[2048];
    struct frame f;
    nsec start = clock_mono_ns();
    CHECK(send(wire, p, n, 0) == (ssize_t)n);
    for (;;) {
        ssize_t k = recv(kernel, got, sizeof got, 0);
        if (k == (ssize_t)n && !memcmp(got, p, n)) return false;
        if (d->ops->recv(d, &f, 1)) {
            CHECK(f.len == n && !memcmp(f.b->data, p, n));
            buf_unref(f.b);
            return true;
        }
        CHECK(clock_mono_ns() - start < PATIENCE);
    }
}

/* --- cases --- */

static void bad_settings(void)
{
    struct netdev *d;
    static const char *const bad[] = {"mode=fast", "copy=never",        "ring=100",  "ring=x",
                                      "queue=1",   "exclusive=perhaps", "mac=1:2:3", "mac=01:00:5e:0:0:1"};
    make_wire("1");
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(try_open(&d, "interface=xa", bad[i], NULL) < 0);
        CHECK(strlen(why) > 10 && !strchr(why, '\n'));
    }
    CHECK(try_open(&d, "x=y", NULL, NULL) == -EINVAL);
    CHECK(try_open(&d, "interface=nosuch", NULL, NULL) == -ENODEV);
    CHECK(try_open(&d, "interface=lo", NULL, NULL) == -ENOTSUP);
    CHECK(try_open(&d, "interface=xa", "copy=zero", NULL) < 0 && strstr(why, "copy"));
    shell("ip link set xa mtu 9000");
    CHECK(try_open(&d, "interface=xa", NULL, NULL) == -EINVAL && strstr(why, "mtu"));
    shell("ip link set xa down mtu 1500");
    CHECK(try_open(&d, "interface=xa", NULL, NULL) == -ENETDOWN && strstr(why, "up"));
    shell("ip link set xa up");
    d = must_open(NULL, NULL); /* none of them did harm */
    d->ops->close(d);
}

static void both_ways(struct netdev *d, int wire)
{
    static const uint16_t sizes[] = {60, 61, 128, 1000, 1514};
    uint8_t bytes[2048];
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(bytes, sizes[i], (uint8_t)i);
        CHECK(send(wire, bytes, sizes[i], 0) == sizes[i]);
        struct frame f = next_frame(d);
        CHECK(f.len == sizes[i] && f.b->len == f.len && !f.b->next && same(f.b->data, f.len, (uint8_t)i));
        CHECK(buf_headroom(f.b) >= 14);
        buf_unref(f.b);
        send_one(d, one(sizes[i], (uint8_t)(i + 1)));
        CHECK(next_read(d, wire, bytes) == sizes[i] && same(bytes, sizes[i], (uint8_t)(i + 1)));
    }
    /* A chain is one frame. */
    struct frame f = one(1000, 3);
    struct buf *tail = buf_slice(f.b, 66, 934);
    CHECK(buf_trim_back(f.b, 934));
    buf_chain_append(f.b, tail);
    send_one(d, f);
    CHECK(next_read(d, wire, bytes) == 1000 && same(bytes, 1000, 3));
}

static void in_mode(const char *mode)
{
    make_wire("1");
    int wire = tap("xb");
    struct netdev *d = must_open(mode, NULL);
    CHECK(d->caps.own_mac && d->caps.mtu == 1500 && d->caps.segs_max > 1);
    size_t before = heap_used();
    both_ways(d, wire);
    CHECK(heap_used() == before);
    CHECK(d->n.rx_frames == 5 && d->n.tx_frames == 6 && !d->n.rx_dropped);
    d->ops->close(d);
}
static void native(void) { in_mode("mode=native"); }
static void generic(void) { in_mode("mode=skb"); }

static void unsendable(void)
{
    uint8_t bytes[2048];
    make_wire("1");
    int wire = tap("xb");
    struct netdev *d = must_open(NULL, NULL);
    size_t before = heap_used();
    struct frame f[4] = {one(60, 1), one(1519, 2), {.b = buf_take(0)}, one(60, 3)};
    CHECK(d->ops->send(d, f, 4) == 4);
    CHECK(d->n.tx_dropped == 2 && d->n.tx_frames == 2);
    CHECK(next_read(d, wire, bytes) == 60 && same(bytes, 60, 1));
    CHECK(next_read(d, wire, bytes) == 60 && same(bytes, 60, 3));
    for (int i = 0; i < 300; i++) send_one(d, one(60, 4)); /* the ring has not lost count */
    for (int i = 0; i < 300; i++) CHECK(next_read(d, wire, bytes) == 60 && same(bytes, 60, 4));
    CHECK(heap_used() == before);
    d->ops->close(d);
}

/* A program that keeps everything. */
static void held_bufs(void)
{
    enum { N = 1000 };
    static struct frame held[N];
    uint8_t bytes[100];
    make_wire("1");
    int wire = tap("xb");
    struct netdev *d = must_open("ring=64", NULL);
    size_t before = heap_used();
    for (unsigned i = 0; i < N; i++) {
        fill(bytes, sizeof bytes, (uint8_t)i);
        CHECK(send(wire, bytes, sizeof bytes, 0) == sizeof bytes);
        held[i] = next_frame(d);
        send_one(d, one(60, 1));
    }
    for (unsigned i = 0; i < N; i++) CHECK(same(held[i].b->data, 100, (uint8_t)i));
    for (unsigned i = 0; i < N; i += 2) buf_unref(held[i].b);
    d->ops->close(d);
    for (unsigned i = 1; i < N; i += 2) { /* outlive the device */
        CHECK(same(held[i].b->data, 100, (uint8_t)i));
        buf_unref(held[i].b);
    }
    CHECK(heap_used() == before);
}

static void bursts(void)
{
    enum { N = 200 };
    struct frame f[N];
    uint8_t bytes[2048];
    make_wire("1");
    int wire = tap("xb");
    struct netdev *d = must_open("ring=64", NULL);
    for (unsigned i = 0; i < N; i++) f[i] = one(200, (uint8_t)i);
    unsigned done = 0;
    nsec start = clock_mono_ns();
    while (done < N) {
        done += d->ops->send(d, f + done, N - done);
        CHECK(clock_mono_ns() - start < PATIENCE);
    }
    for (unsigned i = 0; i < N; i++) CHECK(next_read(d, wire, bytes) == 200 && same(bytes, 200, (uint8_t)i));
    CHECK(d->n.kicks >= N / 64);
    d->ops->close(d);
}

/* IPv4 or IPv6, protocol, destination port; to 10.9.0.x or fd09::x. */
static size_t packet(uint8_t *p, int family, uint8_t proto, uint8_t host_byte, uint16_t port)
{
    static const uint8_t v4[20] = {0x45, 0, 0, 46, 0, 0, 0, 0, 64, 0, 0, 0, 10, 9, 0, 9, 10, 9, 0, 0};
    memset(p, 0, 120);
    memset(p, 2, 12);
    if (family == AF_INET) {
        p[12] = 8;
        memcpy(p + 14, v4, 20);
        p[23] = proto;
        p[33] = host_byte;
        p[36] = (uint8_t)(port >> 8), p[37] = (uint8_t)port;
        return 60;
    }
    p[12] = 0x86, p[13] = 0xdd, p[14] = 0x60, p[20] = proto, p[21] = 64;
    p[22] = p[38] = 0xfd, p[23] = p[39] = 9, p[37] = 9, p[53] = host_byte;
    p[56] = (uint8_t)(port >> 8), p[57] = (uint8_t)port;
    return 80;
}

static void claimed_ports(void)
{
    uint8_t p[128];
    make_wire("1");
    shell("ip addr add 10.9.0.1/24 dev xa");
    int wire = tap("xb"), kernel = tap("xa");
    struct netdev *d = must_open("mode=skb", NULL);
    CHECK(!d->caps.own_mac);
    static const int families[] = {AF_INET, AF_INET6};
    static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};
    for (int i = 0; i < 4; i++) {
        int family = families[i & 1];
        uint8_t proto = protos[i >> 1], other = protos[!(i >> 1)];
        size_t n = packet(p, family, proto, 1, 6379);
        CHECK(!comes_to_us(d, wire, kernel, p, n));
        CHECK(!d->ops->claim(d, proto, 6379, true));
        CHECK(!d->ops->claim(d, proto, 6379, true)); /* a second listener */
        CHECK(comes_to_us(d, wire, kernel, p, n));
        CHECK(!comes_to_us(d, wire, kernel, p, packet(p, family, proto, 1, 6380)));
        CHECK(!comes_to_us(d, wire, kernel, p, packet(p, family, proto, 1, 0xeb18))); /* 6379 the other way round */
        CHECK(!comes_to_us(d, wire, kernel, p, packet(p, family, other, 1, 6379)));
        CHECK(!d->ops->claim(d, proto, 6379, false));
        n = packet(p, family, proto, 1, 6379);
        CHECK(comes_to_us(d, wire, kernel, p, n));
        CHECK(!d->ops->claim(d, proto, 6379, false));
        CHECK(!comes_to_us(d, wire, kernel, p, n));
        CHECK(d->ops->claim(d, proto, 6379, false) == -ENOENT);
    }
    CHECK(d->ops->claim(d, IPPROTO_ICMP, 1, true) < 0);
    d->ops->close(d);
}

static void high_ports(void)
{
    uint8_t p[128];
    make_wire("1");
    shell("ip addr add 10.9.0.1/24 dev xa; echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range");
    int wire = tap("xb"), kernel = tap("xa");
    struct netdev *d = must_open("mode=skb", NULL);
    CHECK(!d->ops->claim(d, IPPROTO_TCP, 0, true));
    CHECK(!comes_to_us(d, wire, kernel, p, packet(p, AF_INET, IPPROTO_TCP, 1, 60999)));
    CHECK(comes_to_us(d, wire, kernel, p, packet(p, AF_INET, IPPROTO_TCP, 1, 61000)));
    CHECK(comes_to_us(d, wire, kernel, p, packet(p, AF_INET6, IPPROTO_TCP, 1, 65535)));
    CHECK(!comes_to_us(d, wire, kernel, p, packet(p, AF_INET, IPPROTO_UDP, 1, 65535)));
    CHECK(!d->ops->claim(d, IPPROTO_TCP, 0, false));
    CHECK(!comes_to_us(d, wire, kernel, p, packet(p, AF_INET, IPPROTO_TCP, 1, 61000)));
    d->ops->close(d);
}

/* Whatever is cut short or says odd lengths goes to the kernel, or to us where everything does; it never harms. */
static void odd_frames(void)
{
    uint8_t p[128];
    make_wire("1");
    shell("ip addr add 10.9.0.1/24 dev xa");
    int wire = tap("xb"), kernel = tap("xa");
    struct netdev *d = must_open("mode=skb", NULL);
    CHECK(!d->ops->claim(d, IPPROTO_TCP, 80, true));
    size_t n = packet(p, AF_INET, IPPROTO_TCP, 1, 80);
    for (size_t cut = 14; cut < 38; cut++) CHECK(!comes_to_us(d, wire, kernel, p, cut));
    CHECK(comes_to_us(d, wire, kernel, p, 38));
    CHECK(comes_to_us(d, wire, kernel, p, n));
    for (unsigned ihl = 0; ihl < 16; ihl++) {
        p[14] = (uint8_t)(0x40 | ihl);
        /* Behind longer headers the port is 0 here, or does not exist. */
        CHECK(comes_to_us(d, wire, kernel, p, n) == (ihl == 5));
    }
    packet(p, AF_INET, IPPROTO_TCP, 1, 80);
    p[20] = 0x20; /* more fragments */
    CHECK(!comes_to_us(d, wire, kernel, p, n));
    p[20] = 0, p[21] = 7; /* a later one */
    CHECK(!comes_to_us(d, wire, kernel, p, n));
    p[20] = 0x40, p[21] = 0; /* do not fragment */
    CHECK(comes_to_us(d, wire, kernel, p, n));
    n = packet(p, AF_INET6, IPPROTO_TCP, 1, 80);
    for (size_t cut = 14; cut < 62; cut++) CHECK(!comes_to_us(d, wire, kernel, p, cut));
    CHECK(comes_to_us(d, wire, kernel, p, n));
    d->ops->close(d);
}

static void icmp_errors(void)
{
    uint8_t p[128], in[128];
    make_wire("1");
    shell("ip addr add 10.9.0.1/24 dev xa");
    int wire = tap("xb"), kernel = tap("xa");
    struct netdev *d = must_open("mode=skb", NULL);
    CHECK(!d->ops->claim(d, IPPROTO_TCP, 80, true));
    for (int port = 80; port <= 81; port++) {
        bool ours = port == 80;
        packet(p, AF_INET, IPPROTO_ICMP, 1, 0);
        p[34] = 3, p[35] = 4;
        packet(in, AF_INET, IPPROTO_TCP, 2, 9);
        memcpy(p + 42, in + 14, 28);
        p[42 + 20] = 0, p[42 + 21] = (uint8_t)port; /* left from this one */
        CHECK(comes_to_us(d, wire, kernel, p, 70) == ours);
        p[34] = 8; /* an echo request is the kernel's */
        CHECK(!comes_to_us(d, wire, kernel, p, 70));
        packet(p, AF_INET6, IPPROTO_ICMPV6, 1, 0);
        p[54] = 2;
        packet(in, AF_INET6, IPPROTO_TCP, 2, 9);
        memcpy(p + 62, in + 14, 48);
        p[62 + 40] = 0, p[62 + 41] = (uint8_t)port;
        CHECK(comes_to_us(d, wire, kernel, p, 110) == ours);
        p[54] = 128;
        CHECK(!comes_to_us(d, wire, kernel, p, 110));
    }
    d->ops->close(d);
}

static size_t arp(uint8_t *p, uint8_t op, uint8_t from, uint8_t to)
{
    static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
    memset(p, 0, 60);
    memset(p, 2, 12);
    memcpy(p + 12, head, sizeof head);
    p[21] = op;
    const uint8_t a[] = {10, 9, 0, from}, b[] = {10, 9, 0, to};
    memcpy(p + 28, a, 4);
    memcpy(p + 38, b, 4);
    return 60;
}

static size_t neighbour(uint8_t *p, uint8_t type, uint8_t target)
{
    packet(p, AF_INET6, IPPROTO_ICMPV6, 1, 0);
    p[54] = type;
    p[62] = 0xfd, p[63] = 9, p[77] = target;
    return 86;
}

static void ask(struct netdev *d, const uint8_t *p, size_t n)
{
    struct buf *b = buf_take(n);
    memcpy(buf_put_back(b, n), p, n);
    send_one(d, (struct frame){.b = b, .len = (uint32_t)n});
}

static void answers(void)
{
    uint8_t p[128];
    make_wire("1");
    shell("ip addr add 10.9.0.1/24 dev xa");
    int wire = tap("xb"), kernel = tap("xa");
    struct netdev *d = must_open("mode=skb", NULL);
    CHECK(!comes_to_us(d, wire, kernel, p, arp(p, 1, 9, 1))); /* the kernel answers for its address */
    CHECK(!comes_to_us(d, wire, kernel, p, arp(p, 2, 9, 1)));
    ask(d, p, arp(p, 1, 1, 9));
    CHECK(!comes_to_us(d, wire, kernel, p, arp(p, 2, 8, 1))); /* from another */
    CHECK(comes_to_us(d, wire, kernel, p, arp(p, 2, 9, 1)));
    CHECK(!comes_to_us(d, wire, kernel, p, arp(p, 2, 9, 1))); /* the next is the kernel's again */
    CHECK(!comes_to_us(d, wire, kernel, p, neighbour(p, 136, 9)));
    ask(d, p, neighbour(p, 135, 9));
    CHECK(comes_to_us(d, wire, kernel, p, neighbour(p, 136, 9)));
    CHECK(!comes_to_us(d, wire, kernel, p, neighbour(p, 136, 9)));
    d->ops->close(d);
}

static void own_address(void)
{
    uint8_t p[128];
    make_wire("1");
    shell("ip addr add 10.9.0.1/24 dev xa");
    int wire = tap("xb"), kernel = tap("xa");
    struct netdev *d = must_open("mode=skb", "address=10.9.0.2/24, fd09::2/64");
    for (int i = 1; i <= 2; i++) {
        bool ours = i == 2;
        uint8_t to = (uint8_t)i;
        CHECK(comes_to_us(d, wire, kernel, p, packet(p, AF_INET, IPPROTO_TCP, to, 80)) == ours);
        CHECK(comes_to_us(d, wire, kernel, p, packet(p, AF_INET, IPPROTO_ICMP, to, 0)) == ours);
        CHECK(comes_to_us(d, wire, kernel, p, packet(p, AF_INET6, IPPROTO_UDP, to, 80)) == ours);
        CHECK(comes_to_us(d, wire, kernel, p, arp(p, 1, 9, to)) == ours);
        CHECK(comes_to_us(d, wire, kernel, p, arp(p, 2, 9, to)) == ours);
        CHECK(comes_to_us(d, wire, kernel, p, neighbour(p, 135, to)) == ours);
    }
    d->ops->close(d);
}

static void leaves_nothing(void)
{
    uint8_t p[128];
    int pipes[2];
    char ready;
    make_wire("1");
    int wire = tap("xb"), kernel = tap("xa");
    size_t n = packet(p, AF_INET, IPPROTO_TCP, 1, 80);
    CHECK(!pipe(pipes));
    pid_t pid = fork(); /* before the heap or the plug-in have threads or descriptors */
    if (!pid) {
        must_open(NULL, NULL);
        CHECK(write(pipes[1], "x", 1) == 1);
        for (;;) pause();
    }
    CHECK(read(pipes[0], &ready, 1) == 1);
    struct netdev *d;
    CHECK(try_open(&d, "interface=xa", NULL, NULL) == -EBUSY && strstr(why, "xdp off"));
    CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
    d = must_open(NULL, NULL);
    CHECK(comes_to_us(d, wire, kernel, p, n));
    d->ops->close(d);
    for (int i = 0; i < 3; i++) { /* its queue is busy for a while */
        d = must_open(NULL, NULL);
        CHECK(comes_to_us(d, wire, kernel, p, n));
        d->ops->close(d);
    }
    uint8_t got[2048];
    CHECK(send(wire, p, n, 0) == (ssize_t)n);
    nsec start = clock_mono_ns();
    while (recv(kernel, got, sizeof got, 0) != (ssize_t)n) CHECK(clock_mono_ns() - start < PATIENCE);
}

static void sleeping(void)
{
    uint8_t bytes[60];
    make_wire("1");
    int wire = tap("xb");
    struct netdev *d = must_open(NULL, NULL);
    struct pollfd p = {.fd = d->ops->fd(d), .events = POLLIN};
    CHECK(p.fd >= 0 && !d->ops->arm(d));
    CHECK(poll(&p, 1, 0) == 0);
    fill(bytes, sizeof bytes, 1);
    CHECK(send(wire, bytes, sizeof bytes, 0) == sizeof bytes);
    CHECK(poll(&p, 1, 10000) == 1);
    CHECK(d->ops->arm(d) == -EAGAIN);
    struct frame f = next_frame(d);
    buf_unref(f.b);
    CHECK(!d->ops->arm(d) && poll(&p, 1, 0) == 0);
    d->ops->close(d);
}

/* Each open takes the next queue; flows are told apart by the sender's queue. */
static void two_queues(void)
{
    struct netdev *a, *b, *c;
    uint8_t p[128];
    make_wire("2");
    int wire = tap("xb");
    a = must_open("mode=native", NULL);
    b = must_open("mode=native", NULL);
    CHECK(a->caps.queue == 0 && b->caps.queue == 1 && b->caps.queue_count == 2);
    CHECK(try_open(&c, "interface=xa", "mode=native", NULL) == -EBUSY && strstr(why, "combined"));
    unsigned got_a = 0, got_b = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct frame f;
        nsec start = clock_mono_ns();
        size_t n = packet(p, AF_INET, IPPROTO_UDP, 1, (uint16_t)(1000 + i));
        p[35] = (uint8_t)i;
        CHECK(send(wire, p, n, 0) == (ssize_t)n);
        for (;;) {
            if (a->ops->recv(a, &f, 1)) {
                got_a++;
                break;
            }
            if (b->ops->recv(b, &f, 1)) {
                got_b++;
                break;
            }
            CHECK(clock_mono_ns() - start < PATIENCE);
        }
        buf_unref(f.b);
    }
    CHECK(got_a + got_b == 200);
    a->ops->close(a);
    a = must_open("mode=native", NULL);
    CHECK(a->caps.queue == 0);
    a->ops->close(a);
    b->ops->close(b);
}

/* --- running them --- */

CASE(test_bad_settings_are_refused_in_one_line_each, bad_settings)
CASE(test_frames_pass_both_ways_in_native_mode, native)
CASE(test_frames_pass_both_ways_in_generic_mode, generic)
CASE(test_what_cannot_be_sent_is_dropped_and_counted, unsendable)
CASE(test_a_program_that_keeps_bufs_does_not_stop_reception, held_bufs)
CASE(test_bursts_longer_than_the_kernels_are_sent_whole, bursts)
CASE(test_only_claimed_ports_are_ours_on_a_shared_address, claimed_ports)
CASE(test_ports_above_the_kernels_are_claimed_as_one, high_ports)
CASE(test_odd_frames_go_to_the_kernel, odd_frames)
CASE(test_icmp_errors_go_where_their_packet_came_from, icmp_errors)
CASE(test_answers_go_to_who_asked, answers)
CASE(test_an_address_of_our_own_has_all_its_frames, own_address)
CASE(test_neither_close_nor_a_kill_leaves_the_program_behind, leaves_nothing)
CASE(test_the_descriptor_wakes_a_sleeper, sleeping)
CASE(test_each_open_takes_the_next_queue, two_queues)

static const char *cannot_run(void)
{
    if (!find_plugin("xdp")) return "built without libxdp-dev and libbpf-dev";
    if (geteuid()) return "AF_XDP wants root";
    if (system("ip -V >/dev/null 2>&1")) return "apt-get install iproute2";
    fflush(NULL);
    int status = 1;
    pid_t pid = fork();
    if (!pid) _exit(unshare(CLONE_NEWNET) || socket(AF_XDP, SOCK_RAW, 0) < 0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        return "no network namespaces, or no AF_XDP in this kernel";
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const char *lacking = cannot_run();
    if (lacking) {
        printf("1..0 # SKIP %s\n", lacking);
        return 77;
    }
    if (!load_plugin("xdp")) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_settings_are_refused_in_one_line_each),
        cmocka_unit_test(test_frames_pass_both_ways_in_native_mode),
        cmocka_unit_test(test_frames_pass_both_ways_in_generic_mode),
        cmocka_unit_test(test_what_cannot_be_sent_is_dropped_and_counted),
        cmocka_unit_test(test_a_program_that_keeps_bufs_does_not_stop_reception),
        cmocka_unit_test(test_bursts_longer_than_the_kernels_are_sent_whole),
        cmocka_unit_test(test_only_claimed_ports_are_ours_on_a_shared_address),
        cmocka_unit_test(test_ports_above_the_kernels_are_claimed_as_one),
        cmocka_unit_test(test_odd_frames_go_to_the_kernel),
        cmocka_unit_test(test_icmp_errors_go_where_their_packet_came_from),
        cmocka_unit_test(test_answers_go_to_who_asked),
        cmocka_unit_test(test_an_address_of_our_own_has_all_its_frames),
        cmocka_unit_test(test_neither_close_nor_a_kill_leaves_the_program_behind),
        cmocka_unit_test(test_the_descriptor_wakes_a_sleeper),
        cmocka_unit_test(test_each_open_takes_the_next_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

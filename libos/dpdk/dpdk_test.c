/* SPDX-License-Identifier: MIT
 *
 * The dpdk plug-in, loaded as the library loads it, over virtual devices that need no right and no set-up: net_ring
 * (what is sent comes back), net_memif and net_vhost with virtio-user (two ports of one process). EAL starts once a
 * process: each case runs in a child.
 */
#include "libos/plugin_test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "alloc/base/sanitize.h"

static char folder[64];

#if SANITIZE_ADDRESS
/* What DPDK's drivers do not free is not ours to mend: net_virtio forgets 16 bytes of a port that is closed. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:librte_"; }
#endif

/* --- opening --- */

static struct netdev *must_open(const char *a, const char *b, const char *c)
{
    struct netdev *d = NULL;
    int err = try_open(&d, a, b, c);
    if (err) fprintf(stderr, "open: %s: %s\n", strerror(-err), why);
    CHECK(!err);
    return d;
}

static char *device(const char *fmt, const char *file)
{
    static char text[4][256];
    static int at;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    at = (at + 1) % 4;
    /* The formats are literals below. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text[at], sizeof text[at], fmt, path);
#pragma GCC diagnostic pop
    return text[at];
}

#define MEMIF_SERVER "eal=--vdev net_memif0,role=server,socket=%s,socket-abstract=no"
#define MEMIF_CLIENT "eal=--vdev net_memif1,role=client,socket=%s,socket-abstract=no"

/* --- frames --- */

static struct buf *filled(size_t n, uint8_t seed)
{
    struct buf *b = buf_take(n);
    uint8_t *p = buf_put_back(b, n);
    CHECK(p);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(seed + i * 7);
    return b;
}

static struct frame one(size_t n, uint8_t seed) { return (struct frame){.b = filled(n, seed), .len = (uint32_t)n}; }

static void check_bytes(const struct frame *f, uint32_t len, uint8_t seed)
{
    static __thread uint8_t got[1 << 17];
    CHECK(f->len == len);
    CHECK(buf_chain_len(f->b) == len);
    CHECK(buf_chain_copy(f->b, 0, got, len) == len);
    for (uint32_t i = 0; i < len; i++) CHECK(got[i] == (uint8_t)(seed + i * 7));
}

/* The next frame that comes, within PATIENCE. */
static struct frame next_frame(struct netdev *d)
{
    struct frame f;
    nsec start = clock_mono_ns();
    while (!d->ops->recv(d, &f, 1)) CHECK(clock_mono_ns() - start < PATIENCE);
    return f;
}

static void send_one(struct netdev *d, struct frame f)
{
    nsec start = clock_mono_ns();
    while (!d->ops->send(d, &f, 1)) CHECK(clock_mono_ns() - start < PATIENCE);
}

static void try_send(struct netdev *d, struct frame f)
{
    if (!d->ops->send(d, &f, 1)) buf_unref(f.b);
}

/* Two ports are joined by threads of DPDK's: until a frame has come through, frames are lost. */
static void join(struct netdev *from, struct netdev *to)
{
    struct frame f;
    nsec start = clock_mono_ns();
    for (;;) {
        try_send(from, one(60, 1));
        for (int i = 0; i < 1000; i++)
            if (to->ops->recv(to, &f, 1)) goto joined;
        CHECK(clock_mono_ns() - start < PATIENCE);
    }
joined:
    do buf_unref(f.b);
    while (to->ops->recv(to, &f, 1));
}

/* --- the cases, each in a process of its own --- */

static void bad_settings(void)
{
    struct netdev *d;
    static const char *const bad[] = {"mbufs=100",   "mbufs=x",    "queues=0",     "queues=1000",           "mtu=3",
                                      "mtu=1500x",   "rx_ring=-1", "mac=00:11:22", "mac=01:00:5e:00:00:01", "tso=maybe",
                                      "port=nosuch", "port=9",     "rss=2"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(try_open(&d, "eal=--vdev net_ring0", bad[i], NULL) < 0);
        CHECK(strlen(why) > 10 && !strchr(why, '\n'));
    }
    CHECK(try_open(&d, "eal=--vdev net_ring0", "tso=yes", NULL) == -EOPNOTSUPP);
    CHECK(strstr(why, "tso"));
    CHECK(!try_open(&d, "eal=--vdev net_ring0", NULL, NULL)); /* none of them did harm */
    d->ops->close(d);
}

static void no_driver(void)
{
    struct netdev *d;
    CHECK(try_open(&d, "eal=--vdev net_nosuch0", NULL, NULL) == -ENODEV);
    CHECK(strstr(why, "apt-get install"));
    d = must_open("eal=--vdev net_ring0", NULL, NULL);
    d->ops->close(d);
}

static void no_peer(void)
{
    struct netdev *d;
    CHECK(try_open(&d, device(MEMIF_CLIENT, "nobody"), NULL, NULL) < 0);
    CHECK(strstr(why, "nobody"));
}

static void demikernels_list(void)
{
    struct netdev *d;
    const char *settings[] = {"eal_init.0=",
                              "eal_init.1=--vdev",
                              "eal_init.2=net_ring0",
                              "eal_init.3=--no-huge",
                              "eal_init.4=-m",
                              "eal_init.5=64",
                              NULL};
    struct netdev_env env = {.get = get, .arg = settings, .why = why};
    CHECK(!open_plugin(&env, &d));
    d->ops->close(d);
}

static void affinity(void)
{
    cpu_set_t before, after;
    CHECK(!pthread_getaffinity_np(pthread_self(), sizeof before, &before));
    struct netdev *d = must_open("eal=--vdev net_ring0", NULL, NULL);
    CHECK(!pthread_getaffinity_np(pthread_self(), sizeof after, &after));
    CHECK(CPU_EQUAL(&before, &after));
    d->ops->close(d);
}

static void bytes_and_bufs(struct netdev *from, struct netdev *to)
{
    static const uint16_t sizes[] = {60, 61, 128, 255, 256, 257, 512, 1000, 1514};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        send_one(from, one(sizes[i], (uint8_t)i));
        struct frame f = next_frame(to);
        check_bytes(&f, sizes[i], (uint8_t)i);
        CHECK(buf_headroom(f.b) >= 14);
        buf_unref(f.b);
    }
    /* Headers, payload, a tail: one frame of three bufs. */
    struct buf *head = filled(66, 0), *middle = filled(900, (uint8_t)(66 * 7)), *tail = filled(40, (uint8_t)(966 * 7));
    buf_chain_append(head, middle);
    buf_chain_append(head, tail);
    if (from->caps.segs_max < 3) {
        buf_unref(head);
        return;
    }
    send_one(from, (struct frame){.b = head, .len = 1006});
    struct frame f = next_frame(to);
    check_bytes(&f, 1006, 0);
    buf_unref(f.b);
}

static void ring_echo(void)
{
    struct netdev *d = must_open("eal=--vdev net_ring0", NULL, NULL);
    size_t before = heap_used();
    bytes_and_bufs(d, d);
    CHECK(heap_used() == before);
    CHECK(d->n.rx_frames == d->n.tx_frames && d->n.rx_bytes == d->n.tx_bytes && d->n.rx_frames == 10);
    d->ops->close(d);
}

static void unsendable(void)
{
    struct netdev *d = must_open("eal=--vdev net_ring0", NULL, NULL);
    size_t before = heap_used();
    struct frame f[4] = {one(60, 1), one(1519, 2), {.b = buf_take(0)}, one(60, 3)};
    CHECK(d->ops->send(d, f, 4) == 4);
    CHECK(d->n.tx_dropped == 2 && d->n.tx_frames == 2);
    struct frame a = next_frame(d), b = next_frame(d);
    check_bytes(&a, 60, 1);
    check_bytes(&b, 60, 3);
    buf_unref(a.b);
    buf_unref(b.b);
    CHECK(heap_used() == before);
    d->ops->close(d);
}

static void full_ring(void)
{
    enum { N = 3000 };
    struct netdev *d = must_open("eal=--vdev net_ring0", NULL, NULL);
    size_t before = heap_used();
    struct frame f;
    unsigned sent = 0, got = 0;
    for (; sent < N; sent++) {
        f = one(300, (uint8_t)sent);
        if (d->ops->send(d, &f, 1)) continue;
        check_bytes(&f, 300, (uint8_t)sent); /* still the caller's */
        buf_unref(f.b);
        break;
    }
    CHECK(sent > 500 && sent < N);
    CHECK(d->n.tx_full == 1);
    while (d->ops->recv(d, &f, 1)) {
        check_bytes(&f, 300, (uint8_t)got++);
        buf_unref(f.b);
    }
    CHECK(got == sent);
    CHECK(heap_used() == before);
    d->ops->close(d);
}

/* A program that keeps everything: more frames than the pool has mbufs, all of them right, reception never stops. */
static void held_bufs(void)
{
    enum { N = 6000 };
    static struct frame held[N];
    struct netdev *d = must_open("eal=--vdev net_ring0", "mbufs=2047", NULL);
    size_t before = heap_used();
    for (unsigned i = 0; i < N; i++) {
        send_one(d, one(100, (uint8_t)i));
        held[i] = next_frame(d);
    }
    for (unsigned i = 0; i < N; i++) check_bytes(&held[i], 100, (uint8_t)i);
    for (unsigned i = 0; i < N; i += 2) buf_unref(held[i].b);
    d->ops->close(d);
    for (unsigned i = 1; i < N; i += 2) { /* outlive the device */
        check_bytes(&held[i], 100, (uint8_t)i);
        buf_unref(held[i].b);
    }
    CHECK(heap_used() == before);
    for (int i = 0; i < 20; i++) { /* and the pools come back */
        d = must_open("eal=--vdev net_ring0", "mbufs=2047", NULL);
        bytes_and_bufs(d, d);
        d->ops->close(d);
    }
}

static void slices(void)
{
    struct netdev *d = must_open("eal=--vdev net_ring0", NULL, NULL);
    size_t before = heap_used();
    send_one(d, one(1000, 5));
    struct frame f = next_frame(d);
    struct buf *s = buf_slice(f.b, 100, 200);
    buf_unref(f.b);
    for (int i = 0; i < 3000; i++) { /* the mbuf is not used again meanwhile */
        send_one(d, one(1000, 9));
        f = next_frame(d);
        buf_unref(f.b);
    }
    for (unsigned i = 0; i < 200; i++) CHECK(s->data[i] == (uint8_t)(5 + (100 + i) * 7));
    buf_unref(s);
    CHECK(heap_used() == before);
    d->ops->close(d);
}

static void memif_pair(const char *setting)
{
    struct netdev *a = must_open(device(MEMIF_SERVER, "m"), setting, NULL),
                  *b = must_open(device(MEMIF_CLIENT, "m"), setting, NULL);
    CHECK(memcmp(a->caps.mac, b->caps.mac, ETH_ALEN));
    CHECK(a->caps.mtu == 1500 && a->caps.own_mac && a->caps.segs_max > 2);
    join(b, a);
    join(a, b);
    size_t before = heap_used();
    bytes_and_bufs(a, b);
    bytes_and_bufs(b, a);
    CHECK(heap_used() == before);
    a->ops->close(a);
    /* A wire without a peer keeps nothing. */
    nsec start = clock_mono_ns();
    while (!b->n.tx_dropped) {
        try_send(b, one(1000, 0));
        CHECK(clock_mono_ns() - start < PATIENCE);
    }
    CHECK(heap_used() == before);
    b->ops->close(b);
}
static void memif(void) { memif_pair(NULL); }
static void memif_copying(void) { memif_pair("zero_copy=no"); }

/* What is sent again may still be in the device: the same memory in two frames at once. */
static void shared_memory(void)
{
    struct netdev *a = must_open(device(MEMIF_SERVER, "m"), NULL, NULL),
                  *b = must_open(device(MEMIF_CLIENT, "m"), NULL, NULL);
    join(a, b);
    size_t before = heap_used();
    struct buf *payload = filled(1400, 0);
    for (int i = 0; i < 100; i++) {
        send_one(a, (struct frame){.b = buf_ref(payload), .len = 1400});
        send_one(a, (struct frame){.b = buf_slice(payload, 0, 1000), .len = 1000});
        struct frame f = next_frame(b), g = next_frame(b);
        check_bytes(&f, 1400, 0);
        check_bytes(&g, 1000, 0);
        buf_unref(f.b);
        buf_unref(g.b);
    }
    CHECK(buf_is_sole(payload));
    buf_unref(payload);
    CHECK(heap_used() == before);
    a->ops->close(a);
    b->ops->close(b);
}

static void jumbo(void)
{
    struct netdev *a = must_open(device(MEMIF_SERVER, "m"), "mtu=9000", NULL),
                  *b = must_open(device(MEMIF_CLIENT, "m"), "mtu=9000", NULL);
    CHECK(a->caps.mtu == 9000);
    join(a, b);
    size_t before = heap_used();
    send_one(a, one(9014, 3));
    struct frame f = next_frame(b);
    check_bytes(&f, 9014, 3);
    buf_unref(f.b);
    CHECK(heap_used() == before);
    a->ops->close(a);
    b->ops->close(b);
}

/* --- a pair of queues a thread --- */

struct worker {
    pthread_t thread;
    const char *setting;
    pthread_barrier_t *opened, *done;
    uint16_t queue;
};

static unsigned finished;

/* Sends and receives until every worker has received enough: memif carries what is put on queue n to the peer's
 * queue n. */
static void exchange(struct netdev *d, uint8_t seed)
{
    nsec start = clock_mono_ns();
    unsigned got = 0;
    while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < 4) {
        struct frame f[NETDEV_BURST];
        unsigned n = d->ops->recv(d, f, NETDEV_BURST);
        for (unsigned i = 0; i < n; i++) {
            check_bytes(&f[i], 400, seed);
            buf_unref(f[i].b);
        }
        if (got < 100 && got + n >= 100) __atomic_add_fetch(&finished, 1, __ATOMIC_RELEASE);
        got += n;
        try_send(d, one(400, seed));
        CHECK(clock_mono_ns() - start < PATIENCE);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct netdev *d = must_open(w->setting, "queues=2", NULL);
    CHECK(d->caps.queue_count == 2);
    w->queue = d->caps.queue;
    pthread_barrier_wait(w->opened);
    exchange(d, (uint8_t)w->queue);
    pthread_barrier_wait(w->done);
    d->ops->close(d);
    return NULL;
}

static void start_two(struct worker *w, const char *setting, pthread_barrier_t *opened, pthread_barrier_t *done)
{
    pthread_barrier_init(opened, NULL, 3);
    for (int i = 0; i < 2; i++) {
        w[i] = (struct worker){.setting = setting, .opened = opened, .done = done};
        CHECK(!pthread_create(&w[i].thread, NULL, work, &w[i]));
    }
    pthread_barrier_wait(opened);
    CHECK(w[0].queue + w[1].queue == 1);
}

static void two_queues(void)
{
    pthread_barrier_t servers, clients, done;
    struct worker w[4];
    struct netdev *extra;
    char *server = device(MEMIF_SERVER, "m"), *client = device(MEMIF_CLIENT, "m");
    pthread_barrier_init(&done, NULL, 5);
    start_two(w, server, &servers, &done);
    start_two(w + 2, client, &clients, &done);
    CHECK(try_open(&extra, server, "queues=2", NULL) == -EBUSY);
    CHECK(strstr(why, "queues"));
    pthread_barrier_wait(&done);
    for (int i = 0; i < 4; i++) CHECK(!pthread_join(w[i].thread, NULL));
    extra = must_open(server, "queues=2", NULL);
    extra->ops->close(extra);
}

/* --- a server that is replaced by another process --- */

#define ABSTRACT_SERVER "eal=--vdev net_memif0,role=server,socket=%s"
#define ABSTRACT_CLIENT "eal=--vdev net_memif1,role=client,socket=%s"

/* A process that sends back what comes in by two pairs, from the moment it is told to. */
static pid_t echo_process(int *tell)
{
    int ends[2];
    char byte;
    CHECK(!pipe(ends));
    pid_t pid = fork();
    CHECK(pid >= 0);
    *tell = ends[1];
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it polls: it must not outlive a test that fails */
    alarm(60);
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1) _exit(0);
    char *setting = device(ABSTRACT_SERVER, "a");
    struct netdev *pairs[2] = {must_open(setting, "queues=2", NULL), must_open(setting, "queues=2", NULL)};
    for (;;)
        for (unsigned i = 0; i < 2; i++) {
            struct frame f;
            if (pairs[i]->ops->recv(pairs[i], &f, 1)) try_send(pairs[i], f);
        }
}

struct talker {
    pthread_t thread;
    const char *setting;
    unsigned round, heard[3]; /* frames that came back while a round lasted */
    unsigned returned;
};

static void *talk(void *arg)
{
    struct talker *t = arg;
    struct netdev *d = must_open(t->setting, "queues=2", "link_wait=5000");
    nsec start = clock_mono_ns(), looked = start;
    while (__atomic_load_n(&t->round, __ATOMIC_ACQUIRE) < 2) {
        struct frame f;
        char said[NETDEV_WHY_SIZE] = "";
        try_send(d, one(100, 5));
        if (d->ops->recv(d, &f, 1)) {
            __atomic_add_fetch(&t->heard[t->round], 1, __ATOMIC_RELAXED);
            buf_unref(f.b);
        }
        nsec now = clock_mono_ns();
        CHECK(now - start < 3 * PATIENCE);
        if (now - looked < 20 * NSEC_PER_MSEC) continue;
        looked = now;
        d->ops->look(d, said);
        __atomic_store_n(&t->returned, (unsigned)d->n.returned, __ATOMIC_RELEASE);
    }
    d->ops->close(d);
    return NULL;
}

static void wait_until_heard(struct talker *t, unsigned round)
{
    nsec start = clock_mono_ns();
    for (unsigned i = 0; i < 2; i++)
        while (__atomic_load_n(&t[i].heard[round], __ATOMIC_RELAXED) < 100) {
            CHECK(clock_mono_ns() - start < 2 * PATIENCE);
            usleep(1000);
        }
}

static void server_replaced(void)
{
    struct talker t[2] = {{.setting = device(ABSTRACT_CLIENT, "a")}};
    int tell[2], status;
    pid_t servers[2];
    t[1].setting = t[0].setting;
    for (int i = 0; i < 2; i++) servers[i] = echo_process(&tell[i]);
    CHECK(write(tell[0], "", 1) == 1);
    for (int i = 0; i < 2; i++) CHECK(!pthread_create(&t[i].thread, NULL, talk, &t[i]));
    wait_until_heard(t, 0);
    kill(servers[0], SIGKILL);
    CHECK(waitpid(servers[0], &status, 0) == servers[0]);
    for (int i = 0; i < 2; i++) __atomic_store_n(&t[i].round, 1, __ATOMIC_RELEASE);
    usleep(100000); /* what was on its way has come */
    for (int i = 0; i < 2; i++) __atomic_store_n(&t[i].heard[1], 0, __ATOMIC_RELAXED);
    CHECK(write(tell[1], "", 1) == 1);
    wait_until_heard(t, 1);
    CHECK(t[0].returned + t[1].returned >= 1);
    for (int i = 0; i < 2; i++) __atomic_store_n(&t[i].round, 2, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) CHECK(!pthread_join(t[i].thread, NULL));
    kill(servers[1], SIGKILL);
    waitpid(servers[1], &status, 0);
}

/* --- offloads --- */

static void offloads(void)
{
    struct netdev *v = must_open(device("eal=--vdev net_vhost0,iface=%s,queues=1,tso=1", "v"), NULL, NULL);
    struct netdev *u =
        must_open(device("eal=--vdev net_virtio_user0,path=%s,queues=1,queue_size=1024", "v"), "link_wait=2000", NULL);
    CHECK(u->caps.offloads & OFFLOAD_TX_L4_CSUM);
    CHECK(u->caps.offloads & OFFLOAD_TX_TSO);
    CHECK(u->caps.tso_max > 16000);
    join(u, v);
    join(v, u);
    size_t before = heap_used();
    bytes_and_bufs(u, v);
    bytes_and_bufs(v, u);
    /* A TCP segment whose sum is left to the device: the peer is told that the data are right. */
    struct frame f = one(54 + 1000, 0);
    static const uint8_t head[54] = {2,  0, 0, 0, 0, 1,  2, 0, 0, 0,  0, 2, 8,    0,    0x45, 0,   4,
                                     16, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1,    10,   0,    0,   2,
                                     1,  1, 2, 2, 0, 0,  0, 1, 0, 0,  0, 1, 0x50, 0x10, 0xff, 0xff};
    memcpy(f.b->data, head, sizeof head);
    f.flags = FRAME_TX_L4_CSUM;
    f.l2_len = 14, f.l3_len = 20, f.l4_len = 20;
    send_one(u, f);
    f = next_frame(v);
    CHECK(f.len == 1054);
    CHECK(!(f.flags & FRAME_CSUM_BAD));
    CHECK((f.flags & FRAME_L4_CSUM_OK) || f.b->data[50] || f.b->data[51]); /* told, or filled in */
    buf_unref(f.b);
    /* A train of segments in one frame. */
    f = one(54 + 14480, 0);
    memcpy(f.b->data, head, sizeof head);
    f.b->data[16] = (14520 >> 8) & 255, f.b->data[17] = 14520 & 255;
    f.flags = FRAME_TX_L4_CSUM | FRAME_TX_TSO;
    f.tso_mss = 1448;
    f.l2_len = 14, f.l3_len = 20, f.l4_len = 20;
    send_one(u, f);
    uint32_t payload = 0;
    while (payload < 14480) {
        f = next_frame(v);
        static uint8_t got[1 << 16];
        buf_chain_copy(f.b, 0, got, f.len);
        for (uint32_t i = 54; i < f.len; i++) CHECK(got[i] == (uint8_t)((payload + i) * 7));
        payload += f.len - 54;
        buf_unref(f.b);
    }
    CHECK(payload == 14480);
    CHECK(heap_used() == before);
    u->ops->close(u);
    v->ops->close(v);
}

/* --- running them --- */

CASE(test_bad_settings_are_refused_in_one_line_each, bad_settings)
CASE(test_a_missing_driver_is_named_with_its_package, no_driver)
CASE(test_a_memif_client_without_a_server_says_so, no_peer)
CASE(test_demikernels_list_of_eal_arguments_is_read, demikernels_list)
CASE(test_the_threads_affinity_stays_what_it_was, affinity)
CASE(test_frames_come_back_as_they_were_sent, ring_echo)
CASE(test_what_cannot_be_sent_is_dropped_and_counted, unsendable)
CASE(test_a_full_ring_leaves_frames_with_their_owner, full_ring)
CASE(test_a_program_that_keeps_bufs_does_not_stop_reception, held_bufs)
CASE(test_a_slice_keeps_its_mbuf, slices)
CASE(test_memif_carries_frames_both_ways_and_loses_them_without_a_peer, memif)
CASE(test_memif_carries_copies, memif_copying)
CASE(test_memory_may_be_in_two_frames_at_once, shared_memory)
CASE(test_jumbo_frames, jumbo)
CASE(test_each_thread_has_a_pair_of_queues, two_queues)
CASE(test_two_threads_connect_again_when_the_server_is_replaced, server_replaced)
CASE(test_checksums_and_segmentation_go_to_the_device, offloads)

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
#if SANITIZE_THREAD
    printf("1..0 # SKIP the thread sanitizer does not see the locks inside of DPDK\n");
    return 77;
#endif
    if (!find_plugin("dpdk")) {
        printf("1..0 # SKIP built without libdpdk-dev\n");
        return 77;
    }
    if (!load_plugin("dpdk")) return 1;
    strcpy(folder, "/tmp/demi-dpdk-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_settings_are_refused_in_one_line_each),
        cmocka_unit_test(test_a_missing_driver_is_named_with_its_package),
        cmocka_unit_test(test_a_memif_client_without_a_server_says_so),
        cmocka_unit_test(test_demikernels_list_of_eal_arguments_is_read),
        cmocka_unit_test(test_the_threads_affinity_stays_what_it_was),
        cmocka_unit_test(test_frames_come_back_as_they_were_sent),
        cmocka_unit_test(test_what_cannot_be_sent_is_dropped_and_counted),
        cmocka_unit_test(test_a_full_ring_leaves_frames_with_their_owner),
        cmocka_unit_test(test_a_program_that_keeps_bufs_does_not_stop_reception),
        cmocka_unit_test(test_a_slice_keeps_its_mbuf),
        cmocka_unit_test(test_memif_carries_frames_both_ways_and_loses_them_without_a_peer),
        cmocka_unit_test(test_memif_carries_copies),
        cmocka_unit_test(test_memory_may_be_in_two_frames_at_once),
        cmocka_unit_test(test_jumbo_frames),
        cmocka_unit_test(test_each_thread_has_a_pair_of_queues),
        cmocka_unit_test(test_two_threads_connect_again_when_the_server_is_replaced),
        cmocka_unit_test(test_checksums_and_segmentation_go_to_the_device),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (rmdir(folder)) fprintf(stderr, "%s is not empty: some driver left its socket\n", folder);
    return failed;
}

/* SPDX-License-Identifier: MIT
 *
 * The plug-in of RDMA by itself, through libos/msgdev.h: over the double, which fails on demand; or over a real device,
 * whose name VERBS_DEVICE gives with VERBS_ADDRESS (tests/rdma/devices.py, in a guest), without the cases that want
 * failures.
 *
 * Both ends of a connection are ends of one device: whatever is told about either comes out of one poll().
 */
#include "libos/border.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <infiniband/verbs.h>

#include "alloc/heap.h"
#include "tests/rdma/double.h"

#define PATIENCE   (30 * NSEC_PER_SEC)
#define SHARED     64
#define BUF        4096
#define WORD_MARK  0x100
#define LISTENER   0x11
#define CLIENT     0x22
#define SERVER     0x33
#define SEND_DEPTH 16

static msgdev_open_fn open_plugin;
static const struct double_controls *ctl; /* NULL: a real device */
static const char *device, *address;
static struct msgdev *dev;
static char why[256];
static uint8_t *memory; /* of a region: BUF bytes a receive, behind them those for sending */
static unsigned receives_out;

/* What was told and not asked for yet. */
static struct msgdev_completion seen[4096];
static unsigned seen_count;

static const char *get(void *arg, const char *key)
{
    if (!strcmp(key, "device")) return device;
    return NULL;
}

static int try_open(void)
{
    const struct netdev_env env = {.get = get, .why = why};
    const struct msgdev_wants wants = {.shared_depth = SHARED, .pieces_max = 4, .inline_max = 256};
    why[0] = 0;
    return open_plugin(&env, &wants, &dev);
}

static void *at(unsigned i) { return memory + (size_t)i * BUF; }

static struct msgdev_piece piece(const void *p, uint32_t n)
{
    return (struct msgdev_piece){.p = p, .n = n, .cookie = region_cookie(dev->registry, p)};
}

static void post(struct msgdev_request r)
{
    nsec start = clock_mono_ns();
    while (dev->ops->post(dev, &r, 1) != 1) {
        assert_true(clock_mono_ns() - start < PATIENCE);
        assert_true(seen_count < 4000);
        seen_count += dev->ops->poll(dev, seen + seen_count, MSGDEV_BURST);
    }
}

static void post_receive(unsigned i)
{
    struct msgdev_piece p = piece(at(i), BUF);
    post((struct msgdev_request){.word = WORD_MARK + i, .pieces = &p, .piece_count = 1, .verb = MSGDEV_RECEIVE});
    receives_out++;
}

static void send_bytes(struct msgdev_end *end, const void *p, uint32_t n, uint64_t word, uint8_t flags)
{
    struct msgdev_piece pc = piece(p, n);
    post((struct msgdev_request){
        .end = end, .word = word, .pieces = &pc, .piece_count = 1, .verb = MSGDEV_SEND, .flags = flags});
}

static void open_device(void)
{
    assert_int_equal(try_open(), 0);
    if (!memory) memory = heap_alloc((SHARED + 64) * (size_t)BUF);
    assert_non_null(region_cookie(dev->registry, memory));
    receives_out = seen_count = 0;
    for (unsigned i = 0; i < SHARED; i++) post_receive(i);
}

static void close_device(void)
{
    dev->ops->close(dev);
    dev = NULL;
    if (ctl) assert_int_equal(ctl->live(), 0);
}

/* The next that is told of this event (and end; 0: whichever), within PATIENCE; what comes before stays. */
static bool next_within(uint8_t event, uint64_t of, struct msgdev_completion *out, nsec patience)
{
    nsec start = clock_mono_ns();
    for (bool is_late = false;; is_late = clock_mono_ns() - start > patience) {
        for (unsigned i = 0; i < seen_count; i++) {
            if (seen[i].event != event || (of && seen[i].of != of)) continue;
            *out = seen[i];
            memmove(&seen[i], &seen[i + 1], (--seen_count - i) * sizeof *seen);
            if (event == MSGDEV_RECEIVED && out->word >= WORD_MARK && out->word < WORD_MARK + SHARED) receives_out--;
            return true;
        }
        assert_true(seen_count < 4000);
        unsigned more = dev->ops->poll(dev, seen + seen_count, MSGDEV_BURST);
        if (is_late && !more) return false;
        if (!more && !ctl) usleep(200); /* the kernel's device wants a processor, too */
        seen_count += more;
    }
}

static struct msgdev_completion next(uint8_t event, uint64_t of)
{
    struct msgdev_completion c;
    if (!next_within(event, of, &c, PATIENCE)) {
        fprintf(stderr, "no event %u of %llx; there are:", event, (unsigned long long)of);
        for (unsigned i = 0; i < seen_count; i++)
            fprintf(stderr, " %u of %llx (status %u)", seen[i].event, (unsigned long long)seen[i].of, seen[i].status);
        fprintf(stderr, "\n");
        fail();
    }
    return c;
}

static struct sockaddr_in any_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
    return a;
}

static struct msgdev_end *make_listener(struct sockaddr_in *at_out)
{
    struct msgdev_end *l = NULL;
    struct sockaddr_in a = any_port();
    struct sockaddr_storage local;
    assert_int_equal(dev->ops->make(dev, LISTENER, (struct sockaddr *)&a, sizeof a, &l), 0);
    assert_int_equal(dev->ops->listen(dev, l, 8), 0);
    dev->ops->addresses(dev, l, &local, NULL);
    memcpy(at_out, &local, sizeof *at_out);
    assert_int_not_equal(at_out->sin_port, 0);
    return l;
}

static const struct msgdev_params plain = {.send_depth = SEND_DEPTH};

struct pair {
    struct msgdev_end *listener, *client, *server;
    struct sockaddr_in address;
};

static struct msgdev_end *begin_connect(const struct sockaddr_in *to, uint64_t word)
{
    struct msgdev_end *c = NULL;
    assert_int_equal(dev->ops->make(dev, word, NULL, 0, &c), 0);
    assert_int_equal(dev->ops->connect(dev, c, (const struct sockaddr *)to, sizeof *to, &plain), 0);
    return c;
}

static void join(struct pair *p)
{
    p->client = begin_connect(&p->address, CLIENT);
    p->server = next(MSGDEV_REQUESTED, LISTENER).end;
    assert_int_equal(dev->ops->accept(dev, p->server, SERVER, &plain), 0);
    next(MSGDEV_ESTABLISHED, CLIENT);
    next(MSGDEV_ESTABLISHED, SERVER);
}

static struct pair pair_up(void)
{
    struct pair p;
    p.listener = make_listener(&p.address);
    join(&p);
    return p;
}

static void let_go(struct msgdev_end *end, uint64_t word)
{
    dev->ops->release(dev, end);
    next(MSGDEV_RELEASED, word);
}

static void part(struct pair *p)
{
    let_go(p->client, CLIENT);
    let_go(p->server, SERVER);
    let_go(p->listener, LISTENER);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void test_messages_arrive_in_order_both_ways(void **state)
{
    open_device();
    struct pair p = pair_up();
    for (unsigned i = 0; i < 500; i++) {
        struct msgdev_end *from = i & 1 ? p.server : p.client;
        uint8_t *bytes = at(SHARED + i % 8);
        const uint32_t n = 1 + i * 37 % BUF;
        for (uint32_t k = 0; k < n; k++) bytes[k] = (uint8_t)(i + k);
        send_bytes(from, bytes, n, 7, MSGDEV_SIGNALLED);
        struct msgdev_completion c = next(MSGDEV_RECEIVED, i & 1 ? CLIENT : SERVER);
        assert_int_equal(c.status, MSGDEV_OK);
        assert_int_equal(c.len, n);
        const uint8_t *got = at((unsigned)(c.word - WORD_MARK));
        for (uint32_t k = 0; k < n; k++) assert_int_equal(got[k], (uint8_t)(i + k));
        assert_int_equal(next(MSGDEV_SENT, i & 1 ? SERVER : CLIENT).status, MSGDEV_OK);
        post_receive((unsigned)(c.word - WORD_MARK));
    }
    part(&p);
    close_device();
}

/* One signalled request in every four, and never more than send_depth out: no slot is lost. */
static void test_unsignalled_requests_give_their_slots_back(void **state)
{
    open_device();
    struct pair p = pair_up();
    unsigned out = 0;
    for (unsigned i = 0; i < 2000; i++) {
        const bool signalled = i % 4 == 3;
        memcpy(at(SHARED), &i, sizeof i);
        send_bytes(p.client, at(SHARED), sizeof i, i + 1, signalled ? MSGDEV_SIGNALLED : 0);
        out++;
        struct msgdev_completion c = next(MSGDEV_RECEIVED, SERVER);
        assert_memory_equal(at((unsigned)(c.word - WORD_MARK)), &i, sizeof i);
        post_receive((unsigned)(c.word - WORD_MARK));
        while (out >= SEND_DEPTH - 2) {
            assert_int_equal(next(MSGDEV_SENT, CLIENT).status, MSGDEV_OK);
            out -= 4;
        }
    }
    part(&p);
    close_device();
}

static void test_inline_bytes_are_free_at_once(void **state)
{
    open_device();
    struct pair p = pair_up();
    assert_true(dev->caps.inline_max >= 32);
    char text[32] = "not in any region";
    struct msgdev_piece pc = {.p = text, .n = sizeof text};
    post((struct msgdev_request){.end = p.client,
                                 .word = 1,
                                 .pieces = &pc,
                                 .piece_count = 1,
                                 .verb = MSGDEV_SEND,
                                 .flags = MSGDEV_INLINE | MSGDEV_SIGNALLED});
    memset(text, 'x', sizeof text);
    struct msgdev_completion c = next(MSGDEV_RECEIVED, SERVER);
    assert_string_equal(at((unsigned)(c.word - WORD_MARK)), "not in any region");
    part(&p);
    close_device();
}

static void test_pieces_are_one_message(void **state)
{
    open_device();
    struct pair p = pair_up();
    memcpy(at(SHARED), "one", 3);
    memcpy(at(SHARED + 1), "two", 3);
    memcpy(at(SHARED + 2), "three", 6);
    struct msgdev_piece pcs[3] = {piece(at(SHARED), 3), piece(at(SHARED + 1), 3), piece(at(SHARED + 2), 6)};
    post((struct msgdev_request){
        .end = p.server, .word = 5, .pieces = pcs, .piece_count = 3, .verb = MSGDEV_SEND, .flags = MSGDEV_SIGNALLED});
    struct msgdev_completion c = next(MSGDEV_RECEIVED, CLIENT);
    assert_int_equal(c.len, 12);
    assert_string_equal(at((unsigned)(c.word - WORD_MARK)), "onetwothree");
    part(&p);
    close_device();
}

/* A write is there before the message behind it; with a number where the device has that. */
static void test_writes_arrive_before_what_follows(void **state)
{
    open_device();
    struct pair p = pair_up();
    uint8_t *lent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct msgdev_lent l;
    assert_int_equal(dev->ops->lend(dev, lent, 4096, &l), 0);
    memcpy(at(SHARED), "written", 8);
    struct msgdev_piece pc = piece(at(SHARED), 8);
    struct msgdev_request w = {.end = p.client,
                               .word = 9,
                               .pieces = &pc,
                               .piece_count = 1,
                               .verb = MSGDEV_WRITE,
                               .remote_key = l.key,
                               .remote_addr = (uintptr_t)lent + 16};
    post(w);
    send_bytes(p.client, at(SHARED), 1, 10, MSGDEV_SIGNALLED);
    struct msgdev_completion c = next(MSGDEV_RECEIVED, SERVER);
    assert_string_equal(lent + 16, "written");
    post_receive((unsigned)(c.word - WORD_MARK));
    if (dev->caps.immediate) {
        w.verb = MSGDEV_WRITE_IMM;
        w.immediate = 0x12345678;
        w.flags = MSGDEV_SIGNALLED;
        w.remote_addr = (uintptr_t)lent;
        post(w);
        c = next(MSGDEV_RECEIVED, SERVER);
        assert_int_equal(c.flags, MSGDEV_HAS_IMMEDIATE);
        assert_int_equal(c.immediate, 0x12345678);
        assert_int_equal(c.len, 0);
        assert_string_equal(lent, "written");
    }
    part(&p);
    dev->ops->take_back(dev, &l);
    munmap(lent, 4096);
    close_device();
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void test_private_data_cross(void **state)
{
    open_device();
    struct sockaddr_in a;
    struct msgdev_end *c = NULL;
    make_listener(&a);
    struct msgdev_params ask = plain, answer = plain;
    ask.private_data = "hello";
    ask.private_len = 6;
    char long_answer[MSGDEV_ANSWER];
    memset(long_answer, 'a', sizeof long_answer);
    answer.private_data = long_answer;
    answer.private_len = sizeof long_answer;
    assert_int_equal(dev->ops->make(dev, CLIENT, NULL, 0, &c), 0);
    assert_int_equal(dev->ops->connect(dev, c, (struct sockaddr *)&a, sizeof a, &ask), 0);
    struct msgdev_completion r = next(MSGDEV_REQUESTED, LISTENER);
    assert_true(r.private_len >= 6);
    assert_string_equal(r.private_data, "hello");
    assert_int_equal(dev->ops->accept(dev, r.end, SERVER, &answer), 0);
    r = next(MSGDEV_ESTABLISHED, CLIENT);
    assert_true(r.private_len >= sizeof long_answer);
    assert_memory_equal(r.private_data, long_answer, sizeof long_answer);
    struct sockaddr_storage local, peer;
    dev->ops->addresses(dev, c, &local, &peer);
    assert_int_equal(((struct sockaddr_in *)&peer)->sin_port, a.sin_port);
    assert_int_equal(((struct sockaddr_in *)&peer)->sin_addr.s_addr, a.sin_addr.s_addr);
    let_go(c, CLIENT);
    next(MSGDEV_DISCONNECTED, SERVER);
    close_device(); /* with ends that nobody released */
}

static void test_nobody_listens(void **state)
{
    open_device();
    struct sockaddr_in a;
    let_go(make_listener(&a), LISTENER);
    struct msgdev_end *c = begin_connect(&a, CLIENT);
    assert_int_equal(next(MSGDEV_FAILED, CLIENT).status, MSGDEV_REFUSED);
    let_go(c, CLIENT);
    close_device();
}

static void test_rejected(void **state)
{
    open_device();
    struct sockaddr_in a;
    struct msgdev_end *l = make_listener(&a), *c = begin_connect(&a, CLIENT);
    dev->ops->reject(dev, next(MSGDEV_REQUESTED, LISTENER).end, "no", 3);
    struct msgdev_completion r = next(MSGDEV_FAILED, CLIENT);
    assert_int_equal(r.status, MSGDEV_REJECTED);
    assert_true(r.private_len >= 3);
    assert_string_equal(r.private_data, "no");
    let_go(c, CLIENT);
    let_go(l, LISTENER);
    close_device();
}

static void test_a_listener_that_goes_refuses_who_waits(void **state)
{
    open_device();
    struct sockaddr_in a;
    struct msgdev_end *l = make_listener(&a), *c = begin_connect(&a, CLIENT);
    usleep(100000);
    dev->ops->release(dev, l);
    next(MSGDEV_RELEASED, LISTENER);
    next(MSGDEV_FAILED, CLIENT);
    let_go(c, CLIENT);
    close_device();
}

static void test_an_address_in_use(void **state)
{
    open_device();
    struct sockaddr_in a;
    struct msgdev_end *l = make_listener(&a), *again = NULL;
    int err = dev->ops->make(dev, 99, (struct sockaddr *)&a, sizeof a, &again);
    if (!err) err = dev->ops->listen(dev, again, 1);
    assert_int_equal(err, -EADDRINUSE);
    let_go(l, LISTENER);
    close_device();
}

/* What was sent before the end is told before it. */
static void test_the_end_is_told_behind_all_messages(void **state)
{
    open_device();
    struct pair p = pair_up();
    for (unsigned i = 0; i < SEND_DEPTH; i++) send_bytes(p.client, at(SHARED + i), 10, i + 1, MSGDEV_SIGNALLED);
    for (unsigned i = 0; i < SEND_DEPTH; i++) next(MSGDEV_SENT, CLIENT);
    usleep(20000); /* iWARP's SENT is not delivery */
    dev->ops->disconnect(dev, p.client);
    unsigned messages = 0;
    for (bool ended = false; !ended;) {
        if (seen_count == 0) seen_count = dev->ops->poll(dev, seen, MSGDEV_BURST);
        for (unsigned i = 0; i < seen_count; i++) {
            if (seen[i].of != SERVER) continue;
            assert_false(ended);
            messages += seen[i].event == MSGDEV_RECEIVED && seen[i].status == MSGDEV_OK;
            ended = seen[i].event == MSGDEV_DISCONNECTED;
        }
        seen_count = 0;
    }
    assert_int_equal(messages, SEND_DEPTH);
    part(&p);
    close_device();
}

static void test_release_gives_everything_back(void **state)
{
    open_device();
    struct pair p = pair_up();
    for (unsigned i = 0; i < SEND_DEPTH; i++) send_bytes(p.client, at(SHARED + i), 100, i + 1, 0);
    dev->ops->release(dev, p.client);
    dev->ops->release(dev, p.server);
    next(MSGDEV_RELEASED, CLIENT);
    next(MSGDEV_RELEASED, SERVER);
    let_go(p.listener, LISTENER);
    struct msgdev_completion c;
    while (next_within(MSGDEV_RECEIVED, 0, &c, 0)) {
    } /* each with a status, counted */
    for (unsigned i = 0; i < seen_count; i++) assert_int_not_equal(seen[i].event, MSGDEV_BROKEN);
    close_device();
}

/* Hundreds, one after the other and many at once: numbers of queue pairs are used again. */
static void test_ends_come_and_go(void **state)
{
    open_device();
    struct pair p;
    p.listener = make_listener(&p.address);
    for (unsigned i = 0; i < (ctl ? 300 : 10); i++) {
        join(&p);
        send_bytes(p.client, at(SHARED), 4, 1, MSGDEV_SIGNALLED);
        struct msgdev_completion c = next(MSGDEV_RECEIVED, SERVER);
        assert_int_equal(c.status, MSGDEV_OK);
        post_receive((unsigned)(c.word - WORD_MARK));
        next(MSGDEV_SENT, CLIENT);
        let_go(p.client, CLIENT);
        next(MSGDEV_DISCONNECTED, SERVER);
        let_go(p.server, SERVER);
        seen_count = 0;
    }
    struct msgdev_end *clients[50], *servers[50];
    for (unsigned i = 0; i < 50; i++) {
        clients[i] = begin_connect(&p.address, 0x1000 + i);
        servers[i] = next(MSGDEV_REQUESTED, LISTENER).end;
        assert_int_equal(dev->ops->accept(dev, servers[i], 0x2000 + i, &plain), 0);
    }
    for (unsigned i = 0; i < 50; i++) next(MSGDEV_ESTABLISHED, 0x1000 + i);
    for (unsigned i = 0; i < 50; i++) dev->ops->release(dev, clients[i]);
    for (unsigned i = 0; i < 50; i++) next(MSGDEV_DISCONNECTED, 0x2000 + i);
    for (unsigned i = 0; i < 50; i++) dev->ops->release(dev, servers[i]);
    for (unsigned i = 0; i < 50; i++) next(MSGDEV_RELEASED, 0x2000 + i);
    let_go(p.listener, LISTENER);
    close_device();
}

/* --- errors of the other end -------------------------------------------------------------------------------------- */

static void test_a_key_that_was_not_lent(void **state)
{
    open_device();
    struct pair p = pair_up();
    struct msgdev_piece pc = piece(at(SHARED), 8);
    post((struct msgdev_request){.end = p.client,
                                 .word = 9,
                                 .pieces = &pc,
                                 .piece_count = 1,
                                 .verb = MSGDEV_WRITE,
                                 .flags = MSGDEV_SIGNALLED,
                                 .remote_key = 0x31337,
                                 .remote_addr = (uintptr_t)memory});
    if (dev->caps.sent_is_delivered) {
        assert_int_equal(next(MSGDEV_SENT, CLIENT).status, MSGDEV_BAD_ACCESS);
        assert_int_equal(next(MSGDEV_BROKEN, CLIENT).status, MSGDEV_BAD_ACCESS);
    } else { /* who wrote hears nothing but the end */
        struct msgdev_completion c;
        nsec start = clock_mono_ns();
        while (!next_within(MSGDEV_BROKEN, CLIENT, &c, 0) && !next_within(MSGDEV_DISCONNECTED, CLIENT, &c, 0))
            assert_true(clock_mono_ns() - start < PATIENCE);
    }
    part(&p);
    close_device();
}

static void test_a_message_longer_than_its_receive(void **state)
{
    open_device();
    struct pair p = pair_up();
    send_bytes(p.client, at(SHARED), BUF + 1, 9, MSGDEV_SIGNALLED);
    struct msgdev_completion c;
    do c = next(MSGDEV_RECEIVED, SERVER);
    while (c.status == MSGDEV_FLUSHED);
    assert_int_not_equal(c.status, MSGDEV_OK);
    next(MSGDEV_BROKEN, SERVER);
    part(&p);
    close_device();
}

/* --- sleeping ----------------------------------------------------------------------------------------------------- */

static bool sleep_on(int ms)
{
    int err = dev->ops->arm(dev);
    if (err == -EAGAIN) return true;
    assert_int_equal(err, 0);
    struct pollfd fd = {.fd = dev->ops->fd(dev), .events = POLLIN};
    return poll(&fd, 1, ms) == 1;
}

static void test_what_comes_wakes_who_sleeps(void **state)
{
    open_device();
    struct pair p = pair_up();
    for (unsigned i = 0; i < 100; i++) {
        struct msgdev_completion c;
        while (sleep_on(0)) seen_count += dev->ops->poll(dev, seen + seen_count, MSGDEV_BURST);
        seen_count = 0;
        send_bytes(p.client, at(SHARED), 4, 1, MSGDEV_SIGNALLED);
        do {
            assert_true(sleep_on(30000));
        } while (!next_within(MSGDEV_RECEIVED, SERVER, &c, 0));
        post_receive((unsigned)(c.word - WORD_MARK));
        do {
            if (next_within(MSGDEV_SENT, CLIENT, &c, 0)) break;
            assert_true(sleep_on(30000));
        } while (true);
    }
    assert_true(dev->n.interrupts > 0);
    /* And a connection's news, too. */
    while (sleep_on(0)) seen_count += dev->ops->poll(dev, seen + seen_count, MSGDEV_BURST);
    dev->ops->disconnect(dev, p.client);
    struct msgdev_completion c;
    while (!next_within(MSGDEV_DISCONNECTED, SERVER, &c, 0)) assert_true(sleep_on(30000));
    part(&p);
    close_device();
}

/* After arm() there is nothing unread: the library waits for edges. */
static void test_arming_leaves_nothing_unread(void **state)
{
    open_device();
    struct pair p;
    p.listener = make_listener(&p.address);
    while (dev->ops->arm(dev) == -EAGAIN) seen_count += dev->ops->poll(dev, seen + seen_count, MSGDEV_BURST);
    p.client = begin_connect(&p.address, CLIENT); /* it is resolved by now, and nobody has polled */
    struct pollfd fd = {.fd = dev->ops->fd(dev), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 1);
    if (!dev->ops->arm(dev)) assert_int_equal(poll(&fd, 1, 0), 0);
    p.server = next(MSGDEV_REQUESTED, LISTENER).end;
    assert_int_equal(dev->ops->accept(dev, p.server, SERVER, &plain), 0);
    next(MSGDEV_ESTABLISHED, CLIENT);
    next(MSGDEV_ESTABLISHED, SERVER);
    part(&p);
    close_device();
}

/* --- failures on demand: over the double alone -------------------------------------------------------------------- */

static void test_every_status_has_its_name(void **state)
{
    static const struct {
        enum ibv_wc_status theirs;
        enum msgdev_status ours;
    } names[] = {
        {IBV_WC_LOC_LEN_ERR, MSGDEV_TOO_LONG},           {IBV_WC_LOC_QP_OP_ERR, MSGDEV_LOCAL_BROKEN},
        {IBV_WC_LOC_PROT_ERR, MSGDEV_LOCAL_ACCESS},      {IBV_WC_WR_FLUSH_ERR, MSGDEV_FLUSHED},
        {IBV_WC_BAD_RESP_ERR, MSGDEV_FAILED_OTHERWISE},  {IBV_WC_LOC_ACCESS_ERR, MSGDEV_LOCAL_ACCESS},
        {IBV_WC_REM_INV_REQ_ERR, MSGDEV_BAD_REQUEST},    {IBV_WC_REM_ACCESS_ERR, MSGDEV_BAD_ACCESS},
        {IBV_WC_REM_OP_ERR, MSGDEV_PEER_BROKEN},         {IBV_WC_RETRY_EXC_ERR, MSGDEV_PEER_SILENT},
        {IBV_WC_RNR_RETRY_EXC_ERR, MSGDEV_PEER_UNREADY}, {IBV_WC_REM_ABORT_ERR, MSGDEV_PEER_BROKEN},
        {IBV_WC_FATAL_ERR, MSGDEV_LOCAL_BROKEN},         {IBV_WC_GENERAL_ERR, MSGDEV_FAILED_OTHERWISE},
    };
    open_device();
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct pair p = pair_up();
        ctl->next_status(names[i].theirs);
        send_bytes(p.client, at(SHARED), 4, 5, 0); /* failures come unasked for */
        struct msgdev_completion c = next(MSGDEV_SENT, CLIENT);
        assert_int_equal(c.word, 5);
        assert_int_equal(c.status, names[i].ours);
        if (names[i].ours != MSGDEV_FLUSHED) assert_int_equal(next(MSGDEV_BROKEN, CLIENT).status, names[i].ours);
        /* Later ones are flushed, and no news. */
        send_bytes(p.client, at(SHARED), 4, 6, 0);
        assert_int_equal(next(MSGDEV_SENT, CLIENT).status, MSGDEV_FLUSHED);
        part(&p);
        for (unsigned k = 0; k < seen_count; k++) assert_int_not_equal(seen[k].event, MSGDEV_BROKEN);
        seen_count = 0;
    }
    close_device();
}

static const char *const calls[] = {
    "rdma_create_event_channel",
    "rdma_get_devices",
    "rdma_create_id",
    "rdma_bind_addr",
    "rdma_listen",
    "rdma_resolve_addr",
    "rdma_resolve_route",
    "rdma_create_qp",
    "rdma_connect",
    "rdma_accept",
    "ibv_query_device",
    "ibv_query_port",
    "ibv_alloc_pd",
    "ibv_create_cq",
    "ibv_create_comp_channel",
    "ibv_create_srq",
    "ibv_create_qp",
    "ibv_reg_mr",
    "ibv_post_send",
    "ibv_post_recv",
    "ibv_post_srq_recv",
};

/* A life with every call in it, up to where something fails. True: it went through. */
static bool whole_life(void)
{
    struct msgdev_completion c;
    struct msgdev_end *l = NULL, *cl = NULL;
    bool ok = false;
    if (try_open()) {
        assert_int_not_equal(why[0], 0);
        return false;
    }
    struct sockaddr_in a = any_port();
    struct sockaddr_storage local;
    seen_count = receives_out = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct msgdev_piece pc = piece(at(i), BUF);
        if (!pc.cookie) goto end;
        struct msgdev_request r = {.word = WORD_MARK + i, .pieces = &pc, .piece_count = 1, .verb = MSGDEV_RECEIVE};
        dev->ops->post(dev, &r, 1);
    }
    if (dev->ops->make(dev, LISTENER, (struct sockaddr *)&a, sizeof a, &l)) goto end;
    if (dev->ops->listen(dev, l, 8)) goto end;
    dev->ops->addresses(dev, l, &local, NULL);
    if (dev->ops->make(dev, CLIENT, NULL, 0, &cl)) goto end;
    struct msgdev_params own = plain;
    struct msgdev_piece pc = piece(at(9), BUF);
    const struct msgdev_request recv = {.word = 77, .pieces = &pc, .piece_count = 1, .verb = MSGDEV_RECEIVE};
    own.recv_depth = 4;
    own.receives = &recv;
    own.receive_count = 1;
    if (dev->ops->connect(dev, cl, (struct sockaddr *)&local, sizeof a, &own)) goto end;
    if (!next_within(MSGDEV_REQUESTED, LISTENER, &c, NSEC_PER_SEC / 50)) goto end;
    if (dev->ops->accept(dev, c.end, SERVER, &own)) goto end;
    if (!next_within(MSGDEV_ESTABLISHED, CLIENT, &c, NSEC_PER_SEC / 50)) goto end;
    send_bytes(cl, at(SHARED), 4, 5, MSGDEV_SIGNALLED);
    ok = next_within(MSGDEV_RECEIVED, SERVER, &c, NSEC_PER_SEC / 50) && c.status == MSGDEV_OK && c.word == 77;
end:
    close_device();
    return ok;
}

static void test_whatever_fails_leaves_nothing_behind(void **state)
{
    assert_true(whole_life());
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (unsigned nth = 1; nth < 20; nth++) {
            ctl->fail_call(calls[i], nth, ENOMEM);
            whole_life();
            if (!ctl->has_failed()) {
                assert_int_not_equal(nth, 1); /* each is called at all */
                break;
            }
        }
        ctl->fail_call(NULL, 0, 0);
    }
    assert_true(whole_life());
}

static void test_too_little_memory_may_be_locked(void **state)
{
    ctl->fail_call("ibv_reg_mr", 1, ENOMEM);
    assert_int_equal(try_open(), -ENOMEM);
    assert_non_null(strstr(why, "memory"));
    open_device();
    ctl->fail_call("ibv_reg_mr", 1, ENOMEM);
    char *later = heap_alloc(64u << 20); /* a region of its own */
    assert_null(region_cookie(dev->registry, later));
    why[0] = 0;
    dev->ops->look(dev, why);
    assert_int_equal(dev->n.map_refused, 1);
    assert_non_null(strstr(why, "could not be registered"));
    /* It stays: what is freed here would be there for the next device. */
    close_device();
}

/* Neither a lie about what was taken, nor an end: the rest is asked again. */
static void test_a_full_queue_is_no_error(void **state)
{
    open_device();
    struct pair p = pair_up();
    struct msgdev_piece pc = piece(at(SHARED), 4);
    struct msgdev_request r[3];
    for (unsigned i = 0; i < 3; i++)
        r[i] = (struct msgdev_request){.end = p.client,
                                       .word = i + 1,
                                       .pieces = &pc,
                                       .piece_count = 1,
                                       .verb = MSGDEV_SEND,
                                       .flags = MSGDEV_SIGNALLED};
    ctl->fail_call("ibv_post_send", 2, ENOMEM);
    assert_int_equal(dev->ops->post(dev, r, 3), 1);
    assert_int_equal(dev->n.post_full, 1);
    assert_int_equal(dev->ops->post(dev, r + 1, 2), 2);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(next(MSGDEV_SENT, CLIENT).word, i + 1);
    /* Another refusal is that request's end, and the connection's; those beside it are taken. */
    ctl->fail_call("ibv_post_send", 2, EINVAL);
    assert_int_equal(dev->ops->post(dev, r, 3), 3);
    struct msgdev_completion c;
    do c = next(MSGDEV_SENT, CLIENT);
    while (c.word != 2);
    assert_int_equal(c.status, MSGDEV_LOCAL_BROKEN);
    next(MSGDEV_BROKEN, CLIENT);
    part(&p);
    close_device();
}

static void test_a_peer_without_a_receive(void **state)
{
    assert_int_equal(try_open(), 0);
    seen_count = 0;
    struct pair p = pair_up();
    struct msgdev_completion c;
    send_bytes(p.client, at(SHARED), 4, 5, MSGDEV_SIGNALLED);
    if (dev->caps.rnr) { /* waits, with the short timer */
        assert_int_equal(ctl->rnr_timer(), 12);
        assert_false(next_within(MSGDEV_SENT, CLIENT, &c, NSEC_PER_SEC / 100));
        post_receive(0);
        assert_int_equal(next(MSGDEV_RECEIVED, SERVER).status, MSGDEV_OK);
        next(MSGDEV_SENT, CLIENT);
    } else {
        next(MSGDEV_DISCONNECTED, SERVER);
        next(MSGDEV_DISCONNECTED, CLIENT);
    }
    part(&p);
    close_device();
}

/* Requests are under way when their end is let go: everything is back before RELEASED, or its time is up. */
static void test_release_waits_for_what_is_under_way(void **state)
{
    open_device();
    struct pair p = pair_up();
    ctl->hold(true);
    for (unsigned i = 0; i < 8; i++) send_bytes(p.client, at(SHARED), 4, i + 1, 0);
    dev->ops->release(dev, p.client);
    for (unsigned i = 0; i < 8; i++) assert_int_equal(next(MSGDEV_SENT, CLIENT).status, MSGDEV_FLUSHED);
    next(MSGDEV_RELEASED, CLIENT);
    assert_int_equal(dev->n.release_cut, 0);
    ctl->hold(false);
    let_go(p.server, SERVER);
    let_go(p.listener, LISTENER);
    close_device();
}

static void test_asynchronous_errors_of_a_queue_pair(void **state)
{
    open_device();
    struct pair p = pair_up();
    ctl->event(IBV_EVENT_QP_FATAL); /* of the youngest: the server's */
    struct pollfd fd = {.fd = dev->ops->news_fd(dev), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 1);
    dev->ops->look(dev, why);
    struct msgdev_completion c = next(MSGDEV_BROKEN, SERVER);
    assert_int_equal(c.status, MSGDEV_LOCAL_BROKEN);
    assert_int_equal(poll(&fd, 1, 0), 0);
    part(&p);
    close_device();
}

static void test_ports_go_down_and_come_up(void **state)
{
    open_device();
    assert_int_equal(dev->link, NETDEV_UP);
    ctl->port(false);
    dev->ops->look(dev, why);
    assert_int_equal(dev->link, NETDEV_NO_CARRIER);
    ctl->port(true);
    dev->ops->look(dev, why);
    assert_int_equal(dev->link, NETDEV_UP);
    close_device();
}

static void test_a_device_that_is_taken_away(void **state)
{
    open_device();
    struct pair p = pair_up();
    ctl->remove();
    assert_int_equal(next(MSGDEV_BROKEN, CLIENT).status, MSGDEV_GONE);
    assert_int_equal(next(MSGDEV_BROKEN, SERVER).status, MSGDEV_GONE);
    assert_int_equal(next(MSGDEV_BROKEN, LISTENER).status, MSGDEV_GONE);
    assert_int_equal(dev->link, NETDEV_GONE);
    struct msgdev_end *late = NULL;
    assert_int_equal(dev->ops->make(dev, 99, NULL, 0, &late), -ENODEV);
    part(&p);
    close_device();
}

static void test_which_device(void **state)
{
    const char *real = device;
    device = NULL;
    assert_int_equal(try_open(), -EINVAL);
    assert_non_null(strstr(why, "double_siw0"));
    device = "none";
    assert_int_equal(try_open(), -ENODEV);
    assert_non_null(strstr(why, "double_rxe0, double_siw0"));
    device = real;
    ctl->fail_call("rdma_create_event_channel", 1, ENODEV);
    assert_int_equal(try_open(), -ENODEV);
    assert_non_null(strstr(why, "modprobe"));
    assert_int_equal(ctl->live(), 0);
}

/* --- which cases -------------------------------------------------------------------------------------------------- */

#define ON_ANY                                                                                                         \
    cmocka_unit_test(test_messages_arrive_in_order_both_ways),                                                         \
        cmocka_unit_test(test_unsignalled_requests_give_their_slots_back),                                             \
        cmocka_unit_test(test_inline_bytes_are_free_at_once), cmocka_unit_test(test_pieces_are_one_message),           \
        cmocka_unit_test(test_writes_arrive_before_what_follows), cmocka_unit_test(test_private_data_cross),           \
        cmocka_unit_test(test_nobody_listens), cmocka_unit_test(test_rejected),                                        \
        cmocka_unit_test(test_a_listener_that_goes_refuses_who_waits), cmocka_unit_test(test_an_address_in_use),       \
        cmocka_unit_test(test_the_end_is_told_behind_all_messages),                                                    \
        cmocka_unit_test(test_release_gives_everything_back), cmocka_unit_test(test_ends_come_and_go),                 \
        cmocka_unit_test(test_a_key_that_was_not_lent), cmocka_unit_test(test_a_message_longer_than_its_receive),      \
        cmocka_unit_test(test_what_comes_wakes_who_sleeps)

#define ON_THE_DOUBLE                                                                                                  \
    cmocka_unit_test(test_arming_leaves_nothing_unread), cmocka_unit_test(test_every_status_has_its_name),             \
        cmocka_unit_test(test_whatever_fails_leaves_nothing_behind),                                                   \
        cmocka_unit_test(test_too_little_memory_may_be_locked), cmocka_unit_test(test_a_full_queue_is_no_error),       \
        cmocka_unit_test(test_a_peer_without_a_receive), cmocka_unit_test(test_release_waits_for_what_is_under_way),   \
        cmocka_unit_test(test_asynchronous_errors_of_a_queue_pair), cmocka_unit_test(test_ports_go_down_and_come_up),  \
        cmocka_unit_test(test_a_device_that_is_taken_away), cmocka_unit_test(test_which_device)

static bool load(const char *folder)
{
    static const struct msgdev_host host = {registry_add_device, registry_remove_device};
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    for (int i = 0; n > 0 && i < 4; i++) { /* BUILD/tests/tests/rdma/verbs_test */
        path[n] = 0;
        char *end = strrchr(path, '/');
        n = end ? end - path : 0;
    }
    path[n > 0 ? n : 0] = 0;
    snprintf(path + strlen(path), 64, "%s/libdemikernel-rdma.so", folder);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    msgdev_plugin_fn entry = so ? (msgdev_plugin_fn)dlsym(so, MSGDEV_PLUGIN_SYMBOL) : NULL;
    double_controls_fn controls = so ? (double_controls_fn)dlsym(so, "double_controls") : NULL;
    if (!entry) {
        printf("Bail out! %s\n", dlerror());
        return false;
    }
    const struct msgdev_plugin *plugin = entry(&host);
    ctl = controls ? controls() : NULL;
    open_plugin = plugin->open;
    return plugin->abi == MSGDEV_ABI;
}

int main(void)
{
    static const struct CMUnitTest real[] = {ON_ANY}, all[] = {ON_ANY, ON_THE_DOUBLE};
    device = getenv("VERBS_DEVICE");
    address = getenv("VERBS_ADDRESS");
    if (getenv("CMOCKA_TEST_FILTER")) cmocka_set_test_filter(getenv("CMOCKA_TEST_FILTER"));
    if (device && address) return load("") ? cmocka_run_group_tests_name("device", real, NULL, NULL) : 1;
    if (!load("/double")) return 1;
    device = "double_rxe0";
    address = "10.77.0.1";
    int failed = cmocka_run_group_tests_name("rxe", all, NULL, NULL);
    device = "double_siw0";
    address = "10.78.0.1";
    return failed + cmocka_run_group_tests_name("siw", all, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Clients of Valkey's framing (libos/rdma/valkey_wire.h) against a listener of the library, which echoes: over the
 * double, or over a real device, as verbs_test.c. The library has the plug-in's device for itself, as any program; the
 * clients have another opening of it and speak to it as a program over libibverbs would, byte by byte, and some of
 * them what no client says: what ends or leaks in Valkey's own server does neither here.
 */
#include "alloc/base/log.h"
#include "libos/border.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/base/bytes.h"
#include "alloc/heap.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/rdma/valkey_wire.h"
#include "tests/rdma/double.h"

#define PATIENCE   (30 * NSEC_PER_SEC)
#define PEERS      4
#define RECEIVES   16
#define SEND_DEPTH 16
#define SCRATCH    (1u << 20)
#define LENT       16384u /* bytes that a peer's buffer has, at most */
#define OURS       VALKEY_BUFFER_MIN

static msgdev_open_fn open_plugin;
static const struct double_controls *ctl; /* NULL: a real device */
static const char *device, *address;
static unsigned live_before;

/* --- the library's side: an echo ---------------------------------------------------------------------------------- */

static int listener;
static struct sockaddr_in at;
static demi_qtoken_t tokens[1 + 2 * PEERS]; /* the accept, pops, pushes that are waited for */
static unsigned token_count;
static unsigned accepted, ended;
static bool is_quiet; /* it reads and does not answer */
static int last_qd;
static uint64_t popped;

static void wait_too(demi_qtoken_t qt)
{
    assert_true(token_count < sizeof tokens / sizeof *tokens);
    tokens[token_count++] = qt;
}

static void pop(int qd)
{
    demi_qtoken_t qt;
    if (!demi_pop(&qt, qd)) wait_too(qt);
}

static void answer(const demi_qresult_t *qr)
{
    demi_sgarray_t sga = qr->qr_value.sga;
    uint32_t n = sga.sga_segs[0].sgaseg_len;
    popped += n;
    if (!n) {
        ended++;
        demi_sgafree(&sga);
        demi_close(qr->qr_qd);
        return;
    }
    struct iovec iov = {sga.sga_segs[0].sgaseg_buf, n};
    demi_qtoken_t qt;
    if (!is_quiet) demi_pushv(&qt, qr->qr_qd, &iov, 1, DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN);
    demi_sgafree(&sga);
    pop(qr->qr_qd);
}

/* One turn of the library, and what its program does. */
static void serve(void)
{
    static const struct timespec now;
    demi_qresult_t qr;
    int which;
    if (demi_wait_any(&qr, &which, tokens, (int)token_count, &now)) return;
    tokens[which] = tokens[--token_count];
    demi_qtoken_t qt;
    switch (qr.qr_opcode) {
    case DEMI_OPC_ACCEPT:
        accepted++;
        last_qd = qr.qr_value.ares.qd;
        pop(last_qd);
        assert_int_equal(demi_accept(&qt, listener), 0);
        wait_too(qt);
        break;
    case DEMI_OPC_POP: answer(&qr); break;
    case DEMI_OPC_FAILED:
        if (qr.qr_qd == listener) break;
        ended++;
        demi_close(qr.qr_qd);
        break;
    default: break;
    }
}

static uint64_t found;
static void find(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, arg)) found = value;
}
static uint64_t counter(const char *name)
{
    found = UINT64_MAX;
    demi_counters(find, (void *)(uintptr_t)name);
    assert_true(found != UINT64_MAX);
    return found;
}

/* --- the clients' side -------------------------------------------------------------------------------------------- */

struct peer {
    struct msgdev_end *end;
    bool up, over, refused, released;
    uint8_t *base; /* lent to the server: `lent_size` bytes, of which it has written `have` */
    struct msgdev_lent lent;
    uint32_t lent_size, have, writes;
    bool holds;    /* does not lend it anew */
    uint64_t addr; /* of the server's */
    uint32_t key, size, filled;
    unsigned fills, sent, answers;
    uint16_t select;
    uint64_t features;
};

static struct msgdev *dev;
static uint8_t *memory; /* of a region: PEERS x RECEIVES receives, then SCRATCH bytes, then messages */
static struct peer peers[PEERS];

static uint8_t *receive_at(unsigned i) { return memory + (size_t)i * VALKEY_MESSAGE_SIZE; }
static uint8_t *scratch(void) { return receive_at(PEERS * RECEIVES); }
static struct msgdev_piece piece(const void *p, uint32_t n)
{
    return (struct msgdev_piece){.p = p, .n = n, .cookie = region_cookie(dev->registry, p)};
}

static const char *get(void *arg, const char *key) { return strcmp(key, "device") ? NULL : device; }

static void turn(void);

static void post(struct peer *p, struct msgdev_request r)
{
    nsec start = clock_mono_ns();
    r.end = p->end;
    while (dev->ops->post(dev, &r, 1) != 1) {
        assert_true(clock_mono_ns() - start < PATIENCE);
        turn();
    }
}

/* Signalled, and waited for: there is never more than one. */
static void send_and_wait(struct peer *p, struct msgdev_request r)
{
    nsec start = clock_mono_ns();
    unsigned before = p->sent;
    r.word = 1;
    r.flags |= MSGDEV_SIGNALLED;
    post(p, r);
    while (p->sent == before && !p->over) {
        assert_true(clock_mono_ns() - start < PATIENCE);
        turn();
    }
}

static void say(struct peer *p, const void *bytes, uint32_t n)
{
    uint8_t *to = scratch() + SCRATCH;
    memcpy(to, bytes, n);
    struct msgdev_piece pc = piece(to, n);
    send_and_wait(p, (struct msgdev_request){.verb = MSGDEV_SEND, .pieces = &pc, .piece_count = 1});
}

static void say_word(struct peer *p, uint16_t opcode, uint16_t select, uint64_t addr, uint64_t last)
{
    uint8_t b[VALKEY_MESSAGE_SIZE] = {0};
    store_be16(b, opcode);
    store_be16(b + 2, select);
    store_be64(b + 16, addr);
    store_be64(b + 24, last);
    say(p, b, sizeof b);
}

static void lend(struct peer *p)
{
    p->have = 0;
    say_word(p, VALKEY_LENDS, 0, (uintptr_t)p->base, (uint64_t)p->lent_size << 32 | p->lent.key);
}

static void heard(struct peer *p, const uint8_t *b)
{
    if (load_be16(b) == VALKEY_LENDS) {
        p->addr = load_be64(b + 16);
        p->size = load_be32(b + 24);
        p->key = load_be32(b + 28);
        p->filled = 0;
        p->fills++;
    } else if (load_be16(b) == VALKEY_GET_FEATURES) {
        p->answers++;
        p->select = load_be16(b + 2);
        p->features = load_be64(b + 24);
    }
}

static void received(struct peer *p, const struct msgdev_completion *c)
{
    struct msgdev_piece pc = piece(receive_at((unsigned)c->word - 100), VALKEY_MESSAGE_SIZE);
    if (c->status) return;
    if (c->flags & MSGDEV_HAS_IMMEDIATE) {
        p->have += c->immediate;
        p->writes++;
        assert_true(p->have <= p->lent_size);
    } else {
        assert_int_equal(c->len, VALKEY_MESSAGE_SIZE);
        heard(p, pc.p);
    }
    if (!p->over && !p->released)
        post(p, (struct msgdev_request){.word = c->word, .pieces = &pc, .piece_count = 1, .verb = MSGDEV_RECEIVE});
}

static void turn(void)
{
    struct msgdev_completion c[MSGDEV_BURST];
    serve();
    unsigned n = dev->ops->poll(dev, c, MSGDEV_BURST);
    if (!n && !ctl) usleep(100); /* the kernel's device wants a processor, too */
    for (unsigned i = 0; i < n; i++) {
        if (!c[i].of) continue;
        struct peer *p = &peers[c[i].of - 1];
        switch (c[i].event) {
        case MSGDEV_RECEIVED: received(p, &c[i]); break;
        case MSGDEV_SENT: p->sent++; break;
        case MSGDEV_ESTABLISHED: p->up = true; break;
        case MSGDEV_FAILED: p->refused = p->over = true; break;
        case MSGDEV_DISCONNECTED:
        case MSGDEV_BROKEN: p->over = true; break;
        case MSGDEV_RELEASED: p->released = true; break;
        default: break;
        }
    }
}

#define UNTIL(cond)                                                                                                    \
    for (nsec began = clock_mono_ns(); !(cond); turn()) assert_true(clock_mono_ns() - began < PATIENCE)

static struct peer *connect_only(unsigned which, uint32_t lent_size)
{
    struct peer *p = &peers[which];
    struct msgdev_request r[RECEIVES];
    struct msgdev_piece pc[RECEIVES];
    *p = (struct peer){.lent_size = lent_size};
    p->base = mmap(NULL, LENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(dev->ops->lend(dev, p->base, LENT, &p->lent), 0);
    for (unsigned i = 0; i < RECEIVES; i++) {
        pc[i] = piece(receive_at(which * RECEIVES + i), VALKEY_MESSAGE_SIZE);
        r[i] = (struct msgdev_request){
            .word = 100 + which * RECEIVES + i, .pieces = &pc[i], .piece_count = 1, .verb = MSGDEV_RECEIVE};
    }
    const struct msgdev_params params = {
        .send_depth = SEND_DEPTH, .recv_depth = RECEIVES, .receives = r, .receive_count = RECEIVES};
    assert_int_equal(dev->ops->make(dev, which + 1, NULL, 0, &p->end), 0);
    assert_int_equal(dev->ops->connect(dev, p->end, (struct sockaddr *)&at, sizeof at, &params), 0);
    return p;
}

static struct peer *come(unsigned which, uint32_t lent_size)
{
    struct peer *p = connect_only(which, lent_size);
    UNTIL(p->up || p->over);
    assert_true(p->up);
    lend(p);
    UNTIL(p->fills);
    assert_int_equal(p->size, OURS);
    return p;
}

static void go(struct peer *p)
{
    dev->ops->release(dev, p->end);
    UNTIL(p->released);
    dev->ops->take_back(dev, &p->lent);
    munmap(p->base, LENT);
}

/* n bytes of the scratch into the server's buffer, in so many writes of which the last has the number. */
static void write_in(struct peer *p, const uint8_t *from, uint32_t n, unsigned writes, uint32_t immediate)
{
    for (unsigned i = 0; i < writes; i++) {
        uint32_t part = i + 1 < writes ? n / writes : n - (writes - 1) * (n / writes);
        struct msgdev_piece pc = piece(from, part);
        struct msgdev_request r = {.verb = i + 1 < writes ? MSGDEV_WRITE : MSGDEV_WRITE_IMM,
                                   .pieces = &pc,
                                   .piece_count = part ? 1 : 0,
                                   .immediate = immediate,
                                   .remote_addr = p->addr + p->filled,
                                   .remote_key = p->key};
        p->filled += part; /* meanwhile it may be lent anew */
        from += part;
        send_and_wait(p, r);
    }
}

static uint8_t byte_of(uint32_t i) { return (uint8_t)(i * 7 + (i >> 8)); }

/* Sends `total` bytes, at most `most` a write, and checks that they come back. */
static void echo(struct peer *p, uint32_t total, uint32_t most)
{
    uint32_t sent = 0, seen = 0, read = 0;
    assert_true(total <= SCRATCH);
    for (uint32_t i = 0; i < total; i++) scratch()[i] = byte_of(i);
    nsec since = clock_mono_ns();
    while (seen < total) {
        assert_true(clock_mono_ns() - since < PATIENCE);
        assert_false(p->over);
        uint32_t n = total - sent < most ? total - sent : most;
        if (n > p->size - p->filled) n = p->size - p->filled;
        if (n) write_in(p, scratch() + sent, n, 1 + sent % 3, n);
        sent += n;
        turn();
        for (; read < p->have; read++, seen++) assert_int_equal(p->base[read], byte_of(seen));
        if (read == p->lent_size && !p->holds) {
            read = 0;
            lend(p);
        }
    }
    assert_int_equal(seen, total);
    if (p->have) { /* the next begins with a buffer of its own: what is left of this one is filled */
        uint32_t rest = p->lent_size - p->have;
        while (rest && p->size - p->filled < rest) { /* the server's, too, has to have room for that */
            uint32_t n = p->size - p->filled;
            write_in(p, scratch(), n, 1, n);
            rest -= n;
            UNTIL(!p->filled || p->over);
        }
        if (rest) write_in(p, scratch(), rest, 1, rest);
        UNTIL(p->have == p->lent_size);
        lend(p);
    }
}

/* --- a test's beginning and end ----------------------------------------------------------------------------------- */

static int begin(void **state)
{
    const struct netdev_env env = {.get = get, .why = (char[256]){0}};
    const struct msgdev_wants wants = {.shared_depth = 4, .pieces_max = 4, .inline_max = 64};
    int bytes = OURS;
    socklen_t size = sizeof at;
    demi_qtoken_t qt;
    live_before = ctl ? ctl->live() : 0;
    token_count = accepted = ended = 0;
    popped = 0;
    is_quiet = false;
    setenv("LIBOS", "rdma", 1);
    assert_int_equal(demi_init(NULL), 0);
    assert_int_equal(open_plugin(&env, &wants, &dev), 0);
    memory = heap_alloc(PEERS * RECEIVES * VALKEY_MESSAGE_SIZE + SCRATCH + 4096);
    at = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(demi_socket(&listener, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes), 0);
    assert_int_equal(demi_bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(demi_getsockname(listener, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(demi_listen(listener, 8), 0);
    assert_int_equal(demi_accept(&qt, listener), 0);
    wait_too(qt);
    return 0;
}

static int end(void **state)
{
    UNTIL(!counter("rdma.valkey_lent"));
    dev->ops->close(dev);
    heap_free(memory);
    demi_close(listener);
    assert_int_equal(demi_exit(), 0);
    if (ctl) assert_int_equal(ctl->live(), live_before);
    return 0;
}

/* Somebody else is served as before. */
static void check_another(void)
{
    struct peer *p = come(PEERS - 1, 4096);
    echo(p, 1000, 500);
    go(p);
}

/* --- what clients do ---------------------------------------------------------------------------------------------- */

static void test_bytes_come_back_through_buffers_that_fill(void **state)
{
    const uint32_t n = ctl ? 900000 : 150000; /* a guest is slow */
    struct peer *p = come(0, 5000);
    echo(p, n, 7777);
    assert_true(p->fills > n / OURS);
    echo(p, 3, 1);
    echo(p, OURS, OURS);
    go(p);
}

static void test_several_clients_at_once(void **state)
{
    struct peer *p[3] = {come(0, 4096), come(1, 100), come(2, LENT)};
    for (unsigned i = 0; i < 6; i++) echo(p[i % 3], 20000 + i, 3000);
    for (unsigned i = 0; i < 3; i++) go(p[i]);
}

static void test_a_number_may_be_nothing(void **state)
{
    struct peer *p = come(0, 4096);
    for (unsigned i = 0; i < 40; i++) write_in(p, scratch(), 0, 1, 0);
    echo(p, 10, 10);
    go(p);
}

static void test_a_question_is_answered_and_keepalives_are_not(void **state)
{
    struct peer *p = come(0, 4096);
    say_word(p, VALKEY_KEEPALIVE, 0, 0, 0);
    say_word(p, VALKEY_SET_FEATURES, 0, 0, 0);
    say_word(p, VALKEY_GET_FEATURES, 0x1234, 0, 0);
    UNTIL(p->answers || p->over);
    assert_int_equal(p->select, 0x1234);
    assert_true(p->features == 0);
    echo(p, 10, 10);
    assert_int_equal(p->answers, 1);
    go(p);
}

static void test_our_own_framing_comes_to_the_same_listener(void **state)
{
    struct peer *p = come(0, 4096);
    int qd;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    static const struct timespec now;
    assert_int_equal(demi_socket(&qd, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_connect(&qt, qd, (struct sockaddr *)&at, sizeof at), 0);
    UNTIL(!demi_wait(&qr, qt, &now));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_CONNECT);
    UNTIL(accepted == 2);
    struct iovec iov = {(void *)(uintptr_t) "ours", 4};
    assert_int_equal(demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN), 0);
    assert_int_equal(demi_pop(&qt, qd), 0);
    UNTIL(!demi_wait(&qr, qt, &now));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_POP);
    assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, "ours", 4);
    demi_sgafree(&qr.qr_value.sga);
    echo(p, 1000, 100);
    demi_close(qd);
    UNTIL(ended == 1);
    go(p);
}

static void test_who_was_not_asked_to_takes_none(void **state)
{
    int none = 0, wrong = 100;
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &wrong, sizeof wrong), EINVAL);
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &none, sizeof none), 0);
    struct peer *p = connect_only(0, 4096);
    UNTIL(p->over);
    assert_true(p->refused);
    go(p);
    assert_true(counter("rdma.foreign") == 1);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void test_what_was_written_is_read_although_the_client_has_gone(void **state)
{
    struct peer *p = come(0, 4096);
    is_quiet = true;
    write_in(p, scratch(), 50000, 1, 50000);
    dev->ops->disconnect(dev, p->end);
    UNTIL(ended == 1);
    assert_int_equal(popped, 50000);
    go(p);
}

static void test_a_close_waits_for_what_was_pushed(void **state)
{
    struct peer *p = come(0, 1000);
    uint32_t n = 300000, seen = 0;
    char *bytes = demi_malloc(n);
    for (uint32_t i = 0; i < n; i++) bytes[i] = (char)byte_of(i);
    struct iovec iov = {bytes, n};
    demi_qtoken_t qt;
    UNTIL(accepted == 1);
    assert_int_equal(demi_pushv(&qt, last_qd, &iov, 1, DEMI_PUSH_NO_TOKEN), 0);
    demi_free(bytes);
    demi_close(last_qd);
    for (nsec since = clock_mono_ns(); seen < n; turn()) {
        assert_true(clock_mono_ns() - since < PATIENCE);
        if (p->have < p->lent_size && seen + p->have < n) continue;
        for (uint32_t i = 0; i < p->have; i++) assert_int_equal(p->base[i], byte_of(seen + i));
        seen += p->have;
        if (seen < n) lend(p);
    }
    UNTIL(p->over);
    go(p);
}

static void test_shutdown_ends_both_halves_behind_the_last_byte(void **state)
{
    struct peer *p = come(0, 4096);
    struct iovec iov = {(void *)(uintptr_t) "bye", 3};
    demi_qtoken_t qt;
    UNTIL(accepted == 1);
    assert_int_equal(demi_pushv(&qt, last_qd, &iov, 1, DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN), 0);
    assert_int_equal(demi_shutdown(last_qd, SHUT_WR), 0);
    UNTIL(p->over);
    assert_int_equal(p->have, 3);
    assert_memory_equal(p->base, "bye", 3);
    UNTIL(ended == 1);
    go(p);
}

/* The writer waits; nothing is lost when the buffer comes. */
static void test_a_client_that_does_not_lend_anew_is_waited_for(void **state)
{
    struct peer *p = come(0, 64);
    p->holds = true;
    write_in(p, scratch(), 200, 1, 200);
    UNTIL(p->have == 64);
    for (unsigned i = 0; i < 100; i++) turn();
    assert_int_equal(p->have, 64);
    for (unsigned i = 0; i < 3; i++) {
        lend(p);
        UNTIL(p->have == (i < 2 ? 64 : 8));
    }
    go(p);
    check_another();
}

/* --- what ends or leaks in Valkey's server ------------------------------------------------------------------------ */

static void is_cut_off(struct peer *p)
{
    UNTIL(p->over);
    go(p);
    check_another();
}

static void test_a_number_beyond_the_buffer_ends_that_client(void **state)
{
    static const uint32_t numbers[] = {OURS + 1, UINT32_MAX, 0x80000000};
    for (unsigned i = 0; i < 3; i++) {
        struct peer *p = come(0, 4096);
        write_in(p, scratch(), 1, 1, numbers[i]);
        is_cut_off(p);
    }
    struct peer *p = come(0, 4096); /* and one that is, with what was there */
    is_quiet = true;
    write_in(p, scratch(), 1000, 1, 1000);
    write_in(p, scratch(), 1, 1, OURS);
    is_quiet = false;
    is_cut_off(p);
    assert_true(counter("rdma.protocol_errors") == 4);
}

static unsigned lines;
static void hear(void *arg, int level, const char *text) { lines += level >= LOG_NOTICE_LEVEL; }

/* A client that does so over and over does not fill the log: a few lines a second, however many seconds it takes. */
static void test_the_log_is_not_theirs(void **state)
{
    enum { TIMES = 50 };
    const uint64_t begin = demi_clock_ns();
    log_set_default(&(struct log){.level = LOG_NOTICE_LEVEL, .sink = hear});
    lines = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        struct peer *p = come(0, 4096);
        write_in(p, scratch(), 1, 1, OURS + 1);
        UNTIL(p->over);
        go(p);
    }
    log_set_default(NULL);
    assert_true(counter("rdma.protocol_errors") == TIMES);
    assert_true(lines > 0);
    assert_true(lines <= LOG_BUDGET * (2 + (demi_clock_ns() - begin) / 1000000000u));
}

static void test_a_buffer_of_four_gigabytes_costs_nothing(void **state)
{
    struct peer *p = connect_only(0, 4096);
    UNTIL(p->up);
    say_word(p, VALKEY_LENDS, 0, (uintptr_t)p->base, (uint64_t)UINT32_MAX << 32 | p->lent.key);
    UNTIL(p->fills);
    size_t before = demi_mem_used();
    write_in(p, scratch(), 100, 1, 100);
    UNTIL(p->have == 100);
    assert_true(demi_mem_used() < before + 100000);
    go(p);
    check_another();
}

static void test_a_changed_length_is_taken_between_fills(void **state)
{
    struct peer *p = come(0, 100);
    write_in(p, scratch(), 1000, 1, 1000);
    UNTIL(p->have == 100);
    p->lent_size = 500;
    lend(p);
    UNTIL(p->have == 500);
    p->lent_size = 50;
    lend(p);
    UNTIL(p->have == 50);
    p->lent_size = 4096;
    lend(p);
    UNTIL(p->have == 350);
    go(p);
}

static void test_another_buffer_before_the_first_is_full_ends_that_client(void **state)
{
    struct peer *p = come(0, 4096);
    lend(p);
    is_cut_off(p);
}

static void test_messages_that_are_none_end_that_client(void **state)
{
    uint8_t zeros[VALKEY_MESSAGE_SIZE] = {0};
    for (unsigned i = 0; i < 5; i++) {
        struct peer *p = come(0, 4096);
        if (i == 0) say(p, zeros, VALKEY_MESSAGE_SIZE - 1);
        if (i == 1) say_word(p, 4, 0, 0, 0);
        if (i == 2) say_word(p, 0xffff, 0, 0, 0);
        if (i == 3) say_word(p, VALKEY_SET_FEATURES, 0, 0, 1);
        if (i == 4) say(p, memory, 1000);
        is_cut_off(p);
    }
}

/* Our own write fails, and with it this connection. */
static void test_memory_that_was_not_lent_ends_that_client(void **state)
{
    struct peer *p = connect_only(0, 4096);
    UNTIL(p->up);
    say_word(p, VALKEY_LENDS, 0, 4096, (uint64_t)4096 << 32 | (p->lent.key ^ 0x5555));
    UNTIL(p->fills);
    write_in(p, scratch(), 10, 1, 10);
    UNTIL(p->over || ended);
    go(p);
    check_another();
}

static void test_a_client_that_vanishes_before_it_is_accepted(void **state)
{
    for (unsigned i = 0; i < (ctl ? 30 : 6); i++) {
        struct peer *p = connect_only(0, 4096);
        for (unsigned k = 0; k < i % 6; k++) turn();
        go(p);
    }
    check_another();
}

static void test_nothing_is_kept_of_a_connection_that_has_ended(void **state)
{
    struct peer *p = come(0, 4096);
    go(p);
    UNTIL(!counter("rdma.valkey_lent"));
    unsigned live = ctl ? ctl->live() : 0;
    size_t used = demi_mem_used();
    const unsigned n = ctl ? 100 : 8;
    for (unsigned i = 0; i < n; i++) {
        p = come(0, 4096);
        if (i & 1) echo(p, 10000, 5000);
        go(p);
        UNTIL(!counter("rdma.valkey_lent"));
    }
    UNTIL(ended == n + 1);
    if (ctl) assert_int_equal(ctl->live(), live);
    assert_true(demi_mem_used() <= used + 65536);
}

/* Without a password, a peer costs its buffer from the first moment. */
static void test_strangers_have_a_bound(void **state)
{
    const int most = 2 * (int)OURS, on = 1;
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_STRANGERS, &most, sizeof most), 0);
    struct peer *known = come(0, 4096);
    UNTIL(accepted == 1);
    int qd = last_qd;
    struct peer *old = come(1, 4096);
    assert_int_equal(counter("rdma.strangers_lent"), 2 * OURS);
    struct peer *p = connect_only(2, 4096);
    UNTIL(p->up || p->over);
    assert_true(p->refused);
    go(p);
    assert_int_equal(counter("rdma.strangers_refused"), 1);
    assert_int_equal(demi_setsockopt(qd, DEMI_SOL_RDMA, DEMI_RDMA_TRUSTED, &on, sizeof on), 0);
    assert_int_equal(counter("rdma.strangers_lent"), OURS);
    struct peer *young = come(2, 4096); /* there is room again */
    assert_int_equal(counter("rdma.strangers_cut"), 0);
    usleep(1100000); /* from now on the oldest may go, and does when somebody comes */
    p = connect_only(3, 4096);
    UNTIL(p->up || p->over);
    go(p);
    UNTIL(old->over);
    go(old);
    UNTIL(counter("rdma.strangers_lent") <= OURS);
    assert_true(counter("rdma.strangers_cut") > 0);
    check_another();
    echo(known, 1000, 500); /* who is trusted was never in question */
    go(known);
    go(young);
}

static void test_what_is_said_of_strangers_is_checked(void **state)
{
    int v = -1, got;
    socklen_t n = sizeof got;
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_STRANGERS, &v, sizeof v), EINVAL);
    v = 1;
    assert_int_equal(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_TRUSTED, &v, sizeof v), ENOTCONN);
    struct peer *p = come(0, 4096);
    UNTIL(accepted == 1);
    assert_int_equal(demi_setsockopt(last_qd, DEMI_SOL_RDMA, DEMI_RDMA_STRANGERS, &v, sizeof v), EISCONN);
    assert_int_equal(demi_setsockopt(last_qd, DEMI_SOL_RDMA, DEMI_RDMA_TRUSTED, &v, sizeof v), 0);
    assert_int_equal(demi_getsockopt(last_qd, DEMI_SOL_RDMA, DEMI_RDMA_TRUSTED, &got, &n), 0);
    assert_int_equal(got, 1);
    v = 0;
    assert_int_equal(demi_setsockopt(last_qd, DEMI_SOL_RDMA, DEMI_RDMA_TRUSTED, &v, sizeof v), EINVAL);
    go(p);
}

/* --- main --------------------------------------------------------------------------------------------------------- */

static bool load(const char *folder)
{
    static const struct msgdev_host host = {registry_add_device, registry_remove_device};
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    for (int i = 0; n > 0 && i < 4; i++) { /* BUILD/tests/tests/rdma/valkey_test */
        path[n] = 0;
        char *slash = strrchr(path, '/');
        n = slash ? slash - path : 0;
    }
    path[n > 0 ? n : 0] = 0;
    strcat(path, folder);
    setenv("DEMI_PLUGIN_PATH", path, 1);
    strcat(path, "/libdemikernel-rdma.so");
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

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    /* A guest is slow: there those that need a device of its own mind, and not each way to be cut off. */
    static const struct CMUnitTest on_any[] = {
        CASE(test_bytes_come_back_through_buffers_that_fill),
        CASE(test_a_number_may_be_nothing),
        CASE(test_a_question_is_answered_and_keepalives_are_not),
        CASE(test_our_own_framing_comes_to_the_same_listener),
        CASE(test_a_close_waits_for_what_was_pushed),
        CASE(test_the_log_is_not_theirs),
        CASE(test_a_buffer_of_four_gigabytes_costs_nothing),
        CASE(test_memory_that_was_not_lent_ends_that_client),
        CASE(test_a_client_that_vanishes_before_it_is_accepted),
    };
    static const struct CMUnitTest all[] = {
        CASE(test_bytes_come_back_through_buffers_that_fill),
        CASE(test_several_clients_at_once),
        CASE(test_a_number_may_be_nothing),
        CASE(test_a_question_is_answered_and_keepalives_are_not),
        CASE(test_our_own_framing_comes_to_the_same_listener),
        CASE(test_who_was_not_asked_to_takes_none),
        CASE(test_what_was_written_is_read_although_the_client_has_gone),
        CASE(test_a_close_waits_for_what_was_pushed),
        CASE(test_shutdown_ends_both_halves_behind_the_last_byte),
        CASE(test_a_client_that_does_not_lend_anew_is_waited_for),
        CASE(test_a_number_beyond_the_buffer_ends_that_client),
        CASE(test_a_buffer_of_four_gigabytes_costs_nothing),
        CASE(test_a_changed_length_is_taken_between_fills),
        CASE(test_another_buffer_before_the_first_is_full_ends_that_client),
        CASE(test_messages_that_are_none_end_that_client),
        CASE(test_memory_that_was_not_lent_ends_that_client),
        CASE(test_a_client_that_vanishes_before_it_is_accepted),
        CASE(test_nothing_is_kept_of_a_connection_that_has_ended),
        CASE(test_strangers_have_a_bound),
        CASE(test_what_is_said_of_strangers_is_checked),
    };
    device = getenv("VERBS_DEVICE");
    address = getenv("VERBS_ADDRESS");
    bool is_real = device && address;
    if (getenv("CMOCKA_TEST_FILTER")) cmocka_set_test_filter(getenv("CMOCKA_TEST_FILTER"));
    if (!load(is_real ? "" : "/double")) return 1;
    if (!is_real) {
        device = "double_rxe0";
        address = "10.77.0.1";
    }
    setenv("DEVICE", device, 1);
    unsetenv("ADDRESS");
    return is_real ? cmocka_run_group_tests(on_any, NULL, NULL) : cmocka_run_group_tests(all, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * What a message costs from the device's completion to the program's token, and from the program's push to the posted
 * request: libos/rdma and the plug-in together, over the double of libibverbs (tests/rdma), in one thread. 32
 * connections echo messages of 64 bytes; both halves of each round trip are measured.
 *
 *     receive    the libOS's poll, until 32 pops are completed: completions taken, heads read, receives posted again
 *     send       demi_pushv() on each of 32 connections (a copy, no token), and the flush: 32 requests posted
 *     valkey     before either: the same in Valkey's framing
 *
 * The double copies bytes, allocates and takes locks, so times say nothing and none are taken; what is counted is
 * instructions, less those of the double:
 *
 *     DEMI_PLUGIN_PATH=build/double DEVICE=double_rxe0 valgrind --tool=callgrind --toggle-collect=measured \
 *         build/bench/rdma_bench 300 [receive | send | valkey-receive | valkey-send]
 *
 * tools/bench/rdma.py does that, and subtracts.
 */
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/runtime/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST   32
#define PAYLOAD 64
#define LENT    (1 << 20) /* more than all rounds push */
#define ROUNDS  5000

static int qds[2][BURST]; /* of those who connected, of those who accepted */
static demi_qtoken_t pops[2][BURST];
static struct libos *libos;
static char payload[PAYLOAD];
static const struct timespec patience = {10, 0};

static void must(int err, const char *what)
{
    if (!err) return;
    fprintf(stderr, "rdma_bench: %s: %s\n", what, strerror(err));
    exit(1);
}

static void set_up(bool valkey)
{
    int listener, bytes = valkey ? LENT : 0;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(demi_socket(&listener, AF_INET, SOCK_STREAM, 0), "socket");
    must(demi_setsockopt(listener, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes), "setsockopt");
    must(demi_bind(listener, (struct sockaddr *)&at, sizeof at), "bind");
    must(demi_listen(listener, BURST), "listen");
    for (unsigned i = 0; i < BURST; i++) {
        demi_qtoken_t both[2];
        demi_qresult_t r;
        must(demi_socket(&qds[0][i], AF_INET, SOCK_STREAM, 0), "socket");
        must(demi_setsockopt(qds[0][i], DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes), "setsockopt");
        must(demi_accept(&both[0], listener), "accept");
        must(demi_connect(&both[1], qds[0][i], (struct sockaddr *)&at, sizeof at), "connect");
        must(demi_wait(&r, both[1], &patience), "connect");
        must(demi_wait(&r, both[0], &patience), "accept");
        qds[1][i] = r.qr_value.ares.qd;
    }
    must(demi_close(listener), "close");
    libos = runtime_current()->libos[0];
}

enum half { RECEIVE, SEND };

static void push_all(unsigned side)
{
    struct iovec v = {payload, PAYLOAD};
    demi_qtoken_t none;
    for (unsigned i = 0; i < BURST; i++)
        must(demi_pushv(&none, qds[side][i], &v, 1, DEMI_PUSH_NO_TOKEN | DEMI_PUSH_HANDED_OVER), "push");
}

static void measured(enum half what, unsigned side)
{
    if (what == RECEIVE) {
        libos->ops->poll(libos);
    } else {
        push_all(side);
        libos->ops->flush(libos);
    }
}

static void (*volatile const run)(enum half what, unsigned side) = measured; /* neither inlined nor specialised */

static void pop_all(unsigned side)
{
    for (unsigned i = 0; i < BURST; i++) must(demi_pop(&pops[side][i], qds[side][i]), "pop");
}

static void take_all(unsigned side)
{
    for (unsigned i = 0; i < BURST; i++) {
        demi_qresult_t r;
        must(demi_wait(&r, pops[side][i], &patience), "wait");
        if (r.qr_opcode != DEMI_OPC_POP || r.qr_value.sga.sga_segs[0].sgaseg_len != PAYLOAD) must(EPROTO, "an echo");
        demi_sgafree(&r.qr_value.sga);
    }
}

/* One side's messages arrive at the other; the half that was asked for is measured. */
static void cross(enum half what, unsigned from)
{
    struct runtime *rt = runtime_current();
    uint64_t completed;
    pop_all(!from);
    if (what == SEND) {
        run(SEND, from);
    } else {
        push_all(from);
        runtime_flush(rt);
        completed = rt->ops.completed;
        run(RECEIVE, !from);
        if (rt->ops.completed - completed != BURST) must(EPROTO, "not all in one poll");
    }
    take_all(!from);
}

static void warm_up(unsigned from)
{
    pop_all(!from);
    push_all(from);
    take_all(!from);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    const char *only = argc > 2 ? argv[2] : "receive";
    bool valkey = !strncmp(only, "valkey-", 7);
    enum half what = strcmp(only + (valkey ? 7 : 0), "send") ? RECEIVE : SEND;
    memset(payload, 'x', sizeof payload);
    setenv("LIBOS", "rdma", 1);
    if (!getenv("DEVICE") || strncmp(getenv("DEVICE"), "double_", 7)) {
        puts("over the double only: see its first lines");
        return 0;
    }
    must(demi_init(NULL), "init");
    set_up(valkey);
    if (rounds > ROUNDS) rounds = ROUNDS;
    warm_up(0);
    warm_up(1);
    for (unsigned i = 0; i < rounds; i++) {
        cross(what, 0);
        cross(what, 1);
    }
    printf("%u messages\n", rounds * 2 * BURST);
    return demi_exit();
}

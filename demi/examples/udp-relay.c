/* SPDX-License-Identifier: MIT
 *
 * Datagrams of any number of clients, on whatever device, to one UDP service and back.
 *
 *     client A ==\                    /== socket A ==\
 *                 === listening socket                === service
 *     client B ==/                    \== socket B ==/
 *
 * Each client has a socket of his own towards the service, so that an answer finds its way back. There are PEERS of
 * them; whoever has been silent for longest makes room for who comes. What the next socket does not take is lost, as
 * it is anywhere else on the way. Usage: udp-relay ADDR PORT SERVICE_ADDR SERVICE_PORT
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>

#define PEERS 64
#define BATCH 32

struct peer {
    int qd; /* to the service */
    int is_open;
    demi_qtoken_t pop;
    struct sockaddr_in addr; /* the client's */
    unsigned long used;      /* when it was heard of last, in datagrams */
};

static struct peer peers[PEERS];
static unsigned long heard;

static int udp_socket(const struct sockaddr_in *addr)
{
    int qd;
    MUST(demi_socket(&qd, AF_INET, SOCK_DGRAM, 0));
    MUST(demi_bind(qd, (const struct sockaddr *)addr, sizeof *addr));
    return qd;
}

/* The client's; a new one takes a free place, or the one that was used before all others. */
static struct peer *peer_of(const struct sockaddr_in *addr)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    struct peer *oldest = &peers[0];
    for (struct peer *p = peers; p < peers + PEERS; p++) {
        if (p->is_open && p->addr.sin_addr.s_addr == addr->sin_addr.s_addr && p->addr.sin_port == addr->sin_port)
            return p;
        if (p->used < oldest->used) oldest = p;
    }
    if (oldest->is_open) MUST(demi_close(oldest->qd)); /* its pop fails, and is nobody's by then */
    oldest->addr = *addr;
    oldest->qd = udp_socket(&any);
    oldest->is_open = 1;
    MUST(demi_pop(&oldest->pop, oldest->qd));
    return oldest;
}

static struct peer *peer_that_popped(demi_qtoken_t qt)
{
    for (struct peer *p = peers; p < peers + PEERS; p++)
        if (p->is_open && p->pop == qt) return p;
    return NULL;
}

/* UDP may drop: nobody asks how the push ended. */
static void pass_on(int qd, demi_sgarray_t *sga, const struct sockaddr_in *to)
{
    demi_qtoken_t qt;
    if (sga->sga_segs[0].sgaseg_len > 0) demi_pushto(&qt, qd, sga, (const struct sockaddr *)to, sizeof *to);
}

static void relay(int listener, const struct sockaddr_in *service)
{
    demi_qtoken_t qt;
    for (int i = 0; i < BATCH; i++) MUST(demi_pop(&qt, listener));
    for (;;) {
        demi_qresult_t results[BATCH];
        int count = 0;
        MUST(demi_wait_batch(results, BATCH, &count, NULL));
        for (int i = 0; i < count; i++) {
            demi_qresult_t *r = &results[i];
            demi_sgarray_t *sga = &r->qr_value.sga;
            int is_data = r->qr_opcode == DEMI_OPC_POP;
            struct peer *p = r->qr_opcode == DEMI_OPC_PUSH ? NULL : peer_that_popped(r->qr_qt);
            if (p) {
                if (is_data) pass_on(listener, sga, &p->addr);
                MUST(demi_pop(&p->pop, p->qd));
            } else if (is_data && r->qr_qd == listener) {
                struct sockaddr_in from = sga->sga_addr;
                p = peer_of(&from);
                p->used = ++heard;
                pass_on(p->qd, sga, service);
            }
            if (is_data) demi_sgafree(sga);
            if (r->qr_opcode != DEMI_OPC_PUSH && r->qr_qd == listener) MUST(demi_pop(&qt, listener));
        }
    }
}

int main(int argc, char *const argv[])
{
    struct sockaddr_in ends[2] = {0}; /* ours, and the service's */
    struct demi_args args = {argc, argv, NULL};
    for (int i = 0; i < 2; i++) {
        if (argc != 5 || inet_pton(AF_INET, argv[1 + 2 * i], &ends[i].sin_addr) != 1) {
            fprintf(stderr, "usage: %s ADDR PORT SERVICE_ADDR SERVICE_PORT\n", argv[0]);
            return 1;
        }
        ends[i].sin_family = AF_INET;
        ends[i].sin_port = htons((unsigned short)strtoul(argv[2 + 2 * i], NULL, 10));
    }
    MUST(demi_init(&args));
    relay(udp_socket(&ends[0]), &ends[1]);
}

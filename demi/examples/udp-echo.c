/* SPDX-License-Identifier: MIT
 *
 * A UDP echo server for any number of clients, and a client that counts what came back.
 *
 * A popped datagram carries its sender in sga_addr. The server keeps several pops outstanding, so that a burst is
 * received in one turn of the loop; results come in batches, and each is answered with the array it came in.
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>

#define BATCH 32

static void serve(int qd)
{
    demi_qtoken_t qt;
    for (int i = 0; i < BATCH; i++) MUST(demi_pop(&qt, qd));
    for (;;) {
        demi_qresult_t results[BATCH];
        int count = 0;
        MUST(demi_wait_batch(results, BATCH, &count, NULL));
        for (int i = 0; i < count; i++) {
            demi_sgarray_t *sga = &results[i].qr_value.sga;
            if (results[i].qr_opcode == DEMI_OPC_POP) {
                struct sockaddr_in from = sga->sga_addr;
                if (sga->sga_segs[0].sgaseg_len > 0)
                    demi_pushto(&qt, qd, sga, (struct sockaddr *)&from, sizeof from); /* UDP may drop */
                demi_sgafree(sga);
            }
            if (results[i].qr_opcode != DEMI_OPC_PUSH) MUST(demi_pop(&qt, qd));
        }
    }
}

static void ask(int qd, const struct options *o)
{
    const struct timespec patience = {0, 200 * 1000 * 1000};
    demi_qtoken_t push, pop = 0;
    long lost = 0;
    for (long i = 0; i < o->count; i++) {
        demi_qresult_t qr;
        demi_sgarray_t sga = demi_sgaalloc(o->size);
        if (sga.sga_numsegs == 0) MUST(ENOMEM);
        memset(sga.sga_segs[0].sgaseg_buf, (int)(i & 0xff), o->size);
        MUST(demi_pushto(&push, qd, &sga, (const struct sockaddr *)&o->addr, sizeof o->addr));
        demi_sgafree(&sga); /* at once: the library keeps the bytes for as long as it needs them */
        await(push);
        if (pop == 0) MUST(demi_pop(&pop, qd));
        if (demi_wait(&qr, pop, &patience) == ETIMEDOUT) {
            lost++; /* the pop stays outstanding */
            continue;
        }
        pop = 0;
        MUST(qr.qr_opcode == DEMI_OPC_POP ? 0 : (int)qr.qr_ret);
        demi_sgafree(&qr.qr_value.sga);
    }
    MUST(demi_close(qd));
    printf("%ld echoes of %zu bytes, %ld lost\n", o->count - lost, o->size, lost);
}

int main(int argc, char *const argv[])
{
    int qd;
    struct options o;
    struct demi_args args = {argc, argv, NULL};
    struct sockaddr_in local = {0};
    options_parse(&o, argc, argv, 64, 1000);
    local.sin_family = AF_INET; /* the client: any address, any port */
    MUST(demi_init(&args));
    MUST(demi_socket(&qd, AF_INET, SOCK_DGRAM, 0));
    MUST(demi_bind(qd, (struct sockaddr *)(o.is_server ? &o.addr : &local), sizeof local));
    if (o.is_server) serve(qd);
    ask(qd, &o);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * One-way UDP: the client numbers its datagrams, the server tells what was lost and what came out of order. It ends a
 * second after the last one, or as soon as all COUNT have come.
 */
#include "demi/examples/common.h"
#include <demi/sga.h>

static void serve(int qd, const struct options *o)
{
    const struct timespec a_second = {1, 0};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    long came = 0, swapped = 0;
    uint32_t next = 0;
    MUST(demi_bind(qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    while (came < o->count) {
        uint32_t number = 0;
        MUST(demi_pop(&qt, qd));
        int error = demi_wait(&qr, qt, came ? &a_second : NULL);
        if (error == ETIMEDOUT) break;
        MUST(error);
        MUST(qr.qr_opcode == DEMI_OPC_POP ? 0 : (int)qr.qr_ret);
        demi_sgaseg_t seg = qr.qr_value.sga.sga_segs[0];
        if (seg.sgaseg_len >= sizeof number) memcpy(&number, seg.sgaseg_buf, sizeof number);
        demi_sgafree(&qr.qr_value.sga);
        number = ntohl(number);
        swapped += number < next;
        next = number + 1 > next ? number + 1 : next;
        came++;
    }
    printf("%ld came, %ld lost, %ld out of order\n", came, o->count - came, swapped);
    MUST(demi_close(qd));
}

static void stream(int qd, const struct options *o)
{
    demi_qtoken_t qt;
    struct sockaddr_in any = {0};
    any.sin_family = AF_INET;
    MUST(demi_bind(qd, (struct sockaddr *)&any, sizeof any));
    for (long i = 0; i < o->count; i++) {
        uint32_t number = htonl((uint32_t)i);
        demi_sgarray_t sga = demi_sgaalloc(o->size);
        if (sga.sga_numsegs == 0) MUST(ENOMEM);
        memset(sga.sga_segs[0].sgaseg_buf, 0, o->size);
        memcpy(sga.sga_segs[0].sgaseg_buf, &number, o->size < sizeof number ? o->size : sizeof number);
        MUST(demi_pushto(&qt, qd, &sga, (const struct sockaddr *)&o->addr, sizeof o->addr));
        await(qt);
        demi_sgafree(&sga);
    }
    MUST(demi_close(qd));
    printf("sent %ld datagrams of %zu bytes\n", o->count, o->size);
}

int main(int argc, char *const argv[])
{
    int qd;
    struct options o;
    struct demi_args args = {argc, argv, NULL};
    options_parse(&o, argc, argv, 64, 1000);
    MUST(demi_init(&args));
    MUST(demi_socket(&qd, AF_INET, SOCK_DGRAM, 0));
    if (o.is_server) serve(qd, &o);
    else stream(qd, &o);
    return 0;
}

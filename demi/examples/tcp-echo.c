/* SPDX-License-Identifier: MIT
 *
 * A TCP echo server for any number of clients, and a client that checks it.
 *
 * The server keeps no table of connections: a result says which queue it belongs to and what happened there, and that
 * is all it needs. It sends back the very array it received, so no byte is copied, and reads on only when the reply is
 * through: a client that does not read its replies stops being read from.
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>

#define BATCH 64

static void handle(demi_qresult_t *qr, int listener)
{
    demi_qtoken_t qt;
    demi_sgarray_t *sga = &qr->qr_value.sga;

    switch (qr->qr_opcode) {
    case DEMI_OPC_ACCEPT:
        MUST(demi_pop(&qt, qr->qr_value.ares.qd));
        MUST(demi_accept(&qt, listener));
        break;
    case DEMI_OPC_POP:
        if (sga->sga_segs[0].sgaseg_len == 0 || demi_push(&qt, qr->qr_qd, sga) != 0) demi_close(qr->qr_qd);
        demi_sgafree(sga);
        break;
    case DEMI_OPC_PUSH:
        if (demi_pop(&qt, qr->qr_qd) != 0) demi_close(qr->qr_qd);
        break;
    default:
        if (qr->qr_qd == listener) /* a client that went before it was accepted */
            MUST(demi_accept(&qt, listener));
        else /* a client that reset its connection */ demi_close(qr->qr_qd);
    }
}

static void serve(const struct options *o)
{
    int qd;
    demi_qtoken_t qt;
    MUST(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    MUST(demi_bind(qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    MUST(demi_listen(qd, 128));
    MUST(demi_accept(&qt, qd));
    for (;;) {
        demi_qresult_t results[BATCH];
        int count = 0;
        MUST(demi_wait_batch(results, BATCH, &count, NULL));
        for (int i = 0; i < count; i++) handle(&results[i], qd);
    }
}

static void ask(const struct options *o)
{
    int qd;
    demi_qtoken_t qt;
    MUST(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    MUST(demi_connect(&qt, qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    await(qt);
    for (long i = 0; i < o->count; i++) {
        demi_sgarray_t sga = demi_sgaalloc(o->size);
        if (sga.sga_numsegs == 0) MUST(ENOMEM);
        memset(sga.sga_segs[0].sgaseg_buf, (int)(i & 0xff), o->size);
        MUST(demi_push(&qt, qd, &sga));
        await(qt);
        demi_sgafree(&sga);
        for (size_t got = 0; got < o->size;) { /* a stream: the echo may come in pieces */
            MUST(demi_pop(&qt, qd));
            demi_qresult_t qr = await(qt);
            const unsigned char *bytes = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
            size_t length = qr.qr_value.sga.sga_segs[0].sgaseg_len;
            for (size_t b = 0; b < length; b++) MUST(bytes[b] == (i & 0xff) ? 0 : EBADMSG);
            MUST(length > 0 ? 0 : ECONNRESET);
            got += length;
            demi_sgafree(&qr.qr_value.sga);
        }
    }
    MUST(demi_close(qd));
    printf("%ld echoes of %zu bytes\n", o->count, o->size);
}

int main(int argc, char *const argv[])
{
    struct options o;
    struct demi_args args = {argc, argv, NULL};
    options_parse(&o, argc, argv, 64, 1000);
    MUST(demi_init(&args));
    if (o.is_server) serve(&o);
    ask(&o);
    return 0;
}

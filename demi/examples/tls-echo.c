/* SPDX-License-Identifier: MIT
 *
 * An echo server over TLS, and a client that checks it: tcp-echo with one more call for each connection. Files come
 * from the environment: TLS_CERT and TLS_KEY (the server's), TLS_CA (whom either trusts; a server without it asks
 * nobody for a certificate), TLS_NAME (who the client wants to talk to).
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>
#include <demi/tls.h>

#define BATCH 64

static demi_tls_context_t *context_new(int is_server)
{
    demi_tls_context_t *context;
    char why[256];
    struct demi_tls_options o = {.ca_file = getenv("TLS_CA"), .session_cache = true, .cache_seconds = 300};
    if (is_server) {
        o.cert_file = getenv("TLS_CERT");
        o.key_file = getenv("TLS_KEY");
        o.verify = o.ca_file ? DEMI_TLS_VERIFY_REQUIRED : DEMI_TLS_VERIFY_NONE;
    }
    int error = demi_tls_context_new(&context, &o, why, sizeof why);
    if (error) fprintf(stderr, "%s\n", why);
    MUST(error);
    return context;
}

static void handle(demi_qresult_t *qr, int listener, demi_tls_context_t *context)
{
    demi_qtoken_t qt;
    demi_sgarray_t *sga = &qr->qr_value.sga;
    struct demi_tls_info info;

    switch (qr->qr_opcode) {
    case DEMI_OPC_ACCEPT:
        if (demi_tls_server(qr->qr_value.ares.qd, context) || demi_pop(&qt, qr->qr_value.ares.qd))
            demi_close(qr->qr_value.ares.qd);
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
        if (qr->qr_qd == listener) {
            MUST(demi_accept(&qt, listener));
            break;
        }
        if (!demi_tls_info(qr->qr_qd, &info)) fprintf(stderr, "%s\n", info.why);
        demi_close(qr->qr_qd);
    }
}

static void serve(const struct options *o)
{
    int qd;
    demi_qtoken_t qt;
    demi_tls_context_t *context = context_new(1);
    MUST(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    MUST(demi_bind(qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    MUST(demi_listen(qd, 128));
    MUST(demi_accept(&qt, qd));
    for (;;) {
        demi_qresult_t results[BATCH];
        int count = 0;
        MUST(demi_wait_batch(results, BATCH, &count, NULL));
        for (int i = 0; i < count; i++) handle(&results[i], qd, context);
    }
}

static void ask(const struct options *o)
{
    int qd;
    demi_qtoken_t qt;
    struct demi_tls_info info;
    demi_tls_context_t *context = context_new(0);
    MUST(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    MUST(demi_connect(&qt, qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    await(qt);
    MUST(demi_tls_client(qd, context, getenv("TLS_NAME")));
    for (long i = 0; i < o->count; i++) {
        demi_sgarray_t sga = demi_sgaalloc(o->size);
        if (sga.sga_numsegs == 0) MUST(ENOMEM);
        memset(sga.sga_segs[0].sgaseg_buf, (int)(i & 0xff), o->size);
        MUST(demi_push(&qt, qd, &sga));
        demi_sgafree(&sga);
        await(qt);
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
    MUST(demi_tls_info(qd, &info));
    MUST(demi_close(qd));
    demi_tls_context_free(context);
    printf("%ld echoes of %zu bytes by %s, %s\n", o->count, o->size, info.version, info.cipher);
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

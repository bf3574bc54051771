/* SPDX-License-Identifier: MIT
 *
 * A one-way TCP stream: the client keeps a window of pushes outstanding, the server counts bytes until the end of the
 * stream and says how fast they came. Serves one client and ends.
 */
#include "demi/examples/common.h"
#include <demi/sga.h>

#define WINDOW 16

static void serve(int qd, const struct options *o)
{
    demi_qtoken_t qt;
    MUST(demi_bind(qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    MUST(demi_listen(qd, 1));
    MUST(demi_accept(&qt, qd));
    int client = await(qt).qr_value.ares.qd;

    double began = now_us(), bytes = 0;
    for (;;) {
        MUST(demi_pop(&qt, client));
        demi_qresult_t qr = await(qt);
        size_t length = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        demi_sgafree(&qr.qr_value.sga);
        if (length == 0) /* the end of the stream */
            break;
        bytes += (double)length;
    }
    double us = now_us() - began;
    printf("%.0f bytes in %.3f s: %.1f MB/s\n", bytes, us / 1e6, bytes / us);
    MUST(demi_close(client));
    MUST(demi_close(qd));
}

static void stream(int qd, const struct options *o)
{
    demi_qtoken_t qt, window[WINDOW];
    demi_qresult_t qr;
    int outstanding = 0, done;
    MUST(demi_connect(&qt, qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    await(qt);
    for (long sent = 0; sent < o->count || outstanding > 0;) {
        if (sent < o->count && outstanding < WINDOW) {
            demi_sgarray_t sga = demi_sgaalloc(o->size);
            if (sga.sga_numsegs == 0) MUST(ENOMEM);
            memset(sga.sga_segs[0].sgaseg_buf, 1, o->size);
            MUST(demi_push(&window[outstanding++], qd, &sga));
            demi_sgafree(&sga);
            sent++;
            continue;
        }
        MUST(demi_wait_any(&qr, &done, window, outstanding, NULL));
        MUST(qr.qr_opcode == DEMI_OPC_PUSH ? 0 : (int)qr.qr_ret);
        window[done] = window[--outstanding];
    }
    MUST(demi_close(qd)); /* the server sees the end of the stream */
    printf("sent %ld messages of %zu bytes\n", o->count, o->size);
}

int main(int argc, char *const argv[])
{
    int qd;
    struct options o;
    struct demi_args args = {argc, argv, NULL};
    options_parse(&o, argc, argv, 64, 1024);
    MUST(demi_init(&args));
    MUST(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    if (o.is_server) serve(qd, &o);
    else stream(qd, &o);
    return 0;
}

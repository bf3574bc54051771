/* SPDX-License-Identifier: MIT
 *
 * The time a message takes to the server and back, as p50, p99 and p99.9. The server answers one client and ends with
 * it.
 */
#include "demi/examples/common.h"
#include <demi/sga.h>

/* Pops until `size` bytes have come; 0 at the end of the stream. Keeps the last piece in *last, for its sender to
 * push or free; the pieces before it are given back. */
static int receive(int qd, size_t size, demi_sgarray_t *last)
{
    demi_qtoken_t qt;
    for (size_t got = 0; got < size;) {
        if (got > 0) demi_sgafree(last);
        MUST(demi_pop(&qt, qd));
        *last = await(qt).qr_value.sga;
        if (last->sga_segs[0].sgaseg_len == 0) {
            demi_sgafree(last);
            return 0;
        }
        got += last->sga_segs[0].sgaseg_len;
    }
    return 1;
}

static void serve(int qd, const struct options *o)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga;
    MUST(demi_bind(qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    MUST(demi_listen(qd, 1));
    MUST(demi_accept(&qt, qd));
    int client = await(qt).qr_value.ares.qd;
    while (receive(client, 1, &sga)) { /* whatever came goes back */
        MUST(demi_push(&qt, client, &sga));
        demi_sgafree(&sga);
        await(qt);
    }
    MUST(demi_close(client));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(int qd, const struct options *o)
{
    demi_qtoken_t qt;
    double *us = malloc((size_t)o->count * sizeof *us);
    if (!us) MUST(ENOMEM);
    MUST(demi_connect(&qt, qd, (const struct sockaddr *)&o->addr, sizeof o->addr));
    await(qt);
    for (long i = 0; i < o->count; i++) {
        demi_sgarray_t sga = demi_sgaalloc(o->size);
        if (sga.sga_numsegs == 0) MUST(ENOMEM);
        memset(sga.sga_segs[0].sgaseg_buf, 1, o->size);
        double began = now_us();
        MUST(demi_push(&qt, qd, &sga));
        demi_sgafree(&sga);
        MUST(receive(qd, o->size, &sga) ? 0 : ECONNRESET);
        us[i] = now_us() - began;
        demi_sgafree(&sga);
        await(qt);
    }
    qsort(us, (size_t)o->count, sizeof *us, compare);
    printf("%ld round trips of %zu bytes: p50 %.1f us, p99 %.1f us, p99.9 %.1f us, longest %.1f us\n", o->count,
           o->size, us[o->count / 2], us[o->count * 99 / 100], us[o->count * 999 / 1000], us[o->count - 1]);
    free(us);
    MUST(demi_close(qd));
}

int main(int argc, char *const argv[])
{
    int qd;
    struct options o;
    struct demi_args args = {argc, argv, NULL};
    options_parse(&o, argc, argv, 64, 10000);
    MUST(demi_init(&args));
    MUST(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    if (o.is_server) serve(qd, &o);
    else measure(qd, &o);
    return 0;
}

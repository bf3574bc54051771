/* SPDX-License-Identifier: MIT
 *
 * Appends lines to a log, each durable before the next one begins, then reads the whole log from its beginning.
 *
 *     log-write-read FILE [COUNT]
 */
#include "demi/examples/common.h"

#include <demi/ext.h>
#include <demi/sga.h>
#include <fcntl.h>
#include <unistd.h>

static void append(int qd, long number)
{
    demi_qtoken_t qt;
    char line[64];
    int n = snprintf(line, sizeof line, "record %ld of process %ld", number, (long)getpid());
    struct iovec iov = {line, (size_t)n};
    MUST(demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_DURABLE));
    printf("durable at offset %lld: %s\n", (long long)await(qt).qr_ret, line);
}

/* One record a pop; an empty array is the end. */
static int read_one(int qd)
{
    demi_qtoken_t qt;
    MUST(demi_pop(&qt, qd));
    demi_qresult_t qr = await(qt);
    demi_sgarray_t sga = qr.qr_value.sga;
    int n = (int)sga.sga_segs[0].sgaseg_len;
    if (n) printf("%lld: %.*s\n", (long long)qr.qr_ret, n, (const char *)sga.sga_segs[0].sgaseg_buf);
    MUST(demi_sgafree(&sga));
    return n;
}

int main(int argc, char *argv[])
{
    char path[4096];
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 3;
    int qd;
    if (argc < 2 || argc > 3 || count < 0) {
        fprintf(stderr, "usage: %s FILE [COUNT]\n", argv[0]);
        return 1;
    }
    snprintf(path, sizeof path, "log:%s#example", argv[1]);
    MUST(demi_init(NULL));
    MUST(demi_open(&qd, path, O_RDWR | O_CREAT, 0600));
    for (long i = 1; i <= count; i++) append(qd, i);
    while (read_one(qd)) continue;
    MUST(demi_close(qd));
    return demi_exit();
}

/* SPDX-License-Identifier: MIT
 *
 * Connections of the library's, on whatever device, to a service behind a Unix socket of the kernel's, and back.
 *
 *     client ==TCP== library --pop--> task --write--> Unix socket     a task waits for a full one by POLLOUT
 *                            <--push-- task <--read--                 and for an empty one by POLLIN
 *
 * A connection is two coroutines, each in a straight line: demi_wait() suspends them while a queue or a descriptor is
 * not ready. Usage: poll-relay ADDR PORT PATH
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE 16384

struct relay {
    int qd, fd;
    int directions; /* that still go on */
};

static int local_connect(const char *path)
{
    struct sockaddr_un at;
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    strncpy(at.sun_path, path, sizeof at.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

/* Suspends the task until fd is ready. 0, or what came in between. */
static int ready(int fd, unsigned events)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int error = demi_poll_fd(&qt, fd, events);
    if (error == 0) error = demi_wait(&qr, qt, NULL);
    return error != 0 ? error : qr.qr_opcode == DEMI_OPC_FAILED ? (int)qr.qr_ret : 0;
}

static int64_t done(struct relay *r)
{
    if (--r->directions != 0) return 0;
    demi_close(r->qd);
    close(r->fd);
    free(r);
    return 0;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno != EAGAIN || ready(fd, POLLOUT) != 0)) return -1;
        if (sent < 0) continue;
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int64_t to_service(void *arg)
{
    struct relay *r = arg;
    for (int going = 1; going;) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        if (demi_pop(&qt, r->qd) != 0 || demi_wait(&qr, qt, NULL) != 0 || qr.qr_opcode != DEMI_OPC_POP) break;
        const demi_sgaseg_t *seg = &qr.qr_value.sga.sga_segs[0];
        going = seg->sgaseg_len != 0 && write_all(r->fd, seg->sgaseg_buf, seg->sgaseg_len) == 0;
        demi_sgafree(&qr.qr_value.sga);
    }
    shutdown(r->fd, SHUT_WR);
    return done(r);
}

static int64_t to_client(void *arg)
{
    struct relay *r = arg;
    for (int going = 1; going && ready(r->fd, POLLIN) == 0;) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        demi_sgarray_t sga = demi_sgaalloc(PIECE);
        if (sga.sga_numsegs == 0) break;
        ssize_t n = recv(r->fd, sga.sga_segs[0].sgaseg_buf, PIECE, MSG_DONTWAIT);
        sga.sga_segs[0].sgaseg_len = n > 0 ? (uint32_t)n : 0;
        going = n < 0 ? errno == EAGAIN : n > 0;
        /* One push at a time: a client that does not read stops the service, too. */
        if (n > 0)
            going = demi_push(&qt, r->qd, &sga) == 0 && demi_wait(&qr, qt, NULL) == 0 && qr.qr_opcode == DEMI_OPC_PUSH;
        sga.sga_segs[0].sgaseg_len = PIECE;
        demi_sgafree(&sga);
    }
    demi_shutdown(r->qd, SHUT_WR);
    return done(r);
}

static void begin(int qd, const char *path)
{
    demi_qtoken_t qt;
    int fd = local_connect(path);
    struct relay *r = fd >= 0 ? malloc(sizeof *r) : NULL;
    if (r == NULL) {
        if (fd >= 0) close(fd);
        demi_close(qd);
        return;
    }
    r->qd = qd;
    r->fd = fd;
    r->directions = 2;
    MUST(demi_spawn(&qt, to_service, r, 0));
    MUST(demi_spawn(&qt, to_client, r, 0));
}

int main(int argc, char *const argv[])
{
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    int listener;
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    if (argc != 4 || inet_pton(AF_INET, argv[1], &addr.sin_addr) != 1) {
        fprintf(stderr, "usage: %s ADDR PORT PATH\n", argv[0]);
        return 1;
    }
    addr.sin_port = htons((unsigned short)strtoul(argv[2], NULL, 10));
    MUST(demi_init(NULL));
    MUST(demi_socket(&listener, AF_INET, SOCK_STREAM, 0));
    MUST(demi_bind(listener, (const struct sockaddr *)&addr, sizeof addr));
    MUST(demi_listen(listener, 128));
    MUST(demi_accept(&qt, listener));
    for (;;) {
        demi_qresult_t qr;
        int count;
        MUST(demi_wait_batch(&qr, 1, &count, NULL));
        if (qr.qr_opcode == DEMI_OPC_TASK) continue;
        if (qr.qr_opcode == DEMI_OPC_ACCEPT) begin(qr.qr_value.ares.qd, argv[3]);
        MUST(demi_accept(&qt, listener));
    }
}

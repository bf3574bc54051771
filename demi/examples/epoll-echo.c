/* SPDX-License-Identifier: MIT
 *
 * A TCP echo server inside of a program that has an event loop already: the library is one descriptor of its epoll.
 *
 *     epoll_wait --+-- demi_event_fd    echo what came, until demi_wait_batch() says ETIMEDOUT
 *                  +-- timerfd          every second, say how much that was
 *                  +-- stdin            any line (of a terminal or a pipe) ends the program
 *
 * The one rule: demi_event_fd() is called before each sleep, as the last thing. It sends what was pushed, and arms.
 * Usage: epoll-echo --server ADDR PORT
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BATCH 64

struct loop {
    int epoll, demi, timer, listener;
    unsigned long long echoed, told; /* bytes */
};

static void watch(const struct loop *l, int fd)
{
    struct epoll_event e;
    memset(&e, 0, sizeof e);
    e.events = EPOLLIN;
    e.data.fd = fd;
    MUST(epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : errno);
}

static void handle(struct loop *l, demi_qresult_t *qr)
{
    demi_qtoken_t qt;
    demi_sgarray_t *sga = &qr->qr_value.sga;

    switch (qr->qr_opcode) {
    case DEMI_OPC_ACCEPT:
        MUST(demi_pop(&qt, qr->qr_value.ares.qd));
        MUST(demi_accept(&qt, l->listener));
        break;
    case DEMI_OPC_POP:
        if (sga->sga_segs[0].sgaseg_len == 0 || demi_push(&qt, qr->qr_qd, sga) != 0) demi_close(qr->qr_qd);
        l->echoed += sga->sga_segs[0].sgaseg_len;
        demi_sgafree(sga);
        break;
    case DEMI_OPC_PUSH:
        if (demi_pop(&qt, qr->qr_qd) != 0) demi_close(qr->qr_qd);
        break;
    default:
        if (qr->qr_qd == l->listener) MUST(demi_accept(&qt, l->listener));
        else demi_close(qr->qr_qd);
    }
}

static void drain(struct loop *l)
{
    static const struct timespec at_once = {0, 0};
    demi_qresult_t results[BATCH];
    int count, error;
    while ((error = demi_wait_batch(results, BATCH, &count, &at_once)) == 0)
        for (int i = 0; i < count; i++) handle(l, &results[i]);
    MUST(error == ETIMEDOUT ? 0 : error);
}

static void tell(struct loop *l)
{
    unsigned long long times;
    if (read(l->timer, &times, sizeof times) != (ssize_t)sizeof times || l->echoed == l->told) return;
    l->told = l->echoed;
    printf("%llu bytes echoed\n", l->told);
    fflush(stdout);
}

static void serve(struct loop *l, const struct options *o)
{
    struct itimerspec second = {{1, 0}, {1, 0}};
    demi_qtoken_t qt;
    MUST(demi_socket(&l->listener, AF_INET, SOCK_STREAM, 0));
    MUST(demi_bind(l->listener, (const struct sockaddr *)&o->addr, sizeof o->addr));
    MUST(demi_listen(l->listener, 128));
    MUST(demi_accept(&qt, l->listener));

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    MUST(l->epoll >= 0 && l->timer >= 0 && timerfd_settime(l->timer, 0, &second, NULL) == 0 ? 0 : errno);
    MUST(demi_event_fd(&l->demi));
    watch(l, l->demi);
    watch(l, l->timer);
    struct epoll_event in;
    memset(&in, 0, sizeof in);
    in.events = EPOLLIN;
    in.data.fd = STDIN_FILENO;
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &in); /* a file or /dev/null: runs until it is killed */

    for (;;) {
        struct epoll_event events[3];
        MUST(demi_event_fd(&l->demi));
        int count = epoll_wait(l->epoll, events, 3, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == l->demi) drain(l);
            else if (events[i].data.fd == l->timer) tell(l);
            else return;
        }
    }
}

int main(int argc, char *const argv[])
{
    struct options o;
    struct loop l;
    options_parse(&o, argc, argv, 64, 1);
    memset(&l, 0, sizeof l);
    MUST(demi_init(NULL));
    if (o.is_server) serve(&l, &o);
    else fprintf(stderr, "tcp-echo is the client\n");
    MUST(demi_exit());
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Conformance: poll, select, epoll.
 */
#include "tests/shim/conform.h"

static void on_signal(int sig) { (void)sig; }

void polls(void)
{
    struct pair p = new_pair();
    int pipes[2];
    if (pipe(pipes)) abort();
    struct pollfd fds[4] = {
        {p.server, POLLIN, 0}, {pipes[0], POLLIN, 0}, {-1, POLLIN, 0}, {p.client, POLLIN | POLLOUT, 0}};
    CALL("poll of four", poll(fds, 4, 0));
    VALUE("the client is writable", fds[3].revents);
    unsigned start = milliseconds();
    CALL("poll until its time", poll(fds, 3, 60));
    VALUE("takes its time", milliseconds() - start >= 55);
    write(pipes[1], "x", 1);
    CALL("a pipe beside ours", poll(fds, 3, 1000));
    VALUE("the pipe", fds[1].revents);
    write(p.client, "y", 1);
    CALL("both", poll(fds, 3, 1000));
    VALUE("ours", fds[0].revents);
    fds[2].fd = 4000;
    CALL("one that is not open", poll(fds, 3, 0));
    VALUE("is told", fds[2].revents);
    char some[8];
    read(p.server, some, 8), read(pipes[0], some, 8);
    /* select */
    fd_set in, out;
    struct timeval t = {0, 50000};
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p.server, &in), FD_SET(pipes[0], &in), FD_SET(p.client, &out);
    CALL("select", select(100, &in, &out, NULL, &t));
    VALUE("writable", FD_ISSET(p.client, &out) && !FD_ISSET(p.server, &in) && !FD_ISSET(pipes[0], &in));
    FD_ZERO(&in);
    FD_SET(p.server, &in), FD_SET(pipes[0], &in);
    CALL("select until its time", select(100, &in, NULL, NULL, &t));
    VALUE("nothing left in the set", FD_ISSET(p.server, &in) || FD_ISSET(pipes[0], &in));
    VALUE("no time left", t.tv_sec + t.tv_usec);
    write(p.client, "y", 1);
    FD_SET(p.server, &in), FD_SET(pipes[0], &in);
    CALL("select of ours", select(100, &in, NULL, NULL, NULL));
    VALUE("is in", FD_ISSET(p.server, &in));
    FD_SET(p.server, &in), FD_SET(60, &in);
    CALL("select of one that is not open", select(61, &in, NULL, NULL, &t));
    read(p.server, some, 8);
    /* a signal ends a sleep, and a mask holds it back until then */
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGALRM, &a, NULL);
    struct itimerval soon = {.it_value = {0, 50000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    CALL("poll ended by a signal", poll(fds, 2, 2000));
    sigset_t blocked, before, none;
    sigemptyset(&blocked), sigaddset(&blocked, SIGALRM), sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    raise(SIGALRM);
    CALL("poll with the signal held back", poll(fds, 1, 20));
    struct timespec ts = {2, 0};
    CALL("ppoll lets it in", ppoll(fds, 2, &ts, &none));
    raise(SIGALRM);
    FD_ZERO(&in);
    FD_SET(p.server, &in);
    CALL("pselect lets it in", pselect(100, &in, NULL, NULL, &ts, &none));
    sigprocmask(SIG_SETMASK, &before, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    CALL("read ended by a signal", read(p.server, some, 1));
    a.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &a, NULL);
    struct timeval rt = {0, 200000};
    setitimer(ITIMER_REAL, &soon, NULL);
    setsockopt(p.server, SOL_SOCKET, SO_RCVTIMEO, &rt, sizeof rt);
    CALL("read with a timeout ended by a signal", read(p.server, some, 1));
    close(pipes[0]), close(pipes[1]);
    close_pair(&p);
    alarm(60);
}

/* --- epoll --- */

static int wait_for(int ep, int timeout, uint64_t *data, uint32_t *events)
{
    struct epoll_event ev[8];
    int n = epoll_wait(ep, ev, 8, timeout);
    *data = 0, *events = 0;
    for (int i = 0; i < n; i++) *data += ev[i].data.u64, *events |= ev[i].events;
    return n;
}

static int add(int ep, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};
    return epoll_ctl(ep, op, fd, &ev);
}

static void levels_and_edges(int ep, struct pair *p)
{
    uint64_t data;
    uint32_t events;
    char some[64];
    CALL("add", add(ep, EPOLL_CTL_ADD, p->server, EPOLLIN, 0x1234567890abcdefu));
    CALL("add again", add(ep, EPOLL_CTL_ADD, p->server, EPOLLIN, 1));
    CALL("nothing yet", wait_for(ep, 20, &data, &events));
    write(p->client, "abcd", 4);
    CALL("level", wait_for(ep, 1000, &data, &events));
    VALUE("64 bits of data", data == 0x1234567890abcdefu);
    VALUE("its events", events);
    CALL("level again", wait_for(ep, 0, &data, &events));
    read(p->server, some, 2);
    CALL("level as long as there are bytes", wait_for(ep, 0, &data, &events));
    read(p->server, some, 64);
    CALL("level until all is read", wait_for(ep, 0, &data, &events));
    CALL("change to edge", add(ep, EPOLL_CTL_MOD, p->server, EPOLLIN | EPOLLOUT | EPOLLET, 7));
    CALL("edge at MOD", wait_for(ep, 0, &data, &events));
    VALUE("writable", events);
    CALL("edge once", wait_for(ep, 20, &data, &events));
    write(p->client, "abcd", 4);
    CALL("edge when bytes come", wait_for(ep, 1000, &data, &events));
    VALUE("both directions", events);
    CALL("edge once for them", wait_for(ep, 20, &data, &events));
    write(p->client, "efgh", 4);
    CALL("edge for more bytes", wait_for(ep, 1000, &data, &events));
    CALL("MOD gives an edge", add(ep, EPOLL_CTL_MOD, p->server, EPOLLIN | EPOLLET, 8));
    CALL("that", wait_for(ep, 0, &data, &events));
    VALUE("new data", data);
    read(p->server, some, 64);
    CALL("oneshot", add(ep, EPOLL_CTL_MOD, p->server, EPOLLIN | EPOLLONESHOT, 9));
    write(p->client, "x", 1);
    CALL("oneshot once", wait_for(ep, 1000, &data, &events));
    write(p->client, "x", 1);
    CALL("oneshot is deaf", wait_for(ep, 50, &data, &events));
    CALL("oneshot armed", add(ep, EPOLL_CTL_MOD, p->server, EPOLLIN | EPOLLONESHOT, 9));
    CALL("oneshot hears", wait_for(ep, 1000, &data, &events));
    CALL("delete", add(ep, EPOLL_CTL_DEL, p->server, 0, 0));
    CALL("delete again", add(ep, EPOLL_CTL_DEL, p->server, 0, 0));
    CALL("change what is not there", add(ep, EPOLL_CTL_MOD, p->server, EPOLLIN, 0));
    CALL("nothing of it", wait_for(ep, 0, &data, &events));
    read(p->server, some, 64);
}

static void sets(int ep, struct pair *p)
{
    uint64_t data;
    uint32_t events;
    char some[64];
    int pipes[2], outer = epoll_create1(0), ring = eventfd(0, 0);
    if (pipe(pipes)) abort();
    CALL("a pipe", add(ep, EPOLL_CTL_ADD, pipes[0], EPOLLIN, 100));
    CALL("an eventfd", add(ep, EPOLL_CTL_ADD, ring, EPOLLIN, 1000));
    CALL("ours", add(ep, EPOLL_CTL_ADD, p->server, EPOLLIN | EPOLLRDHUP, 1));
    CALL("none is ready", wait_for(ep, 0, &data, &events));
    write(pipes[1], "x", 1);
    CALL("the pipe", wait_for(ep, 1000, &data, &events));
    VALUE("is it", data);
    write(p->client, "x", 1);
    usleep(2000);
    CALL("both", wait_for(ep, 1000, &data, &events));
    eventfd_write(ring, 1);
    usleep(2000);
    CALL("all three", wait_for(ep, 1000, &data, &events));
    VALUE("are they", data);
    read(pipes[0], some, 8), read(p->server, some, 8), read(ring, some, 8);
    CALL("none again", wait_for(ep, 0, &data, &events));
    CALL("a set in a set", add(outer, EPOLL_CTL_ADD, ep, EPOLLIN, 55));
    CALL("which is silent", wait_for(outer, 20, &data, &events));
    write(p->client, "x", 1);
    CALL("readiness goes up", wait_for(outer, 1000, &data, &events));
    VALUE("with its data", data);
    VALUE("poll of a set", poll_one(ep, POLLIN, 0));
    read(p->server, some, 8);
    CALL("and down", wait_for(outer, 20, &data, &events));
    VALUE("poll of a silent set", poll_one(ep, POLLIN, 0));
    CALL("one event at a time", (write(p->client, "x", 1), write(pipes[1], "x", 1), usleep(2000),
                                 epoll_wait(ep, &(struct epoll_event){0}, 1, 100)));
    read(p->server, some, 8), read(pipes[0], some, 8);
    CALL("no room", epoll_wait(ep, (struct epoll_event *)some, 0, 0));
    CALL("a set that is none", epoll_wait(pipes[0], (struct epoll_event *)some, 1, 0));
    CALL("ours in a set that is none", add(pipes[0], EPOLL_CTL_ADD, p->server, EPOLLIN, 0));
    int copy = dup(p->server);
    CALL("a copy is another entry", add(ep, EPOLL_CTL_ADD, copy, EPOLLIN, 2));
    write(p->client, "x", 1);
    usleep(2000);
    CALL("two entries", wait_for(ep, 1000, &data, &events));
    add(ep, EPOLL_CTL_DEL, copy, 0, 0);
    close(copy);
    shutdown(p->client, SHUT_WR);
    usleep(20000);
    CALL("the end", wait_for(ep, 1000, &data, &events));
    VALUE("says so", events);
    close(p->server);
    CALL("close takes it out", wait_for(ep, 0, &data, &events));
    CALL("exclusive", add(ep, EPOLL_CTL_ADD, p->listener, EPOLLIN | EPOLLEXCLUSIVE, 3));
    CALL("exclusive is not changed", add(ep, EPOLL_CTL_MOD, p->listener, EPOLLIN, 3));
    CALL("exclusive has no oneshot", add(ep, EPOLL_CTL_ADD, p->client, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 3));
    int more = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL("not connected yet", add(ep, EPOLL_CTL_ADD, more, EPOLLIN | EPOLLOUT, 4));
    CALL("tells that", wait_for(ep, 0, &data, &events));
    VALUE("as a hang-up", events);
    connect(more, (struct sockaddr *)&p->addr, sizeof p->addr);
    usleep(2000);
    CALL("connected", wait_for(ep, 1000, &data, &events));
    VALUE("and somebody to accept", data);
    close(more), close(pipes[0]), close(pipes[1]), close(outer), close(ring);
}

void epolls(void)
{
    struct pair p = new_pair();
    int ep = epoll_create1(EPOLL_CLOEXEC);
    uint64_t data;
    uint32_t events;
    VALUE("cloexec", fcntl(ep, F_GETFD));
    CALL("itself", add(ep, EPOLL_CTL_ADD, ep, EPOLLIN, 0));
    levels_and_edges(ep, &p);
    sets(ep, &p);
    close(p.client), close(p.listener);
    unsigned start = milliseconds();
    CALL("until its time", wait_for(ep, 60, &data, &events));
    VALUE("takes its time", milliseconds() - start >= 55);
    close(ep);
}

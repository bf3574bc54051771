/* SPDX-License-Identifier: MIT
 *
 * The echo server one writes by hand: epoll, read, write, nothing else. The library's echo is measured beside it.
 *
 *   epoll_echo PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 64, BUFFER_SIZE = 1 << 16 };

static void die(const char *what)
{
    fprintf(stderr, "epoll_echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_on(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 511)) die("bind");
    return fd;
}

static void accept_one(int epoll, int listener)
{
    int fd = accept(listener, NULL, NULL), one = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) close(fd);
}

static void echo(int fd)
{
    static char buffer[BUFFER_SIZE];
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0 || write(fd, buffer, (size_t)got) != got) close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: epoll_echo PORT\n");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on((uint16_t)atoi(argv[1])), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[MAX_EVENTS];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    puts("Ready to accept connections");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, ready, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd == listener) accept_one(epoll, listener);
            else echo(ready[i].data.fd);
        }
    }
}

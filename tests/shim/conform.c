/* SPDX-License-Identifier: MIT
 *
 * The conformance program: what sockets answer, call by call. See conform.h.
 */
#include "tests/shim/conform.h"

const char *group;

void report(const char *name, long result, int err)
{
    printf("%s/%s %ld %s\n", group, name, result, err ? strerrorname_np(err) : "-");
}

struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int new_listener(struct sockaddr_in *addr)
{
    socklen_t n = sizeof *addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *addr = loopback(0);
    if (bind(fd, (struct sockaddr *)addr, n) || listen(fd, 16) || getsockname(fd, (struct sockaddr *)addr, &n)) abort();
    return fd;
}

struct pair new_pair(void)
{
    struct pair p;
    p.listener = new_listener(&p.addr);
    p.client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(p.client, (struct sockaddr *)&p.addr, sizeof p.addr)) abort();
    p.server = accept(p.listener, NULL, NULL);
    if (p.server < 0) abort();
    return p;
}

void close_pair(struct pair *p)
{
    close(p->client);
    close(p->server);
    close(p->listener);
}

short poll_one(int fd, short events, int timeout)
{
    struct pollfd p = {.fd = fd, .events = events};
    int r = poll(&p, 1, timeout);
    return r < 0 ? (short)-errno : p.revents;
}

void nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

long read_whole(int fd, void *p, size_t n)
{
    size_t done = 0;
    while (done < n && poll_one(fd, POLLIN, 1000) & POLLIN) {
        ssize_t m = read(fd, (char *)p + done, n - done);
        if (m <= 0) break;
        done += (size_t)m;
    }
    return (long)done;
}

unsigned milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } groups[] = {{"descriptors", descriptors}, {"beginnings", beginnings}, {"bytes", bytes},
                  {"endings", endings},         {"options", options},       {"polls", polls},
                  {"epolls", epolls},           {"datagrams", datagrams},   {"threads", threads},
                  {"processes", processes},     {"streams", streams}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (argc > 1 && strcmp(argv[1], groups[i].name)) continue;
        group = groups[i].name;
        groups[i].fn();
    }
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * What the parts of the conformance program share. Each check prints one line, "group/name result errno", and judges
 * nothing: conform.py runs the program with and without the shim and compares the lines.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const char *group;
void report(const char *name, long result, int err);

/* The result of a call, and its errno if it is -1. */
#define CALL(name, ...)                                                                                                \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(__VA_ARGS__);                                                                            \
        report(name, result_, result_ == -1 ? errno : 0);                                                              \
    } while (0)
/* A value. */
#define VALUE(name, ...) report(name, (long)(__VA_ARGS__), 0)

struct pair {
    int listener, client, server;
    struct sockaddr_in addr; /* of the listener */
};
struct sockaddr_in loopback(int port);
int new_listener(struct sockaddr_in *addr);
struct pair new_pair(void);
void close_pair(struct pair *p);
short poll_one(int fd, short events, int timeout);
void nonblock(int fd, bool on);
/* Bytes that can be read within a second. */
long read_whole(int fd, void *p, size_t n);
unsigned milliseconds(void);

void descriptors(void);
void beginnings(void);
void bytes(void);
void endings(void);
void options(void);
void polls(void);
void epolls(void);
void datagrams(void);
void threads(void);
void processes(void);
void streams(void);

#endif

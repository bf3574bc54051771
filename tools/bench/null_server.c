/* SPDX-License-Identifier: MIT
 *
 * A server that does nothing: epoll, read, divide by the request's length, write as many copies of one reply. No
 * parsing, no library. What it costs per request is what sockets cost; whatever a real server costs beyond it is its
 * own doing.
 *
 *   null_server (--port N | --unix PATH) --request BYTES --reply TEXT      (\r and \n in TEXT are read as such)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_FDS = 20000, MAX_EVENTS = 256, READ_SIZE = 1 << 16, REPLIES_SIZE = 1 << 18 };

static size_t request_size, reply_size;
static char replies[REPLIES_SIZE]; /* the reply, again and again */
static size_t pending[MAX_FDS];    /* bytes of a request that has not come in whole */

static void die(const char *what)
{
    fprintf(stderr, "null_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_on(int port, const char *path)
{
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path) snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, path ? (struct sockaddr *)&un : (struct sockaddr *)&in, path ? sizeof un : sizeof in)) die("bind");
    if (listen(fd, 511)) die("listen");
    return fd;
}

static void accept_one(int epoll, int listener)
{
    int fd = accept(listener, NULL, NULL), one = 1;
    if (fd < 0) return;
    if (fd >= MAX_FDS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    pending[fd] = 0;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) close(fd);
}

/* False: the connection is over. */
static bool serve(int fd)
{
    static char buffer[READ_SIZE];
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return false;
    pending[fd] += (size_t)got;
    size_t bytes = pending[fd] / request_size * reply_size;
    pending[fd] %= request_size;
    while (bytes) {
        size_t chunk = bytes < REPLIES_SIZE / reply_size * reply_size ? bytes : REPLIES_SIZE / reply_size * reply_size;
        ssize_t sent = write(fd, replies, chunk);
        if (sent != (ssize_t)chunk) return false;
        bytes -= chunk;
    }
    return true;
}

static void set_reply(const char *text)
{
    char one[4096];
    for (; *text && reply_size < sizeof one; text++) {
        char c = *text;
        if (c == '\\' && text[1]) c = *++text == 'r' ? '\r' : *text == 'n' ? '\n' : *text;
        one[reply_size++] = c;
    }
    for (size_t at = 0; reply_size && at + reply_size <= REPLIES_SIZE; at += reply_size)
        memcpy(replies + at, one, reply_size);
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    int port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--unix")) path = argv[i + 1];
        else if (!strcmp(argv[i], "--request")) request_size = strtoul(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--reply")) set_reply(argv[i + 1]);
    }
    if ((!port && !path) || !request_size || !reply_size) {
        fprintf(stderr, "usage: null_server (--port N | --unix PATH) --request BYTES --reply TEXT\n");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* a burst of load ends with replies on their way */
    struct rlimit files = {MAX_FDS, MAX_FDS};
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_on(port, path), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[MAX_EVENTS];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    puts("Ready to accept connections");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, ready, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) accept_one(epoll, listener);
            else if (!serve(fd)) close(fd);
        }
    }
}

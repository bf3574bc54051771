/* SPDX-License-Identifier: MIT
 *
 * Conformance: numbers and flags, and how connections come about.
 */
#include "tests/shim/conform.h"

static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static void numbers(void)
{
    struct stat st;
    char path[64];
    int free_number = lowest_free(), fd = socket(AF_INET, SOCK_STREAM, 0);
    VALUE("socket is the lowest free number", fd - free_number);
    CALL("fstat", fstat(fd, &st));
    VALUE("is a socket", S_ISSOCK(st.st_mode));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CALL("is in /proc/self/fd", access(path, F_OK));
    CALL("close", close(fd));
    CALL("close again", close(fd));
    CALL("read of a closed one", read(fd, path, 1));
    CALL("lseek", lseek(fd = socket(AF_INET, SOCK_STREAM, 0), 0, SEEK_CUR));
    CALL("isatty", isatty(fd) - 1);
    close(fd);
    struct pair p = new_pair();
    VALUE("accepted is the lowest free number", p.server - p.client);
    CALL("fstat of an accepted one", fstat(p.server, &st));
    VALUE("which is a socket", S_ISSOCK(st.st_mode));
    close_pair(&p);
    VALUE("all numbers are free again", lowest_free() - free_number);
}

static void flags(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    VALUE("SOCK_NONBLOCK", fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE));
    VALUE("SOCK_CLOEXEC", fcntl(fd, F_GETFD));
    CALL("F_SETFL", fcntl(fd, F_SETFL, O_RDWR));
    VALUE("is off", fcntl(fd, F_GETFL) & O_NONBLOCK);
    CALL("FIONBIO", ioctl(fd, FIONBIO, &on));
    VALUE("is on", fcntl(fd, F_GETFL) & O_NONBLOCK);
    int copy = dup(fd);
    VALUE("the copy's flags", fcntl(copy, F_GETFL) & O_NONBLOCK);
    VALUE("the copy's cloexec", fcntl(copy, F_GETFD));
    nonblock(copy, false);
    VALUE("flags belong to both", fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(copy);
    close(fd);
    CALL("unknown family", socket(12345, SOCK_STREAM, 0));
    CALL("unknown type", socket(AF_INET, 77, 0));
    CALL("wrong protocol", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    struct pair p = new_pair();
    nonblock(p.listener, true);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&p.addr, sizeof p.addr);
    int server = accept(p.listener, NULL, NULL);
    VALUE("accept does not inherit O_NONBLOCK", fcntl(server, F_GETFL) & O_NONBLOCK);
    close(server);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&p.addr, sizeof p.addr);
    server = accept4(p.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    VALUE("accept4 SOCK_NONBLOCK", fcntl(server, F_GETFL) & O_NONBLOCK);
    VALUE("accept4 SOCK_CLOEXEC", fcntl(server, F_GETFD));
    CALL("accept4 of unknown flags", accept4(p.listener, NULL, NULL, 1));
    close(server);
    close(client);
    close_pair(&p);
}

static void copies(void)
{
    struct pair p = new_pair();
    char some[8];
    int copy = dup(p.server);
    close(p.server);
    CALL("write to a copy", write(copy, "abc", 3));
    CALL("read what it wrote", read_whole(p.client, some, 3));
    int third = fcntl(copy, F_DUPFD, 100);
    VALUE("F_DUPFD", third >= 100);
    VALUE("F_DUPFD_CLOEXEC", fcntl(fcntl(copy, F_DUPFD_CLOEXEC, 200), F_GETFD));
    CALL("dup2 over a pipe", dup2(copy, third + 1) - third - 1);
    CALL("dup2 to itself", dup2(copy, copy) - copy);
    CALL("dup3 to itself", dup3(copy, copy, 0));
    CALL("dup2 of a closed one", dup2(p.server, 50));
    CALL("write to the third", write(third, "x", 1));
    CALL("read that", read_whole(p.client, some, 1));
    int pipes[2];
    if (pipe(pipes)) abort();
    CALL("dup2 of a pipe over a socket", dup2(pipes[1], copy) - copy);
    CALL("write goes to the pipe", write(copy, "p", 1));
    CALL("read from the pipe", read(pipes[0], some, 8));
    close(third), close(third + 1), close(200);
    VALUE("the last copy's close ends it", poll_one(p.client, POLLIN, 1000) & POLLIN);
    CALL("end", read(p.client, some, 8));
    close(pipes[0]), close(pipes[1]), close(copy), close(p.client), close(p.listener);
}

static void ranges(void)
{
    struct pair p = new_pair();
    char some[4];
    int high = fcntl(p.server, F_DUPFD, 300);
    CALL("close_range", close_range(290, 310, 0));
    CALL("closes ours", fcntl(high, F_GETFD));
    CALL("the other number lives", write(p.server, "abc", 3));
    CALL("and so does the library", read_whole(p.client, some, 3));
    high = fcntl(p.server, F_DUPFD, 300);
    CALL("close_range CLOEXEC", close_range(290, 310, CLOSE_RANGE_CLOEXEC));
    VALUE("sets it", fcntl(high, F_GETFD));
    closefrom(250);
    CALL("closefrom", fcntl(high, F_GETFD));
    for (int fd = 250; fd < 5000; fd++) close(fd);
    CALL("after closing all numbers", write(p.client, "abc", 3));
    CALL("read", read_whole(p.server, some, 3));
    close_pair(&p);
}

void descriptors(void)
{
    numbers();
    flags();
    copies();
    ranges();
}

/* --- how connections come about --- */

static void binding(void)
{
    struct sockaddr_in a = loopback(0), b;
    socklen_t n = sizeof b;
    int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    CALL("getsockname before", getsockname(fd, (struct sockaddr *)&b, &n));
    VALUE("is any", b.sin_addr.s_addr + b.sin_port);
    CALL("bind too short", bind(fd, (struct sockaddr *)&a, 4));
    CALL("bind", bind(fd, (struct sockaddr *)&a, sizeof a));
    CALL("bind twice", bind(fd, (struct sockaddr *)&a, sizeof a));
    n = sizeof b;
    CALL("getsockname", getsockname(fd, (struct sockaddr *)&b, &n));
    VALUE("has a port", b.sin_port != 0);
    VALUE("its length", n);
    n = 2;
    CALL("getsockname cut", getsockname(fd, (struct sockaddr *)&a, &n));
    VALUE("tells the whole length", n);
    CALL("accept before listen", accept(fd, NULL, NULL));
    CALL("listen", listen(fd, 5));
    CALL("listen again", listen(fd, 7));
    CALL("bind of a port in use", bind(other, (struct sockaddr *)&b, sizeof b));
    a.sin_addr.s_addr = htonl(0x01020304);
    a.sin_port = 0;
    CALL("bind of somebody's address", bind(other, (struct sockaddr *)&a, sizeof a));
    a = loopback(0);
    CALL("bind after failures", bind(other, (struct sockaddr *)&a, sizeof a));
    CALL("getpeername of a listener", getpeername(fd, (struct sockaddr *)&b, &n));
    CALL("read of a listener", read(fd, &a, 1));
    CALL("listen of datagrams", listen(socket(AF_INET, SOCK_DGRAM, 0), 1));
    close(fd), close(other);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    a = (struct sockaddr_in){.sin_family = AF_INET};
    CALL("bind any", bind(fd, (struct sockaddr *)&a, sizeof a));
    n = sizeof b;
    CALL("getsockname of any", getsockname(fd, (struct sockaddr *)&b, &n));
    VALUE("any has a port", b.sin_port != 0);
    CALL("listen on any", listen(fd, 5));
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CALL("listen without bind", listen(fd, 5));
    n = sizeof b;
    getsockname(fd, (struct sockaddr *)&b, &n);
    VALUE("gives a port", b.sin_port != 0);
    close(fd);
}

static void connecting(void)
{
    struct sockaddr_in addr, closed, name;
    socklen_t n = sizeof name;
    int err = 7;
    int l = new_listener(&addr), gone = new_listener(&closed);
    close(gone);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CALL("write before connect", send(fd, "x", 1, MSG_NOSIGNAL));
    CALL("read before connect", read(fd, &name, 1));
    CALL("getpeername before connect", getpeername(fd, (struct sockaddr *)&name, &n));
    CALL("shutdown before connect", shutdown(fd, SHUT_RDWR));
    CALL("connect to nobody", connect(fd, (struct sockaddr *)&closed, sizeof closed));
    n = sizeof err;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
    VALUE("SO_ERROR after it was told", err);
    CALL("connect again", connect(fd, (struct sockaddr *)&addr, sizeof addr));
    CALL("connect of a connected one", connect(fd, (struct sockaddr *)&addr, sizeof addr));
    n = sizeof name;
    CALL("getpeername", getpeername(fd, (struct sockaddr *)&name, &n));
    VALUE("is the listener", name.sin_port == addr.sin_port);
    n = sizeof name;
    int a = accept(l, (struct sockaddr *)&name, &n);
    VALUE("accept's length", n);
    struct sockaddr_in ours;
    n = sizeof ours;
    getsockname(fd, (struct sockaddr *)&ours, &n);
    VALUE("accept tells the peer", name.sin_port == ours.sin_port);
    CALL("listen of a connected one", listen(fd, 1));
    CALL("accept of a connected one", accept(fd, NULL, NULL));
    close(a), close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    VALUE("poll before connect", poll_one(fd, POLLIN | POLLOUT, 0));
    CALL("connect without waiting", connect(fd, (struct sockaddr *)&addr, sizeof addr));
    VALUE("becomes writable", poll_one(fd, POLLIN | POLLOUT, 1000));
    n = sizeof err;
    CALL("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n));
    VALUE("is none", err);
    CALL("connect tells", connect(fd, (struct sockaddr *)&addr, sizeof addr));
    CALL("connect tells once", connect(fd, (struct sockaddr *)&addr, sizeof addr));
    close(fd);
    close(accept(l, NULL, NULL));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL("connect to nobody without waiting", connect(fd, (struct sockaddr *)&closed, sizeof closed));
    VALUE("becomes an error", poll_one(fd, POLLIN | POLLOUT | POLLRDHUP, 1000));
    n = sizeof err;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
    VALUE("refused", err == ECONNREFUSED);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
    VALUE("told once", err);
    CALL("read after a refusal", read(fd, &name, 1));
    CALL("write after a refusal", send(fd, "x", 1, MSG_NOSIGNAL));
    close(fd);
    struct sockaddr_in wrong = addr;
    wrong.sin_family = AF_INET6;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CALL("connect of another family", connect(fd, (struct sockaddr *)&wrong, sizeof wrong));
    CALL("connect too short", connect(fd, (struct sockaddr *)&addr, 4));
    close(fd), close(l);
}

static void accepting(void)
{
    struct sockaddr_in addr;
    struct timeval t = {0, 50000};
    int l = new_listener(&addr), fds[5];
    nonblock(l, true);
    CALL("accept of nobody", accept(l, NULL, NULL));
    VALUE("poll of nobody", poll_one(l, POLLIN | POLLOUT, 0));
    for (int i = 0; i < 5; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        CALL("connect in a row", connect(fds[i], (struct sockaddr *)&addr, sizeof addr));
    }
    VALUE("poll of some", poll_one(l, POLLIN | POLLOUT, 1000));
    int count = 0;
    for (int fd; (fd = accept(l, NULL, NULL)) >= 0; count++) close(fd);
    VALUE("accepted all", count);
    for (int i = 0; i < 5; i++) close(fds[i]);
    nonblock(l, false);
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    CALL("accept with SO_RCVTIMEO", accept(l, NULL, NULL));
    CALL("shutdown of a listener", shutdown(l, SHUT_RD));
    CALL("accept afterwards", accept(l, NULL, NULL));
    close(l);
}

void beginnings(void)
{
    binding();
    connecting();
    accepting();
}

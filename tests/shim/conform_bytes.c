/* SPDX-License-Identifier: MIT
 *
 * Conformance: bytes, ends, options, datagrams.
 */
#include "tests/shim/conform.h"

#define LARGE 3000000

static void reading(struct pair *p)
{
    char some[64] = "";
    int n = 0;
    volatile int minus = -1;
    CALL("write", write(p->client, "hello world", 11));
    VALUE("is readable", poll_one(p->server, POLLIN, 1000));
    CALL("FIONREAD", ioctl(p->server, FIONREAD, &n));
    VALUE("its count", n);
    CALL("peek", recv(p->server, some, 5, MSG_PEEK));
    VALUE("what", !memcmp(some, "hello", 5));
    CALL("read some", read(p->server, some, 6));
    CALL("peek beyond", recv(p->server, some, 64, MSG_PEEK));
    CALL("read the rest", read(p->server, some, 64));
    VALUE("is the rest", !memcmp(some, "world", 5));
    CALL("recv without waiting", recv(p->server, some, 64, MSG_DONTWAIT));
    CALL("read of nothing", read(p->server, some, 0));
    nonblock(p->server, true);
    CALL("read where there is nothing", read(p->server, some, 64));
    CALL("recvfrom", recvfrom(p->server, some, 64, 0, NULL, NULL));
    nonblock(p->server, false);
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cdef", 4}}, in[2] = {{some, 3}, {some + 10, 3}};
    CALL("writev", writev(p->client, out, 3));
    poll_one(p->server, POLLIN, 1000);
    CALL("readv", readv(p->server, in, 2));
    VALUE("in order", !memcmp(some, "abc", 3) && !memcmp(some + 10, "def", 3));
    struct msghdr msg = {.msg_iov = out, .msg_iovlen = 3};
    CALL("sendmsg", sendmsg(p->client, &msg, 0));
    poll_one(p->server, POLLIN, 1000);
    msg = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
    CALL("recvmsg", recvmsg(p->server, &msg, 0));
    VALUE("its flags", msg.msg_flags);
    struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = out, .msg_iovlen = 1}},
                              {.msg_hdr = {.msg_iov = out + 2, .msg_iovlen = 1}}};
    CALL("sendmmsg", sendmmsg(p->client, many, 2, 0));
    VALUE("lengths", many[0].msg_len * 10 + many[1].msg_len);
    CALL("MSG_WAITALL", recv(p->server, some, 6, MSG_WAITALL));
    CALL("writev of a negative count", writev(p->client, out, minus));
    CALL("writev of nothing", writev(p->client, out, 0));
    CALL("MSG_OOB read", recv(p->server, some, 1, MSG_OOB));
    CALL("write of nothing", write(p->client, "", 0));
    CALL("send", send(p->client, "xy", 2, MSG_NOSIGNAL));
    CALL("sendto of a connected one", sendto(p->client, "z", 1, 0, (struct sockaddr *)&p->addr, sizeof p->addr));
    CALL("those", read_whole(p->server, some, 3));
    struct timeval t = {0, 60000};
    setsockopt(p->server, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    unsigned start = milliseconds();
    CALL("read with SO_RCVTIMEO", read(p->server, some, 1));
    VALUE("took its time", milliseconds() - start >= 50);
    t = (struct timeval){0};
    setsockopt(p->server, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

static void *write_all(void *arg)
{
    struct pair *p = arg;
    char *large = calloc(1, LARGE);
    for (int i = 0; i < LARGE; i++) large[i] = (char)(i * 7 + i / 1000);
    size_t done = 0;
    while (done < LARGE) {
        ssize_t n = write(p->client, large + done, LARGE - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    free(large);
    return (void *)done;
}

static void bulk(struct pair *p)
{
    static char large[LARGE];
    pthread_t thread;
    void *sent = NULL;
    pthread_create(&thread, NULL, write_all, p);
    size_t done = 0;
    while (done < LARGE) {
        ssize_t n = read(p->server, large + done, done % 3 ? 1000 : 100000);
        if (n <= 0) break;
        done += (size_t)n;
    }
    pthread_join(thread, &sent);
    bool same = true;
    for (int i = 0; i < LARGE; i++) same &= large[i] == (char)(i * 7 + i / 1000);
    VALUE("3 MB written", (size_t)sent);
    VALUE("3 MB read", done);
    VALUE("the same", same);
    /* until there is no room */
    nonblock(p->client, true);
    size_t filled = 0;
    ssize_t n;
    while ((n = write(p->client, large, 65536)) > 0 && filled < 100u << 20) filled += (size_t)n;
    CALL("write without room", n);
    VALUE("some had room", filled > 65536);
    VALUE("is not writable", poll_one(p->client, POLLOUT, 0));
    size_t emptied = 0;
    while (emptied < filled && poll_one(p->server, POLLIN, 1000) & POLLIN && (n = read(p->server, large, LARGE)) > 0)
        emptied += (size_t)n;
    VALUE("all of it came", emptied == filled);
    VALUE("is writable again", poll_one(p->client, POLLOUT, 1000));
    nonblock(p->client, false);
}

void bytes(void)
{
    struct pair p = new_pair();
    reading(&p);
    bulk(&p);
    close_pair(&p);
}

/* --- ends --- */

void endings(void)
{
    char some[16];
    int err = 0;
    socklen_t n = sizeof err;
    struct pair p = new_pair();
    write(p.client, "last", 4);
    CALL("shutdown WR", shutdown(p.client, SHUT_WR));
    CALL("write afterwards", send(p.client, "x", 1, MSG_NOSIGNAL));
    VALUE("poll of the half that is closed", poll_one(p.client, POLLIN | POLLOUT | POLLRDHUP, 0));
    usleep(20000);
    VALUE("poll of the other", poll_one(p.server, POLLIN | POLLOUT | POLLRDHUP, 1000));
    CALL("reads what came before", read(p.server, some, 16));
    CALL("reads the end", read(p.server, some, 16));
    CALL("reads the end again", read(p.server, some, 16));
    CALL("writes the other way", write(p.server, "back", 4));
    CALL("which comes", read_whole(p.client, some, 4));
    CALL("shutdown of both", shutdown(p.server, SHUT_RDWR));
    VALUE("poll says hung up", poll_one(p.server, POLLIN | POLLOUT | POLLRDHUP, 0));
    CALL("shutdown of a wrong way", shutdown(p.client, 9));
    close_pair(&p);
    p = new_pair();
    CALL("shutdown RD", shutdown(p.server, SHUT_RD));
    CALL("reads 0", read(p.server, some, 16));
    VALUE("poll after SHUT_RD", poll_one(p.server, POLLIN | POLLOUT | POLLRDHUP, 0));
    CALL("writes still", write(p.server, "abc", 3));
    close_pair(&p);
    p = new_pair();
    struct linger l = {.l_onoff = 1};
    CALL("SO_LINGER 0", setsockopt(p.server, SOL_SOCKET, SO_LINGER, &l, sizeof l));
    close(p.server);
    VALUE("the peer sees a reset", poll_one(p.client, POLLIN | POLLOUT | POLLRDHUP, 1000));
    CALL("read of a reset one", read(p.client, some, 16));
    CALL("read after that", read(p.client, some, 16));
    CALL("write after that", send(p.client, "x", 1, MSG_NOSIGNAL));
    getsockopt(p.client, SOL_SOCKET, SO_ERROR, &err, &n);
    VALUE("SO_ERROR", err);
    close(p.client), close(p.listener);
    p = new_pair();
    write(p.client, "unread", 6);
    poll_one(p.server, POLLIN, 1000);
    close(p.server);
    poll_one(p.client, POLLIN, 1000);
    CALL("closed with bytes unread", read(p.client, some, 16));
    close(p.client), close(p.listener);
    p = new_pair();
    close(p.server);
    poll_one(p.client, POLLIN, 1000);
    CALL("write to who has gone", send(p.client, "x", 1, MSG_NOSIGNAL));
    poll_one(p.client, POLLERR, 1000);
    usleep(20000);
    CALL("and again", send(p.client, "x", 1, MSG_NOSIGNAL));
    close(p.client), close(p.listener);
}

/* --- options --- */

static int get(int fd, int level, int name)
{
    int value = -77;
    socklen_t n = sizeof value;
    return getsockopt(fd, level, name, &value, &n) ? -errno : value;
}

static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

void options(void)
{
    struct pair p = new_pair();
    struct tcp_info info;
    struct timeval t = {3, 0};
    socklen_t n = sizeof info;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    VALUE("SO_TYPE", get(p.client, SOL_SOCKET, SO_TYPE));
    VALUE("SO_DOMAIN", get(p.client, SOL_SOCKET, SO_DOMAIN));
    VALUE("SO_PROTOCOL", get(p.client, SOL_SOCKET, SO_PROTOCOL));
    VALUE("SO_ACCEPTCONN", get(p.listener, SOL_SOCKET, SO_ACCEPTCONN));
    VALUE("SO_ACCEPTCONN of a connection", get(p.client, SOL_SOCKET, SO_ACCEPTCONN));
    VALUE("SO_ERROR", get(p.client, SOL_SOCKET, SO_ERROR));
    CALL("set TCP_NODELAY", set(p.client, IPPROTO_TCP, TCP_NODELAY, 1));
    VALUE("TCP_NODELAY", get(p.client, IPPROTO_TCP, TCP_NODELAY) != 0);
    CALL("set SO_KEEPALIVE before connect", set(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
    CALL("set TCP_KEEPIDLE before connect", set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77));
    CALL("set IP_TOS before connect", set(fd, IPPROTO_IP, IP_TOS, 16));
    CALL("connect", connect(fd, (struct sockaddr *)&p.addr, sizeof p.addr));
    VALUE("SO_KEEPALIVE is kept", get(fd, SOL_SOCKET, SO_KEEPALIVE));
    VALUE("TCP_KEEPIDLE is kept", get(fd, IPPROTO_TCP, TCP_KEEPIDLE));
    VALUE("IP_TOS is kept", get(fd, IPPROTO_IP, IP_TOS));
    CALL("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n));
    VALUE("established", info.tcpi_state == TCP_ESTABLISHED);
    VALUE("TCP_MAXSEG", get(fd, IPPROTO_TCP, TCP_MAXSEG) > 500);
    CALL("set SO_RCVTIMEO", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    n = sizeof t;
    t.tv_sec = 0;
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &n);
    VALUE("SO_RCVTIMEO", t.tv_sec);
    CALL("set SO_SNDBUF", set(fd, SOL_SOCKET, SO_SNDBUF, 100000));
    VALUE("SO_SNDBUF", get(fd, SOL_SOCKET, SO_SNDBUF) >= 100000);
    CALL("an unknown option", set(fd, SOL_SOCKET, 12345, 1));
    VALUE("is unknown to get", get(fd, IPPROTO_TCP, 12345));
    CALL("an unknown level", set(fd, 4444, 1, 1));
    CALL("an option cut", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &n, 1));
    close(fd);
    close_pair(&p);
}

/* --- datagrams --- */

static int new_dgram(struct sockaddr_in *addr)
{
    socklen_t n = sizeof *addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *addr = loopback(0);
    if (bind(fd, (struct sockaddr *)addr, n) || getsockname(fd, (struct sockaddr *)addr, &n)) abort();
    return fd;
}

void datagrams(void)
{
    struct sockaddr_in a, b, from;
    socklen_t n = sizeof from;
    char some[4000];
    int x = new_dgram(&a), y = new_dgram(&b), left = 0, fd = socket(AF_INET, SOCK_DGRAM, 0);
    CALL("send without an address", send(fd, "x", 1, 0));
    CALL("sendto", sendto(x, "hello", 5, 0, (struct sockaddr *)&b, sizeof b));
    VALUE("is readable", poll_one(y, POLLIN | POLLOUT, 1000));
    CALL("FIONREAD", ioctl(y, FIONREAD, &left));
    VALUE("its length", left);
    CALL("peek", recvfrom(y, some, 2, MSG_PEEK, NULL, NULL));
    CALL("recvfrom", recvfrom(y, some, sizeof some, 0, (struct sockaddr *)&from, &n));
    VALUE("from whom", from.sin_port == a.sin_port && n == sizeof from);
    CALL("sendto two", sendto(x, "one", 3, 0, (struct sockaddr *)&b, sizeof b));
    CALL("and two", sendto(x, "two!", 4, 0, (struct sockaddr *)&b, sizeof b));
    poll_one(y, POLLIN, 1000);
    usleep(5000);
    CALL("a short buffer cuts", recv(y, some, 2, 0));
    CALL("the next is whole", recv(y, some, 100, 0));
    CALL("sendto a third", sendto(x, "three", 5, 0, (struct sockaddr *)&b, sizeof b));
    poll_one(y, POLLIN, 1000);
    CALL("MSG_TRUNC tells", recv(y, some, 2, MSG_TRUNC));
    CALL("nothing", recv(y, some, 2, MSG_DONTWAIT));
    CALL("connect", connect(x, (struct sockaddr *)&b, sizeof b));
    CALL("send", send(x, some, 3000, 0));
    poll_one(y, POLLIN, 1000);
    struct iovec iov = {some, 2000};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = sizeof from};
    CALL("recvmsg", recvmsg(y, &msg, 0));
    VALUE("says it is cut", msg.msg_flags & MSG_TRUNC);
    VALUE("and from whom", from.sin_port == a.sin_port);
    CALL("too long", sendto(y, some, 70000 > sizeof some ? 0x11170 : 1, 0, (struct sockaddr *)&a, sizeof a));
    CALL("sendto from an unbound one", sendto(fd, "hi", 2, 0, (struct sockaddr *)&b, sizeof b));
    CALL("comes", read_whole(y, some, 2));
    struct timeval t = {0, 50000};
    setsockopt(y, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    CALL("recv with SO_RCVTIMEO", recv(y, some, 2, 0));
    CALL("accept of datagrams", accept(y, NULL, NULL));
    close(x), close(y), close(fd);
}

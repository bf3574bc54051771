/* SPDX-License-Identifier: MIT
 *
 * A port is held by a socket of the kernel that is bound to interface and address and throws away what comes: a filter
 * of one instruction, "ret 0". A stream socket listens, since two that only are bound with SO_REUSEADDR may share a
 * port, and without SO_REUSEADDR connections in TIME-WAIT of whoever had the port before would keep us from it. As long
 * as it is there the kernel does not answer our peers' segments with resets either, whatever became of the rest
 * (libos/packet/guard.c): it has a socket for them, whose filter drops them.
 *
 * Bound to the interface (SO_BINDTODEVICE), so that a program on this machine that connects to our address by the
 * loopback is refused at once, as before, instead of waiting for an answer.
 *
 *     process ── kport {ifindex, proto, port, users} ── a socket for each of the interface's addresses
 */
#include "libos/inet/kport.h"

#include "alloc/base/log.h"
#include "libos/inet/owner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 16
#define LINES_MAX     (1 << 20) /* of /proc/net/tcp */

struct kport {
    struct kport *next;
    unsigned ifindex, users;
    uint16_t port;
    uint8_t proto, fd_count;
    int fds[ADDRESSES_MAX];
};

static struct kport *kports;
static pthread_mutex_t kports_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void let_go(struct kport *k)
{
    while (k->fd_count) close(k->fds[--k->fd_count]);
}

/* What the parent has is not the child's, whose descriptors must not outlive it. */
static void kport_fork_prepare(void) { pthread_mutex_lock(&kports_lock); }
static void kport_fork_parent(void) { pthread_mutex_unlock(&kports_lock); }
static void kport_fork_child(void)
{
    for (struct kport *k; (k = kports);) {
        kports = k->next;
        let_go(k);
        free(k);
    }
    pthread_mutex_unlock(&kports_lock);
}
static void watch_forks(void) { pthread_atfork(kport_fork_prepare, kport_fork_parent, kport_fork_child); }

/* --- whose it is --- */

/* The address as /proc/net/tcp shows it (proc(5)): words of the host's order in hexadecimal. */
static void put_words(const void *addr, unsigned words, char *out)
{
    for (unsigned i = 0; i < words; i++) {
        uint32_t w;
        memcpy(&w, (const char *)addr + 4 * i, sizeof w);
        snprintf(out + 8 * i, 9, "%08X", w);
    }
}

/* The inode of the socket that stands in the way of this port, 0: not to be seen: one bound to the address or to all.
 * A stream that listens has state 0A; a datagram socket may have any. */
static uint64_t inode_in(const char *file, const char *addr, uint16_t port, bool listening)
{
    char line[512], at[40];
    uint64_t found = 0;
    FILE *f = fopen(file, "re");
    if (!f) return 0;
    for (unsigned i = 0; !found && i < LINES_MAX && fgets(line, sizeof line, f); i++) {
        unsigned local, state;
        uint64_t inode;
        if (sscanf(line, "%*d: %39[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %" SCNu64, at, &local, &state, &inode) != 4)
            continue;
        bool covers = !strcmp(at, addr) || strspn(at, "0") == strlen(at);
        if (local == port && covers && (!listening || state == 0x0a)) found = inode;
    }
    fclose(f);
    return found;
}

static void say_taken(unsigned ifindex, const struct sockaddr *a, uint8_t proto, uint16_t port)
{
    bool tcp = proto == IPPROTO_TCP;
    char name[IF_NAMESIZE] = "?", text[INET6_ADDRSTRLEN] = "?", who[OWNER_WHO_SIZE];
    const void *addr = a->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a)->sin_addr
                                               : (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;
    if_indextoname(ifindex, name);
    inet_ntop(a->sa_family, addr, text, sizeof text);
    char words[40];
    bool v4 = a->sa_family == AF_INET;
    put_words(addr, v4 ? 1 : 4, words);
    uint64_t inode = v4 ? inode_in(tcp ? "/proc/net/tcp" : "/proc/net/udp", words, port, tcp) : 0;
    if (!inode) inode = inode_in(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", words, port, tcp);
    owner_of_inode(inode, who, sizeof who);
    log_warning(NULL, "%s port %u of %s, an address of the kernel's on %s, is taken by %s", tcp ? "TCP" : "UDP", port,
                text, name, who);
}

/* --- sockets --- */

/* A descriptor; -EADDRINUSE; another error: it cannot be held. */
static int hold(unsigned ifindex, const struct sockaddr *a, socklen_t len, uint8_t proto)
{
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const struct sock_fprog prog = {.len = 1, .filter = nothing};
    char name[IF_NAMESIZE];
    int one = 1, fd = socket(a->sa_family, (proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int bad = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) || !if_indextoname(ifindex, name) ||
              setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) ||
              (proto == IPPROTO_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one)) ||
              (a->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one)) ||
              bind(fd, a, len) || (proto == IPPROTO_TCP && listen(fd, 1));
    if (!bad) return fd;
    int err = -errno;
    close(fd);
    return err;
}

static int hold_all(struct kport *k, bool say)
{
    struct ifaddrs *all;
    char name[IF_NAMESIZE];
    int err = 0;
    k->fd_count = 0;
    if (!if_indextoname(k->ifindex, name) || getifaddrs(&all)) return 0;
    for (const struct ifaddrs *i = all; i && !err && k->fd_count < ADDRESSES_MAX; i = i->ifa_next) {
        union {
            struct sockaddr any;
            struct sockaddr_in v4;
            struct sockaddr_in6 v6;
        } a;
        if (!i->ifa_addr || strcmp(i->ifa_name, name)) continue;
        bool v4 = i->ifa_addr->sa_family == AF_INET;
        if (!v4 && i->ifa_addr->sa_family != AF_INET6) continue;
        memset(&a, 0, sizeof a);
        memcpy(&a, i->ifa_addr, v4 ? sizeof a.v4 : sizeof a.v6);
        if (v4) a.v4.sin_port = htons(k->port);
        else a.v6.sin6_port = htons(k->port);
        int fd = hold(k->ifindex, &a.any, v4 ? sizeof a.v4 : sizeof a.v6, k->proto);
        if (fd >= 0) k->fds[k->fd_count++] = fd;
        else if (fd == -EADDRINUSE) err = fd;
        if (err && say) say_taken(k->ifindex, &a.any, k->proto, k->port);
    }
    freeifaddrs(all);
    return err;
}

/* --- ports --- */

static struct kport **kport_find(unsigned ifindex, uint8_t proto, uint16_t port)
{
    struct kport **at = &kports;
    while (*at && ((*at)->ifindex != ifindex || (*at)->proto != proto || (*at)->port != port)) at = &(*at)->next;
    return at;
}

static int take_new(unsigned ifindex, uint8_t proto, uint16_t port)
{
    struct kport *k = malloc(sizeof *k);
    if (!k) return -ENOMEM;
    *k = (struct kport){.ifindex = ifindex, .proto = proto, .port = port, .users = 1, .next = kports};
    int err = hold_all(k, true);
    if (err) {
        let_go(k);
        free(k);
        return err;
    }
    kports = k;
    return 0;
}

int kport_take(unsigned ifindex, uint8_t proto, uint16_t port)
{
    int err = 0;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&kports_lock);
    struct kport *k = *kport_find(ifindex, proto, port);
    if (k) k->users++;
    else err = take_new(ifindex, proto, port);
    pthread_mutex_unlock(&kports_lock);
    return err;
}

void kport_give(unsigned ifindex, uint8_t proto, uint16_t port)
{
    pthread_mutex_lock(&kports_lock);
    struct kport **at = kport_find(ifindex, proto, port), *k = *at;
    if (k && !--k->users) {
        *at = k->next;
        let_go(k);
        free(k);
    }
    pthread_mutex_unlock(&kports_lock);
}

void kport_move(unsigned from, unsigned to)
{
    pthread_mutex_lock(&kports_lock);
    for (struct kport *k = kports; k; k = k->next) {
        if (k->ifindex != from && k->ifindex != to) continue;
        let_go(k);
        k->ifindex = to;
        hold_all(k, true);
    }
    pthread_mutex_unlock(&kports_lock);
}

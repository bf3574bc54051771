/* SPDX-License-Identifier: MIT
 *
 * A name is held by a datagram socket in the abstract namespace (unix(7)): it belongs to one network namespace, as
 * interfaces do, needs no rights and no file, and goes with the process however that ends. Its address is a hash of the
 * name, since paths are longer than an address has room for.
 */
#include "libos/inet/owner.h"

#include "alloc/base/hash.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROCESSES_MAX 65536 /* looked through for an owner */
#define FDS_MAX       4096  /* of each */

struct owned {
    struct owned *next;
    unsigned count;
    int fd;
    char what[];
};

static struct owned *owned;
static pthread_mutex_t owned_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What the parent has is not the child's, whose descriptors must not outlive it. */
static void owner_fork_prepare(void) { pthread_mutex_lock(&owned_lock); }
static void owner_fork_parent(void) { pthread_mutex_unlock(&owned_lock); }
static void owner_fork_child(void)
{
    for (struct owned *o; (o = owned);) {
        owned = o->next;
        if (o->fd >= 0) close(o->fd);
        free(o);
    }
    pthread_mutex_unlock(&owned_lock);
}
static void watch_forks(void) { pthread_atfork(owner_fork_prepare, owner_fork_parent, owner_fork_child); }

/* --- who it is --- */

static bool has_socket(const char *pid, const char *link)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    DIR *fds = opendir(path);
    bool found = false;
    if (!fds) return false;
    unsigned looked = 0;
    for (struct dirent *e; !found && looked < FDS_MAX && (e = readdir(fds)); looked++) {
        ssize_t n = readlinkat(dirfd(fds), e->d_name, text, sizeof text - 1);
        if (n <= 0) continue;
        text[n] = 0;
        found = !strcmp(text, link);
    }
    closedir(fds);
    return found;
}

static void name_process(const char *pid, char *who, size_t who_size)
{
    char path[64], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%.16s/comm", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        if (!fgets(comm, sizeof comm, f)) comm[0] = 0;
        fclose(f);
    }
    comm[strcspn(comm, "\n")] = 0;
    snprintf(who, who_size, "%s (pid %.16s)", *comm ? comm : "a process", pid);
}

void owner_of_inode(uint64_t inode, char *who, size_t who_size)
{
    char link[64];
    if (!who || !who_size) return;
    snprintf(who, who_size, "another process");
    DIR *proc = inode ? opendir("/proc") : NULL;
    if (!proc) return;
    snprintf(link, sizeof link, "socket:[%" PRIu64 "]", inode);
    unsigned looked = 0;
    for (struct dirent *e; looked < PROCESSES_MAX && (e = readdir(proc)); looked++) {
        if (!isdigit((unsigned char)e->d_name[0]) || !has_socket(e->d_name, link)) continue;
        name_process(e->d_name, who, who_size);
        break;
    }
    closedir(proc);
}

/* Of the abstract socket of this name: /proc/net/unix shows it with an @. */
static uint64_t inode_of(const char *name)
{
    char line[512], path[192];
    uint64_t inode = 0, found = 0;
    FILE *f = fopen("/proc/net/unix", "re");
    if (!f) return 0;
    while (!found && fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %*s %*s %*s %*s %*s %" SCNu64 " %191s", &inode, path) == 2 && path[0] == '@' &&
            !strcmp(path + 1, name))
            found = inode;
    fclose(f);
    return found;
}

/* --- names --- */

static struct owned **owner_find(const char *what)
{
    struct owned **at = &owned;
    while (*at && strcmp((*at)->what, what)) at = &(*at)->next;
    return at;
}

static int hold(const char *what, int *fd_out, char *who, size_t who_size)
{
    static const uint8_t key[16] = "demikernel-owner"; /* the same in every process: it only shortens */
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(what);
    int len = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "demikernel/%016" PRIx64, siphash24(what, n, key));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *fd_out = fd;
    if (fd < 0) return 0;
    if (!bind(fd, (const void *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len))) return 0;
    bool taken = errno == EADDRINUSE;
    close(fd);
    *fd_out = -1;
    if (!taken) return 0;
    owner_of_inode(inode_of(a.sun_path + 1), who, who_size);
    return -EADDRINUSE;
}

static int take_new(const char *what, char *who, size_t who_size)
{
    size_t n = strlen(what) + 1;
    struct owned *o = malloc(sizeof *o + n);
    if (!o) return -ENOMEM;
    memcpy(o->what, what, n);
    int err = hold(what, &o->fd, who, who_size);
    if (err) {
        free(o);
        return err;
    }
    o->count = 1;
    o->next = owned;
    owned = o;
    return 0;
}

int owner_take(const char *what, char *who, size_t who_size)
{
    int err = 0;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&owned_lock);
    struct owned *o = *owner_find(what);
    if (o) o->count++;
    else err = take_new(what, who, who_size);
    pthread_mutex_unlock(&owned_lock);
    return err;
}

void owner_give(const char *what)
{
    pthread_mutex_lock(&owned_lock);
    struct owned **at = owner_find(what), *o = *at;
    if (o && !--o->count) {
        *at = o->next;
        if (o->fd >= 0) close(o->fd);
        free(o);
    }
    pthread_mutex_unlock(&owned_lock);
}

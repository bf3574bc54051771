/* SPDX-License-Identifier: MIT
 *
 * Locks of an open folder, which need no file of their own, hold no room on the disk, stay when the file is replaced by
 * the next save, and end with the process, however it ends. A folder can only be opened for reading, and so has read
 * locks only, which never conflict; but who asks whether a write lock were possible hears of every read lock of others:
 *
 *     byte 0                   somebody saves in this folder
 *     byte 1 + hash(name)      somebody saves to this name
 *
 * They belong to the open file (F_OFD_SETLK), since those of a process go as soon as it closes any descriptor of the
 * folder, which each save does. The kernel keeps locks of folders itself on network file systems, too: asking waits for
 * nothing, and another machine is not seen.
 */
#include "server/persist/claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/hash.h"
#include "server/observe/log.h"
#include "server/server.h"

#define FOLDER_BYTE 0

/* The same in every process. */
static off_t name_byte(const char *name)
{
    static const uint8_t key[16] = {0};
    return (off_t)(1 + (siphash24(name, strlen(name), key) >> 2)); /* not negative, nor beyond the largest */
}

static int lock(int fd, int command, short type, off_t at, struct flock *l)
{
    *l = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, command, l);
}

static bool has_other(int fd, off_t at)
{
    struct flock l;
    return fd >= 0 && lock(fd, F_OFD_GETLK, F_WRLCK, at, &l) == 0 && l.l_type != F_UNLCK;
}

int claim_name(int fd, const char *name)
{
    struct flock l;
    return lock(fd, F_OFD_SETLK, F_RDLCK, name_byte(name), &l) == 0 ? 0 : -errno;
}

bool claim_has_other(int fd, const char *name) { return has_other(fd, name_byte(name)); }

void claim_init(struct claim *c) { *c = (struct claim){.fd = -1}; }

void claim_fini(struct claim *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

void claim_take(struct server *srv, const char *name)
{
    struct claim *c = &srv->persist.claim;
    struct flock l;
    claim_fini(c);
    c->told = false;
    if (!srv->in_a_process) return; /* a simulated server has a disk of its own */
    c->fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->fd < 0) return;
    if (lock(c->fd, F_OFD_SETLK, F_RDLCK, FOLDER_BYTE, &l) == 0 &&
        lock(c->fd, F_OFD_SETLK, F_RDLCK, name_byte(name), &l) == 0)
        return;
    claim_fini(c);
}

void claim_look(struct server *srv)
{
    struct claim *c = &srv->persist.claim;
    bool other = claim_has_other(c->fd, srv->config->dbfilename);
    if (other && !c->told)
        server_log(srv, LOG_WARNING_LEVEL,
                   "WARNING: another server saves to %s in the same folder. Each save replaces what the other one has "
                   "saved: give one of them another 'dir' or 'dbfilename', or no save points.",
                   srv->config->dbfilename);
    c->told = other;
}

/* temp-PID.rdb of a save in the foreground, as redis-server calls all of its own; temp-PID-NUMBER.rdb of one in the
 * background. */
static bool is_leftover(const char *name)
{
    int pid, n = 0;
    unsigned number;
    if (sscanf(name, "temp-%d-%u.rdb%n", &pid, &number, &n) == 2 && n && !name[n]) return true;
    n = 0;
    if (sscanf(name, "temp-%d.rdb%n", &pid, &n) != 1 || !n || name[n] || pid <= 0) return false;
    return pid == getpid() || (kill(pid, 0) < 0 && errno == ESRCH);
}

void claim_clear_leftovers(struct server *srv)
{
    if (srv->persist.claim.fd < 0 || has_other(srv->persist.claim.fd, FOLDER_BYTE)) return;
    DIR *folder = opendir(".");
    if (!folder) return;
    for (struct dirent *e; (e = readdir(folder));) {
        if (!is_leftover(e->d_name)) continue;
        if (unlink(e->d_name) == 0)
            server_log(srv, LOG_NOTICE_LEVEL, "Removed %s, which a save that did not end has left", e->d_name);
    }
    closedir(folder);
}

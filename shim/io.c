/* SPDX-License-Identifier: MIT
 *
 * The calls that read and write, in all their spellings; the fortified ones end the program on a buffer that is too
 * small, as libc's do.
 */
#include "shim/engine.h"
#include "shim/fds.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/sock.h"

#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_BYTES 65536 /* of sendfile() at a time */

void __chk_fail(void) __attribute__((noreturn)); /* libc's */

/* f is locked; the result is the program's. */
static ssize_t read_end(struct shim_file *f, const struct iovec *iov, int count, int flags, struct sockaddr *addr,
                        socklen_t *size, int *flags_out)
{
    shim_file_hold(f);
    ssize_t n = shim_read(f, iov, count, flags, addr, size, flags_out);
    shim_items_quiet(f);
    shim_file_unhold(f);
    shim_unlock();
    return answer(n);
}

WRAP(ssize_t, read, (int fd, void *p, size_t n))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLIN, 0, REAL(read)(fd, p, n));
    return read_end(f, &(struct iovec){p, n}, 1, 0, NULL, NULL, NULL);
}

WRAP(ssize_t, recv, (int fd, void *p, size_t n, int flags))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLIN, flags, REAL(recv)(fd, p, n, flags));
    return read_end(f, &(struct iovec){p, n}, 1, flags, NULL, NULL, NULL);
}

WRAP(ssize_t, recvfrom, (int fd, void *p, size_t n, int flags, struct sockaddr *addr, socklen_t *size))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLIN, flags, REAL(recvfrom)(fd, p, n, flags, addr, size));
    return read_end(f, &(struct iovec){p, n}, 1, flags, addr, size, NULL);
}

WRAP(ssize_t, readv, (int fd, const struct iovec *iov, int count))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLIN, 0, REAL(readv)(fd, iov, count));
    if (count < 0 || count > IOV_MAX) {
        shim_unlock();
        return answer(-EINVAL);
    }
    return read_end(f, iov, count, 0, NULL, NULL, NULL);
}

static ssize_t recv_message(struct shim_file *f, struct msghdr *msg, int flags)
{
    int flags_out = 0;
    if (msg->msg_iovlen > IOV_MAX) return -EMSGSIZE;
    ssize_t n = shim_read(f, msg->msg_iov, (int)msg->msg_iovlen, flags, msg->msg_name,
                          msg->msg_name ? &msg->msg_namelen : NULL, &flags_out);
    if (n < 0) return n;
    msg->msg_flags = flags_out;
    msg->msg_controllen = 0;
    return n;
}

WRAP(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLIN, flags, REAL(recvmsg)(fd, msg, flags));
    shim_file_hold(f);
    ssize_t n = recv_message(f, msg, flags);
    shim_items_quiet(f);
    shim_file_unhold(f);
    shim_unlock();
    return answer(n);
}

WRAP(int, recvmmsg, (int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(recvmmsg)(fd, msgs, count, flags, timeout);
    ssize_t n = 0;
    unsigned done = 0;
    shim_file_hold(f);
    for (; done < count && n >= 0; done += n >= 0) {
        n = recv_message(f, &msgs[done].msg_hdr,
                         (flags & ~MSG_WAITFORONE) | (done && flags & MSG_WAITFORONE ? MSG_DONTWAIT : 0));
        if (n >= 0) msgs[done].msg_len = (unsigned)n;
        if (n == 0 && f->type == SOCK_STREAM) {
            done++;
            break;
        }
    }
    shim_file_unhold(f);
    shim_unlock();
    return (int)answer(done ? (ssize_t)done : n);
}

static ssize_t write_end(struct shim_file *f, int fd, const struct iovec *iov, int count, int flags,
                         const struct sockaddr *addr, socklen_t size)
{
    shim_file_hold(f);
    ssize_t n = shim_write(f, fd, iov, count, flags, addr, size);
    if (unlikely(f->blocked)) shim_items_quiet(f);
    shim_file_unhold(f);
    shim_unlock();
    if (n != -EXDEV) return answer(n);
    struct msghdr msg = {.msg_name = (void *)(uintptr_t)addr,
                         .msg_namelen = size,
                         .msg_iov = (void *)(uintptr_t)iov,
                         .msg_iovlen = (size_t)count};
    return REAL(sendmsg)(fd, &msg, flags);
}

WRAP(ssize_t, write, (int fd, const void *p, size_t n))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLOUT, 0, REAL(write)(fd, p, n));
    return write_end(f, fd, &(struct iovec){(void *)(uintptr_t)p, n}, 1, 0, NULL, 0);
}

WRAP(ssize_t, send, (int fd, const void *p, size_t n, int flags))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLOUT, flags, REAL(send)(fd, p, n, flags));
    return write_end(f, fd, &(struct iovec){(void *)(uintptr_t)p, n}, 1, flags, NULL, 0);
}

WRAP(ssize_t, sendto, (int fd, const void *p, size_t n, int flags, const struct sockaddr *addr, socklen_t size))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLOUT, flags, REAL(sendto)(fd, p, n, flags, addr, size));
    return write_end(f, fd, &(struct iovec){(void *)(uintptr_t)p, n}, 1, flags, addr, size);
}

WRAP(ssize_t, writev, (int fd, const struct iovec *iov, int count))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLOUT, 0, REAL(writev)(fd, iov, count));
    if (count < 0 || count > IOV_MAX) {
        shim_unlock();
        return answer(-EINVAL);
    }
    return write_end(f, fd, iov, count, 0, NULL, 0);
}

/* Descriptors of ours cannot go to another process: it would get the shadow. */
static bool hands_ours_over(const struct msghdr *msg)
{
    if (!msg->msg_control || msg->msg_controllen < sizeof(struct cmsghdr)) return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0)) continue;
        for (size_t i = 0; i + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); i += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i, sizeof fd);
            struct shim_file *f = shim_file_at(fd);
            if (f && f->qd >= 0) return true;
        }
    }
    return false;
}

WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags))
{
    if (msg && unlikely(hands_ours_over(msg))) {
        shim_count(COUNT_REFUSED);
        shim_log("SCM_RIGHTS with a socket of ours: refused");
        return answer(-EINVAL);
    }
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLOUT, flags, REAL(sendmsg)(fd, msg, flags));
    if (msg->msg_iovlen > IOV_MAX) {
        shim_unlock();
        return answer(-EMSGSIZE);
    }
    return write_end(f, fd, msg->msg_iov, (int)msg->msg_iovlen, flags, msg->msg_namelen ? msg->msg_name : NULL,
                     msg->msg_namelen);
}

WRAP(int, sendmmsg, (int fd, struct mmsghdr *msgs, unsigned count, int flags))
{
    if (likely(!shim_file_at(fd))) return REAL(sendmmsg)(fd, msgs, count, flags);
    unsigned done = 0;
    for (; done < count; done++) {
        ssize_t n = call_sendmsg(fd, &msgs[done].msg_hdr, flags);
        if (n < 0) break;
        msgs[done].msg_len = (unsigned)n;
    }
    return done || !count ? (int)done : -1;
}

/* --- from files --- */

static ssize_t copy_out(int out, int in, off_t *offset, size_t n)
{
    size_t done = 0;
    char *some = malloc(COPY_BYTES);
    if (!some) return answer(-ENOMEM);
    off_t at = offset ? *offset : lseek(in, 0, SEEK_CUR);
    ssize_t sent = 0;
    while (done < n && at >= 0) {
        size_t part = n - done < COPY_BYTES ? n - done : COPY_BYTES;
        ssize_t got = pread(in, some, part, at);
        sent = got > 0 ? call_send(out, some, (size_t)got, (size_t)got < n - done && got == COPY_BYTES ? MSG_MORE : 0)
                       : got;
        if (sent <= 0) break;
        done += (size_t)sent;
        at += sent;
        if (sent < got) break;
    }
    free(some);
    if (at < 0) return answer(-ESPIPE);
    if (!done && sent < 0) return -1;
    if (offset) *offset = at;
    else lseek(in, at, SEEK_SET);
    return (ssize_t)done;
}

WRAP(ssize_t, sendfile, (int out, int in, off_t *offset, size_t n))
{
    if (shim_file_at(in)) return answer(-EINVAL);
    if (likely(!shim_file_at(out))) return REAL(sendfile)(out, in, offset, n);
    return copy_out(out, in, offset, n);
}
WRAP(ssize_t, sendfile64, (int out, int in, off_t *offset, size_t n)) { return call_sendfile(out, in, offset, n); }

/* Programs copy themselves when they hear this. */
WRAP(ssize_t, splice, (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags))
{
    if (likely(!shim_file_at(in) && !shim_file_at(out))) return REAL(splice)(in, in_at, out, out_at, n, flags);
    shim_count(COUNT_REFUSED);
    return answer(-EINVAL);
}

/* --- fortified --- */

WRAP(ssize_t, __read_chk, (int fd, void *p, size_t n, size_t room))
{
    if (unlikely(n > room)) __chk_fail();
    return call_read(fd, p, n);
}
WRAP(ssize_t, __recv_chk, (int fd, void *p, size_t n, size_t room, int flags))
{
    if (unlikely(n > room)) __chk_fail();
    return call_recv(fd, p, n, flags);
}
WRAP(ssize_t, __recvfrom_chk,
     (int fd, void *p, size_t n, size_t room, int flags, struct sockaddr *addr, socklen_t *size))
{
    if (unlikely(n > room)) __chk_fail();
    return call_recvfrom(fd, p, n, flags, addr, size);
}
WRAP(ssize_t, __read, (int fd, void *p, size_t n)) { return call_read(fd, p, n); }
WRAP(ssize_t, __write, (int fd, const void *p, size_t n)) { return call_write(fd, p, n); }
WRAP(ssize_t, __send, (int fd, const void *p, size_t n, int flags)) { return call_send(fd, p, n, flags); }

/* SPDX-License-Identifier: MIT
 *
 * Bytes and datagrams in and out, and what completes.
 *
 * A pop is outstanding on every connection that has room for what it brings: so readiness is known without asking, and
 * the end of a stream is seen behind bytes that the program has not read. What came lies in f->in until it is read.
 *
 * A write is copied by the library and leaves at once. When more than SO_SNDBUF waits the program has to wait, until
 * half of it has left.
 */
#include "shim/care.h"
#include "shim/engine.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/sock.h"

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ACCEPTED_MAX 64
#define DGRAM_MAX    65507
#define KNOWN_IN     (MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_TRUNC | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC)

/* --- asking --- */

void shim_ask(struct shim_file *f)
{
    demi_qtoken_t qt;
    if (f->popping || f->eof || f->qd < 0 || f->ended) return;
    if (f->in_count >= SHIM_PIECES || f->in_bytes >= SHIM_IN_BYTES) return;
    if (!f->in) f->in = calloc(SHIM_PIECES, sizeof *f->in);
    if (!f->in || demi_pop(&qt, f->qd)) return;
    demi_set_data(qt, f);
    f->popping = true;
    f->ops++;
}

void shim_ask_accept(struct shim_file *f)
{
    demi_qtoken_t qt;
    if (!f->accepted) {
        f->accepted = calloc(ACCEPTED_MAX, sizeof *f->accepted);
        f->accepted_room = f->accepted ? ACCEPTED_MAX : 0;
    }
    if (f->popping || f->in_shut || f->ended || f->accepted_count >= f->accepted_room) return;
    if (demi_accept(&qt, f->qd)) return;
    demi_set_data(qt, f);
    f->popping = true;
    f->ops++;
}

void shim_drop_input(struct shim_file *f)
{
    for (; f->in_count; f->in_count--) {
        demi_sgafree(&f->in[f->in_head].sga);
        f->in_head = (f->in_head + 1) % SHIM_PIECES;
    }
    for (; f->accepted_count; f->accepted_count--) {
        demi_close(f->accepted[f->accepted_head].qd);
        f->accepted_head = (f->accepted_head + 1) % f->accepted_room;
    }
}

/* --- what completes --- */

static void popped(struct shim_file *f, const demi_qresult_t *qr)
{
    demi_sgarray_t sga = qr->qr_value.sga;
    uint32_t n = sga.sga_segs[0].sgaseg_len;
    if (f->ended || (!n && f->type == SOCK_STREAM)) {
        demi_sgafree(&sga);
        f->eof |= !f->ended;
        shim_notify(f, EPOLLIN | EPOLLRDHUP);
        return;
    }
    f->in[(f->in_head + f->in_count++) % SHIM_PIECES] = (struct shim_piece){.sga = sga, .left = n};
    f->in_bytes += n;
    shim_ask(f);
    shim_notify(f, EPOLLIN);
}

static void accepted(struct shim_file *f, const demi_qresult_t *qr)
{
    if (f->ended || f->in_shut) {
        demi_close(qr->qr_value.ares.qd);
        return;
    }
    struct shim_accepted *a = &f->accepted[(f->accepted_head + f->accepted_count++) % f->accepted_room];
    a->qd = qr->qr_value.ares.qd;
    memcpy(&a->addr, &qr->qr_value.ares6.addr, sizeof a->addr);
    shim_ask_accept(f);
    shim_notify(f, EPOLLIN);
}

static void connected(struct shim_file *f)
{
    f->connecting = false;
    f->connected = true;
    if (f->ended) return;
    if (f->type == SOCK_STREAM) shim_count(COUNT_CONNECTED);
    shim_ask(f);
    shim_notify(f, EPOLLOUT);
}

/* A connection that failed is at both its ends. */
static void failed(struct shim_file *f, int err)
{
    f->connecting = false;
    if (f->ended || err == ECANCELED) return;
    f->error = err;
    if (f->type == SOCK_STREAM && f->kind == SHIM_STREAM) {
        f->eof = f->out_shut = true;
        f->connected = false;
    }
    shim_notify(f, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
    if (f->kind == SHIM_DGRAM) shim_ask(f);
    if (f->kind == SHIM_LISTENER) shim_ask_accept(f);
}

void shim_completed(struct shim_file *f, const demi_qresult_t *qr)
{
    if (!f) return;
    f->ops--;
    switch (qr->qr_opcode) {
    case DEMI_OPC_POP:
        f->popping = false;
        popped(f, qr);
        break;
    case DEMI_OPC_ACCEPT:
        f->popping = false;
        accepted(f, qr);
        break;
    case DEMI_OPC_CONNECT: connected(f); break;
    case DEMI_OPC_POLL: shim_set_kernel_ready(f); break;
    case DEMI_OPC_FAILED:
        if (f->kind == SHIM_SET) break;
        if (!f->connecting) f->popping = false;
        failed(f, (int)qr->qr_ret);
        break;
    default: break;
    }
    shim_file_settle(f);
}

/* --- reading --- */

size_t shim_iov_bytes(const struct iovec *iov, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++) n += iov[i].iov_len;
    return n;
}

/* A place in somebody's pieces of memory. */
struct place {
    const struct iovec *iov;
    int count;
    size_t at;
};

static size_t put_bytes(struct place *p, const uint8_t *from, size_t n)
{
    size_t done = 0;
    while (p->count && done < n) {
        size_t room = p->iov->iov_len - p->at, part = room < n - done ? room : n - done;
        if (part) memcpy((uint8_t *)p->iov->iov_base + p->at, from + done, part);
        done += part;
        p->at += part;
        if (p->at < p->iov->iov_len) break;
        p->iov++;
        p->count--;
        p->at = 0;
    }
    return done;
}

static void shift_piece(struct shim_file *f)
{
    struct shim_piece *p = &f->in[f->in_head];
    f->in_bytes -= p->left;
    demi_sgafree(&p->sga);
    f->in_head = (f->in_head + 1) % SHIM_PIECES;
    f->in_count--;
}

static size_t take_bytes(struct shim_file *f, struct place *to, bool peek)
{
    size_t done = 0;
    unsigned head = f->in_head, count = f->in_count;
    while (count && to->count) {
        struct shim_piece *p = &f->in[head];
        size_t n = put_bytes(to, (uint8_t *)p->sga.sga_segs[0].sgaseg_buf + p->at, p->left);
        bool whole = n == p->left;
        done += n;
        if (!peek) {
            p->at += (uint32_t)n;
            p->left -= (uint32_t)n;
            f->in_bytes -= (uint32_t)n;
            if (whole) shift_piece(f);
        }
        if (!whole) break;
        head = (head + 1) % SHIM_PIECES;
        count--;
    }
    if (done && !peek) shim_ask(f);
    return done;
}

static ssize_t take_dgram(struct shim_file *f, struct place *to, int flags, struct sockaddr *addr, socklen_t *size,
                          int *flags_out)
{
    struct shim_piece *p = &f->in[f->in_head];
    size_t whole = p->left, n = put_bytes(to, p->sga.sga_segs[0].sgaseg_buf, whole);
    shim_copy_addr(addr, size, &p->sga.sga_addr, sizeof p->sga.sga_addr);
    if (flags_out && n < whole) *flags_out |= MSG_TRUNC;
    if (!(flags & MSG_PEEK)) {
        shift_piece(f);
        shim_ask(f);
    }
    return (ssize_t)(flags & MSG_TRUNC ? whole : n);
}

/* What there is without waiting. -EAGAIN: nothing. */
static ssize_t read_now(struct shim_file *f, struct place *to, int flags, struct sockaddr *addr, socklen_t *size,
                        int *flags_out)
{
    if (f->type == SOCK_DGRAM) {
        if (f->in_count) return take_dgram(f, to, flags, addr, size, flags_out);
        if (f->error) return -shim_take_error(f);
        return f->in_shut ? 0 : -EAGAIN;
    }
    if (f->in_bytes) return (ssize_t)take_bytes(f, to, flags & MSG_PEEK);
    if (f->error) return -shim_take_error(f);
    return f->eof || f->in_shut ? 0 : -EAGAIN;
}

static int may_read(const struct shim_file *f, int flags)
{
    if (f->set) return -EINVAL;
    if (f->kind == SHIM_DEAD) return -ECONNRESET;
    if (flags & MSG_OOB) return -EINVAL;
    if (flags & MSG_ERRQUEUE) return -EAGAIN;
    if (f->type == SOCK_DGRAM) return 0;
    if (f->kind == SHIM_LISTENER || (f->kind != SHIM_STREAM)) return -ENOTCONN;
    return 0;
}

ssize_t shim_read(struct shim_file *f, const struct iovec *iov, int count, int flags, struct sockaddr *addr,
                  socklen_t *size, int *flags_out)
{
    struct place to = {iov, count, 0};
    size_t wanted = shim_iov_bytes(iov, count);
    ssize_t done = 0;
    int r = may_read(f, flags);
    if (r) return r;
    if (!wanted && f->type == SOCK_STREAM) return 0;
    if (f->type == SOCK_STREAM && size) *size = 0;
    bool wait = !f->nonblock && !(flags & MSG_DONTWAIT), looked = false;
    uint64_t deadline = f->rcvtimeo_ns ? shim_now_ns() + f->rcvtimeo_ns : SHIM_FOREVER;
    for (;;) {
        ssize_t n = f->connecting ? -EAGAIN : read_now(f, &to, flags, addr, size, flags_out);
        if (n > 0) done += n;
        if (f->type == SOCK_DGRAM && n != -EAGAIN) return n;
        bool more = flags & MSG_WAITALL && !(flags & MSG_PEEK) && wait && n > 0 && (size_t)done < wanted;
        if (n != -EAGAIN && !more) return done ? done : n;
        if (!looked) {
            looked = true;
            shim_turn();
            continue;
        }
        if (!wait) return done ? done : -EAGAIN;
        looked = n > 0 ? false : looked;
        if (n > 0) continue;
        r = shim_wait_file(f, deadline);
        if (r) return done ? done : r == -ETIMEDOUT ? -EAGAIN : r;
    }
}

/* --- writing --- */

static size_t unsent(const struct shim_file *f)
{
    size_t n = 0;
    if (f->qd >= 0) demi_unsent(f->qd, &n);
    return n;
}

bool shim_has_room(struct shim_file *f)
{
    if (!f->out_shut && unsent(f) > f->sndbuf / 2) return false;
    f->blocked = false;
    return true;
}

static void block(struct shim_file *f)
{
    f->blocked = true;
    shim_watch_room(f);
}

static int broken_pipe(int flags)
{
    if (!(flags & MSG_NOSIGNAL)) raise(SIGPIPE);
    return -EPIPE;
}

/* Some of the bytes, as many as there is room for. -EAGAIN: none. */
static ssize_t write_some(struct shim_file *f, const struct place *from, int flags)
{
    struct iovec part[DEMI_PUSHV_MAX];
    size_t waits = unsent(f), room = waits < f->sndbuf ? f->sndbuf - waits : 0, n = 0;
    int count = 0;
    if (f->blocked || !room) {
        block(f);
        return -EAGAIN;
    }
    for (int i = 0; i < from->count && count < DEMI_PUSHV_MAX && n < room; i++) {
        size_t skip = i ? 0 : from->at, len = from->iov[i].iov_len - skip;
        if (!len) continue;
        if (len > room - n) len = room - n;
        part[count++] = (struct iovec){(uint8_t *)from->iov[i].iov_base + skip, len};
        n += len;
    }
    demi_qtoken_t qt;
    int err = demi_pushv(&qt, f->qd, part, count, DEMI_PUSH_NO_TOKEN | (flags & MSG_MORE ? DEMI_PUSH_MORE : 0));
    if (err == EBUSY) {
        block(f);
        return -EAGAIN;
    }
    if (err) return -err;
    shim_flush();
    waits = unsent(f);
    if (unlikely(waits)) shim_care_start();
    if (waits >= f->sndbuf) block(f);
    return (ssize_t)n;
}

static void advance(struct place *p, size_t n)
{
    while (p->count && n >= p->iov->iov_len - p->at) {
        n -= p->iov->iov_len - p->at;
        p->iov++;
        p->count--;
        p->at = 0;
    }
    p->at += n;
}

/* Before a byte: is it a connection that may be written to? */
static int may_write(struct shim_file *f)
{
    if (f->kind == SHIM_DEAD) return -ECONNRESET;
    if (f->connecting) return f->nonblock ? -EAGAIN : shim_wait_file(f, SHIM_FOREVER);
    if (f->error) return -shim_take_error(f);
    if (f->out_shut) return -EPIPE;
    return f->connected ? 0 : f->kind == SHIM_STREAM ? -EPIPE : -ENOTCONN;
}

static ssize_t write_stream(struct shim_file *f, const struct iovec *iov, int count, int flags)
{
    struct place from = {iov, count, 0};
    size_t wanted = shim_iov_bytes(iov, count), done = 0;
    uint64_t deadline = f->sndtimeo_ns ? shim_now_ns() + f->sndtimeo_ns : SHIM_FOREVER;
    for (;;) {
        int r = may_write(f);
        if (r == 0 && f->connecting) continue;
        ssize_t n = r ? r : wanted == 0 ? 0 : write_some(f, &from, flags);
        if (n == -ECONNRESET && f->error) f->error = 0;
        if (n == -EPIPE || n == -ENOTCONN) return done ? (ssize_t)done : broken_pipe(flags);
        if (n < 0 && n != -EAGAIN) return done ? (ssize_t)done : n;
        if (n > 0) {
            done += (size_t)n;
            advance(&from, (size_t)n);
        }
        if (done == wanted) return (ssize_t)done;
        if (f->nonblock || flags & MSG_DONTWAIT) {
            if (n > 0) continue;
            return done ? (ssize_t)done : -EAGAIN;
        }
        shim_turn();
        if (!f->blocked) continue;
        r = shim_wait_file(f, deadline);
        if (r) return done ? (ssize_t)done : r == -ETIMEDOUT ? -EAGAIN : r;
    }
}

static ssize_t push_dgram(struct shim_file *f, const struct iovec *iov, int count, size_t bytes,
                          const struct sockaddr *addr, socklen_t size)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = demi_sgaalloc(bytes);
    if (!sga.sga_buf) return -ENOBUFS;
    struct iovec all = {sga.sga_segs[0].sgaseg_buf, bytes};
    struct place to = {&all, 1, 0};
    for (int i = 0; i < count; i++) put_bytes(&to, iov[i].iov_base, iov[i].iov_len);
    int err = addr ? demi_pushto(&qt, f->qd, &sga, addr, size) : demi_push(&qt, f->qd, &sga);
    demi_sgafree(&sga);
    if (err == EBUSY) return -EAGAIN;
    if (err) return -err;
    demi_set_data(qt, f);
    f->ops++;
    shim_ask(f);
    shim_flush();
    return (ssize_t)bytes;
}

static ssize_t write_dgram(struct shim_file *f, const struct iovec *iov, int count, int flags,
                           const struct sockaddr *addr, socklen_t size)
{
    size_t bytes = shim_iov_bytes(iov, count);
    if (f->error) return -shim_take_error(f);
    if (bytes > DGRAM_MAX) return -EMSGSIZE;
    if (!addr && !f->connected) return -EDESTADDRREQ;
    if (!bytes) { /* a push has bytes */
        shim_count(COUNT_REFUSED);
        return -EOPNOTSUPP;
    }
    for (;;) {
        ssize_t n = push_dgram(f, iov, count, bytes, addr, size);
        if (n != -EAGAIN || f->nonblock || flags & MSG_DONTWAIT) return n;
        int r = shim_wait_file(f, shim_now_ns() + 1000000);
        if (r && r != -ETIMEDOUT) return r;
    }
}

ssize_t shim_write(struct shim_file *f, int fd, const struct iovec *iov, int count, int flags,
                   const struct sockaddr *addr, socklen_t size)
{
    if (f->set) return -EINVAL;
    if (flags & MSG_OOB) return -EOPNOTSUPP;
    if (f->type == SOCK_STREAM) return write_stream(f, iov, count, flags);
    if (addr && (size < shim_addr_size(f->domain) || addr->sa_family != f->domain))
        return size < shim_addr_size(f->domain) ? -EINVAL : -EAFNOSUPPORT;
    if (f->qd < 0) {
        if (!addr) return -EDESTADDRREQ;
        int r = shim_decide_by(f, fd, addr, size);
        if (r) return r == 1 ? -EXDEV : r; /* the caller asks the kernel */
    }
    return write_dgram(f, iov, count, flags, addr, size);
}

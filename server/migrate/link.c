/* SPDX-License-Identifier: MIT
 *
 * An operation whose time is up is ended by closing its queue, since a push cannot be taken back: it completes at once
 * then, and its token is not left behind.
 */
#include "server/migrate/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/uio.h>

#include "alloc/base/assert.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/migrate/resolve.h"
#include "server/outgoing.h"

#define PIECE_BYTES    ((size_t)256 << 10)
#define TIMEOUT_MS_MAX (INT64_C(1) << 39) /* 17 years: more nanoseconds than that may not fit */

void link_init(struct peer_link *l) { *l = (struct peer_link){.qd = -1}; }

bool link_is_open(const struct peer_link *l) { return l->qd >= 0; }

static void drop_input(struct peer_link *l)
{
    if (l->in.sga_numsegs) demi_sgafree(&l->in);
    l->in = (demi_sgarray_t){0};
    l->taken = 0;
}

void link_close(struct peer_link *l)
{
    drop_input(l);
    if (l->qd >= 0) demi_close(l->qd);
    l->qd = -1;
}

/* Closes it under an operation that has not completed. */
static void give_up(struct peer_link *l, demi_qtoken_t qt)
{
    demi_qresult_t qr;
    link_close(l);
    if (demi_wait(&qr, qt, NULL) != 0) return;
    if (qr.qr_opcode == DEMI_OPC_POP) demi_sgafree(&qr.qr_value.sga);
}

static int await(struct peer_link *l, int started, demi_qtoken_t qt, int64_t timeout_ms, demi_qresult_t *qr)
{
    int err = started;
    if (!err) {
        if (timeout_ms > TIMEOUT_MS_MAX) timeout_ms = TIMEOUT_MS_MAX;
        struct timespec ts = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
        err = demi_wait(qr, qt, &ts);
        if (err) {
            give_up(l, qt);
            return -err;
        }
        if (qr->qr_opcode == DEMI_OPC_FAILED) err = (int)qr->qr_ret;
    }
    if (err) link_close(l);
    return -err;
}

static int connect_to(struct peer_link *l, struct server *srv, const struct sockaddr_storage *to, int64_t timeout_ms)
{
    demi_qtoken_t qt = 0;
    demi_qresult_t qr;
    int err = outgoing_socket(srv, (const struct sockaddr *)to, &l->qd);
    if (err) {
        l->qd = -1;
        return err;
    }
    socklen_t size = to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    err = demi_connect(&qt, l->qd, (const struct sockaddr *)to, size);
    return await(l, err, qt, timeout_ms, &qr);
}

int link_connect(struct peer_link *l, struct server *srv, const char *host, uint16_t port, int64_t timeout_ms,
                 const bool *stop)
{
    struct sockaddr_storage to[RESOLVE_MAX];
    ASSERT(l->qd < 0);
    int count = resolve(host, port, timeout_ms, stop, to), err = count < 0 ? count : -ENOENT;
    for (int i = 0; i < count; i++) {
        err = connect_to(l, srv, &to[i], timeout_ms);
        if (!err || err == -ETIMEDOUT || *stop) break;
    }
    return err;
}

int link_send(struct peer_link *l, const char *bytes, size_t n, int64_t timeout_ms)
{
    for (size_t sent = 0; sent < n;) {
        demi_qtoken_t qt = 0;
        demi_qresult_t qr;
        size_t piece = n - sent < PIECE_BYTES ? n - sent : PIECE_BYTES;
        if (l->qd < 0) return -ENOTCONN;
        int err =
            demi_pushv(&qt, l->qd, &(struct iovec){(void *)(uintptr_t)(bytes + sent), piece}, 1, DEMI_PUSH_HANDED_OVER);
        err = await(l, err, qt, timeout_ms, &qr);
        if (err) return err;
        sent += piece;
    }
    return 0;
}

/* More input. */
static int receive(struct peer_link *l, int64_t timeout_ms)
{
    demi_qtoken_t qt = 0;
    demi_qresult_t qr;
    drop_input(l);
    if (l->qd < 0) return -ENOTCONN;
    int err = demi_pop(&qt, l->qd);
    err = await(l, err, qt, timeout_ms, &qr);
    if (err) return err;
    l->in = qr.qr_value.sga;
    if (l->in.sga_numsegs && l->in.sga_segs[0].sgaseg_len) return 0;
    link_close(l);
    return -ECONNRESET;
}

static size_t unread(const struct peer_link *l)
{
    return l->in.sga_numsegs ? l->in.sga_segs[0].sgaseg_len - l->taken : 0;
}

int link_read(struct peer_link *l, size_t max, int64_t timeout_ms, struct bytes *out)
{
    ASSERT(max > 0);
    if (!unread(l)) {
        int err = receive(l, timeout_ms);
        if (err) return err;
    }
    size_t n = unread(l) < max ? unread(l) : max;
    *out = bytes_of((const char *)l->in.sga_segs[0].sgaseg_buf + l->taken, n);
    l->taken += n;
    return 0;
}

void link_stop(struct peer_link *l)
{
    if (l->qd >= 0) demi_close(l->qd);
    l->qd = -1;
}

int link_give(struct peer_link *l, demi_sgarray_t *in, size_t *taken)
{
    int qd = l->qd;
    if (!unread(l)) drop_input(l);
    *in = l->in;
    *taken = l->taken;
    link_init(l);
    return qd;
}

int link_read_line(struct peer_link *l, char *line, size_t size, int64_t timeout_ms)
{
    ASSERT(size > 0);
    uint64_t begun = demi_clock_ns();
    for (size_t n = 0;;) {
        const char *from = l->in.sga_numsegs ? l->in.sga_segs[0].sgaseg_buf : NULL;
        size_t left = from ? l->in.sga_segs[0].sgaseg_len - l->taken : 0;
        if (!left) {
            int64_t spent_ms = (int64_t)((demi_clock_ns() - begun) / 1000000);
            int err = receive(l, spent_ms < timeout_ms ? timeout_ms - spent_ms : 0);
            if (err) return err;
            continue;
        }
        from += l->taken;
        const char *end = memchr(from, '\n', left);
        size_t more = end ? (size_t)(end - from) : left;
        if (more >= size - n) {
            link_close(l);
            return -EPROTO;
        }
        memcpy(line + n, from, more);
        n += more;
        l->taken += more + (end != NULL);
        if (!end) continue;
        if (n && line[n - 1] == '\r') n--;
        line[n] = 0;
        return 0;
    }
}

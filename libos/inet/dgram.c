/* SPDX-License-Identifier: MIT
 *
 * Datagrams. One that the device has no room for is refused with EBUSY: nothing waits here, since what waits for its
 * reader or its wire has bounds of its own below (stack_limits). The operation of one whose next hop is still asked for
 * its link address ends when that is known. One that can never leave is a failed result.
 */
#include "libos/inet/sock.h"

#include "alloc/buf.h"
#include "alloc/heap.h"
#include "demi/ext.h"
#include "libos/runtime/handover.h"
#include "libos/runtime/ip_option.h"

#include <errno.h>
#include <netinet/in.h>

int inet_dgram_open(struct inet_sock *s, const struct ip_port *local)
{
    struct inet *in = s->inet;
    struct ip_port e = *local;
    if (!e.port && in->own_ports) {
        const struct ip_port nobody = {0};
        int err = inet_sock_choose_port(s, &e.addr, &nobody, &e.port);
        if (err) return err;
    }
    struct udp_sock *u;
    int err = udp_open(in->stack, &e, s->v6_only, s->reuse_port, s, &u);
    if (err) return err;
    err = inet_port_take(s, udp_local(u)->port);
    if (err) {
        udp_close(u);
        return err;
    }
    s->udp = u;
    if (s->hops || s->tos) udp_set_hops(u, s->hops ? s->hops : IP_HOPS_DEFAULT, s->tos);
    return 0;
}

static int open_any(struct inet_sock *s)
{
    if (s->udp) return 0;
    int err = inet_dgram_open(s, &(struct ip_port){.addr = s->six ? (struct ip_addr){.q = {0, 0}} : addr_v4(0)});
    if (!err) s->state = SOCK_BOUND; /* it has a port: answers may be popped */
    return err;
}

int inet_dgram_connect(struct inet_sock *s, const struct ip_port *peer)
{
    int err = open_any(s);
    if (!err) err = udp_connect(s->udp, peer);
    if (!err) s->state = SOCK_CONNECTED;
    return err;
}

static void finish(struct inet_sock *s, struct op *op, int err)
{
    if (op && err) op_fail(ops_of(s), op, err);
    else if (op) op_complete_plain(ops_of(s), op, 0);
    else if (err) s->st.error = (int16_t)err;
}

int inet_dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                    socklen_t size, unsigned flags)
{
    struct inet_sock *s = sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    struct ip_port to;
    int err = 0;
    if (addr) err = inet_sock_endpoint(s, addr, size, &to);
    else if (s->state != SOCK_CONNECTED) err = -ENOTCONN;
    if (!err && s->st.flags & STREAM_WRITE_SHUT) err = -EPIPE;
    if (!err && addr && s->v6_only && addr_is_v4(&to.addr)) err = -ENETUNREACH;
    if (!err) err = open_any(s);
    if (err) return err;
    struct buf *chain = inet_chain_of_segs(segs, count);
    if (!chain) return -ENOMEM;
    size_t n = buf_chain_len(chain);
    struct op *ticket = flags & DEMI_PUSH_HANDED_OVER ? NULL : op;
    err = udp_send(s->udp, chain, addr ? &to : NULL, s->broadcast, ticket);
    if (err < 0) buf_unref(chain);
    else s->inet->tx_bytes += n;
    if (err == -EBUSY) {
        s->inet->push_busy++;
        return err;
    }
    runtime_need_flush(q->rt);
    if (err != 1 || !ticket) {
        finish(s, op, err < 0 ? -err : 0);
        return 0;
    }
    op->arg = 0; /* datagrams have no place in a stream */
    op_list_append(&s->st.pushes, op);
    return 0;
}

void inet_dgram_sent(struct inet_sock *s, struct op *op, int err)
{
    op_list_remove(&s->st.pushes, op);
    finish(s, op, err);
}

static void complete_pop(struct inet_sock *s, struct op *op, struct buf *b, const struct ip_port *from)
{
    memset(&op->value, 0, sizeof op->value);
    op->value.sga = (demi_sgarray_t){.sga_buf = b, .sga_numsegs = 1, .sga_segs = {{b->data, b->len}}};
    op->value.sga.sga_addr.sin_family = s->six ? AF_INET6 : AF_INET;
    if (!s->six) {
        op->value.sga.sga_addr.sin_port = htons(from->port);
        op->value.sga.sga_addr.sin_addr.s_addr = from->addr.w[3];
    }
    s->inet->rx_bytes += b->len;
    op_complete(ops_of(s), op);
}

void inet_dgram_readable(struct inet_sock *s)
{
    while (s->st.pops.head) {
        struct ip_port from;
        int err = s->st.error;
        struct buf *b = err ? NULL : udp_pop(s->udp, &from, &err);
        if (b) {
            complete_pop(s, op_list_shift(&s->st.pops), b, &from);
        } else if (err) {
            s->st.error = 0;
            op_fail(ops_of(s), op_list_shift(&s->st.pops), err);
        } else if (s->st.flags & STREAM_READ_SHUT) {
            struct buf *none = buf_take(0);
            from = (struct ip_port){.addr = addr_v4(0)};
            if (none) complete_pop(s, op_list_shift(&s->st.pops), none, &from);
            else op_fail(ops_of(s), op_list_shift(&s->st.pops), ENOMEM);
        } else {
            return;
        }
    }
}

int inet_dgram_pop(struct queue *q, struct op *op)
{
    struct inet_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (!s->udp) return -EDESTADDRREQ;
    op_list_append(&s->st.pops, op);
    inet_dgram_readable(s);
    return 0;
}

int inet_dgram_shutdown(struct queue *q, int how)
{
    struct inet_sock *s = sock_of(q);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    if (how != SHUT_RD) s->st.flags |= STREAM_WRITE_SHUT;
    if (how == SHUT_WR) return 0;
    s->st.flags |= STREAM_READ_SHUT;
    inet_dgram_readable(s);
    return 0;
}

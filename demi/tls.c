/* SPDX-License-Identifier: MIT
 *
 * TLS over connected queues: argument checks.
 */
#include "demi/here.h"

#include "libos/tls/tls.h"

int demi_tls_context_new(demi_tls_context_t **out, const struct demi_tls_options *o, char *why, size_t why_size)
{
    if (!out || !o) return EINVAL;
    KEEP_ERRNO();
    return turned(tls_context_new(o, out, why, why_size));
}

void demi_tls_context_free(demi_tls_context_t *c)
{
    KEEP_ERRNO();
    if (c) tls_context_unref(c);
}

uint64_t demi_tls_memory(const demi_tls_context_t *c) { return c ? tls_context_memory(c) : 0; }

int demi_tls_context_certificate(const demi_tls_context_t *c, enum demi_tls_which which,
                                 struct demi_tls_certificate *out)
{
    if (!c || !out || (which != DEMI_TLS_OWN && which != DEMI_TLS_CA)) return EINVAL;
    KEEP_ERRNO();
    return turned(tls_context_certificate(c, which, out));
}

static int wrap(int qd, demi_tls_context_t *c, bool is_server, const char *name)
{
    if (!c) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    int err = tls_wrap(q, c, is_server, name);
    DASSERT(err || tls_is(queue_find(&rt->queues, qd)));
    return turned(err);
}

int demi_tls_server(int qd, demi_tls_context_t *c) { return wrap(qd, c, true, NULL); }
int demi_tls_client(int qd, demi_tls_context_t *c, const char *name) { return wrap(qd, c, false, name); }

int demi_tls_handshake(demi_qtoken_t *qt_out, int qd)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!tls_is(q)) return ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_CONNECT, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, tls_handshake(q, op), qt, qt_out);
}

int demi_tls_info(int qd, struct demi_tls_info *out)
{
    if (!out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!tls_is(q)) return ENOTSUP;
    tls_info(q, out);
    return 0;
}

int demi_tls_peer(int qd, struct demi_tls_certificate *out)
{
    if (!out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    return tls_is(q) ? turned(tls_peer(q, out)) : ENOTSUP;
}

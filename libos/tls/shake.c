/* SPDX-License-Identifier: MIT
 *
 * The handshake. A server makes a session when its client has said something, so that a connection on which nobody
 * speaks costs what it costs without TLS; its time runs from the first moment.
 */
#include "libos/tls/parts.h"

#include "alloc/base/clock.h"

#define FLIGHTS_MAX 64 /* of 16 kB each */

static void shake_over(struct tls_queue *t)
{
    struct demi_tls_info info = {0};
    wheel_stop(&t->q.rt->wheel, &t->timer);
    t->state = TLS_OPEN;
    t->was_open = true;
    t->context->engine->describe(t->session, &info);
    t->libos->handshakes++;
    t->libos->resumed += info.is_resumed;
    for (struct op *op; (op = op_list_shift(&t->shaking));) op_complete_plain(tls_ops_of(t), op, 0);
    if (t->closing) tls_watch_closing(t);
    if (t->read_shut && !t->read_shut_below && t->lower->ops->shutdown) {
        t->read_shut_below = true;
        t->lower->ops->shutdown(t->lower, SHUT_RD);
    }
}

static bool session_ready(struct tls_queue *t)
{
    if (t->session) return true;
    int err = t->context->engine->session_new(t->context->rules, t->is_server, t->name, &t->session);
    if (err) tls_fail(t, -err, "no TLS session can be made");
    return !err;
}

/* The engine goes as far as it can with what is there. */
static enum tls_step shake_step(struct tls_queue *t)
{
    enum tls_step step = TLS_WANTS_ROOM;
    for (int i = 0; step == TLS_WANTS_ROOM && i < FLIGHTS_MAX; i++) {
        struct tls_wire w = tls_wire_open(t, t->libos->record, sizeof t->libos->record);
        step = t->context->engine->handshake(t->session, &w);
        tls_wire_close(t, &w);
    }
    return step;
}

void tls_shake(struct tls_queue *t)
{
    for (;;) {
        bool has_word = t->in || !t->is_server;
        if (has_word && (t->in || !t->session)) {
            if (!session_ready(t)) return;
            switch (shake_step(t)) {
            case TLS_DONE: shake_over(t); return;
            case TLS_WANTS_INPUT: break;
            default: tls_fail(t, EPROTO, t->context->engine->why(t->session)); return;
            }
        }
        if (t->shaken > TLS_SHAKE_BYTES) {
            tls_fail(t, EPROTO, "the handshake is too long");
            return;
        }
        if (t->in) continue;
        if (t->read_error) {
            tls_fail(t, t->read_error, "");
            return;
        }
        if (t->eof) {
            t->libos->cut++;
            tls_fail(t, ECONNABORTED, "the connection has ended before the handshake was over");
            return;
        }
        if (!tls_ask_below(t)) return;
    }
}

void tls_shake_deadline(struct timer *timer)
{
    struct tls_queue *t = (struct tls_queue *)((char *)timer - offsetof(struct tls_queue, timer));
    tls_fail(t, ETIMEDOUT, "the handshake has taken too long");
    if (t->closing) tls_turn(t);
}

/* SPDX-License-Identifier: MIT
 *
 * WAIT and WAITAOF: a client waits until what it changed is with so many replicas (they have executed it, and said so
 * by REPLCONF ACK), in their logs on their disks, or in ours. Replicas are asked at the end of the turn in which
 * somebody begins to wait.
 */
#include "server/command/handlers.h"
#include "server/ds/number.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define OF_A_REPLICA                                                                                                   \
    "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "           \
    "configured "                                                                                                      \
    "to be writable (which is not the default) writes to replicas are just local and are not propagated."
#define AOF_OF_A_REPLICA                                                                                               \
    "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and "  \
    "are not propagated."
#define NO_LOG "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."

static int64_t acknowledged(const struct client *cl) { return (int64_t)replicas_acknowledged(cl->w, cl->changed_at); }

/* --- WAIT replicas milliseconds ----------------------------------------------------------------------------------- */

static bool answer_wait(struct client *cl, const struct request *r, struct reply *out, bool last)
{
    int64_t replicas = 0, have = acknowledged(cl);
    bool is_number = number_parse_i64(r->argv[1], &replicas);
    ASSERT(is_number); /* cmd_wait() has looked */
    if (!last && have < replicas) return false;
    reply_int(out, have);
    return true;
}

void cmd_wait(struct call *c)
{
    int64_t replicas, deadline_ms;
    if (c->srv->upstream) {
        call_error(c, OF_A_REPLICA);
        return;
    }
    if (!call_int(c, c->argv[1], &replicas) || !call_timeout_ms(c, c->argv[2], &deadline_ms)) return;
    int64_t have = c->client ? acknowledged(c->client) : 0;
    if (have >= replicas || c->deny_blocking || !c->client) {
        call_integer(c, have);
        return;
    }
    call_block_on_log(c, deadline_ms, answer_wait);
    replicas_want_acks(c->w);
}

/* --- WAITAOF local replicas milliseconds -------------------------------------------------------------------------- */

static bool is_local(const struct client *cl) { return aof_is_durable(cl->w->srv, cl->durable_at); }
static int64_t logged(const struct client *cl) { return (int64_t)replicas_logged(cl->w, cl->changed_at); }

static void reply_numbers(const struct client *cl, struct reply *out)
{
    reply_array(out, 2);
    reply_int(out, is_local(cl));
    reply_int(out, logged(cl));
}

static bool is_reached(const struct client *cl, int64_t local, int64_t replicas)
{
    return logged(cl) >= replicas && (!local || is_local(cl));
}

static bool answer_waitaof(struct client *cl, const struct request *r, struct reply *out, bool last)
{
    int64_t local = 0, replicas = 0;
    bool are_numbers = number_parse_i64(r->argv[1], &local) && number_parse_i64(r->argv[2], &replicas);
    ASSERT(are_numbers); /* cmd_waitaof() has looked */
    bool no_log_left = local && cl->w->srv->aof.state == AOF_OFF;
    if (no_log_left) reply_error(out, "-" NO_LOG);
    else if (last || is_reached(cl, local, replicas)) reply_numbers(cl, out);
    else return false;
    return true;
}

void cmd_waitaof(struct call *c)
{
    static const char bad_local[] = "ERR value is out of range, value must between 0 and 1";
    int64_t local, replicas, deadline_ms;
    if (!call_int(c, c->argv[1], &local) || !call_int_range(c, c->argv[1], 0, 1, &local, bad_local)) return;
    if (!call_positive(c, c->argv[2], &replicas, NULL)) return;
    if (!call_timeout_ms(c, c->argv[3], &deadline_ms)) return;
    if (c->srv->upstream) {
        call_error(c, AOF_OF_A_REPLICA);
        return;
    }
    if (local && c->srv->aof.state == AOF_OFF) {
        call_error(c, NO_LOG);
        return;
    }
    if (c->deny_blocking || is_reached(c->client, local, replicas)) {
        reply_numbers(c->client, c->out);
        return;
    }
    call_block_on_log(c, deadline_ms, answer_waitaof);
    replicas_want_acks(c->w);
}

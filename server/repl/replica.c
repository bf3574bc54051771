/* SPDX-License-Identifier: MIT */
#include "server/repl/replica.h"

#include <stdio.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/mem.h"
#include "server/rdb/format.h"
#include "server/server.h"

struct replica *replica_of(struct client *cl)
{
    if (!cl->replica) cl->replica = mem_calloc(sizeof *cl->replica);
    return cl->replica;
}

void replica_free(struct client *cl)
{
    if (!cl->replica) return;
    mem_free(cl->replica->ip);
    mem_free(cl->replica);
    cl->replica = NULL;
}

void replica_set_ip(struct replica *r, struct bytes ip)
{
    ASSERT(ip.n < REPLICA_IP_MAX);
    mem_free(r->ip);
    r->ip = NULL;
    if (!ip.n) return; /* as if it had not said any */
    r->ip = mem_calloc(ip.n + 1);
    memcpy(r->ip, ip.p, ip.n);
}

int replica_rdb_version(const struct replica *r, int newest)
{
    return r->has_version && newest > RDB_VERSION_MIN ? newest : RDB_VERSION_MIN;
}

/* "127.0.0.1:4711" and "[::1]:4711": the port is the connection's, which nobody can connect to. */
void replica_address(const struct client *cl, char *out, size_t size)
{
    const char *ip = cl->replica && cl->replica->ip ? cl->replica->ip : NULL;
    if (ip) {
        snprintf(out, size, "%s", ip);
        return;
    }
    const char *from = cl->peer, *colon = strrchr(from, ':');
    size_t n = colon ? (size_t)(colon - from) : strlen(from);
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    snprintf(out, size, "%.*s", (int)n, from);
}

const char *replica_state_word(const struct replica *r)
{
    static const char *const words[] = {
        [REPLICA_WAITS] = "wait_bgsave", [REPLICA_RECEIVES] = "send_bulk", [REPLICA_ONLINE] = "online"};
    return words[r->state];
}

void replica_acknowledge(struct replica *r, int64_t offset, int64_t aof_offset, int64_t now_ms)
{
    if (offset > r->ack_offset) r->ack_offset = offset;
    if (aof_offset > r->aof_offset) r->aof_offset = aof_offset;
    r->ack_ms = now_ms;
}

int64_t replica_lag_s(const struct replica *r, int64_t now_ms)
{
    return r->state == REPLICA_ONLINE ? now_ms / 1000 - r->ack_ms / 1000 : 0;
}

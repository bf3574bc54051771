/* SPDX-License-Identifier: MIT
 *
 * What INFO says of the primary that this server follows, where section Replication has it.
 */
#include "server/net/client.h"
#include "server/observe/info_section.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

static long long seconds_since(const struct info *in, int64_t ms) { return in->w->now_ms / 1000 - ms / 1000; }

/* As redis-server: of a snapshot whose end is marked the size is 0, and -1 before its first line has come. */
static void transfer_lines(struct info *in, const struct upstream_transfer *t)
{
    int64_t total = t->total < 0 && t->read > 0 ? 0 : t->total;
    info_line(in, "master_sync_total_bytes:%lld", (long long)total);
    info_line(in, "master_sync_read_bytes:%lld", (long long)t->read);
    info_line(in, "master_sync_left_bytes:%lld", (long long)(total - t->read));
    info_line(in, "master_sync_perc:%.2f", total ? (double)t->read / (double)total * 100 : 0);
    info_line(in, "master_sync_last_io_seconds_ago:%lld", seconds_since(in, t->io_ms));
}

void info_upstream(struct info *in)
{
    const struct server *srv = in->srv;
    const struct upstream *u = srv->upstream;
    const struct config *cfg = srv->config;
    bool connected = u->state == UPSTREAM_CONNECTED;
    /* Where it has no place in the stream yet it asks for everything from the first byte on. */
    uint64_t offset = connected || u->may_continue ? history_offset(&srv->history) : 1;
    size_t unread = connected && u->client ? u->client->in_len - u->client->in_off : 0;
    info_line(in, "master_host:%s", u->host);
    info_line(in, "master_port:%d", u->port);
    info_line(in, "master_link_status:%s", connected ? "up" : "down");
    info_line(in, "master_last_io_seconds_ago:%lld", connected ? seconds_since(in, u->io_ms) : -1);
    info_line(in, "master_sync_in_progress:%d", u->state == UPSTREAM_TRANSFER);
    info_line(in, "slave_read_repl_offset:%llu", (unsigned long long)(offset + unread));
    info_line(in, "slave_repl_offset:%llu", (unsigned long long)offset);
    if (u->state == UPSTREAM_TRANSFER) transfer_lines(in, &u->transfer);
    if (!connected)
        info_line(in, "master_link_down_since_seconds:%lld", u->down_ms ? seconds_since(in, u->down_ms) : -1);
    info_line(in, "slave_priority:%lld", (long long)cfg->replica_priority);
    info_line(in, "slave_read_only:%d", cfg->replica_read_only);
    info_line(in, "replica_announced:%d", cfg->replica_announced);
}

/* SPDX-License-Identifier: MIT
 *
 * The queue of a transaction. Queued requests are copies, since the receive buffer they came in does not live until
 * EXEC; their keys stay found.
 */
#include "server/exec/multi.h"

#include "server/exec/multi_state.h"
#include "server/mem.h"
#include "server/net/client.h"

struct multi *multi_of(struct client *cl)
{
    if (!cl->multi) {
        cl->multi = mem_calloc(sizeof *cl->multi);
        list_init(&cl->multi->watched);
    }
    return cl->multi;
}

void multi_queue(struct client *cl, const struct request *r)
{
    if (cl->flags & (CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS)) return;
    struct multi *m = multi_of(cl);
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 8;
        m->queue = mem_realloc(m->queue, m->cap * sizeof *m->queue);
    }
    m->queue[m->count++] = request_dup(r);
    m->bytes += request_dup_size(r) + sizeof *m->queue;
    m->flags |= r->cmd->flags;
    m->held |= request_held(r, cl->db);
}

const struct request *multi_at(const struct client *cl, size_t i)
{
    ASSERT(i < multi_count(cl));
    return cl->multi->queue[i];
}

static void clear_queue(struct multi *m)
{
    for (size_t i = 0; i < m->count; i++) mem_free(m->queue[i]);
    mem_free(m->queue);
    m->queue = NULL;
    m->count = m->cap = m->bytes = 0;
    m->flags = 0;
    m->held = 0;
}

void multi_end(struct client *cl)
{
    if (cl->multi) clear_queue(cl->multi);
    watch_forget(cl);
    cl->flags &= ~(uint32_t)(CLIENT_MULTI | CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS);
}

void multi_free(struct client *cl)
{
    if (!cl->multi) return;
    clear_queue(cl->multi);
    watch_forget(cl);
    mem_free(cl->multi);
    cl->multi = NULL;
}

bool multi_writes(const struct client *cl) { return cl->multi && (cl->multi->flags & (CMD_WRITE | CMD_MAY_REPLICATE)); }
bool multi_needs_memory(const struct client *cl) { return cl->multi && (cl->multi->flags & CMD_DENYOOM); }
uint64_t multi_held(const struct client *cl) { return cl->multi ? cl->multi->held : 0; }
size_t multi_count(const struct client *cl) { return cl->multi ? cl->multi->count : 0; }
size_t multi_memory(const struct client *cl) { return cl->multi ? sizeof *cl->multi + cl->multi->bytes : 0; }

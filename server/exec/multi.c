/* SPDX-License-Identifier: MIT
 *
 * The queue of a transaction. Queued requests are copies, since the receive buffer they came in does not live until
 * EXEC; their keys stay found.
 */
#include "server/exec/multi.h"

#include "server/exec/multi_state.h"
#include "server/mem.h"
#include "server/exec/session.h"

struct multi *multi_of(struct session *s)
{
    if (!s->multi) {
        s->multi = mem_calloc(sizeof *s->multi);
        list_init(&s->multi->watched);
    }
    return s->multi;
}

void multi_queue(struct session *s, const struct request *r, uint32_t flags)
{
    if (s->flags & (SESSION_DIRTY_EXEC | SESSION_DIRTY_CAS)) return;
    struct multi *m = multi_of(s);
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 8;
        m->queue = mem_realloc(m->queue, m->cap * sizeof *m->queue);
    }
    m->queue[m->count++] = request_dup(r);
    m->bytes += request_dup_size(r) + sizeof *m->queue;
    m->flags |= flags;
    m->lacking |= ~flags;
    m->held |= request_held(r, s->db);
}

void multi_begin_exec(struct session *s, const struct bytes *argv) { multi_of(s)->exec_argv = argv; }
const struct bytes *multi_exec_argv(const struct session *s) { return s->multi ? s->multi->exec_argv : NULL; }

const struct request *multi_at(const struct session *s, size_t i)
{
    ASSERT(i < multi_count(s));
    return s->multi->queue[i];
}

static void clear_queue(struct multi *m)
{
    for (size_t i = 0; i < m->count; i++) mem_free(m->queue[i]);
    mem_free(m->queue);
    m->queue = NULL;
    m->count = m->cap = m->bytes = 0;
    m->flags = m->lacking = 0;
    m->held = 0;
}

void multi_end(struct session *s)
{
    if (s->multi) {
        clear_queue(s->multi);
        s->multi->exec_argv = NULL;
    }
    watch_forget(s);
    s->flags &= ~(uint32_t)(SESSION_MULTI | SESSION_DIRTY_EXEC | SESSION_DIRTY_CAS);
}

void multi_free(struct session *s)
{
    if (!s->multi) return;
    clear_queue(s->multi);
    watch_forget(s);
    mem_free(s->multi);
    s->multi = NULL;
}

bool multi_writes(const struct session *s) { return s->multi && (s->multi->flags & (CMD_WRITE | CMD_MAY_REPLICATE)); }
bool multi_changes(const struct session *s) { return s->multi && (s->multi->flags & CMD_WRITE); }
bool multi_needs_data(const struct session *s) { return s->multi && (s->multi->lacking & CMD_LOADING); }
bool multi_needs_fresh(const struct session *s) { return s->multi && (s->multi->lacking & CMD_STALE); }
bool multi_replaces_data(const struct session *s) { return s->multi && (s->multi->flags & CMD_NO_ASYNC_LOADING); }
bool multi_needs_memory(const struct session *s) { return s->multi && (s->multi->flags & CMD_DENYOOM); }
uint64_t multi_held(const struct session *s) { return s->multi ? s->multi->held : 0; }
size_t multi_count(const struct session *s) { return s->multi ? s->multi->count : 0; }
size_t multi_memory(const struct session *s) { return s->multi ? s->multi->bytes + watch_memory(s) : 0; }

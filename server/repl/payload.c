/* SPDX-License-Identifier: MIT */
#include "server/repl/payload.h"

#include <string.h>

#include "alloc/base/rng.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

struct payload *payload_new(struct worker *w, int version, bool by_mark)
{
    struct payload *p = mem_calloc(sizeof *p);
    struct history *h = &w->srv->history;
    p->version = version;
    p->offset = history_offset(h);
    p->journal = &h->journal;
    p->has_mark = by_mark;
    for (int i = 0; i < PAYLOAD_MARK_SIZE; i++) p->mark[i] = "0123456789abcdef"[rng_u64(&w->rng) & 15];
    journal_read(p->journal, &p->since);
    return p;
}

static void free_unused(struct payload *p)
{
    if (p->maker || p->reader_count) return;
    journal_reader_end(p->journal, &p->since);
    broadcast_fini(&p->text);
    mem_free(p);
}

void payload_let_go(struct payload *p)
{
    p->maker = NULL;
    p->go_on = NULL;
    free_unused(p);
}

void payload_add_reader(struct payload *p)
{
    ASSERT(p->stage == PAYLOAD_GATHERS);
    p->reader_count++;
}

void payload_drop_reader(struct payload *p)
{
    ASSERT(p->reader_count > 0);
    p->reader_count--;
    if (p->maker) p->go_on(p); /* who may let go of it here */
    else free_unused(p);
}

void payload_flow(struct payload *p, uint64_t bytes)
{
    ASSERT(p->stage == PAYLOAD_GATHERS);
    p->stage = PAYLOAD_FLOWS;
    p->bytes = bytes;
    journal_reader_end(p->journal, &p->since); /* those who read it stand in the history themselves */
}

void payload_put(struct payload *p, struct bytes b)
{
    ASSERT(p->stage == PAYLOAD_FLOWS);
    broadcast_append(&p->text, b);
}

void payload_end(struct payload *p)
{
    ASSERT(p->stage == PAYLOAD_FLOWS);
    if (p->has_mark) broadcast_append(&p->text, bytes_of(p->mark, PAYLOAD_MARK_SIZE));
    p->stage = PAYLOAD_WHOLE;
}

size_t payload_memory(const struct payload *p) { return sizeof *p + p->text.bytes; }

/* SPDX-License-Identifier: MIT */
#include "server/repl/history.h"

#include <string.h>
#include <strings.h>

#include "alloc/base/rng.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

static const char no_id[HISTORY_ID_SIZE] = "0000000000000000000000000000000000000000";

static void make_id(struct history *h)
{
    struct rng *rng = &h->journal.srv->workers[0].rng;
    for (int i = 0; i < HISTORY_ID_SIZE - 1; i++) h->id[i] = "0123456789abcdef"[rng_u64(rng) & 15];
    h->id[HISTORY_ID_SIZE - 1] = 0;
}

static void forget_second(struct history *h)
{
    memcpy(h->id2, no_id, sizeof h->id2);
    h->second_offset = -1;
}

void history_init(struct history *h, struct server *srv, void (*appended)(struct journal *j))
{
    *h = (struct history){.backlog_size = (uint64_t)srv->config->repl_backlog_size};
    journal_init(&h->journal, srv, appended);
    history_new_id(h);
}

void history_fini(struct history *h)
{
    history_forget(h);
    journal_fini(&h->journal);
}

uint64_t history_offset(const struct history *h) { return h->base + h->journal.text.end; }

int history_database(const struct history *h)
{
    const struct upstream *u = h->journal.srv->upstream;
    int64_t db = !u ? h->journal.selected : u->client ? u->client->s.db->id : u->stream_db;
    return db < 0 ? 0 : (int)db;
}

/* --- the backlog -------------------------------------------------------------------------------------------------- */

bool history_is_kept(const struct history *h) { return h->backlog.of != NULL; }

void history_keep(struct history *h)
{
    if (history_is_kept(h)) return;
    journal_read(&h->journal, &h->backlog);
    h->journal.srv->workers[0].notes_changes |= NOTES_HISTORY;
}

void history_forget(struct history *h)
{
    journal_reader_end(&h->journal, &h->backlog);
    h->journal.srv->workers[0].notes_changes &= (uint8_t)~NOTES_HISTORY;
}

uint64_t history_first(const struct history *h) { return history_is_kept(h) ? h->base + h->backlog.offset + 1 : 0; }

uint64_t history_length(const struct history *h) { return broadcast_unread(&h->backlog); }

void history_trim(struct history *h)
{
    uint64_t length = history_length(h);
    if (length >= h->backlog_size + HISTORY_TRIM) broadcast_let_go(&h->backlog, length - h->backlog_size);
}

void history_resize(struct history *h, uint64_t bytes)
{
    h->backlog_size = bytes;
    history_trim(h);
}

/* --- who may go on ------------------------------------------------------------------------------------------------ */

static bool same_id(const char *mine, const char *id, size_t id_size)
{
    return id_size == HISTORY_ID_SIZE - 1 && strncasecmp(mine, id, id_size) == 0;
}

bool history_continues(const struct history *h, const char *id, size_t id_size, int64_t from)
{
    if (!history_is_kept(h) || from <= 0) return false;
    bool is_first = same_id(h->id, id, id_size);
    bool is_second = h->second_offset >= 0 && from <= h->second_offset && same_id(h->id2, id, id_size);
    if (!is_first && !is_second) return false;
    return (uint64_t)from >= history_first(h) && (uint64_t)from <= history_offset(h) + 1;
}

void history_read_from(struct history *h, uint64_t from, struct broadcast_reader *r)
{
    ASSERT(from >= history_first(h));
    ASSERT(from <= history_offset(h) + 1);
    journal_read_from(&h->journal, &h->backlog, r);
    broadcast_advance(r, (size_t)(from - history_first(h)));
}

/* --- identity ----------------------------------------------------------------------------------------------------- */

void history_new_id(struct history *h)
{
    make_id(h);
    forget_second(h);
}

static void keep_as_second(struct history *h)
{
    memcpy(h->id2, h->id, sizeof h->id2);
    h->second_offset = (int64_t)history_offset(h) + 1;
}

static void set_id(struct history *h, const char *id)
{
    ASSERT(strlen(id) == HISTORY_ID_SIZE - 1);
    memcpy(h->id, id, sizeof h->id);
}

void history_branch(struct history *h)
{
    keep_as_second(h);
    make_id(h);
}

void history_branch_to(struct history *h, const char *id)
{
    keep_as_second(h);
    set_id(h, id);
}

/* The stream stands at offset, and what was before it is gone. */
static void stand_at(struct history *h, uint64_t offset)
{
    history_forget(h);
    ASSERT(h->journal.readers == 0);
    h->base = offset - h->journal.text.end;
    history_keep(h);
}

void history_adopt(struct history *h, const char *id, uint64_t offset)
{
    set_id(h, id);
    forget_second(h);
    stand_at(h, offset);
}

void history_resume(struct history *h, const char *id, uint64_t offset)
{
    set_id(h, id);
    stand_at(h, offset);
    if (!h->follows) history_branch(h);
}

/* --- who writes it ------------------------------------------------------------------------------------------------ */

void history_follow(struct history *h, bool on)
{
    h->follows = on;
    journal_take_effects(&h->journal, !on);
}

void history_append(struct history *h, struct bytes b)
{
    ASSERT(h->follows);
    broadcast_append(&h->journal.text, b);
    h->journal.appended(&h->journal);
}

void history_selected(struct history *h, int db)
{
    ASSERT(h->follows);
    h->journal.selected = db;
}

void history_record(struct history *h, const struct bytes *argv, int argc)
{
    ASSERT(history_is_kept(h) && !h->follows);
    journal_record(&h->journal, argv, argc);
}

#ifdef DEMI_DEBUG
void history_check(const struct history *h)
{
    ASSERT((h->second_offset == -1) == (memcmp(h->id2, no_id, sizeof no_id) == 0));
    if (h->second_offset >= 0) ASSERT((uint64_t)h->second_offset <= history_offset(h) + 1);
    ASSERT(strlen(h->id) == HISTORY_ID_SIZE - 1);
    ASSERT(h->follows != h->journal.takes_effects);
    if (h->journal.readers) ASSERT(history_is_kept(h)); /* who follows does so in the backlog's hold */
    broadcast_reader_check(&h->backlog);
}
#endif

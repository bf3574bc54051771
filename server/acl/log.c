/* SPDX-License-Identifier: MIT */
#include "server/acl/log.h"

#include "server/mem.h"

#define SAME_MS    60000
#define LOOKED_AT  10
#define TEXT_BYTES ((size_t)1 << 16) /* of a key, or of a name: who is refused chooses them */

static void free_entry(struct acl_log *log, struct acl_log_entry *e)
{
    list_remove(&e->link);
    mem_free((char *)e->what.object.p);
    mem_free((char *)e->what.user.p);
    mem_free((char *)e->what.client.p);
    mem_free(e);
    log->count--;
}

static void trim(struct acl_log *log, int64_t keep)
{
    while (log->count && (int64_t)log->count > keep)
        free_entry(log, list_entry(list_last(&log->entries), struct acl_log_entry, link));
}

static bool is_same(const struct acl_log_entry *e, const struct acl_refusal *what, int64_t now_ms)
{
    int64_t since = now_ms - e->updated_ms;
    return e->what.reason == what->reason && e->what.context == what->context && since <= SAME_MS &&
           since >= -SAME_MS && bytes_equal(e->what.object, what->object) && bytes_equal(e->what.user, what->user);
}

static struct acl_log_entry *find_same(const struct acl_log *log, const struct acl_refusal *what, int64_t now_ms)
{
    int looked_at = 0;
    list_for_each(it, &log->entries)
    {
        struct acl_log_entry *e = list_entry(it, struct acl_log_entry, link);
        if (is_same(e, what, now_ms)) return e;
        if (++looked_at == LOOKED_AT) return NULL;
    }
    return NULL;
}

void acl_log_add(struct acl_log *log, const struct acl_refusal *given, int64_t now_ms, int64_t max)
{
    struct acl_refusal what = *given;
    if (!log->entries.next) list_init(&log->entries);
    if (what.object.n > TEXT_BYTES) what.object.n = TEXT_BYTES;
    if (what.user.n > TEXT_BYTES) what.user.n = TEXT_BYTES;
    struct acl_log_entry *e = find_same(log, &what, now_ms);
    if (e) {
        list_remove(&e->link);
        mem_free((char *)e->what.client.p);
        e->count++;
    } else {
        e = mem_calloc(sizeof *e);
        e->what = what;
        e->what.object = acl_text_copy(what.object);
        e->what.user = acl_text_copy(what.user);
        e->id = log->next_id++;
        e->count = 1;
        e->created_ms = now_ms;
        log->count++;
    }
    e->what.client = acl_text_copy(what.client);
    e->updated_ms = now_ms;
    list_push_front(&log->entries, &e->link);
    trim(log, max);
}

void acl_log_clear(struct acl_log *log)
{
    if (log->entries.next) trim(log, 0);
}

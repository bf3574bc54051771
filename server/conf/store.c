/* SPDX-License-Identifier: MIT
 *
 * Why epochs and not a count of references: a count is written by every reader at every turn, and its cache line goes
 * from core to core; a reader here writes only when there is something new.
 */
#include "server/conf/store.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc/base/assert.h"

void conf_store_init(struct conf_store *st, const struct config *_Atomic *current)
{
    *st = (struct conf_store){.current = current, .first = *current};
    pthread_mutex_init(&st->lock, NULL);
    list_init(&st->readers);
    list_init(&st->replaced);
}

static void discard(struct config *cfg)
{
    if (cfg->is_copy) conf_free(cfg);
}

/* What was replaced at an epoch that every reader has reached can be in nobody's hands. */
static void free_passed(struct conf_store *st)
{
    uint64_t passed = st->epoch;
    list_for_each(it, &st->readers)
    {
        const struct conf_reader *r = list_entry(it, struct conf_reader, link);
        if (r->epoch < passed) passed = r->epoch;
    }
    while (!list_is_empty(&st->replaced)) {
        struct config *cfg = list_entry(list_first(&st->replaced), struct config, replaced);
        if (cfg->replaced_epoch > passed) break;
        ASSERT(cfg != *st->current);
        ASSERT(st->replaced_count > 0);
        list_remove(&cfg->replaced);
        st->replaced_count--;
        discard(cfg);
    }
}

void conf_store_fini(struct conf_store *st)
{
    ASSERT(list_is_empty(&st->readers));
    free_passed(st);
    ASSERT(st->replaced_count == 0);
    struct config *last = (struct config *)*st->current;
    *st->current = st->first;
    if (last != st->first) discard(last);
    pthread_mutex_destroy(&st->lock);
}

void conf_store_join(struct conf_store *st, struct conf_reader *r)
{
    ASSERT(!r->cfg); /* it takes part once */
    pthread_mutex_lock(&st->lock);
    r->cfg = *st->current;
    r->epoch = st->epoch;
    list_push_back(&st->readers, &r->link);
    pthread_mutex_unlock(&st->lock);
}

void conf_store_leave(struct conf_store *st, struct conf_reader *r)
{
    ASSERT(r->cfg);
    pthread_mutex_lock(&st->lock);
    ASSERT(r->epoch <= st->epoch);
    list_remove(&r->link);
    r->cfg = NULL;
    free_passed(st);
    pthread_mutex_unlock(&st->lock);
}

void conf_store_pass(struct conf_store *st, struct conf_reader *r)
{
    ASSERT(r->cfg);
    pthread_mutex_lock(&st->lock);
    ASSERT(r->epoch <= st->epoch);
    r->cfg = *st->current;
    r->epoch = st->epoch;
    free_passed(st);
    pthread_mutex_unlock(&st->lock);
}

/* Under the lock. */
static void publish(struct conf_store *st, struct config *next)
{
    struct config *last = (struct config *)*st->current;
    ASSERT(next != last);
    st->epoch++;
    last->replaced_epoch = st->epoch;
    list_push_back(&st->replaced, &last->replaced);
    st->replaced_count++;
    atomic_store(st->current, next);
}

int conf_store_set(struct conf_store *st, const struct bytes *pairs, int count, bool protected_too, bool loading,
                   struct conf_text *err)
{
    struct config *next;
    pthread_mutex_lock(&st->lock);
    int rc = st->replaced_count < CONF_REPLACED_MAX ? 0 : -EAGAIN;
    if (rc < 0) conf_text_add_str(err, "CONFIG SET failed - earlier changes are still being taken over");
    if (rc == 0) rc = conf_set(*st->current, pairs, count, protected_too, loading, &next, err);
    if (rc == 0) publish(st, next);
    pthread_mutex_unlock(&st->lock);
    return rc;
}

int conf_store_set_replicaof(struct conf_store *st, const char *host, int port)
{
    pthread_mutex_lock(&st->lock);
    int rc = st->replaced_count < CONF_REPLACED_MAX ? 0 : -EAGAIN;
    if (rc == 0) {
        struct config *next = conf_copy(*st->current);
        free(next->replicaof_host);
        next->replicaof_host = host ? conf_text_copy(bytes_of_str(host)) : NULL;
        next->replicaof_port = host ? port : 0;
        publish(st, next);
    }
    pthread_mutex_unlock(&st->lock);
    return rc;
}

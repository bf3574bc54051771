/* SPDX-License-Identifier: MIT
 *
 * For the tests of this folder: a call without a server, and stand-ins for server/db/hooks.h that count. The prototypes
 * are repeated here because hooks.h may hold some of them as inline functions.
 */
#ifndef SERVER_DB_HOOKS_FAKE_H
#define SERVER_DB_HOOKS_FAKE_H

#include "alloc/base/rng.h"
#include "server/conf/config.h"
#include "server/db/db.h"

struct tracked;
struct fake {
    struct rng rng;
    size_t tracked, tracked_by_itself;
    size_t ready, touched, touched_all, notified, expired, dels, lazy, hits, misses;
    uint64_t serial;
    int expired_is;   /* enum expired_is */
    bool is_internal; /* the call is no client's */
};
extern struct fake fake;

void blocked_key_ready(struct call *c, struct db *db, const struct key_ref *key, int type);
void blocked_swap(struct worker *w, struct db *a, struct db *b);
void watch_touch(struct call *c, struct db *db, const struct key_ref *key);
void watch_touch_all(struct call *c, struct db *db, struct db *replaced_by);
void tracking_changed(struct call *c, struct tracked *t, const struct key_ref *key, bool by_itself);
void notify_event(struct call *c, unsigned cls, const char *event, struct bytes key, int dbid);
void stat_hit(struct call *c);
void stat_miss(struct call *c);
void stat_expired(struct call *c, size_t n);
void lazy_free(struct call *c, struct value v);
void lazy_free_slices(struct call *c, struct slice *slices, unsigned count, size_t keys);
void effect_gone(struct call *c, struct db *db, struct bytes key, bool lazy);
uint64_t srv_command_serial(const struct call *c);
int srv_expired_is(const struct call *c, bool write);
bool srv_is_own_client(const struct call *c);

struct fake fake;

#define UNUSED __attribute__((unused))

void blocked_key_ready(UNUSED struct call *c, UNUSED struct db *db, UNUSED const struct key_ref *key, UNUSED int type)
{
    fake.ready++;
}
void blocked_swap(UNUSED struct worker *w, UNUSED struct db *a, UNUSED struct db *b) {}
void watch_touch(UNUSED struct call *c, UNUSED struct db *db, UNUSED const struct key_ref *key) { fake.touched++; }
void watch_touch_all(UNUSED struct call *c, UNUSED struct db *db, UNUSED struct db *by) { fake.touched_all++; }
void tracking_changed(UNUSED struct call *c, UNUSED struct tracked *t, UNUSED const struct key_ref *key,
                      UNUSED bool by_itself)
{
    fake.tracked++;
    fake.tracked_by_itself += by_itself;
}
void notify_event(UNUSED struct call *c, UNUSED unsigned cls, UNUSED const char *event, UNUSED struct bytes key,
                  UNUSED int dbid)
{
    fake.notified++;
}
void stat_hit(UNUSED struct call *c) { fake.hits++; }
void stat_miss(UNUSED struct call *c) { fake.misses++; }
void stat_expired(UNUSED struct call *c, size_t n) { fake.expired += n; }
void lazy_free(UNUSED struct call *c, struct value v)
{
    fake.lazy++;
    value_free(v);
}
void lazy_free_slices(UNUSED struct call *c, struct slice *slices, unsigned count, UNUSED size_t keys)
{
    fake.lazy++;
    db_slices_free(slices, count);
}
void effect_gone(UNUSED struct call *c, UNUSED struct db *db, UNUSED struct bytes key, UNUSED bool lazy)
{
    fake.dels++;
}
uint64_t srv_command_serial(UNUSED const struct call *c) { return fake.serial; }
int srv_expired_is(UNUSED const struct call *c, UNUSED bool write) { return fake.expired_is; }
bool srv_is_own_client(UNUSED const struct call *c) { return !fake.is_internal; }
uint64_t call_random(UNUSED struct call *c) { return rng_u64(&fake.rng); }

/* A call on db that holds all its slices. Time starts somewhere in 2026. */
static inline struct call fake_call(struct db *db)
{
    static struct config cfg;
    static uint64_t worker[8192]; /* in case a hook is inline and counts in it */
    static const struct fake fresh;
    fake = fresh;
    rng_seed(&fake.rng, 1);
    memset(&cfg, 0, sizeof cfg);
    cfg.active_expire_effort = 1;
    return (struct call){
        .w = (struct worker *)(void *)worker, .cfg = &cfg, .db = db, .now_ms = 1790000000000, .held = UINT64_MAX};
}

#endif

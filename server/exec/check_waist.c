/* SPDX-License-Identifier: MIT */
#include "server/exec/check_waist.h"

#ifdef DEMI_DEBUG

#include "server/db/db.h"
#include "server/db/preimage.h"
#include "server/mem.h"
#include "server/observe/digest.h"
#include "server/server.h"

#define ELEMENTS_MAX      64 /* of values that are looked at */
#define TOLD_MAX          64
#define CHECK_REPLY_BYTES ((size_t)64 << 10) /* of replies that are read again */

/* What one command told of. */
struct told {
    const struct db *db;
    uint64_t hash;
    unsigned char digest[SHA1_SIZE];
};

struct check_observer {
    struct preimage preimage;
    struct told told[TOLD_MAX];
    unsigned count;
};

/* Of a key that is not there, or whose time has come, or that is too large: nothing. */
static void digest_entry(const struct call *c, const struct entry *e, unsigned char digest[SHA1_SIZE])
{
    memset(digest, 0, SHA1_SIZE);
    if (!e || value_elements(e) > ELEMENTS_MAX || (entry_expire(e) >= 0 && c->now_ms > entry_expire(e))) return;
    digest_value(e, digest);
    /* The digest itself knows only whether there is an expiry. */
    char when[8];
    store_u64(when, (uint64_t)entry_expire(e));
    for (int i = 0; i < 8; i++) digest[i] ^= (unsigned char)when[i];
}

static void digest_key(const struct call *c, const struct key_ref *key, unsigned char digest[SHA1_SIZE])
{
    digest_entry(c, table_find(&db_slice(c->db, key)->table, key->hash, key->name), digest);
}

/* --- the observer ------------------------------------------------------------------------------------------------- */

static void told_of(struct preimage *p, struct call *c, struct db *db, const struct key_ref *key, struct entry *e)
{
    struct check_observer *o = container_of(p, struct check_observer, preimage);
    ASSERT(!e || bytes_equal(entry_key(e), key->name));
    if (e) entry_check(e);
    if (o->count < TOLD_MAX) {
        struct told *t = &o->told[o->count];
        *t = (struct told){.db = db, .hash = key->hash};
        digest_entry(c, e, t->digest);
    }
    o->count++;
}

static bool told_of_all(struct preimage *p, struct call *c, struct db *db, struct db *with) { return false; }

void check_waist_init(struct server *srv)
{
    srv->check_observer = mem_calloc(sizeof *srv->check_observer);
    srv->check_observer->preimage.before = told_of;
    srv->check_observer->preimage.whole = told_of_all;
    preimage_observe(srv->dbs, srv->db_count, &srv->check_observer->preimage);
}

void check_waist_fini(struct server *srv)
{
    if (!srv->check_observer) return;
    preimage_forget(srv->dbs, srv->db_count, &srv->check_observer->preimage);
    mem_free(srv->check_observer);
    srv->check_observer = NULL;
}

/* --- a command ---------------------------------------------------------------------------------------------------- */

/* EXEC's commands and those of scripts (whose keys are not mandatory) are checked one by one; DEBUG may do anything. */
static bool is_checked(const struct call *c)
{
    return !(c->cmd->flags & (CMD_ADMIN | CMD_PROTECTED | CMD_NO_MANDATORY_KEYS));
}

void check_waist_before(struct check_waist *k, const struct call *c)
{
    k->reply_from = reply_bytes(c->out);
    k->count = !is_checked(c) ? 0 : c->key_count < CHECK_KEYS ? c->key_count : CHECK_KEYS;
    for (int i = 0; i < k->count; i++) digest_key(c, &c->keys[i], k->digest[i]);
    if (c->srv->check_observer) c->srv->check_observer->count = 0;
}

static void check_told_once(const struct check_observer *o, const struct db *db, const struct key_ref *key,
                            const unsigned char was[SHA1_SIZE])
{
    unsigned times = 0;
    if (o->count > TOLD_MAX) return;
    for (unsigned i = 0; i < o->count; i++) {
        if (o->told[i].db != db || o->told[i].hash != key->hash) continue;
        times++;
        ASSERT(memcmp(o->told[i].digest, was, SHA1_SIZE) == 0);
    }
    ASSERT(times == 1);
}

/* Exactly one reply, unless it waits; administration may end without one (SHUTDOWN, SYNC), and subscribing has several.
 * What was taken or dropped meanwhile cannot be looked at, nor what a script was handed as values: it counts itself. */
static void check_reply(const struct check_waist *k, const struct call *c)
{
    size_t bytes = reply_bytes(c->out);
    if (c->out->values) return;
    if (c->session && (c->session->flags & SESSION_REPLICA)) return; /* what PSYNC begins is no RESP */
    if (c->out->over || bytes < k->reply_from || bytes > CHECK_REPLY_BYTES) return;
    size_t values = reply_check(c->out, k->reply_from);
    ASSERT(values <= 1 || (c->cmd->flags & CMD_SUBSCRIBED));
    ASSERT(values == 0 || !c->blocked);
    ASSERT(values > 0 || c->blocked || (c->cmd->flags & (CMD_ADMIN | CMD_PROTECTED | CMD_NEEDS_CLIENT)));
}

void check_waist_after(const struct check_waist *k, const struct call *c)
{
    check_reply(k, c);
    if (!is_checked(c)) return;
    bool may_write = c->cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE); /* PFCOUNT reads, and keeps what it has found */
    if (!may_write && (c->cmd->flags & CMD_READONLY)) ASSERT(c->dirty == 0 && c->befores == 0);
    for (int i = 0; i < k->count; i++) {
        unsigned char now[SHA1_SIZE];
        digest_key(c, &c->keys[i], now);
        if (memcmp(now, k->digest[i], SHA1_SIZE) == 0) continue;
        ASSERT(may_write);
        ASSERT(c->dirty > 0);
        if (c->srv->check_observer) check_told_once(c->srv->check_observer, c->db, &c->keys[i], k->digest[i]);
    }
}

#endif

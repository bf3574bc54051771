/* SPDX-License-Identifier: MIT */
#include "server/exec/check_waist.h"

#ifdef DEMI_DEBUG

#include "server/db/db.h"
#include "server/observe/digest.h"
#include "server/server.h"

#define ELEMENTS_MAX 64 /* of values that are looked at */

/* Of a key that is not there, or whose time has come, or that is too large: nothing. */
static void digest_key(const struct call *c, const struct key_ref *key, unsigned char digest[SHA1_SIZE])
{
    memset(digest, 0, SHA1_SIZE);
    const struct entry *e = table_find(&db_slice(c->db, key)->table, key->hash, key->name);
    if (!e || value_elements(e) > ELEMENTS_MAX || (entry_expire(e) >= 0 && c->now_ms > entry_expire(e))) return;
    digest_value(e, digest);
    /* The digest itself knows only whether there is an expiry. */
    char when[8];
    store_u64(when, (uint64_t)entry_expire(e));
    for (int i = 0; i < 8; i++) digest[i] ^= (unsigned char)when[i];
}

/* EXEC's commands are checked one by one; DEBUG may do anything. */
static bool is_checked(const struct call *c) { return !(c->cmd->flags & (CMD_ADMIN | CMD_PROTECTED)); }

void check_waist_before(struct check_waist *k, const struct call *c)
{
    k->count = !is_checked(c) ? 0 : c->key_count < CHECK_KEYS ? c->key_count : CHECK_KEYS;
    for (int i = 0; i < k->count; i++) digest_key(c, &c->keys[i], k->digest[i]);
}

void check_waist_after(const struct check_waist *k, const struct call *c)
{
    if (!is_checked(c)) return;
    if (c->cmd->flags & CMD_READONLY) ASSERT(c->dirty == 0 && c->befores == 0);
    for (int i = 0; i < k->count; i++) {
        unsigned char now[SHA1_SIZE];
        digest_key(c, &c->keys[i], now);
        if (memcmp(now, k->digest[i], SHA1_SIZE) == 0) continue;
        ASSERT(c->cmd->flags & CMD_WRITE);
        ASSERT(c->befores > 0);
        ASSERT(c->dirty > 0);
    }
}

#endif

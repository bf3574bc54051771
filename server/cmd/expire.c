/* SPDX-License-Identifier: MIT
 *
 * EXPIRE and TTL in their kinds: seconds or milliseconds, from now or since the epoch. All are kept, and propagated, as
 * milliseconds since the epoch; a time that has already passed deletes the key.
 */
#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/number.h"

enum expire_if { IF_NX = 1, IF_XX = 2, IF_GT = 4, IF_LT = 8 };

static bool parse_conditions(struct call *c, unsigned *flags)
{
    for (int i = 3; i < c->argc; i++) {
        struct bytes w = c->argv[i];
        if (bytes_is_word(w, "nx")) {
            *flags |= IF_NX;
        } else if (bytes_is_word(w, "xx")) {
            *flags |= IF_XX;
        } else if (bytes_is_word(w, "gt")) {
            *flags |= IF_GT;
        } else if (bytes_is_word(w, "lt")) {
            *flags |= IF_LT;
        } else {
            /* Redis prints the word up to a NUL byte. */
            call_errorf(c, "ERR Unsupported option %.*s", (int)(w.n < 512 ? strnlen(w.p, w.n) : 512), w.p);
            return false;
        }
    }
    if ((*flags & IF_NX) && (*flags & (IF_XX | IF_GT | IF_LT))) {
        call_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*flags & IF_GT) && (*flags & IF_LT)) {
        call_error(c, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* Without an expiry a key lives for ever: later than any time. */
static bool conditions_hold(unsigned flags, int64_t now_is, int64_t when)
{
    bool has = now_is >= 0;
    if ((flags & IF_NX) && has) return false;
    if ((flags & IF_XX) && !has) return false;
    if ((flags & IF_GT) && (!has || when <= now_is)) return false;
    if ((flags & IF_LT) && has && when >= now_is) return false;
    return true;
}

static void expire_now(struct call *c, const struct key_ref *key)
{
    bool lazy = c->cfg->lazyfree_lazy_expire;
    if (lazy) db_delete_lazy(c, key);
    else db_delete(c, key);
    effect_deleted(c, key->name, lazy);
    db_changed(c, key, NOTIFY_GENERIC, "del");
    call_integer(c, 1);
}

static void effect_pexpireat(struct call *c, int64_t when)
{
    if (!effect_wanted(c)) return;
    enum { ARGS_MAX = 8 }; /* conditions beyond that repeat each other: those that held need not be told again */
    char num[NUMBER_I64_SIZE];
    struct bytes argv[ARGS_MAX] = {BYTES("PEXPIREAT"), c->argv[1], bytes_of(num, number_format_i64(num, when))};
    int n = 3;
    for (int i = 3; i < c->argc && n < ARGS_MAX; i++) argv[n++] = c->argv[i];
    effect_as(c, n, argv);
}

static void expire(struct call *c, int64_t base_ms, int64_t unit_ms)
{
    const struct key_ref *key = call_key(c, 1);
    unsigned flags = 0;
    int64_t when;
    if (!parse_conditions(c, &flags) || !call_int(c, c->argv[2], &when)) return;
    if (when > INT64_MAX / unit_ms || when < INT64_MIN / unit_ms || when * unit_ms > INT64_MAX - base_ms) {
        call_errorf(c, "ERR invalid expire time in '%s' command", c->cmd->full_name);
        return;
    }
    when = when * unit_ms + base_ms;

    const struct entry *e = db_lookup_in(c, c->db, key);
    if (!e || (flags && !conditions_hold(flags, entry_expire(e), when))) {
        call_integer(c, 0);
        return;
    }
    if (when <= c->now_ms && srv_past_deletes(c)) {
        expire_now(c, key);
        return;
    }
    db_set_expire(c, key, e, when < 0 ? 0 : when);
    effect_pexpireat(c, when);
    db_changed(c, key, NOTIFY_GENERIC, "expire");
    call_integer(c, 1);
}

void cmd_expire(struct call *c) { expire(c, c->now_ms, 1000); }
void cmd_pexpire(struct call *c) { expire(c, c->now_ms, 1); }
void cmd_expireat(struct call *c) { expire(c, 0, 1000); }
void cmd_pexpireat(struct call *c) { expire(c, 0, 1); }

void cmd_persist(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    const struct entry *e = db_lookup_in(c, c->db, key);
    if (!e || entry_expire(e) < 0) {
        call_integer(c, 0);
        return;
    }
    db_set_expire(c, key, e, -1);
    db_changed(c, key, NOTIFY_GENERIC, "persist");
    call_integer(c, 1);
}

static void ttl(struct call *c, bool in_ms, bool absolute)
{
    const struct entry *e = db_lookup_notouch(c, call_key(c, 1), false);
    int64_t when = e ? entry_expire(e) : -1;
    if (when < 0) {
        call_integer(c, e ? -1 : -2);
        return;
    }
    int64_t v = absolute ? when : when - c->now_ms;
    if (v < 0) v = 0;
    call_integer(c, in_ms ? v : v / 1000 + (v % 1000 >= 500));
}

void cmd_ttl(struct call *c) { ttl(c, false, false); }
void cmd_pttl(struct call *c) { ttl(c, true, false); }
void cmd_expiretime(struct call *c) { ttl(c, false, true); }
void cmd_pexpiretime(struct call *c) { ttl(c, true, true); }

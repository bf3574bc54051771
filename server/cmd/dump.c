/* SPDX-License-Identifier: MIT
 *
 * DUMP and RESTORE: a value as bytes, and back. What RESTORE is given comes from outside: server/rdb/read.h lets
 * nothing unsound through, so the order of checks here is about replies only.
 */
#include <errno.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/db/hooks.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/rdb/read.h"
#include "server/rdb/write.h"
#include "server/server.h"

static void release_payload(void *payload) { mem_free(payload); }

void cmd_dump(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        reply_null(c->out);
        return;
    }
    struct rdb_sink s;
    rdb_sink_init(&s, NULL, NULL);
    s.compress = c->cfg->rdbcompression;
    s.version = (int)c->cfg->rdb_version;
    rdb_write_dump(&s, e);
    struct bytes payload = rdb_sink_bytes(&s);
    s.buf = NULL; /* the reply's from here on */
    rdb_sink_fini(&s);
    reply_bulk_ref(c->out, payload, release_payload, (void *)(uintptr_t)payload.p);
}

struct restore {
    int64_t ttl_ms, idle_s, freq;
    bool replace, absolute;
};

static bool parse_options(struct call *c, struct restore *r)
{
    for (int i = 4; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        bool more = i + 1 < c->argc;
        if (bytes_is_word(word, "replace")) {
            r->replace = true;
        } else if (bytes_is_word(word, "absttl")) {
            r->absolute = true;
        } else if (bytes_is_word(word, "idletime") && more && r->freq == -1) {
            if (!call_int(c, c->argv[++i], &r->idle_s)) return false;
            if (r->idle_s >= 0) continue;
            call_error(c, "ERR Invalid IDLETIME value, must be >= 0");
            return false;
        } else if (bytes_is_word(word, "freq") && more && r->idle_s == -1) {
            if (!call_int(c, c->argv[++i], &r->freq)) return false;
            if (r->freq >= 0 && r->freq <= 255) continue;
            call_error(c, "ERR Invalid FREQ value, must be >= 0 and <= 255");
            return false;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* `clients` trusts whoever must be obeyed, `yes` nobody. */
static bool is_sanitized(const struct call *c)
{
    int64_t how = c->cfg->sanitize_dump_payload;
    return how == SANITIZE_DUMP_YES || (how == SANITIZE_DUMP_CLIENTS && !srv_must_obey(c) &&
                                        !(c->session->user && c->session->user->skip_sanitize));
}

static bool read_payload(struct call *c, struct value *v)
{
    struct rdb_rules rules = {
        .cfg = c->cfg, .lists = &c->srv->list_options, .seed = c->db->hash_seed, .deep = is_sanitized(c)};
    struct rdb_refusal why;
    int err = rdb_read_dump(c->argv[3], &rules, c->srv->skip_checksum_validation, v, &why);
    if (err == 0) return true;
    server_log(c->srv, LOG_VERBOSE_LEVEL, "RESTORE refuses a payload of %zu bytes, at byte %llu: %s", c->argv[3].n,
               (unsigned long long)why.offset, why.why);
    if (err == -EPROTO) call_error(c, "ERR DUMP payload version or checksum are wrong");
    else call_error(c, "ERR Bad data format");
    return false;
}

/* A payload of a version that an older replica refuses, which would then lack the key and say nothing. */
static bool is_too_new(const struct call *c)
{
    struct bytes payload = c->argv[3];
    return history_is_kept(&c->srv->history) && load_u16(payload.p + payload.n - RDB_DUMP_TAIL) > RDB_VERSION_MIN;
}

/* Relative times are told as absolute ones, and a payload that is too new as the value that it was. */
static void effect_restore(struct call *c, const struct restore *r, const struct entry *e)
{
    bool relative = r->ttl_ms && !r->absolute, again;
    if (!effect_wanted(c)) return;
    again = is_too_new(c);
    if (!relative && !again) return;
    char text[NUMBER_I64_SIZE];
    struct rdb_sink s;
    rdb_sink_init(&s, NULL, NULL);
    s.version = RDB_VERSION_MIN;
    s.compress = c->cfg->rdbcompression;
    struct bytes *argv = mem_alloc(((size_t)c->argc + 1) * sizeof *argv);
    memcpy(argv, c->argv, (size_t)c->argc * sizeof *argv);
    argv[2] = bytes_of(text, number_format_i64(text, r->ttl_ms));
    argv[c->argc] = BYTES("ABSTTL");
    if (again) {
        rdb_write_dump(&s, e);
        argv[3] = rdb_sink_bytes(&s);
    }
    effect_as(c, c->argc + (relative ? 1 : 0), argv);
    mem_free(argv);
    rdb_sink_fini(&s);
}

/* It was dead on arrival: what it was to replace is gone all the same. */
static void replace_by_nothing(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    if (!db_delete(c, key)) return;
    db_changed(c, key, NOTIFY_GENERIC, "del");
    effect_deleted(c, key->name, c->cfg->lazyfree_lazy_server_del);
}

void cmd_restore(struct call *c)
{
    struct restore r = {.idle_s = -1, .freq = -1};
    const struct key_ref *key = call_key(c, 1);
    struct value v;
    if (!parse_options(c, &r)) return;
    if (!r.replace && db_lookup_in(c, c->db, key)) {
        call_error(c, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!call_int(c, c->argv[2], &r.ttl_ms)) return;
    if (r.ttl_ms < 0) {
        call_error(c, "ERR Invalid TTL value, must be >= 0");
        return;
    }
    if (!read_payload(c, &v)) return;

    if (r.ttl_ms && !r.absolute && __builtin_add_overflow(r.ttl_ms, c->now_ms, &r.ttl_ms)) r.ttl_ms = INT64_MAX;
    if (r.ttl_ms && r.ttl_ms <= c->now_ms && srv_past_deletes(c)) {
        value_free(v);
        if (r.replace) replace_by_nothing(c);
        call_ok(c);
        return;
    }
    struct entry *e = db_put_value(c, key, v, r.ttl_ms ? r.ttl_ms : -1, PUT_AFRESH);
    db_set_use(c, e, r.idle_s, (int)r.freq);
    effect_restore(c, &r, e);
    db_changed(c, key, NOTIFY_GENERIC, "restore");
    call_ok(c);
}

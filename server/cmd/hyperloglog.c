/* SPDX-License-Identifier: MIT
 *
 * PFADD, PFCOUNT, PFMERGE, PFDEBUG and PFSELFTEST: strings seen as HyperLogLogs (server/ds/hll.h). Behaviour, texts,
 * the order of checks and the bytes of the values are redis-server 7.2.4's. So is that PFCOUNT of one key, which reads,
 * writes the count it has found into the value and is propagated then.
 *
 * A value that turns out to be corrupt in the middle of a PFADD keeps what was added before, as in Redis; here that is
 * told as any change is, so that the log and those who watch the key know of it.
 */
#include <errno.h>
#include <stdio.h>

#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/ds/hll.h"
#include "server/ds/hll_selftest.h"
#include "server/exec/call.h"
#include "server/mem.h"

static void say_corrupt(struct call *c) { call_error(c, "INVALIDOBJ Corrupted HLL object detected"); }

/* The string of e, which is a HyperLogLog as far as its header says. False: an error was replied. */
static bool hll_of(struct call *c, const struct entry *e, struct bytes *out)
{
    char buf[ENTRY_STR_BUF];
    if (call_wrong_type(c, e, OBJ_STRING)) return false;
    struct bytes s = entry_string(e, buf);
    if (!hll_is_valid(s)) {
        call_error(c, "WRONGTYPE Key is not a valid HyperLogLog string value.");
        return false;
    }
    DASSERT(e->enc != ENC_INT);
    *out = s;
    return true;
}

/* From now on the string is one that was edited in place, to OBJECT ENCODING. */
static void mark_edited(struct entry *e)
{
    if (e->enc == ENC_EMBSTR) e->flags |= ENTRY_EDITED;
}

/* --- a value that changes ----------------------------------------------------------------------------------------- */

struct target {
    struct call *c;
    const struct key_ref *key;
    struct entry *e;
    struct bytes s;
    bool is_new;
};

static void put_empty(struct target *t)
{
    char empty[HLL_EMPTY_BYTES];
    hll_make_empty(empty);
    t->e = db_put_string(t->c, t->key, bytes_of(empty, sizeof empty), -1, 0);
    t->s = entry_string(t->e, NULL);
    t->is_new = true;
}

/* The HyperLogLog of a key, made if it is missing. False: an error was replied. */
static bool open_target(struct call *c, const struct key_ref *key, struct target *t)
{
    *t = (struct target){.c = c, .key = key, .e = db_lookup_write(c, key)};
    if (!t->e) put_empty(t);
    else if (!hll_of(c, t->e, &t->s)) return false;
    mark_edited(t->e);
    return true;
}

/* Its bytes, n of them, to write to. */
static char *edit_target(struct target *t, size_t n)
{
    char *p = db_string_edit(t->c, t->key, &t->e, n);
    t->s = bytes_of(p, n);
    return p;
}

/* A dense string in place of what is there. */
static void put_dense(struct target *t, struct blob *b)
{
    struct value v = {.type = OBJ_STRING, .enc = ENC_RAW, .edited = true, .p = b};
    t->e = db_put_value(t->c, t->key, v, -1, PUT_KEEP_TTL);
    t->s = bytes_of(b->data, b->len);
}

/* False: it is corrupt, and as it was. */
static bool make_dense(struct target *t)
{
    struct blob *b = blob_new(HLL_DENSE_BYTES, HLL_DENSE_BYTES);
    if (!hll_to_dense(t->s, b->data)) {
        blob_unref(b);
        return false;
    }
    put_dense(t, b);
    return true;
}

/* 1: the register was raised; 0: it was there; -EINVAL: the value is corrupt. As hll_raise(), which has a buffer of its
 * own; `next` and `edit` are hll_sparse_find()'s. */
static int raise_register(struct target *t, struct hll_point at, bool next, struct hll_edit *edit)
{
    if (!hll_is_dense(t->s)) {
        bool fits = at.rank <= HLL_SPARSE_MAX;
        int changes = fits ? hll_sparse_find(t->s, at, next, edit) : 1;
        if (changes <= 0) return changes;
        size_t had = t->s.n, more = fits && edit->delta > 0 ? (size_t)edit->delta : 0;
        if (fits && (!more || had + more <= (size_t)t->c->cfg->hll_sparse_max_bytes)) {
            size_t n = hll_sparse_apply(edit_target(t, had + more), had, edit);
            if (n != t->s.n) edit_target(t, n);
            return 1;
        }
        if (!make_dense(t)) return -EINVAL;
    } else if (!hll_dense_is_below(t->s, at)) {
        return 0;
    }
    hll_dense_set(edit_target(t, t->s.n), at);
    return 1;
}

/* --- PFADD, PFCOUNT, PFMERGE -------------------------------------------------------------------------------------- */

void cmd_pfadd(struct call *c)
{
    struct target t;
    if (!open_target(c, call_key(c, 1), &t)) return;
    int64_t changes = t.is_new;
    struct hll_edit edit;
    for (int i = 2; i < c->argc; i++) {
        int raised = raise_register(&t, hll_point_of(c->argv[i]), false, &edit);
        if (unlikely(raised < 0)) {
            say_corrupt(c);
            if (changes) db_changed(c, t.key, NOTIFY_STRING, NULL);
            return;
        }
        changes += raised;
    }
    if (changes) {
        hll_forget_count(edit_target(&t, t.s.n));
        db_changed(c, t.key, NOTIFY_STRING, "pfadd");
        c->dirty += changes - 1;
    }
    call_integer(c, changes > 0);
}

static void count_one(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    const struct entry *e = db_lookup_read(c, key);
    struct bytes s;
    uint64_t count = 0;
    if (e) {
        if (!hll_of(c, e, &s)) return;
        mark_edited(db_to_reencode(e));
        if (!hll_kept_count(s, &count)) {
            if (!hll_count(s, &count)) {
                say_corrupt(c);
                return;
            }
            struct entry *changed = db_lookup_write(c, key);
            ASSERT(changed);
            hll_keep_count(db_string_edit(c, key, &changed, s.n), count);
            db_changed(c, key, NOTIFY_STRING, NULL);
        }
    }
    call_integer(c, (int64_t)count);
}

/* The highest of each register among the keys from argv[1] on, missing ones being empty. False: an error was
 * replied. */
static bool merge_keys(struct call *c, uint8_t max[HLL_REGISTERS], bool *any_dense)
{
    size_t ahead = 0;
    memset(max, 0, HLL_REGISTERS);
    for (int i = 1; i < c->argc; i++) {
        const struct entry *e = db_lookup_read(c, call_key_ahead(c, &ahead, i));
        struct bytes s;
        if (!e) continue;
        if (!hll_of(c, e, &s)) return false;
        if (hll_is_dense(s)) *any_dense = true;
        if (!hll_merge(max, s)) {
            say_corrupt(c);
            return false;
        }
    }
    return true;
}

void cmd_pfcount(struct call *c)
{
    if (c->argc == 2) {
        count_one(c);
        return;
    }
    uint8_t max[HLL_REGISTERS];
    bool any_dense = false;
    if (merge_keys(c, max, &any_dense)) call_integer(c, (int64_t)hll_count_of(max));
}

/* All registers at once: whatever the target had, max is at least that. */
static void write_dense(struct target *t, const uint8_t max[HLL_REGISTERS])
{
    char *p;
    if (hll_is_dense(t->s)) {
        p = edit_target(t, t->s.n);
    } else {
        struct blob *b = blob_new(HLL_DENSE_BYTES, HLL_DENSE_BYTES);
        hll_make_dense_of(b->data, t->s);
        put_dense(t, b);
        p = b->data;
    }
    hll_registers_pack(p + HLL_HEADER_BYTES, max);
}

/* One register after the other, as the form depends on the way there. Of a corrupt one nothing: it was merged. */
static void write_sparse(struct target *t, const uint8_t max[HLL_REGISTERS])
{
    struct hll_edit edit;
    bool next = false;
    for (unsigned i = 0; i < HLL_REGISTERS; i++) {
        if (!max[i]) continue;
        raise_register(t, (struct hll_point){.index = i, .rank = max[i]}, next, &edit);
        next = true;
        if (!hll_is_dense(t->s)) continue;
        write_dense(t, max);
        return;
    }
}

void cmd_pfmerge(struct call *c)
{
    uint8_t max[HLL_REGISTERS];
    bool any_dense = false;
    struct target t;
    if (!merge_keys(c, max, &any_dense) || !open_target(c, call_key(c, 1), &t)) return;
    if (any_dense) write_dense(&t, max);
    else write_sparse(&t, max);
    hll_forget_count(edit_target(&t, t.s.n));
    db_changed(c, t.key, NOTIFY_STRING, "pfadd");
    call_ok(c);
}

/* --- PFDEBUG ------------------------------------------------------------------------------------------------------ */

/* Makes it dense and propagates that, but is no change to those who watch. False: an error was replied. */
static bool debug_to_dense(struct target *t)
{
    if (hll_is_dense(t->s)) return true;
    if (!make_dense(t)) {
        say_corrupt(t->c);
        return false;
    }
    t->c->dirty++;
    return true;
}

static void debug_registers(struct target *t)
{
    uint8_t registers[HLL_REGISTERS];
    if (!debug_to_dense(t)) return;
    hll_registers_unpack(registers, t->s.p + HLL_HEADER_BYTES);
    reply_array(t->c->out, HLL_REGISTERS);
    for (unsigned i = 0; i < HLL_REGISTERS; i++) call_integer(t->c, registers[i]);
}

#define RUN_TEXT_MAX ((size_t)16) /* "Z:16384 " */

/* out NULL: only its length. */
static size_t describe_runs(struct bytes s, char *out)
{
    size_t n = 0, at = HLL_HEADER_BYTES;
    struct hll_run run;
    while (hll_next_run(s, &at, &run)) {
        char text[RUN_TEXT_MAX];
        int k = run.value ? snprintf(text, sizeof text, "v:%u,%u ", run.value, run.length)
                          : snprintf(text, sizeof text, "%c:%u ", run.wide ? 'Z' : 'z', run.length);
        if (out) memcpy(out + n, text, (size_t)k);
        n += (size_t)k;
    }
    return n;
}

static void debug_decode(struct target *t)
{
    if (hll_is_dense(t->s)) {
        call_error(t->c, "ERR HLL encoding is not sparse");
        return;
    }
    size_t n = describe_runs(t->s, NULL);
    char *text = mem_alloc(n + 1);
    describe_runs(t->s, text);
    call_bulk(t->c, bytes_of(text, n ? n - 1 : 0)); /* less the last space */
    mem_free(text);
}

void cmd_pfdebug(struct call *c)
{
    struct bytes what = c->argv[1];
    struct target t = {.c = c, .key = call_key(c, 2)};
    t.e = db_lookup_write(c, t.key);
    if (!t.e) {
        call_error(c, "ERR The specified key does not exist");
        return;
    }
    if (!hll_of(c, t.e, &t.s)) return;
    mark_edited(t.e);
    if (bytes_is_word(what, "getreg")) {
        debug_registers(&t);
    } else if (bytes_is_word(what, "decode")) {
        debug_decode(&t);
    } else if (bytes_is_word(what, "encoding")) {
        reply_status(c->out, hll_is_dense(t.s) ? "dense" : "sparse");
    } else if (bytes_is_word(what, "todense")) {
        bool sparse = !hll_is_dense(t.s);
        if (debug_to_dense(&t)) call_integer(c, sparse);
    } else {
        call_errorf(c, "ERR Unknown PFDEBUG subcommand '%.*s'", (int)strnlen(what.p, what.n), what.p);
    }
}

void cmd_pfselftest(struct call *c)
{
    char why[HLL_SELFTEST_TEXT];
    if (hll_selftest(call_random(c), (uint64_t)c->cfg->hll_sparse_max_bytes, why)) call_ok(c);
    else call_errorf(c, "ERR %s", why);
}

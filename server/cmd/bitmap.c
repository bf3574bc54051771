/* SPDX-License-Identifier: MIT
 *
 * SETBIT, GETBIT, BITCOUNT, BITPOS and BITOP: strings seen as rows of bits. Behaviour, texts and the order of checks
 * are redis-server 7.0.15's; so is that SETBIT to the value a bit has already is no change.
 */
#include "server/cmd/bitmap.h"

#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/bits.h"
#include "server/ds/number.h"
#include "server/mem.h"

/* --- SETBIT, GETBIT ---------------------------------------------------------------------------------------------- */

bool bitmap_offset(struct call *c, struct bytes arg, unsigned width, uint64_t *out)
{
    bool by_width = width && arg.n && arg.p[0] == '#';
    int64_t v;
    if (!number_parse_i64(by_width ? bytes_of(arg.p + 1, arg.n - 1) : arg, &v) ||
        (by_width && __builtin_mul_overflow(v, (int64_t)width, &v)) || v < 0 ||
        (v >> 3 >= c->cfg->proto_max_bulk_len && !srv_must_obey(c))) {
        call_error(c, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

char *bitmap_edit(struct call *c, uint64_t bit, struct entry **out, bool *grown)
{
    size_t need = (size_t)(bit / 8) + 1;
    struct entry *e = db_lookup_write(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STRING)) return NULL;
    size_t had = e ? entry_string_length(e) : 0;
    *grown = !e || need > had;
    if (!e) e = db_put_string(c, call_key(c, 1), BYTES(""), -1, 0);
    char *p = db_string_edit(c, call_key(c, 1), &e, need > had ? need : had);
    *out = e;
    return p;
}

void cmd_setbit(struct call *c)
{
    uint64_t at;
    int64_t on;
    if (!bitmap_offset(c, c->argv[2], 0, &at)) return;
    if (!call_int_range(c, c->argv[3], 0, 1, &on, "ERR bit is not an integer or out of range")) return;
    struct entry *e;
    bool grown;
    char *p = bitmap_edit(c, at, &e, &grown);
    if (!p) return;

    unsigned mask = 0x80u >> (at & 7), byte = (uint8_t)p[at / 8];
    bool was = byte & mask;
    if (grown || was != (bool)on) {
        p[at / 8] = (char)(on ? byte | mask : byte & ~mask);
        db_changed(c, call_key(c, 1), NOTIFY_STRING, "setbit");
    }
    call_integer(c, was);
}

void cmd_getbit(struct call *c)
{
    uint64_t at;
    if (!bitmap_offset(c, c->argv[2], 0, &at)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STRING)) return;
    char buf[ENTRY_STR_BUF];
    struct bytes s = e ? entry_string(e, buf) : bytes_of(NULL, 0);
    call_integer(c, at / 8 < s.n ? (uint8_t)s.p[at / 8] >> (7 - (at & 7)) & 1 : 0);
}

/* --- BITCOUNT, BITPOS --------------------------------------------------------------------------------------------- */

/* BIT or BYTE: how many bits an index counts. */
static bool parse_unit(struct call *c, struct bytes arg, unsigned *bits)
{
    if (bytes_is_word(arg, "bit")) *bits = 1;
    else if (bytes_is_word(arg, "byte")) *bits = 8;
    else {
        call_syntax_error(c);
        return false;
    }
    return true;
}

/* Indexes of units to bits; negative ones count from the end. False: the range is empty. */
static bool range_of(struct bytes s, int64_t start, int64_t end, unsigned unit, uint64_t *from, uint64_t *to)
{
    int64_t n = (int64_t)s.n * (unit == 1 ? 8 : 1);
    if (start < 0) start += n;
    if (end < 0) end += n;
    if (start < 0) start = 0;
    if (end < 0) end = 0;
    if (end >= n) end = n - 1;
    if (start > end) return false;
    *from = (uint64_t)start * unit;
    *to = (uint64_t)end * unit + unit - 1;
    return true;
}

void cmd_bitcount(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_STRING)) return;
    int64_t start = 0, end = -1;
    unsigned unit = 8;
    if (c->argc != 2) {
        if (c->argc != 4 && c->argc != 5) {
            call_syntax_error(c);
            return;
        }
        if (!call_int(c, c->argv[2], &start) || !call_int(c, c->argv[3], &end)) return;
        if (start < 0 && end < 0 && start > end) {
            call_integer(c, 0);
            return;
        }
        if (c->argc == 5 && !parse_unit(c, c->argv[4], &unit)) return;
    }
    char buf[ENTRY_STR_BUF];
    struct bytes s = entry_string(e, buf);
    uint64_t from, to;
    call_integer(c, range_of(s, start, end, unit, &from, &to) ? (int64_t)bits_count(s, from, to) : 0);
}

void cmd_bitpos(struct call *c)
{
    int64_t bit, start = 0, end = -1;
    if (!call_int(c, c->argv[2], &bit)) return;
    if (bit != 0 && bit != 1) {
        call_error(c, "ERR The bit argument must be 1 or 0.");
        return;
    }
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        call_integer(c, bit ? -1 : 0);
        return;
    }
    if (call_wrong_type(c, e, OBJ_STRING)) return;
    if (c->argc > 6) {
        call_syntax_error(c);
        return;
    }
    unsigned unit = 8;
    if (c->argc > 3 && !call_int(c, c->argv[3], &start)) return;
    if (c->argc > 5 && !parse_unit(c, c->argv[5], &unit)) return;
    if (c->argc > 4 && !call_int(c, c->argv[4], &end)) return;

    char buf[ENTRY_STR_BUF];
    struct bytes s = entry_string(e, buf);
    uint64_t from, to;
    int64_t at = -1;
    if (range_of(s, start, end, unit, &from, &to)) {
        at = bits_find(s, bit, from, to);
        /* Without an end the string goes on in zeros. */
        if (at < 0 && !bit && c->argc < 5) at = (int64_t)to + 1;
    }
    call_integer(c, at);
}

/* --- BITOP ------------------------------------------------------------------------------------------------------- */

static bool parse_op(struct call *c, enum bits_op *op)
{
    static const char *const words[] = {[BITS_AND] = "and", [BITS_OR] = "or", [BITS_XOR] = "xor", [BITS_NOT] = "not"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!bytes_is_word(c->argv[1], words[i])) continue;
        *op = (enum bits_op)i;
        if (*op != BITS_NOT || c->argc == 4) return true;
        call_error(c, "ERR BITOP NOT must be called with a single source key.");
        return false;
    }
    call_syntax_error(c);
    return false;
}

/* The strings of the keys, missing ones empty, numbers printed into texts; *longest of their lengths. False: an
 * error was replied. */
static bool look_up_sources(struct call *c, size_t count, struct bytes *in, char (*texts)[ENTRY_STR_BUF],
                            size_t *longest)
{
    *longest = 0;
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = db_lookup_read(c, call_key(c, 3 + (int)i));
        if (e && call_wrong_type(c, e, OBJ_STRING)) return false;
        in[i] = e ? entry_string(e, texts[i]) : bytes_of(NULL, 0);
        if (in[i].n > *longest) *longest = in[i].n;
    }
    return true;
}

static void store_result(struct call *c, const struct key_ref *key, struct blob *b)
{
    /* "raw", and text even if it reads like a number */
    struct value v = {.type = OBJ_STRING, .enc = ENC_RAW, .edited = true, .p = b};
    db_put_value(c, key, v, -1, 0);
    db_changed(c, key, NOTIFY_STRING, "set");
}

void cmd_bitop(struct call *c)
{
    enum bits_op op;
    if (!parse_op(c, &op)) return;
    size_t count = (size_t)c->argc - 3, n;
    struct bytes *in = mem_alloc(count * sizeof *in);
    const struct key_ref *key = call_key(c, 2);
    char(*texts)[ENTRY_STR_BUF] = mem_alloc(count * sizeof *texts);
    bool found = look_up_sources(c, count, in, texts, &n);
    struct blob *b = found && n ? blob_new(n, n) : NULL;
    if (b) bits_combine(op, in, count, b->data, n);
    mem_free(texts);
    mem_free(in);
    if (!found) return;

    if (b) store_result(c, key, b);
    else if (db_delete(c, key)) db_changed(c, key, NOTIFY_GENERIC, "del");
    call_integer(c, (int64_t)n);
}

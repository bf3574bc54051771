/* SPDX-License-Identifier: MIT
 *
 * BITFIELD and BITFIELD_RO: integers of 1 to 64 bits anywhere in a string. The whole call is checked before the first
 * step runs, and the string is made long enough once, for the farthest write. Behaviour, texts and the order of checks
 * are redis-server 7.0.15's.
 */
#include "server/cmd/bitmap.h"

#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/ds/bits.h"
#include "server/ds/number.h"
#include "server/mem.h"

enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };
enum step_kind { STEP_GET, STEP_SET, STEP_INCRBY };

struct bitfield_step {
    uint64_t at;
    int64_t operand;  /* the value to set or to add */
    uint8_t kind;     /* enum step_kind */
    uint8_t overflow; /* enum overflow */
    uint8_t width;
    bool is_signed;
};

struct plan {
    struct bitfield_step *steps;
    int count;
    bool writes;
    uint64_t last_bit; /* the farthest one a write reaches */
};

/* --- parsing ------------------------------------------------------------------------------------------------------ */

/* "i8", "u63" */
static bool parse_type(struct call *c, struct bytes arg, struct bitfield_step *s)
{
    const char *nul = arg.n ? memchr(arg.p, 0, arg.n) : NULL;
    if (nul) arg.n = (size_t)(nul - arg.p); /* Redis reads a C string here */
    int64_t width = 0;
    s->is_signed = arg.n && arg.p[0] == 'i';
    if (arg.n < 2 || (arg.p[0] != 'i' && arg.p[0] != 'u') ||
        !number_parse_i64(bytes_of(arg.p + 1, arg.n - 1), &width) || width < 1 || width > (s->is_signed ? 64 : 63)) {
        call_error(c,
                   "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
        return false;
    }
    s->width = (uint8_t)width;
    return true;
}

static bool parse_overflow(struct call *c, struct bytes arg, uint8_t *out)
{
    if (bytes_is_word(arg, "wrap")) *out = OVERFLOW_WRAP;
    else if (bytes_is_word(arg, "sat")) *out = OVERFLOW_SAT;
    else if (bytes_is_word(arg, "fail")) *out = OVERFLOW_FAIL;
    else {
        call_error(c, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

static bool parse_kind(struct bytes word, int left, uint8_t *out)
{
    if (bytes_is_word(word, "get") && left >= 2) *out = STEP_GET;
    else if (bytes_is_word(word, "set") && left >= 3) *out = STEP_SET;
    else if (bytes_is_word(word, "incrby") && left >= 3) *out = STEP_INCRBY;
    else return false;
    return true;
}

static bool parse_plan(struct call *c, struct plan *plan)
{
    uint8_t overflow = OVERFLOW_WRAP;
    for (int i = 2; i < c->argc; i++) {
        int left = c->argc - i - 1;
        struct bitfield_step s = {.overflow = overflow};
        if (!parse_kind(c->argv[i], left, &s.kind)) {
            if (!bytes_is_word(c->argv[i], "overflow") || left < 1) {
                call_syntax_error(c);
                return false;
            }
            if (!parse_overflow(c, c->argv[++i], &overflow)) return false;
            continue;
        }
        if (!parse_type(c, c->argv[i + 1], &s) || !bitmap_offset(c, c->argv[i + 2], s.width, &s.at)) return false;
        if (s.kind != STEP_GET) {
            plan->writes = true;
            if (s.at + s.width - 1 > plan->last_bit) plan->last_bit = s.at + s.width - 1;
            if (!call_int(c, c->argv[i + 3], &s.operand)) return false;
        }
        plan->steps[plan->count++] = s;
        i += s.kind == STEP_GET ? 2 : 3;
    }
    return true;
}

/* --- arithmetic --------------------------------------------------------------------------------------------------- */

/* v + by in a signed field; *fits: it needs no more bits. What does not fit comes back as `overflow` says, WRAP for
 * FAIL. A value to be set that lies so far below the field that the distance to its top overflows counts as too
 * large: Redis's arithmetic, which SAT shows. */
static int64_t add_signed(int64_t v, int64_t by, const struct bitfield_step *s, bool *fits)
{
    int64_t max = (int64_t)(UINT64_MAX >> 1 >> (64 - s->width)), min = -max - 1;
    int64_t room_up = (int64_t)((uint64_t)max - (uint64_t)v), room_down = (int64_t)((uint64_t)min - (uint64_t)v);
    bool over = v > max || ((s->width != 64 || (v >= 0 && by > 0)) && by > room_up);
    bool under = v < min || ((s->width != 64 || (v < 0 && by < 0)) && by < room_down);
    *fits = !over && !under;
    if (!*fits && s->overflow == OVERFLOW_SAT) return over ? max : min;
    return bits_extend((uint64_t)v + (uint64_t)by, s->width);
}

/* The same without a sign; fields have at most 63 bits. */
static uint64_t add_unsigned(uint64_t v, int64_t by, const struct bitfield_step *s, bool *fits)
{
    uint64_t max = UINT64_MAX >> (64 - s->width);
    bool over = v > max || (by > 0 && by > (int64_t)(max - v));
    bool under = !over && by < 0 && by < -(int64_t)v;
    *fits = !over && !under;
    if (!*fits && s->overflow == OVERFLOW_SAT) return over ? max : 0;
    return (v + (uint64_t)by) & max;
}

/* --- execution ---------------------------------------------------------------------------------------------------- */

static int64_t field(struct bytes s, const struct bitfield_step *step)
{
    uint64_t v = bits_get(s, step->at, step->width);
    return step->is_signed ? bits_extend(v, step->width) : (int64_t)v;
}

/* Replies with one step's result; returns whether that changed the string: in one that has just grown every write
 * counts. */
static bool write_field(struct call *c, char *p, size_t n, bool grown, const struct bitfield_step *s)
{
    int64_t was = field(bytes_of(p, n), s), now;
    int64_t base = s->kind == STEP_INCRBY ? was : s->operand, by = s->kind == STEP_INCRBY ? s->operand : 0;
    bool fits;
    if (s->is_signed) now = add_signed(base, by, s, &fits);
    else now = (int64_t)add_unsigned((uint64_t)base, by, s, &fits);
    if (!fits && s->overflow == OVERFLOW_FAIL) {
        reply_null(c->out);
        return false;
    }
    call_integer(c, s->kind == STEP_INCRBY ? now : was);
    bits_set(p, s->at, s->width, (uint64_t)now);
    return grown || was != now;
}

static void run_writes(struct call *c, const struct plan *plan)
{
    struct entry *e;
    bool grown;
    char *p = bitmap_edit(c, plan->last_bit, &e, &grown);
    if (!p) return;
    size_t n = entry_string_length(e);
    int64_t changes = 0;
    reply_array(c->out, (size_t)plan->count);
    for (const struct bitfield_step *s = plan->steps; s < plan->steps + plan->count; s++) {
        if (s->kind == STEP_GET) {
            call_integer(c, field(bytes_of(p, n), s));
            continue;
        }
        changes += write_field(c, p, n, grown, s);
    }
    /* OVERFLOW FAIL may have refused every write to a string that was made, or made longer, for them: a change without
     * an event, which Redis does not count and a replica or a log has to hear of all the same. */
    if (!changes && grown) db_changed(c, call_key(c, 1), NOTIFY_STRING, NULL);
    if (!changes) return;
    db_changed(c, call_key(c, 1), NOTIFY_STRING, "setbit");
    c->dirty += changes - 1;
}

static void run_reads(struct call *c, const struct plan *plan)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STRING)) return;
    char buf[ENTRY_STR_BUF];
    struct bytes text = e ? entry_string(e, buf) : bytes_of(NULL, 0);
    reply_array(c->out, (size_t)plan->count);
    for (int i = 0; i < plan->count; i++) call_integer(c, field(text, &plan->steps[i]));
}

static void bitfield(struct call *c, bool read_only)
{
    /* A step has at least three arguments. */
    struct plan plan = {.steps = mem_alloc(((size_t)c->argc / 3 + 1) * sizeof *plan.steps)};
    if (parse_plan(c, &plan)) {
        if (!plan.writes) run_reads(c, &plan);
        else if (read_only) call_error(c, "ERR BITFIELD_RO only supports the GET subcommand");
        else run_writes(c, &plan);
    }
    mem_free(plan.steps);
}

void cmd_bitfield(struct call *c) { bitfield(c, false); }
void cmd_bitfield_ro(struct call *c) { bitfield(c, true); }

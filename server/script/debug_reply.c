/* SPDX-License-Identifier: MIT
 *
 * A reply as the debugger of scripts shows it: [1,"a",NULL], ~(1,2), {"k" => 1}. Each value is written on its way to
 * Lua's stack (values.c), since from there it could not be told any more: a status from a table, an integer of 60 bits
 * from the nearest number, the order of a map.
 *
 * What is an array and what a map may be known at its end only. So what stands between two values is first one byte
 * that says how deep, which no value's text has, and becomes "," or " => " when the aggregate is complete.
 */
#include "server/script/debug_show.h"

#ifdef SCRIPT_LUA

#include <string.h>

#include "alloc/base/list.h"
#include "server/ds/number.h"

static_assert(SCRIPT_VALUES_DEPTH <= 32, "depths are control characters");

static struct script_values *of(struct reply *r) { return container_of(r, struct script_values, out); }
static struct debug_reply *shown_of(struct reply *r) { return of(r)->shown; }

static bool is_full(const struct debug_reply *r) { return r->muted || r->text.n >= DEBUG_SHOW_MAX; }

static void put(struct debug_reply *r, struct bytes s)
{
    if (!is_full(r)) conf_text_add(&r->text, s);
}

static void put_quoted(struct debug_reply *r, struct bytes s)
{
    if (s.n > DEBUG_SHOW_MAX) s.n = DEBUG_SHOW_MAX;
    if (!is_full(r)) conf_text_add_quoted(&r->text, s);
}

static void begin_value(struct debug_reply *r)
{
    char between = (char)(r->depth - 1);
    if (r->depth && r->frames[r->depth - 1].index > 0) put(r, bytes_of(&between, 1));
}

/* Puts `head` where the aggregate begins, what belongs between its values, and `tail`. */
static void close_aggregate(struct debug_reply *r, const struct debug_reply_frame *f)
{
    const char *head = f->type == '%' ? "{" : f->type == '~' ? "~(" : "[";
    const char *tail = f->type == '%' ? "}" : f->type == '~' ? ")" : "]";
    char between = (char)r->depth;
    struct conf_text whole = {0};
    uint64_t index = 0;
    if (is_full(r)) return;
    conf_text_add_str(&whole, head);
    for (size_t i = f->begins; i < r->text.n; i++) {
        if (r->text.p[i] != between) conf_text_add(&whole, bytes_of(&r->text.p[i], 1));
        else conf_text_add_str(&whole, f->type == '%' && index++ % 2 == 0 ? " => " : ",");
    }
    conf_text_add_str(&whole, tail);
    r->text.n = f->begins;
    conf_text_add(&r->text, conf_text_bytes(&whole));
    conf_text_free(&whole);
}

static void end_value(struct debug_reply *r)
{
    while (r->depth) {
        struct debug_reply_frame *f = &r->frames[r->depth - 1];
        f->index++;
        if (--f->left) return;
        struct debug_reply_frame done = *f;
        r->depth--;
        if (done.type == '|') {
            r->muted--;
            return;
        }
        close_aggregate(r, &done);
    }
}

static void whole(struct debug_reply *r, struct bytes s)
{
    begin_value(r);
    put(r, s);
    end_value(r);
}

static void whole_quoted(struct debug_reply *r, char sign, struct bytes s)
{
    struct conf_text t = {0};
    if (sign) conf_text_add(&t, bytes_of(&sign, 1));
    conf_text_add(&t, bytes_of(s.p, s.n < DEBUG_SHOW_MAX ? s.n : DEBUG_SHOW_MAX));
    begin_value(r);
    put_quoted(r, conf_text_bytes(&t));
    end_value(r);
    conf_text_free(&t);
}

/* --- what handlers reply ------------------------------------------------------------------------------------------ */

static void show_status(struct reply *r, struct bytes text)
{
    whole_quoted(shown_of(r), '+', text);
    script_values_taken.status(r, text);
}

static void show_error(struct reply *r, struct bytes text)
{
    struct debug_reply *shown = shown_of(r);
    shown->error.n = 0;
    conf_text_add(&shown->error, text);
    whole_quoted(shown, '-', text);
    script_values_taken.error(r, text);
}

static void show_integer(struct reply *r, int64_t n)
{
    char text[NUMBER_I64_SIZE];
    whole(shown_of(r), bytes_of(text, number_format_i64(text, n)));
    script_values_taken.integer(r, n);
}

static void show_bulk(struct reply *r, struct bytes s)
{
    whole_quoted(shown_of(r), 0, s);
    script_values_taken.bulk(r, s);
}

static void show_null(struct reply *r, bool array)
{
    whole(shown_of(r), r->proto == 2 ? BYTES("NULL") : BYTES("(null)"));
    script_values_taken.null(r, array);
}

static void show_boolean(struct reply *r, bool b)
{
    whole(shown_of(r), b ? BYTES("#true") : BYTES("#false"));
    script_values_taken.boolean(r, b);
}

static void show_real(struct reply *r, double n)
{
    static const char name[] = "(double) ";
    char text[sizeof name + NUMBER_DOUBLE_SIZE];
    memcpy(text, name, sizeof name - 1);
    whole(shown_of(r), bytes_of(text, sizeof name - 1 + number_format_double(text + sizeof name - 1, n)));
    script_values_taken.real(r, n);
}

static void show_big_number(struct reply *r, struct bytes digits)
{
    whole(shown_of(r), digits);
    script_values_taken.big_number(r, digits);
}

static void show_verbatim(struct reply *r, struct bytes s, const char format[3])
{
    whole_quoted(shown_of(r), 0, s);
    script_values_taken.verbatim(r, s, format);
}

/* False: as deep as there is room, where Lua gets no value either. */
static bool open_aggregate(struct debug_reply *r, char type, uint64_t left)
{
    if (type != '|') begin_value(r);
    if (r->depth == SCRIPT_VALUES_DEPTH) return false;
    r->frames[r->depth++] = (struct debug_reply_frame){.type = type, .begins = r->text.n, .left = left};
    if (type == '|') r->muted++;
    return true;
}

static void show_aggregate(struct reply *r, char type, uint64_t count)
{
    struct debug_reply *shown = shown_of(r);
    bool pairs = type == '%' || type == '|';
    if (!(type == '|' && count == 0) && open_aggregate(shown, type, pairs ? 2 * count : count) && count == 0) {
        shown->depth--;
        close_aggregate(shown, &shown->frames[shown->depth]);
        end_value(shown);
    }
    script_values_taken.aggregate(r, type, count);
}

static void show_defer(struct reply *r)
{
    open_aggregate(shown_of(r), 0, UINT64_MAX);
    script_values_taken.defer(r);
}

static void show_defer_end(struct reply *r, char type, uint64_t count)
{
    struct debug_reply *shown = shown_of(r);
    if (shown->depth) {
        struct debug_reply_frame f = shown->frames[--shown->depth];
        f.type = type;
        close_aggregate(shown, &f);
        end_value(shown);
    }
    script_values_taken.defer_end(r, type, count);
}

static const struct reply_values shown_values = {.status = show_status,
                                                 .error = show_error,
                                                 .integer = show_integer,
                                                 .bulk = show_bulk,
                                                 .null = show_null,
                                                 .boolean = show_boolean,
                                                 .real = show_real,
                                                 .big_number = show_big_number,
                                                 .verbatim = show_verbatim,
                                                 .aggregate = show_aggregate,
                                                 .defer = show_defer,
                                                 .defer_end = show_defer_end};

void debug_reply_fini(struct debug_reply *r)
{
    conf_text_free(&r->text);
    conf_text_free(&r->error);
}

void debug_reply_begin(struct debug_reply *r, struct script_values *v)
{
    r->text.n = r->error.n = 0;
    r->depth = r->muted = 0;
    v->shown = r;
    v->out.values = &shown_values;
}

#endif

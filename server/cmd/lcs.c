/* SPDX-License-Identifier: MIT
 *
 * LCS: the longest common subsequence of two strings, by dynamic programming over a table of all pairs of prefixes.
 *
 *   L[i][j] = L[i-1][j-1] + 1              when a[i-1] == b[j-1]
 *           = max(L[i-1][j], L[i][j-1])    otherwise
 *
 * The subsequence is read off from the end: a match is taken, otherwise the way goes to the larger neighbour, to the
 * left when they are equal (so the ranges are those Redis finds). Matches that are adjacent in both strings make one
 * range. The table is bounded by proto-max-bulk-len.
 */
#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/mem.h"

struct lcs {
    struct bytes a, b;
    uint32_t *table;
};

struct lcs_options {
    bool len, idx, with_match_len;
    int64_t min_match_len;
};

static uint32_t *cell(const struct lcs *l, size_t i, size_t j) { return &l->table[i * (l->b.n + 1) + j]; }

static void fill(struct lcs *l)
{
    for (size_t j = 0; j <= l->b.n; j++) *cell(l, 0, j) = 0;
    for (size_t i = 1; i <= l->a.n; i++) {
        uint32_t *above = cell(l, i - 1, 0), *row = cell(l, i, 0);
        row[0] = 0;
        for (size_t j = 1; j <= l->b.n; j++) {
            if (l->a.p[i - 1] == l->b.p[j - 1]) row[j] = above[j - 1] + 1;
            else row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
}

static bool parse(struct call *c, struct lcs_options *o)
{
    for (int i = 3; i < c->argc; i++) {
        struct bytes w = c->argv[i];
        if (bytes_is_word(w, "idx")) {
            o->idx = true;
        } else if (bytes_is_word(w, "len")) {
            o->len = true;
        } else if (bytes_is_word(w, "withmatchlen")) {
            o->with_match_len = true;
        } else if (bytes_is_word(w, "minmatchlen") && i + 1 < c->argc) {
            if (!call_int(c, c->argv[++i], &o->min_match_len)) return false;
            if (o->min_match_len < 0) o->min_match_len = 0;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    if (o->len && o->idx) {
        call_error(c, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

/* A range of matches, its ends included. */
struct lcs_range {
    bool open;
    size_t a_start, a_end, b_start, b_end;
};

static bool emit(struct call *c, const struct lcs_range *r, const struct lcs_options *o)
{
    size_t n = r->a_end - r->a_start + 1;
    if (n < (uint64_t)o->min_match_len) return false;
    reply_array(c->out, o->with_match_len ? 3 : 2);
    reply_array(c->out, 2);
    call_integer(c, (int64_t)r->a_start);
    call_integer(c, (int64_t)r->a_end);
    reply_array(c->out, 2);
    call_integer(c, (int64_t)r->b_start);
    call_integer(c, (int64_t)r->b_end);
    if (o->with_match_len) call_integer(c, (int64_t)n);
    return true;
}

/* Reads the subsequence off: into text (may be NULL), its ranges into the reply (o->idx). Returns the number of
 * ranges written. */
static size_t read_off(struct call *c, const struct lcs *l, const struct lcs_options *o, char *text)
{
    size_t i = l->a.n, j = l->b.n, left = *cell(l, i, j), ranges = 0;
    struct lcs_range r = {0};
    while (i > 0 && j > 0) {
        bool done = false;
        if (l->a.p[i - 1] == l->b.p[j - 1]) {
            if (text) text[--left] = l->a.p[i - 1];
            if (!r.open) {
                r = (struct lcs_range){true, i - 1, i - 1, j - 1, j - 1};
            } else if (r.a_start == i && r.b_start == j) {
                r.a_start--;
                r.b_start--;
            } else {
                done = true;
            }
            if (r.a_start == 0 || r.b_start == 0) done = true;
            i--;
            j--;
        } else {
            if (*cell(l, i - 1, j) > *cell(l, i, j - 1)) i--;
            else j--;
            done = r.open;
        }
        if (!done) continue;
        if (o->idx) ranges += emit(c, &r, o);
        r.open = false;
    }
    return ranges;
}

static void reply_ranges(struct call *c, const struct lcs *l, const struct lcs_options *o)
{
    reply_map(c->out, 2);
    call_bulk(c, BYTES("matches"));
    struct reply_mark m = reply_defer(c->out);
    size_t count = read_off(c, l, o, NULL);
    reply_defer_array(c->out, m, count);
    call_bulk(c, BYTES("len"));
    call_integer(c, *cell(l, l->a.n, l->b.n));
}

static void reply_text(struct call *c, const struct lcs *l, const struct lcs_options *o)
{
    size_t n = *cell(l, l->a.n, l->b.n);
    char *text = mem_alloc(n + 1);
    read_off(c, l, o, text);
    call_bulk(c, bytes_of(text, n));
    mem_free(text);
}

void cmd_lcs(struct call *c)
{
    const struct entry *ea = db_lookup_read(c, call_key(c, 1)), *eb = db_lookup_read(c, call_key(c, 2));
    if ((ea && ea->type != OBJ_STRING) || (eb && eb->type != OBJ_STRING)) {
        call_error(c, "ERR The specified keys must contain string values");
        return;
    }
    struct lcs_options o = {0};
    if (!parse(c, &o)) return;

    char abuf[ENTRY_STR_BUF], bbuf[ENTRY_STR_BUF];
    struct lcs l = {.a = ea ? entry_string(ea, abuf) : BYTES(""), .b = eb ? entry_string(eb, bbuf) : BYTES("")};
    if (l.a.n >= UINT32_MAX - 1 || l.b.n >= UINT32_MAX - 1) {
        call_error(c, "ERR String too long for LCS");
        return;
    }
    unsigned __int128 room = (unsigned __int128)(l.a.n + 1) * (l.b.n + 1) * sizeof *l.table;
    if (room > (uint64_t)c->cfg->proto_max_bulk_len) {
        call_error(c, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    l.table = mem_alloc((size_t)room);
    fill(&l);
    if (o.idx) reply_ranges(c, &l, &o);
    else if (o.len) call_integer(c, *cell(&l, l.a.n, l.b.n));
    else reply_text(c, &l, &o);
    mem_free(l.table);
}

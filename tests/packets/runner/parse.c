/* SPDX-License-Identifier: MIT
 *
 * The grammar of packet scripts, by recursive descent. The first thing that is wrong ends it, with its line.
 *
 *   script  = { "--" name [ "=" value ] } { time ( packet | call | claims ) }
 *   time    = [ "+" ] n | "*" | [ "+" ] n "~" [ "+" ] n | [ "+" ] n "..." n
 *   packet  = ( "<" | ">" ) [ "@" flow [ ":" port ] ] { "[" mark "]" } ( tcp | udp | icmp )
 *   tcp     = flags seq ":" seq "(" len ")" [ "ack" n ] [ "win" n ] [ "urg" n ] [ "<" options ">" ] { fault }
 *   call    = name "(" [ arg { "," arg } ] ")" "=" result [ errno ] [ "(" anything ")" ]
 *   claims  = "%{" { "assert" expr [ ";" ] } "}%"
 */
#include "tests/packets/runner/lex.h"
#include "tests/packets/runner/script.h"
#include "tests/packets/runner/symbols.h"
#include "tcp/hdr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct lexer x;
    struct script *s;
    bool v6;
};

static void *take(struct parser *p, size_t n) { return arena_take(p->s->arena, n); }

static bool is_tok(const struct parser *p, int kind) { return p->x.now.kind == kind; }

/* --- times -------------------------------------------------------------------------------------------------------- */

static nsec parse_seconds(struct parser *p)
{
    if (!is_tok(p, TOK_NUMBER)) lex_fail(&p->x, "a time is missing before '%.*s'", (int)p->x.now.n, p->x.now.at);
    nsec t = p->x.now.nanos;
    lex_next(&p->x);
    return t;
}

static struct when parse_when(struct parser *p)
{
    struct when w = {.kind = TIME_ABSOLUTE};
    if (lex_take(&p->x, '*')) {
        w.kind = TIME_ANY;
        return w;
    }
    if (lex_take(&p->x, '+')) w.kind = TIME_RELATIVE;
    w.from = w.to = parse_seconds(p);
    if (lex_take(&p->x, '~')) {
        lex_take(&p->x, '+');
        w.range = true;
        w.to = parse_seconds(p);
    } else if (is_tok(p, TOK_DOTS)) {
        lex_next(&p->x);
        w.blocks = true;
        w.to = parse_seconds(p);
    }
    if (w.to < w.from) lex_fail(&p->x, "the range ends before it begins");
    return w;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static void parse_range(struct parser *p, struct pkt_spec *k)
{
    k->seq = (uint32_t)lex_number(&p->x);
    lex_want(&p->x, ':');
    uint32_t end = (uint32_t)lex_number(&p->x);
    lex_want(&p->x, '(');
    k->len = (uint32_t)lex_number(&p->x);
    lex_want(&p->x, ')');
    if (end != k->seq + k->len) lex_fail(&p->x, "%u:%u(%u) does not add up", k->seq, end, k->len);
}

static void parse_mark(struct parser *p, struct pkt_spec *k)
{
    static const struct {
        const char *name;
        int mark;
    } marks[] = {
        {"noecn", ECN_NONE}, {"ect1", ECN_ECT1}, {"ect0", ECN_ECT0}, {"ce", ECN_CE}, {"ect01", ECN_ECT_ANY},
    };
    struct lexer *x = &p->x;
    if (is_tok(p, TOK_NUMBER)) { /* what an ICMP error quotes */
        parse_range(p, k);
        k->icmp_quotes = true;
        return;
    }
    if (lex_take_word(x, "udp")) {
        lex_want(x, '(');
        k->len = (uint32_t)lex_number(x);
        lex_want(x, ')');
        k->icmp_quotes = k->icmp_quotes_udp = true;
        return;
    }
    if (lex_take_word(x, "tos")) {
        k->tos = (int)lex_number(x);
    } else if (lex_take_word(x, "ttl")) {
        k->ttl = (int)lex_number(x);
    } else if (lex_take_word(x, "df")) {
        k->df = 1;
    } else if (lex_take_word(x, "nodf")) {
        k->df = 0;
    } else {
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (lex_is_word(x, marks[i].name)) k->ecn = marks[i].mark;
        if (k->ecn == ECN_UNSAID) lex_fail(x, "'%.*s' is no mark", (int)x->now.n, x->now.at);
        lex_next(x);
    }
}

static void parse_flags(struct parser *p, struct pkt_spec *k)
{
    static const char letters[] = "FSRP.UEW";
    struct lexer *x = &p->x;
    if (lex_take(x, '-')) return;
    while (is_tok(p, TOK_WORD) || lex_is(x, '.')) {
        for (size_t i = 0; i < x->now.n; i++) {
            const char *l = strchr(letters, x->now.at[i]);
            if (!l) lex_fail(x, "'%c' is no flag", x->now.at[i]);
            k->flags |= (uint8_t)(1 << (l - letters));
        }
        lex_next(x);
    }
}

static struct opt_spec *add_opt(struct parser *p, struct pkt_spec *k, uint16_t kind)
{
    if (k->opt_count == PKT_OPTS_MAX) lex_fail(&p->x, "too many options");
    struct opt_spec *o = &k->opts[k->opt_count++];
    o->kind = kind;
    return o;
}

static uint32_t number_or_any(struct parser *p, bool *any)
{
    *any = lex_take(&p->x, '*');
    return *any ? 0 : (uint32_t)lex_number(&p->x);
}

static void parse_sack(struct parser *p, struct opt_spec *o)
{
    while (is_tok(p, TOK_NUMBER)) {
        if (o->sack_count == 4) lex_fail(&p->x, "too many SACK blocks");
        o->sack[2 * o->sack_count] = (uint32_t)lex_number(&p->x);
        lex_want(&p->x, ':');
        o->sack[2 * o->sack_count++ + 1] = (uint32_t)lex_number(&p->x);
    }
}

static void parse_opt(struct parser *p, struct pkt_spec *k)
{
    struct lexer *x = &p->x;
    if (is_tok(p, TOK_DOTS)) {
        lex_next(x);
        k->no_opts_check = true;
    } else if (lex_take_word(x, "mss")) {
        add_opt(p, k, OPT_MSS_)->a = (uint32_t)lex_number(x);
    } else if (lex_take_word(x, "wscale")) {
        add_opt(p, k, OPT_WSCALE_)->a = (uint32_t)lex_number(x);
    } else if (lex_take_word(x, "sackOK")) {
        add_opt(p, k, OPT_SACK_OK_);
    } else if (lex_take_word(x, "nop")) {
        add_opt(p, k, OPT_NOP_);
    } else if (lex_take_word(x, "eol")) {
        add_opt(p, k, OPT_EOL_);
    } else if (lex_take_word(x, "sack")) {
        parse_sack(p, add_opt(p, k, OPT_SACK_));
    } else if (lex_take_word(x, "TS")) {
        struct opt_spec *o = add_opt(p, k, OPT_TS_);
        if (!lex_take_word(x, "val")) lex_fail(x, "TS val is missing");
        o->a = number_or_any(p, &o->any_val);
        if (!lex_take_word(x, "ecr")) lex_fail(x, "ecr is missing");
        o->b = number_or_any(p, &o->any_ecr);
    } else if (lex_take_word(x, "raw")) {
        while (is_tok(p, TOK_NUMBER)) add_opt(p, k, OPT_RAW_)->raw = (uint8_t)lex_number(x);
    } else {
        lex_fail(x, "'%.*s' is no TCP option", (int)x->now.n, x->now.at);
    }
}

static void parse_faults(struct parser *p, struct pkt_spec *k)
{
    struct lexer *x = &p->x;
    for (;;) {
        if (lex_take_word(x, "badcsum")) k->bad_checksum = true;
        else if (lex_take_word(x, "badipcsum")) k->bad_ip_checksum = true;
        else if (lex_take_word(x, "doff")) k->doff = (int)lex_number(x);
        else if (lex_take_word(x, "truncate")) k->truncate = (int)lex_number(x);
        else return;
        if (!k->in) lex_fail(x, "only packets that go in can be faulty");
    }
}

static void parse_tcp(struct parser *p, struct pkt_spec *k)
{
    struct lexer *x = &p->x;
    parse_flags(p, k);
    parse_range(p, k);
    if (lex_take_word(x, "ack")) {
        k->has_ack = true;
        k->ack = (uint32_t)lex_number(x);
    }
    if (!k->has_ack && !k->in && (k->flags & TCP_ACK)) lex_fail(x, "ack is missing");
    if (lex_take_word(x, "win")) k->window = (long)lex_number(x);
    if (lex_take_word(x, "urg")) k->urgent = (long)lex_number(x);
    if (lex_take(x, '<')) {
        while (!lex_is(x, '>')) {
            parse_opt(p, k);
            if (!lex_take(x, ',') && !lex_is(x, '>')) lex_fail(x, "'>' is missing behind the options");
        }
        lex_next(x);
    }
}

static void parse_icmp(struct parser *p, struct pkt_spec *k)
{
    static const struct {
        const char *name;
        int type4, code4, type6, code6;
    } types[] = {
        {"net_unreachable", 3, 0, 1, 0},      {"host_unreachable", 3, 1, 1, 3},
        {"protocol_unreachable", 3, 2, 4, 1}, {"port_unreachable", 3, 3, 1, 4},
        {"frag_needed", 3, 4, 2, 0},          {"source_route_failed", 3, 5, 1, 5},
        {"admin_prohibited", 3, 13, 1, 1},    {"packet_too_big", 3, 4, 2, 0},
        {"time_exceeded", 11, 0, 3, 0},       {"reassembly_time_exceeded", 11, 1, 3, 1},
        {"parameter_problem", 12, 0, 4, 0},   {"source_quench", 4, 0, 255, 0},
        {"echo_request", 8, 0, 128, 0},       {"echo_reply", 0, 0, 129, 0},
    };
    struct lexer *x = &p->x;
    lex_take_word(x, "unreachable");
    size_t i = 0;
    while (i < sizeof types / sizeof *types && !lex_is_word(x, types[i].name)) i++;
    if (i == sizeof types / sizeof *types) lex_fail(x, "'%.*s' is no ICMP message", (int)x->now.n, x->now.at);
    lex_next(x);
    k->icmp_type = (uint8_t)(p->v6 ? types[i].type6 : types[i].type4);
    k->icmp_code = (uint8_t)(p->v6 ? types[i].code6 : types[i].code4);
    if (lex_take_word(x, "mtu")) k->icmp_mtu = (uint32_t)lex_number(x);
}

static void parse_packet(struct parser *p, struct event *e)
{
    struct lexer *x = &p->x;
    struct pkt_spec *k = &e->pkt;
    e->kind = EVENT_PACKET;
    *k = (struct pkt_spec){.in = lex_is(x, '<'),
                           .flow = 1,
                           .ecn = ECN_UNSAID,
                           .tos = -1,
                           .ttl = -1,
                           .df = -1,
                           .window = -1,
                           .urgent = -1,
                           .doff = -1,
                           .truncate = -1};
    lex_next(x);
    if (lex_take(x, '@')) {
        k->flow = (int)lex_number(x);
        if (k->flow < 0 || k->flow > 63) lex_fail(x, "flows are @0 to @63");
        if (lex_take(x, ':')) k->local_port = (int)lex_number(x);
    }
    while (lex_take(x, '[')) {
        parse_mark(p, k);
        lex_take(x, ',');
        lex_want(x, ']');
    }
    if (lex_take_word(x, "udp")) {
        k->proto = PKT_UDP;
        lex_want(x, '(');
        k->len = (uint32_t)lex_number(x);
        lex_want(x, ')');
    } else if (lex_take_word(x, "icmp")) {
        k->proto = PKT_ICMP;
        parse_icmp(p, k);
    } else {
        k->proto = PKT_TCP;
        parse_tcp(p, k);
    }
    parse_faults(p, k);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct arg *parse_arg(struct parser *p);

static struct arg *parse_items(struct parser *p, char end, bool named)
{
    struct arg *first = NULL, **link = &first;
    while (!lex_is(&p->x, end)) {
        struct arg *a;
        if (named) {
            a = take(p, sizeof *a);
            a->text = lex_word(&p->x);
            lex_want(&p->x, '=');
            a->value = parse_arg(p);
        } else {
            a = parse_arg(p);
        }
        *link = a;
        link = &a->next;
        if (!lex_take(&p->x, ',') && !lex_is(&p->x, end)) lex_fail(&p->x, "'%c' is missing", end);
    }
    lex_next(&p->x);
    return first;
}

static long parse_term(struct parser *p)
{
    struct lexer *x = &p->x;
    long sign = lex_take(x, '-') ? -1 : 1, v;
    if (is_tok(p, TOK_NUMBER)) return sign * (long)lex_number(x);
    const char *name = lex_word(x);
    if (!strcmp(name, "htons")) { /* ports are in host order here */
        lex_want(x, '(');
        v = (long)lex_number(x);
        lex_want(x, ')');
        return v;
    }
    if (!symbol_find(name, &v)) lex_fail(x, "'%s' is not known", name);
    return sign * v;
}

static struct arg *parse_arg(struct parser *p)
{
    struct lexer *x = &p->x;
    struct arg *a = take(p, sizeof *a);
    if (is_tok(p, TOK_DOTS)) {
        lex_next(x);
        a->kind = ARG_DOTS;
    } else if (is_tok(p, TOK_TEXT)) {
        a->kind = ARG_TEXT;
        a->text = arena_text(p->s->arena, x->now.at, x->now.n);
        lex_next(x);
    } else if (lex_take_word(x, "inet_addr")) {
        lex_want(x, '(');
        a = parse_arg(p);
        lex_want(x, ')');
    } else if (lex_take(x, '[')) {
        a->kind = ARG_LIST;
        a->items = parse_items(p, ']', false);
    } else if (lex_take(x, '{')) {
        a->kind = ARG_STRUCT;
        a->items = parse_items(p, '}', true);
    } else if (lex_take(x, '@')) {
        a->kind = ARG_FLOW;
        a->number = (long)lex_number(x);
    } else if (lex_take(x, '*')) {
        a->kind = ARG_ANY;
    } else {
        a->kind = ARG_NUMBER;
        a->number = parse_term(p);
        while (lex_take(x, '|')) a->number |= parse_term(p);
    }
    return a;
}

static void parse_call(struct parser *p, struct event *e)
{
    struct lexer *x = &p->x;
    struct call *c = &e->call;
    e->kind = EVENT_CALL;
    c->name = lex_word(x);
    lex_want(x, '(');
    while (!lex_is(x, ')')) {
        if (c->argc == CALL_ARGS_MAX) lex_fail(x, "too many arguments");
        c->args[c->argc++] = parse_arg(p);
        if (!lex_take(x, ',') && !lex_is(x, ')')) lex_fail(x, "')' is missing");
    }
    lex_next(x);
    lex_want(x, '=');
    if (lex_take(x, '*')) {
        c->any_result = true;
    } else {
        c->result = parse_term(p);
    }
    long err;
    if (is_tok(p, TOK_WORD)) {
        const char *name = lex_word(x);
        if (!symbol_find(name, &err)) lex_fail(x, "'%s' is no error", name);
        c->err = (int)err;
    }
    if (lex_take(x, '(')) {
        while (!lex_is(x, ')') && !is_tok(p, TOK_END)) lex_next(x);
        lex_want(x, ')');
    }
}

/* --- assertions --------------------------------------------------------------------------------------------------- */

static struct expr *parse_expr(struct parser *p, unsigned level);

static struct expr *new_expr(struct parser *p, char op, struct expr *a, struct expr *b)
{
    struct expr *e = take(p, sizeof *e);
    e->op = op;
    e->fd = -1;
    e->a = a;
    e->b = b;
    return e;
}

static struct expr *parse_primary(struct parser *p)
{
    struct lexer *x = &p->x;
    struct expr *e;
    if (lex_take(x, '(')) {
        e = parse_expr(p, 0);
        lex_want(x, ')');
    } else if (lex_take(x, '-')) {
        e = new_expr(p, '-', new_expr(p, 'n', NULL, NULL), parse_primary(p));
    } else if (is_tok(p, TOK_NUMBER)) {
        e = new_expr(p, 'n', NULL, NULL);
        e->number = (long)lex_number(x);
    } else {
        e = new_expr(p, 'v', NULL, NULL);
        e->name = lex_word(x);
        long known;
        if (symbol_find(e->name, &known)) {
            e->op = 'n';
            e->number = known;
        }
        if (lex_take(x, '@')) e->fd = (int)lex_number(x);
    }
    return e;
}

static struct expr *parse_expr(struct parser *p, unsigned level)
{
    static const char *const levels[] = {"o", "a", "en<>lg", "+-", "*/"};
    if (level == sizeof levels / sizeof *levels) return parse_primary(p);
    struct expr *e = parse_expr(p, level + 1);
    for (;;) {
        struct lexer *x = &p->x;
        char op = x->now.kind == TOK_PUNCT && strchr(levels[level], x->now.punct) ? x->now.punct : 0;
        if (level == 0 && lex_is_word(x, "or")) op = 'o';
        if (level == 1 && lex_is_word(x, "and")) op = 'a';
        if (!op) return e;
        lex_next(x);
        e = new_expr(p, op == 'n' ? '!' : op, e, parse_expr(p, level + 1)); /* 'n' is a number's */
    }
}

static void parse_claims(struct parser *p, struct event *e)
{
    struct lexer *x = &p->x;
    struct claim **link = &e->claims;
    e->kind = EVENT_CHECK;
    while (!is_tok(p, TOK_CLAIMS_END)) {
        if (!lex_take_word(x, "assert")) lex_fail(x, "assert is missing before '%.*s'", (int)x->now.n, x->now.at);
        const char *from = x->now.at;
        struct claim *c = take(p, sizeof *c);
        c->e = parse_expr(p, 0);
        size_t n = (size_t)(x->now.at - from);
        while (n && strchr(" \t\r\n;}", from[n - 1])) n--;
        c->text = arena_text(p->s->arena, from, n);
        if (lex_take(x, ',')) lex_next(x);
        lex_take(x, ';');
        *link = c;
        link = &c->next;
    }
    lex_next(x);
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static void parse_options(struct parser *p)
{
    struct option **link = &p->s->options;
    struct lexer *x = &p->x;
    for (;;) {
        lex_next(x);
        if (!lex_is(x, '-')) return;
        const char *line = x->now.at;
        size_t n = strcspn(line, " \t\r\n");
        if (strncmp(line, "--", 2)) lex_fail(x, "an option begins with --");
        struct option *o = take(p, sizeof *o);
        char *text = arena_text(p->s->arena, line + 2, n - 2), *equals = strchr(text, '=');
        if (equals) *equals = 0;
        o->name = text;
        o->value = equals ? equals + 1 : "1";
        o->line = x->now.line;
        if (!strcmp(o->name, "ip_version")) p->v6 = !strcmp(o->value, "ipv6");
        *link = o;
        link = &o->next;
        x->p = line + n;
    }
}

static void parse_events(struct parser *p)
{
    struct event **link = &p->s->events;
    while (!is_tok(p, TOK_END)) {
        struct event *e = take(p, sizeof *e);
        e->line = p->x.now.line;
        /* packetdrill lets them go without */
        if (is_tok(p, TOK_CLAIMS_BEGIN)) e->when = (struct when){.kind = TIME_RELATIVE};
        else e->when = parse_when(p);
        if (lex_is(&p->x, '<') || lex_is(&p->x, '>')) {
            parse_packet(p, e);
        } else if (is_tok(p, TOK_CLAIMS_BEGIN)) {
            lex_next(&p->x);
            parse_claims(p, e);
        } else {
            parse_call(p, e);
        }
        if (e->when.range && (e->kind != EVENT_PACKET || e->pkt.in))
            lex_fail(&p->x, "a range of time is for packets that come out");
        if (e->when.blocks && e->kind != EVENT_CALL) lex_fail(&p->x, "only a call can block");
        *link = e;
        link = &e->next;
    }
}

static char *read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) return NULL;
    char *text = arena_take(a, 1 << 18);
    size_t n = fread(text, 1, (1 << 18) - 1, f);
    bool ok = !ferror(f) && feof(f) && n > 0;
    fclose(f);
    return ok ? text : NULL;
}

int script_parse(struct script *s, const char *path)
{
    struct parser p = {.s = s};
    jmp_buf failed;
    *s = (struct script){.path = path, .arena = arena_new()};
    s->text = read_file(s->arena, path);
    if (!s->text) {
        snprintf(s->error, sizeof s->error, "cannot be read");
        return -1;
    }
    p.x.arena = s->arena;
    p.x.failed = &failed;
    p.x.error = s->error;
    lex_init(&p.x, s->text);
    if (setjmp(failed)) return -1;
    parse_options(&p);
    parse_events(&p);
    if (!s->events) lex_fail(&p.x, "no events");
    return 0;
}

void script_free(struct script *s)
{
    arena_free(s->arena);
    s->arena = NULL;
}

const char *script_line(const struct script *s, unsigned line, char *out, unsigned size)
{
    const char *p = s->text;
    while (p && --line) {
        p = strchr(p, '\n');
        if (p) p++;
    }
    snprintf(out, size, "%.*s", p ? (int)strcspn(p, "\n") : 0, p ? p : "");
    return out;
}

/* SPDX-License-Identifier: MIT
 *
 * Words of a packet script. Numbers keep both their whole part and their meaning as seconds, since only the grammar
 * knows which is wanted; "0.1...0.3" is a number, three dots and a number; ".1" is one, too.
 */
#include "tests/packets/runner/lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena {
    struct arena *next;
    max_align_t first[];
};

struct arena *arena_new(void)
{
    struct arena *a = calloc(1, sizeof *a);
    if (!a) abort();
    return a;
}

void *arena_take(struct arena *a, size_t n)
{
    struct arena *piece = calloc(1, sizeof *piece + n);
    if (!piece) abort();
    piece->next = a->next;
    a->next = piece;
    return piece->first;
}

char *arena_text(struct arena *a, const char *p, size_t n)
{
    char *out = arena_take(a, n + 1);
    memcpy(out, p, n);
    return out;
}

void arena_free(struct arena *a)
{
    while (a) {
        struct arena *next = a->next;
        free(a);
        a = next;
    }
}

_Noreturn void lex_fail(struct lexer *x, const char *format, ...)
{
    va_list ap;
    int n = snprintf(x->error, 256, "line %u: ", x->now.line ? x->now.line : x->line);
    va_start(ap, format);
    vsnprintf(x->error + n, 256 - (size_t)n, format, ap);
    va_end(ap);
    longjmp(*x->failed, 1);
}

static void skip_blanks(struct lexer *x)
{
    for (;; x->p++) {
        if (*x->p == '\n') {
            x->line++;
        } else if ((x->p[0] == '/' && x->p[1] == '/') || x->p[0] == '#') {
            x->p += strcspn(x->p, "\n") - 1;
        } else if (x->p[0] == '/' && x->p[1] == '*') {
            const char *end = strstr(x->p + 2, "*/");
            if (!end) lex_fail(x, "a comment does not end");
            for (; x->p < end + 1; x->p++) x->line += *x->p == '\n';
        } else if (!isspace((unsigned char)*x->p)) {
            return;
        }
    }
}

static void lex_a_number(struct lexer *x)
{
    struct token *t = &x->now;
    const char *p = x->p;
    t->kind = TOK_NUMBER;
    if (*p != '.') { /* ".1" has no whole part */
        char *end;
        t->number = strtoull(p, &end, p[0] == '0' && (p[1] == 'x' || p[1] == 'X') ? 16 : 10);
        p = end;
    }
    t->nanos = t->number * 1000000000u;
    if (p[0] == '.' && isdigit((unsigned char)p[1])) {
        unsigned long long unit = 100000000u;
        t->is_fraction = true;
        for (p++; isdigit((unsigned char)*p); p++, unit /= 10) t->nanos += (unsigned long long)(*p - '0') * unit;
    }
    x->p = p;
}

static bool is_in_word(const struct lexer *x, char c)
{
    return isalnum((unsigned char)c) || c == '_' || (x->claims && c == '.');
}

static void lex_punct(struct lexer *x)
{
    static const struct {
        char text[3], punct;
    } pairs[] = {
        {"==", 'e'}, {"!=", 'n'}, {"<=", 'l'}, {">=", 'g'}, {"&&", 'a'}, {"||", 'o'},
    };
    x->now.kind = TOK_PUNCT;
    for (size_t i = 0; x->claims && i < sizeof pairs / sizeof *pairs; i++) {
        if (strncmp(x->p, pairs[i].text, 2)) continue;
        x->now.punct = pairs[i].punct;
        x->p += 2;
        return;
    }
    x->now.punct = *x->p++;
}

static void lex_text(struct lexer *x)
{
    const char *end = strchr(x->p + 1, '"');
    if (!end) lex_fail(x, "a text does not end");
    x->now.kind = TOK_TEXT;
    x->now.at = x->p + 1;
    x->now.n = (size_t)(end - x->p - 1);
    x->p = end + 1;
}

void lex_next(struct lexer *x)
{
    const char *before = x->p;
    skip_blanks(x);
    x->now = (struct token){.at = x->p, .line = x->line, .spaced = x->p != before};
    if (*x->p == 0) return;
    if (!strncmp(x->p, "%{", 2) || !strncmp(x->p, "}%", 2)) {
        x->now.kind = *x->p == '%' ? TOK_CLAIMS_BEGIN : TOK_CLAIMS_END;
        x->claims = *x->p == '%';
        x->p += 2;
    } else if (!strncmp(x->p, "...", 3)) {
        x->now.kind = TOK_DOTS;
        x->p += 3;
    } else if (isdigit((unsigned char)x->p[*x->p == '.'])) {
        lex_a_number(x);
    } else if (*x->p == '"') {
        lex_text(x);
    } else if (is_in_word(x, *x->p) && *x->p != '.') {
        x->now.kind = TOK_WORD;
        while (is_in_word(x, *x->p)) x->p++;
    } else {
        lex_punct(x);
    }
    if (x->now.kind != TOK_TEXT) x->now.n = (size_t)(x->p - x->now.at);
}

void lex_init(struct lexer *x, const char *text)
{
    x->p = text;
    x->line = 1;
    x->claims = false;
}

bool lex_is(const struct lexer *x, char punct) { return x->now.kind == TOK_PUNCT && x->now.punct == punct; }

bool lex_is_word(const struct lexer *x, const char *word)
{
    return x->now.kind == TOK_WORD && x->now.n == strlen(word) && !memcmp(x->now.at, word, x->now.n);
}

bool lex_take(struct lexer *x, char punct)
{
    if (!lex_is(x, punct)) return false;
    lex_next(x);
    return true;
}

bool lex_take_word(struct lexer *x, const char *word)
{
    if (!lex_is_word(x, word)) return false;
    lex_next(x);
    return true;
}

void lex_want(struct lexer *x, char punct)
{
    if (!lex_take(x, punct)) lex_fail(x, "'%c' is missing before '%.*s'", punct, (int)x->now.n, x->now.at);
}

unsigned long lex_number(struct lexer *x)
{
    if (x->now.kind != TOK_NUMBER || x->now.is_fraction)
        lex_fail(x, "a number is missing before '%.*s'", (int)x->now.n, x->now.at);
    unsigned long v = x->now.number;
    lex_next(x);
    return v;
}

const char *lex_word(struct lexer *x)
{
    if (x->now.kind != TOK_WORD) lex_fail(x, "a word is missing before '%.*s'", (int)x->now.n, x->now.at);
    const char *out = arena_text(x->arena, x->now.at, x->now.n);
    lex_next(x);
    return out;
}

/* SPDX-License-Identifier: MIT
 *
 * Words of a packet script. One token of look-ahead; blanks and comments (// # and C's) vanish.
 */
#ifndef PACKETS_LEX_H
#define PACKETS_LEX_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

enum token_kind { TOK_END, TOK_NUMBER, TOK_WORD, TOK_TEXT, TOK_DOTS, TOK_PUNCT, TOK_CLAIMS_BEGIN, TOK_CLAIMS_END };

struct token {
    int kind;
    char punct;       /* of TOK_PUNCT: one character, or 'e' ==, 'n' !=, 'l' <=, 'g' >=, 'a' &&, 'o' || */
    bool is_fraction; /* a number with a point */
    bool spaced;      /* blanks stood before it */
    const char *at;
    size_t n;                  /* of the text */
    unsigned long long number; /* whole part, hex or decimal */
    unsigned long long nanos;  /* the number as seconds, in ns */
    unsigned line;
};

struct arena;

struct lexer {
    const char *p;
    unsigned line;
    bool claims; /* inside %{ }%: dots belong to names */
    struct token now;
    struct arena *arena;
    jmp_buf *failed; /* where lex_fail() goes */
    char *error;     /* 256 bytes */
};

void lex_init(struct lexer *x, const char *text);
void lex_next(struct lexer *x);
_Noreturn void lex_fail(struct lexer *x, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool lex_is(const struct lexer *x, char punct);
bool lex_is_word(const struct lexer *x, const char *word);
bool lex_take(struct lexer *x, char punct); /* true: it was there, and is behind us now */
bool lex_take_word(struct lexer *x, const char *word);
void lex_want(struct lexer *x, char punct);
unsigned long lex_number(struct lexer *x);
const char *lex_word(struct lexer *x); /* a copy in the arena */

/* Memory that goes all at once. Zeroed; ends the program when there is none. */
struct arena *arena_new(void);
void *arena_take(struct arena *a, size_t n);
char *arena_text(struct arena *a, const char *p, size_t n);
void arena_free(struct arena *a);

#endif

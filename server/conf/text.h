/* SPDX-License-Identifier: MIT
 *
 * Growing text, and lines split into words as redis.conf quotes them:
 *
 *      bind 127.0.0.1
 *      save ""
 *      requirepass "two words\n"
 *      logfile 'it''s'              an error: a closing quote in the middle of a word
 *
 * A double-quoted word knows \n \r \t \b \a \xHH and \ before anything else; a single-quoted one
 * only \'. A closing quote is followed by a space or the end. Memory is libc's: the configuration
 * is read before a libOS, and its heap, exists.
 */
#ifndef SERVER_CONF_TEXT_H
#define SERVER_CONF_TEXT_H

#include <stdarg.h>

#include "alloc/base/bytes.h"

struct conf_text {
    char *p; /* NUL behind n bytes, once something was added */
    size_t n, cap;
};

void conf_text_free(struct conf_text *t);
void conf_text_add(struct conf_text *t, struct bytes b);
void conf_text_add_str(struct conf_text *t, const char *s);
void conf_text_printf(struct conf_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* In double quotes, so that conf_split() gives the same bytes back. */
void conf_text_add_quoted(struct conf_text *t, struct bytes b);
static inline struct bytes conf_text_bytes(const struct conf_text *t) { return bytes_of(t->p, t->n); }
/* A copy that ends with NUL; free() it. */
char *conf_text_copy(struct bytes b);

enum { CONF_ARGS_MAX = 1 << 18 }; /* a user may have many rules */

/* Words: each ends with NUL behind its n bytes. */
struct conf_args {
    struct bytes *argv;
    int argc;
    char *store;
};

/* -EINVAL: unbalanced quotes, or a NUL in the line; -E2BIG: more than CONF_ARGS_MAX words. Free
 * after success. */
int conf_split(struct bytes line, struct conf_args *out);
/* At each single space, no quotes; an empty text has no words. */
int conf_split_spaces(struct bytes line, struct conf_args *out);
void conf_args_free(struct conf_args *a);

#endif

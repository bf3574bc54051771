/* SPDX-License-Identifier: MIT */
#include "server/conf/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/mem.h"

/* --- text ---------------------------------------------------------------------------------- */

static void *grown(void *p, size_t size)
{
    p = realloc(p, size);
    if (!p) mem_exhausted(size);
    return p;
}

void conf_text_free(struct conf_text *t)
{
    free(t->p);
    *t = (struct conf_text){0};
}

/* Room for n more bytes and the NUL. */
static void reserve(struct conf_text *t, size_t n)
{
    if (t->n + n + 1 <= t->cap) return;
    t->cap = (t->n + n + 1) * 2;
    t->p = grown(t->p, t->cap);
}

void conf_text_add(struct conf_text *t, struct bytes b)
{
    reserve(t, b.n);
    if (b.n) memcpy(t->p + t->n, b.p, b.n);
    t->n += b.n;
    t->p[t->n] = 0;
}

void conf_text_add_str(struct conf_text *t, const char *s) { conf_text_add(t, bytes_of_str(s)); }

void conf_text_printf(struct conf_text *t, const char *fmt, ...)
{
    char *made;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&made, fmt, ap);
    va_end(ap);
    if (n < 0) mem_exhausted(0);
    conf_text_add(t, bytes_of(made, (size_t)n));
    free(made);
}

static const char escaped[] = "\\\"\n\r\t\a\b", escapes[] = "\\\"nrtab";

void conf_text_add_quoted(struct conf_text *t, struct bytes b)
{
    conf_text_add_str(t, "\"");
    for (size_t i = 0; i < b.n; i++) {
        const char *e = b.p[i] ? strchr(escaped, b.p[i]) : NULL;
        if (e) conf_text_printf(t, "\\%c", escapes[e - escaped]);
        else if (b.p[i] >= 0x20 && b.p[i] < 0x7f) conf_text_add(t, bytes_of(b.p + i, 1));
        else conf_text_printf(t, "\\x%02x", (unsigned char)b.p[i]);
    }
    conf_text_add_str(t, "\"");
}

char *conf_text_copy(struct bytes b)
{
    char *s = grown(NULL, b.n + 1);
    if (b.n) memcpy(s, b.p, b.n);
    s[b.n] = 0;
    return s;
}

/* --- words --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_space(char c) { return isspace((unsigned char)c) != 0; }

/* One escape of a double-quoted word; p stands at the backslash. Returns where to go on. */
static const char *escape_read(const char *p, char *out)
{
    if (p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
        *out = (char)(hex_digit(p[2]) << 4 | hex_digit(p[3]));
        return p + 4;
    }
    const char *e = strchr(escapes, p[1]);
    *out = e ? escaped[e - escapes] : p[1];
    return p + 2;
}

/* Reads from p (not a space) to the end of the word; NULL: the quotes are not balanced. *to grows
 * behind what it writes. */
static const char *word_read(const char *p, char **to)
{
    char *w = *to, quote = 0;
    for (;;) {
        if (!quote) {
            if (*p == 0 || *p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') break;
            if (*p == '"' || *p == '\'') quote = *p++;
            else *w++ = *p++;
        } else if (*p == 0) {
            return NULL;
        } else if (quote == '"' && *p == '\\' && p[1]) {
            p = escape_read(p, w++);
        } else if (quote == '\'' && *p == '\\' && p[1] == '\'') {
            *w++ = '\'';
            p += 2;
        } else if (*p == quote) {
            p++;
            if (*p && !is_space(*p)) return NULL;
            break;
        } else {
            *w++ = *p++;
        }
    }
    *to = w;
    return p;
}

static int args_begin(struct bytes line, struct conf_args *out)
{
    if (line.n && memchr(line.p, 0, line.n)) return -EINVAL;
    *out = (struct conf_args){0};
    /* No word is longer than what it was written with, and a separator makes room for its NUL. */
    out->store = grown(NULL, line.n * 2 + 2);
    return 0;
}

static int args_add(struct conf_args *a, const char *p, size_t n)
{
    if (a->argc == CONF_ARGS_MAX) return -E2BIG;
    if ((a->argc & (a->argc - 1)) == 0) a->argv = grown(a->argv, sizeof *a->argv * (a->argc ? (size_t)a->argc * 2 : 1));
    a->argv[a->argc++] = bytes_of(p, n);
    return 0;
}

void conf_args_free(struct conf_args *a)
{
    free(a->argv);
    free(a->store);
    *a = (struct conf_args){0};
}

int conf_split(struct bytes line, struct conf_args *out)
{
    int rc = args_begin(line, out);
    if (rc < 0) return rc;
    char *source = conf_text_copy(line), *to = out->store;
    const char *p = source;
    for (;;) {
        while (*p && is_space(*p)) p++;
        if (!*p) break;
        char *start = to;
        p = word_read(p, &to);
        rc = p ? args_add(out, start, (size_t)(to - start)) : -EINVAL;
        if (rc < 0) break;
        *to++ = 0;
    }
    free(source);
    if (rc < 0) conf_args_free(out);
    return rc;
}

int conf_split_spaces(struct bytes line, struct conf_args *out)
{
    int rc = args_begin(line, out);
    if (rc < 0 || line.n == 0) return rc;
    char *to = out->store;
    size_t start = 0;
    for (size_t i = 0; i <= line.n && rc == 0; i++) {
        if (i < line.n && line.p[i] != ' ') continue;
        memcpy(to, line.p + start, i - start);
        to[i - start] = 0;
        rc = args_add(out, to, i - start);
        to += i - start + 1;
        start = i + 1;
    }
    if (rc < 0) conf_args_free(out);
    return rc;
}

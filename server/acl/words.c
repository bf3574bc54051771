/* SPDX-License-Identifier: MIT */
#include "server/acl/words.h"

#include "server/mem.h"

void acl_words_clear(struct acl_words *w)
{
    for (size_t i = 0; i < w->count; i++) mem_free((char *)w->v[i].p);
    mem_free(w->v);
    *w = (struct acl_words){0};
}

struct bytes acl_text_copy(struct bytes text)
{
    char *p = mem_alloc(text.n + 1);
    if (text.n) memcpy(p, text.p, text.n);
    p[text.n] = 0;
    return bytes_of(p, text.n);
}

void acl_words_add(struct acl_words *w, struct bytes text)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 4;
        w->v = mem_realloc(w->v, w->cap * sizeof *w->v);
    }
    w->v[w->count++] = acl_text_copy(text);
}

void acl_words_copy(struct acl_words *to, const struct acl_words *from)
{
    for (size_t i = 0; i < from->count; i++) acl_words_add(to, from->v[i]);
}

long acl_words_find(const struct acl_words *w, struct bytes text)
{
    for (size_t i = 0; i < w->count; i++)
        if (bytes_equal(w->v[i], text)) return (long)i;
    return -1;
}

void acl_words_remove(struct acl_words *w, size_t at)
{
    ASSERT(at < w->count);
    mem_free((char *)w->v[at].p);
    memmove(&w->v[at], &w->v[at + 1], (w->count - at - 1) * sizeof *w->v);
    w->count--;
}

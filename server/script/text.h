/* SPDX-License-Identifier: MIT
 *
 * Bytes that grow while a library of scripts writes them. They lie in the caller's frame while they are few, then in a
 * value of Lua that keeps a place on its stack: an error that leaves the caller leaks nothing, and what a script may
 * hold is bounded by its state's memory.
 */
#ifndef SERVER_SCRIPT_TEXT_H
#define SERVER_SCRIPT_TEXT_H

#include <stddef.h>
#include <string.h>

struct lua_State;

#define SCRIPT_TEXT_FIRST 1024

struct script_text {
    struct lua_State *L;
    char *p;
    size_t n, size;
    int at; /* the place on the stack */
    _Alignas(16) char first[SCRIPT_TEXT_FIRST];
};

/* Takes one place on the stack's top, which stays the caller's to pop (or its return does). */
void script_text_init(struct script_text *t, struct lua_State *L);
/* Room for n more bytes, or an error of Lua. */
void script_text_grow(struct script_text *t, size_t n);
/* Pushes what was written as a string. */
void script_text_push(struct script_text *t);

static inline char *script_text_room(struct script_text *t, size_t n)
{
    if (__builtin_expect(t->size - t->n < n, 0)) script_text_grow(t, n);
    return t->p + t->n;
}

static inline void script_text_put(struct script_text *t, const void *p, size_t n)
{
    char *to = script_text_room(t, n);
    if (n) memcpy(to, p, n);
    t->n += n;
}

static inline void script_text_byte(struct script_text *t, char c)
{
    *script_text_room(t, 1) = c;
    t->n++;
}

#endif

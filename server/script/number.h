/* SPDX-License-Identifier: MIT
 *
 * Numbers as Lua 5.1 on x86-64 has them where LuaJIT differs: their text is what C's library prints (ties of decimal
 * digits to the even one), and a NaN keeps its sign.
 */
#ifndef SERVER_SCRIPT_NUMBER_H
#define SERVER_SCRIPT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

#define SCRIPT_NUMBER_MAX 64 /* bytes of any text here, with the zero */

/* "%.14g"; returns its length. */
size_t script_number_text(char to[SCRIPT_NUMBER_MAX], double d);
/* The same with other digits, 1 to 17. */
size_t script_number_digits(char to[SCRIPT_NUMBER_MAX], double d, int digits);
/* Pushes it, which LuaJIT's own call does with one of both NaNs only. */
void script_number_push(struct lua_State *L, double d);
/* The whole of a text that ends with a zero, spaces around it allowed; false: it is no number. */
bool script_number_read(const char *s, double *d);

#endif

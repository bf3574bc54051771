/* SPDX-License-Identifier: MIT
 *
 * The keys of a table in an order that is the same in every process. LuaJIT seeds its hashes afresh each time it
 * starts, and texts made of tables are compared and used as keys by programs that know Redis: numbers come first,
 * ascending, then strings by their bytes, then the others as Lua has them.
 */
#ifndef SERVER_SCRIPT_KEYS_H
#define SERVER_SCRIPT_KEYS_H

#include <stddef.h>

struct lua_State;
struct script_text;

struct script_key {
    int type;      /* of Lua */
    double number; /* or the boolean */
    const char *p; /* a string's bytes, the table's; anything else: what script_keys_push needs */
    size_t n;
};

/* Writes the keys of the table at index behind what `in` has and returns how many; in->n is to be set back by the
 * caller. They are valid as long as the table is not changed. Index counts from the stack's bottom. */
size_t script_keys_collect(struct lua_State *L, int index, struct script_text *in);
/* The i-th of those that begin at offset `first` of `in`. */
struct script_key script_keys_at(const struct script_text *in, size_t first, size_t i);
/* Pushes a key of a type that has a number, a string or a boolean; any other one as nil. */
void script_keys_push(struct lua_State *L, const struct script_key *k);

#endif

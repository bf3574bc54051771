/* SPDX-License-Identifier: MIT
 *
 * The functions of `redis.` that are not commands, and Redis's math.random().
 */
#ifndef SERVER_SCRIPT_API_H
#define SERVER_SCRIPT_API_H

struct lua_State;

/* Pushes the table `redis` of a script. */
void script_api_open(struct lua_State *L);
/* Puts log, LOG_DEBUG and its kin, REDIS_VERSION and REDIS_VERSION_NUM into the table on the top: what a library of
 * functions may use while it is loaded. */
void script_api_open_loading(struct lua_State *L);
/* Puts random and randomseed into the table on the top. */
void script_api_open_random(struct lua_State *L);
/* A reference to the function that says where an error happened. */
int script_api_error_handler(struct lua_State *L);

#endif

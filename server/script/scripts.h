/* SPDX-License-Identifier: MIT
 *
 * What the server has of scripts: the state of EVAL's, the cache of their bodies, the one that runs.
 */
#ifndef SERVER_SCRIPT_SCRIPTS_H
#define SERVER_SCRIPT_SCRIPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/script/busy.h"

struct call;
struct debugger;
struct eval_cache;
struct script_run;
struct script_vm;
struct server;
struct worker;

struct scripts {
    struct server *srv;
    struct script_vm *eval; /* made when it is first needed */
    struct eval_cache *cache;
    struct script_run *volatile run; /* the one under way; NULL: none */
    uint64_t random;                 /* 48 bits: math.random() */
    volatile uint64_t serial;        /* of runs */
    struct script_watch watch;
    struct debugger *debugger; /* of the EVAL under way; NULL: it has none */
    uint64_t evicted;          /* scripts that others have pushed out of the cache */
    void *functions;           /* of who runs libraries of functions */
};

void scripts_init(struct server *srv);
void scripts_fini(struct server *srv);

/* False: this server was built without LuaJIT; replied with an error. */
bool scripts_available(struct call *c);
/* The state of EVAL's scripts. */
struct script_vm *scripts_eval_vm(struct server *srv);

/* The time that stands while the script under way runs. */
int64_t scripts_now_us(const struct server *srv);

/* A run begins and ends. */
void scripts_begin(struct server *srv, struct script_run *run);
void scripts_end(struct server *srv, struct script_run *run);

/* For INFO. */
struct scripts_memory {
    size_t eval_vm, function_vm;    /* bytes that Lua holds */
    size_t eval_scripts, functions; /* ours about them */
    size_t cached, function_count;
    uint64_t evicted;
};
struct scripts_memory scripts_memory(const struct server *srv);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Functions that clients bring in libraries: loaded into a state of their own, called by name. The libraries themselves
 * are srv->libraries (server/rdb/libraries.h), which this runs.
 */
#ifndef SERVER_SCRIPT_FUNCTION_H
#define SERVER_SCRIPT_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/script/engine.h"

struct call;
struct libraries;
struct request;
struct server;

#define FUNCTION_LOAD_MS 500 /* that a client's library may take to register its functions */

struct function {
    struct script_what what;
    char *description; /* ends with a zero that is none of description_size bytes; NULL: it has none */
    size_t description_size;
    size_t name_size;
    char name[];
};

/* srv->libraries are run from here on. */
void functions_init(struct server *srv);
void functions_fini(struct server *srv);
/* All go, and the state with them: freed by another thread, or here. */
void functions_flush(struct server *srv, bool elsewhere);
/* An empty set that is run as srv->libraries are, to be joined with them or cleared. */
struct libraries functions_another_set(struct server *srv);

/* FCALL and FCALL_RO. */
void function_call(struct call *c, bool read_only);
/* What the flags of FCALL are worth for the function it names. */
uint32_t function_command_flags(const struct server *srv, const struct request *r);

size_t functions_vm_memory(const struct server *srv);

#endif

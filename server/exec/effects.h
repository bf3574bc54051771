/* SPDX-License-Identifier: MIT
 *
 * Effects on their way to the sinks (effect_as() in server/exec/call.h says what an effect is). Those of one command
 * are handed over together when it is done, an EXEC with all it ran counting as one; more than one go between MULTI and
 * EXEC, so that whoever applies them does so in one step. What the server does by itself (expiry in the background,
 * eviction) goes out at once, effect by effect.
 */
#ifndef SERVER_EFFECTS_H
#define SERVER_EFFECTS_H

#include "alloc/base/list.h"
#include "server/exec/call.h"

#define EFFECT_ANY_DB (-1) /* MULTI and EXEC themselves: no database need be selected for them */

/* Who is told; a script may choose (redis.set_repl()). */
enum effect_kind { EFFECT_TO_LOG = 1, EFFECT_TO_REPLICAS = 2, EFFECT_TO_ALL = 3 };

/* Receives every effect of its kind, in order: AOF, replication. Commands arrive deterministic, MULTI and EXEC around
 * those that belong together. */
struct effect_sink {
    struct list link;
    unsigned kind; /* enum effect_kind; 0: it gets all there is */
    void (*effect)(struct effect_sink *s, int dbid, const struct bytes *argv, int argc);
};

struct effect;

struct effects { /* private; a worker's */
    struct effect *v;
    size_t count, cap;
    struct bytes *args; /* of all, one behind the other; p is an offset in text until they are handed over */
    size_t arg_count, arg_cap;
    char *text;
    size_t text_size, text_cap;
    unsigned withheld; /* enum effect_kind: from these what is added now is kept; public */
};

void effects_fini(struct effects *e);
/* One effect of the call in database dbid; argv is copied. */
void effects_add(struct call *c, int dbid, const struct bytes *argv, int argc);
/* The outermost command is done: hands over what there is. `framed` false: never between MULTI and EXEC. */
void effects_flush(struct worker *w, bool framed);
static inline bool effects_pending(const struct effects *e) { return e->count != 0; }
/* Drops what was added since *e was `before`. */
void effects_cut(struct effects *e, const struct effects *before);
/* The whole of a command's effect is its text, and nothing else is pending: no copy is made. */
void effects_hand_over(struct server *srv, int dbid, const struct bytes *argv, int argc);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What the connections of a program have in common: the plug-in, and one set of rules that it has made of files and
 * words. Counted, because a connection of another thread may be the last that needs it.
 */
#include "libos/tls/parts.h"

#include "libos/runtime/plugin.h"

#include <pthread.h>
#include <stdlib.h>

#define HANDSHAKE_NS_MAX 30000000000u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* two threads that make their first context */

static int engine_load(const struct tls_engine **out, char *why, size_t why_size)
{
    void *symbol = NULL;
    int err = plugin_find("tls", TLS_PLUGIN_SYMBOL, &symbol, why, why_size);
    if (err) return err;
    tls_plugin_fn entry;
    *(void **)&entry = symbol;
    *out = entry();
    return *out && (*out)->abi == TLS_ABI ? 0 : plugin_is_other("tls", why, why_size);
}

int tls_context_new(const struct demi_tls_options *o, demi_tls_context_t **out, char *why, size_t why_size)
{
    char nowhere[1];
    if (!why || !why_size) why = nowhere, why_size = sizeof nowhere;
    *why = 0;
    struct demi_tls_context *c = calloc(1, sizeof *c);
    if (!c) return -ENOMEM;
    pthread_mutex_lock(&lock);
    int err = engine_load(&c->engine, why, why_size);
    pthread_mutex_unlock(&lock);
    if (!err) err = c->engine->rules_new(o, &c->rules, why, why_size);
    if (err) {
        free(c);
        return err;
    }
    c->handshake_ns_max = o->handshake_ns_max ? o->handshake_ns_max : HANDSHAKE_NS_MAX;
    atomic_init(&c->refs, 1);
    *out = c;
    return 0;
}

void tls_context_ref(demi_tls_context_t *c) { atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed); }

void tls_context_unref(demi_tls_context_t *c)
{
    /* What others did with it happens before it goes. */
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
    c->engine->rules_free(c->rules);
    free(c);
}

uint64_t tls_context_memory(const demi_tls_context_t *c) { return c->engine->memory(); }

int tls_context_certificate(const demi_tls_context_t *c, enum demi_tls_which which, struct demi_tls_certificate *out)
{
    return c->engine->rules_certificate(c->rules, which, out);
}

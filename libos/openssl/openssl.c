/* SPDX-License-Identifier: MIT
 *
 * The plug-in libdemikernel-tls.so: OpenSSL 3 as an engine (libos/border.h). It does no I/O; the only files it opens
 * are those a context is made of.
 *
 * OpenSSL cleans up when a process ends, before the library has sent what its connections still owe; so it is told not
 * to, where it was not started by somebody else before.
 *
 * Its memory is libc's and not our heap's. It is counted by functions of ours between the two, where nothing has been
 * allocated by it before.
 */
#include "libos/openssl/parts.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "libos/plugin.h"

static atomic_size_t allocated;
static bool counts;

static void count_more(void *p)
{
    if (p) atomic_fetch_add_explicit(&allocated, malloc_usable_size(p), memory_order_relaxed);
}

static void count_less(void *p)
{
    if (p) atomic_fetch_sub_explicit(&allocated, malloc_usable_size(p), memory_order_relaxed);
}

static void *counted_malloc(size_t n, const char *file, int line)
{
    void *p = n ? malloc(n) : NULL;
    count_more(p);
    return p;
}

static void counted_free(void *p, const char *file, int line)
{
    count_less(p);
    free(p);
}

static void *counted_realloc(void *p, size_t n, const char *file, int line)
{
    if (!n) {
        counted_free(p, file, line);
        return NULL;
    }
    size_t before = p ? malloc_usable_size(p) : 0;
    void *q = realloc(p, n);
    if (!q) return NULL;
    atomic_fetch_sub_explicit(&allocated, before, memory_order_relaxed);
    count_more(q);
    return q;
}

static uint64_t memory(void) { return counts ? atomic_load_explicit(&allocated, memory_order_relaxed) : 0; }

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    counts = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free);
    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

static const struct tls_engine engine = {
    .abi = TLS_ABI,
    .name = "OpenSSL",
    .rules_new = rules_new,
    .rules_free = rules_free,
    .rules_certificate = rules_certificate,
    .session_new = session_new,
    .session_free = session_free,
    .handshake = session_handshake,
    .read = session_read,
    .write = session_write,
    .end = session_end,
    .why = session_why,
    .describe = session_describe,
    .peer = session_peer,
    .memory = memory,
};

PLUGIN_EXPORT const struct tls_engine *demi_tls_plugin(void);
const struct tls_engine *demi_tls_plugin(void)
{
    pthread_once(&once, start);
    return &engine;
}

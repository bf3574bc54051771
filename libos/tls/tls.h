/* SPDX-License-Identifier: MIT
 *
 * TLS as a queue over a queue: the wire is any stream there is, the records are a plug-in's (libos/border.h).
 *
 *     program   push            pop
 *                |               ^
 *     tls        plaintext  ->  engine  <-  ciphertext      one record at a time
 *                                |               ^
 *     below     push            pop                         posix, inet, sim, a pipe
 *
 * All return 0 or -errno.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "demi/tls.h"
#include "libos/runtime/queue.h"

/* --- contexts: any thread ----------------------------------------------------------------------------------------- */

/* Loads the plug-in, the first time. why may be NULL. */
int tls_context_new(const struct demi_tls_options *o, demi_tls_context_t **out, char *why, size_t why_size);
void tls_context_ref(demi_tls_context_t *c);
void tls_context_unref(demi_tls_context_t *c);
uint64_t tls_context_memory(const demi_tls_context_t *c);
int tls_context_certificate(const demi_tls_context_t *c, enum demi_tls_which which, struct demi_tls_certificate *out);

/* --- queues ------------------------------------------------------------------------------------------------------- */

/* Stands in lower's place from here on (queue_replace()), and owns it. On an error nothing has changed. */
int tls_wrap(struct queue *lower, demi_tls_context_t *c, bool is_server, const char *name);
bool tls_is(const struct queue *q);
/* op ends when the handshake does. */
int tls_handshake(struct queue *q, struct op *op);
void tls_info(const struct queue *q, struct demi_tls_info *out);
int tls_peer(const struct queue *q, struct demi_tls_certificate *out);

#endif

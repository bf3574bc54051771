/* SPDX-License-Identifier: MIT
 *
 * Inside of the plug-in that is TLS by OpenSSL: rules.c makes contexts of files and words, session.c turns bytes into
 * records and back.
 */
#ifndef OPENSSL_PARTS_H
#define OPENSSL_PARTS_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "libos/border.h"

struct tls_rules {
    SSL_CTX *ctx;
    struct demi_tls_certificate own, ca;
    bool has_own, has_ca;
};

/* rules.c */
int rules_new(const struct demi_tls_options *o, struct tls_rules **out, char *why, size_t why_size);
void rules_free(struct tls_rules *r);
int rules_certificate(const struct tls_rules *r, enum demi_tls_which which, struct demi_tls_certificate *out);
void certificate_describe(X509 *x, struct demi_tls_certificate *out);

/* session.c */
int session_new(struct tls_rules *r, bool is_server, const char *name, struct tls_session **out);
void session_free(struct tls_session *s);
enum tls_step session_handshake(struct tls_session *s, struct tls_wire *w);
enum tls_step session_read(struct tls_session *s, struct tls_wire *w, void *p, size_t n, size_t *got);
enum tls_step session_write(struct tls_session *s, struct tls_wire *w, const void *p, size_t n);
enum tls_step session_end(struct tls_session *s, struct tls_wire *w);
const char *session_why(const struct tls_session *s);
void session_describe(const struct tls_session *s, struct demi_tls_info *out);
int session_peer(const struct tls_session *s, struct demi_tls_certificate *out);

/* wire.c: the BIO of both directions, over the struct tls_wire of the call; its data is a struct tls_wire **. NULL: no
 * memory. */
BIO *wire_bio_new(struct tls_wire **wire);

#endif

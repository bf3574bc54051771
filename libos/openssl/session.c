/* SPDX-License-Identifier: MIT
 *
 * A connection's records. OpenSSL keeps what went wrong in a list of the thread; each call begins with an empty one,
 * and the first reason of a session stays with it: what comes later only follows from it.
 */
#include "libos/openssl/parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_session {
    SSL *ssl;
    struct tls_wire *wire; /* of the call */
    bool is_broken;
    char why[TLS_WHY_SIZE];
};

static void session_broke(struct tls_session *s)
{
    char text[TLS_WHY_SIZE];
    unsigned long e = ERR_get_error();
    long verify = SSL_get_verify_result(s->ssl);
    if (s->is_broken) return;
    s->is_broken = true;
    if (e) ERR_error_string_n(e, text, sizeof text);
    else snprintf(text, sizeof text, "the connection is of no use any more");
    if (ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
        snprintf(s->why, sizeof s->why, "%.90s: %.60s", text, X509_verify_cert_error_string(verify));
    else snprintf(s->why, sizeof s->why, "%s", text);
    ERR_clear_error();
}

static enum tls_step step_of(struct tls_session *s, int result)
{
    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_WANT_READ: return TLS_WANTS_INPUT;
    case SSL_ERROR_WANT_WRITE: return TLS_WANTS_ROOM;
    case SSL_ERROR_ZERO_RETURN: return TLS_ENDED;
    default: session_broke(s); return TLS_BROKEN;
    }
}

static void call_begin(struct tls_session *s, struct tls_wire *w)
{
    s->wire = w;
    ERR_clear_error();
}

enum tls_step session_handshake(struct tls_session *s, struct tls_wire *w)
{
    if (s->is_broken) return TLS_BROKEN;
    call_begin(s, w);
    int r = SSL_do_handshake(s->ssl);
    return r == 1 ? TLS_DONE : step_of(s, r);
}

enum tls_step session_read(struct tls_session *s, struct tls_wire *w, void *p, size_t n, size_t *got)
{
    *got = 0;
    w->pending = false;
    if (s->is_broken) return TLS_BROKEN;
    call_begin(s, w);
    enum tls_step step = TLS_DONE;
    while (*got < n) {
        size_t k = 0;
        int r = SSL_read_ex(s->ssl, (char *)p + *got, n - *got, &k);
        *got += k;
        if (r == 1) continue;
        step = step_of(s, r);
        break;
    }
    w->pending = step != TLS_BROKEN && SSL_pending(s->ssl) > 0;
    /* What else there was to say is said by the next call: an end stays one, a failure is kept. */
    if (*got && (step == TLS_ENDED || step == TLS_BROKEN)) w->pending = true;
    return *got ? TLS_DONE : step;
}

enum tls_step session_write(struct tls_session *s, struct tls_wire *w, const void *p, size_t n)
{
    size_t k = 0;
    if (s->is_broken) return TLS_BROKEN;
    call_begin(s, w);
    int r = SSL_write_ex(s->ssl, p, n, &k);
    return r == 1 ? TLS_DONE : step_of(s, r);
}

enum tls_step session_end(struct tls_session *s, struct tls_wire *w)
{
    if (s->is_broken) return TLS_BROKEN;
    call_begin(s, w);
    int r = SSL_shutdown(s->ssl);
    return r >= 0 ? TLS_DONE : step_of(s, r);
}

const char *session_why(const struct tls_session *s) { return s->why; }

void session_describe(const struct tls_session *s, struct demi_tls_info *out)
{
    const char *cipher = SSL_get_cipher_name(s->ssl);
    snprintf(out->version, sizeof out->version, "%s", SSL_get_version(s->ssl));
    snprintf(out->cipher, sizeof out->cipher, "%s", cipher ? cipher : "");
    out->is_resumed = SSL_session_reused(s->ssl);
}

int session_peer(const struct tls_session *s, struct demi_tls_certificate *out)
{
    X509 *x = SSL_get0_peer_certificate(s->ssl);
    if (!x) return -ENOENT;
    certificate_describe(x, out);
    return 0;
}

/* A name is asked for in the hello (SNI), an address is not (RFC 6066 3); the certificate has to be for either. */
static bool want_server(SSL *ssl, const char *name)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    return SSL_set_tlsext_host_name(ssl, name) && SSL_set1_host(ssl, name);
}

int session_new(struct tls_rules *r, bool is_server, const char *name, struct tls_session **out)
{
    struct tls_session *s = calloc(1, sizeof *s);
    int err = -ENOMEM;
    if (!s) return err;
    ERR_clear_error();
    s->ssl = SSL_new(r->ctx);
    BIO *b = s->ssl ? wire_bio_new(&s->wire) : NULL;
    if (!b) goto free_session;
    SSL_set_bio(s->ssl, b, b);
    if (is_server) SSL_set_accept_state(s->ssl);
    else SSL_set_connect_state(s->ssl);
    err = -EINVAL;
    if (name && !want_server(s->ssl, name)) goto free_session;
    *out = s;
    return 0;
free_session:
    ERR_clear_error();
    SSL_free(s->ssl);
    free(s);
    return err;
}

void session_free(struct tls_session *s)
{
    /* One that ended without our close_notify is not resumed otherwise, and RFC 5246 7.2.1 has it resumed. */
    if (!s->is_broken) SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    ERR_clear_error();
    free(s);
}

/* SPDX-License-Identifier: MIT
 *
 * A context of OpenSSL's: certificate, key and what is agreed to. What is wrong with a file is said by its name and
 * OpenSSL's reason.
 */
#include "libos/openssl/parts.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/decoder.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct rules_maker {
    SSL_CTX *ctx;
    const struct demi_tls_options *o;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool rules_refuse(struct rules_maker *m, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(m->why, m->why_size, fmt, args);
    va_end(args);
    return false;
}

/* The first reason: what follows it is what it came to further up. */
static bool openssl_refuse(struct rules_maker *m, const char *what, const char *file)
{
    char text[256];
    unsigned long e = ERR_get_error();
    if (e) ERR_error_string_n(e, text, sizeof text);
    else snprintf(text, sizeof text, "not understood");
    ERR_clear_error();
    return rules_refuse(m, "%s%s%.160s: %s", what, file ? ": " : "", file ? file : "", text);
}

/* --- what is agreed to -------------------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    uint64_t off;
} versions[] = {
    {"TLSv1", SSL_OP_NO_TLSv1},
    {"TLSv1.1", SSL_OP_NO_TLSv1_1},
    {"TLSv1.2", SSL_OP_NO_TLSv1_2},
    {"TLSv1.3", SSL_OP_NO_TLSv1_3},
};
#define VERSIONS_DEFAULT "TLSv1.2 TLSv1.3"

static bool set_protocols(struct rules_maker *m)
{
    const char *at = m->o->protocols && *m->o->protocols ? m->o->protocols : VERSIONS_DEFAULT;
    uint64_t off = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3, all = off;
    for (at += strspn(at, " "); *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " "), i = 0;
        while (i < 4 && (strlen(versions[i].word) != n || strncasecmp(versions[i].word, at, n))) i++;
        if (i == 4)
            return rules_refuse(m,
                                "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' "
                                "and 'TLSv1.3'.");
        off &= ~versions[i].off;
        at += n;
    }
    if (off == all) return rules_refuse(m, "Invalid tls-protocols specified: none is left.");
    SSL_CTX_set_options(m->ctx, off);
    return true;
}

static bool set_ciphers(struct rules_maker *m)
{
    const char *ciphers = m->o->ciphers, *suites = m->o->ciphersuites;
    if (ciphers && *ciphers && !SSL_CTX_set_cipher_list(m->ctx, ciphers))
        return openssl_refuse(m, "Failed to configure ciphers", ciphers);
    if (suites && *suites && !SSL_CTX_set_ciphersuites(m->ctx, suites))
        return openssl_refuse(m, "Failed to configure ciphersuites", suites);
    return true;
}

static bool set_dh(struct rules_maker *m)
{
    const char *path = m->o->dh_file;
    if (!path || !*path) return SSL_CTX_set_dh_auto(m->ctx, 1);
    EVP_PKEY *key = NULL;
    FILE *f = fopen(path, "r");
    if (!f) return rules_refuse(m, "Failed to load %.160s: %s", path, strerror(errno));
    OSSL_DECODER_CTX *d =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, "DH", OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS, NULL, NULL);
    bool fine = d && OSSL_DECODER_from_fp(d, f);
    OSSL_DECODER_CTX_free(d);
    fclose(f);
    if (!fine) return rules_refuse(m, "%.160s: failed to read DH params.", path);
    if (SSL_CTX_set0_tmp_dh_pkey(m->ctx, key) > 0) return true; /* the key is the context's now */
    EVP_PKEY_free(key);
    return openssl_refuse(m, "Failed to load DH params file", path);
}

static void set_sessions(struct rules_maker *m)
{
    static const unsigned char name[] = "demikernel";
    if (!m->o->session_cache) {
        SSL_CTX_set_session_cache_mode(m->ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(m->ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(m->ctx, 0);
        return;
    }
    SSL_CTX_set_session_cache_mode(m->ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(m->ctx, m->o->cache_size);
    SSL_CTX_set_timeout(m->ctx, m->o->cache_seconds);
    SSL_CTX_set_session_id_context(m->ctx, name, sizeof name - 1);
}

static void set_verify(struct rules_maker *m)
{
    static const int modes[] = {
        [DEMI_TLS_VERIFY_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        [DEMI_TLS_VERIFY_OPTIONAL] = SSL_VERIFY_PEER,
        [DEMI_TLS_VERIFY_NONE] = SSL_VERIFY_NONE,
    };
    SSL_CTX_set_verify(m->ctx, modes[m->o->verify], NULL);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static int give_password(char *to, int size, int writes, void *arg)
{
    const char *pass = arg;
    size_t n = pass ? strlen(pass) : 0;
    if (!pass || n > (size_t)size) return -1; /* nobody is asked at the terminal */
    memcpy(to, pass, n);
    return (int)n;
}

static bool load_own(struct rules_maker *m)
{
    const char *cert = m->o->cert_file, *key = m->o->key_file;
    if (!cert || !*cert) return true;
    if (!key || !*key) return rules_refuse(m, "a certificate needs its key");
    SSL_CTX_set_default_passwd_cb(m->ctx, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(m->ctx, (void *)(uintptr_t)m->o->key_pass);
    bool fine =
        SSL_CTX_use_certificate_chain_file(m->ctx, cert) > 0 || openssl_refuse(m, "Failed to load certificate", cert);
    fine = fine && (SSL_CTX_use_PrivateKey_file(m->ctx, key, SSL_FILETYPE_PEM) > 0 ||
                    openssl_refuse(m, "Failed to load private key", key));
    SSL_CTX_set_default_passwd_cb_userdata(m->ctx, NULL); /* the caller's, who may free it */
    return fine;
}

static bool load_cas(struct rules_maker *m)
{
    const char *file = m->o->ca_file && *m->o->ca_file ? m->o->ca_file : NULL;
    const char *dir = m->o->ca_dir && *m->o->ca_dir ? m->o->ca_dir : NULL;
    if (!file && !dir) return true;
    if (!SSL_CTX_load_verify_locations(m->ctx, file, dir))
        return openssl_refuse(m, "Failed to configure CA certificate(s) file/directory", file ? file : dir);
    return true;
}

/* --- certificates shown ------------------------------------------------------------------------------------------- */

static int64_t time_of(const ASN1_TIME *at)
{
    struct tm tm;
    return at && ASN1_TIME_to_tm(at, &tm) ? (int64_t)timegm(&tm) : 0;
}

void certificate_describe(X509 *x, struct demi_tls_certificate *out)
{
    *out = (struct demi_tls_certificate){.not_before_s = time_of(X509_get0_notBefore(x)),
                                         .not_after_s = time_of(X509_get0_notAfter(x))};
    BIO *b = BIO_new(BIO_s_mem());
    if (b && X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0) {
        int n = BIO_read(b, out->subject, sizeof out->subject - 1);
        out->subject[n > 0 ? n : 0] = 0;
    }
    BIO_free(b);
    BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = bn ? BN_bn2hex(bn) : NULL;
    if (hex) snprintf(out->serial, sizeof out->serial, "%s", hex);
    OPENSSL_free(hex);
    BN_free(bn);
}

/* Of the CAs of the file, the one that ends first: who watches it hears in time. */
static void describe_ca(struct tls_rules *r)
{
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(r->ctx));
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        struct demi_tls_certificate c;
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
        if (!x) continue; /* a list of revoked ones */
        certificate_describe(x, &c);
        if (!r->has_ca || c.not_after_s < r->ca.not_after_s) r->ca = c;
        r->has_ca = true;
    }
}

static void rules_describe(struct tls_rules *r)
{
    X509 *x = SSL_CTX_get0_certificate(r->ctx);
    if (x) certificate_describe(x, &r->own);
    r->has_own = x;
    describe_ca(r);
}

int rules_certificate(const struct tls_rules *r, enum demi_tls_which which, struct demi_tls_certificate *out)
{
    if (which == DEMI_TLS_OWN ? !r->has_own : !r->has_ca) return -ENOENT;
    *out = which == DEMI_TLS_OWN ? r->own : r->ca;
    return 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Renegotiation is refused: it costs a server more than a client each time, and nothing needs it. Compression is off
 * since CRIME. Buffers of an idle connection are given back, 34 kB of its 45. */
#define RULES_OPTIONS                                                                                                  \
    (SSL_OP_NO_SSLv2 | SSL_OP_NO_SSLv3 | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_SINGLE_DH_USE)
#define RULES_MODES (SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS)

static bool options_are_known(struct rules_maker *m)
{
    switch (m->o->verify) {
    case DEMI_TLS_VERIFY_REQUIRED:
    case DEMI_TLS_VERIFY_OPTIONAL:
    case DEMI_TLS_VERIFY_NONE: return true;
    }
    return rules_refuse(m, "verify is none of its three values");
}

static bool rules_make(struct rules_maker *m)
{
    SSL_CTX_set_options(m->ctx, RULES_OPTIONS | (m->o->prefer_server_ciphers ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0));
    SSL_CTX_set_mode(m->ctx, RULES_MODES);
    if (!options_are_known(m)) return false;
    set_verify(m);
    set_sessions(m);
    return set_protocols(m) && load_own(m) && load_cas(m) && set_ciphers(m) && set_dh(m);
}

int rules_new(const struct demi_tls_options *o, struct tls_rules **out, char *why, size_t why_size)
{
    struct tls_rules *r = calloc(1, sizeof *r);
    ERR_clear_error();
    struct rules_maker m = {.ctx = SSL_CTX_new(TLS_method()), .o = o, .why = why, .why_size = why_size};
    bool fine = r && m.ctx && rules_make(&m);
    int err = r && m.ctx ? -EINVAL : -ENOMEM;
    ERR_clear_error();
    if (!fine) {
        SSL_CTX_free(m.ctx);
        free(r);
        return err;
    }
    r->ctx = m.ctx;
    rules_describe(r);
    *out = r;
    return 0;
}

void rules_free(struct tls_rules *r)
{
    SSL_CTX_free(r->ctx);
    free(r);
}

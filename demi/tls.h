/* SPDX-License-Identifier: MIT
 *
 * TLS over any connected queue: kernel sockets, our own TCP on a network card, a pipe. The connection stays behind its
 * descriptor, and push, pop, wait, shutdown and close mean what they meant before; what goes over the wire is records.
 *
 *     demi_tls_context_new()             certificate, key and rules, once
 *     demi_accept(), demi_connect()      a connection as any other
 *     demi_tls_server(), _client()       from here on it speaks TLS
 *
 * The library itself is OpenSSL's, in a plug-in (libdemikernel-tls.so) that the first context loads: who has no context
 * needs no OpenSSL. Conventions are those of demi/libos.h: 0 or a positive errno, nothing aborts.
 */
#ifndef DEMI_TLS_H
#define DEMI_TLS_H

#include "demi/types.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum demi_tls_verify {
    DEMI_TLS_VERIFY_REQUIRED, /* a peer without a certificate that the CAs vouch for is refused */
    DEMI_TLS_VERIFY_OPTIONAL, /* of a server's clients: one that has none is let in, one that has a wrong one is not */
    DEMI_TLS_VERIFY_NONE,     /* nobody is asked */
};

/* All of it may be NULL or 0: files are PEM. Strings are read during the call. */
struct demi_tls_options {
    const char *cert_file; /* its chain behind it; a server needs one */
    const char *key_file;
    const char *key_pass; /* of an encrypted key */
    const char *ca_file;
    const char *ca_dir;
    const char *dh_file;      /* DH parameters; NULL: OpenSSL's own, as large as the key asks for */
    const char *protocols;    /* "TLSv1.2 TLSv1.3", which is also the default */
    const char *ciphers;      /* of TLS 1.2 and before */
    const char *ciphersuites; /* of TLS 1.3 */
    enum demi_tls_verify verify;
    bool prefer_server_ciphers;
    bool session_cache;        /* of a server */
    long cache_size;           /* sessions; 0: no limit */
    long cache_seconds;        /* how long a session may be resumed */
    uint64_t handshake_ns_max; /* a handshake that takes longer ends its connection; 0: 30 s */
};

/* Any thread may use it, and free it while connections live: they keep what they need. */
typedef struct demi_tls_context demi_tls_context_t;

/* `why` (if wanted): in one line, which file or value is wrong. EINVAL: that. ENOENT, ENOEXEC: the plug-in is not
 * there, or cannot be loaded. */
int demi_tls_context_new(demi_tls_context_t **out, const struct demi_tls_options *o, char *why, size_t why_size);
void demi_tls_context_free(demi_tls_context_t *c); /* NULL is allowed */

/* Bytes that OpenSSL has allocated in this process: they are libc's, and not in demi_mem_stats(). 0: that is not known,
 * because somebody has used it before the first context. */
uint64_t demi_tls_memory(const demi_tls_context_t *c);

/* The certificate of a context, or (demi_tls_peer()) of a connection's peer. Seconds since 1970. */
struct demi_tls_certificate {
    char subject[128]; /* of RFC 2253, cut to size */
    char serial[48];   /* in hexadecimal digits */
    int64_t not_before_s, not_after_s;
};
enum demi_tls_which { DEMI_TLS_OWN, DEMI_TLS_CA /* of the CA file, the one that ends first */ };
/* ENOENT: there is none. */
int demi_tls_context_certificate(const demi_tls_context_t *c, enum demi_tls_which which,
                                 struct demi_tls_certificate *out);

/* qd, connected and with no pop outstanding, speaks TLS from here on. What was pushed before goes out as it was. The
 * handshake begins at once; pushes wait for it, pops too. name (NULL: any): who the server has to be, a host name or an
 * address. EALREADY: it speaks TLS. ENOTCONN. ENOTSUP: no stream. */
int demi_tls_server(int qd, demi_tls_context_t *c);
int demi_tls_client(int qd, demi_tls_context_t *c, const char *name);

/* DEMI_OPC_CONNECT once the handshake is over, or its error. Nobody has to ask. */
int demi_tls_handshake(demi_qtoken_t *qt_out, int qd);

/* What a connection has come to. ENOTSUP: qd does not speak TLS. */
struct demi_tls_info {
    bool is_done;     /* the handshake is, whatever came later */
    bool is_resumed;  /* a session of before went on */
    char version[16]; /* "TLSv1.3" */
    char cipher[48];
    char why[160]; /* for what reason it failed; empty: it has not */
};
int demi_tls_info(int qd, struct demi_tls_info *out);
/* ENOENT: it has shown none. */
int demi_tls_peer(int qd, struct demi_tls_certificate *out);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif

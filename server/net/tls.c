/* SPDX-License-Identifier: MIT
 *
 * See tls.h. The lines in the log are redis-server's, since people look for them.
 */
#include "server/net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/conf/config.h"
#include "server/observe/log.h"
#include "server/server.h"

static const char *given(const char *text) { return text && *text ? text : NULL; }

bool tls_is_on(const struct config *cfg) { return cfg->tls_port || cfg->tls_replication || cfg->tls_cluster; }

static int tls_refuse(struct server *srv, const char *why)
{
    server_log(srv, LOG_WARNING_LEVEL, "%s", why);
    return -EINVAL;
}

static int check_files(struct server *srv, const struct config *cfg)
{
    bool asks = cfg->tls_auth_clients != TLS_AUTH_NO || cfg->tls_cluster || cfg->tls_replication;
    if (!given(cfg->tls_cert_file)) return tls_refuse(srv, "No tls-cert-file configured!");
    if (!given(cfg->tls_key_file)) return tls_refuse(srv, "No tls-key-file configured!");
    if (asks && !given(cfg->tls_ca_cert_file) && !given(cfg->tls_ca_cert_dir))
        return tls_refuse(srv, "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, "
                               "tls-replication or tls-auth-clients are enabled!");
    return 0;
}

static struct demi_tls_options options_of(const struct config *cfg)
{
    static const enum demi_tls_verify verify[] = {[TLS_AUTH_NO] = DEMI_TLS_VERIFY_NONE,
                                                  [TLS_AUTH_YES] = DEMI_TLS_VERIFY_REQUIRED,
                                                  [TLS_AUTH_OPTIONAL] = DEMI_TLS_VERIFY_OPTIONAL};
    return (struct demi_tls_options){.cert_file = cfg->tls_cert_file,
                                     .key_file = cfg->tls_key_file,
                                     .key_pass = cfg->tls_key_file_pass,
                                     .ca_file = cfg->tls_ca_cert_file,
                                     .ca_dir = cfg->tls_ca_cert_dir,
                                     .dh_file = cfg->tls_dh_params_file,
                                     .protocols = cfg->tls_protocols,
                                     .ciphers = cfg->tls_ciphers,
                                     .ciphersuites = cfg->tls_ciphersuites,
                                     .verify = verify[cfg->tls_auth_clients],
                                     .prefer_server_ciphers = cfg->tls_prefer_server_ciphers,
                                     .session_cache = cfg->tls_session_caching,
                                     .cache_size = (long)cfg->tls_session_cache_size,
                                     .cache_seconds = (long)cfg->tls_session_cache_timeout};
}

static int context_make(struct server *srv, const struct demi_tls_options *o, demi_tls_context_t **out)
{
    char why[512];
    int err = demi_tls_context_new(out, o, why, sizeof why);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "%s", *why ? why : strerror(err));
    return -err;
}

/* redis-server takes an expired certificate without a word, and every client then turns away. */
static void warn_of_expiry(struct server *srv, const demi_tls_context_t *c, const char *file)
{
    struct demi_tls_certificate x;
    if (demi_tls_context_certificate(c, DEMI_TLS_OWN, &x)) return;
    int64_t now_s = demi_wall_us() / 1000000;
    if (x.not_after_s <= now_s) server_log(srv, LOG_WARNING_LEVEL, "Warning: The certificate in %s has expired", file);
    else if (x.not_before_s > now_s)
        server_log(srv, LOG_WARNING_LEVEL, "Warning: The certificate in %s is not valid yet", file);
}

static void contexts_free(struct tls_contexts *c)
{
    demi_tls_context_free(c->server);
    demi_tls_context_free(c->client);
    *c = (struct tls_contexts){0};
}

int tls_read(struct server *srv, const struct config *cfg, bool only_missing)
{
    struct server_tls *t = &srv->tls;
    struct tls_contexts made = {0};
    contexts_free(&t->next);
    t->is_to_go = false;
    if (t->now.server && (only_missing || cfg == srv->config) && tls_is_on(cfg)) return 0;
    t->is_to_go = !tls_is_on(cfg); /* what it was read from may be another when it is asked for again */
    if (t->is_to_go) return 0;
    int err = check_files(srv, cfg);
    struct demi_tls_options o = options_of(cfg);
    if (!err) err = context_make(srv, &o, &made.server);
    bool has_own = given(cfg->tls_client_cert_file) && given(cfg->tls_client_key_file);
    if (!err && (has_own || cfg->tls_replication)) {
        if (has_own) {
            o.cert_file = cfg->tls_client_cert_file;
            o.key_file = cfg->tls_client_key_file;
            o.key_pass = cfg->tls_client_key_file_pass;
        }
        o.verify = DEMI_TLS_VERIFY_REQUIRED; /* who a server is has to be shown, whoever may be a client */
        err = context_make(srv, &o, &made.client);
    }
    if (err) {
        contexts_free(&made);
        return err;
    }
    warn_of_expiry(srv, made.server, cfg->tls_cert_file);
    if (made.client && given(cfg->tls_client_cert_file)) warn_of_expiry(srv, made.client, cfg->tls_client_cert_file);
    t->next = made;
    return 0;
}

void tls_settle(struct server *srv)
{
    struct server_tls *t = &srv->tls;
    if (!t->next.server && !t->is_to_go) return;
    t->is_to_go = false;
    contexts_free(&t->now);
    t->now = t->next;
    t->next = (struct tls_contexts){0};
}

void tls_fini(struct server *srv)
{
    contexts_free(&srv->tls.now);
    contexts_free(&srv->tls.next);
}

int tls_accept(struct server *srv, int qd)
{
    return srv->tls.now.server ? demi_tls_server(qd, srv->tls.now.server) : ENOTSUP;
}

int tls_connect(struct server *srv, int qd)
{
    return srv->tls.now.client ? demi_tls_client(qd, srv->tls.now.client, NULL) : ENOTSUP;
}

int tls_failure(int qd, char *text, size_t size)
{
    struct demi_tls_info info;
    if (demi_tls_info(qd, &info) || !*info.why) return 0;
    snprintf(text, size, "%s", info.why);
    return info.is_done ? 2 : 1;
}

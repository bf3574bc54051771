/* SPDX-License-Identifier: MIT
 *
 * Certificates for tests, made anew by the openssl command in a folder that goes with the test.
 */
#ifndef TESTS_DEMI_TLS_FILES_H
#define TESTS_DEMI_TLS_FILES_H

#include "demi/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tls_folder[64];
static char tls_paths[16][128];
static unsigned tls_path_next;

/* Valid until fifteen more are asked for. */
static inline const char *tls_file(const char *name)
{
    char *path = tls_paths[tls_path_next++ % 16];
    snprintf(path, sizeof *tls_paths, "%s/%s", tls_folder, name);
    return path;
}

static inline int tls_run(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "cd %s && { %s; } >>log 2>&1", tls_folder, command);
    return system(line);
}

#define TLS_KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

/* NAME.crt and NAME.key, which CA vouches for. */
static inline int tls_certificate(const char *ca, const char *name, const char *subject)
{
    char line[768];
    snprintf(line, sizeof line,
             "openssl req %s -keyout %s.key -out %s.csr -subj '%s' && printf "
             "'subjectAltName=DNS:localhost,IP:127.0.0.1' >%s.ext && openssl x509 -req -in %s.csr -CA %s.crt "
             "-CAkey %s.key -CAcreateserial -days 30 -extfile %s.ext -out %s.crt",
             TLS_KEY, name, name, subject, name, name, ca, ca, name, name);
    return tls_run(line);
}

static inline int tls_authority(const char *name, int days)
{
    char line[512];
    snprintf(line, sizeof line, "openssl req -x509 %s -keyout %s.key -out %s.crt -days %d -subj '/O=demikv/CN=%s'",
             TLS_KEY, name, name, days, name);
    return tls_run(line);
}

static inline void tls_files_remove(void)
{
    char line[128];
    if (!*tls_folder) return;
    snprintf(line, sizeof line, "rm -rf %s", tls_folder);
    if (system(line)) fprintf(stderr, "%s is left\n", tls_folder);
}

/* ca, other (a CA that vouches for nobody else), server, client, stranger (of other), secret.key (server's, encrypted
 * with "open sesame"). False: no openssl command. */
static inline bool tls_files_make(void)
{
    strcpy(tls_folder, "/tmp/demi-tls-XXXXXX");
    if (!mkdtemp(tls_folder)) return false;
    atexit(tls_files_remove);
    return !tls_authority("ca", 30) && !tls_authority("other", 20) &&
           !tls_certificate("ca", "server", "/CN=localhost") &&
           !tls_certificate("ca", "client", "/O=demikv/CN=client") &&
           !tls_certificate("other", "stranger", "/CN=stranger") &&
           !tls_run("openssl ec -in server.key -aes256 -passout 'pass:open sesame' -out secret.key");
}

/* Server and client that trust each other. */
static inline struct demi_tls_options tls_server_options(void)
{
    return (struct demi_tls_options){.cert_file = tls_file("server.crt"),
                                     .key_file = tls_file("server.key"),
                                     .ca_file = tls_file("ca.crt"),
                                     .session_cache = true,
                                     .cache_size = 100,
                                     .cache_seconds = 300};
}
static inline struct demi_tls_options tls_client_options(void)
{
    return (struct demi_tls_options){
        .cert_file = tls_file("client.crt"), .key_file = tls_file("client.key"), .ca_file = tls_file("ca.crt")};
}

/* The build that a test is of: BUILD/tests/tests/FOLDER/x_test. */
static inline void tls_name_plugins(void)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0 || getenv("DEMI_PLUGIN_PATH")) return;
    path[n] = 0;
    for (int i = 0; i < 4 && strrchr(path, '/'); i++) *strrchr(path, '/') = 0;
    setenv("DEMI_PLUGIN_PATH", path, 1);
}

/* NULL: there are files, and the plug-in; or why not, in one line. */
static inline const char *tls_missing(void)
{
    static char why[512];
    demi_tls_context_t *c;
    tls_name_plugins();
    if (!tls_files_make()) return "no openssl command";
    struct demi_tls_options o = tls_client_options();
    if (demi_tls_context_new(&c, &o, why, sizeof why)) return why;
    demi_tls_context_free(c);
    return NULL;
}

#endif

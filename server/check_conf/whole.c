/* SPDX-License-Identifier: MIT
 *
 * What no single line says: options that do not go together, and what an operator should know before strangers do.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/check_conf/state.h"
#include "server/conf/option.h"

enum { PASSWORD_CHARS_LEAST = 12 };

/* At the line that decided it, if any did. */
static void whole_say(struct check_conf *k, const char *option, enum verdict_kind kind, const char *says,
                      const char *advice)
{
    const struct conf_option *o = conf_option_find(bytes_of_str(option));
    int by = o ? k->decided[o - conf_options] : CHECK_NOBODY;
    unsigned file = 0;
    int line = 0;
    if (by != CHECK_NOBODY) file = k->verdicts.at[by].file, line = k->verdicts.at[by].line;
    verdict_say(verdicts_add(&k->verdicts, kind, file, line, bytes_of_str(option), BYTES("")), says, advice);
}

static bool is_given(const char *text) { return text && *text; }

static bool is_loopback(const char *host)
{
    if (*host == '-') host++;
    return !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "localhost");
}

static bool any_outside(char *const *hosts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!is_loopback(hosts[i])) return true;
    return false;
}

static void look_at_listeners(struct check_conf *k)
{
    const struct config *c = &k->cfg;
    bool tcp = (c->port || c->tls_port) && c->bind_count;
    if (!tcp && !c->rdma_port && !is_given(c->unixsocket) && !is_given(c->shm_path))
        whole_say(k, "port", VERDICT_REFUSED, "Configured to not listen anywhere, exiting.", NULL);
    bool tls = c->tls_port || c->tls_replication || c->tls_cluster;
    if (tls && !is_given(c->tls_cert_file))
        whole_say(k, "tls-port", VERDICT_REFUSED, "No tls-cert-file configured!", NULL);
    else if (tls && !is_given(c->tls_key_file))
        whole_say(k, "tls-port", VERDICT_REFUSED, "No tls-key-file configured!", NULL);
}

static void look_at_passwords(struct check_conf *k, const char *path)
{
    const struct config *c = &k->cfg;
    bool open = !c->requirepass.n && !k->default_user && !is_given(c->aclfile);
    bool outside = (c->port || c->tls_port) && any_outside(c->bind, c->bind_count);
    if (open && outside && !c->protected_mode)
        whole_say(k, "bind", VERDICT_RISK,
                  "everybody who reaches these addresses may do everything: there is no password",
                  "Set requirepass or users, bind to 127.0.0.1, or leave protected-mode on.");
    else if (open && outside)
        whole_say(k, "bind", VERDICT_RISK, "there is no password, so protected-mode refuses clients of other hosts",
                  "Set requirepass or users, or bind to 127.0.0.1.");
    if (c->requirepass.n && c->requirepass.n < PASSWORD_CHARS_LEAST)
        whole_say(k, "requirepass", VERDICT_RISK, "the password is short: thousands can be tried in a second",
                  "Make it long, and of chance: nobody has to remember it.");
    if (open && is_given(c->unixsocket) && (c->unixsocketperm & 2))
        whole_say(k, "unixsocketperm", VERDICT_RISK,
                  "every user of this machine may do everything: there is no password", NULL);
    if (c->metrics_port && any_outside(c->metrics_bind, c->metrics_bind_count))
        whole_say(k, "metrics-bind", VERDICT_RISK,
                  "whoever reaches it may read the server's figures: it has no password", NULL);
    struct stat st;
    if (path && k->has_secret && stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH))
        whole_say(k, "", VERDICT_RISK, "every user of this machine may read the file, and there are passwords in it",
                  "chmod 640, and the server's group.");
    if (is_given(c->aclfile) && k->user_count)
        whole_say(k, "aclfile", VERDICT_REFUSED,
                  "users are defined in the configuration and in an ACL file: the server takes one of them, not both",
                  NULL);
}

static void look_at_memory(struct check_conf *k)
{
    const struct config *c = &k->cfg;
    if (!c->maxmemory && c->maxmemory_policy != MAXMEMORY_NOEVICTION)
        whole_say(k, "maxmemory-policy", VERDICT_RISK, "without maxmemory nothing is ever evicted", "Set maxmemory.");
}

static void look_at_file(struct check_conf *k, const char *option, const char *file)
{
    if (is_given(file) && access(file, R_OK) != 0)
        whole_say(k, option, VERDICT_RISK, "here and for this user the file cannot be read", NULL);
}

/* The folder of a file that the server writes; a name without one lies in dir. */
static void look_at_folder(struct check_conf *k, const char *option, const char *file)
{
    const char *slash = is_given(file) ? strrchr(file, '/') : NULL;
    if (!slash || slash == file) return;
    char *folder = conf_text_copy(bytes_of(file, (size_t)(slash - file)));
    if (access(folder, X_OK) != 0)
        whole_say(k, option, VERDICT_RISK, "here and for this user there is no such folder",
                  "It must be there, and the server's user must be able to enter it.");
    free(folder);
}

void check_conf_whole(struct check_conf *k, const char *path)
{
    const struct config *c = &k->cfg;
    look_at_listeners(k);
    look_at_passwords(k, path);
    look_at_memory(k);
    look_at_file(k, "aclfile", c->aclfile);
    look_at_file(k, "tls-cert-file", c->tls_cert_file);
    look_at_file(k, "tls-key-file", c->tls_key_file);
    look_at_file(k, "tls-ca-cert-file", c->tls_ca_cert_file);
    look_at_folder(k, "logfile", c->logfile);
    look_at_folder(k, "pidfile", c->pidfile);
    look_at_folder(k, "unixsocket", c->unixsocket);
}

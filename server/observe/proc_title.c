/* SPDX-License-Identifier: MIT
 *
 * The kernel shows as command line what lies between the addresses that the process was started with, and goes on into
 * the environment behind it if the last byte is no NUL any more (proc_pid_cmdline(5)):
 *
 *     before   "demikv-server\0--port\07000\0" "HOME=/root\0TERM=xterm\0"
 *     after    "demikv-server *:7000\0" and NULs to the end of both
 *
 * So a title is as long as both are at most, and is cut behind that.
 */
#include "server/observe/proc_title.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server/conf/config.h"
#include "server/conf/text.h"
#include "server/server.h"

/* Of the process, as the command line is. */
static char *area;
static size_t area_size;

extern char **environ;

/* Strings that follow one another in memory, from *end on. */
static void take_strings(char **strings, char **end)
{
    for (; *strings; strings++)
        if (*strings == *end) *end += strlen(*strings) + 1;
}

/* Libc's memory, and never given back: the environment lasts as long as the process. */
static void move_environment(void)
{
    for (char **e = environ; *e; e++) *e = conf_text_copy(bytes_of_str(*e));
}

void proc_title_take(int argc, char **argv)
{
    if (argc < 1 || area) return;
    char *end = argv[0];
    take_strings(argv, &end);
    take_strings(environ, &end);
    move_environment();
    area = argv[0];
    area_size = (size_t)(end - area);
}

static void add_listen_addr(struct conf_text *t, const struct config *cfg)
{
    if (!cfg->port) {
        conf_text_add_str(t, cfg->unixsocket ? cfg->unixsocket : "");
        return;
    }
    const char *first = cfg->bind_count ? cfg->bind[0] : "*";
    if (*first == '-') first++;
    conf_text_printf(t, "%s:%lld", first, (long long)(cfg->port ? cfg->port : cfg->tls_port));
}

static void add_variable(struct conf_text *t, const struct server *srv, const struct config *cfg, struct bytes name)
{
    if (bytes_is_word(name, "title")) conf_text_add_str(t, srv->exec_argv0);
    else if (bytes_is_word(name, "listen-addr")) add_listen_addr(t, cfg);
    else if (bytes_is_word(name, "port")) conf_text_printf(t, "%lld", (long long)cfg->port);
    else if (bytes_is_word(name, "tls-port")) conf_text_printf(t, "%lld", (long long)cfg->tls_port);
    else if (bytes_is_word(name, "unixsocket")) conf_text_add_str(t, cfg->unixsocket ? cfg->unixsocket : "");
    else if (bytes_is_word(name, "config-file")) conf_text_add_str(t, srv->config_file);
    /* server-mode: standalone has no word */
}

/* conf_valid_proc_title() has looked at it: braces are closed, names known. */
static void expand(struct conf_text *t, const struct server *srv, const struct config *cfg)
{
    for (const char *p = cfg->proc_title_template; *p; p++) {
        const char *end = *p == '{' && p[1] != '{' ? strchr(p, '}') : NULL;
        if (end) {
            add_variable(t, srv, cfg, bytes_of(p + 1, (size_t)(end - p - 1)));
            p = end;
            continue;
        }
        conf_text_add(t, bytes_of(p, 1));
        p += *p == '{'; /* "{{" is a brace */
    }
    while (t->n && t->p[t->n - 1] == ' ') t->n--;
}

void proc_title_show(const struct server *srv, const struct config *cfg)
{
    struct conf_text t = {0};
    if (!area || !cfg->set_proc_title) return;
    expand(&t, srv, cfg);
    size_t n = t.n < area_size ? t.n : area_size - 1;
    memset(area, 0, area_size);
    if (n) memcpy(area, t.p, n);
    conf_text_free(&t);
}

/* SPDX-License-Identifier: MIT
 *
 *     demikv-check-conf [--all] [--json] [--quiet] FILE|- [--option value ...]
 *
 * FILE and what follows it are a command line of demikv-server.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "server/check_conf/check_conf.h"
#include "server/check_conf/state.h"
#include "server/command/command.h"
#include "server/conf/option.h"

enum { STDIN_BYTES_MAX = 16 << 20, USAGE_STATUS = 2 };

struct check_options {
    bool all, json, quiet;
};

static int usage(FILE *out, int code)
{
    fputs("usage: demikv-check-conf [--all] [--json] [--quiet] FILE|- [--option value ...]\n"
          "\n"
          "Says what of a redis.conf (of Redis 2.8 to 7.2, or Valkey) is different in demikv-server.\n"
          "  --all    lines that mean the same, too\n"
          "  --json   all lines, for programs\n"
          "  --quiet  nothing but the exit status\n"
          "Exit status: 0 nothing is different, 1 something is, 2 the server would not start.\n",
          out);
    return code;
}

static bool option_take(struct check_options *o, const char *word)
{
    if (!strcmp(word, "--all")) o->all = true;
    else if (!strcmp(word, "--json")) o->json = true;
    else if (!strcmp(word, "--quiet")) o->quiet = true;
    else return false;
    return true;
}

static void check_stdin(struct check_conf *k)
{
    struct conf_text text = {0};
    char chunk[8192];
    ssize_t n;
    while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) conf_text_add(&text, bytes_of(chunk, (size_t)n));
        if (text.n > STDIN_BYTES_MAX) break;
    }
    check_conf_text(k, "standard input", conf_text_bytes(&text));
    if (n < 0 || text.n > STDIN_BYTES_MAX) {
        struct verdict *v = verdicts_add(&k->verdicts, VERDICT_REFUSED, 0, 0, BYTES(""), BYTES(""));
        verdict_say(v, n < 0 ? strerror(errno) : "it is too large for a configuration", NULL);
    }
    conf_text_free(&text);
}

static struct check_conf *check_new(void)
{
    struct check_conf *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    ASSERT(conf_option_count <= CHECKED_OPTIONS_MAX);
    conf_init(&k->cfg);
    for (int i = 0; i < CHECKED_OPTIONS_MAX; i++) k->decided[i] = k->noted[i] = CHECK_NOBODY;
    return k;
}

static void check_free(struct check_conf *k)
{
    for (unsigned i = 0; i < k->user_count; i++) free((char *)(uintptr_t)k->users[i].p);
    verdicts_free(&k->verdicts);
    conf_fini(&k->cfg);
    free(k);
}

int check_conf_main(int argc, char **argv)
{
    struct check_options o = {0};
    int first = 1;
    while (first < argc && option_take(&o, argv[first])) first++;
    if (first < argc && (!strcmp(argv[first], "--help") || !strcmp(argv[first], "-h"))) return usage(stdout, 0);
    if (first == argc || (argv[first][0] == '-' && argv[first][1])) return usage(stderr, USAGE_STATUS);

    command_table_init();
    struct check_conf *k = check_new();
    struct conf_text options = {0};
    bool from_stdin = !strcmp(argv[first], "-");
    char path[PATH_MAX]; /* `dir` moves us */
    bool has_path = !from_stdin && realpath(argv[first], path);
    if (!from_stdin) check_conf_file(k, argv[first]);
    conf_arguments_text(argc, argv, first + 1, &options, &from_stdin);
    if (from_stdin) check_stdin(k);
    if (options.n) check_conf_text(k, "command line", conf_text_bytes(&options));
    check_conf_whole(k, has_path ? path : NULL);
    int status = verdicts_status(&k->verdicts);
    if (!o.quiet && o.json) verdicts_print_json(&k->verdicts, stdout);
    else if (!o.quiet) verdicts_print(&k->verdicts, o.all, stdout);
    conf_text_free(&options);
    check_free(k);
    return fflush(stdout) == 0 ? status : USAGE_STATUS;
}

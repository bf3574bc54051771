/* SPDX-License-Identifier: MIT
 *
 * The configuration file, and the command line, which is text appended to it. A line is an option
 * and its values, a directive (include, rename-command), a comment or empty; the last line about an
 * option wins. Reading stops at the first line that is wrong: a server that guesses is worse than
 * one that does not start.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "server/conf/option.h"
#include "server/version.h"

enum {
    FILE_BYTES_MAX = 16 << 20, /* of a file and what it includes at one place */
    INCLUDE_DEPTH_MAX = 16,
};

struct conf_file_reader {
    struct config *cfg;
    conf_rename_fn *rename;
    struct conf_failure *failure;
    bool may_include;
    int depth;
};

static int text_read(struct conf_file_reader *r, struct bytes text);

/* --- failures ------------------------------------------------------------------------------ */

void conf_failure_print(const struct conf_failure *f, FILE *out)
{
    if (f->cannot_open) {
        fprintf(out, "%s\n", f->reason);
        return;
    }
    fprintf(out, "\n*** FATAL CONFIG FILE ERROR (Redis %s) ***\n", REDIS_VERSION);
    if (f->line) fprintf(out, "Reading the configuration file, at line %d\n>>> '%s'\n", f->line, f->text);
    fprintf(out, "%s\n", f->reason);
}

static int fail(struct conf_file_reader *r, const char *why)
{
    snprintf(r->failure->reason, sizeof r->failure->reason, "%s", why);
    return -EINVAL;
}

static int fail_open(struct conf_file_reader *r, const char *path, int error)
{
    r->failure->cannot_open = true;
    snprintf(r->failure->reason, sizeof r->failure->reason, "Fatal error, can't open config file '%s': %s", path,
             strerror(error));
    return -error;
}

/* --- files --------------------------------------------------------------------------------- */

static int fd_read(int fd, struct conf_text *out)
{
    char chunk[4096];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return 0;
        if (out->n + (size_t)n > FILE_BYTES_MAX) return -EFBIG;
        conf_text_add(out, bytes_of(chunk, (size_t)n));
    }
}

static int file_read(struct conf_file_reader *r, const char *path, struct conf_text *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_open(r, path, errno);
    int rc = fd_read(fd, out);
    close(fd);
    return rc < 0 ? fail_open(r, path, -rc) : 0;
}

/* A path, or a pattern that may match no file at all: so that an empty conf.d is fine. */
static int files_read(struct conf_file_reader *r, const char *path, struct conf_text *out)
{
    if (!strpbrk(path, "*?[")) return file_read(r, path, out);
    glob_t found;
    if (glob(path, 0, NULL, &found) != 0) return 0;
    int rc = 0;
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) rc = file_read(r, found.gl_pathv[i], out);
    globfree(&found);
    return rc;
}

/* --- directives ---------------------------------------------------------------------------- */

static int include_apply(struct conf_file_reader *r, const char *path)
{
    if (!r->may_include) return 0;
    if (r->depth == INCLUDE_DEPTH_MAX) return fail(r, "Includes are nested too deep");
    struct conf_text text = {0};
    int rc = files_read(r, path, &text);
    if (rc == 0) {
        r->depth++;
        rc = text_read(r, conf_text_bytes(&text));
        r->depth--;
    }
    conf_text_free(&text);
    return rc;
}

static int rename_apply(struct conf_file_reader *r, const struct conf_args *a)
{
    const char *why = r->rename ? r->rename(a->argv[1], a->argv[2]) : NULL;
    return why ? fail(r, why) : 0;
}

/* Options of older versions that have no meaning left. */
static bool is_obsolete(const struct conf_args *a)
{
    return a->argc == 2 &&
           (bytes_is_word(a->argv[0], "list-max-ziplist-entries") ||
            bytes_is_word(a->argv[0], "list-max-ziplist-value") || bytes_is_word(a->argv[0], "lua-replicate-commands"));
}

/* Kept as they are: what their rules mean is known where commands are (server/acl/load.h). */
static int user_apply(struct conf_file_reader *r, const struct conf_args *a)
{
    struct conf_text lines = {0};
    if (r->cfg->users) conf_text_add_str(&lines, r->cfg->users);
    for (int i = 1; i < a->argc; i++) {
        if (i > 1) conf_text_add_str(&lines, " ");
        conf_text_add_quoted(&lines, a->argv[i]);
    }
    conf_text_add_str(&lines, "\n");
    free(r->cfg->users);
    r->cfg->users = lines.p;
    return 0;
}

static int directive_apply(struct conf_file_reader *r, const struct conf_args *a)
{
    struct bytes name = a->argv[0];
    if (is_obsolete(a)) return 0;
    if (bytes_is_word(name, "include") && a->argc == 2) return include_apply(r, a->argv[1].p);
    if (bytes_is_word(name, "rename-command") && a->argc == 3) return rename_apply(r, a);
    if (bytes_is_word(name, "user") && a->argc >= 2) return user_apply(r, a);
    if (bytes_is_word(name, "loadmodule") && a->argc >= 2) return fail(r, "'loadmodule' is not supported yet");
    if (memchr(name.p, '.', name.n)) return fail(r, "options of modules are not supported yet");
    if (bytes_is_word(name, "sentinel"))
        return fail(r,
                    a->argc > 1 ? "sentinel directive while not in sentinel mode" : "'sentinel' is not supported yet");
    return fail(r, "Bad directive or wrong number of arguments");
}

static int option_apply(struct conf_file_reader *r, const struct conf_option *o, const struct conf_args *a)
{
    char err[CONF_ERROR_SIZE] = "";
    bool multi = o->flags & CONF_MULTI;
    int changed;
    if (!multi && a->argc != 2) return fail(r, "wrong number of arguments");
    if (multi && a->argc == 2 && a->argv[1].n) { /* --save "900 1 300 10" */
        struct conf_args words;
        if (conf_split(a->argv[1], &words) < 0) return fail(r, "Unbalanced quotes in configuration line");
        changed = conf_option_set(r->cfg, o, words.argv, words.argc, err);
        conf_args_free(&words);
    } else {
        changed = conf_option_set(r->cfg, o, a->argv + 1, a->argc - 1, err);
    }
    return changed < 0 ? fail(r, err) : 0;
}

/* --- lines --------------------------------------------------------------------------------- */

static struct bytes trimmed(struct bytes b)
{
    while (b.n && memchr(" \t\r\n", b.p[0], 4)) b = bytes_of(b.p + 1, b.n - 1);
    while (b.n && memchr(" \t\r\n", b.p[b.n - 1], 4)) b.n--;
    return b;
}

static int line_apply(struct conf_file_reader *r, struct bytes line)
{
    struct conf_args a;
    int rc = conf_split(line, &a);
    if (rc == -E2BIG) return fail(r, "Too many words in configuration line");
    if (rc < 0) return fail(r, "Unbalanced quotes in configuration line");
    if (a.argc) {
        const struct conf_option *o = conf_option_find(a.argv[0]);
        rc = o ? option_apply(r, o, &a) : directive_apply(r, &a);
    }
    conf_args_free(&a);
    return rc;
}

static int text_read(struct conf_file_reader *r, struct bytes text)
{
    int number = 1;
    for (size_t at = 0; at < text.n; number++) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        struct bytes line = trimmed(bytes_of(text.p + at, n));
        at += n + 1;
        if (line.n == 0 || line.p[0] == '#') continue;
        int rc = line_apply(r, line);
        if (rc == 0) continue;
        if (!r->failure->cannot_open && r->failure->line == 0) {
            r->failure->line = number;
            int shown = line.n < CONF_LINE_SIZE ? (int)line.n : CONF_LINE_SIZE - 1;
            snprintf(r->failure->text, sizeof r->failure->text, "%.*s", shown, line.p);
        }
        return rc;
    }
    return 0;
}

int conf_load_text(struct config *cfg, struct bytes text, bool may_include, conf_rename_fn *rename,
                   struct conf_failure *f)
{
    *f = (struct conf_failure){0};
    struct conf_file_reader r = {.cfg = cfg, .rename = rename, .failure = f, .may_include = may_include};
    cfg->reading_file = true;
    int rc = text_read(&r, text);
    cfg->reading_file = false;
    conf_settle(cfg);
    return rc;
}

/* --- the command line ---------------------------------------------------------------------- */

/* "--port" is one word, and its values follow; "--port 6380" is complete. */
static bool has_value_inside(const char *option)
{
    struct conf_args a;
    if (conf_split(bytes_of_str(option), &a) < 0) return true;
    bool yes = a.argc != 1;
    conf_args_free(&a);
    return yes;
}

/* Words to lines. An option takes all words up to the next that begins with "--", and at least one,
 * so that values may begin with dashes; only --save may go without, which old scripts rely on: it
 * means --save "". */
void conf_arguments_text(int argc, char *const *argv, int first, struct conf_text *out, bool *from_stdin)
{
    bool complete = true;
    for (int i = first; i < argc; i++) {
        const char *word = argv[i];
        bool last = i == argc - 1;
        if (strcmp(word, "-") == 0 && (i == 1 || last)) {
            *from_stdin = true;
        } else if (complete && strncmp(word, "--", 2) == 0) {
            conf_text_printf(out, "%s%s ", out->n ? "\n" : "", word + 2);
            complete = has_value_inside(word);
            bool next_is_option = !last && strncmp(argv[i + 1], "--", 2) == 0;
            if (!complete && strcasecmp(word, "--save") == 0 && (last || next_is_option)) {
                conf_text_add_str(out, "\"\"");
                complete = true;
            }
        } else {
            conf_text_add_quoted(out, bytes_of_str(word));
            conf_text_add_str(out, " ");
            complete = true;
        }
    }
}

static char *absolute_path(const char *path)
{
    char cwd[PATH_MAX];
    if (path[0] == '/' || !getcwd(cwd, sizeof cwd)) return conf_text_copy(bytes_of_str(path));
    while (strncmp(path, "../", 3) == 0) {
        path += 3;
        char *slash = strrchr(cwd, '/');
        if (slash) *slash = 0;
    }
    struct conf_text text = {0};
    conf_text_printf(&text, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path);
    return text.p;
}

/* Said now, while there is still a terminal to say it on. */
static int logfile_try(struct config *cfg, struct conf_failure *f)
{
    if (!cfg->logfile || !*cfg->logfile) return 0;
    int fd = open(cfg->logfile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    int error = errno;
    snprintf(f->reason, sizeof f->reason, "Can't open the log file: %s", strerror(error));
    return -error;
}

int conf_load(struct config *cfg, int argc, char *const *argv, conf_rename_fn *rename, struct conf_failure *f)
{
    *f = (struct conf_failure){0};
    struct conf_file_reader r = {.cfg = cfg, .failure = f};
    struct conf_text text = {0}, options = {0};
    bool from_stdin = false, has_file = argc > 1 && argv[1][0] != '-';
    int rc = 0;
    if (has_file) {
        free(cfg->file);
        cfg->file = absolute_path(argv[1]);
        rc = files_read(&r, cfg->file, &text);
    }
    conf_arguments_text(argc, argv, has_file ? 2 : 1, &options, &from_stdin);
    if (rc == 0 && from_stdin) {
        rc = fd_read(STDIN_FILENO, &text);
        if (rc < 0) rc = fail_open(&r, "-", -rc);
    }
    if (rc == 0) {
        conf_text_add_str(&text, "\n");
        conf_text_add(&text, conf_text_bytes(&options));
        rc = conf_load_text(cfg, conf_text_bytes(&text), true, rename, f);
    }
    if (rc == 0) rc = logfile_try(cfg, f);
    conf_text_free(&text);
    conf_text_free(&options);
    return rc;
}

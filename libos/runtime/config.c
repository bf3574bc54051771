/* SPDX-License-Identifier: MIT
 *
 * See config.h. A file becomes a flat list of (path, value), looked up by linear search: it is read
 * once, at start.
 *
 *      tcp_socket_options:            tcp_socket_options.linger.enabled = false
 *        linger:                      dpdk.eal_init.0 = -c
 *          enabled: false             dpdk.eal_init.1 = 0xff
 *      dpdk:
 *        eal_init: ["-c", "0xff"]
 *
 * Left out of YAML: anchors, multi-line scalars, documents, mappings in braces. A line that is none
 * of ours is refused with its number.
 */
#include "libos/runtime/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX   16
#define PATH_BYTES  512
#define ENTRIES_MAX 65536
#define ASKED_MAX   128 /* words; further ones are missing in what config_unasked() lists */
#define WORD_BYTES  32

struct config_entry {
    char *path, *value;
    bool set;   /* by the program: path is a last word, and beats the environment */
    bool asked; /* somebody looked for it */
};

/* Last words of what was looked for: what a libOS knows, without a list that could be out of date. */
struct asked {
    unsigned count;
    char words[ASKED_MAX][WORD_BYTES];
};

struct demi_config {
    struct config_entry *list;
    size_t count, room;
    struct asked *asked; /* NULL while the program has set nothing */
};

/* What the line being read lies in: indentation of each level, and how long the path is there. */
struct config_reader {
    struct demi_config *c;
    char path[PATH_BYTES];
    struct {
        int indent;
        size_t len;
        unsigned items;
    } level[DEPTH_MAX];
    int depth;
};

void config_free(struct demi_config *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->count; i++) {
        free(c->list[i].path);
        free(c->list[i].value);
    }
    free(c->list);
    free(c->asked);
    free(c);
}

static int add(struct demi_config *c, const char *path, const char *value, size_t n)
{
    if (c->count == ENTRIES_MAX) return -EINVAL;
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 32;
        struct config_entry *list = realloc(c->list, room * sizeof *list);
        if (!list) return -ENOMEM;
        c->list = list;
        c->room = room;
    }
    struct config_entry e = {strdup(path), strndup(value, n), false, false};
    if (!e.path || !e.value) {
        free(e.path);
        free(e.value);
        return -ENOMEM;
    }
    c->list[c->count++] = e;
    return 0;
}

/* Blanks and quotes around a scalar. */
static void strip(const char **p, size_t *n)
{
    while (*n && isspace((unsigned char)**p)) ++*p, --*n;
    while (*n && isspace((unsigned char)(*p)[*n - 1])) --*n;
    if (*n >= 2 && (**p == '"' || **p == '\'') && (*p)[*n - 1] == **p) ++*p, *n -= 2;
}

/* Where a comment begins, outside of quotes. */
static size_t without_comment(const char *p, size_t n)
{
    char quote = 0;
    for (size_t i = 0; i < n; i++) {
        if (quote) quote = p[i] == quote ? 0 : quote;
        else if (p[i] == '"' || p[i] == '\'') quote = p[i];
        else if (p[i] == '#' && (i == 0 || isspace((unsigned char)p[i - 1]))) return i;
    }
    return n;
}

static int extend(char *path, size_t len, const char *key, size_t n)
{
    if (!n || len + n + 2 > PATH_BYTES) return -EINVAL;
    if (len) path[len++] = '.';
    memcpy(path + len, key, n);
    path[len + n] = 0;
    return (int)(len + n);
}

static int add_item(struct config_reader *r, size_t len, unsigned index, const char *p, size_t n)
{
    char number[16];
    int digits = snprintf(number, sizeof number, "%u", index);
    int end = extend(r->path, len, number, (size_t)digits);
    if (end < 0) return end;
    strip(&p, &n);
    return add(r->c, r->path, p, n);
}

/* [a, "b", c] */
static int add_list(struct config_reader *r, size_t len, const char *p, size_t n)
{
    if (p[n - 1] != ']') return -EINVAL;
    p++, n -= 2;
    char quote = 0;
    unsigned index = 0;
    size_t from = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && quote) quote = p[i] == quote ? 0 : quote;
        else if (i < n && (p[i] == '"' || p[i] == '\'')) quote = p[i];
        else if (i == n || p[i] == ',') {
            if (i == n && from == 0 && n == 0) return 0;
            int err = add_item(r, len, index++, p + from, i - from);
            if (err) return err;
            from = i + 1;
        }
    }
    return quote ? -EINVAL : 0;
}

/* The end of a key: its colon, followed by a blank or nothing. Keys may be quoted and hold colons
 * (hardware addresses). */
static size_t key_end(const char *p, size_t n)
{
    char quote = 0;
    for (size_t i = 0; i < n; i++) {
        if (quote) quote = p[i] == quote ? 0 : quote;
        else if (p[i] == '"' || p[i] == '\'') quote = p[i];
        else if (p[i] == ':' && (i + 1 == n || isspace((unsigned char)p[i + 1]))) return i;
    }
    return n;
}

static int read_line(struct config_reader *r, const char *p, size_t n)
{
    n = without_comment(p, n);
    int indent = 0;
    while (n && *p == ' ') p++, n--, indent++;
    while (n && isspace((unsigned char)p[n - 1])) n--;
    if (!n || (n == 3 && !memcmp(p, "---", 3))) return 0;
    if (*p == '\t') return -EINVAL;

    bool item = *p == '-' && (n == 1 || p[1] == ' ');
    while (r->depth && (item ? indent < r->level[r->depth - 1].indent : indent <= r->level[r->depth - 1].indent))
        r->depth--;
    size_t len = r->depth ? r->level[r->depth - 1].len : 0;
    if (item) {
        if (!r->depth) return -EINVAL;
        return add_item(r, len, r->level[r->depth - 1].items++, p + 1, n - 1);
    }

    size_t end = key_end(p, n);
    if (end == n) return -EINVAL;
    const char *key = p, *value = p + end + 1;
    size_t key_n = end, value_n = n - end - 1;
    strip(&key, &key_n);
    int path_end = extend(r->path, len, key, key_n);
    if (path_end < 0) return path_end;
    while (value_n && *value == ' ') value++, value_n--;
    if (value_n && *value == '[') return value_n < 2 ? -EINVAL : add_list(r, (size_t)path_end, value, value_n);
    if (value_n && (*value == '{' || *value == '|' || *value == '>' || *value == '&')) return -EINVAL;
    if (value_n) {
        strip(&value, &value_n);
        return add(r->c, r->path, value, value_n);
    }
    if (r->depth == DEPTH_MAX) return -EINVAL;
    r->level[r->depth].indent = indent;
    r->level[r->depth].len = (size_t)path_end;
    r->level[r->depth].items = 0;
    r->depth++;
    return 0;
}

int config_parse(const char *text, size_t n, struct demi_config **out, unsigned *line_out)
{
    struct config_reader r = {.c = calloc(1, sizeof *r.c)};
    if (!r.c) return -ENOMEM;
    unsigned line = 0;
    while (n) {
        const char *nl = memchr(text, '\n', n);
        size_t len = nl ? (size_t)(nl - text) : n;
        line++;
        int err = memchr(text, 0, len) ? -EINVAL : read_line(&r, text, len);
        if (err) {
            if (line_out) *line_out = line;
            config_free(r.c);
            return err;
        }
        size_t step = nl ? len + 1 : len;
        text += step, n -= step;
    }
    *out = r.c;
    return 0;
}

int config_read(const char *path, struct demi_config **out, unsigned *line_out)
{
    FILE *f = fopen(path, "re");
    if (!f) return -errno;
    int err = -ENOMEM;
    char *text = malloc(CONFIG_BYTES_MAX + 1);
    if (!text) goto close_file;
    size_t n = fread(text, 1, CONFIG_BYTES_MAX + 1, f);
    if (line_out) *line_out = 0;
    if (ferror(f)) err = -EIO;
    else if (n > CONFIG_BYTES_MAX) err = -EINVAL;
    else err = config_parse(text, n, out, line_out);
    free(text);
close_file:
    fclose(f);
    return err;
}

/* The environment's name for a path: its last word in capitals, or the one before it for the
 * "enabled" of a group. */
static const char *from_environment(const char *path)
{
    char name[64];
    const char *dot = strrchr(path, '.');
    const char *from = dot ? dot + 1 : path;
    const char *to = from + strlen(from);
    if (dot && !strcmp(from, "enabled")) {
        to = dot;
        for (from = dot; from > path && from[-1] != '.'; from--)
            ;
    }
    size_t n = (size_t)(to - from);
    if (n >= sizeof name) return NULL;
    for (size_t i = 0; i < n; i++) name[i] = (char)toupper((unsigned char)from[i]);
    name[n] = 0;
    return getenv(name);
}

int config_set(struct demi_config **c, const char *key, const char *value)
{
    const char *dot = strrchr(key, '.'), *word = dot ? dot + 1 : key;
    if (!*c && !(*c = calloc(1, sizeof **c))) return -ENOMEM;
    if (!(*c)->asked && !((*c)->asked = calloc(1, sizeof *(*c)->asked))) return -ENOMEM;
    int err = add(*c, word, value, strlen(value));
    if (!err) (*c)->list[(*c)->count - 1].set = true;
    return err;
}

static const char *key_find(const struct demi_config *c, const char *path, bool set)
{
    for (size_t i = c ? c->count : 0; i-- > 0;) /* the last one counts */
        if (c->list[i].set == set && !strcmp(c->list[i].path, path)) return c->list[i].value;
    return NULL;
}

/* Keys of Demikernel's file are understood and not advertised; numbers are places in a list. */
static bool is_worth_listing(const char *path, const char *word)
{
    static const char *const theirs[] = {"inetstack_config.", "demikernel.", "raw_socket."};
    for (unsigned i = 0; i < sizeof theirs / sizeof *theirs; i++)
        if (!strncmp(path, theirs[i], strlen(theirs[i]))) return false;
    return !isdigit((unsigned char)*word) && strlen(word) < WORD_BYTES;
}

static void note_asked(const struct demi_config *c, const char *path, const char *word)
{
    if (!c || !c->asked) return;
    for (size_t i = 0; i < c->count; i++)
        if (c->list[i].set && !strcmp(c->list[i].path, word)) c->list[i].asked = true;
    struct asked *a = c->asked;
    if (a->count == ASKED_MAX || !is_worth_listing(path, word)) return;
    for (unsigned i = 0; i < a->count; i++)
        if (!strcmp(a->words[i], word)) return;
    strcpy(a->words[a->count++], word);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

const char *config_unasked(const struct demi_config *c, char *known, size_t size)
{
    const struct config_entry *found = NULL;
    for (size_t i = 0; c && i < c->count && !found; i++)
        if (c->list[i].set && !c->list[i].asked) found = &c->list[i];
    if (!found) return NULL;
    struct asked *a = c->asked;
    qsort(a->words, a->count, sizeof a->words[0], by_name);
    size_t n = 0;
    if (size) *known = 0;
    for (unsigned i = 0; i < a->count && n < size; i++) {
        int more = snprintf(known + n, size - n, "%s%s", i ? " " : "", a->words[i]);
        if (more < 0) break;
        n += (size_t)more;
    }
    return found->path;
}

const char *config_get(const struct demi_config *c, const char *path)
{
    const char *dot = strrchr(path, '.');
    note_asked(c, path, dot ? dot + 1 : path);
    const char *value = key_find(c, dot ? dot + 1 : path, true);
    if (!value) value = from_environment(path);
    return value ? value : key_find(c, path, false);
}

int64_t config_int(const struct demi_config *c, const char *path, int64_t otherwise)
{
    const char *v = config_get(c, path);
    if (!v || !*v) return otherwise;
    char *end;
    errno = 0;
    long long n = strtoll(v, &end, 0);
    return *end || errno ? otherwise : n;
}

bool config_bool(const struct demi_config *c, const char *path, bool otherwise)
{
    const char *v = config_get(c, path);
    if (!v) return otherwise;
    if (!strcasecmp(v, "true") || !strcasecmp(v, "yes") || !strcasecmp(v, "on") || !strcmp(v, "1")) return true;
    if (!strcasecmp(v, "false") || !strcasecmp(v, "no") || !strcasecmp(v, "off") || !strcmp(v, "0")) return false;
    return otherwise;
}

const char *config_next(const struct demi_config *c, const char *prefix, size_t *at, const char **rest)
{
    size_t n = strlen(prefix);
    for (; c && *at < c->count; ++*at) {
        const struct config_entry *e = &c->list[*at];
        if (e->set || strncmp(e->path, prefix, n) || e->path[n] != '.') continue;
        ++*at;
        *rest = e->path + n + 1;
        return e->value;
    }
    return NULL;
}

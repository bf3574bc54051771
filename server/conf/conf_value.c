/* SPDX-License-Identifier: MIT
 *
 * Values of each type: read, shown, written, compared with their defaults.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "alloc/base/assert.h"
#include "server/conf/option.h"
#include "server/ds/number.h"
#include "server/ds/number.h"

void conf_error(char *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err, CONF_ERROR_SIZE, fmt, ap);
    va_end(ap);
}

/* --- fields -------------------------------------------------------------------------------- */

static void *field_of(struct config *cfg, const struct conf_option *o) { return (char *)cfg + o->offset; }

static char **text_field(struct config *cfg, const struct conf_option *o) { return field_of(cfg, o); }

static int64_t number_get(const struct config *cfg, const struct conf_option *o)
{
    const char *p = (const char *)cfg + o->offset;
    switch (o->type) {
    case CONF_BOOL: return *(const bool *)p;
    case CONF_ENUM: return (int)load_u32(p);
    case CONF_NUMBER: return (int64_t)load_u64(p);
    case CONF_STRING:
    case CONF_BYTES:
    case CONF_SPECIAL: break;
    }
    return 0;
}

static void number_put(struct config *cfg, const struct conf_option *o, int64_t v)
{
    void *p = field_of(cfg, o);
    switch (o->type) {
    case CONF_BOOL: *(bool *)p = v != 0; break;
    case CONF_ENUM: store_u32(p, (uint32_t)v); break;
    case CONF_NUMBER: store_u64(p, (uint64_t)v); break;
    case CONF_STRING:
    case CONF_BYTES:
    case CONF_SPECIAL: break;
    }
}

static const char *text_get(const struct config *cfg, const struct conf_option *o)
{
    const char *text;
    memcpy(&text, (const char *)cfg + o->offset, sizeof text);
    return text;
}

static void text_put(struct config *cfg, const struct conf_option *o, const char *text)
{
    char **field = text_field(cfg, o), *old = *field;
    *field = text ? conf_text_copy(bytes_of_str(text)) : NULL;
    free(old);
}

static struct bytes bytes_get(const struct config *cfg, const struct conf_option *o)
{
    struct bytes b;
    memcpy(&b, (const char *)cfg + o->offset, sizeof b);
    return b;
}

/* None if it is empty. */
static void bytes_put(struct config *cfg, const struct conf_option *o, struct bytes b)
{
    struct bytes *field = field_of(cfg, o);
    char *old = (char *)field->p;
    *field = b.n ? bytes_of(conf_text_copy(b), b.n) : (struct bytes){0};
    free(old);
}

static bool texts_equal(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* --- amounts of memory --------------------------------------------------------------------- */

static const struct {
    const char *suffix;
    int64_t bytes;
} units[] = {
    {"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1 << 10},
    {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30},
};

/* As conf_bytes_parse(); *over: it is more than INT64_MAX. */
static int64_t bytes_parse(const char *text, bool *over)
{
    int64_t v = 0;
    const char *p = text;
    *over = false;
    for (; isdigit((unsigned char)*p); p++)
        *over = *over || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcasecmp(p, units[i].suffix) != 0) continue;
        *over = *over || __builtin_mul_overflow(v, units[i].bytes, &v);
        return *over ? INT64_MAX : v;
    }
    return -1;
}

int64_t conf_bytes_parse(const char *text)
{
    bool over;
    return bytes_parse(text, &over);
}

void conf_bytes_format(char *out, int64_t bytes)
{
    static const char *const suffixes[] = {"", "kb", "mb", "gb"};
    unsigned i = 0;
    for (; i < 3 && bytes != 0 && bytes % 1024 == 0; i++) bytes /= 1024;
    snprintf(out, 32, "%lld%s", (long long)bytes, suffixes[i]);
}

/* --- reading ------------------------------------------------------------------------------- */

static int number_set(struct config *cfg, const struct conf_option *o, int64_t v)
{
    if (v == number_get(cfg, o)) return 0;
    number_put(cfg, o, v);
    return 1;
}

static int bool_set(struct config *cfg, const struct conf_option *o, struct bytes value, char *err)
{
    bool yes = bytes_is_word(value, "yes");
    if (!yes && !bytes_is_word(value, "no")) {
        conf_error(err, "argument must be 'yes' or 'no'");
        return -1;
    }
    return number_set(cfg, o, yes);
}

static int string_set(struct config *cfg, const struct conf_option *o, struct bytes value, char *err)
{
    if (memchr(value.p, 0, value.n)) {
        conf_error(err, "argument must not contain NUL bytes");
        return -1;
    }
    if (o->text_is_valid && !o->text_is_valid(value.p, err)) return -1;
    const char *text = value.n == 0 && !o->initial_text ? NULL : value.p;
    if (texts_equal(text, text_get(cfg, o))) return o->flags & CONF_VOLATILE ? 1 : 0;
    text_put(cfg, o, text);
    return 1;
}

static int bytes_set(struct config *cfg, const struct conf_option *o, struct bytes value)
{
    if (bytes_equal(value, bytes_get(cfg, o))) return 0;
    bytes_put(cfg, o, value);
    return 1;
}

static void words_list(const struct conf_word *w, char *err)
{
    struct conf_text text = {0};
    conf_text_add_str(&text, "argument(s) must be one of the following: ");
    for (const char *comma = ""; w->word; w++, comma = ", ") conf_text_printf(&text, "%s%s", comma, w->word);
    conf_error(err, "%s", text.p);
    conf_text_free(&text);
}

static const struct conf_word *word_find(const struct conf_word *w, struct bytes text)
{
    while (w->word && !bytes_is_word(text, w->word)) w++;
    return w->word ? w : NULL;
}

static int enum_set(struct config *cfg, const struct conf_option *o, const struct bytes *argv, int argc, char *err)
{
    int sum = 0;
    bool known = argc == 1 || (argc > 1 && (o->flags & CONF_MULTI));
    for (int i = 0; i < argc && known; i++) {
        const struct conf_word *w = word_find(o->words, argv[i]);
        known = w != NULL;
        if (w) sum |= w->value;
    }
    if (!known) {
        words_list(o->words, err);
        return -1;
    }
    if (o->word_is_valid && !o->word_is_valid(sum, err)) return -1;
    return number_set(cfg, o, sum);
}

static bool percent_parse(struct bytes value, int64_t *out)
{
    if (value.n < 2 || value.p[value.n - 1] != '%') return false;
    return number_parse_i64(bytes_of(value.p, value.n - 1), out) && *out >= 0;
}

static bool octal_parse(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 8);
    return errno == 0 && *end == 0;
}

static void out_of_range(const struct conf_option *o, char *err)
{
    if (o->unit == UNIT_OCTAL)
        conf_error(err, "argument must be between %llo and %llo inclusive", (unsigned long long)o->min,
                   (unsigned long long)o->max);
    else conf_error(err, "argument must be between %lld and %lld inclusive", (long long)o->min, (long long)o->max);
}

static bool number_parse(const struct conf_option *o, struct bytes value, int64_t *v, char *err)
{
    switch (o->unit) {
    case UNIT_NONE:
        if (number_parse_i64(value, v)) return true;
        conf_error(err, "argument couldn't be parsed into an integer");
        return false;
    case UNIT_OCTAL:
        if (octal_parse(value.p, v)) return true;
        conf_error(err, "argument couldn't be parsed as an octal number");
        return false;
    case UNIT_BYTES:
    case UNIT_BYTES_AT_MOST:
    case UNIT_BYTES_OR_PERCENT: break;
    }
    bool over;
    *v = bytes_parse(value.p, &over);
    if (over && o->unit != UNIT_BYTES_AT_MOST) {
        out_of_range(o, err);
        return false;
    }
    if (*v >= 0) return true;
    if (o->unit != UNIT_BYTES_OR_PERCENT) {
        conf_error(err, "argument must be a memory value");
        return false;
    }
    if (percent_parse(value, v)) {
        *v = -*v;
        return true;
    }
    conf_error(err, "argument must be a memory or percent value");
    return false;
}

static int number_set_text(struct config *cfg, const struct conf_option *o, struct bytes value, char *err)
{
    int64_t v;
    if (!number_parse(o, value, &v, err)) return -1;
    if (v < 0 && v < o->min && o->unit == UNIT_BYTES_OR_PERCENT) {
        conf_error(err, "percentage argument must be less or equal to %lld", (long long)-o->min);
        return -1;
    }
    if (v < o->min || v > o->max) {
        out_of_range(o, err);
        return -1;
    }
    return number_set(cfg, o, v);
}

static int value_set(struct config *cfg, const struct conf_option *o, const struct bytes *argv, int argc, char *err)
{
    if (o->type == CONF_SPECIAL) return o->special->set(cfg, argv, argc, err);
    if (o->type == CONF_ENUM) return enum_set(cfg, o, argv, argc, err);
    if (argc != 1) {
        conf_error(err, "wrong number of arguments");
        return -1;
    }
    switch (o->type) {
    case CONF_BOOL: return bool_set(cfg, o, argv[0], err);
    case CONF_STRING: return string_set(cfg, o, argv[0], err);
    case CONF_BYTES: return bytes_set(cfg, o, argv[0]);
    default: return number_set_text(cfg, o, argv[0], err);
    }
}

static void words_join(const struct bytes *argv, int argc, struct conf_text *out)
{
    for (int i = 0; i < argc; i++) {
        conf_text_add_str(out, " ");
        conf_text_add(out, argv[i]);
    }
}

int conf_option_set(struct config *cfg, const struct conf_option *o, const struct bytes *argv, int argc, char *err)
{
    err[0] = 0;
    int changed = value_set(cfg, o, argv, argc, err);
    if (changed != 1 || !(o->flags & CONF_FIXED) || conf_option_is_initial(cfg, o)) return changed;
    conf_option_reset(cfg, o);
    struct conf_text words = {0};
    words_join(argv, argc, &words);
    conf_error(err, "'%s%s' is not supported yet", o->name, words.p ? words.p : "");
    conf_text_free(&words);
    return -1;
}

/* --- showing ------------------------------------------------------------------------------- */

static void words_show(const struct conf_option *o, int value, struct conf_text *out)
{
    for (const struct conf_word *w = o->words; w->word; w++) {
        if (w->value != value) continue;
        conf_text_add_str(out, w->word);
        return;
    }
    const char *space = "";
    for (const struct conf_word *w = o->words; w->word; w++) {
        if (!(w->value & value)) continue;
        conf_text_printf(out, "%s%s", space, w->word);
        space = " ";
    }
}

static void number_show(const struct conf_option *o, int64_t v, struct conf_text *out)
{
    char digits[NUMBER_I64_SIZE];
    if (o->unit == UNIT_BYTES_OR_PERCENT && v < 0) conf_text_printf(out, "%lld%%", (long long)-v);
    else if (o->unit == UNIT_OCTAL) conf_text_printf(out, "%llo", (unsigned long long)v);
    else conf_text_add(out, bytes_of(digits, number_format_i64(digits, v)));
}

void conf_option_get(const struct config *cfg, const struct conf_option *o, struct conf_text *out)
{
    conf_text_add_str(out, ""); /* there is text even where the value is empty */
    switch (o->type) {
    case CONF_BOOL: conf_text_add_str(out, number_get(cfg, o) ? "yes" : "no"); break;
    case CONF_ENUM: words_show(o, (int)number_get(cfg, o), out); break;
    case CONF_NUMBER: number_show(o, number_get(cfg, o), out); break;
    case CONF_STRING:
        if (text_get(cfg, o)) conf_text_add_str(out, text_get(cfg, o));
        break;
    case CONF_BYTES: conf_text_add(out, bytes_get(cfg, o)); break;
    case CONF_SPECIAL: o->special->get(cfg, out); break;
    }
}

void conf_option_lines(const struct config *cfg, const struct conf_option *o, conf_line_fn *fn, void *arg)
{
    if (o->type == CONF_SPECIAL) {
        o->special->lines(cfg, o->name, fn, arg);
        return;
    }
    struct conf_text line = {0};
    conf_text_printf(&line, "%s ", o->name);
    if (o->type == CONF_STRING || o->type == CONF_BYTES) {
        const char *text = o->type == CONF_STRING ? text_get(cfg, o) : bytes_get(cfg, o).p;
        if (!text) {
            fn(arg, NULL, false);
            conf_text_free(&line);
            return;
        }
        conf_text_add_quoted(&line, o->type == CONF_STRING ? bytes_of_str(text) : bytes_get(cfg, o));
    } else if (o->type == CONF_NUMBER && o->unit >= UNIT_BYTES && number_get(cfg, o) >= 0) {
        char text[32];
        conf_bytes_format(text, number_get(cfg, o));
        conf_text_add_str(&line, text);
    } else {
        conf_option_get(cfg, o, &line);
    }
    fn(arg, line.p, !conf_option_is_initial(cfg, o));
    conf_text_free(&line);
}

void conf_settle(struct config *cfg)
{
    if (cfg->hz < 1) cfg->hz = 1;
    if (cfg->hz > 500) cfg->hz = 500;
    if (cfg->repl_backlog_size < 16384) cfg->repl_backlog_size = 16384;
}

/* --- defaults ------------------------------------------------------------------------------ */

void conf_option_reset(struct config *cfg, const struct conf_option *o)
{
    if (o->type == CONF_SPECIAL) o->special->reset(cfg);
    else if (o->type == CONF_STRING) text_put(cfg, o, o->initial_text);
    else if (o->type == CONF_BYTES) bytes_put(cfg, o, (struct bytes){0});
    else number_put(cfg, o, o->initial);
}

bool conf_option_is_initial(const struct config *cfg, const struct conf_option *o)
{
    if (o->type == CONF_STRING) return texts_equal(text_get(cfg, o), o->initial_text);
    if (o->type == CONF_BYTES) return !bytes_get(cfg, o).p;
    if (o->type != CONF_SPECIAL) return number_get(cfg, o) == o->initial;
    return o->special != &conf_special_replicaof || !cfg->replicaof_host;
}

/* SPDX-License-Identifier: MIT
 *
 * Verdicts for people, and as JSON. Whatever a file held goes to a terminal or to a program here: bytes that are no
 * printable text are escaped in both.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/check_conf/verdict.h"
#include "server/ds/json_text.h"
#include "server/version.h"

static void print_plain(const char *text, FILE *out)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f) fprintf(out, "\\x%02x", c);
        else putc(c, out);
    }
}

static void print_one(const struct verdict_list *l, const struct verdict *v, FILE *out)
{
    print_plain(l->files[v->file], out);
    if (v->line) fprintf(out, ":%d", v->line);
    fputs(": ", out);
    if (*v->option) print_plain(v->option, out);
    if (*v->value) putc(' ', out), print_plain(v->value, out);
    if (*v->option || *v->value) fputs(": ", out);
    fputs(verdict_word(v->kind), out);
    if (v->says) fputs(": ", out), print_plain(v->says, out);
    putc('\n', out);
    if (v->advice) fputs("    ", out), print_plain(v->advice, out), putc('\n', out);
}

void verdicts_print(const struct verdict_list *l, bool all, FILE *out)
{
    for (unsigned i = 0; i < l->count; i++)
        if (all || l->at[i].kind != VERDICT_SAME) print_one(l, &l->at[i], out);
    if (l->full) fprintf(out, "There are more than %d lines: the rest was not looked at.\n", VERDICTS_MAX);
    const char *comma = "";
    for (int k = 0; k < VERDICT_KINDS; k++) {
        if (!l->kinds[k]) continue;
        fprintf(out, "%s%u %s", comma, l->kinds[k], verdict_word((enum verdict_kind)k));
        comma = ", ";
    }
    static const char *const ends[] = {"Nothing is different.", "The server starts; what is different is above.",
                                       "The server would not start."};
    fprintf(out, "%s%s\n", *comma ? ". " : "", ends[verdicts_status(l)]);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void print_json_text(const char *text, FILE *out)
{
    size_t n = strlen(text), size = n * JSON_TEXT_GROWTH;
    char *escaped = malloc(size + 1);
    ASSERT(escaped != NULL);
    putc('"', out);
    fwrite(escaped, 1, json_text_write(escaped, size, bytes_of(text, n)), out);
    putc('"', out);
    free(escaped);
}

static void print_json_field(const char *name, const char *text, FILE *out)
{
    if (!text) return;
    fprintf(out, ", \"%s\": ", name);
    print_json_text(text, out);
}

void verdicts_print_json(const struct verdict_list *l, FILE *out)
{
    fprintf(out, "{\"version\": \"%s\", \"redis_version\": \"%s\", \"status\": %d, \"complete\": %s,\n \"counts\": {",
            DEMIKV_VERSION, REDIS_VERSION, verdicts_status(l), l->full ? "false" : "true");
    for (int k = 0; k < VERDICT_KINDS; k++)
        fprintf(out, "%s\"%s\": %u", k ? ", " : "", verdict_word((enum verdict_kind)k), l->kinds[k]);
    fputs("},\n \"lines\": [", out);
    for (unsigned i = 0; i < l->count; i++) {
        const struct verdict *v = &l->at[i];
        fprintf(out, "%s\n  {\"verdict\": \"%s\"", i ? "," : "", verdict_word(v->kind));
        print_json_field("file", l->files[v->file], out);
        if (v->line) fprintf(out, ", \"line\": %d", v->line);
        if (*v->option) print_json_field("option", v->option, out);
        if (*v->value) print_json_field("value", v->value, out);
        print_json_field("says", v->says, out);
        print_json_field("advice", v->advice, out);
        putc('}', out);
    }
    fputs("\n ]}\n", out);
}

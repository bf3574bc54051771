/* SPDX-License-Identifier: MIT */
#include "server/check_conf/verdict.h"

#include <stdlib.h>

#include "alloc/base/assert.h"

enum { SHOWN_BYTES = 120 };

static void *list_grown(void *p, unsigned *cap, size_t size)
{
    *cap = *cap ? *cap * 2 : 64;
    p = realloc(p, *cap * size);
    ASSERT(p != NULL);
    return p;
}

void verdicts_free(struct verdict_list *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct verdict *v = &l->at[i];
        free(v->option);
        free(v->value);
        free(v->says);
        free(v->advice);
    }
    for (unsigned i = 0; i < l->file_count; i++) free(l->files[i]);
    free(l->at);
    free(l->files);
    *l = (struct verdict_list){0};
}

unsigned verdicts_file(struct verdict_list *l, const char *path)
{
    if (l->file_count == VERDICT_FILES_MAX) return VERDICT_FILES_MAX;
    if (l->file_count == l->file_cap) l->files = list_grown(l->files, &l->file_cap, sizeof *l->files);
    l->files[l->file_count] = conf_text_copy(bytes_of_str(path));
    return l->file_count++;
}

static char *cut_copy(struct bytes b)
{
    struct conf_text t = {0};
    bool cut = b.n > SHOWN_BYTES;
    conf_text_add(&t, cut ? bytes_of(b.p, SHOWN_BYTES) : b);
    conf_text_add_str(&t, cut ? "..." : "");
    return t.p;
}

struct verdict *verdicts_add(struct verdict_list *l, enum verdict_kind kind, unsigned file, int line,
                             struct bytes option, struct bytes value)
{
    if (l->count == VERDICTS_MAX) {
        l->full = true;
        l->kinds[VERDICT_REFUSED]++; /* nobody knows what the rest is */
        return NULL;
    }
    if (l->count == l->cap) l->at = list_grown(l->at, &l->cap, sizeof *l->at);
    l->kinds[kind]++;
    l->at[l->count] = (struct verdict){
        .kind = kind, .file = file, .line = line, .option = cut_copy(option), .value = cut_copy(value)};
    return &l->at[l->count++];
}

static void text_replace(char **field, const char *text)
{
    if (!text) return;
    free(*field);
    *field = conf_text_copy(bytes_of_str(text));
}

void verdict_say(struct verdict *v, const char *says, const char *advice)
{
    if (!v) return;
    text_replace(&v->says, says);
    text_replace(&v->advice, advice);
}

void verdicts_change(struct verdict_list *l, struct verdict *v, enum verdict_kind kind)
{
    l->kinds[v->kind]--;
    l->kinds[kind]++;
    v->kind = kind;
}

int verdicts_status(const struct verdict_list *l)
{
    if (l->kinds[VERDICT_UNKNOWN] || l->kinds[VERDICT_REFUSED]) return 2;
    for (int k = VERDICT_OVERRIDDEN; k <= VERDICT_RISK; k++)
        if (l->kinds[k]) return 1;
    return 0;
}

const char *verdict_word(enum verdict_kind kind)
{
    static const char *const words[] = {"same",    "renamed", "overridden", "no-effect",
                                        "differs", "risk",    "unknown",    "refused"};
    return words[kind];
}

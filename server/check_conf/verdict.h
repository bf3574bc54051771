/* SPDX-License-Identifier: MIT
 *
 * What is said of a line: a verdict each, in the order of the lines, and behind them what is said of the whole.
 *
 *     redis.conf:12: io-threads 4: refused: 'io-threads 4' is not supported yet
 *     file       line  words of it   kind   says
 */
#ifndef SERVER_CHECK_CONF_VERDICT_H
#define SERVER_CHECK_CONF_VERDICT_H

#include <stdbool.h>
#include <stdio.h>

#include "server/conf/text.h"

/* From harmless to fatal: the exit status is the worst one's. */
enum verdict_kind {
    VERDICT_SAME,
    VERDICT_RENAMED,    /* an older or another name; it means the same */
    VERDICT_OVERRIDDEN, /* a later line about the same option counts */
    VERDICT_NO_EFFECT,
    VERDICT_DIFFERS,
    VERDICT_RISK,
    VERDICT_UNKNOWN, /* the server would not start: no such option */
    VERDICT_REFUSED, /* the server would not start */
    VERDICT_KINDS,
};

struct verdict {
    enum verdict_kind kind;
    unsigned file; /* index in verdict_list.files */
    int line;      /* 0: of the whole */
    char *option;  /* as it stands there, cut */
    char *value;   /* what follows, "(hidden)" for secrets, cut */
    char *says;    /* what the server would say, or what is different; NULL: nothing */
    char *advice;  /* what to do; NULL: nothing */
};

enum { VERDICTS_MAX = 100000, VERDICT_FILES_MAX = 10000 };

struct verdict_list {
    struct verdict *at;
    unsigned count, cap;
    char **files;
    unsigned file_count, file_cap;
    unsigned kinds[VERDICT_KINDS];
    bool full; /* there were more than VERDICTS_MAX */
};

void verdicts_free(struct verdict_list *l);
/* The file's index; VERDICT_FILES_MAX: there are too many. */
unsigned verdicts_file(struct verdict_list *l, const char *path);
/* Texts are copied. NULL: the list is full. The pointer is good until the next one is added. */
struct verdict *verdicts_add(struct verdict_list *l, enum verdict_kind kind, unsigned file, int line,
                             struct bytes option, struct bytes value);
void verdict_say(struct verdict *v, const char *says, const char *advice);
/* Kinds are counted: whoever changes one tells the list. */
void verdicts_change(struct verdict_list *l, struct verdict *v, enum verdict_kind kind);
/* 0, 1 or 2. */
int verdicts_status(const struct verdict_list *l);
const char *verdict_word(enum verdict_kind kind);

/* all: those that are the same, too. */
void verdicts_print(const struct verdict_list *l, bool all, FILE *out);
void verdicts_print_json(const struct verdict_list *l, FILE *out);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Options as data, for the files of server/conf/ only. A row of conf_options[] says an option's
 * names, type, default, bounds and which field of struct config holds it; conf_value.c knows what
 * to do for each type, and the few options with a grammar of their own bring their functions along
 * (conf_special.c).
 */
#ifndef SERVER_CONF_OPTION_H
#define SERVER_CONF_OPTION_H

#include "server/conf/conf.h"

enum conf_flag {
    CONF_IMMUTABLE = 1 << 0,    /* not by CONFIG SET */
    CONF_PROTECTED = 1 << 1,    /* by CONFIG SET only with enable-protected-configs */
    CONF_HIDDEN = 1 << 2,       /* CONFIG GET shows it by its full name only */
    CONF_SENSITIVE = 1 << 3,    /* its value must not be logged */
    CONF_DENY_LOADING = 1 << 4, /* not while data is loading */
    CONF_VOLATILE = 1 << 5,     /* the same value again is a change: a file's content, say */
    CONF_MULTI = 1 << 6,        /* any number of words */
    CONF_FIXED = 1 << 7,        /* any value but the default asks for what is not there yet */
    CONF_OURS = 1 << 8,         /* immutable, but the value it has may be set: scripts that set back all of CONFIG GET *
                                 * know which of Redis's options are immutable, not which of ours */
};

/* BYTES: as STRING with a default of NULL, and any bytes: a password. */
enum conf_type { CONF_BOOL, CONF_STRING, CONF_BYTES, CONF_ENUM, CONF_NUMBER, CONF_SPECIAL };
enum conf_unit {
    UNIT_NONE,
    UNIT_OCTAL,
    UNIT_BYTES,
    UNIT_BYTES_AT_MOST,   /* more than an int64_t holds is as much as it holds */
    UNIT_BYTES_OR_PERCENT /* percent are kept negative */
};

enum { CONF_ERROR_SIZE = 256 }; /* lists of words are cut there, as Redis does */

struct conf_word {
    const char *word; /* NULL: end */
    int value;
};

/* Receives the lines CONFIG REWRITE writes for an option: once for every line. must_write: even if
 * the file did not have one. line NULL: the option is to vanish from the file. */
typedef void conf_line_fn(void *arg, const char *line, bool must_write);

/* argv[i] ends with NUL behind its n bytes. set: 1 changed, 0 the same as before, -1 refused, with
 * the reason in err. */
struct conf_special {
    int (*set)(struct config *cfg, const struct bytes *argv, int argc, char *err);
    void (*get)(const struct config *cfg, struct conf_text *out);
    void (*lines)(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg);
    void (*reset)(struct config *cfg);
};

struct conf_option {
    const char *name, *alias; /* alias: or NULL */
    enum conf_type type;
    unsigned flags;  /* enum conf_flag */
    size_t offset;   /* of the field */
    int64_t initial; /* default: BOOL, ENUM, NUMBER */
    int64_t min, max;
    enum conf_unit unit;
    const char *initial_text;      /* default: STRING; NULL: an empty value means NULL */
    const struct conf_word *words; /* ENUM; with CONF_MULTI their values are bits */
    const struct conf_special *special;
    /* A value that passed all other checks; false with the reason in err. */
    bool (*text_is_valid)(const char *value, char *err);
    bool (*word_is_valid)(int value, char *err);
};

extern const struct conf_option conf_options[];
extern const unsigned conf_option_count;

extern const struct conf_special conf_special_dir, conf_special_save, conf_special_output_limit, conf_special_oom_score,
    conf_special_events, conf_special_bind, conf_special_metrics_bind, conf_special_rdma_bind, conf_special_replicaof,
    conf_special_percentiles;

/* By name or alias, in any case; NULL: none. */
const struct conf_option *conf_option_find(struct bytes name);

int conf_option_set(struct config *cfg, const struct conf_option *o, const struct bytes *argv, int argc, char *err);
/* Appends the value as CONFIG GET shows it. */
void conf_option_get(const struct config *cfg, const struct conf_option *o, struct conf_text *out);
void conf_option_lines(const struct config *cfg, const struct conf_option *o, conf_line_fn *fn, void *arg);
void conf_option_reset(struct config *cfg, const struct conf_option *o);
bool conf_option_is_initial(const struct config *cfg, const struct conf_option *o);

/* After values were set: what is only a wish (hz, the least size of the replication backlog) is
 * brought into its range. */
void conf_settle(struct config *cfg);

/* "64mb": -1 when it is no amount of memory; INT64_MAX when it is that or more. */
int64_t conf_bytes_parse(const char *text);
/* "64mb" for what is a whole number of such units. */
void conf_bytes_format(char *out /* 32 */, int64_t bytes);
/* Like snprintf() into an error text. */
void conf_error(char *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

bool conf_valid_dbfilename(const char *value, char *err);
bool conf_valid_appendfilename(const char *value, char *err);
bool conf_valid_appenddirname(const char *value, char *err);
bool conf_valid_aof_device(const char *value, char *err);
bool conf_valid_hostname(const char *value, char *err);
bool conf_valid_nodename(const char *value, char *err);
bool conf_valid_cpu_list(const char *value, char *err);
bool conf_valid_proc_title(const char *value, char *err);
bool conf_valid_shutdown(int value, char *err);

#endif

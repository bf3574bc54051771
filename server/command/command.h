/* SPDX-License-Identifier: MIT
 *
 * A command as data. Every command and subcommand is one `struct command`: what the server needs to run it (handler,
 * arity, flags, key positions), what ACL needs (categories) and what COMMAND DOCS tells (summary, arguments). The rows
 * stand in server/command/spec_<group>.c, one file a group, and refer to handlers by a rule: GET is cmd_get, CLIENT
 * NO-EVICT is cmd_client_no_evict, all declared in server/command/handlers.h.
 *
 * The rows themselves are constants. command_table_init() copies them into one dense array and fills in
 * what follows from the rest; every pointer the functions below give stays valid, and unchanged, for the life of the
 * process.
 */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct call;
typedef void cmd_handler(struct call *c);

/* Flags as COMMAND INFO shows them: lower case; MOVABLE_KEYS is shown as "movablekeys". */
enum cmd_flag {
    CMD_WRITE = 1u << 0,
    CMD_READONLY = 1u << 1,
    CMD_DENYOOM = 1u << 2,
    CMD_ADMIN = 1u << 3,
    CMD_PUBSUB = 1u << 4,
    CMD_NOSCRIPT = 1u << 5,
    CMD_BLOCKING = 1u << 6,
    CMD_LOADING = 1u << 7,
    CMD_STALE = 1u << 8,
    CMD_SKIP_MONITOR = 1u << 9,
    CMD_SKIP_SLOWLOG = 1u << 10,
    CMD_ASKING = 1u << 11,
    CMD_FAST = 1u << 12,
    CMD_NO_AUTH = 1u << 13,
    CMD_MAY_REPLICATE = 1u << 14, /* not shown */
    CMD_SENTINEL = 1u << 15,      /* not shown */
    CMD_ONLY_SENTINEL = 1u << 16, /* not shown */
    CMD_NO_MANDATORY_KEYS = 1u << 17,
    CMD_PROTECTED = 1u << 18, /* not shown */
    CMD_MODULE = 1u << 19,
    CMD_NO_ASYNC_LOADING = 1u << 20,
    CMD_NO_MULTI = 1u << 21,
    CMD_MOVABLE_KEYS = 1u << 22, /* follows from the key specs: filled in when the table is built */
    CMD_ALLOW_BUSY = 1u << 23,
    CMD_TOUCHES_ARBITRARY_KEYS = 1u << 24, /* not shown */
    /* Ours, not shown: what the checks before a command ask of its row (server/exec/admit.h). */
    CMD_SUBSCRIBED = 1u << 25,       /* a RESP2 client with subscriptions may send it */
    CMD_RUNS_IN_MULTI = 1u << 26,    /* runs at once inside MULTI instead of being queued */
    CMD_ENDS_MULTI = 1u << 27,       /* and ends it */
    CMD_RUNS_QUEUE = 1u << 28,       /* EXEC: is what its queue is */
    CMD_NEEDS_CLIENT = 1u << 29,     /* works on a connection: nothing for a session without one */
    CMD_TELLS_DISK_ERROR = 1u << 31, /* refused as writes are while saving fails */
    CMD_TOUCHES = 1u << 30,          /* renews the idle time of keys even under CLIENT NO-TOUCH */
};

/* The part of the keyspace a command works on, and therefore holds while it runs. Where there are several cores, that
 * is what it keeps others out of; debug builds assert that it touches nothing else. */
enum command_hold {
    HOLD_KEYS, /* the slices of the keys it names; none when it names none (PING) */
    HOLD_ALL,  /* every slice: KEYS, FLUSHALL, SORT with BY */
};

/* ACL categories, in the order of ACL CAT. */
enum acl_cat {
    ACL_KEYSPACE = 1u << 0,
    ACL_READ = 1u << 1,
    ACL_WRITE = 1u << 2,
    ACL_SET = 1u << 3,
    ACL_SORTEDSET = 1u << 4,
    ACL_LIST = 1u << 5,
    ACL_HASH = 1u << 6,
    ACL_STRING = 1u << 7,
    ACL_BITMAP = 1u << 8,
    ACL_HYPERLOGLOG = 1u << 9,
    ACL_GEO = 1u << 10,
    ACL_STREAM = 1u << 11,
    ACL_PUBSUB = 1u << 12,
    ACL_ADMIN = 1u << 13,
    ACL_FAST = 1u << 14,
    ACL_SLOW = 1u << 15,
    ACL_BLOCKING = 1u << 16,
    ACL_DANGEROUS = 1u << 17,
    ACL_CONNECTION = 1u << 18,
    ACL_TRANSACTION = 1u << 19,
    ACL_SCRIPTING = 1u << 20,
};

/* What is not there yet, and without which a command answers only as a server that does not use it does. README's table
 * of what is missing is made of it (tools/missing-table). */
enum command_lacks {
    LACKS_NOTHING,
    LACKS_CLUSTER,
    LACKS_MODULES,
    LACKS_COUNT,
};

/* Key specifications (COMMAND INFO's seventh element), as Redis 7 defines them. */
enum key_flag {
    KEY_RO = 1u << 0,
    KEY_RW = 1u << 1,
    KEY_OW = 1u << 2,
    KEY_RM = 1u << 3,
    KEY_ACCESS = 1u << 4,
    KEY_UPDATE = 1u << 5,
    KEY_INSERT = 1u << 6,
    KEY_DELETE = 1u << 7,
    KEY_NOT_KEY = 1u << 8,
    KEY_INCOMPLETE = 1u << 9,
    KEY_VARIABLE_FLAGS = 1u << 10,
};

struct key_spec {
    uint16_t flags;
    enum { KEY_BEGIN_INDEX, KEY_BEGIN_KEYWORD, KEY_BEGIN_UNKNOWN } begin;
    int begin_pos; /* index, or where the search for the keyword starts (negative: from the end) */
    const char *begin_keyword;
    enum { KEY_FIND_RANGE, KEY_FIND_KEYNUM, KEY_FIND_UNKNOWN } find;
    int last, step, limit; /* range: last relative to the first key; limit as Redis's */
    int keynum_index, first_key, keynum_step;
    const char *notes;
};

/* Arguments for COMMAND DOCS. */
enum arg_type {
    ARG_STRING,
    ARG_INTEGER,
    ARG_DOUBLE,
    ARG_KEY,
    ARG_PATTERN,
    ARG_UNIX_TIME,
    ARG_PURE_TOKEN,
    ARG_ONEOF,
    ARG_BLOCK,
};
enum arg_flag { ARG_OPTIONAL = 1, ARG_MULTIPLE = 2, ARG_MULTIPLE_TOKEN = 4 };

struct command_arg {
    const char *name;
    const char *display; /* how a call shows it; NULL: as its name */
    enum arg_type type;
    uint8_t flags;
    uint8_t key_spec;             /* the key spec it belongs to, counted from 1; 0: none (COMMAND DOCS counts from 0) */
    const char *token;            /* or NULL */
    const char *since;            /* or NULL */
    const char *deprecated_since; /* or NULL */
    const struct command_arg *sub; /* for ONEOF and BLOCK */
    uint8_t sub_count;
};

enum doc_flag { DOC_DEPRECATED = 1, DOC_SYSCMD = 2 };

struct command_history {
    const char *since, *text;
};

struct command {
    const char *name;     /* upper case, without its container: "GET", "KILL" */
    cmd_handler *handler; /* NULL for a container with subcommands only */
    int16_t arity;        /* negative: at least */
    uint32_t flags;       /* enum cmd_flag */
    uint32_t acl;         /* enum acl_cat, complete as COMMAND INFO shows them (implied ones included) */
    const struct key_spec *keys;
    uint8_t key_count;
    uint8_t holds; /* enum command_hold */
    uint8_t lacks; /* enum command_lacks */
    /* For commands whose specs cannot tell: indexes of keys to out and their flags to flags (both have room for max,
     * which is at least 2); returns their number or -1. */
    int (*getkeys)(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max);
    const struct command *subs;
    uint16_t sub_count;
    /* documentation */
    const char *group, *since, *complexity, *summary; /* group as COMMAND DOCS says it: "sorted-set" */
    const char *deprecated_since, *replaced_by;       /* or NULL */
    uint8_t doc_flags;                                /* enum doc_flag */
    const char *const *tips;
    uint8_t tip_count;
    const struct command_history *history;
    uint8_t history_count;
    const struct command_arg *args;
    uint8_t arg_count;
    /* filled in when the table is built: a dense number for statistics and ACL bitmaps, the container, the full
     * name, and the position of the first key for the prefetch phase (0: none) */
    uint16_t index;
    const struct command *parent;
    const char *full_name;                 /* lower case, "client|kill" */
    bool one_key;                          /* all its keys are the one at first_key */
    int16_t first_key, last_key, key_step; /* as COMMAND INFO shows them; last_key negative: from the end of the call */
};

/* Builds the table from all spec files. Call before anything is looked up; a second call does nothing. */
void command_table_init(void);
/* NULL: unknown. Case does not matter. */
const struct command *command_find(struct bytes name);
const struct command *command_find_sub(const struct command *container, struct bytes name);
/* "get", "client|kill" */
const struct command *command_find_full(struct bytes full_name);
/* False: clients cannot reach it, rename-command took its name (or its container's) away. */
bool command_is_known(const struct command *c);
/* By index: 0 … command_count() - 1, subcommands (those with a parent) included. NULL behind the last. */
const struct command *command_at(unsigned index);
unsigned command_count(void);

/* rename-command: `from` is known as `to` from now on, or not at all when `to` is empty. -ENOENT: no such command;
 * -EEXIST: the new name is taken. Only before clients are served. */
int command_rename(struct bytes from, struct bytes to);

/* Indexes (in argv) of the keys of a call, at most max of them (max at least 2); the number found, which may be more
 * than max: then only the first max are written; -1: malformed for this command. Never reads outside argv[0 …
 * argc-1], whatever the arity. argv[0] is the command (the container for subcommands). flags_out (may be NULL) gets
 * each key's enum key_flag. Keys that are not really keys (channels) are left out. */
int command_keys(const struct command *cmd, const struct bytes *argv, int argc, int *out, uint16_t *flags_out, int max);

#endif

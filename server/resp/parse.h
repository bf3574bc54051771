/* SPDX-License-Identifier: MIT
 *
 * Requests: an incremental parser of what clients send, multibulk ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") and inline
 * ("GET k\r\n"). Arguments come out as slices of the input, nothing is copied. Limits and error texts are Redis 7.0's.
 *
 * Call resp_parse() with all bytes from the start of the command on. RESP_COMMAND: out->consumed of them are used up;
 * call again for the next command, with the same parser. RESP_NEED_MORE: out->consumed bytes (empty commands: "\r\n",
 * "*0\r\n") are used up; call again when more has come behind the rest; the bytes may have moved, but not changed. A
 * command in many pieces costs linear time.
 */
#ifndef SERVER_RESP_PARSE_H
#define SERVER_RESP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

enum resp_result { RESP_NEED_MORE, RESP_COMMAND, RESP_ERROR };

struct resp_limits {
    int64_t bulk_bytes_max; /* proto-max-bulk-len, 1 MiB or more; INT64_MAX for a replication primary */
    bool unauthenticated;   /* 10 arguments, 16 KiB each */
    bool multibulk_only;    /* an inline request is an error */
};

/* Arguments of one command after the other, so that a batch of commands can be parsed before any is run. v moves
 * when it grows: keep indexes. Grown only for arguments that have arrived. */
struct argv_vec {
    struct bytes *v;
    size_t used, cap;
};
void argv_vec_init(struct argv_vec *a);
void argv_vec_fini(struct argv_vec *a);
/* Empties it; room far beyond what is common is given back. */
void argv_vec_reset(struct argv_vec *a);
/* Room for `more` behind used. */
void argv_vec_reserve(struct argv_vec *a, size_t more);

/* Where a command that came in pieces was left; offsets from its first byte. Private. */
struct resp_parser {
    size_t at;      /* first byte not yet looked at */
    size_t scanned; /* no line end before this */
    int64_t bulk;   /* length of the bulk that begins at `at`; -1: its header comes */
    int32_t args;   /* of the command; 0: not in a multibulk */
    int32_t args_done;
};
static inline void resp_parser_init(struct resp_parser *ps) { *ps = (struct resp_parser){.bulk = -1}; }
/* In the middle of a command (or the bytes of one wait). */
static inline bool resp_parser_is_inside(const struct resp_parser *ps) { return ps->args != 0 || ps->scanned != 0; }

struct resp_request {
    size_t consumed; /* bytes used up */
    size_t want;     /* NEED_MORE: bytes behind `consumed` before a call can get further (more than are there) */
    size_t first;    /* COMMAND: arguments are argv->v[first ... first + argc - 1] */
    int32_t argc;    /* 1 or more */
    bool is_inline;
    /* ERROR: "Protocol error: ..." without "ERR " (reply_error adds it); may hold a control byte from outside */
    char error[64];
};

/* Parses one command. `in` is written to when an inline argument has quotes (the text behind the unquoting is never
 * longer). */
enum resp_result resp_parse(struct resp_parser *ps, const struct resp_limits *limits, char *in, size_t n,
                            struct argv_vec *argv, struct resp_request *out);

/* Splits one line into arguments as inline commands are (redis.conf lines too), in place. False: unbalanced quotes. */
bool resp_split_args(char *line, size_t n, struct argv_vec *argv);

#endif

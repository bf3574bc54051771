/* SPDX-License-Identifier: MIT
 *
 * What a primary answers before the stream begins, line by line (PSYNC of Redis 7.2): nothing but text in and meaning
 * out. A line comes without its end.
 */
#ifndef SERVER_REPL_HANDSHAKE_H
#define SERVER_REPL_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/repl/history.h"

/* To PING: it is there and talks to us, even if it wants a password first. */
bool handshake_may_go_on(const char *line);

enum psync_answer {
    PSYNC_WAIT,      /* an empty line: it is still at it */
    PSYNC_FULL,      /* a snapshot comes, which stands at *offset of *id */
    PSYNC_CONTINUES, /* the stream comes; *id is empty where it stays the same */
    PSYNC_LATER,     /* not now */
    PSYNC_UNKNOWN,   /* it does not know PSYNC: SYNC is left */
    PSYNC_BROKEN     /* no answer that could be one */
};
enum psync_answer handshake_psync(const char *line, char id[HISTORY_ID_SIZE], int64_t *offset);

#define EOF_MARK_SIZE 40

enum payload_form {
    PAYLOAD_WAIT /* an empty line */,
    PAYLOAD_COUNTED,
    PAYLOAD_MARKED,
    PAYLOAD_REFUSED,
    PAYLOAD_BROKEN
};
/* "$n" or "$EOF:" and a mark. REFUSED: an error in the place of a payload. */
enum payload_form handshake_payload(const char *line, int64_t *size, char mark[EOF_MARK_SIZE]);

/* --- the end of a payload whose length nobody knows ----------------------------------------------------------------
 * The primary sends nothing behind its mark before it was acknowledged, so that it is the end of what has come. */
struct eof_mark { /* private */
    char mark[EOF_MARK_SIZE];
    char last[EOF_MARK_SIZE]; /* of what has come; the first `have` bytes of it */
    size_t have;
};
void eof_mark_init(struct eof_mark *m, const char mark[EOF_MARK_SIZE]);
/* More has come. True: it ends with the mark. */
bool eof_mark_pass(struct eof_mark *m, struct bytes b);

#endif

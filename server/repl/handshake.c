/* SPDX-License-Identifier: MIT
 *
 * Lines are refused where redis-server guesses: an id that is none, a number that is none, a mark that is too short.
 */
#include "server/repl/handshake.h"

#include <string.h>

#include "server/ds/number.h"

static bool begins(const char *line, const char *with) { return strncmp(line, with, strlen(with)) == 0; }

bool handshake_may_go_on(const char *line)
{
    return line[0] == '+' || begins(line, "-NOAUTH") || begins(line, "-NOPERM") ||
           begins(line, "-ERR operation not permitted");
}

static bool is_id(const char *text)
{
    for (int i = 0; i < HISTORY_ID_SIZE - 1; i++)
        if (!text[i] || !strchr("0123456789abcdefABCDEF", text[i])) return false;
    return true;
}

static void take_id(char id[HISTORY_ID_SIZE], const char *text)
{
    memcpy(id, text, HISTORY_ID_SIZE - 1);
    id[HISTORY_ID_SIZE - 1] = 0;
}

static bool is_count(const char *text, int64_t *n) { return number_parse_i64(bytes_of_str(text), n) && *n >= 0; }

/* " id offset" */
static enum psync_answer full(const char *rest, char id[HISTORY_ID_SIZE], int64_t *offset)
{
    if (*rest++ != ' ' || !is_id(rest)) return PSYNC_BROKEN;
    const char *number = rest + HISTORY_ID_SIZE - 1;
    if (*number++ != ' ' || !is_count(number, offset)) return PSYNC_BROKEN;
    take_id(id, rest);
    return PSYNC_FULL;
}

/* "" or " id" */
static enum psync_answer continues(const char *rest, char id[HISTORY_ID_SIZE])
{
    if (!*rest) return PSYNC_CONTINUES;
    if (*rest++ != ' ' || !is_id(rest) || rest[HISTORY_ID_SIZE - 1]) return PSYNC_BROKEN;
    take_id(id, rest);
    return PSYNC_CONTINUES;
}

enum psync_answer handshake_psync(const char *line, char id[HISTORY_ID_SIZE], int64_t *offset)
{
    static const char full_word[] = "+FULLRESYNC", continue_word[] = "+CONTINUE";
    id[0] = 0;
    *offset = -1;
    if (!*line) return PSYNC_WAIT;
    if (begins(line, full_word)) return full(line + sizeof full_word - 1, id, offset);
    if (begins(line, continue_word)) return continues(line + sizeof continue_word - 1, id);
    if (begins(line, "-NOMASTERLINK") || begins(line, "-LOADING")) return PSYNC_LATER;
    return line[0] == '-' ? PSYNC_UNKNOWN : PSYNC_BROKEN;
}

enum payload_form handshake_payload(const char *line, int64_t *size, char mark[EOF_MARK_SIZE])
{
    static const char eof_word[] = "$EOF:";
    if (!*line) return PAYLOAD_WAIT;
    if (*line == '-') return PAYLOAD_REFUSED;
    if (begins(line, eof_word)) {
        const char *text = line + sizeof eof_word - 1;
        if (strlen(text) != EOF_MARK_SIZE) return PAYLOAD_BROKEN;
        memcpy(mark, text, EOF_MARK_SIZE);
        return PAYLOAD_MARKED;
    }
    return *line == '$' && is_count(line + 1, size) ? PAYLOAD_COUNTED : PAYLOAD_BROKEN;
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

void eof_mark_init(struct eof_mark *m, const char mark[EOF_MARK_SIZE])
{
    memcpy(m->mark, mark, EOF_MARK_SIZE);
    m->have = 0;
}

bool eof_mark_pass(struct eof_mark *m, struct bytes b)
{
    size_t n = b.n < EOF_MARK_SIZE ? b.n : EOF_MARK_SIZE;
    size_t keep = m->have + n > EOF_MARK_SIZE ? EOF_MARK_SIZE - n : m->have;
    memmove(m->last, m->last + m->have - keep, keep);
    if (n) memcpy(m->last + keep, b.p + b.n - n, n);
    m->have = keep + n;
    return m->have == EOF_MARK_SIZE && memcmp(m->last, m->mark, EOF_MARK_SIZE) == 0;
}

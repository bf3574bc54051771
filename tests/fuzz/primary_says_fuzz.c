/* SPDX-License-Identifier: MIT
 *
 * What a primary says before the stream begins: each line is refused or understood, what was understood is in its
 * bounds, and the mark at the end of a payload is found where a plain comparison finds it, however the bytes are cut.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/repl/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_SIZE 1024

static void look_at_line(const char *line)
{
    char id[HISTORY_ID_SIZE], mark[EOF_MARK_SIZE];
    int64_t offset, bytes = -1;
    handshake_may_go_on(line);
    enum psync_answer answer = handshake_psync(line, id, &offset);
    ASSERT((answer == PSYNC_FULL) == (offset >= 0));
    ASSERT(strlen(id) == 0 || strlen(id) == HISTORY_ID_SIZE - 1);
    if (answer == PSYNC_FULL) ASSERT(*id);
    enum payload_form form = handshake_payload(line, &bytes, mark);
    ASSERT((form == PAYLOAD_COUNTED) == (bytes >= 0));
}

/* Lines as a link has them: cut at the newline, a carriage return before it dropped, none too long. */
static void look_at_lines(const uint8_t *data, size_t size)
{
    char line[LINE_MAX_SIZE];
    while (size) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size, past = n + (end != NULL);
        if (n < sizeof line) {
            memcpy(line, data, n);
            if (n && line[n - 1] == '\r') n--;
            line[n] = 0;
            look_at_line(line);
        }
        data += past;
        size -= past;
    }
}

/* The first 40 bytes are the mark, the next one says how the rest is cut. */
static void look_for_mark(const uint8_t *data, size_t size)
{
    struct eof_mark m;
    if (size <= EOF_MARK_SIZE) return;
    const char *text = (const char *)data + EOF_MARK_SIZE + 1;
    size_t n = size - EOF_MARK_SIZE - 1, step = data[EOF_MARK_SIZE] % 64 + 1u;
    eof_mark_init(&m, (const char *)data);
    for (size_t at = 0; at < n; at += step) {
        size_t piece = n - at < step ? n - at : step, end = at + piece;
        bool found = eof_mark_pass(&m, bytes_of(text + at, piece));
        bool is_there = end >= EOF_MARK_SIZE && memcmp(text + end - EOF_MARK_SIZE, data, EOF_MARK_SIZE) == 0;
        ASSERT(found == is_there);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    look_at_lines(data, size);
    look_for_mark(data, size);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "server/script/debug_input.h"

#include <string.h>

#include "server/mem.h"

#define DIGITS_MAX 4
static_assert(DEBUG_INPUT_WORDS < 10000 && DEBUG_INPUT_WORD_MAX < 10000, "numbers have at most DIGITS_MAX digits");

void debug_input_fini(struct debug_input *in)
{
    mem_free(in->p);
    in->p = NULL;
    in->at = in->n = in->cap = 0;
}

bool debug_input_add(struct debug_input *in, struct bytes s)
{
    size_t left = in->n - in->at;
    if (s.n > DEBUG_INPUT_MAX - left) return false;
    if (in->at && left) memmove(in->p, in->p + in->at, left);
    in->at = 0;
    in->n = left;
    if (in->cap < left + s.n) {
        in->cap = 2 * (left + s.n);
        in->p = mem_realloc(in->p, in->cap);
    }
    if (s.n) memcpy(in->p + left, s.p, s.n);
    in->n += s.n;
    return true;
}

/* The line at *at, `mark` and a number from 1 to max: read, or as debug_input_next() says. */
static enum debug_input_result read_number(const struct debug_input *in, size_t *at, char mark, int max, int *number)
{
    size_t i = *at;
    int v = 0;
    if (i == in->n) return DEBUG_INPUT_MORE;
    if (in->p[i++] != mark) return DEBUG_INPUT_BROKEN;
    for (int digits = 0; i < in->n && in->p[i] >= '0' && in->p[i] <= '9'; i++) {
        if (++digits > DIGITS_MAX) return DEBUG_INPUT_BROKEN;
        v = v * 10 + (in->p[i] - '0');
    }
    if (i == in->n) return DEBUG_INPUT_MORE;
    if (in->p[i] != '\r' || v < 1 || v > max) return DEBUG_INPUT_BROKEN;
    if (++i == in->n) return DEBUG_INPUT_MORE;
    if (in->p[i++] != '\n') return DEBUG_INPUT_BROKEN;
    *at = i;
    *number = v;
    return DEBUG_INPUT_COMMAND;
}

static enum debug_input_result read_word(struct debug_input *in, size_t *at)
{
    int n;
    enum debug_input_result r = read_number(in, at, '$', DEBUG_INPUT_WORD_MAX, &n);
    if (r != DEBUG_INPUT_COMMAND) return r;
    size_t end = *at + (size_t)n;
    if (end + 2 > in->n) return DEBUG_INPUT_MORE;
    if (in->p[end] != '\r' || in->p[end + 1] != '\n') return DEBUG_INPUT_BROKEN;
    in->words[in->count++] = bytes_of(in->p + *at, (size_t)n);
    *at = end + 2;
    return DEBUG_INPUT_COMMAND;
}

enum debug_input_result debug_input_next(struct debug_input *in)
{
    int count;
    size_t at = in->at;
    in->count = 0;
    enum debug_input_result r = read_number(in, &at, '*', DEBUG_INPUT_WORDS, &count);
    while (r == DEBUG_INPUT_COMMAND && in->count < count) r = read_word(in, &at);
    if (r == DEBUG_INPUT_COMMAND) in->at = at;
    return r;
}

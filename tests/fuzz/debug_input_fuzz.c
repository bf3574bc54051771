/* SPDX-License-Identifier: MIT
 *
 * What a debugger's client sends: bytes give the same commands and the same end however they are cut, and no more is
 * kept of them than is allowed. The first byte says how they are cut.
 */
#include <stdint.h>
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "server/script/debug_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct digest {
    uint64_t sum, commands;
    bool broken;
};

static void take(struct digest *d, const struct debug_input *in)
{
    ASSERT(in->count > 0 && in->count <= DEBUG_INPUT_WORDS);
    d->commands++;
    for (int i = 0; i < in->count; i++) {
        struct bytes w = in->words[i];
        ASSERT(w.n > 0 && w.n <= DEBUG_INPUT_WORD_MAX);
        for (size_t k = 0; k < w.n; k++) d->sum = d->sum * 31 + (uint8_t)w.p[k] + 1;
        d->sum = d->sum * 31;
    }
}

static struct digest read_in_steps(const uint8_t *data, size_t size, size_t step)
{
    struct debug_input *in = calloc(1, sizeof *in);
    struct digest d = {0};
    for (size_t at = 0; at < size && !d.broken; at += step) {
        size_t n = size - at < step ? size - at : step;
        if (!debug_input_add(in, bytes_of(data + at, n))) break;
        ASSERT(in->n - in->at <= DEBUG_INPUT_MAX);
        enum debug_input_result r;
        while ((r = debug_input_next(in)) == DEBUG_INPUT_COMMAND) take(&d, in);
        d.broken = r == DEBUG_INPUT_BROKEN;
    }
    debug_input_fini(in);
    free(in);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct digest whole = read_in_steps(data + 1, size - 1, size),
                  cut = read_in_steps(data + 1, size - 1, data[0] % 61 + 1u);
    ASSERT(whole.sum == cut.sum && whole.commands == cut.commands && whole.broken == cut.broken);
    return 0;
}

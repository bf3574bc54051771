/* SPDX-License-Identifier: MIT
 *
 * LZF: any input decompresses within bounds or is refused, and what is compressed comes back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/ds/lzf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 20) return 0;
    size_t out_size = size ? 16 + (size_t)data[0] * 64 : 16;
    uint8_t *out = malloc(out_size);
    ASSERT(lzf_decompress(data, size, out, out_size) <= out_size);
    free(out);

    size_t packed_size = size + size / 32 + 8;
    uint8_t *packed = malloc(packed_size), *back = malloc(size + 1);
    size_t n = lzf_compress(data, size, packed, packed_size);
    ASSERT(n > 0 || size < 4);
    if (n) {
        ASSERT(n <= packed_size);
        ASSERT(lzf_decompress(packed, n, back, size) == size);
        ASSERT(memcmp(back, data, size) == 0);
        uint8_t *tight = malloc(n);
        size_t again = lzf_compress(data, size, tight, n); /* may need a byte or two more on the way */
        ASSERT(again == 0 || again == n);
        free(tight);
    }
    free(packed), free(back);
    return 0;
}

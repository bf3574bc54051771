/* SPDX-License-Identifier: MIT
 *
 * Any string as a HyperLogLog, beside one that is right, and the commands over both. Whatever it holds, nothing outside
 * of it is read or written; what counting takes, merging and making it dense take, too, and count the same.
 *
 *     input   two bytes: hll-sparse-max-bytes, a sixteenth of it
 *             one byte: bit 0 the string is whole; otherwise behind a header, bit 1 of the dense form, padded or cut to
 *             its length, and bit 2 with a count out of date
 *             string
 */
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/ds/hll.h"
#include "tests/fuzz/keyspace_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 65536

static void check_module(struct bytes s)
{
    static char dense[HLL_DENSE_BYTES];
    uint8_t max[HLL_REGISTERS] = {0};
    uint64_t count, again;
    if (!hll_is_valid(s)) return;
    bool right = hll_count(s, &count), merged = hll_merge(max, s);
    ASSERT(merged || !right);
    if (hll_is_dense(s)) return;
    ASSERT(hll_to_dense(s, dense) == merged);
    if (!merged) return;
    ASSERT(hll_count(bytes_of(dense, sizeof dense), &again));
    ASSERT(hll_count_of(max) == again && (!right || count == again));
}

static void ask(struct session *s, const char *line)
{
    struct bytes argv[8];
    int argc = 0;
    for (const char *p = line; *p && argc < 8;) {
        const char *end = strchrnul(p, ' ');
        argv[argc++] = bytes_of(p, (size_t)(end - p));
        p = *end ? end + 1 : end;
    }
    keyspace_do(s, argv, argc);
}

/* k holds the string, right what is right. */
static const char *const lines[] = {
    "PFCOUNT k",          "PFADD k",           "PFADD k a b c d e f g", "PFCOUNT k",         "PFCOUNT k right",
    "PFCOUNT k k k",      "PFMERGE right k",   "PFMERGE new k",         "PFMERGE k right",   "PFMERGE k k",
    "PFDEBUG ENCODING k", "PFDEBUG DECODE k",  "PFADD k h i j",         "PFCOUNT k",         "COPY k dense",
    "APPEND dense x",     "PFADD dense a",     "PFCOUNT dense",         "PFDEBUG TODENSE k", "PFDEBUG GETREG k",
    "PFADD k k l m",      "PFMERGE right new", "PFCOUNT right",
};

static struct bytes string_of(uint8_t kind, const uint8_t *data, size_t size)
{
    if (kind & 1) {
        char *p = mem_alloc(size + 1);
        memcpy(p, data, size);
        return bytes_of(p, size);
    }
    size_t n = kind & 2 ? HLL_DENSE_BYTES : HLL_HEADER_BYTES + size, rest = n - HLL_HEADER_BYTES;
    char *p = mem_calloc(n + 2);
    hll_make_empty(p);
    p[4] = kind & 2 ? 0 : 1;
    p[15] = (char)(kind & 4 ? 0x80 : 0);
    memcpy(p + HLL_HEADER_BYTES, data, size < rest ? size : rest);
    return bytes_of(p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > INPUT_MAX) return 0;
    struct keyspace *k = keyspace_new();
    k->f.cfg.hll_sparse_max_bytes = (int64_t)(data[0] | data[1] << 8) * 16;
    struct bytes s = string_of(data[2], data + 3, size - 3);
    check_module(s);
    keyspace_do(&k->s, (struct bytes[]){BYTES("SET"), BYTES("k"), s}, 3);
    ask(&k->s, "PFADD right 1 2 3 4 5 6");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) ask(&k->s, lines[i]);
    keyspace_check_key(&k->s, BYTES("k"));
    mem_free((char *)s.p);
    keyspace_free(k);
    return 0;
}

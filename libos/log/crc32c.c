/* SPDX-License-Identifier: MIT
 *
 * See crc32c.h. The tables are for four bits at a time: 16 words, which always stay in the cache. A machine without the
 * instruction logs at some hundred megabytes a second by them, more than its disk.
 */
#include "libos/log/crc32c.h"

#include <string.h>

static uint32_t by_table(uint32_t c, const uint8_t *p, size_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; n; n--, p++) {
        c ^= *p;
        c = c >> 4 ^ nibble[c & 15];
        c = c >> 4 ^ nibble[c & 15];
    }
    return c;
}

uint32_t crc32c_by_table(uint32_t crc, const void *p, size_t n) { return ~by_table(~crc, p, n); }

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = __builtin_ia32_crc32di(c, word);
    }
    uint32_t rest = (uint32_t)c;
    for (; n; n--, p++) rest = __builtin_ia32_crc32qi(rest, *p);
    return rest;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    if (!__builtin_cpu_supports("sse4.2")) return crc32c_by_table(crc, p, n);
    return ~by_instruction(~crc, p, n);
}

#else

uint32_t crc32c(uint32_t crc, const void *p, size_t n) { return crc32c_by_table(crc, p, n); }

#endif

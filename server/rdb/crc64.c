/* SPDX-License-Identifier: MIT
 *
 * CRC-64 (Jones), eight bytes a step. table[k][b] is what byte b does to the sum when k bytes follow it in the step.
 *
 * A CRC is linear: what a byte does is the exclusive-or of what its bits do. So the source holds the 64 numbers of the
 * single bits, and the compiler makes the 2,048 table entries of them. A bit's number in the reflected form is the bit
 * shifted out 8 (k + 1) times through the polynomial 0x95ac9329ac4bc9b5 (the Jones polynomial read backwards);
 * crc64_test.c computes them so again.
 */
#include "server/rdb/crc64.h"

#include "alloc/base/bytes.h"

#define BITS0(X, b)                                                                                                    \
    X(b, 0x7ad870c830358979, 0xf5b0e190606b12f2, 0xc038e5739841b68f, 0xab28ecb46814fe75, 0x7d08ff3b88be6f81,           \
      0xfa11fe77117cdf02, 0xdf7adabd7a6e2d6f, 0x95ac9329ac4bc9b5)
#define BITS1(X, b)                                                                                                    \
    X(b, 0x89e99ffd73bddf69, 0x388a19a9bfec2db9, 0x711433537fd85b72, 0xe22866a6ffb0b6e4, 0xef09eb1ea7f6fea3,           \
      0xf54af06e177a6e2d, 0xc1ccc68f76634f31, 0xa8c0ab4db4510d09)
#define BITS2(X, b)                                                                                                    \
    X(b, 0xf4125129ce4038be, 0xc37d8400c417e217, 0xada22e52d0b85745, 0x701d7af6f9e73de1, 0xe03af5edf3ce7bc2,           \
      0xeb2ccd88bf0b64ef, 0xfd00bd4226815ab5, 0xd1585cd715952601)
#define BITS3(X, b)                                                                                                    \
    X(b, 0x8ce168638c796306, 0x329bf69440655567, 0x6537ed2880caaace, 0xca6fda510195559c, 0xbf8692f15bbd3853,           \
      0x545403b1efede3cd, 0xa8a80763dfdbc79a, 0x7a092894e7201c5f)
#define BITS4(X, b)                                                                                                    \
    X(b, 0x3504e58b9ba6dd1e, 0x6a09cb17374dba3c, 0xd413962e6e9b7478, 0x837e0a0f85a17b9b, 0x2da5324c53d5645d,           \
      0x5b4a6498a7aac8ba, 0xb694c9314f559174, 0x4670b431c63cb183)
#define BITS5(X, b)                                                                                                    \
    X(b, 0xe39d1389931b9354, 0xec6301407ea0b5c3, 0xf39f24d3a5d6f8ed, 0xcc676ff4133a62b1, 0xb397f9bb7ee35609,           \
      0x4c76d525a5513f79, 0x98edaa4b4aa27ef2, 0x1a8272c5cdd36e8f)
#define BITS6(X, b)                                                                                                    \
    X(b, 0x62a95de6e302eff2, 0xc552bbcdc605dfe4, 0xa1fc51c8d49c2ca3, 0x68a185c2f1afca2d, 0xd1430b85e35f945a,           \
      0x89df31589e28bbdf, 0x38e744e264c6e4d5, 0x71ce89c4c98dc9aa)
#define BITS7(X, b)                                                                                                    \
    X(b, 0x381d0015c96f4444, 0x703a002b92de8888, 0xe074005725bd1110, 0xebb126fd13edb14b, 0xfc3b6ba97f4cf1fd,           \
      0xd32ff101a60e7091, 0x8d06c450148b7249, 0x3154aef3718177f9)

#define ENTRY(b, v0, v1, v2, v3, v4, v5, v6, v7)                                                                       \
    (((b)&1 ? v0 : 0) ^ ((b)&2 ? v1 : 0) ^ ((b)&4 ? v2 : 0) ^ ((b)&8 ? v3 : 0) ^ ((b)&16 ? v4 : 0) ^                   \
     ((b)&32 ? v5 : 0) ^ ((b)&64 ? v6 : 0) ^ ((b)&128 ? v7 : 0))
#define ROW4(BITS, b)  BITS(ENTRY, b), BITS(ENTRY, (b) + 1), BITS(ENTRY, (b) + 2), BITS(ENTRY, (b) + 3)
#define ROW16(BITS, b) ROW4(BITS, b), ROW4(BITS, (b) + 4), ROW4(BITS, (b) + 8), ROW4(BITS, (b) + 12)
#define ROW64(BITS, b) ROW16(BITS, b), ROW16(BITS, (b) + 16), ROW16(BITS, (b) + 32), ROW16(BITS, (b) + 48)
#define ROW(BITS)                                                                                                      \
    {                                                                                                                  \
        ROW64(BITS, 0), ROW64(BITS, 64), ROW64(BITS, 128), ROW64(BITS, 192)                                            \
    }

static const uint64_t table[8][256] = {
    ROW(BITS0), ROW(BITS1), ROW(BITS2), ROW(BITS3), ROW(BITS4), ROW(BITS5), ROW(BITS6), ROW(BITS7),
};

uint64_t crc64(uint64_t crc, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t x = crc ^ load_u64(p);
        crc = table[7][x & 255] ^ table[6][x >> 8 & 255] ^ table[5][x >> 16 & 255] ^ table[4][x >> 24 & 255] ^
              table[3][x >> 32 & 255] ^ table[2][x >> 40 & 255] ^ table[1][x >> 48 & 255] ^ table[0][x >> 56];
    }
    for (; n; n--) crc = table[0][(crc ^ *p++) & 255] ^ crc >> 8;
    return crc;
}

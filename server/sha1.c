/* SPDX-License-Identifier: MIT */
#include "server/sha1.h"

static uint32_t rotl(uint32_t x, int n) { return (x << n) | (x >> (32 - n)); }

/* RFC 3174 6.1: one 64-byte block. */
static void mix_block(uint32_t h[5], const unsigned char *block)
{
    uint32_t w[80];
    for (int t = 0; t < 16; t++) w[t] = load_be32(block + 4 * t);
    for (int t = 16; t < 80; t++) w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f, k;
        if (t < 20) f = (b & c) | (~b & d), k = 0x5a827999;
        else if (t < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (t < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotl(a, 5) + f + e + w[t] + k;
        e = d, d = c, c = rotl(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

void sha1(struct bytes text, unsigned char out[SHA1_SIZE])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const unsigned char *p = (const unsigned char *)text.p;
    size_t left = text.n;
    for (; left >= 64; p += 64, left -= 64) mix_block(h, p);
    unsigned char last[128] = {0};
    if (left) memcpy(last, p, left);
    last[left] = 0x80;
    size_t blocks = left < 56 ? 1 : 2;
    store_be64(last + blocks * 64 - 8, (uint64_t)text.n * 8);
    for (size_t i = 0; i < blocks; i++) mix_block(h, last + 64 * i);
    for (int i = 0; i < 5; i++) store_be32(out + 4 * i, h[i]);
}

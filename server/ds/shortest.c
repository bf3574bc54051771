/* SPDX-License-Identifier: MIT
 *
 * Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers", PLDI 2010, 6).
 *
 * A double v = f * 2^e stands for all reals between the middles to its neighbours, m- and m+. Multiplied by a power of
 * ten that brings the exponent into [-60, -32], the three are 64-bit integers; digits of m+ are made from the front
 * until what is left is within m+ - m-, then the last digit is stepped down towards v:
 *
 *      m-        v        m+
 *     --+--------+--------+---->       every text in between reads back as v; one of the shortest is taken
 *        |<--- delta ---->|            each product is wrong by up to 1/2, so one is taken from both ends
 *
 * Because of that unit the result is not the shortest about once in a thousand doubles of full length (17 digits where
 * 16 would do); it always reads back. An algorithm that never fails (Ryu) was left out on purpose: redis-server 7.2 has
 * this one, scores in listpacks are kept as such text, and DUMP and DEBUG DIGEST show it. So which power is taken, how
 * products are rounded and where it stops follow redis-server's results to the bit.
 */
#include "server/ds/shortest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "alloc/base/assert.h"

#define FRACTION_BITS 52
#define HIDDEN_BIT    (1ull << FRACTION_BITS)
#define EXPONENT_BIAS (1023 + FRACTION_BITS)
#define DIGITS_MAX    20

#define POWER_FIRST (-348)
#define POWER_STEP  8
#define POWER_COUNT 87
#define SCALED_MIN  (-60) /* exponents of the product: the integral part takes 4 to 32 bits */
#define SCALED_MAX  (-32)

struct wide {
    uint64_t f; /* f * 2^e */
    int e;
};

/* 10^k for k = -348, -340 ... 340, as 64 bits with the highest set, rounded to the nearest. Exponents are computed. */
static const uint64_t powers[POWER_COUNT] = {
    0xfa8fd5a0081c0288ull, 0xbaaee17fa23ebf76ull, 0x8b16fb203055ac76ull, 0xcf42894a5dce35eaull, 0x9a6bb0aa55653b2dull,
    0xe61acf033d1a45dfull, 0xab70fe17c79ac6caull, 0xff77b1fcbebcdc4full, 0xbe5691ef416bd60cull, 0x8dd01fad907ffc3cull,
    0xd3515c2831559a83ull, 0x9d71ac8fada6c9b5ull, 0xea9c227723ee8bcbull, 0xaecc49914078536dull, 0x823c12795db6ce57ull,
    0xc21094364dfb5637ull, 0x9096ea6f3848984full, 0xd77485cb25823ac7ull, 0xa086cfcd97bf97f4ull, 0xef340a98172aace5ull,
    0xb23867fb2a35b28eull, 0x84c8d4dfd2c63f3bull, 0xc5dd44271ad3cdbaull, 0x936b9fcebb25c996ull, 0xdbac6c247d62a584ull,
    0xa3ab66580d5fdaf6ull, 0xf3e2f893dec3f126ull, 0xb5b5ada8aaff80b8ull, 0x87625f056c7c4a8bull, 0xc9bcff6034c13053ull,
    0x964e858c91ba2655ull, 0xdff9772470297ebdull, 0xa6dfbd9fb8e5b88full, 0xf8a95fcf88747d94ull, 0xb94470938fa89bcfull,
    0x8a08f0f8bf0f156bull, 0xcdb02555653131b6ull, 0x993fe2c6d07b7facull, 0xe45c10c42a2b3b06ull, 0xaa242499697392d3ull,
    0xfd87b5f28300ca0eull, 0xbce5086492111aebull, 0x8cbccc096f5088ccull, 0xd1b71758e219652cull, 0x9c40000000000000ull,
    0xe8d4a51000000000ull, 0xad78ebc5ac620000ull, 0x813f3978f8940984ull, 0xc097ce7bc90715b3ull, 0x8f7e32ce7bea5c70ull,
    0xd5d238a4abe98068ull, 0x9f4f2726179a2245ull, 0xed63a231d4c4fb27ull, 0xb0de65388cc8ada8ull, 0x83c7088e1aab65dbull,
    0xc45d1df942711d9aull, 0x924d692ca61be758ull, 0xda01ee641a708deaull, 0xa26da3999aef774aull, 0xf209787bb47d6b85ull,
    0xb454e4a179dd1877ull, 0x865b86925b9bc5c2ull, 0xc83553c5c8965d3dull, 0x952ab45cfa97a0b3ull, 0xde469fbd99a05fe3ull,
    0xa59bc234db398c25ull, 0xf6c69a72a3989f5cull, 0xb7dcbf5354e9beceull, 0x88fcf317f22241e2ull, 0xcc20ce9bd35c78a5ull,
    0x98165af37b2153dfull, 0xe2a0b5dc971f303aull, 0xa8d9d1535ce3b396ull, 0xfb9b7cd9a4a7443cull, 0xbb764c4ca7a44410ull,
    0x8bab8eefb6409c1aull, 0xd01fef10a657842cull, 0x9b10a4e5e9913129ull, 0xe7109bfba19c0c9dull, 0xac2820d9623bf429ull,
    0x80444b5e7aa7cf85ull, 0xbf21e44003acdd2dull, 0x8e679c2f5e44ff8full, 0xd433179d9c8cb841ull, 0x9e19db92b4e31ba9ull,
    0xeb96bf6ebadf77d9ull, 0xaf87023b9bf0ee6bull,
};

static const uint64_t tens[] = {
    1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
};

/* Floor of k * log2(10), less the 63 bits behind the highest; right for every k in the table. */
static int power_exponent(int k) { return (k * 217706 >> 16) - 63; }

/* The power that brings an exponent into range. Often two would do: the guess decides, as in redis-server. */
static struct wide power_for(int e, int *k)
{
    int guess = (int)(-(e + POWER_COUNT) * 0.30102999566398114); /* log10(2) */
    int index = (guess - POWER_FIRST) / POWER_STEP;
    for (;;) {
        ASSERT(index >= 0 && index < POWER_COUNT);
        *k = POWER_FIRST + index * POWER_STEP;
        int scaled = e + power_exponent(*k) + 64;
        if (scaled < SCALED_MIN) index++;
        else if (scaled > SCALED_MAX) index--;
        else return (struct wide){powers[index], power_exponent(*k)};
    }
}

static struct wide multiply(struct wide a, struct wide b)
{
    unsigned __int128 product = (unsigned __int128)a.f * b.f + (1ull << 63);
    return (struct wide){(uint64_t)(product >> 64), a.e + b.e + 64};
}

static struct wide normalized(struct wide w)
{
    int shift = __builtin_clzll(w.f);
    return (struct wide){w.f << shift, w.e - shift};
}

/* Steps the last digit down while that comes nearer to v and stays within delta. All in units of the scale; `rest` is
 * how far the digits are below m+, `v` how far v is, `unit` what one step of the last digit is worth. */
static void step_towards(char *last, uint64_t delta, uint64_t rest, uint64_t unit, uint64_t v)
{
    while (rest < v && delta - rest >= unit && (rest + unit < v || v - rest > rest + unit - v)) {
        (*last)--;
        rest += unit;
    }
}

/* The digits; *exponent grows to that of the last one. */
static unsigned make_digits(struct wide v, struct wide high, struct wide low, char *digits, int *exponent)
{
    int shift = -high.e;
    uint64_t below_one = (1ull << shift) - 1;
    uint64_t delta = high.f - low.f, distance = high.f - v.f;
    uint64_t whole = high.f >> shift, part = high.f & below_one;
    unsigned n = 0;
    for (int kappa = 9; kappa >= 0; kappa--) {
        unsigned digit = (unsigned)(whole / tens[kappa]);
        whole %= tens[kappa];
        if (digit || n) digits[n++] = (char)('0' + digit);
        uint64_t rest = (whole << shift) + part;
        if (rest > delta) continue;
        *exponent += kappa;
        step_towards(&digits[n - 1], delta, rest, tens[kappa] << shift, distance);
        return n;
    }
    for (uint64_t scale = 10;; scale *= 10) {
        part *= 10;
        delta *= 10;
        (*exponent)--;
        unsigned digit = (unsigned)(part >> shift);
        if (digit || n) digits[n++] = (char)('0' + digit);
        ASSERT(n < DIGITS_MAX);
        part &= below_one;
        if (part >= delta) continue;
        step_towards(&digits[n - 1], delta, part, 1ull << shift, distance * scale);
        return n;
    }
}

/* v > 0 is digits * 10^*exponent. */
static unsigned shortest_digits(double v, char *digits, int *exponent)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    struct wide w = {bits & (HIDDEN_BIT - 1), (int)(bits >> FRACTION_BITS & 0x7ff)};
    if (w.e) w.f |= HIDDEN_BIT;
    else w.e = 1;
    w.e -= EXPONENT_BIAS;

    struct wide high = normalized((struct wide){2 * w.f + 1, w.e - 1});
    int nearer = w.f == HIDDEN_BIT; /* below a power of two the neighbour is half as far */
    struct wide low = {(w.f << (1 + nearer)) - 1, w.e - 1 - nearer};
    low = (struct wide){low.f << (low.e - high.e), high.e};

    int k;
    struct wide power = power_for(high.e, &k);
    w = multiply(normalized(w), power);
    high = multiply(high, power);
    low = multiply(low, power);
    high.f--;
    low.f++;
    *exponent = -k;
    return make_digits(w, high, low, digits, exponent);
}

static unsigned put(char *buf, const char *p, unsigned n)
{
    memcpy(buf, p, n);
    return n;
}

static unsigned put_zeros(char *buf, unsigned n)
{
    memset(buf, '0', n);
    return n;
}

/* "d.ddde+N": the exponent without leading zeros. */
static unsigned put_scientific(char *buf, const char *digits, unsigned count, int exponent)
{
    unsigned n = put(buf, digits, 1);
    if (count > 1) {
        buf[n++] = '.';
        n += put(buf + n, digits + 1, count - 1);
    }
    buf[n++] = 'e';
    buf[n++] = exponent < 0 ? '-' : '+';
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    if (size > 99) buf[n++] = (char)('0' + size / 100);
    if (size > 9) buf[n++] = (char)('0' + size / 10 % 10);
    buf[n++] = (char)('0' + size % 10);
    return n;
}

/* When a number is written out and when with an exponent is redis-server's: up to seven zeros behind the digits, six
 * digits behind the point whatever stands before it, any number of them from 0.001 to 9999. */
static unsigned put_number(char *buf, const char *digits, unsigned count, int exponent)
{
    int first = exponent + (int)count - 1; /* the power of ten of the first digit */
    if (exponent >= 0 && first < (int)count + 7) {
        unsigned n = put(buf, digits, count);
        return n + put_zeros(buf + n, (unsigned)exponent);
    }
    if (exponent >= 0 || (exponent <= -7 && (first <= -4 || first >= 4)))
        return put_scientific(buf, digits, count, first);
    if (first < 0) {
        unsigned n = put(buf, "0.", 2);
        n += put_zeros(buf + n, (unsigned)(-first - 1));
        return n + put(buf + n, digits, count);
    }
    unsigned n = put(buf, digits, (unsigned)first + 1);
    buf[n++] = '.';
    return n + put(buf + n, digits + first + 1, count - (unsigned)first - 1);
}

unsigned shortest_format(char *buf, double v)
{
    ASSERT(v != 0 && v - v == 0);
    char digits[DIGITS_MAX];
    int exponent;
    unsigned sign = v < 0;
    buf[0] = '-';
    unsigned count = shortest_digits(sign ? -v : v, digits, &exponent);
    return sign + put_number(buf + sign, digits, count, exponent);
}

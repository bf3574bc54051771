/* SPDX-License-Identifier: MIT
 *
 * SipHash against its paper's vector, hash_bytes() against what a table needs of it: that names which somebody chose,
 * knowing this source and not the key, meet no more often than random ones.
 */
#include "alloc/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Appendix A of the paper: key 00..0f, message 00..0e. */
static void test_siphash24_gives_the_papers_vector(void **state)
{
    uint8_t key[16], text[15];
    for (int i = 0; i < 16; i++) key[i] = (uint8_t)i;
    for (int i = 0; i < 15; i++) text[i] = (uint8_t)i;
    assert_true(siphash24(text, 15, key) == 0xa129ca6149be45e5u);
    assert_true(siphash24(NULL, 0, key) == 0x726fdb47dd0e0e31u);
}

static void test_nothing_hashes_without_being_read(void **state)
{
    assert_true(hash_bytes(NULL, 0, 1) == hash_bytes("x", 0, 1));
    assert_true(hash_bytes(NULL, 0, 1) != hash_bytes(NULL, 0, 2));
}

/* The bytes end where the memory does, so that the sanitizer sees a read beyond. */
static void test_every_length_reads_just_its_bytes_and_every_byte_matters(void **state)
{
    for (size_t n = 1; n <= 300; n++) {
        char *text = malloc(n);
        for (size_t i = 0; i < n; i++) text[i] = (char)(i * 37);
        uint64_t h = hash_bytes(text, n, 5);
        assert_true(h == hash_bytes(text, n, 5));
        assert_true(h != hash_bytes(text, n, 6));
        assert_true(h != hash_bytes(text, n - 1, 5));
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 1;
            assert_true(h != hash_bytes(text, n, 5));
            text[i] ^= 1;
        }
        free(text);
    }
}

/* Keys as clients name them: in 2^16 buckets by the low and by the high bits, 65,536 of them leave
 * about 1/e empty. */
static void check_spread(const char *format)
{
    enum { BUCKETS = 1 << 16 };
    static uint8_t low[BUCKETS], high[BUCKETS];
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    for (int i = 0; i < BUCKETS; i++) {
        char key[80];
        int n = snprintf(key, sizeof key, format, i);
        uint64_t h = hash_bytes(key, (size_t)n, 12345);
        low[h % BUCKETS] = 1;
        high[h >> 48] = 1;
    }
    int empty_low = 0, empty_high = 0;
    for (int i = 0; i < BUCKETS; i++) {
        empty_low += !low[i];
        empty_high += !high[i];
    }
    assert_in_range(empty_low, 23500, 24700); /* 24,109 expected, deviation 80 */
    assert_in_range(empty_high, 23500, 24700);
}

static void test_keys_that_differ_little_spread_like_random_ones(void **state)
{
    check_spread("%d");
    check_spread("k%06d");
    check_spread("key:%012d");
    check_spread("user:%d:session:cart");
    check_spread("a rather long prefix that all the keys share, and then: %d");
}

static void test_a_flipped_input_bit_flips_half_of_the_output(void **state)
{
    static const size_t lengths[] = {3, 8, 16, 24, 32, 64, 100};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        char text[100] = {0};
        for (int trial = 0; trial < 8; trial++) {
            memset(text, trial * 31, sizeof text);
            uint64_t h = hash_bytes(text, lengths[l], 9);
            int flips = 0;
            for (size_t bit = 0; bit < lengths[l] * 8; bit++) {
                text[bit / 8] ^= (char)(1 << bit % 8);
                flips += __builtin_popcountll(h ^ hash_bytes(text, lengths[l], 9));
                text[bit / 8] ^= (char)(1 << bit % 8);
            }
            double mean = (double)flips / (double)(lengths[l] * 8);
            assert_true(mean > 29 && mean < 35);
        }
    }
    assert_true(hash_u64(1, 2) != hash_u64(2, 1));
}

/* --- chosen names ------------------------------------------------------------------------------------------------- */

#define KEYS   6    /* keys of the hash that each family is tried with */
#define NAMES  4096 /* of a family */
#define LENGTH 1100 /* of a name, at most */

static void use_key(int number)
{
    uint8_t secret[16] = "a key of a test";
    secret[15] = (uint8_t)number;
    hash_key_set(secret);
}

/* Name number i of a family: writes it, returns its length. Different i must give different names. `variant` is one of
 * VARIANTS. */
typedef size_t family_fn(unsigned variant, unsigned i, char *name);

/* Words somebody would try: what the hash multiplies and adds anywhere, and what makes a sum or product vanish. */
static const uint64_t words[] = {HASH_K0,
                                 HASH_K1,
                                 HASH_K2,
                                 HASH_K3,
                                 ~HASH_K0,
                                 ~HASH_K1,
                                 ~HASH_K2,
                                 ~HASH_K3,
                                 -HASH_K0,
                                 -HASH_K1,
                                 -HASH_K2,
                                 -HASH_K3,
                                 0,
                                 UINT64_MAX,
                                 1,
                                 (uint64_t)1 << 63,
                                 0x0123456789abcdefu,
                                 0x736f6d6570736575u,
                                 0x646f72616e646f6du,
                                 0x6c7967656e657261u,
                                 0x7465646279746573u,
                                 0x9e3779b97f4a7c15u};
#define VARIANTS (sizeof words / sizeof *words)

static size_t known_then_any(unsigned v, unsigned i, char *name)
{
    store_u64(name, words[v]);
    store_u64(name + 8, (uint64_t)i * 0x9e3779b97f4a7c15u);
    return 16;
}

static size_t any_then_known(unsigned v, unsigned i, char *name)
{
    store_u64(name, i);
    store_u64(name + 8, words[v]);
    return 16;
}

/* The word where each 8-byte step of a longer name is. */
static size_t known_among_any(unsigned v, unsigned i, char *name)
{
    size_t n = 24 + 8 * (v % 16), at = 8 * (i % (n / 8 - 1));
    for (size_t k = 0; k < n; k += 8) store_u64(name + k, i / (n / 8 - 1) + 1000000);
    store_u64(name + at, words[v]);
    return n;
}

static size_t doubled(unsigned v, unsigned i, char *name)
{
    for (size_t k = 0; k < 2 + v % 4 * 2; k++) store_u64(name + 8 * k, words[v] + i);
    return 16 + v % 4 * 16;
}

/* Pairs of names: two words, and the same the other way round, in a name of several. */
static size_t swapped(unsigned v, unsigned i, char *name)
{
    uint64_t x = words[v] + i / 2, y = words[(v + 1) % VARIANTS] - i / 2 * 3;
    size_t n = 16 + v % 5 * 16;
    memset(name, 0, n);
    store_u64(name + n - 16, i % 2 ? x : y);
    store_u64(name + n - 8, i % 2 ? y : x);
    return n;
}

/* Numbers in equal steps, of any power of two. */
static size_t steps(unsigned v, unsigned i, char *name)
{
    size_t n = 8 + v % 9 * 8;
    memset(name, 0, n);
    store_u64(name + n - 8, (uint64_t)i << (v * 5 % 53));
    return n;
}

/* One byte all over, in every length. */
static size_t lengths(unsigned v, unsigned i, char *name)
{
    size_t n = i > 0 && i % 1024 == 0 ? 1024 : i % 1024;
    memset(name, (int)(v + i / 1024 * 64), n);
    return n;
}

/* One or two bits set in a name of zeros. */
static size_t sparse(unsigned v, unsigned i, char *name)
{
    size_t n = 16 + v * 8, first = i % (n * 8), gap = i / (n * 8) * 7 % (n * 8);
    memset(name, 0, n);
    name[first / 8] ^= (char)(1 << first % 8);
    if (gap == 0) return n;
    size_t second = (first + gap) % (n * 8);
    name[second / 8] ^= (char)(1 << second % 8);
    return n;
}

/* Texts of a few hundred bytes that differ in a late or an early block. */
static size_t blocks(unsigned v, unsigned i, char *name)
{
    size_t n = 250 + v * 37;
    memset(name, 0, n);
    store_u64(name + (i % 2 ? 0 : n - 8), words[v] ^ (i + 1));
    return n;
}

static size_t as_text(unsigned v, unsigned i, char *name)
{
    static const char *const formats[] = {
        "%u",          "k%07u",          "key:%012u", "user:%u:cart",
        "{tag}:%u:%u", "%u:%u:%u:%u:%u", "%08x",      "%u-a-suffix-that-all-of-them-share"};
    return (size_t)snprintf(name, LENGTH, formats[v % 8], i, i, i, i, i);
}

/* Pairs with the same 16 bits at `shift`, and with all bits the same. */
static void count_pairs(const uint64_t *h, unsigned shift, size_t *meet)
{
    static uint16_t buckets[1 << 16];
    memset(buckets, 0, sizeof buckets);
    for (unsigned i = 0; i < NAMES; i++) *meet += buckets[h[i] >> shift & 0xffff]++;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Of 4,096 names some 128 pairs share 16 bits by chance; the sums over all keys deviate by 28 from 768. */
static void check_family(const char *called, family_fn *family)
{
    static uint64_t h[NAMES];
    static char name[LENGTH];
    for (unsigned v = 0; v < VARIANTS; v++) {
        size_t low = 0, high = 0, middle = 0, equal = 0;
        for (int key = 0; key < KEYS; key++) {
            use_key(key);
            for (unsigned i = 0; i < NAMES; i++) h[i] = hash_bytes(name, family(v, i, name), 0);
            count_pairs(h, 0, &low);
            count_pairs(h, 8, &middle);
            count_pairs(h, 48, &high);
            qsort(h, NAMES, sizeof *h, by_value);
            for (unsigned i = 1; i < NAMES; i++) equal += h[i] == h[i - 1];
        }
        if (getenv("HASH_TEST_SHOW")) printf("%s %u: %zu %zu %zu\n", called, v, low, middle, high);
        assert_int_equal(equal, 0);
        assert_in_range(low, 0, 768 + 7 * 28);
        assert_in_range(middle, 0, 768 + 7 * 28);
        assert_in_range(high, 0, 768 + 7 * 28);
    }
}

static void test_chosen_names_meet_as_seldom_as_random_ones(void **state)
{
    check_family("known then any", known_then_any);
    check_family("any then known", any_then_known);
    check_family("known among any", known_among_any);
    check_family("doubled", doubled);
    check_family("swapped", swapped);
    check_family("steps", steps);
    check_family("lengths", lengths);
    check_family("sparse", sparse);
    check_family("blocks", blocks);
    check_family("text", as_text);
}

/* Two names chosen by the search: whatever two equal words, lengths or blocks do, they may meet with one key and not
 * with the next. All pairs of a set of short names of every length that are made of the words above. */
static void test_no_two_names_meet_under_two_keys(void **state)
{
    enum { SET = 2 * 65 * VARIANTS };
    static uint64_t h[SET];
    static char text[64 + 8];
    for (int key = 0; key < KEYS; key++) {
        use_key(key);
        size_t count = 0;
        for (size_t n = 9; n <= 64; n++) {
            for (unsigned v = 0; v < VARIANTS; v++) {
                for (size_t k = 0; k < n; k += 8) store_u64(text + k, words[v]);
                h[count++] = hash_bytes(text, n, 0);
                store_u64(text + n - 8, words[v] ^ 0x5a5a5a5a5a5a5a5au);
                h[count++] = hash_bytes(text, n, 0);
            }
        }
        qsort(h, count, sizeof *h, by_value);
        for (size_t i = 1; i < count; i++) assert_true(h[i] != h[i - 1]);
    }
}

static void test_the_key_decides(void **state)
{
    static const size_t sizes[] = {0, 1, 5, 8, 16, 17, 32, 33, 256, 257, 1000};
    static const char text[1000];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        use_key(1);
        uint64_t h = hash_bytes(text, sizes[i], 5);
        use_key(2);
        assert_true(h != hash_bytes(text, sizes[i], 5));
        use_key(1);
        assert_true(h == hash_bytes(text, sizes[i], 5));
    }
}

/* --- the same again, slowly --------------------------------------------------------------------------------------- */

typedef unsigned __int128 u128;

static const u128 prime = ((u128)1 << 127) - 1;

static u128 times_mod(u128 a, u128 b)
{
    u128 sum = 0;
    for (a %= prime, b %= prime; b; b >>= 1, a = 2 * a % prime)
        if (b & 1) sum = (sum + a) % prime;
    return sum;
}

static u128 number(const uint64_t w[2]) { return (u128)w[1] << 64 | w[0]; }

static u128 slow_nh(const char *s, size_t n)
{
    u128 sum = 0;
    size_t done = 0;
    for (; done < n; done += 16) {
        const char *at = done + 16 <= n ? s + done : s + n - 16;
        sum += (u128)(load_u64(at) + hash_key.words[done / 8]) * (load_u64(at + 8) + hash_key.words[done / 8 + 1]);
    }
    return sum;
}

static uint64_t slow_hash(const char *s, size_t n)
{
    u128 x = 0;
    if (n <= HASH_BLOCK) {
        x = slow_nh(s, n);
    } else {
        for (size_t at = 0; at < n; at += HASH_BLOCK) {
            const char *p = n - at > HASH_BLOCK ? s + at : s + n - HASH_BLOCK;
            x = (times_mod(x, number(hash_key.point)) + slow_nh(p, HASH_BLOCK) % prime) % prime;
        }
    }
    x += (u128)n * hash_key.length;
    u128 m = (u128)((uint64_t)x ^ hash_key.low) * ((uint64_t)(x >> 64) ^ hash_key.by_length[17]);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static void test_a_long_text_gives_what_the_definition_says(void **state)
{
    static char text[3000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * i >> 3 ^ i * 7);
    for (int key = 0; key < 3; key++) {
        use_key(key);
        for (size_t n = 17; n < sizeof text; n += 1 + n / 60) assert_true(hash_bytes(text, n, 0) == slow_hash(text, n));
        memset(text, 0xff, sizeof text);
    }
}

/* --- two words ---------------------------------------------------------------------------------------------------- */

static void test_a_known_word_does_not_void_the_other(void **state)
{
    for (unsigned v = 0; v < VARIANTS; v++) {
        static uint64_t h[2][NAMES];
        for (uint64_t i = 0; i < NAMES; i++) {
            h[0][i] = hash_pair(words[v], i, 0x1234567890abcdefu);
            h[1][i] = hash_pair(i, words[v], 0x1234567890abcdefu);
        }
        for (int which = 0; which < 2; which++) {
            qsort(h[which], NAMES, sizeof **h, by_value);
            for (unsigned i = 1; i < NAMES; i++) assert_true(h[which][i] != h[which][i - 1]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash24_gives_the_papers_vector),
        cmocka_unit_test(test_nothing_hashes_without_being_read),
        cmocka_unit_test(test_every_length_reads_just_its_bytes_and_every_byte_matters),
        cmocka_unit_test(test_keys_that_differ_little_spread_like_random_ones),
        cmocka_unit_test(test_a_flipped_input_bit_flips_half_of_the_output),
        cmocka_unit_test(test_chosen_names_meet_as_seldom_as_random_ones),
        cmocka_unit_test(test_no_two_names_meet_under_two_keys),
        cmocka_unit_test(test_the_key_decides),
        cmocka_unit_test(test_a_long_text_gives_what_the_definition_says),
        cmocka_unit_test(test_a_known_word_does_not_void_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

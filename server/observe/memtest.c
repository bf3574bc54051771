/* SPDX-License-Identifier: MIT
 *
 * The steps are redis-server's: addresses, then chance, solid and checkerboard patterns, each compared four times,
 * since a cell that forgets does so with time. It does not replace memtest86, which has the machine for itself.
 */
#include "server/observe/memtest.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/base/assert.h"
#include "alloc/base/rng.h"

#define COMPARISONS 4

void memtest_fill_addresses(volatile uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) words[i] = (uintptr_t)&words[i];
}

size_t memtest_check_addresses(const volatile uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (words[i] != (uintptr_t)&words[i]) return i;
    return MEMTEST_FINE;
}

void memtest_fill_random(volatile uint64_t *words, size_t count, uint64_t seed)
{
    ASSERT(count % (2 * MEMTEST_STEP) == 0);
    struct rng rng;
    rng_seed(&rng, seed);
    size_t half = count / 2;
    for (size_t at = 0; at < MEMTEST_STEP; at++)
        for (size_t i = at; i < half; i += MEMTEST_STEP) words[i] = words[half + i] = rng_u64(&rng);
}

void memtest_fill_pattern(volatile uint64_t *words, size_t count, uint64_t even, uint64_t odd)
{
    ASSERT(count % (2 * MEMTEST_STEP) == 0);
    size_t half = count / 2;
    for (size_t at = 0; at < MEMTEST_STEP; at++)
        for (size_t i = at; i < half; i += MEMTEST_STEP) words[i] = words[half + i] = at & 1 ? odd : even;
}

size_t memtest_compare_halves(const volatile uint64_t *words, size_t count)
{
    size_t half = count / 2;
    for (size_t i = 0; i < half; i++)
        if (words[i] != words[half + i]) return i;
    return MEMTEST_FINE;
}

/* --- the test --- */

struct memtest {
    FILE *out;
    volatile uint64_t *words; /* what is read is to come from memory */
    size_t count;
    int pass;
};

static void say(const struct memtest *t, const char *step)
{
    fprintf(t->out, "%s [%d]\n", step, t->pass);
    fflush(t->out);
}

static bool holds(const struct memtest *t, const char *what, size_t wrong, size_t twin)
{
    if (wrong == MEMTEST_FINE) return true;
    fprintf(t->out, "\n*** %s: %p holds %016llx", what, (void *)&t->words[wrong], (unsigned long long)t->words[wrong]);
    if (twin) fprintf(t->out, ", %p %016llx", (void *)&t->words[twin], (unsigned long long)t->words[twin]);
    fputc('\n', t->out);
    return false;
}

static bool halves_stay_equal(const struct memtest *t)
{
    for (int i = 0; i < COMPARISONS; i++) {
        say(t, "Compare");
        size_t wrong = memtest_compare_halves(t->words, t->count);
        if (!holds(t, "MEMORY ERROR DETECTED", wrong, wrong + t->count / 2)) return false;
    }
    return true;
}

static bool pass_once(const struct memtest *t)
{
    say(t, "Addressing test");
    memtest_fill_addresses(t->words, t->count);
    if (!holds(t, "MEMORY ADDRESSING ERROR", memtest_check_addresses(t->words, t->count), 0)) return false;
    say(t, "Random fill");
    memtest_fill_random(t->words, t->count, (uint64_t)t->pass);
    if (!halves_stay_equal(t)) return false;
    say(t, "Solid fill");
    memtest_fill_pattern(t->words, t->count, 0, UINT64_MAX);
    if (!halves_stay_equal(t)) return false;
    say(t, "Checkerboard fill");
    memtest_fill_pattern(t->words, t->count, 0xaaaaaaaaaaaaaaaa, 0x5555555555555555);
    return halves_stay_equal(t);
}

int memtest_run(FILE *out, size_t megabytes, int passes)
{
    ASSERT(megabytes && megabytes <= MEMTEST_MEGABYTES_MAX);
    size_t bytes = megabytes << 20;
    struct memtest t = {.out = out, .count = bytes / sizeof(uint64_t)};
    t.words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ((void *)t.words == MAP_FAILED) {
        fprintf(out, "Unable to allocate %zu megabytes: %s\n", megabytes, strerror(errno));
        return 1;
    }
    bool fine = true;
    for (t.pass = 1; fine && t.pass <= passes; t.pass++) fine = pass_once(&t);
    munmap((void *)t.words, bytes);
    if (fine)
        fputs("\nYour memory passed this test.\nIf you are still in doubt, memtest86 (https://www.memtest86.com/) "
              "tests it "
              "without a system that uses it meanwhile.\n",
              out);
    return fine ? 0 : 1;
}

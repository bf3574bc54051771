/* SPDX-License-Identifier: MIT
 *
 * A sorted table, searched by halves. Of containers that are here the missing subcommands have rows of their own.
 */
#include "server/command/missing.h"

#include <strings.h>

#include "alloc/base/assert.h"

static const char *const names[] = {
    NULL, /* there may be none */
};

#define COUNT ((int)(sizeof names / sizeof *names) - 1)
static_assert(sizeof names / sizeof *names <= MISSING_MAX, "a bit for each");

#define NAME_MAX_BYTES 32 /* more than the longest */

static int index_of(const char *name)
{
    int from = 0, to = COUNT;
    while (from < to) {
        int middle = (from + to) / 2, order = strcasecmp(name, names[middle]);
        if (order == 0) return middle;
        if (order < 0) to = middle;
        else from = middle + 1;
    }
    return -1;
}

/* out: NAME_MAX_BYTES, of which n are taken. Gives how many are then, or 0 if they do not fit or no name has them. */
static size_t append(char *out, size_t n, struct bytes word)
{
    if (word.n >= NAME_MAX_BYTES - n || memchr(word.p, 0, word.n)) return 0;
    memcpy(out + n, word.p, word.n);
    out[n + word.n] = 0;
    return n + word.n;
}

int missing_find(const struct bytes *argv, int argc)
{
    char name[NAME_MAX_BYTES];
    ASSERT(argc > 0);
    if (!argv[0].n) return -1;
    size_t n = append(name, 0, argv[0]);
    if (!n) return -1;
    if (memchr(argv[0].p, '|', argv[0].n)) return -1;
    int index = index_of(name);
    if (index >= 0 || argc == 1 || !(n = append(name, n, BYTES("|")))) return index;
    return append(name, n, argv[1]) ? index_of(name) : -1;
}

const char *missing_name(int index)
{
    ASSERT(index >= 0);
    return index < COUNT ? names[index] : NULL;
}

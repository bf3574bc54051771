/* SPDX-License-Identifier: MIT */
#include "server/command/getkeys.h"

#include "alloc/base/assert.h"
#include "server/command/command.h"

int getkeys_set(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max)
{
    ASSERT(max >= 1);
    if (argc < 2) return -1;
    out[0] = 1;
    flags[0] = KEY_OW | KEY_UPDATE;
    for (int i = 3; i < argc; i++)
        if (bytes_is_word(argv[i], "get")) flags[0] = KEY_RW | KEY_ACCESS | KEY_UPDATE;
    return 1;
}

/* How many arguments belong to a step of BITFIELD that only reads, and is whole; 0: it is none. */
static int bitfield_step_arguments(struct bytes word, int left)
{
    if (bytes_is_word(word, "get")) return left >= 2 ? 2 : 0;
    if (bytes_is_word(word, "overflow")) return left >= 1 ? 1 : 0;
    return 0;
}

int getkeys_bitfield(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max)
{
    ASSERT(max >= 1);
    if (argc < 2) return -1;
    out[0] = 1;
    flags[0] = KEY_RO | KEY_ACCESS;
    for (int i = 2; i < argc; i++) {
        int step = bitfield_step_arguments(argv[i], argc - i - 1);
        /* It writes, or is no step at all: then nothing is promised. */
        if (step == 0) flags[0] = KEY_RW | KEY_ACCESS | KEY_UPDATE;
        i += step;
    }
    return 1;
}

/* How many arguments belong to an option of SORT. */
static int sort_option_arguments(struct bytes word)
{
    if (bytes_is_word(word, "limit")) return 2;
    if (bytes_is_word(word, "get") || bytes_is_word(word, "by")) return 1;
    return 0;
}

int getkeys_sort(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max)
{
    ASSERT(max >= 2);
    if (argc < 2) return -1;
    out[0] = 1;
    flags[0] = KEY_RO | KEY_ACCESS;
    int count = 1;
    for (int i = 2; i < argc; i++) {
        /* As SORT itself reads it, except that the key behind STORE is looked at again: "STORE
         * store x" names x. */
        if (bytes_is_word(argv[i], "store") && i + 1 < argc) {
            out[1] = i + 1;
            flags[1] = KEY_OW | KEY_UPDATE;
            count = 2;
        }
        i += sort_option_arguments(argv[i]);
    }
    return count;
}

int getkeys_sort_ro(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max)
{
    (void)argv;
    ASSERT(max >= 1);
    if (argc < 2) return -1;
    out[0] = 1;
    flags[0] = KEY_RO | KEY_ACCESS;
    return 1;
}

int getkeys_pfmerge(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max)
{
    (void)argv;
    ASSERT(max >= 1);
    if (argc < 2) return -1;
    for (int i = 1; i < argc && i <= max; i++) {
        out[i - 1] = i;
        flags[i - 1] = i == 1 ? KEY_RW | KEY_ACCESS | KEY_INSERT : KEY_RO | KEY_ACCESS;
    }
    return argc - 1;
}

/* How many arguments belong to an option of MIGRATE. */
static int migrate_option_arguments(struct bytes word)
{
    if (bytes_is_word(word, "auth2")) return 2;
    return bytes_is_word(word, "auth") ? 1 : 0;
}

/* The key, or those behind KEYS; none where both are said, which MIGRATE refuses. KEYS as the last word is none to the
 * key specs, which search from the last but one backwards, and so it is none here. */
int getkeys_migrate(const struct bytes *argv, int argc, int *out, uint16_t *flags, int max)
{
    int first = 3, count = 1;
    ASSERT(max >= 1);
    if (argc < 6) return -1;
    for (int i = 6; i < argc; i++) {
        if (bytes_is_word(argv[i], "keys") && i + 1 < argc) {
            first = i + 1;
            count = argv[3].n ? 0 : argc - first;
            break;
        }
        i += migrate_option_arguments(argv[i]);
    }
    for (int i = 0; i < count && i < max; i++) {
        out[i] = first + i;
        flags[i] = KEY_RW | KEY_ACCESS | KEY_DELETE;
    }
    return count;
}

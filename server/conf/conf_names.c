/* SPDX-License-Identifier: MIT
 *
 * Options by name: a table of hashed places, each with the number of a name, twice the option's and one more for its
 * alias. It is filled once, from conf_options[], and never changes again.
 */
#include <pthread.h>

#include "alloc/base/assert.h"
#include "server/conf/option.h"

enum { PLACE_BITS = 11, PLACES = 1 << PLACE_BITS, NAME_SIZE_MAX = 64 };

static uint16_t places[PLACES]; /* 0: free; otherwise the name's number and 1 */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Letters in any case. */
static unsigned name_place(struct bytes name)
{
    uint32_t h = (uint32_t)name.n;
    for (size_t i = 0; i < name.n; i++) h = (h ^ ((unsigned char)name.p[i] | 0x20)) * UINT32_C(0x01000193);
    return h * UINT32_C(0x9e3779b1) >> (32 - PLACE_BITS);
}

static const char *name_at(unsigned number)
{
    const struct conf_option *o = &conf_options[number / 2];
    return number % 2 ? o->alias : o->name;
}

static void fill(void)
{
    ASSERT(conf_option_count * 4 <= PLACES); /* half of it stays free */
    for (unsigned number = 0; number < conf_option_count * 2; number++) {
        if (!name_at(number)) continue;
        struct bytes name = bytes_of_str(name_at(number));
        ASSERT(name.n <= NAME_SIZE_MAX);
        unsigned at = name_place(name);
        while (places[at]) at = (at + 1) % PLACES;
        places[at] = (uint16_t)(number + 1);
    }
}

const struct conf_option *conf_option_find(struct bytes name)
{
    pthread_once(&once, fill);
    if (name.n > NAME_SIZE_MAX) return NULL;
    for (unsigned at = name_place(name); places[at]; at = (at + 1) % PLACES)
        if (bytes_is_word(name, name_at(places[at] - 1u))) return &conf_options[(places[at] - 1u) / 2];
    return NULL;
}

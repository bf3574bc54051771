/* SPDX-License-Identifier: MIT
 *
 * One element of a set, a hash or a sorted set, and who is told of each before it changes: a snapshot that goes through
 * a large collection while commands go on (server/db/elements.h). A collection that nobody watches pays a test of one
 * pointer for each element that changes.
 */
#ifndef SERVER_DS_ELEMENT_H
#define SERVER_DS_ELEMENT_H

#include <stdint.h>

#include "alloc/base/bytes.h"

struct element {
    struct bytes member; /* a hash's field */
    struct bytes value;  /* a hash's; else empty */
    double score;        /* a sorted set's; else 0 */
};

struct element_watch {
    /* An element is about to change from `old` (NULL: it is not there) to `now` (NULL: it goes); hash is that of its
     * member in the collection's table. Both are valid during the call, which must not change the collection. */
    void (*before)(struct element_watch *w, uint64_t hash, const struct element *old, const struct element *now);
};

#endif

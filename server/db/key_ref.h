/* SPDX-License-Identifier: MIT
 *
 * A key as a request names it, with what every later step wants to know of it: found and hashed once, when the request
 * is parsed (server/exec/request.h), and handed down from there to whatever looks a key up, holds its slice, or asks
 * who may touch it.
 *
 * The hash is the keyspace's (db_hash); all databases of a server share its seed, so that a reference is good for any
 * of them. The slot is computed only where there are several slices to choose from, and is 0 otherwise. The name is a
 * view: a reference is good as long as the bytes it points to.
 */
#ifndef SERVER_DB_KEY_REF_H
#define SERVER_DB_KEY_REF_H

#include <stdint.h>

#include "alloc/base/bytes.h"

struct key_ref {
    struct bytes name;
    uint64_t hash;
    uint16_t slot;  /* 0 ... 16383 (server/db/slot.h) */
    uint16_t flags; /* enum key_flag of the specification that found it; 0: no request named it */
    int32_t arg;    /* its index in argv; 0: no request named it */
};

#endif

/* SPDX-License-Identifier: MIT
 *
 * The categories of commands by their names.
 */
#ifndef SERVER_COMMAND_CATEGORY_H
#define SERVER_COMMAND_CATEGORY_H

#include "server/command/command.h"

struct category {
    uint32_t bit;     /* enum acl_cat */
    const char *name; /* "@keyspace" */
};

#define CATEGORY_COUNT 21
extern const struct category categories[CATEGORY_COUNT]; /* in the order of ACL CAT */

/* By its name without '@', in any case; 0: no such category. */
uint32_t command_category(struct bytes name);

#endif

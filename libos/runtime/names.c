/* SPDX-License-Identifier: MIT
 *
 * The one table of names and aliases.
 */
#include "libos/runtime/names.h"

#include <stddef.h>
#include <strings.h>

static const struct {
    const char *name, *alias;
} names[] = {
    {"posix", "catnap"}, {"uring", "catcollar"}, {"packet", "catpowder"}, {"xdp", "catpowder-xdp"},
    {"dpdk", "catnip"},  {"rdma", "catmint"},    {"shm", "catmem"},       {"shm", "catloop"},
    {"disk", "cattree"}, {"sim", "sim"},         {"loop", "loop"},        {"rdma-loop", "rdma-loop"},
};

const char *libos_canonical_name(const char *name)
{
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcasecmp(name, names[i].name) || !strcasecmp(name, names[i].alias)) return names[i].name;
    return NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * The configuration file of a libOS (libos/runtime/config.c): any bytes parse or are refused with the line, and what
 * was parsed can be walked and read as every type.
 */
#include "libos/runtime/config.h"

#include "alloc/base/assert.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No input makes more entries, or longer ones, than it has bytes. */
static void walk(const struct demi_config *conf, const char *prefix, size_t size)
{
    const char *value, *rest;
    size_t at = 0, entries = 0;
    while ((value = config_next(conf, prefix, &at, &rest))) {
        entries++;
        ASSERT(strlen(value) <= size);
        ASSERT(strlen(rest) <= size);
        ASSERT(entries <= size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct demi_config *conf = NULL;
    unsigned line = 0;
    if (config_parse((const char *)data, size, &conf, &line) != 0) {
        ASSERT(conf == NULL);
        return 0;
    }
    walk(conf, "a", size);
    walk(conf, "inetstack_config.arp_table", size);
    (void)config_get(conf, "demikernel.local_ipv4_addr");
    (void)config_int(conf, "inetstack_config.mtu", 1500);
    (void)config_bool(conf, "tcp_socket_options.nodelay", true);
    config_free(conf);
    return 0;
}

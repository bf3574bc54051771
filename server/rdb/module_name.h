/* SPDX-License-Identifier: MIT
 *
 * Data of modules name their module by a number: 9 characters of 6 bits each, and 10 bits for the version of what
 * follows.
 */
#ifndef SERVER_RDB_MODULE_NAME_H
#define SERVER_RDB_MODULE_NAME_H

#include <stdint.h>

#define MODULE_NAME_SIZE 10 /* with the NUL */

static inline const char *module_name(char out[MODULE_NAME_SIZE], uint64_t id)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0; i < MODULE_NAME_SIZE - 1; i++) out[i] = letters[id >> (58 - 6 * i) & 63];
    out[MODULE_NAME_SIZE - 1] = 0;
    return out;
}

#endif

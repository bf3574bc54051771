/* SPDX-License-Identifier: MIT
 *
 * Names of commands that redis-server 7.2.4 knows and this server does not: who sends one may be told more than that
 * the name is unknown. A row leaves the table with the landing of its command; missing_test.c holds that.
 */
#ifndef SERVER_COMMAND_MISSING_H
#define SERVER_COMMAND_MISSING_H

#include "alloc/base/bytes.h"

#define MISSING_MAX 64 /* a bit for each fits into a uint64_t */

/* The index of the name that this request begins with, one of a container's subcommands included ("client|tracking");
 * -1: nothing that Redis knows. What argv holds may be anything. */
int missing_find(const struct bytes *argv, int argc);
/* As it stands in the table; NULL behind the last. */
const char *missing_name(int index);

#endif

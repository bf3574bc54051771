/* SPDX-License-Identifier: MIT
 *
 * demikv-check-rdb: is a file one that the loader takes? The options, the lines and the exit status of redis-check-rdb.
 */
#ifndef SERVER_PERSIST_CHECK_RDB_H
#define SERVER_PERSIST_CHECK_RDB_H

#include <stdbool.h>
#include <stdint.h>

struct check_file;

/* The program; its exit status. */
int check_rdb_main(int argc, char **argv);

/* Reads one from the beginning of f, and says how it is; *end is the first byte behind it. True: it is whole. */
bool check_rdb_file(struct check_file *f, const char *path, uint64_t *end);

#endif

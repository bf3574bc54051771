/* SPDX-License-Identifier: MIT
 *
 * demikv-check-aof: are these files ones that the server loads, and where does what is whole end? The options, the
 * lines and the exit status of redis-check-aof.
 */
#ifndef SERVER_PERSIST_CHECK_AOF_H
#define SERVER_PERSIST_CHECK_AOF_H

/* The program; its exit status. */
int check_aof_main(int argc, char **argv);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The server's parts put together and taken apart, in their order. main.c does it for a process; the simulator
 * (tests/sim/) does it for a host of its own, with a seed of its own and without threads.
 *
 *     command_table_init(), conf_init(), conf_load()     the configuration, the caller's
 *     server_init()  server_start()  worker_run()  server_stop()
 */
#ifndef SERVER_START_H
#define SERVER_START_H

#include "server/server.h"
#include "server/worker.h"

struct server_options {
    /* Random. What keeps hashes secret is the process's key: hash_key_set() comes before the first server_start()
     * where others can reach the server. */
    uint64_t hash_seed, dice_seed;
    bool in_a_process; /* signals are handled, a thread frees what is large */
    bool libos_runs;   /* the thread has its runtime: none is started */
};

/* srv of zeros becomes a server that has not been started; cfg must outlive it. */
void server_init(struct server *srv, struct config *cfg);
/* libOS, keyspace, worker, listeners. 0 or -errno; why is in the log, and the process should end. */
int server_start(struct server *srv, const struct server_options *o);
/* Closes every connection and gives all memory back, the libOS's too; cfg is the caller's again. */
void server_stop(struct server *srv);

#endif

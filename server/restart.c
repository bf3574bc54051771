/* SPDX-License-Identifier: MIT
 *
 * Descriptors that execve() would leave open are closed, those of standard input and output excepted. The other threads
 * end with it.
 */
#include "server/restart.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/affinity.h"
#include "server/conf/text.h"
#include "server/mem.h"
#include "server/server.h"

void restart_remember(struct server *srv, int argc, char **argv)
{
    char **copy = calloc((size_t)argc + 1, sizeof *copy);
    if (!copy) mem_exhausted(sizeof *copy);
    for (int i = 0; i < argc; i++) copy[i] = conf_text_copy(bytes_of_str(argv[i]));
    srv->exec_argv = copy;
    srv->exec_argv0 = copy[0];
}

void restart_execute(struct server *srv, int64_t delay_ms)
{
    struct timespec delay = {.tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * 1000000};
    close_range(STDERR_FILENO + 1, ~0u, 0);
    affinity_unpin_loop(srv);
    unsetenv("UPSTART_JOB"); /* it was told that we are ready, and wakes nobody a second time */
    nanosleep(&delay, NULL);
    execv(srv->executable, srv->exec_argv);
}

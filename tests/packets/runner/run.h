/* SPDX-License-Identifier: MIT
 *
 * One script being run: the host, the flows, the call that blocks, what went wrong first.
 */
#ifndef PACKETS_RUN_H
#define PACKETS_RUN_H

#include "tests/packets/runner/flow.h"
#include "tests/packets/runner/host.h"
#include "tests/packets/runner/script.h"

#include <stdio.h>

struct run_fd { /* a descriptor by the script's name */
    bool open;
    int live;
    uint64_t read_at, written; /* of the stream */
};

struct run {
    const struct script *script;
    struct host *host;
    struct flows flows;
    bool v6, mapped, verbose;
    nsec tolerance;
    nsec last;                   /* when the previous event was */
    const struct event *pending; /* a call that blocks */
    nsec pending_since, pending_end;
    struct run_fd fds[HOST_FDS];
    FILE *log;
    bool failed;
};

enum run_also { /* once more, */
                RUN_WRAP =
                    1, /* with initial sequence numbers such that those of both ends wrap around 2^32 a little later */
                RUN_OFFLOAD = 2, /* on a device that sums and cuts segments itself */
};

/* Runs a script that was parsed; what goes wrong is written to log. true: as it should be. also: enum run_also. */
bool run_script(const struct script *s, bool verbose, unsigned also, FILE *log);

/* run.c: */
void run_fail(struct run *r, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* options.c: the --lines; false: run_fail() has told. */
bool run_options(struct run *r, struct host_config *c, uint32_t *remote_isn);

/* call.c: false: it would block (and a script wants to wait), nothing is judged yet. */
bool run_call(struct run *r, const struct event *e);

/* check.c */
void run_claims(struct run *r, const struct event *e);

#endif

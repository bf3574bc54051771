/* SPDX-License-Identifier: MIT
 *
 * One attempt to reach the primary: a task that connects, shakes hands and takes the snapshot in, if one comes. It ends
 * in a client (upstream_take_up()) or in nothing. Whoever calls the attempt off does not wait for it: it belongs to
 * nobody then, finds its queue closed, and goes.
 *
 *     connect -> PING ... PSYNC -> +CONTINUE -------------------------------------------------> client
 *                               -> +FULLRESYNC -> $n, $EOF: -> a file ---------> loaded ------> client
 *                                                          '-> (a file and) loaded as it comes -'
 *
 * What is loaded as it comes is loaded by a second task, so that bytes come in, and go to the disk, while keys are made
 * of those before. Whichever task ends last brings the attempt to its end.
 *
 * What the primary says is outside input: a line has at most LINK_LINE_MAX bytes, nothing takes memory because it was
 * announced, and the old data stay until all of the new are there (but with `repl-diskless-load on-empty-db`, where
 * there are none).
 */
#ifndef SERVER_REPL_DIAL_H
#define SERVER_REPL_DIAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "demi/types.h"
#include "server/migrate/link.h"
#include "server/rdb/libraries.h"
#include "server/repl/handshake.h"

struct db;
struct load;
struct read_ahead;
struct upstream;
struct worker;

struct dial { /* srv->upstream->dial, while it is that one's */
    struct worker *w;
    struct upstream *u; /* NULL: it was called off */
    struct dial *next;
    bool stop;
    int why; /* -errno: it was called off for this */
    struct peer_link link;
    char *host;
    int port;
    demi_qtoken_t task;
    bool task_ended;   /* it goes on in the task that loads */
    uint64_t heard_ns; /* when bytes came last, or something else went on */
    uint64_t said_ns;  /* when a newline was sent last while it loads */

    /* The answer to PSYNC. */
    bool by_psync; /* else SYNC: nobody knows of which history the data are */
    char id[HISTORY_ID_SIZE];
    int64_t offset;

    /* The payload. */
    enum payload_form form;
    int64_t left; /* PAYLOAD_COUNTED */
    struct eof_mark mark;
    bool from_socket; /* no file is kept of it */
    bool as_it_comes; /* it is loaded by a task of its own meanwhile */
    bool swaps;       /* into databases of its own, which take the place of the old ones */
    bool feeding;     /* this task goes on, whatever becomes of that one */
    bool listening;   /* for more of the payload */
    bool has_last;    /* all of it has come */
    bool load_ended;  /* while this one went on; load_err: how */
    int load_err, feed_err;
    uint64_t fed, rdb_bytes; /* of the payload, the mark included; what of that was loaded */
    struct read_ahead *ahead;
    char file[PATH_MAX]; /* "": there is none */
    char folder[PATH_MAX];
    struct load *load;     /* NULL: nothing is being loaded */
    struct load *settling; /* it is over, and what it has loaded is put in force in its task */
    struct db *dbs;        /* swaps */
    struct libraries libraries;
    int64_t stream_db;
};

/* The task begins. NULL: it could not, the log says why. */
struct dial *dial_begin(struct worker *w, struct upstream *u);
/* It is nobody's any more, and will end. */
void dial_call_off(struct dial *a, int why);
/* Waits for all that were called off. */
void dials_wait(struct worker *w);
/* Some times a second: too long silent, and a newline for a primary that waits while we load. */
void dial_cron(struct dial *a);

/* --- between dial.c and arrival.c --- */

/* How long something that has a bound of its own may take: dial_cron() sees to that. */
#define DIAL_PATIENCE_MS (INT64_C(1) << 38)

/* The next bytes of the primary. 0 or -errno. */
int dial_read(struct dial *a, size_t max, struct bytes *out);
int dial_read_line(struct dial *a, char line[LINK_LINE_MAX]);
void dial_heard(struct dial *a, int64_t bytes_of_payload);
/* The end of it, with -errno: the link is closed, a is gone. 0: it has become a client. */
void dial_ended(struct dial *a, int err);

/* A snapshot comes. 0: a has gone on to a task that loads it, or has ended. */
int arrival_receive(struct dial *a);

#endif

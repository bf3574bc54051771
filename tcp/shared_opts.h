/* SPDX-License-Identifier: MIT
 *
 * Options of connections, one copy for all that have the same: a server that asks for keep-alives on every connection
 * pays for them once.
 */
#ifndef TCP_SHARED_OPTS_H
#define TCP_SHARED_OPTS_H

#include "tcp/tcp.h"

/* so many different sets find those who want the same; one more only costs its memory again */
#define OPTS_SHARED_MAX 16u

struct opts_share { /* private, of a stack; zero at first. Holds no reference: a set goes with the last who has it. */
    struct shared_opts *recent[OPTS_SHARED_MAX];
};

/* A set equal to o, with a reference for the caller; it never changes. The string cc must outlive it. NULL: out of
 * memory. */
const struct conn_opts *opts_ref(struct opts_share *t, const struct conn_opts *o);
/* o NULL: nothing to do. */
void opts_unref(struct opts_share *t, const struct conn_opts *o);
bool opts_equal(const struct conn_opts *a, const struct conn_opts *b);

#endif

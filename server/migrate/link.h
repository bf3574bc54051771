/* SPDX-License-Identifier: MIT
 *
 * A connection of ours to another server. Each call waits for what it is about, for at most timeout_ms: inside a task
 * (demi_spawn()) the task alone. 0 or -errno, -ETIMEDOUT among them; after any error the link is closed.
 */
#ifndef SERVER_MIGRATE_LINK_H
#define SERVER_MIGRATE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "demi/sga.h"

enum { LINK_LINE_MAX = 1024 };

struct server;

struct peer_link {     /* private */
    int qd;            /* -1: closed */
    demi_sgarray_t in; /* what came, of which taken bytes were read */
    size_t taken;
};

void link_init(struct peer_link *l);
bool link_is_open(const struct peer_link *l);
/* host may be a name; *stop: give up. */
int link_connect(struct peer_link *l, struct server *srv, const char *host, uint16_t port, int64_t timeout_ms,
                 const bool *stop);
/* The bytes lie in memory of mem_alloc(). timeout_ms is for each piece of them. */
int link_send(struct peer_link *l, const char *bytes, size_t n, int64_t timeout_ms);
/* A line without its end; -EPROTO when it has size bytes or more. line ends with NUL. timeout_ms is for the whole of
 * it, in however many pieces it comes. */
int link_read_line(struct peer_link *l, char *line, size_t size, int64_t timeout_ms);
/* What comes next, at most `max` bytes and at least one; they stay valid until the next call. */
int link_read(struct peer_link *l, size_t max, int64_t timeout_ms, struct bytes *out);
void link_close(struct peer_link *l);
/* By another than who waits for it: what he waits for fails, and so does all that he tries from then on. What he has
 * read stays valid. */
void link_stop(struct peer_link *l);
/* The connection becomes the caller's: its queue, and what has come and was not read, of which *taken bytes were. */
int link_give(struct peer_link *l, demi_sgarray_t *in, size_t *taken);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Links to servers that keys went to, kept for a while after their use, by the host and port they were asked for with.
 */
#ifndef SERVER_MIGRATE_PEERS_H
#define SERVER_MIGRATE_PEERS_H

#include "alloc/base/bytes.h"
#include "alloc/base/list.h"
#include "server/migrate/link.h"

enum { PEERS_MAX = 64, PEERS_IDLE_MS = 10000 };

struct peer_entry {
    struct list all;
    struct peer_link link;
    int64_t db;      /* that is selected there; -1: nobody knows */
    int64_t used_ms; /* when it was last given back */
    bool busy;
    size_t name_size;
    char name[]; /* host, NUL, port */
};

struct peers {
    struct list all;
    size_t count;
};

void peers_init(struct peers *p);
/* One that nobody else uses, open if it was kept. Where there are PEERS_MAX, the one that was idle for longest goes. */
struct peer_entry *peers_take(struct peers *p, struct bytes host, struct bytes port);
/* Kept, if it is open. */
void peers_give(struct peers *p, struct peer_entry *e, int64_t now_ms);
/* Those idle for longer than PEERS_IDLE_MS are closed. */
void peers_close_idle(struct peers *p, int64_t now_ms);
/* All links are closed; those that are busy stay their users'. */
void peers_close_all(struct peers *p);

#endif

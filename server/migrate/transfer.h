/* SPDX-License-Identifier: MIT
 *
 * What one MIGRATE sends and is answered: an AUTH, a SELECT, a RESTORE for each key, all at once; then a line for each.
 */
#ifndef SERVER_MIGRATE_TRANSFER_H
#define SERVER_MIGRATE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/db/entry.h"
#include "server/db/key_ref.h"
#include "server/migrate/migrate.h"
#include "server/migrate/peers.h"

enum { TRANSFER_ERROR_SIZE = LINK_LINE_MAX + 64 };

struct config;

struct transfer_key {
    struct key_ref ref; /* the name is the transfer's */
    size_t at, size;    /* of its payload in what is sent */
    int64_t expires_ms; /* -1: never */
    bool sent, arrived;
};

struct wire {
    char *p;
    size_t n, cap;
};

struct transfer { /* private, but for what migrate.c reads */
    struct transfer_key *keys;
    size_t count, sent_count; /* of which were there */
    bool copy, replace;
    char error[TRANSFER_ERROR_SIZE]; /* with its '-'; "": none */
    char *texts;                     /* host, port, user, password, the names of the keys */
    struct bytes host, port, user, password;
    bool has_user, has_password;
    int64_t db, timeout_ms, now_ms;
    struct wire payload;
    const bool *stop;
};

void transfer_init(struct transfer *t, struct call *c, const struct migrate_order *o, const bool *stop);
void transfer_fini(struct transfer *t);
/* now_ms: what is left of a key's time is counted from there. */
void transfer_begin(struct transfer *t, int64_t now_ms);
/* The i-th key holds e. */
void transfer_add(struct transfer *t, size_t i, const struct entry *e, const struct config *cfg);
/* Sends and is answered; waits. Says which keys arrived, and what went wrong. */
void transfer_run(struct transfer *t, struct peers *peers, const struct worker *w);
/* Unless there is an error already. */
void transfer_fail(struct transfer *t, const char *error);
/* Whether e is what was sent. */
bool transfer_is_of(const struct transfer *t, const struct transfer_key *k, const struct entry *e,
                    const struct config *cfg);
bool transfer_has(const struct transfer *t, const struct key_ref *key);

#endif

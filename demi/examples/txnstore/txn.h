/* SPDX-License-Identifier: MIT
 *
 * A client of TxnStore: transactions over a few keys. One at a time; the calls wait, on a coroutine that one only.
 * All return 0 or an errno.
 *
 *     txn_begin(t);
 *     txn_get(t, "a", 1, value, &size);
 *     txn_put(t, "b", 1, value, size);
 *     switch (txn_commit(t)) {
 *     case 0:            committed: durable on a majority, and nobody has seen half of it
 *     case ECANCELED:    something that was read is not the newest any more: begin again
 *     case ETIMEDOUT:    not known: nobody answered for patience_ns. It has happened, will, or never does
 *     case ENOSPC: ...   the store is full; nothing was written
 *     }
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_TXN_H
#define DEMI_EXAMPLES_TXNSTORE_TXN_H

#include "demi/examples/txnstore/wire.h"

#include <demi/types.h>
#include <netinet/in.h>

struct txn_client_options {
    struct sockaddr_in replicas[TXN_REPLICAS];
    uint64_t seed;        /* another one for each client that ever runs */
    uint64_t retry_ns;    /* then another replica is asked */
    uint64_t patience_ns; /* then a call gives up */
};

struct txn_client_op { /* an operation of the transaction, with room for its bytes */
    struct txn_op op;
    uint16_t read_size;
    uint8_t key[TXN_KEY_MAX], value[TXN_VALUE_MAX], read[TXN_VALUE_MAX];
};

struct txn_client {
    struct txn_client_options o;
    int qd;
    demi_qtoken_t pop;
    uint64_t random;
    unsigned leader;                /* as far as is known */
    uint64_t slot, session, number; /* session 0: none */
    unsigned count;
    bool is_open;
    struct txn_client_op ops[TXN_OPS_MAX];
    uint64_t index; /* of the last transaction that committed */
};

int txn_open(struct txn_client *t, const struct txn_client_options *o);
void txn_close(struct txn_client *t);

/* ETIMEDOUT: no leader answers. */
int txn_begin(struct txn_client *t);
/* value has room for TXN_VALUE_MAX. ENOENT: there is no such key, which is read, too. EINVAL: no transaction, or a key
 * that is none. E2BIG: more than TXN_OPS_MAX keys. ETIMEDOUT: nobody answers. */
int txn_get(struct txn_client *t, const void *key, size_t key_size, void *value, size_t *value_size);
int txn_put(struct txn_client *t, const void *key, size_t key_size, const void *value, size_t value_size);
int txn_commit(struct txn_client *t);
void txn_abort(struct txn_client *t);

/* What a replica says of itself: the words of TXN_STATUS_IS. */
int txn_status(struct txn_client *t, unsigned replica, uint64_t word[TXN_WORDS_MAX]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What the log's committed entries make: keys with their values, and the sessions of clients. Everything has a version,
 * the index of the entry that wrote it, and the newer one wins: to apply an entry twice, or to take in a copy that is
 * partly ahead, does no harm. That is what lets checkpoints and copies for a replica be made while work goes on.
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_STORE_H
#define DEMI_EXAMPLES_TXNSTORE_STORE_H

#include "demi/examples/txnstore/wire.h"

struct txn_item {
    uint64_t version;
    uint16_t value_size;
    uint8_t key_size, key[TXN_KEY_MAX], value[TXN_VALUE_MAX];
};

struct txn_session {
    uint64_t version, id, number; /* number: of its last transaction, which ended as */
    uint8_t outcome;
};

struct txn_store {
    struct txn_item **items; /* in the order in which they came: nothing is ever deleted */
    uint32_t *table;         /* by hash: number of an item, and 1; linear probing, half full at most */
    uint32_t count, count_max, table_mask;
    struct txn_session sessions[TXN_SESSIONS];
};

/* Room for at most keys_max keys. 0 or ENOMEM. */
int txn_store_init(struct txn_store *s, uint32_t keys_max);
void txn_store_fini(struct txn_store *s);

/* NULL: no such key. Valid until the next put. */
const struct txn_item *txn_store_find(const struct txn_store *s, const uint8_t *key, size_t key_size);
/* 0, ENOMEM, or ENOSPC: keys_max. */
int txn_store_put(struct txn_store *s, const struct txn_op *op, uint64_t version);
void txn_store_put_session(struct txn_store *s, unsigned slot, const struct txn_session *session);

/* Of all keys, values and sessions, whatever the order they came in. */
uint64_t txn_store_digest(const struct txn_store *s);

/* Everything from `position` (at first 0) on, as much as goes into w; returns the position to go on from, 0 at the
 * end. */
uint32_t txn_store_copy(const struct txn_store *s, uint32_t position, struct txn_writer *w);
/* Takes such a piece in. EBADMSG: it is none. Otherwise as txn_store_put(). */
int txn_store_fold(struct txn_store *s, const uint8_t *bytes, size_t size);

#endif

/* SPDX-License-Identifier: MIT
 *
 * TxnStore's bytes: datagrams, entries of the replicated log, and what both are made of. README.md has the layouts.
 * Numbers are big-endian. Whatever is decoded here came from outside and is refused when it is not exactly right.
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_WIRE_H
#define DEMI_EXAMPLES_TXNSTORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TXN_REPLICAS = 3,
    TXN_KEY_MAX = 64,     /* bytes; at least 1 */
    TXN_VALUE_MAX = 1000, /* bytes; may be 0 */
    TXN_OPS_MAX = 8,      /* keys of a transaction */
    TXN_SESSIONS = 256,   /* clients the replicas remember */
    TXN_MESSAGE_MAX = 8960,
    TXN_HEAD = 10, /* bytes of a datagram before its words */
    TXN_WORDS_MAX = 10,
    TXN_ENTRY_HEAD = 28,
    TXN_OP_MAX = 1 + 1 + TXN_KEY_MAX + 8 + 2 + TXN_VALUE_MAX,
    TXN_ENTRY_MAX = TXN_ENTRY_HEAD + TXN_OPS_MAX * TXN_OP_MAX,
    TXN_CLIENT = 255, /* `from` of who is no replica; also: no leader known */
};

/* --- numbers and strings in a row --------------------------------------------------------------------------------- */

/* Beyond the end nothing is read or written, and `bad` is set for good: one test at the end is enough. */
struct txn_reader {
    const uint8_t *at, *end;
    bool bad;
};
uint64_t txn_read(struct txn_reader *r, unsigned size);
const uint8_t *txn_read_bytes(struct txn_reader *r, size_t size);

struct txn_writer {
    uint8_t *at, *end;
    bool bad;
};
void txn_write(struct txn_writer *w, uint64_t value, unsigned size);
void txn_write_bytes(struct txn_writer *w, const void *bytes, size_t size);

uint64_t txn_hash(const void *bytes, size_t size, uint64_t seed);
/* The next number of a generator (splitmix64). */
uint64_t txn_random(uint64_t *state);

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

enum txn_type {                   /* their words, and what follows these */
                TXN_VOTE_ASK = 1, /* term, last index, its term */
                TXN_VOTE,         /* term */
                TXN_APPEND,       /* term, index before, its term, committed; entries, each behind its size (2 bytes) */
                TXN_ACK,          /* term, 1 if it fits, index: durable up to there; or to go on from */
                TXN_STATE,        /* term, mark, its term, position, next position or 0; items */
                TXN_STATE_ASK,    /* term, mark, its term, position */
                TXN_HELLO,        /* nonce */
                TXN_WELCOME,      /* nonce, slot, session */
                TXN_GET,          /* nonce; key */
                TXN_VALUE,        /* nonce, version (0: there is none); value */
                TXN_COMMIT,       /* slot, session, number; operations */
                TXN_OUTCOME,      /* session, number, enum txn_outcome, index */
                TXN_REDIRECT,     /* the leader or TXN_CLIENT */
                TXN_STATUS,       /* nonce */
                TXN_STATUS_IS,    /* nonce, role, term, leader, last, committed, applied, keys, digest, refused */
                TXN_TYPES,
};

enum txn_outcome { TXN_COMMITTED = 1, TXN_CONFLICT, TXN_FULL, TXN_NO_SESSION };

struct txn_message {
    uint8_t type, from;
    uint64_t word[TXN_WORDS_MAX];
    const uint8_t *tail; /* lies in the datagram */
    size_t tail_size;
};

/* False: not a datagram of this version, torn, or of a length that its type does not have. */
bool txn_message_decode(struct txn_message *out, const uint8_t *bytes, size_t size);
/* Returns the size; out has room for TXN_MESSAGE_MAX, and the tail for what is left of it: txn_tail_max(). */
size_t txn_message_encode(uint8_t *out, const struct txn_message *m);
size_t txn_tail_max(enum txn_type type);

/* --- operations and entries --------------------------------------------------------------------------------------- */

enum { TXN_OP_READ = 1, TXN_OP_WRITE = 2 };

struct txn_op {
    uint8_t flags, key_size;
    uint16_t value_size;
    const uint8_t *key, *value;
    uint64_t version; /* that was read; 0: none was there */
};
/* The next of a row of operations, or false: the end, or (r->bad) something else. */
bool txn_op_next(struct txn_reader *r, struct txn_op *out);
void txn_op_write(struct txn_writer *w, const struct txn_op *op);
/* 1 to TXN_OPS_MAX operations and nothing else. */
bool txn_ops_are_good(const uint8_t *bytes, size_t size);

enum txn_kind { TXN_NOTHING, TXN_SESSION, TXN_TRANSACTION, TXN_KINDS };

struct txn_entry {
    uint64_t term, session, number;
    uint8_t kind, outcome;
    uint16_t slot;
    const uint8_t *ops; /* writes only, and only of what has committed */
    size_t ops_size;
};
bool txn_entry_decode(struct txn_entry *out, const uint8_t *bytes, size_t size);
void txn_entry_write(struct txn_writer *w, const struct txn_entry *e);

#endif

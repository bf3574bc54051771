/* SPDX-License-Identifier: MIT
 *
 * The end of the replicated log that a replica has in memory: the entries base + 1 to last. What is at base and before
 * is in the store.
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_ENTRIES_H
#define DEMI_EXAMPLES_TXNSTORE_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

struct txn_slot {
    uint8_t *bytes; /* the entry, of demi_malloc() */
    size_t size;
    uint64_t term;
    uint64_t push;   /* of its record on the disk; 0: it has yet to be pushed */
    uint64_t offset; /* of that record, when it is durable */
};

struct txn_entries {
    struct txn_slot *ring;
    uint64_t base, base_term, last;
    uint32_t max;
};

int txn_entries_init(struct txn_entries *e, uint32_t max); /* 0 or ENOMEM */
void txn_entries_fini(struct txn_entries *e);

/* base < index <= last */
static inline struct txn_slot *txn_entries_at(const struct txn_entries *e, uint64_t index)
{
    return &e->ring[index % e->max];
}
/* base <= index <= last */
static inline uint64_t txn_entries_term(const struct txn_entries *e, uint64_t index)
{
    return index == e->base ? e->base_term : txn_entries_at(e, index)->term;
}

/* Copies the bytes. ENOSPC: max entries are there. ENOMEM. */
int txn_entries_append(struct txn_entries *e, uint64_t term, const uint8_t *bytes, size_t size);
/* Those from index on are none any more. */
void txn_entries_cut(struct txn_entries *e, uint64_t index);
/* Those up to index are not needed here any more; base < index <= last. */
void txn_entries_drop(struct txn_entries *e, uint64_t index);
/* The store has everything up to index: what is behind it stays if it is the same log. */
void txn_entries_rebase(struct txn_entries *e, uint64_t index, uint64_t term);

#endif

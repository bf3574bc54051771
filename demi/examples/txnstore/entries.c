/* SPDX-License-Identifier: MIT
 *
 * Entries in memory: a ring by index.
 */
#include "demi/examples/txnstore/entries.h"

#include <demi/ext.h>
#include <errno.h>
#include <string.h>

int txn_entries_init(struct txn_entries *e, uint32_t max)
{
    memset(e, 0, sizeof *e);
    e->max = max;
    e->ring = demi_calloc(max, sizeof *e->ring);
    return e->ring ? 0 : ENOMEM;
}

void txn_entries_fini(struct txn_entries *e)
{
    if (e->ring) txn_entries_cut(e, e->base + 1);
    demi_free(e->ring);
    e->ring = NULL;
}

int txn_entries_append(struct txn_entries *e, uint64_t term, const uint8_t *bytes, size_t size)
{
    if (e->last - e->base == e->max) return ENOSPC;
    uint8_t *copy = demi_malloc(size);
    if (!copy) return ENOMEM;
    memcpy(copy, bytes, size);
    e->last++;
    *txn_entries_at(e, e->last) = (struct txn_slot){copy, size, term, 0, 0};
    return 0;
}

void txn_entries_cut(struct txn_entries *e, uint64_t index)
{
    for (; e->last >= index; e->last--) demi_free(txn_entries_at(e, e->last)->bytes);
}

void txn_entries_drop(struct txn_entries *e, uint64_t index)
{
    e->base_term = txn_entries_term(e, index);
    for (; e->base < index; e->base++) demi_free(txn_entries_at(e, e->base + 1)->bytes);
}

void txn_entries_rebase(struct txn_entries *e, uint64_t index, uint64_t term)
{
    if (index >= e->base && index <= e->last && txn_entries_term(e, index) == term) {
        txn_entries_drop(e, index);
        return;
    }
    txn_entries_cut(e, e->base + 1);
    e->base = e->last = index;
    e->base_term = term;
}

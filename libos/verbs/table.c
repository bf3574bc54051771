/* SPDX-License-Identifier: MIT
 *
 * Ends by the number of their queue pair, which is what a completion has. Numbers are given out by the device and are
 * used again: an end stays here until its queue pair is destroyed, and that waits until the completion queue has been
 * emptied, so that a number found here is never an earlier end's (release.c).
 */
#include "libos/verbs/verbs.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 64u

static void put_slot(struct end_slot *slots, uint32_t mask, struct end_slot slot)
{
    uint32_t i = slot.qp_num & mask;
    while (slots[i].end) i = (i + 1) & mask;
    slots[i] = slot;
}

static int grow_slots(struct verbs_dev *d)
{
    const uint32_t size = d->slots ? d->slot_mask + 1 : 0;
    if (size && (d->end_count + 1) * 2 <= size) return 0;
    const uint32_t wider = size ? size * 2 : SLOTS_MIN;
    struct end_slot *slots = calloc(wider, sizeof *slots);
    if (!slots) return -ENOMEM;
    for (uint32_t i = 0; i < wider; i++) slots[i].live = SLOT_MUTE;
    for (uint32_t i = 0; i < size; i++)
        if (d->slots[i].end) put_slot(slots, wider - 1, d->slots[i]);
    free(d->slots);
    d->slots = slots;
    d->slot_mask = wider - 1;
    return 0;
}

int table_add(struct verbs_dev *d, struct msgdev_end *end)
{
    /* The first call, with NULL, makes an empty table: looking up needs no question whether there is one. */
    int err = grow_slots(d);
    if (err || !end) return err;
    DASSERT(!table_find(d, end->qp->qp_num));
    put_slot(d->slots, d->slot_mask, (struct end_slot){end->qp->qp_num, end->qp->qp_num, end, end->word});
    d->end_count++;
    return 0;
}

static uint32_t slot_of(const struct verbs_dev *d, const struct msgdev_end *end)
{
    uint32_t i = end->qp->qp_num & d->slot_mask;
    for (; d->slots[i].end != end; i = (i + 1) & d->slot_mask) ASSERT(d->slots[i].end);
    return i;
}

void table_silence(struct verbs_dev *d, struct msgdev_end *end) { d->slots[slot_of(d, end)].live = SLOT_MUTE; }

void table_remove(struct verbs_dev *d, struct msgdev_end *end)
{
    uint32_t hole = slot_of(d, end);
    d->end_count--;
    /* Those behind move up, so that no search stops at the hole before it finds what it looks for. */
    for (uint32_t i = (hole + 1) & d->slot_mask; d->slots[i].end; i = (i + 1) & d->slot_mask) {
        const uint32_t home = d->slots[i].qp_num & d->slot_mask;
        if (((i - home) & d->slot_mask) < ((i - hole) & d->slot_mask)) continue;
        d->slots[hole] = d->slots[i];
        hole = i;
    }
    d->slots[hole] = (struct end_slot){.live = SLOT_MUTE};
}

/* SPDX-License-Identifier: MIT
 *
 * See smalls.h.
 */
#include "libos/rdma/smalls.h"

#include "alloc/base/assert.h"
#include "alloc/heap.h"

struct smalls {
    struct smalls_cell **list; /* NULL: it is closed */
    uint32_t held;             /* of one that is closed */
    struct smalls_cell cells[SMALLS_COUNT];
};

static_assert(sizeof(struct smalls_cell) == SMALLS_STEP, "as it is drawn");
static_assert(offsetof(struct smalls_cell, room) - offsetof(struct smalls_cell, headroom) >= BUF_HEADROOM,
              "heads go in front as they do of any buffer");

/* Who held it last has let go. */
static void put_back(void *arg)
{
    struct smalls_cell *cell = arg;
    struct smalls *s = cell->pool;
    buf_place_again(&cell->b, cell->room, 0);
    if (likely(s->list)) {
        cell->next = *s->list;
        *s->list = cell;
    } else if (!--s->held) {
        heap_free(s);
    }
}

struct smalls *smalls_new(struct smalls_cell **list)
{
    struct smalls *s = heap_alloc(sizeof *s);
    if (!s) return NULL;
    s->list = list;
    s->held = 0;
    *list = NULL;
    for (uint32_t i = SMALLS_COUNT; i-- > 0;) {
        struct smalls_cell *cell = &s->cells[i];
        const uint32_t cap = SMALLS_STEP - offsetof(struct smalls_cell, headroom);
        cell->pool = s;
        buf_place(&cell->b, cell->headroom, cap, cell->room, 0, put_back, cell);
        cell->next = *list;
        *list = cell;
    }
    return s;
}

void smalls_close(struct smalls *s)
{
    if (!s) return;
    DASSERT(s->list);
    uint32_t there = 0;
    for (const struct smalls_cell *cell = *s->list; cell; cell = cell->next) there++;
    s->held = SMALLS_COUNT - there;
    *s->list = NULL;
    s->list = NULL;
    if (!s->held) heap_free(s);
}

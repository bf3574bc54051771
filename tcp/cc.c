/* SPDX-License-Identifier: MIT
 *
 * The controllers by name, and what is the same for all: the initial window and a change of the segment size.
 */
#include "tcp/cc.h"

#include <string.h>

#include "alloc/base/assert.h"

#define INITIAL_SEGMENTS 10u /* RFC 6928 2 */
#define INITIAL_BYTES    14600u

static const struct cc_ops *const controllers[] = {&cc_cubic, &cc_newreno, &cc_bbr, &cc_none};

const struct cc_ops *cc_find(const char *name)
{
    for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++) {
        if (strcmp(name, controllers[i]->name) == 0) return controllers[i];
    }
    return NULL;
}

uint32_t cc_initial_window(uint32_t mss)
{
    uint32_t bytes = 2 * mss > INITIAL_BYTES ? 2 * mss : INITIAL_BYTES;
    return INITIAL_SEGMENTS * mss < bytes ? INITIAL_SEGMENTS * mss : bytes;
}

void cc_init(struct cc *c, const struct cc_ops *ops, uint32_t mss, nsec now)
{
    ASSERT(mss > 0 && mss <= UINT16_MAX);
    *c = (struct cc){.ops = ops, .cwnd = cc_initial_window(mss), .ssthresh = UINT32_MAX, .mss = (uint16_t)mss};
    if (ops->init(c, now)) return;
    c->ops = &cc_newreno;
    c->ops->init(c, now);
}

void cc_fini(struct cc *c)
{
    if (c->ops && c->ops->fini) c->ops->fini(c);
    c->ops = NULL;
}

/* Before anything has been sent the initial window is that of the new size. Later the window keeps its bytes (the
 * path holds as many as before), but a segment must fit. */
void cc_set_mss(struct cc *c, uint32_t mss)
{
    ASSERT(mss > 0 && mss <= UINT16_MAX);
    bool untouched = c->cwnd == cc_initial_window(c->mss) && c->ssthresh == UINT32_MAX;
    c->mss = (uint16_t)mss;
    if (untouched) c->cwnd = cc_initial_window(mss);
    if (c->cwnd < mss) c->cwnd = mss;
}

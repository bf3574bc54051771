/* SPDX-License-Identifier: MIT
 *
 * A table of the last set seen for each hash. Two sets of one hash push each other out: the one that is out lives on
 * with who has it, and is made again for the next. So neither the table nor a look-up grows with the number of sets.
 */
#include "tcp/shared_opts.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"
#include "alloc/heap.h"

struct shared_opts {
    uint32_t refs;
    struct conn_opts opts;
};

static_assert((OPTS_SHARED_MAX & (OPTS_SHARED_MAX - 1)) == 0, "a mask");

/* By what programs set; the rest is compared only. */
static struct shared_opts **place_of(struct opts_share *t, const struct conn_opts *o)
{
    uint64_t bits = o->delay | o->cork << 1 | o->keepalive << 2 | o->quick_ack << 3 | (uint64_t)o->keep_idle_s << 8 |
                    (uint64_t)o->keep_count << 40;
    uint64_t more = o->keep_interval_s | (uint64_t)o->user_timeout_ms << 32;
    uint64_t sizes = o->rcv_buffer | (uint64_t)o->snd_buffer << 32;
    return &t->recent[hash_fold(bits ^ sizes, more ^ HASH_K0) & (OPTS_SHARED_MAX - 1)];
}

bool opts_equal(const struct conn_opts *a, const struct conn_opts *b)
{
    return a->delay == b->delay && a->cork == b->cork && a->keepalive == b->keepalive && a->quick_ack == b->quick_ack &&
           a->urgent_inline == b->urgent_inline && a->keep_idle_s == b->keep_idle_s &&
           a->keep_interval_s == b->keep_interval_s && a->keep_count == b->keep_count &&
           a->user_timeout_ms == b->user_timeout_ms && a->mss == b->mss && a->hops == b->hops && a->tos == b->tos &&
           a->rcv_buffer == b->rcv_buffer && a->snd_buffer == b->snd_buffer && a->unsent_max == b->unsent_max &&
           a->cc == b->cc;
}

const struct conn_opts *opts_ref(struct opts_share *t, const struct conn_opts *o)
{
    struct shared_opts **at = place_of(t, o), *set = *at;
    if (set && opts_equal(&set->opts, o)) {
        set->refs++;
        return &set->opts;
    }
    set = heap_alloc(sizeof *set);
    if (!set) return NULL;
    *set = (struct shared_opts){.refs = 1, .opts = *o};
    *at = set;
    return &set->opts;
}

void opts_unref(struct opts_share *t, const struct conn_opts *o)
{
    if (!o) return;
    struct shared_opts *set = (struct shared_opts *)((uintptr_t)o - offsetof(struct shared_opts, opts));
    DASSERT(set->refs);
    if (--set->refs) return;
    struct shared_opts **at = place_of(t, o);
    if (*at == set) *at = NULL;
    heap_free(set);
}

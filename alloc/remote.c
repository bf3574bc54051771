/* SPDX-License-Identifier: MIT
 *
 * Frees by other threads: a stack that many push to and one takes whole, so there is no ABA and no
 * lock.
 *
 *     others: object->next = remote; compare-and-swap        owner: exchange(remote, NULL), then frees one by one
 *
 * The link lies in the object's first word. An object that may be pinned must keep its bytes, since
 * a device may be reading them: its free travels in a note from malloc instead. Whether any object
 * of the slab is pinned is all that another thread can ask, and it asks safely: it got the object
 * from the owner, hence sees the pins that were there when it was handed over.
 */
#include <sched.h>
#include <stdlib.h>

#include "alloc/heap_impl.h"

static void push_note(struct heap *owner, struct remote_note *note)
{
    struct remote_note *top = __atomic_load_n(&owner->notes, __ATOMIC_RELAXED);
    do note->next = top;
    while (!__atomic_compare_exchange_n(&owner->notes, &top, note, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

void remote_free(struct heap *owner, void *p, size_t size, bool may_be_pinned)
{
    if (may_be_pinned) {
        struct remote_note *note;
        while (!(note = malloc(sizeof *note))) sched_yield(); /* losing the object would be worse */
        note->object = p;
        push_note(owner, note);
        return;
    }
    poison((char *)p + sizeof(void *), size - sizeof(void *));
    void *top = __atomic_load_n(&owner->remote, __ATOMIC_RELAXED);
    do *(void **)p = top;
    while (!__atomic_compare_exchange_n(&owner->remote, &top, p, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void drain_notes(struct heap *h)
{
    struct remote_note *note = __atomic_exchange_n(&h->notes, NULL, __ATOMIC_ACQUIRE);
    while (note) {
        struct remote_note *next = note->next;
        heap_free_object(h, note->object);
        free(note);
        note = next;
    }
}

bool remote_drain(struct heap *h, size_t max)
{
    if (remote_is_empty(h)) return false;
    drain_notes(h);
    for (size_t done = 0; done < max; done++) {
        if (!h->returned) h->returned = __atomic_exchange_n(&h->remote, NULL, __ATOMIC_ACQUIRE);
        void *p = h->returned;
        if (!p) return false;
        h->returned = *(void **)p;
        heap_free_object(h, p);
    }
    return !remote_is_empty(h);
}

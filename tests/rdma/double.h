/* SPDX-License-Identifier: MIT
 *
 * A double of libibverbs and librdmacm: two devices that exist in this process only, linked into the plug-in in the
 * libraries' place. Connections join queue pairs of one process, bytes are copied when a request is carried out.
 *
 *     double_rxe0    like rxe: RNR waits for ever, immediates, 512 bytes inline, errors of posting are positive, posts
 *                    in the error state are flushed; it has 10.77.0.0/16, fd77::/16, 127.0.0.0/8, ::1
 *     double_siw0    like siw: no RNR (the connection is torn down), no immediates, 64 bytes inline, negative errors,
 *                    posts in the error state are refused, the completion queue cannot be resized; it has
 *                    10.78.0.0/16, fd78::/16
 *
 * It is stricter than either: what is against the rules of verbs (a destroyed object that something stands on, an event
 * that is not acknowledged, memory that its key does not cover, more requests than the queue was made for) ends the
 * program with a line that says so.
 *
 * What the test asks of it goes through struct double_controls, by dlsym("double_controls").
 */
#ifndef TESTS_RDMA_DOUBLE_H
#define TESTS_RDMA_DOUBLE_H

#include <stdbool.h>
#include <stdint.h>

struct double_controls {
    /* The nth call from now (1: the next) of the function of this name fails with err; once. name NULL: nothing
     * fails. */
    void (*fail_call)(const char *name, unsigned nth, int err);
    bool (*has_failed)(void); /* it has come to that */
    /* The next request that is carried out completes with this status (enum ibv_wc_status), and its queue pair goes to
     * the error state. */
    void (*next_status)(int status);
    void (*hold)(bool on);       /* requests are not carried out until it is off again */
    void (*event)(int type);     /* an asynchronous one (enum ibv_event_type): of a queue pair the youngest's */
    void (*port)(bool up);       /* of both devices, with its event */
    void (*remove)(void);        /* DEVICE_REMOVAL to every id */
    unsigned (*live)(void);      /* objects that are there: ids, channels, domains, queues, regions */
    unsigned (*notified)(void);  /* completion events that were raised */
    unsigned (*rnr_timer)(void); /* of the queue pair that was last modified */
};
typedef const struct double_controls *(*double_controls_fn)(void);

#endif

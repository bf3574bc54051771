/* SPDX-License-Identifier: MIT
 *
 * An endpoint: whoever waits for what happens on a queue (a client, a listener, a file, a link to another server) or
 * for a wake-up. The loop hands each completion to the endpoint of its queue and knows no kinds.
 */
#ifndef SERVER_NET_ENDPOINT_H
#define SERVER_NET_ENDPOINT_H

#include <stddef.h>

#include "demi/types.h"

struct worker;

struct endpoint {
    /* What the result holds is the endpoint's; one it does not want (an operation it gave up) goes to
     * endpoint_release(). May remove this endpoint. */
    void (*completed)(struct endpoint *e, struct worker *w, const demi_qresult_t *qr);
};

/* By queue descriptor. All zero is empty. */
struct endpoints {
    struct endpoint **by_qd;
    size_t size;
    struct endpoint *wake; /* of results that have no queue */
};
void endpoints_fini(struct endpoints *all);

/* e is asked for completions of qd from now on; NULL: nobody is any more, and what comes is released. By turns: nobody
 * was before the one, somebody before the other. */
void endpoint_set(struct endpoints *all, int qd, struct endpoint *e);
/* Hands a result of the loop's wait to its endpoint. */
void endpoint_completed(struct endpoints *all, struct worker *w, const demi_qresult_t *qr);
/* Gives back what a result nobody wants holds: the array of a pop, the connection of an accept. */
void endpoint_release(const demi_qresult_t *qr);

#endif

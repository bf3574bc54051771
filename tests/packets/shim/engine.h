/* SPDX-License-Identifier: MIT
 *
 * The thread that has the stack. packetdrill calls from two threads (one may be inside a call that blocks), a stack and
 * its buffers belong to one: so every call is a request to the engine, and its caller sleeps on a condition variable
 * until it is answered. That is also what packetdrill looks for when it asks whether a call blocks: a thread in state
 * S.
 *
 *     caller   post ---> wait ............................. answer
 *     engine         try: -EAGAIN, keep   other request   try again: done
 *
 * Time is virtual. It stands still but for requests that move it.
 */
#ifndef PACKETS_SHIM_ENGINE_H
#define PACKETS_SHIM_ENGINE_H

#include "alloc/base/list.h"
#include "tests/packets/runner/host.h"

struct engine;

struct request {
    struct list link;
    /* In the engine's thread: a result, or -EAGAIN to be tried again after the next request if `blocks`. */
    long (*fn)(struct request *r, struct host *h);
    void *args;
    bool blocks, tried, done;
    nsec begun;
    long result;
};

/* NULL: out of memory. */
struct engine *engine_start(const struct host_config *c);
void engine_stop(struct engine *e); /* requests that wait are answered with -EINTR */
/* Runs fn(args) in the engine's thread; returns its result. */
long engine_call(struct engine *e, long (*fn)(struct request *r, struct host *h), void *args, bool blocks);

#endif

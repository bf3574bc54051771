/* SPDX-License-Identifier: MIT
 *
 * What a library OS gives the runtime: sockets or files to make queues of, and its share of a turn
 * of the loop.
 *
 * Each turn calls poll() of all, then the timers and tasks, then flush() of all. What a poll brings
 * in completes tokens; what was pushed since leaves at flush. A libOS on kernel descriptors needs
 * no poll(): it watches them (runtime_watch) and is called back.
 */
#ifndef RUNTIME_LIBOS_H
#define RUNTIME_LIBOS_H

#include "libos/runtime/queue.h"

struct demi_config;
struct libos;
struct runtime;

struct libos_ops {
    const char *name; /* "posix" */
    /* Starts on rt with what the configuration says (NULL: nothing). */
    int (*start)(struct runtime *rt, const struct demi_config *conf, struct libos **out);
    /* Every queue has been closed by now. */
    void (*stop)(struct libos *l);
    /* In a forked child: close copies of descriptors that are behind no queue (queue_ops.fd), touch nothing else. */
    void (*forget)(struct libos *l);
    /* -EAFNOSUPPORT, -ESOCKTNOSUPPORT: not one of mine, the next libOS is asked. */
    int (*socket)(struct libos *l, int domain, int type, int protocol, struct queue **out);
    /* op NULL: opens before it returns. Else the queue is there at once, op gets it, and ends when the file is open or
     * could not be; operations that are started before wait for that, and fail alike. */
    int (*open)(struct libos *l, const char *path, int flags, unsigned mode, struct op *op, struct queue **out);
    /* Named pipes between processes (demi_create_pipe: create, demi_open_pipe). NULL: the runtime's own, of this
     * thread. -EEXIST; -ENOENT, -EBUSY: it has been opened. */
    int (*pipe)(struct libos *l, const char *name, bool create, struct queue **out);
    /* Of who has open(), or NULL. On 0 op is the libOS's, which ends it; it has no queue. The paths are copied. */
    int (*rename)(struct libos *l, struct op *op, const char *from, const char *to);
    int (*unlink)(struct libos *l, struct op *op, const char *path);
    int (*mkdir)(struct libos *l, struct op *op, const char *path, unsigned mode);
    /* A burst in from the device: returns how much was found (0: idle). NULL: everything comes by
     * runtime_watch. */
    unsigned (*poll)(struct libos *l);
    /* What was pushed leaves. Called when runtime_need_flush() or runtime_want_flush() was called since the last
     * one. */
    void (*flush)(struct libos *l);
    /* When poll() must be called although nothing came in, ns; UINT64_MAX: never. NULL: the wheel's
     * timers only. */
    uint64_t (*next_deadline)(struct libos *l);
    /* Called before sleeping: have the device raise what is watched. -EAGAIN: there is work
     * after all; -EOPNOTSUPP: this device must be polled, do not sleep. NULL: nothing to do. */
    int (*arm)(struct libos *l);
    /* How much of what was pushed is still to be handed over for good: bytes, datagrams, and one for each connection
     * whose end is not through. Asked when the runtime ends and every queue is closed; the runtime goes on until it
     * is 0, as long as it shrinks (runtime_drain). NULL: always 0. */
    uint64_t (*undrained)(struct libos *l);
    /* demi_set_option(). -ENOPROTOOPT: no such knob; -EINVAL. */
    int (*set_option)(struct libos *l, const char *name, const char *value);
};

struct libos {
    const struct libos_ops *ops;
    struct runtime *rt;
    bool must_poll;     /* set by start(): nothing wakes a sleeper, the thread never sleeps */
    bool kernel_beside; /* set by start(): what its socket() does not make, the kernel does, when it comes first */
};

#endif

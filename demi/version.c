/* SPDX-License-Identifier: MIT
 *
 * See version.h. What a libOS can do is found by doing it: a socket of the kind is made, and closed again. Only of what
 * the kernel gives beside a libOS that has none of its own is it known without (add_kernel_sockets() of sockets.c): to
 * ask must not start anything.
 */
#include "demi/version.h"

#include "demi/here.h"
#include "demi/which.h"
#include "libos/runtime/plugin.h"

#include <stdio.h>
#include <string.h>

#define LIBOS_PREFIX "libos."

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *demi_version(void)
{
    return STRING(DEMI_VERSION_MAJOR) "." STRING(DEMI_VERSION_MINOR) "." STRING(DEMI_VERSION_PATCH);
}

int demi_version_number(void) { return DEMI_VERSION_NUMBER; }

static bool has_libos(const struct libos_ops *libos)
{
    static const char *const plugins[] = {"dpdk", "xdp", "rdma"};
    for (unsigned i = 0; i < sizeof plugins / sizeof *plugins; i++)
        if (!strcmp(libos->name, plugins[i])) return plugin_is_there(libos->name);
    return libos->socket; /* uring of a build without liburing is a name only */
}

/* *kernel_fd: the descriptor that was behind it, or -1. */
static bool has_socket(struct runtime *rt, int domain, int type, int *kernel_fd)
{
    for (unsigned i = 0; i < rt->libos_count; i++) {
        int qd;
        struct libos *l = rt->libos[i];
        struct queue *q;
        if (!l->ops->socket || l->ops->socket(l, domain, type, 0, &q)) continue;
        qd = q->qd;
        *kernel_fd = demi_queue_fd(qd);
        demi_close(qd);
        return true;
    }
    *kernel_fd = -1;
    bool has_kernel = domain == AF_UNIX || (rt->libos_count && rt->libos[0]->kernel_beside);
    return has_kernel && !rt->time.idle;
}

static bool has_event_fd(struct runtime *rt) { return !rt->time.idle && !rt->must_poll; }

static bool has_socket_fd(struct runtime *rt)
{
    int fd;
    return has_socket(rt, AF_INET, SOCK_STREAM, &fd) && fd >= 0;
}

static bool has_shared_pipes(struct runtime *rt)
{
    for (unsigned i = 0; i < rt->libos_count; i++)
        if (rt->libos[i]->ops->pipe) return true;
    return false;
}

static const struct of_a_libos {
    const char *name;
    int domain, type; /* of a socket that is made; or */
    bool (*is_there)(struct runtime *rt);
} of_a_libos[] = {
    {"stream", AF_INET, SOCK_STREAM, NULL},   {"datagram", AF_INET, SOCK_DGRAM, NULL},
    {"ipv6", AF_INET6, SOCK_STREAM, NULL},    {"unix", AF_UNIX, SOCK_STREAM, NULL},
    {"event-fd", 0, 0, has_event_fd},         {"socket-fd", 0, 0, has_socket_fd},
    {"shared-pipes", 0, 0, has_shared_pipes},
};
#define OF_A_LIBOS (sizeof of_a_libos / sizeof *of_a_libos)

static bool has(struct runtime *rt, const struct of_a_libos *f)
{
    int fd;
    if (!rt) return false;
    return f->is_there ? f->is_there(rt) : has_socket(rt, f->domain, f->type, &fd);
}

bool demi_feature(const char *name)
{
    if (!name) return false;
    KEEP_ERRNO();
    if (!strncmp(name, LIBOS_PREFIX, sizeof LIBOS_PREFIX - 1)) {
        const struct libos_ops *libos = libos_find(name + sizeof LIBOS_PREFIX - 1);
        return libos && has_libos(libos);
    }
    if (!strcmp(name, "tls")) return plugin_is_there("tls");
    struct runtime *rt = runtime_current();
    for (unsigned i = 0; i < OF_A_LIBOS; i++)
        if (!strcmp(name, of_a_libos[i].name)) return has(rt, &of_a_libos[i]);
    return false;
}

void demi_features(demi_feature_fn fn, void *arg)
{
    if (!fn) return;
    KEEP_ERRNO();
    struct runtime *rt = runtime_current();
    for (unsigned i = 0; libos_at(i); i++) {
        char name[64];
        snprintf(name, sizeof name, LIBOS_PREFIX "%s", libos_at(i)->name);
        fn(arg, name, has_libos(libos_at(i)));
    }
    fn(arg, "tls", plugin_is_there("tls"));
    for (unsigned i = 0; i < OF_A_LIBOS; i++) fn(arg, of_a_libos[i].name, has(rt, &of_a_libos[i]));
}

/* SPDX-License-Identifier: MIT
 *
 * The next library's calls, and the door through which our own library goes to them.
 *
 * The library's objects are linked into the shim with their calls renamed (own.syms: close is own_new_close there), so
 * that what it asks of the kernel never comes back to us. The descriptors it opens are moved up, out of the program's
 * way: its own are the lowest free ones, as it expects, and a program that closes all it knows does not close ours.
 */
#include "shim/real.h"

#include "shim/fds.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

struct real_calls real_calls;

void real_look_up(void)
{
#define SHIM_LOOK_UP(type, name, params, args) real_calls.name = (type(*) params)dlsym(RTLD_NEXT, #name);
    SHIM_CALLS(SHIM_LOOK_UP)
#undef SHIM_LOOK_UP
    __atomic_store_n(&real_calls.known, true, __ATOMIC_RELEASE);
}

#define OWN(type, name, params, args)                                                                                  \
    type own_##name params;                                                                                            \
    type own_##name params { return REAL(name) args; }
SHIM_CALLS(OWN)

/* Those that make descriptors. */
#define OWN_FD(name, own, params, args)                                                                                \
    int own params;                                                                                                    \
    int own params { return fds_hide(name args); }
OWN_FD(REAL(socket), own_new_socket, (int domain, int type, int protocol), (domain, type, protocol))
OWN_FD(REAL(accept4), own_new_accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags),
       (fd, addr, size, flags))
OWN_FD(REAL(epoll_create1), own_new_epoll_create1, (int flags), (flags))
OWN_FD(eventfd, own_new_eventfd, (unsigned count, int flags), (count, flags))
OWN_FD(timerfd_create, own_new_timerfd_create, (clockid_t clock, int flags), (clock, flags))
OWN_FD(memfd_create, own_new_memfd_create, (const char *name, unsigned flags), (name, flags))

/* SPDX-License-Identifier: MIT
 *
 * Addresses of a host. A number is one by itself; a name is asked for by a thread, since libc's question to the
 * network waits for its answer.
 */
#ifndef SERVER_MIGRATE_RESOLVE_H
#define SERVER_MIGRATE_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { RESOLVE_MAX = 8 };

/* Up to RESOLVE_MAX addresses of host with port in them; their number, or -errno: -ENOENT there is none, -ETIMEDOUT,
 * -EAGAIN too many names are being asked for, -ECANCELED *stop became true. Inside a task only the task waits. */
int resolve(const char *host, uint16_t port, int64_t timeout_ms, const bool *stop,
            struct sockaddr_storage out[RESOLVE_MAX]);

#endif

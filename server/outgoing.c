/* SPDX-License-Identifier: MIT
 *
 * Address and mark are wishes, as in redis-server: a server whose address is away for a moment still finds its peers.
 */
#include "server/outgoing.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "demi/libos.h"
#include "server/conf/config.h"
#include "server/observe/log.h"
#include "server/server.h"

static bool has_family(const struct outgoing *o, sa_family_t family)
{
    for (unsigned i = 0; i < o->from_count; i++)
        if (o->from[i].ss_family == family) return true;
    return false;
}

static socklen_t size_of(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

void outgoing_take_config(struct server *srv, const struct config *cfg)
{
    struct outgoing *o = &srv->outgoing;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *list; /* asks nobody */
    *o = (struct outgoing){.mark_was_told = o->mark_was_told};
    if (!cfg->bind_source_addr || !*cfg->bind_source_addr) return;
    int err = getaddrinfo(cfg->bind_source_addr, NULL, &hints, &list);
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "bind-source-addr '%s' is no address: connections are made from any.",
                   cfg->bind_source_addr);
        return;
    }
    for (const struct addrinfo *a = list; a && o->from_count < 2; a = a->ai_next) {
        bool is_ip = a->ai_family == AF_INET || a->ai_family == AF_INET6;
        if (is_ip && !has_family(o, (sa_family_t)a->ai_family))
            memcpy(&o->from[o->from_count++], a->ai_addr, a->ai_addrlen);
    }
    freeaddrinfo(list);
}

void outgoing_mark(struct server *srv, int qd)
{
    uint32_t mark = (uint32_t)srv->config->socket_mark_id;
    int err = mark ? demi_setsockopt(qd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) : 0;
    if (!err || srv->outgoing.mark_was_told) return;
    srv->outgoing.mark_was_told = true;
    server_log(srv, LOG_WARNING_LEVEL, "socket-mark-id %u is not set: %s", mark,
               err == EPERM                           ? "it takes CAP_NET_ADMIN"
               : err == ENOPROTOOPT || err == ENOTSUP ? "this libOS has no marks"
                                                      : strerror(err));
}

static void bind_from(struct server *srv, int qd, sa_family_t family)
{
    struct outgoing *o = &srv->outgoing;
    for (unsigned i = 0; i < o->from_count; i++) {
        if (o->from[i].ss_family != family) continue;
        int err = demi_bind(qd, (struct sockaddr *)&o->from[i], size_of(&o->from[i]));
        if (!err || o->bind_was_told) return;
        o->bind_was_told = true;
        server_log(srv, LOG_WARNING_LEVEL, "bind-source-addr '%s': %s. Connections are made from any address.",
                   srv->config->bind_source_addr, strerror(err));
        return;
    }
}

int outgoing_socket(struct server *srv, const struct sockaddr *to, int *qd)
{
    int err = demi_socket(qd, to->sa_family, SOCK_STREAM, 0);
    if (err) return -err;
    outgoing_mark(srv, *qd);
    bind_from(srv, *qd, to->sa_family);
    return 0;
}

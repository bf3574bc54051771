/* SPDX-License-Identifier: MIT
 *
 * The thread and who waits for it share a question; whoever lets go of it last frees it, so that a name server that
 * does not answer keeps nobody but the thread.
 */
#include "server/migrate/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/thread.h"
#include "demi/ext.h"
#include "demi/wait.h"

#define THREADS_MAX 16
#define LOOK_NS     (UINT64_C(2) * 1000 * 1000) /* how often it is looked whether the answer is there */

struct question {
    atomic_int holders;
    atomic_bool answered;
    char *host;
    int count; /* of addresses; until then nobody but the thread looks */
    struct sockaddr_storage found[RESOLVE_MAX];
};

static atomic_int threads;

static void let_go(struct question *q)
{
    if (atomic_fetch_sub(&q->holders, 1) != 1) return;
    free(q->host);
    free(q);
}

static void *ask(void *arg)
{
    struct question *q = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(q->host, NULL, &hints, &list) == 0) {
        for (const struct addrinfo *a = list; a && q->count < RESOLVE_MAX; a = a->ai_next) {
            if (a->ai_addrlen <= sizeof q->found[0]) memcpy(&q->found[q->count++], a->ai_addr, a->ai_addrlen);
        }
        freeaddrinfo(list);
    }
    atomic_store(&q->answered, true);
    let_go(q);
    atomic_fetch_sub(&threads, 1);
    return NULL;
}

static int start_asking(struct question *q)
{
    pthread_t thread;
    int err = thread_start(&thread, &(struct thread_options){.name = "resolve"}, ask, q);
    if (!err) pthread_detach(thread);
    return err;
}

static int await(const struct question *q, int64_t timeout_ms, const bool *stop)
{
    uint64_t begun = demi_clock_ns(), ns = (uint64_t)timeout_ms * 1000000;
    while (!atomic_load(&q->answered)) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        if (*stop) return -ECANCELED;
        if (demi_clock_ns() - begun >= ns) return -ETIMEDOUT;
        int err = demi_timer(&qt, LOOK_NS);
        if (!err) err = demi_wait(&qr, qt, NULL);
        if (err) return -err;
    }
    return q->count ? q->count : -ENOENT;
}

static int resolve_name(const char *host, int64_t timeout_ms, const bool *stop, struct sockaddr_storage *out)
{
    if (atomic_fetch_add(&threads, 1) >= THREADS_MAX) {
        atomic_fetch_sub(&threads, 1);
        return -EAGAIN;
    }
    struct question *q = calloc(1, sizeof *q);
    int err = -ENOMEM;
    if (q) q->host = strdup(host);
    if (q && q->host) {
        atomic_store(&q->holders, 2);
        err = start_asking(q);
    }
    if (err) {
        if (q) free(q->host);
        free(q);
        atomic_fetch_sub(&threads, 1);
        return err;
    }
    int count = await(q, timeout_ms, stop);
    if (count > 0) memcpy(out, q->found, (size_t)count * sizeof *out);
    let_go(q);
    return count;
}

int resolve(const char *host, uint16_t port, int64_t timeout_ms, const bool *stop,
            struct sockaddr_storage out[RESOLVE_MAX])
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    int count = 1;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) v4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) v6->sin6_family = AF_INET6;
    else count = resolve_name(host, timeout_ms, stop, out);
    for (int i = 0; i < count; i++) {
        if (out[i].ss_family == AF_INET) ((struct sockaddr_in *)&out[i])->sin_port = htons(port);
        else ((struct sockaddr_in6 *)&out[i])->sin6_port = htons(port);
    }
    return count;
}

/* SPDX-License-Identifier: MIT
 *
 * See file.h.
 *
 * The table has a place for a million numbers, and costs the pages of those that are used.
 */
#include "shim/file.h"

#include "shim/engine.h"
#include "shim/fds.h"
#include "shim/real.h"
#include "shim/sock.h"

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"

#include <stdlib.h>

struct shim_file *shim_table[SHIM_FDS];
struct list shim_files = {&shim_files, &shim_files};
static unsigned highest; /* number that was ever ours */

struct shim_file *shim_file_new(enum shim_kind kind, int domain, int type, int protocol)
{
    struct shim_file *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->kind = (uint8_t)kind;
    f->domain = domain;
    f->type = type;
    f->protocol = protocol;
    f->qd = -1;
    f->sndbuf = SHIM_IN_BYTES;
    list_init(&f->links);
    list_init(&f->items);
    list_init(&f->blocked_link);
    list_push_back(&shim_files, &f->all);
    return f;
}

void shim_file_name(struct shim_file *f, int fd)
{
    if ((unsigned)fd >= SHIM_FDS) return;
    f->numbers++;
    if ((unsigned)fd > highest) highest = (unsigned)fd;
    __atomic_store_n(&shim_table[fd], f, __ATOMIC_RELEASE);
}

/* Unread bytes that the library OS has handed to us already: the peer hears of a reset, as it would of a kernel that
 * has them still (RFC 2525 2.17). */
static void close_queue(struct shim_file *f)
{
    if (f->qd < 0) return;
    if (f->kind == SHIM_STREAM && f->in_bytes && !f->in_shut) {
        struct linger l = {.l_onoff = 1};
        demi_setsockopt(f->qd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
    demi_close(f->qd);
    f->qd = -1;
    shim_flush();
}

static void end_file(struct shim_file *f)
{
    f->ended = true;
    shim_items_leave(f, false);
    list_remove(&f->blocked_link);
    shim_drop_input(f);
    close_queue(f);
    if (f->set) shim_set_free(f);
}

void shim_file_settle(struct shim_file *f)
{
    if (f->numbers || f->holds) return;
    if (!f->ended) end_file(f);
    if (f->ops) return;
    list_remove(&f->all);
    free(f->in);
    free(f->accepted);
    free(f->options);
    free(f);
}

void shim_file_unname(int fd)
{
    struct shim_file *f = shim_file_at(fd);
    if (!f) return;
    __atomic_store_n(&shim_table[fd], NULL, __ATOMIC_RELEASE);
    ASSERT(f->numbers > 0);
    f->numbers--;
    shim_file_settle(f);
}

void shim_file_leave(struct shim_file *f)
{
    shim_file_hold(f);
    shim_items_leave(f, true);
    for (unsigned fd = 0; f->numbers && fd <= highest; fd++) {
        if (shim_table[fd] != f) continue;
        __atomic_store_n(&shim_table[fd], NULL, __ATOMIC_RELEASE);
        f->numbers--;
    }
    shim_file_unhold(f);
}

void shim_file_forget(struct shim_file *f)
{
    for (unsigned fd = 0; f->numbers && fd <= highest; fd++) {
        if (shim_table[fd] != f) continue;
        __atomic_store_n(&shim_table[fd], NULL, __ATOMIC_RELEASE);
        if (f->shadow_is_real && !f->nonblock) fds_share((int)fd);
        f->numbers--;
    }
    list_remove(&f->all); /* its memory stays: a copy of the parent's, of which some thread there may have had a part */
    list_init(&f->all);
}

void shim_file_hold(struct shim_file *f) { f->holds++; }

void shim_file_unhold(struct shim_file *f)
{
    f->holds--;
    shim_file_settle(f);
}

static uint32_t stream_events(const struct shim_file *f)
{
    uint32_t ev = 0;
    if (f->connecting) return 0;
    if (f->in_bytes || f->eof || f->in_shut) ev |= EPOLLIN | EPOLLRDNORM;
    if (f->eof || f->in_shut) ev |= EPOLLRDHUP;
    if ((f->eof || f->in_shut) && f->out_shut) ev |= EPOLLHUP;
    if (f->out_shut || !f->blocked) ev |= EPOLLOUT | EPOLLWRNORM;
    if (f->error) ev |= EPOLLERR;
    return ev;
}

uint32_t shim_file_events(struct shim_file *f)
{
    switch (f->kind) {
    case SHIM_STREAM: return stream_events(f);
    case SHIM_LISTENER:
        if (f->in_shut) return EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLHUP;
        return f->accepted_count ? EPOLLIN | EPOLLRDNORM : 0;
    case SHIM_DGRAM:
        return (f->in_count ? EPOLLIN | EPOLLRDNORM : 0) | (f->blocked ? 0 : EPOLLOUT | EPOLLWRNORM) |
               (f->error ? EPOLLERR : 0);
    case SHIM_NEW: return EPOLLOUT | EPOLLWRNORM | (f->type == SOCK_STREAM ? EPOLLHUP : 0);
    default: return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    }
}

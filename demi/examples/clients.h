/* SPDX-License-Identifier: MIT
 *
 * The connections of a server that answers what it is asked, one thing after the other: memcache and http-files.
 *
 *                 +--> pop --> advance() uses what came, answers --+
 *                 |               |                                |
 *                 +-- no answer --+          pushes, all through --+--> advance() again, then pop
 *
 * Nothing is read while answers are on their way, so that a client that does not read is not read from, and what one
 * can make the server hold is bounded: CLIENT_OUT_MAX bytes of answers and what came with one pop. Each operation
 * carries its client (demi_set_data), so there is no table; a client is freed with its last operation. Who says
 * nothing for CLIENT_IDLE_S seconds is closed, and beyond CLIENTS_MAX nobody is accepted until somebody has gone.
 */
#ifndef DEMI_EXAMPLES_CLIENTS_H
#define DEMI_EXAMPLES_CLIENTS_H

#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>
#include <stdarg.h>

#define CLIENTS_MAX      1000
#define CLIENT_IDLE_S    60
#define CLIENT_TEXT_SIZE 16384
#define CLIENT_OUT_MAX   262144 /* answers of one advance() */
#define CLIENT_BATCH     64

struct client {
    int qd;
    unsigned outstanding; /* operations on their way */
    int is_ending;        /* closed once the answers are through */
    int is_closed;        /* and has operations still */
    demi_sgarray_t in;    /* what was popped, from in_at on to be used */
    size_t in_at;
    size_t text_size; /* answers that are not pushed yet */
    size_t out_size;  /* of this advance() */
    uint64_t heard_ns;
    struct client *next, **link;
    void *session;
    char text[CLIENT_TEXT_SIZE];
};

struct service {
    void *(*open)(struct client *c); /* NULL: no memory */
    void (*close)(void *session);
    /* Uses client_input() and answers; what it leaves is there at the next call. */
    void (*advance)(struct client *c);
    /* Of an operation that the service has started by client_started(). */
    void (*other)(struct client *c, demi_qresult_t *qr);
};

struct clients {
    const struct service *service;
    int listener;
    int is_accepting;
    unsigned count;
    unsigned long total;
    struct client *first;
};

static struct clients clients;

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* An operation of this client has been started. */
static inline void client_started(struct client *c, demi_qtoken_t qt)
{
    MUST(demi_set_data(qt, c));
    c->outstanding++;
}

/* Pushes what is there, and `size` bytes of memory from demi_malloc(), which may be freed at once. */
static inline void client_push(struct client *c, const void *p, size_t size)
{
    struct iovec pieces[2] = {{c->text, c->text_size}, {(void *)(uintptr_t)p, size}};
    demi_qtoken_t qt;
    if (c->text_size + size == 0 || c->is_closed) return;
    if (demi_pushv(&qt, c->qd, pieces, 2, 0) == 0) client_started(c, qt);
    else c->is_ending = 1; /* the peer has gone */
    c->out_size += c->text_size + size;
    c->text_size = 0;
}

static inline void client_bytes(struct client *c, const void *p, size_t size)
{
    const char *from = p;
    while (size > 0) {
        size_t room = sizeof c->text - c->text_size, n = size < room ? size : room;
        memcpy(c->text + c->text_size, from, n);
        c->text_size += n;
        from += n;
        size -= n;
        if (c->text_size == sizeof c->text) client_push(c, NULL, 0);
    }
}

/* A line or a few, at most 1,024 bytes. */
__attribute__((format(printf, 2, 3))) static inline void client_say(struct client *c, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0) client_bytes(c, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* Enough for one advance(): come back when it is through. */
static inline int client_is_full(const struct client *c) { return c->out_size + c->text_size >= CLIENT_OUT_MAX; }

/* What has come and is not used: its size, and where; client_use() says how much of it was. */
static inline size_t client_input(const struct client *c, const char **at)
{
    if (c->in.sga_numsegs == 0) return 0;
    *at = (const char *)c->in.sga_segs[0].sgaseg_buf + c->in_at;
    return c->in.sga_segs[0].sgaseg_len - c->in_at;
}

static inline void client_use(struct client *c, size_t size)
{
    c->in_at += size;
    if (c->in_at < c->in.sga_segs[0].sgaseg_len) return;
    demi_sgafree(&c->in);
    c->in_at = 0;
}

/* --- coming and going --------------------------------------------------------------------------------------------- */

static inline void clients_accept(void)
{
    demi_qtoken_t qt;
    if (clients.is_accepting || clients.count >= CLIENTS_MAX) return;
    MUST(demi_accept(&qt, clients.listener));
    clients.is_accepting = 1;
}

/* With its last operation. */
static inline void client_free_if_unused(struct client *c)
{
    if (!c->is_closed || c->outstanding) return;
    clients.service->close(c->session);
    if (c->in.sga_numsegs) demi_sgafree(&c->in);
    free(c);
    clients.count--;
    clients_accept();
}

static inline void client_close(struct client *c)
{
    if (!c->is_closed) {
        demi_close(c->qd); /* its operations end with ECANCELED */
        c->is_closed = 1;
        *c->link = c->next;
        if (c->next) c->next->link = c->link;
    }
    client_free_if_unused(c);
}

/* Goes on until the client has to be waited for. The client may be gone afterwards. */
static inline void client_advance(struct client *c)
{
    demi_qtoken_t qt;
    c->out_size = 0;
    if (!c->is_ending) clients.service->advance(c);
    client_push(c, NULL, 0);
    if (c->outstanding) return; /* answers are on their way, or the service waits for something */
    if (c->is_ending || demi_pop(&qt, c->qd)) client_close(c);
    else client_started(c, qt);
}

static inline void client_new(int qd)
{
    struct client *c = calloc(1, sizeof *c);
    if (c) c->qd = qd;
    if (!c || !(c->session = clients.service->open(c))) {
        free(c);
        demi_close(qd);
        return;
    }
    c->heard_ns = demi_now_ns();
    c->next = clients.first;
    c->link = &clients.first;
    if (c->next) c->next->link = &c->next;
    clients.first = c;
    clients.count++;
    clients.total++;
    client_advance(c);
}

static inline void client_completed(struct client *c, demi_qresult_t *qr)
{
    c->outstanding--;
    if (c->is_closed) {
        if (qr->qr_opcode == DEMI_OPC_POP) demi_sgafree(&qr->qr_value.sga);
        client_free_if_unused(c);
        return;
    }
    c->heard_ns = demi_now_ns();
    if (qr->qr_qd != c->qd) {
        clients.service->other(c, qr);
    } else if (qr->qr_opcode == DEMI_OPC_FAILED) {
        client_close(c);
        return;
    } else if (qr->qr_opcode == DEMI_OPC_POP) {
        if (qr->qr_value.sga.sga_segs[0].sgaseg_len == 0) { /* the client has said all */
            demi_sgafree(&qr->qr_value.sga);
            client_close(c);
            return;
        }
        c->in = qr->qr_value.sga;
        c->in_at = 0;
    }
    if (!c->outstanding) client_advance(c);
}

static inline void clients_close_idle(void)
{
    for (struct client *c = clients.first, *next; c; c = next) {
        next = c->next;
        if (demi_now_ns() - c->heard_ns > (uint64_t)CLIENT_IDLE_S * 1000000000) client_close(c);
    }
}

/* Serves for ever. */
static inline void clients_serve(const struct sockaddr_in *at, const struct service *service)
{
    demi_qtoken_t timer;
    clients.service = service;
    MUST(demi_socket(&clients.listener, AF_INET, SOCK_STREAM, 0));
    MUST(demi_bind(clients.listener, (const struct sockaddr *)at, sizeof *at));
    MUST(demi_listen(clients.listener, 128));
    clients_accept();
    MUST(demi_timer(&timer, 1000000000));
    for (;;) {
        demi_qresult_t results[CLIENT_BATCH];
        struct client *whose[CLIENT_BATCH];
        int count = 0;
        MUST(demi_wait_batch(results, CLIENT_BATCH, &count, NULL));
        for (int i = 0; i < count; i++) whose[i] = demi_result_data(&results[i]);
        for (int i = 0; i < count; i++) {
            if (whose[i]) {
                client_completed(whose[i], &results[i]);
            } else if (results[i].qr_qt == timer) {
                clients_close_idle();
                MUST(demi_timer(&timer, 1000000000));
            } else { /* of the listener; one that went before it was accepted is none */
                clients.is_accepting = 0;
                if (results[i].qr_opcode == DEMI_OPC_ACCEPT) client_new(results[i].qr_value.ares.qd);
                clients_accept();
            }
        }
    }
}

#endif

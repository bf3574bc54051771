/* SPDX-License-Identifier: MIT
 *
 *     IDLE --bytes--> READING --a whole head--> ANSWERED --all is sent--> IDLE, or READING of what was pipelined
 *                        |  it is wrong            |  and the connection is not kept
 *                        `-----> ANSWERED ---------`-----> ENDING --the peer has closed--> gone
 *
 * One operation is outstanding in each state: a pop in IDLE, READING and ENDING, a push in ANSWERED. So who pipelines
 * is not read from before it has been answered, and for who does not read its answer there is one piece (PIECE_BYTES)
 * and what a scrape holds, whatever it has asked for. The next piece is written when the last one has left: a turn of
 * the loop writes at most one for a connection.
 *
 * Each state has a time, and it is not prolonged by what comes: a head in pieces has as long as one in a segment, an
 * answer that is read a byte a second as long as another. In ENDING what still comes is dropped, for the answer would
 * be lost with a reset if it lay unread when we close (RFC 9112 9.6).
 */
#include "server/metrics/connection.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "alloc/base/clock.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "server/mem.h"
#include "server/metrics/metrics.h"
#include "server/worker.h"

#define PATH "/metrics"

enum {
    PIECE_BYTES = 32 << 10,
    DROPPED_MAX = 64 << 10, /* what is read in ENDING */
    IDLE_SECONDS = 120,     /* between two scrapes: Prometheus comes once a minute by default */
    HEAD_SECONDS = 10,
    ANSWER_SECONDS = 60,
    SLOW_SECONDS = 5, /* of these: whoever has not read its answer by then may have to go for another */
    END_SECONDS = 2,
    HEADERS_SIZE = 512,
    CHUNK_HEAD = 8,     /* "07a3f\r\n", and a NUL of snprintf() */
    CHUNK_TAIL = 2 + 5, /* "\r\n", and "0\r\n\r\n" behind the last */
};
static_assert(PIECE_BYTES >= HEADERS_SIZE + CHUNK_HEAD + EXPOSITION_ITEM + CHUNK_TAIL, "a piece has room for an item");
static_assert(PIECE_BYTES < 1 << 20, "five digits of a chunk's size");

static void set_state(struct connection *c, enum connection_state state)
{
    static const unsigned seconds[] = {IDLE_SECONDS, HEAD_SECONDS, ANSWER_SECONDS, END_SECONDS};
    c->state = state;
    c->deadline_ns = c->w->turn_ns + seconds[state] * NSEC_PER_SEC;
}

bool connection_is_slow(const struct connection *c)
{
    uint64_t left = c->deadline_ns > c->w->turn_ns ? c->deadline_ns - c->w->turn_ns : 0;
    return c->state == CONNECTION_ANSWERED && left < (ANSWER_SECONDS - SLOW_SECONDS) * NSEC_PER_SEC;
}

/* --- its end ------------------------------------------------------------------------------------------------------ */

static void drop_input(struct connection *c)
{
    if (c->in.sga_numsegs) demi_sgafree(&c->in);
    c->in = (demi_sgarray_t){0};
    c->taken = 0;
}

static void end_scrape(struct connection *c)
{
    if (c->scrapes) scrape_fini(&c->scrape);
    c->scrapes = false;
}

void connection_close(struct connection *c)
{
    const struct linger hard = {.l_onoff = 1};
    end_scrape(c);
    drop_input(c);
    endpoint_set(&c->w->endpoints, c->qd, NULL);
    if (c->push) demi_setsockopt(c->qd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    demi_close(c->qd);
    list_remove(&c->all);
    c->m->common.connections--;
    mem_free(c);
}

/* False: it is gone. */
static bool ask_for_input(struct connection *c)
{
    if (c->pop || demi_pop(&c->pop, c->qd) == 0) return true;
    c->pop = 0;
    connection_close(c);
    return false;
}

static void begin_to_end(struct connection *c)
{
    set_state(c, CONNECTION_ENDING);
    drop_input(c);
    demi_shutdown(c->qd, SHUT_WR);
    ask_for_input(c);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Hands p over, which is freed; false: the connection is gone. */
static bool push(struct connection *c, char *p, size_t n)
{
    struct iovec iov = {p, n};
    ASSERT(!c->push && n > 0);
    int err = demi_pushv(&c->push, c->qd, &iov, 1, 0);
    mem_free(p); /* the push holds it */
    if (!err) return true;
    c->push = 0;
    connection_close(c);
    return false;
}

static const char *connection_word(const struct connection *c) { return c->request.closes ? "close" : "keep-alive"; }

/* A status without metrics: one short line of text. */
static void answer_status(struct connection *c)
{
    char *p = mem_alloc(HEADERS_SIZE), text[96];
    const char *allow = c->request.status == HTTP_METHOD_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "";
    int body = snprintf(text, sizeof text, "%d %s. Metrics are at " PATH ".\n", (int)c->request.status,
                        http_reason(c->request.status));
    int n = snprintf(p, HEADERS_SIZE,
                     "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
                     "Connection: %s\r\n%sX-Content-Type-Options: nosniff\r\n\r\n%s",
                     (int)c->request.status, http_reason(c->request.status), body, connection_word(c), allow,
                     c->request.is_head ? "" : text);
    ASSERT(n > 0 && n < HEADERS_SIZE);
    c->m->common.refused++;
    push(c, p, (size_t)n);
}

static size_t scrape_headers(const struct connection *c, char *p)
{
    int n = snprintf(p, HEADERS_SIZE,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                     "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: %s\r\n%s\r\n",
                     connection_word(c), c->request.is_old ? "" : "Transfer-Encoding: chunked\r\n");
    ASSERT(n > 0 && n < HEADERS_SIZE);
    return (size_t)n;
}

/* Chunks (RFC 9112 7.1); to an HTTP/1.0 peer the bytes alone, whose end is the connection's.
 *
 *     [headers] ["07a3f" CRLF what was written CRLF] ["0" CRLF CRLF] */
static void push_piece(struct connection *c, bool is_first)
{
    char *p = mem_alloc(PIECE_BYTES), size[CHUNK_HEAD];
    size_t at = is_first ? scrape_headers(c, p) : 0, n;
    size_t frame = c->request.is_old ? 0 : CHUNK_HEAD - 1;
    bool more = scrape_write(&c->scrape, p + at + frame, PIECE_BYTES - at - frame - CHUNK_TAIL, &n);
    ASSERT(n < PIECE_BYTES && (n > 0 || !more));
    if (frame && n) {
        snprintf(size, sizeof size, "%05x\r\n", (unsigned)n);
        memcpy(p + at, size, frame);
        memcpy(p + at + frame + n, "\r\n", 2);
        at += frame + n + 2;
    } else {
        at += n;
    }
    if (!more) end_scrape(c);
    if (!more && frame) {
        memcpy(p + at, "0\r\n\r\n", 5);
        at += 5;
    }
    if (at) {
        push(c, p, at);
        return;
    }
    mem_free(p); /* to an HTTP/1.0 peer all has been sent */
    begin_to_end(c);
}

static void answer_head(struct connection *c)
{
    char *p = mem_alloc(HEADERS_SIZE);
    push(c, p, scrape_headers(c, p));
}

/* The request is answered; c may be gone afterwards. */
static void answer(struct connection *c)
{
    set_state(c, CONNECTION_ANSWERED);
    if (c->request.status != HTTP_OK) {
        answer_status(c);
        return;
    }
    c->m->common.answered++;
    if (c->request.is_head) {
        answer_head(c);
        return;
    }
    scrape_init(&c->scrape, c->w, &c->m->common);
    c->scrapes = true;
    push_piece(c, true);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* More of what was popped into the head. False: there is no more. */
static bool take_input(struct connection *c)
{
    size_t size = c->in.sga_numsegs ? c->in.sga_segs[0].sgaseg_len - c->taken : 0, room = sizeof c->head - c->head_n;
    if (!size || !room) return false;
    const char *from = (const char *)c->in.sga_segs[0].sgaseg_buf + c->taken;
    size_t n = size < room ? size : room;
    memcpy(c->head + c->head_n, from, n);
    c->has_line |= memchr(from, '\n', n) != NULL;
    c->head_n += n;
    c->taken += n;
    if (n == size) drop_input(c);
    return true;
}

/* Whether it is worth looking: without a new end of line a bound may be passed, and nothing else. */
static bool is_to_parse(const struct connection *c, size_t before)
{
    size_t more = c->head_n - before;
    if (more && memchr(c->head + before, '\n', more)) return true;
    return c->head_n == sizeof c->head || (!c->has_line && c->head_n > HTTP_LINE_MAX);
}

/* Reads what has come; c may be gone afterwards. */
static void serve(struct connection *c, size_t before)
{
    for (; take_input(c) || c->head_n > before; before = c->head_n) {
        if (c->state == CONNECTION_IDLE) set_state(c, CONNECTION_READING);
        if (!is_to_parse(c, before)) continue;
        size_t used = http_request_parse(bytes_of(c->head, c->head_n), PATH, &c->request);
        if (!used) continue;
        c->head_n -= used;
        memmove(c->head, c->head + used, c->head_n);
        c->has_line = memchr(c->head, '\n', c->head_n) != NULL;
        answer(c);
        return;
    }
    ask_for_input(c);
}

/* --- what completes ----------------------------------------------------------------------------------------------- */

static void popped(struct connection *c, const demi_qresult_t *qr)
{
    c->pop = 0;
    bool has_bytes =
        qr->qr_opcode == DEMI_OPC_POP && qr->qr_value.sga.sga_numsegs && qr->qr_value.sga.sga_segs[0].sgaseg_len > 0;
    if (!has_bytes) {
        endpoint_release(qr);
        connection_close(c);
        return;
    }
    ASSERT(!c->in.sga_numsegs);
    c->in = qr->qr_value.sga;
    if (c->state != CONNECTION_ENDING) {
        serve(c, c->head_n);
        return;
    }
    c->dropped += c->in.sga_segs[0].sgaseg_len;
    drop_input(c);
    if (c->dropped > DROPPED_MAX) connection_close(c);
    else ask_for_input(c);
}

static void pushed(struct connection *c, const demi_qresult_t *qr)
{
    c->push = 0;
    if (qr->qr_opcode == DEMI_OPC_FAILED) {
        connection_close(c);
    } else if (c->scrapes) {
        push_piece(c, false);
    } else if (c->request.closes) {
        begin_to_end(c);
    } else {
        set_state(c, CONNECTION_IDLE);
        serve(c, 0);
    }
}

static void completed(struct endpoint *e, struct worker *w, const demi_qresult_t *qr)
{
    struct connection *c = container_of(e, struct connection, endpoint);
    if (c->pop && qr->qr_qt == c->pop) popped(c, qr);
    else if (c->push && qr->qr_qt == c->push) pushed(c, qr);
    else endpoint_release(qr);
}

void connection_open(struct metrics *m, struct worker *w, int qd, enum http_status refused)
{
    struct connection *c = mem_calloc(sizeof *c);
    c->m = m;
    c->w = w;
    c->qd = qd;
    c->endpoint.completed = completed;
    endpoint_set(&w->endpoints, qd, &c->endpoint);
    list_push_back(&m->connections, &c->all);
    m->common.connections++;
    set_state(c, CONNECTION_READING);
    if (refused == HTTP_OK) {
        ask_for_input(c);
        return;
    }
    c->request = (struct http_request){.status = refused, .closes = true};
    answer(c);
}

/* SPDX-License-Identifier: MIT
 *
 * Replies. The tail chunk's free room is [at, end); what is small is written there whole, so that a header never
 * straddles chunks, and payloads are cut where a chunk ends. A chunk's `used` is set when it is sealed (another begins,
 * or all are taken); until then `at` alone knows.
 *
 *   head -> [ used ........ ] -> [ used .... ] -> [ written | free      ]  <- tail
 *            \_____ sealed_bytes _____________/              at         end
 *
 * A deferred header reserves GAP bytes and is written when the count is known; what stands behind it in the same chunk
 * moves up to close the gap (RESP numbers must not be padded). That is at most one chunk's bytes, the price of not
 * counting twice.
 *
 * The bound is looked at where memory is taken, never where bytes are written. A reply that is over keeps one chunk,
 * into which small writes go again and again from its beginning (what stands there is never read); payloads are
 * skipped.
 */
#include "server/resp/reply.h"

#include <stdio.h>

#include "server/ds/number.h"
#include "server/mem.h"

#define HEADER_MAX 24 /* type, 20 digits, "\r\n" */
#define GAP        HEADER_MAX
#define REF_MIN    32768 /* below, a copy is cheaper than a segment and two chunks */
#define CRLF       0x0a0d

/* ---- chunks ---- */

void reply_init(struct reply *r, int proto) { *r = (struct reply){.proto = (uint8_t)proto}; }

void reply_init_values(struct reply *r, const struct reply_values *values)
{
    *r = (struct reply){.proto = 2, .values = values};
}

static void free_chunks(struct reply_chunk *c)
{
    while (c) {
        struct reply_chunk *next = c->next;
        reply_chunk_free(c);
        c = next;
    }
}

void reply_fini(struct reply *r)
{
    free_chunks(r->head);
    reply_init(r, r->proto);
}

void reply_chunk_free(struct reply_chunk *c)
{
    if (c->release) c->release(c->ctx);
    mem_free(c);
}

static bool is_usual(const struct reply_chunk *c) { return c->cap == REPLY_CHUNK_SIZE - sizeof *c; }

static void use_alone(struct reply *r, struct reply_chunk *c)
{
    c->next = NULL;
    c->used = 0;
    r->head = r->tail = c;
    r->at = c->data;
    r->end = c->data + c->cap;
    r->sealed_bytes = 0;
}

static void forget(struct reply *r)
{
    r->head = r->tail = NULL;
    r->at = r->end = NULL;
    r->sealed_bytes = 0;
}

void reply_reset(struct reply *r)
{
    ASSERT(r->deferred == 0);
    r->over = false;
    struct reply_chunk *first = r->head;
    if (!first) return;
    free_chunks(first->next);
    if (is_usual(first)) {
        use_alone(r, first);
    } else {
        reply_chunk_free(first);
        forget(r);
    }
}

static void seal(struct reply *r)
{
    struct reply_chunk *c = r->tail;
    if (!c) return;
    if (c->cap) c->used = (size_t)(r->at - c->data);
    r->sealed_bytes += c->used;
    r->at = r->end = NULL;
}

static void link_chunk(struct reply *r, struct reply_chunk *c)
{
    if (r->tail) r->tail->next = c;
    else r->head = c;
    r->tail = c;
}

/* Writes go to the beginning of one chunk with room for `need` bytes. */
static void write_nowhere(struct reply *r, size_t need)
{
    free_chunks(r->head);
    size_t size = need + sizeof(struct reply_chunk);
    if (size < REPLY_CHUNK_SIZE) size = REPLY_CHUNK_SIZE;
    struct reply_chunk *c = mem_alloc(size);
    *c = (struct reply_chunk){.data = (char *)(c + 1), .cap = size - sizeof *c};
    use_alone(r, c);
}

/* Whether the reply may take `more` bytes; if not it is over. */
static bool may_take(struct reply *r, size_t more)
{
    if (likely(!r->over && (!r->may_grow || r->may_grow(r, reply_bytes(r) + more)))) return true;
    if (!r->over) write_nowhere(r, 0);
    r->over = true;
    return false;
}

/* Begins a chunk with room for `need` bytes. */
static void add_chunk(struct reply *r, size_t need)
{
    if (unlikely(!may_take(r, need))) {
        if (r->tail->cap < need) write_nowhere(r, need);
        else r->at = r->tail->data;
        return;
    }
    size_t size = REPLY_CHUNK_SIZE;
    if (r->tail && r->tail->cap) size = 2 * (r->tail->cap + sizeof *r->tail);
    if (size > REPLY_CHUNK_MAX) size = REPLY_CHUNK_MAX;
    if (size < need + sizeof(struct reply_chunk)) size = need + sizeof(struct reply_chunk);
    seal(r);
    struct reply_chunk *c = mem_alloc(size);
    *c = (struct reply_chunk){.data = (char *)(c + 1), .cap = size - sizeof *c};
    link_chunk(r, c);
    r->at = c->data;
    r->end = c->data + c->cap;
}

void reply_reserve(struct reply *r, size_t n)
{
    ASSERT(!r->head);
    add_chunk(r, n);
}

static inline bool has_room(const struct reply *r, size_t n) { return likely((size_t)(r->end - r->at) >= n); }
/* A reply of values never has room: whoever finds none asks here next. */
static inline bool lacks_text(const struct reply *r, size_t n) { return !has_room(r, n) && r->values; }

static inline char *room(struct reply *r, size_t n)
{
    DASSERT(r->proto == 2 || r->proto == 3);
    DASSERT(!r->values);
    if (unlikely((size_t)(r->end - r->at) < n)) add_chunk(r, n);
    DASSERT((size_t)(r->end - r->at) >= n);
    return r->at;
}

/* Puts the sealed chunks without bytes out of the list. */
static struct reply_chunk *without_empty(struct reply_chunk *c)
{
    struct reply_chunk *first = NULL, **link = &first;
    while (c) {
        struct reply_chunk *next = c->next;
        if (c->used) {
            *link = c;
            link = &c->next;
        } else {
            reply_chunk_free(c);
        }
        c = next;
    }
    *link = NULL;
    return first;
}

struct reply_chunk *reply_take_chunks(struct reply *r)
{
    ASSERT(r->deferred == 0);
    if (reply_bytes(r) == 0) return NULL;
    seal(r);
    struct reply_chunk *first = without_empty(r->head);
    forget(r);
    return first;
}

static size_t tail_bytes(const struct reply *r)
{
    if (!r->tail) return 0;
    return r->tail->cap ? (size_t)(r->at - r->tail->data) : r->tail->used;
}

size_t reply_bytes(const struct reply *r) { return r->sealed_bytes + tail_bytes(r); }

void reply_copy_out(const struct reply *r, char *dst)
{
    const char *start = dst;
    for (const struct reply_chunk *c = r->head; c; c = c->next) {
        size_t n = c == r->tail ? tail_bytes(r) : c->used;
        if (n) memcpy(dst, c->data, n);
        dst += n;
    }
    ASSERT((size_t)(dst - start) == reply_bytes(r));
}

/* ---- bytes ---- */

void reply_raw(struct reply *r, struct bytes s)
{
    DASSERT(!r->values);
    size_t fits = (size_t)(r->end - r->at);
    if (fits > s.n) fits = s.n;
    if (fits) {
        memcpy(r->at, s.p, fits);
        r->at += fits;
    }
    if (fits == s.n) return;
    size_t rest = s.n - fits;
    if (unlikely(rest > REPLY_CHUNK_SIZE && !may_take(r, rest))) return;
    memcpy(room(r, rest), s.p + fits, rest);
    r->at += rest;
}

void reply_append(struct reply *r, const struct reply *from)
{
    ASSERT(from != r);
    ASSERT(from->deferred == 0);
    if (from->over) return;
    for (const struct reply_chunk *c = from->head; c; c = c->next)
        reply_raw(r, bytes_of(c->data, c == from->tail ? tail_bytes(from) : c->used));
}

/* type, number, "\r\n" to p; the bytes written. */
static size_t put_header(char *p, char type, uint64_t v)
{
    p[0] = type;
    size_t n = 1 + number_format_u64(p + 1, v);
    store_u16(p + n, CRLF);
    return n + 2;
}

static void header(struct reply *r, char type, uint64_t v)
{
    char *p = room(r, HEADER_MAX);
    if (v < 10) {
        store_u32(p, (uint32_t)(unsigned char)type | (uint32_t)('0' + v) << 8 | (uint32_t)CRLF << 16);
        r->at += 4;
        return;
    }
    r->at += put_header(p, type, v);
}

/* type, text, "\r\n" */
static void line(struct reply *r, char type, struct bytes text)
{
    char *p = room(r, text.n + 3);
    p[0] = type;
    if (text.n) memcpy(p + 1, text.p, text.n);
    store_u16(p + 1 + text.n, CRLF);
    r->at += text.n + 3;
}

static void literal(struct reply *r, const char *text, size_t n)
{
    memcpy(room(r, n), text, n);
    r->at += n;
}

/* ---- status and errors ---- */

void reply_ok(struct reply *r)
{
    if (lacks_text(r, 5)) r->values->status(r, BYTES("OK"));
    else literal(r, "+OK\r\n", 5);
}

static void without_newlines(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] == '\r' || p[i] == '\n') p[i] = ' ';
}

void reply_status_bytes(struct reply *r, struct bytes text)
{
    if (lacks_text(r, text.n + 3)) {
        r->values->status(r, text);
        return;
    }
    line(r, '+', text);
    without_newlines(r->at - 2 - text.n, text.n);
}

void reply_status(struct reply *r, const char *text) { reply_status_bytes(r, bytes_of_str(text)); }

static bool is_newline(char ch) { return ch == '\r' || ch == '\n'; }

void reply_error_bytes(struct reply *r, struct bytes text)
{
    while (text.n && is_newline(text.p[0])) text.p++, text.n--;
    while (text.n && is_newline(text.p[text.n - 1])) text.n--;
    struct bytes code = text.n && text.p[0] == '-' ? BYTES("") : BYTES("-ERR ");
    size_t n = code.n + text.n;
    char *alone = r->values ? mem_alloc(n) : NULL, *p = alone ? alone : room(r, n + 2);
    memcpy(p, code.p, code.n);
    if (text.n) memcpy(p + code.n, text.p, text.n);
    without_newlines(p, n);
    r->error_count++;
    if (alone) {
        if (r->on_error) r->on_error(r->on_error_ctx, bytes_of(p + 1, n - 1));
        r->values->error(r, bytes_of(p + 1, n - 1));
        mem_free(alone);
        return;
    }
    store_u16(p + n, CRLF);
    r->at += n + 2;
    if (r->on_error) r->on_error(r->on_error_ctx, bytes_of(p + 1, n - 1));
}

void reply_error(struct reply *r, const char *text) { reply_error_bytes(r, bytes_of_str(text)); }

/* Formats into `stack` (of `size` bytes) or, if it is longer, into memory the caller frees when it is not `stack`. */
static struct bytes format_text(char *stack, size_t size, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(stack, size, format, ap);
    ASSERT(n >= 0);
    char *text = stack;
    if ((size_t)n >= size) {
        text = mem_alloc((size_t)n + 1);
        vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    return bytes_of(text, (size_t)n);
}

void reply_verrorf(struct reply *r, const char *format, va_list ap)
{
    char stack[512];
    struct bytes text = format_text(stack, sizeof stack, format, ap);
    reply_error_bytes(r, text);
    if (text.p != stack) mem_free((char *)text.p);
}

void reply_errorf(struct reply *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    reply_verrorf(r, format, ap);
    va_end(ap);
}

/* ---- numbers and strings ---- */

void reply_int(struct reply *r, int64_t v)
{
    if (lacks_text(r, HEADER_MAX)) {
        r->values->integer(r, v);
        return;
    }
    if (v >= 0) {
        header(r, ':', (uint64_t)v);
        return;
    }
    char *p = room(r, HEADER_MAX);
    p[0] = ':';
    size_t n = 1 + number_format_i64(p + 1, v);
    store_u16(p + n, CRLF);
    r->at += n + 2;
}

void reply_bulk_slow(struct reply *r, struct bytes s)
{
    if (lacks_text(r, HEADER_MAX)) {
        r->values->bulk(r, s);
        return;
    }
    header(r, '$', s.n);
    if ((size_t)(r->end - r->at) >= s.n + 2) {
        if (s.n) memcpy(r->at, s.p, s.n);
        store_u16(r->at + s.n, CRLF);
        r->at += s.n + 2;
        return;
    }
    reply_raw(r, s);
    literal(r, "\r\n", 2);
}

void reply_bulk_str(struct reply *r, const char *s) { reply_bulk(r, bytes_of_str(s)); }

void reply_bulk_int(struct reply *r, int64_t v)
{
    char text[NUMBER_I64_SIZE];
    reply_bulk(r, bytes_of(text, number_format_i64(text, v)));
}

void reply_bulk_ref(struct reply *r, struct bytes s, void (*release)(void *ctx), void *ctx)
{
    if (s.n < REF_MIN || r->values) {
        reply_bulk(r, s);
        release(ctx);
        return;
    }
    header(r, '$', s.n);
    if (!may_take(r, s.n)) {
        release(ctx);
        return;
    }
    seal(r);
    struct reply_chunk *c = mem_alloc(sizeof *c);
    *c = (struct reply_chunk){.data = (char *)s.p, .used = s.n, .release = release, .ctx = ctx};
    link_chunk(r, c);
    literal(r, "\r\n", 2);
}

void reply_null(struct reply *r)
{
    if (lacks_text(r, 5)) r->values->null(r, false);
    else if (r->proto == 2) literal(r, "$-1\r\n", 5);
    else literal(r, "_\r\n", 3);
}

void reply_null_array(struct reply *r)
{
    if (lacks_text(r, 5)) r->values->null(r, true);
    else if (r->proto == 2) literal(r, "*-1\r\n", 5);
    else literal(r, "_\r\n", 3);
}

void reply_bool(struct reply *r, bool v)
{
    if (r->proto == 2) reply_int(r, v);
    else if (r->values) r->values->boolean(r, v);
    else literal(r, v ? "#t\r\n" : "#f\r\n", 4);
}

static void number_text(struct reply *r, char type, struct bytes text)
{
    if (r->proto == 2) reply_bulk(r, text);
    else line(r, type, text);
}

void reply_double(struct reply *r, double v)
{
    if (r->values && r->proto != 2) {
        r->values->real(r, v);
        return;
    }
    char text[NUMBER_DOUBLE_SIZE];
    number_text(r, ',', bytes_of(text, number_format_double(text, v)));
}

void reply_human_double(struct reply *r, long double v)
{
    if (r->values && r->proto != 2) {
        r->values->real(r, (double)v);
        return;
    }
    char text[NUMBER_LDOUBLE_SIZE];
    number_text(r, ',', bytes_of(text, number_format_ldouble(text, v)));
}

void reply_big_number(struct reply *r, struct bytes digits)
{
    if (r->values && r->proto != 2) r->values->big_number(r, digits);
    else number_text(r, '(', digits);
}

void reply_verbatim(struct reply *r, struct bytes s, const char format[3])
{
    if (r->proto == 2) {
        reply_bulk(r, s);
        return;
    }
    if (r->values) {
        r->values->verbatim(r, s, format);
        return;
    }
    header(r, '=', s.n + 4);
    char kind[4] = {format[0], format[1], format[2], ':'};
    literal(r, kind, sizeof kind);
    reply_raw(r, s);
    literal(r, "\r\n", 2);
}

/* ---- aggregates ---- */

/* What a RESP2 client sees of an aggregate of type `type` with `count` entries. */
static void aggregate_of(const struct reply *r, char *type, uint64_t *count)
{
    if (r->proto != 2) return;
    if (*type == '%') *count *= 2;
    *type = '*';
}

static void aggregate(struct reply *r, char type, uint64_t count)
{
    aggregate_of(r, &type, &count);
    if (lacks_text(r, HEADER_MAX)) r->values->aggregate(r, type, count);
    else header(r, type, count);
}

void reply_array(struct reply *r, size_t count)
{
    if (lacks_text(r, HEADER_MAX)) r->values->aggregate(r, '*', count);
    else header(r, '*', count);
}
void reply_map(struct reply *r, size_t count) { aggregate(r, '%', count); }
void reply_set(struct reply *r, size_t count) { aggregate(r, '~', count); }
void reply_push(struct reply *r, size_t count) { aggregate(r, '>', count); }

void reply_attribute(struct reply *r, size_t count)
{
    ASSERT(r->proto != 2);
    aggregate(r, '|', count);
}

struct reply_mark reply_defer(struct reply *r)
{
    if (lacks_text(r, GAP)) {
        r->values->defer(r);
        return (struct reply_mark){NULL, 0};
    }
    char *p = room(r, GAP);
    ASSERT(r->deferred < UINT8_MAX);
    r->deferred++;
    r->at += GAP;
    return (struct reply_mark){r->tail, (size_t)(p - r->tail->data)};
}

static void defer_end(struct reply *r, struct reply_mark m, char type, uint64_t count)
{
    if (!m.chunk) {
        aggregate_of(r, &type, &count);
        r->values->defer_end(r, type, count);
        return;
    }
    ASSERT(r->deferred > 0);
    if (unlikely(r->over)) { /* the chunk may be gone */
        r->deferred--;
        return;
    }
    struct reply_chunk *c = m.chunk;
    bool is_tail = c == r->tail;
    size_t used = is_tail ? (size_t)(r->at - c->data) : c->used;
    ASSERT(m.offset + GAP <= used);
    aggregate_of(r, &type, &count);
    size_t n = put_header(c->data + m.offset, type, count), shrink = GAP - n;
    memmove(c->data + m.offset + n, c->data + m.offset + GAP, used - m.offset - GAP);
    r->deferred--;
    if (is_tail) {
        r->at -= shrink;
    } else {
        c->used -= shrink;
        r->sealed_bytes -= shrink;
    }
}

void reply_defer_array(struct reply *r, struct reply_mark m, size_t count) { defer_end(r, m, '*', count); }
void reply_defer_map(struct reply *r, struct reply_mark m, size_t count) { defer_end(r, m, '%', count); }
void reply_defer_set(struct reply *r, struct reply_mark m, size_t count) { defer_end(r, m, '~', count); }

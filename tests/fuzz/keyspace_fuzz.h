/* SPDX-License-Identifier: MIT
 *
 * For fuzz targets of the keyspace: a server without a loop, a network or clients, one for each input, whose commands
 * are asked for by a session. Replies are bounded, so that an input costs milliseconds.
 */
#ifndef TESTS_FUZZ_KEYSPACE_FUZZ_H
#define TESTS_FUZZ_KEYSPACE_FUZZ_H

#include "server/exec/session_fixture.h"

#define KEYSPACE_REPLY_MAX (256u << 10)
#define KEYSPACE_BULK_MAX  (1 << 20)

struct keyspace {
    struct fixture f;
    struct reply out;
    struct session s;
};

static inline bool keyspace_reply_may_grow(struct reply *r, size_t bytes) { return bytes <= KEYSPACE_REPLY_MAX; }

static inline void keyspace_session(struct keyspace *k, struct session *s, struct reply *out)
{
    reply_init(out, 2);
    out->may_grow = keyspace_reply_may_grow;
    session_init(s, &k->f.w, out);
}

static inline void keyspace_session_end(struct session *s)
{
    session_fini(s);
    reply_fini(s->out);
}

static inline struct keyspace *keyspace_new(void)
{
    static struct keyspace k;
    fixture_init(&k.f, 16);
    k.f.cfg.proto_max_bulk_len = KEYSPACE_BULK_MAX;
    k.f.srv.list_options = (struct quicklist_options){.fill = -2, .packed_threshold = 1 << 30};
    keyspace_session(&k, &k.s, &k.out);
    return &k;
}

static inline void keyspace_free(struct keyspace *k)
{
    keyspace_session_end(&k->s);
    fixture_fini(&k->f);
}

/* The reply's bytes, the caller's (mem_free). An array of no words is no request. */
static inline struct bytes keyspace_ask(struct session *s, const struct bytes *argv, int argc)
{
    reply_reset(s->out);
    exec_argv(s, argv, argc);
    size_t n = reply_bytes(s->out);
    char *text = mem_alloc(n + 1);
    reply_copy_out(s->out, text);
    return bytes_of(text, n);
}

static inline void keyspace_do(struct session *s, const struct bytes *argv, int argc)
{
    reply_reset(s->out);
    exec_argv(s, argv, argc);
}

/* The payload of a bulk reply, inside of it; p NULL: it is none. */
static inline struct bytes keyspace_bulk(struct bytes reply)
{
    const char *line = reply.n && reply.p[0] == '$' ? memchr(reply.p, '\n', reply.n) : NULL;
    size_t head = line ? (size_t)(line + 1 - reply.p) : 0;
    if (!head || reply.n < head + 2) return bytes_of(NULL, 0);
    return bytes_of(reply.p + head, reply.n - head - 2);
}

static inline bool keyspace_replied(struct bytes reply, const char *head)
{
    return reply.n >= strlen(head) && !memcmp(reply.p, head, strlen(head));
}

/* What is in `payload` as a key of its own, and that dumped: the caller's, p NULL if it is refused. */
static inline struct bytes keyspace_dump_again(struct session *s, struct bytes payload)
{
    struct bytes key = BYTES("\r\nanother\r\n");
    struct bytes restore[] = {BYTES("RESTORE"), key, BYTES("0"), payload, BYTES("REPLACE")};
    struct bytes dump[] = {BYTES("DUMP"), key}, del[] = {BYTES("DEL"), key};
    struct bytes said = keyspace_ask(s, restore, 5), again = keyspace_ask(s, dump, 2);
    bool taken = keyspace_replied(said, "+OK");
    keyspace_do(s, del, 2);
    mem_free((char *)said.p);
    if (taken) return again;
    mem_free((char *)again.p);
    return bytes_of(NULL, 0);
}

/* What a key holds goes through DUMP and RESTORE. The first time its encoding may change, since it grew or shrank under
 * commands and is now built at once; then it stays, and so does the number of bytes. */
static inline void keyspace_check_key(struct session *s, struct bytes key)
{
    struct bytes dump[] = {BYTES("DUMP"), key};
    struct bytes first = keyspace_ask(s, dump, 2);
    if (keyspace_bulk(first).p) {
        struct bytes second = keyspace_dump_again(s, keyspace_bulk(first));
        ASSERT(keyspace_bulk(second).p);
        struct bytes third = keyspace_dump_again(s, keyspace_bulk(second));
        ASSERT(keyspace_bulk(third).n == keyspace_bulk(second).n);
        mem_free((char *)second.p);
        mem_free((char *)third.p);
    }
    mem_free((char *)first.p);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Our server as hiredis sees it: the synchronous API with replies of every type and pipelines, the asynchronous one
 * over a poll() loop of its own (its event adapters want libraries). TAP on stdout; the argument is the server's Unix
 * socket.
 */
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIPELINE = 1000, ASYNC_CALLS = 500, POLL_MS = 5000 };

static int cases, failures;

static void ok(bool passed, const char *claim)
{
    cases++;
    failures += !passed;
    printf("%sok %d - hiredis: %s\n", passed ? "" : "not ", cases, claim);
}

/* True when a command's reply has this type and, unless text is NULL, this text. */
static bool replies(redisContext *c, int type, const char *text, const char *command)
{
    redisReply *r = redisCommand(c, command);
    bool same = r && r->type == type && (!text || (r->str && !strcmp(r->str, text)));
    if (r) freeReplyObject(r);
    return same;
}

static bool integer(redisContext *c, long long value, const char *command)
{
    redisReply *r = redisCommand(c, command);
    bool same = r && r->type == REDIS_REPLY_INTEGER && r->integer == value;
    if (r) freeReplyObject(r);
    return same;
}

static void test_types(redisContext *c)
{
    ok(replies(c, REDIS_REPLY_STATUS, "PONG", "PING"), "a status");
    ok(replies(c, REDIS_REPLY_STATUS, "OK", "SET k value"), "SET");
    ok(replies(c, REDIS_REPLY_STRING, "value", "GET k"), "a string");
    ok(replies(c, REDIS_REPLY_NIL, NULL, "GET missing"), "a null");
    ok(integer(c, 5, "INCRBY n 5"), "an integer");
    ok(replies(c, REDIS_REPLY_ERROR, "WRONGTYPE Operation against a key holding the wrong kind of value", "LPUSH k x"),
       "an error");
    redisReply *r = redisCommand(c, "RPUSH list a b c");
    if (r) freeReplyObject(r);
    r = redisCommand(c, "LRANGE list 0 -1");
    ok(r && r->type == REDIS_REPLY_ARRAY && r->elements == 3 && !strcmp(r->element[2]->str, "c"), "an array");
    if (r) freeReplyObject(r);
}

static void test_binary(redisContext *c)
{
    static const char bytes[] = "a\0b\r\n\xff";
    redisReply *r = redisCommand(c, "SET bin %b", bytes, sizeof bytes);
    if (r) freeReplyObject(r);
    r = redisCommand(c, "GET bin");
    ok(r && r->len == sizeof bytes && !memcmp(r->str, bytes, sizeof bytes), "binary values keep every byte");
    if (r) freeReplyObject(r);
}

static void test_pipeline(redisContext *c)
{
    for (int i = 0; i < PIPELINE; i++) redisAppendCommand(c, "INCR pipelined");
    bool in_order = true;
    for (int i = 1; i <= PIPELINE; i++) {
        redisReply *r = NULL;
        if (redisGetReply(c, (void **)&r) != REDIS_OK || r->integer != i) in_order = false;
        if (r) freeReplyObject(r);
    }
    ok(in_order, "a thousand pipelined replies come in order");
}

static void test_transaction(redisContext *c)
{
    ok(replies(c, REDIS_REPLY_STATUS, "OK", "MULTI"), "MULTI");
    ok(replies(c, REDIS_REPLY_STATUS, "QUEUED", "INCR t"), "a queued command");
    redisReply *r = redisCommand(c, "EXEC");
    ok(r && r->type == REDIS_REPLY_ARRAY && r->elements == 1 && r->element[0]->integer == 1, "EXEC");
    if (r) freeReplyObject(r);
}

static void test_large(redisContext *c)
{
    size_t size = 4 << 20;
    char *value = malloc(size);
    memset(value, 'v', size);
    redisReply *r = redisCommand(c, "SET large %b", value, size);
    if (r) freeReplyObject(r);
    r = redisCommand(c, "GET large");
    ok(r && r->len == size && !memcmp(r->str, value, size), "four megabytes there and back");
    if (r) freeReplyObject(r);
    free(value);
}

/* --- asynchronous -------------------------------------------------------------------------------------------- */

struct loop {
    bool reading, writing, connected, over;
    int answered;
    bool in_order;
};

static void add_read(void *data) { ((struct loop *)data)->reading = true; }
static void del_read(void *data) { ((struct loop *)data)->reading = false; }
static void add_write(void *data) { ((struct loop *)data)->writing = true; }
static void del_write(void *data) { ((struct loop *)data)->writing = false; }
static void cleanup(void *data) { ((struct loop *)data)->over = true; }

static void on_connect(const redisAsyncContext *c, int status)
{
    ((struct loop *)c->data)->connected = status == REDIS_OK;
}

static void on_reply(redisAsyncContext *c, void *reply, void *data)
{
    struct loop *l = c->data;
    redisReply *r = reply;
    if (!r) return;
    if (r->integer != ++l->answered) l->in_order = false;
    if (l->answered == ASYNC_CALLS) redisAsyncDisconnect(c);
}

static void turn(redisAsyncContext *c, struct loop *l)
{
    short events = (short)((l->reading ? POLLIN : 0) | (l->writing ? POLLOUT : 0));
    struct pollfd fd = {.fd = c->c.fd, .events = events};
    if (poll(&fd, 1, POLL_MS) <= 0) {
        l->over = true;
        return;
    }
    if (fd.revents & (POLLIN | POLLHUP | POLLERR)) redisAsyncHandleRead(c);
    if (!l->over && (fd.revents & POLLOUT)) redisAsyncHandleWrite(c);
}

static void test_async(const char *path)
{
    struct loop l = {.in_order = true};
    redisAsyncContext *c = redisAsyncConnectUnix(path);
    if (!c || c->err) {
        ok(false, "an asynchronous connection");
        return;
    }
    c->data = &l;
    c->ev.data = &l;
    c->ev.addRead = add_read;
    c->ev.delRead = del_read;
    c->ev.addWrite = add_write;
    c->ev.delWrite = del_write;
    c->ev.cleanup = cleanup;
    redisAsyncSetConnectCallback(c, on_connect);
    for (int i = 0; i < ASYNC_CALLS; i++) redisAsyncCommand(c, on_reply, NULL, "INCR async");
    while (!l.over) turn(c, &l);
    ok(l.connected, "an asynchronous connection");
    ok(l.answered == ASYNC_CALLS && l.in_order, "every callback is called, in order");
}

int main(int argc, char **argv)
{
    redisContext *c = argc == 2 ? redisConnectUnix(argv[1]) : NULL;
    if (!c || c->err) {
        printf("Bail out! no connection\n");
        return 1;
    }
    test_types(c);
    test_binary(c);
    test_pipeline(c);
    test_transaction(c);
    test_large(c);
    redisFree(c);
    test_async(argv[1]);
    printf("1..%d\n", cases);
    return failures > 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The batch: what makes pipelined commands cheap. The input of all clients that have some is worked
 * on in phases, so that the latency of memory is paid once a batch and not once a command
 * (ARCHITECTURE.md section 4):
 *
 *   parse    every complete command into slices of the input; look its row up; find and hash its
 *            keys; ask for their buckets
 *   fetch    in a tight loop: touch the entries that the buckets' tags point at
 *   execute  in order, replies into the clients' buffers
 *
 * A client's commands run in the order in which they came. When one of them makes the client stop
 * (it blocks, is paused or is to be closed), its later commands of this batch are given back: its
 * input is wound back to the first of them. A client that is not authenticated gets one command a
 * batch, because AUTH changes the limits its next command is parsed with. An inline command, which
 * is unquoted where it lies and so cannot be parsed twice, is only ever the first of its client in
 * a batch; given back, it is rewritten.
 */
#include "server/exec/batch.h"

#include "server/command/handlers.h"
#include "server/command/lookup.h"
#include "server/exec/blocked.h"
#include "server/exec/exec.h"
#include "server/exec/multi.h"
#include "server/mem.h"
#include "server/net/client_weight.h"
#include "server/observe/log.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

/* Commands a batch: enough to overlap the misses, few enough that what was fetched is still in the
 * first-level cache. */
#define BATCH_COMMANDS 128
/* Arguments a batch: parsing stops at the command that goes over it. */
#define BATCH_ARGS 4096
/* Bytes of one client's input that are served in a row while others wait: redis-server's PROTO_IOBUF_LEN. */
#define TURN_INPUT ((size_t)16 << 10)
/* Keys of one request that are fetched before it runs, and of a batch. */
#define KEYS_FETCHED       4
#define BATCH_KEYS_FETCHED (2 * BATCH_COMMANDS)

struct parsed {
    struct client *cl;
    struct request req; /* cmd NULL: unknown, or has subcommands; argv and keys are set when it runs */
    uint32_t first;     /* argument index in args */
    uint32_t first_key; /* index in keys */
    size_t start, end;  /* offsets in the client's input */
    bool is_inline;
};

/* A key whose bucket was asked for. They lie side by side, so that the loop over them is short enough for the misses of
 * several entries to be under way at once. */
struct fetch {
    const struct table_bucket *bucket;
    uint64_t hash;
};

struct batch {
    struct argv_vec args;
    struct key_refs keys;
    /* The command looked up last, by its letters as they came: a pipeline mostly repeats itself. */
    uint64_t last_name;
    size_t last_size;
    const struct command *last_cmd;
    size_t in_a_row; /* bytes of the first ready client that earlier batches have served */
    struct parsed cmds[BATCH_COMMANDS];
    struct fetch fetches[BATCH_KEYS_FETCHED];
    unsigned count, fetch_count;
};

int batch_init(struct worker *w)
{
    w->batch = mem_calloc(sizeof *w->batch);
    argv_vec_init(&w->batch->args);
    return 0;
}

void batch_fini(struct worker *w)
{
    if (!w->batch) return;
    argv_vec_fini(&w->batch->args);
    key_refs_fini(&w->batch->keys);
    mem_free(w->batch);
    w->batch = NULL;
}

static bool is_held(const struct client *cl)
{
    return cl->flags &
           (CLIENT_BLOCKED | CLIENT_CLOSE_AFTER | CLIENT_CLOSE_NOW | CLIENT_PAUSED | CLIENT_OWING | CLIENT_IN_SCRIPT);
}

static const struct command *find_command(struct batch *b, const struct parsed *p, struct bytes name)
{
    /* Behind the name of a multibulk request with arguments come at least eight more bytes. */
    if (unlikely(name.n == 0 || name.n > 8 || p->req.argc < 2 || p->is_inline)) return command_lookup(name);
    uint64_t letters = load_u64(name.p) << (64 - 8 * name.n);
    if (unlikely(letters != b->last_name || name.n != b->last_size)) {
        b->last_cmd = command_lookup(name);
        b->last_name = letters;
        b->last_size = name.n;
    }
    return b->last_cmd;
}

/* Where a command's keys are. Nothing may be there: a sum with a null pointer is not C's (C11 6.5.6). */
static const struct key_ref *keys_of(const struct batch *b, const struct parsed *p)
{
    return (const struct key_ref *)((uintptr_t)b->keys.v + p->first_key * sizeof *b->keys.v);
}

/* Finds the command and its keys. What a long request names goes over what the caches hold: its handler fetches that
 * as it comes to it (call_key_ahead()). */
static void resolve(struct batch *b, struct parsed *p, const struct bytes *argv, struct client *cl)
{
    const struct command *cmd = find_command(b, p, argv[0]);
    p->first_key = (uint32_t)b->keys.used;
    p->req.key_count = 0;
    if (unlikely(!cmd || cmd->sub_count)) {
        p->req.cmd = NULL;
        return;
    }
    p->req.cmd = cmd;
    p->req.key_count = request_find_keys(cl->s.db, cmd, argv, p->req.argc, &b->keys);
    if (unlikely(p->req.key_count == 0)) return;
    const struct key_ref *keys = keys_of(b, p);
    for (int i = 0; i < p->req.key_count && i < KEYS_FETCHED && b->fetch_count < BATCH_KEYS_FETCHED; i++)
        b->fetches[b->fetch_count++] = (struct fetch){db_prefetch_bucket(cl->s.db, &keys[i]), keys[i].hash};
}

static void fetch(const struct batch *b)
{
    for (unsigned i = 0; i < b->fetch_count; i++) table_prefetch_entry(b->fetches[i].bucket, b->fetches[i].hash);
}

static void protocol_error(struct client *cl, const char *text)
{
    struct worker *w = cl->w;
    w->stats.protocol_errors++;
    if (unlikely(cl->s.flags & SESSION_PRIMARY)) {
        upstream_protocol_error(cl, text);
        return;
    }
    reply_error(&cl->out, text);
    server_log(w->srv, LOG_VERBOSE_LEVEL, "Protocol error (%s) from client: %s", text, cl->peer);
    client_close_after_reply(cl);
}

/* Parses what cl has, as far as the batch has room. False: the batch is full and cl has more. */
static bool parse_client(struct worker *w, struct client *cl)
{
    struct batch *b = w->batch;
    const struct config *cfg = w->conf.cfg;
    bool authenticated = cl->s.flags & SESSION_AUTHENTICATED;
    bool primary = cl->s.flags & SESSION_PRIMARY;
    struct resp_limits limits = {.bulk_bytes_max = primary ? INT64_MAX : cfg->proto_max_bulk_len,
                                 .unauthenticated = !authenticated,
                                 .multibulk_only = primary};
    struct resp_request req;
    while (cl->in_off < cl->in_len) {
        if (b->count == BATCH_COMMANDS || b->args.used >= BATCH_ARGS) return false;
        bool first = b->count == 0 || b->cmds[b->count - 1].cl != cl;
        if (!first && cl->in[cl->in_off] != '*') return false;
        enum resp_result r =
            resp_parse(&cl->parser, &limits, (char *)cl->in + cl->in_off, cl->in_len - cl->in_off, &b->args, &req);
        if (r == RESP_ERROR) {
            /* The error is answered in order, behind the commands that came before it. */
            struct parsed *p = &b->cmds[b->count++];
            *p = (struct parsed){.cl = cl, .req = {.argc = -1}, .start = cl->in_off};
            memcpy(cl->error, req.error, sizeof cl->error);
            cl->in_off = cl->in_len;
            return true;
        }
        size_t start = cl->in_off;
        cl->in_off += req.consumed;
        if (r == RESP_NEED_MORE) {
            cl->in_want = req.want;
            if (unlikely(cl->flags & CLIENT_WEIGHED)) client_weigh(cl); /* before others find it there */
            return true;
        }
        struct parsed *p = &b->cmds[b->count++];
        p->cl = cl;
        p->first = (uint32_t)req.first;
        p->req.argc = req.argc;
        p->start = start;
        p->end = cl->in_off;
        p->is_inline = req.is_inline;
        resolve(b, p, &b->args.v[req.first], cl);
        if (!authenticated) return cl->in_off == cl->in_len;
    }
    return true;
}

/* The same arguments as a multibulk request. */
static void rewrite_inline(struct client *cl, const struct bytes *argv, int argc, size_t rest)
{
    struct reply text;
    reply_init(&text, 2);
    reply_array(&text, (size_t)argc);
    for (int i = 0; i < argc; i++) reply_bulk(&text, argv[i]);
    size_t n = reply_bytes(&text);
    char *flat = mem_alloc(n);
    reply_copy_out(&text, flat);
    client_unparse(cl, flat, n, rest);
    mem_free(flat);
    reply_fini(&text);
}

static void give_back(struct worker *w, const struct parsed *p)
{
    struct client *cl = p->cl;
    resp_parser_init(&cl->parser);
    if (p->is_inline && p->req.argc > 0) rewrite_inline(cl, &w->batch->args.v[p->first], p->req.argc, p->end);
    else cl->in_off = p->start;
}

/* Commands from number i on wait for the next turn, in their order, before whoever was not parsed yet. */
static void put_off(struct worker *w, unsigned i)
{
    struct batch *b = w->batch;
    for (unsigned k = b->count; k-- > i;) {
        const struct parsed *p = &b->cmds[k];
        if (k > i && b->cmds[k - 1].cl == p->cl) continue;
        give_back(w, p);
        if (!is_held(p->cl)) worker_ready_first(w, p->cl);
    }
    b->count = i;
}

static void execute(struct worker *w)
{
    struct batch *b = w->batch;
    struct client *held = NULL; /* the client whose commands are being given back */
    for (unsigned i = 0; i < b->count; i++) {
        struct parsed *p = &b->cmds[i];
        struct client *cl = p->cl;
        if (unlikely(held)) {
            if (held == cl) continue;
            held = NULL;
        }
        if (unlikely(w->cut_short)) {
            put_off(w, i);
            return;
        }
        if (unlikely(is_held(cl))) {
            held = cl;
            give_back(w, p);
            continue;
        }
        if (unlikely(p->req.argc < 0)) {
            protocol_error(cl, cl->error);
            continue;
        }
        p->req.argv = &b->args.v[p->first];
        p->req.keys = keys_of(b, p);
        enum exec_verdict v = exec_request(&cl->s, &p->req);
        if (unlikely(v != EXEC_DONE)) {
            if (v == EXEC_HOLD) {
                cl->flags |= CLIENT_PAUSED;
                held = cl;
                give_back(w, p);
                continue;
            }
            upstream_applied(cl, p->start, p->end);
        }
        if (unlikely(blocked_any_ready(w))) blocked_serve(w);
    }
}

struct batch *batch_put_aside(struct worker *w, const struct session *running, const struct bytes *argv)
{
    struct batch *b = w->batch;
    const struct bytes *exec_argv = multi_exec_argv(running);
    if (exec_argv) argv = exec_argv;
    unsigned i = 0;
    while (i < b->count && (b->cmds[i].cl != running->client || &b->args.v[b->cmds[i].first] != argv)) i++;
    struct client *last = NULL;
    for (unsigned behind = i + 1; behind < b->count; behind++) {
        struct client *cl = b->cmds[behind].cl;
        if (cl == last) continue;
        last = cl;
        give_back(w, &b->cmds[behind]);
        if (cl != running->client) worker_ready(w, cl);
    }
    if (i < b->count) b->count = i + 1;
    w->batch = NULL;
    batch_init(w);
    return b;
}

void batch_take_back(struct worker *w, struct batch *b)
{
    batch_fini(w);
    w->batch = b;
}

/* cl has more than fitted in; `served` bytes of it did. */
static void queue_again(struct worker *w, struct client *cl, size_t served)
{
    struct batch *b = w->batch;
    b->in_a_row += served;
    if (b->in_a_row < TURN_INPUT) {
        worker_ready_first(w, cl);
    } else {
        b->in_a_row = 0;
        worker_ready(w, cl);
    }
}

static void run_once(struct worker *w)
{
    struct batch *b = w->batch;
    b->count = b->fetch_count = 0;
    argv_vec_reset(&b->args);
    key_refs_reset(&b->keys);
    bool full = false;
    while (w->ready && !full) {
        struct client *cl = w->ready;
        w->ready = cl->next_ready;
        if (!w->ready) w->ready_tail = &w->ready;
        cl->flags &= ~(uint32_t)CLIENT_READY_QUEUED;
        if (is_held(cl)) { /* unblocking puts it back */
            b->in_a_row = 0;
            continue;
        }
        size_t from = cl->in_off;
        full = !parse_client(w, cl);
        if (full) queue_again(w, cl, cl->in_off - from);
        else b->in_a_row = 0;
        client_output(cl); /* at the end of the turn; and its input is settled, more asked for */
    }
    fetch(b);
    execute(w);
    w->stats.batches++;
}

void batch_run(struct worker *w)
{
    while (w->ready && !w->cut_short) run_once(w);
    w->call.cmd = NULL; /* a crash from here on is not the last command's */
    argv_vec_reset(&w->batch->args);
    key_refs_reset(&w->batch->keys);
}

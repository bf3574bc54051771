/* SPDX-License-Identifier: MIT
 *
 * The whole server as a host of the simulation, and the client's side of its protocol.
 */
#ifndef TESTS_SIM_REDIS_H
#define TESTS_SIM_REDIS_H

#include "tests/sim/sim_test.h"

#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/start.h"

#define SERVER_ADDR "10.0.0.1"
#define SERVER_PORT 6379

/* --- the server --------------------------------------------------------------------------------------------------- */

struct server_host {
    struct world *w;
    const char *conf;                       /* lines beside the usual ones */
    bool has_files;                         /* there is a disk: the data are loaded */
    uint64_t salt;                          /* chance of its own, where there are several */
    void (*started)(struct server_host *h); /* before it does anything; may be NULL */
    struct server *srv;                     /* while it runs; else NULL */
    int exit_code;                          /* then */
    uint64_t ended_ns;
};

static inline void server_is_ready(struct server *srv) {}

/* Its log is nobody's, unless SIM_LOG names a file. */
static inline void server_conf(const struct server_host *h, char *text, size_t room)
{
    static const char usual[] = "port 6379\nbind *\nprotected-mode no\nsave \"\"\n";
    const char *log = getenv("SIM_LOG");
    snprintf(text, room, "%slogfile %s\nloglevel %s\n%s", usual, log ? log : "/dev/null", log ? "verbose" : "warning",
             h->conf ? h->conf : "");
}

/* Power fails: what it does from now on nobody sees, and it ends. Not from inside of a host. */
static inline void server_crash(struct server_host *h, struct sim_host *host)
{
    struct server *srv = h->srv;
    if (srv) srv->stopping = true;
    if (srv && srv->workers && srv->workers[0].wake) demi_wake_ring(srv->workers[0].wake);
    sim_host_crash(host);
}

/* arg: struct server_host. Runs until a client says SHUTDOWN, or by itself comes to an end. */
static inline int server_main(void *arg)
{
    struct server_host *h = arg;
    struct config *cfg = calloc(1, sizeof *cfg);
    struct server *srv = calloc(1, sizeof *srv);
    struct conf_failure why;
    char text[1024];
    server_conf(h, text, sizeof text);
    command_table_init();
    conf_init(cfg);
    bool ok = check(h->w, !conf_load_text(cfg, bytes_of_str(text), false, NULL, &why), "configuration: %s", why.reason);
    server_init(srv, cfg);
    h->srv = srv;
    struct server_options o = {.hash_seed = hash_u64(1, h->w->seed + h->salt),
                               .dice_seed = hash_u64(2, h->w->seed + (h->salt << 32)),
                               .libos_runs = true};
    ok = ok && CHECK_EQUAL(h->w, server_start(srv, &o), 0);
    if (ok && h->started) h->started(h);
    if (ok && h->has_files) persist_load_begin(&srv->workers[0], server_is_ready);
    if (ok) CHECK_EQUAL(h->w, worker_run(&srv->workers[0]), 0);
    if (ok) server_stop(srv);
    h->srv = NULL;
    h->exit_code = srv->exit_code;
    h->ended_ns = sim_now(h->w->sim);
    conf_fini(cfg);
    free(cfg);
    free(srv);
    return 0;
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

static inline size_t line_end(const char *p, size_t n)
{
    const char *at = n ? memchr(p, '\n', n) : NULL;
    return at ? (size_t)(at - p) + 1 : 0;
}

/* Bytes of the reply that p begins with; 0: it is not whole yet. */
static inline size_t reply_size(const char *p, size_t n)
{
    size_t at = line_end(p, n);
    if (!at) return 0;
    long long k = strtoll(p + 1, NULL, 10);
    if (*p == '$' && k >= 0) return at + (size_t)k + 2 <= n ? at + (size_t)k + 2 : 0;
    if (*p != '*' && *p != '>' && *p != '%') return at;
    if (*p == '%') k *= 2;
    for (; k > 0; k--) {
        size_t one = reply_size(p + at, n - at);
        if (!one) return 0;
        at += one;
    }
    return at;
}

/* --- a client's connection ---------------------------------------------------------------------------------------- */

struct link {
    struct world *w;
    int qd;
    char *in;
    size_t at, n, room;
};

static inline int link_open(struct link *l, struct world *w)
{
    *l = (struct link){.w = w};
    for (;;) { /* until it has started, and a handshake gets through */
        l->qd = connect_to(SERVER_ADDR, SERVER_PORT);
        if (l->qd != -ECONNREFUSED &&
            (!w->lossy || (l->qd != -ETIMEDOUT && l->qd != -EHOSTUNREACH && l->qd != -ECONNRESET)))
            break;
        sleep_ns(MS(1));
    }
    if (l->qd >= 0 && w->lossy) keep_alive(l->qd, 10);
    return l->qd < 0 ? l->qd : 0;
}

static inline void link_close(struct link *l)
{
    if (l->qd >= 0) demi_close(l->qd);
    free(l->in);
    l->in = NULL;
    l->qd = -1;
}

/* More input; 0 at the end, -errno. */
static inline int link_fill(struct link *l)
{
    if (l->room - l->n < POP_MAX) {
        l->n -= l->at;
        if (l->n) memmove(l->in, l->in + l->at, l->n);
        l->at = 0;
        l->room = l->n + 2 * POP_MAX;
        l->in = realloc(l->in, l->room);
    }
    int got = pop_bytes(l->qd, l->in + l->n, l->room - l->n);
    if (got > 0) l->n += (size_t)got;
    return got;
}

/* The next reply's bytes, valid until the next call; .p NULL: the connection ended. */
static inline struct bytes link_reply(struct link *l)
{
    for (;;) {
        size_t size = l->n ? reply_size(l->in + l->at, l->n - l->at) : 0;
        if (size) {
            l->at += size;
            return bytes_of(l->in + l->at - size, size);
        }
        if (link_fill(l) <= 0) return bytes_of(NULL, 0);
    }
}

/* Words up to NULL, as one command. */
static inline int link_send_list(struct link *l, va_list ap)
{
    const char *words[16];
    size_t room = 32;
    int n = 0;
    for (; n < 16 && (words[n] = va_arg(ap, const char *)); n++) room += strlen(words[n]) + 32;
    char *text = malloc(room), *p = text;
    p += sprintf(p, "*%d\r\n", n);
    for (int i = 0; i < n; i++) p += sprintf(p, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    int err = push_bytes(l->qd, text, (size_t)(p - text));
    free(text);
    return err;
}

static inline int link_send(struct link *l, ...)
{
    va_list ap;
    va_start(ap, l);
    int err = link_send_list(l, ap);
    va_end(ap);
    return err;
}

static inline struct bytes link_ask(struct link *l, ...)
{
    va_list ap;
    va_start(ap, l);
    int err = link_send_list(l, ap);
    va_end(ap);
    return err ? bytes_of(NULL, 0) : link_reply(l);
}

static inline bool expect_reply(struct world *w, struct bytes got, const char *want, const char *file, int line)
{
    return check(w, got.p && got.n == strlen(want) && !memcmp(got.p, want, got.n), "%s:%d: '%.*s', not '%s'", file,
                 line, (int)(got.n < 200 ? got.n : 200), got.p ? got.p : "(the end)", want);
}

#define EXPECT(l, want, ...) expect_reply((l)->w, link_ask(l, __VA_ARGS__, NULL), want, __FILE__, __LINE__)
#define EXPECT_NEXT(l, want) expect_reply((l)->w, link_reply(l), want, __FILE__, __LINE__)

/* An integer reply; -1 when it is none. */
static inline int64_t reply_number(struct bytes r) { return r.p && r.p[0] == ':' ? strtoll(r.p + 1, NULL, 10) : -1; }

/* What the last client of a scenario does; again when the connection broke. */
static inline void stop_server(struct world *w, const struct sim_host *server)
{
    while (!sim_host_ended(server)) {
        struct link l = {.w = w};
        l.qd = connect_to(SERVER_ADDR, SERVER_PORT);
        if (l.qd >= 0) {
            if (w->lossy) keep_alive(l.qd, 10);
            link_send(&l, "SHUTDOWN", "NOSAVE", NULL);
            CHECK(w, !link_reply(&l).p);
            link_close(&l);
        }
        sleep_ns(SEC(1));
    }
}

/* --- a scenario's cast: the server and some clients, the last of which stops it ----------------------------------- */

struct cast {
    struct world *w;
    struct server_host server;
    int (*fn)(struct cast *c, int number); /* a client: 0 to count - 1 */
    int count, ended;
    void *data; /* the scenario's */
    struct sim_host *host, *clients[SIM_HOSTS_MAX];
    struct part {
        struct cast *cast;
        int number;
    } parts[SIM_HOSTS_MAX];
};

static inline int client_main(void *arg)
{
    struct part *p = arg;
    int result = p->cast->fn(p->cast, p->number);
    if (++p->cast->ended == p->cast->count) stop_server(p->cast->w, p->cast->host);
    return result;
}

typedef struct sim_host *(*add_host_fn)(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg);

/* On hosts of a kind. The cast is w->state. */
static inline struct cast *cast_add_on(add_host_fn add, struct world *w, const char *conf, int count,
                                       int (*fn)(struct cast *c, int number), void *data)
{
    struct cast *c = w->state = calloc(1, sizeof *c);
    *c = (struct cast){.w = w, .server = {.w = w, .conf = conf}, .fn = fn, .count = count, .data = data};
    c->host = add(w->sim, SERVER_ADDR, server_main, &c->server);
    for (int i = 0; i < count; i++) {
        char addr[32];
        snprintf(addr, sizeof addr, "10.0.1.%d", i + 1);
        c->parts[i] = (struct part){c, i};
        c->clients[i] = add(w->sim, addr, client_main, &c->parts[i]);
    }
    return c;
}

static inline struct cast *cast_add(struct world *w, const char *conf, int count, int (*fn)(struct cast *c, int number),
                                    void *data)
{
    return cast_add_on(sim_host_add, w, conf, count, fn, data);
}

#endif

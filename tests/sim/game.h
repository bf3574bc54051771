/* SPDX-License-Identifier: MIT
 *
 * A client that knows what the server must reply, and one that only makes trouble: for networks of every kind. Each
 * player has keys of its own and a model of them (model.h): replies are compared byte by byte, and after a reset the
 * keys must be as they were after some command that was on its way, none before the last whose reply came.
 */
#ifndef TESTS_SIM_GAME_H
#define TESTS_SIM_GAME_H

#include "tests/sim/model.h"
#include "tests/sim/redis.h"

#define BATCH_MAX 24

struct game {
    int rounds;
    bool may_break;
    uint32_t large_max;
    uint32_t reset_ppm;
    unsigned breaks; /* how often a connection was lost */
};

struct player {
    struct world *w;
    struct game *game;
    struct rng rng;
    struct link link;
    bool has_scripts;   /* the server runs them */
    bool is_restricted; /* it plays as a user who may touch its own keys only */
    struct text cmd, reply;
    size_t received; /* of reply */
    unsigned steps;
    struct model after[BATCH_MAX + 1]; /* after[0]: before the batch */
    size_t reply_end[BATCH_MAX + 1];
};

/* --- a batch ------------------------------------------------------------------------------------------------------ */

/* The command behind `from` is a script's, or a function's: its reply is the same to the byte. One that was typed stays
 * as it is. */
static inline void make_script(struct player *p, size_t from)
{
    static const char body[] = "return redis.pcall(unpack(ARGV))";
    struct text all = {0};
    char *end;
    if (!p->has_scripts || p->cmd.n == from || p->cmd.p[from] != '*' || rng_below(&p->rng, 6)) return;
    long argc = strtol(p->cmd.p + from + 1, &end, 10);
    size_t head = (size_t)(end + 2 - p->cmd.p), rest = p->cmd.n - head;
    if (rng_below(&p->rng, 2)) {
        text_add(&all, "*%ld\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n0\r\n", argc + 3, sizeof body - 1, body);
    } else {
        char name[16];
        int n = snprintf(name, sizeof name, "run%d", p->after[0].owner);
        text_add(&all, "*%ld\r\n$5\r\nFCALL\r\n$%d\r\n%s\r\n$1\r\n0\r\n", argc + 3, n, name);
    }
    memcpy(text_room(&all, rest), p->cmd.p + head, rest);
    p->cmd.n = from;
    memcpy(text_room(&p->cmd, all.n), all.p, all.n);
    free(all.p);
}

/* MULTI, some commands, EXEC: one step, for nobody sees its middle. */
static inline void add_transaction(struct player *p, struct model *m)
{
    struct model before = *m;
    bool discard = !rng_below(&p->rng, 4);
    struct text replies = {0};
    unsigned count = 0;
    command_head(&p->cmd, 1, "MULTI");
    text_add(&p->reply, "+OK\r\n");
    for (unsigned i = (unsigned)rng_below(&p->rng, 6); i; i--) {
        size_t sent = p->cmd.n;
        model_step(m, &p->rng, &p->cmd, &replies);
        if (p->cmd.n == sent) continue;
        make_script(p, sent);
        text_add(&p->reply, "+QUEUED\r\n");
        count++;
    }
    command_head(&p->cmd, 1, discard ? "DISCARD" : "EXEC");
    if (discard) *m = before;
    if (discard) text_add(&p->reply, "+OK\r\n");
    else text_add(&p->reply, "*%u\r\n", count);
    if (!discard && replies.n) memcpy(text_room(&p->reply, replies.n), replies.p, replies.n);
    free(replies.p);
}

static inline void make_batch(struct player *p)
{
    struct model m = p->after[p->steps];
    p->after[0] = m;
    p->cmd.n = p->reply.n = p->received = p->reply_end[0] = 0;
    p->steps = 1 + (unsigned)rng_below(&p->rng, BATCH_MAX);
    for (unsigned i = 1; i <= p->steps; i++) {
        size_t sent = p->cmd.n;
        if (rng_below(&p->rng, 8)) {
            model_step(&m, &p->rng, &p->cmd, &p->reply);
            make_script(p, sent);
        } else {
            add_transaction(p, &m);
        }
        p->after[i] = m;
        p->reply_end[i] = p->reply.n;
    }
}

/* In pieces, at times with a rest between them. */
static inline bool send_batch(struct player *p)
{
    for (size_t at = 0; at < p->cmd.n;) {
        size_t n = p->cmd.n - at;
        if (rng_below(&p->rng, 2)) n = 1 + rng_below(&p->rng, n);
        if (push_bytes(p->link.qd, p->cmd.p + at, n)) return false;
        at += n;
        if (!rng_below(&p->rng, 4)) sleep_ns(rng_below(&p->rng, MS(2)));
    }
    return true;
}

/* False: the connection broke. */
static inline bool receive_replies(struct player *p)
{
    char part[POP_MAX];
    while (p->received < p->reply.n) {
        if (!rng_below(&p->rng, 8)) sleep_ns(rng_below(&p->rng, MS(5)));
        int n = pop_bytes(p->link.qd, part, sizeof part);
        if (n <= 0) return false;
        bool fits = p->received + (size_t)n <= p->reply.n && !memcmp(p->reply.p + p->received, part, (size_t)n);
        if (!check(p->w, fits, "wrong reply: %.*s, not %.*s", n < 100 ? n : 100, part, 100, p->reply.p + p->received))
            return false;
        p->received += (size_t)n;
    }
    return true;
}

/* False: it broke. */
static inline bool expect_ok(struct player *p, struct bytes r)
{
    return r.p && check(p->w, r.n == 5 && !memcmp(r.p, "+OK\r\n", 5), "not OK: %.*s", (int)r.n, r.p);
}

/* The player's own library, whose function does what its scripts do. */
static inline bool load_function(struct player *p)
{
    char source[160], wanted[32];
    int owner = p->after[0].owner;
    snprintf(source, sizeof source,
             "#!lua name=lib%d\nredis.register_function('run%d', function(k, a) return redis.pcall(unpack(a)) end)",
             owner, owner);
    snprintf(wanted, sizeof wanted, "\r\nlib%d\r\n", owner);
    struct bytes r = link_ask(&p->link, "FUNCTION", "LOAD", "REPLACE", source, NULL);
    size_t n = strlen(wanted);
    return r.p && check(p->w, r.n > n && !memcmp(r.p + r.n - n, wanted, n), "not loaded: %.*s", (int)r.n, r.p);
}

/* A connection that may begin to play. */
static inline bool introduce(struct player *p)
{
    char name[32], keys[32];
    if (link_open(&p->link, p->w)) return false;
    if (p->has_scripts && !load_function(p)) return false;
    if (!p->is_restricted) return true;
    snprintf(name, sizeof name, "u%d", p->after[0].owner);
    snprintf(keys, sizeof keys, "~%d:*", p->after[0].owner);
    return expect_ok(p, link_ask(&p->link, "ACL", "SETUSER", name, "on", "nopass", "resetkeys", keys, "+@all", NULL)) &&
           expect_ok(p, link_ask(&p->link, "AUTH", name, "x", NULL));
}

/* --- after a break ------------------------------------------------------------------------------------------------ */

/* All answers one behind the other; false: broken again. */
static inline bool ask_everything(struct player *p, struct text *answers)
{
    struct text questions = {0};
    model_questions(&p->after[0], &questions);
    bool ok = !push_bytes(p->link.qd, questions.p, questions.n);
    for (int i = 0; ok && i < MODEL_ANSWERS; i++) {
        struct bytes r = link_reply(&p->link);
        ok = r.p;
        if (ok) memcpy(text_room(answers, r.n), r.p, r.n);
    }
    free(questions.p);
    return ok;
}

static inline bool is_state(const struct model *m, const struct text *answers)
{
    struct text t = {0};
    model_answers(m, &t);
    bool same = t.n == answers->n && !memcmp(t.p, answers->p, t.n);
    free(t.p);
    return same;
}

/* Finds out which of the batch's commands were executed. */
static inline bool recover(struct player *p)
{
    struct text answers = {0};
    bool told = false;
    p->game->breaks++;
    while (!told && !p->w->failure[0]) {
        answers.n = 0;
        link_close(&p->link);
        sleep_ns(SEC(2)); /* what the server had received is executed by now */
        if (introduce(p)) told = ask_everything(p, &answers);
    }
    unsigned i = 0;
    while (i < p->steps && p->reply_end[i + 1] <= p->received) i++;
    while (i <= p->steps && !is_state(&p->after[i], &answers)) i++;
    free(answers.p);
    if (!CHECK(p->w, i <= p->steps)) return false;
    p->steps = i;
    return true;
}

static inline int play(struct cast *c, int number)
{
    struct game *g = c->data;
    struct player *p = calloc(1, sizeof *p);
    p->w = c->w;
    p->game = g;
    rng_seed(&p->rng, hash_u64((uint64_t)number, c->w->seed));
    p->after[0] = (struct model){.owner = number, .large_max = g->large_max};
    p->is_restricted = number % 2;
#ifdef SCRIPT_LUA
    p->has_scripts = true;
#endif
    bool ok = introduce(p);
    while (!ok && g->may_break && !c->w->failure[0]) {
        link_close(&p->link);
        sleep_ns(SEC(1));
        ok = introduce(p);
    }
    ok = CHECK(c->w, ok);
    for (int i = 0; ok && i < g->rounds; i++) {
        make_batch(p);
        if (send_batch(p) && receive_replies(p)) continue;
        ok = check(c->w, g->may_break, "%s:%d: the connection broke", __FILE__, __LINE__) && !c->w->failure[0] &&
             recover(p);
    }
    link_close(&p->link);
    free(p->cmd.p);
    free(p->reply.p);
    free(p);
    return 0;
}

/* --- noise -------------------------------------------------------------------------------------------------------- */

/* Bytes that may be anything; what they begin with is nearly right. */
static inline void make_noise(struct rng *r, struct text *out)
{
    struct model m = {.owner = 9999, .large_max = 3000};
    struct text unused = {0};
    out->n = 0;
    for (uint64_t i = rng_below(r, 6); i; i--) model_step(&m, r, out, &unused);
    free(unused.p);
    if (rng_below(r, 3)) {
        for (uint64_t i = 1 + rng_below(r, 4); i && out->n; i--)
            out->p[rng_below(r, out->n)] = "*$\r\n-19 \"\0\377"[rng_below(r, 11)];
    } else {
        uint64_t n = 1 + rng_below(r, 500);
        char *p = text_room(out, n);
        while (n--) *p++ = (char)rng_u64(r);
    }
}

static inline void leave_rudely(int qd)
{
    struct linger none = {.l_onoff = 1};
    demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

/* There may be no reply at all. */
static inline void pop_a_while(int qd, uint64_t ns)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    struct timespec ts = {0, (long)ns + 1};
    if (demi_pop(&qt, qd)) return;
    if (demi_wait(&qr, qt, &ts)) {
        demi_cancel(qt);
        qr = wait_for(qt);
    }
    if (qr.qr_opcode == DEMI_OPC_POP) demi_sgafree(&qr.qr_value.sga);
}

static inline int make_trouble(struct cast *c, int number)
{
    struct text noise = {0};
    struct rng rng;
    rng_seed(&rng, hash_u64((uint64_t)number, c->w->seed));
    for (int i = 0; i < 20; i++) {
        struct link l;
        if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) break;
        make_noise(&rng, &noise);
        push_bytes(l.qd, noise.p, noise.n);
        if (rng_below(&rng, 2)) demi_shutdown(l.qd, SHUT_WR);
        sleep_ns(rng_below(&rng, MS(20)));
        if (rng_below(&rng, 2)) pop_a_while(l.qd, rng_below(&rng, MS(50)));
        if (rng_below(&rng, 2)) leave_rudely(l.qd);
        link_close(&l);
    }
    free(noise.p);
    return 0;
}

static inline int play_or_trouble(struct cast *c, int number)
{
    return number < c->count / 2 ? play(c, number) : make_trouble(c, number);
}

/* What only somebody of the server's own host may do: sent from another, and the connection reset at once. The options
 * are in POSE_CONF; the first client looks, whenever it looks, that nothing has changed. */
#define POSE_CONF "enable-debug-command local\nenable-protected-configs local\n"
static inline int pose_as_local(struct cast *c, int number)
{
    static const char pose[] = "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$10\r\ndbfilename\r\n$6\r\nstolen\r\n"
                               "*3\r\n$5\r\nDEBUG\r\n$17\r\nSET-ACTIVE-EXPIRE\r\n$1\r\n0\r\n";
    for (int i = 0; i < 20; i++) {
        struct link l;
        if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) break;
        if (number) {
            push_bytes(l.qd, pose, sizeof pose - 1);
            if (i % 2) sleep_ns(MS(1));
            leave_rudely(l.qd);
        } else {
            EXPECT(&l, "*2\r\n$10\r\ndbfilename\r\n$8\r\ndump.rdb\r\n", "CONFIG", "GET", "dbfilename");
            struct bytes r = link_ask(&l, "DEBUG", "SET-ACTIVE-EXPIRE", "0", NULL);
            CHECK(c->w, r.p && !strncmp(r.p, "-ERR DEBUG command not allowed", 30));
            sleep_ns(MS(10));
        }
        link_close(&l);
    }
    return 0;
}

/* Asks for much more than it may owe (2 MiB), and begins to read only when the server has stopped: everything arrives,
 * in order, and the server held little of it. */
#define LATE_VALUE   100000
#define LATE_REPLIES 150
static inline int read_late(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    char key[16], size[16], *ask = malloc(64 * LATE_REPLIES);
    snprintf(key, sizeof key, "late:%d", number);
    snprintf(size, sizeof size, "%d", LATE_VALUE - 1);
    CHECK(c->w, link_ask(&l, "SETRANGE", key, size, "x", NULL).p);
    size_t n = 0, before = demi_mem_used();
    for (int i = 0; i < LATE_REPLIES; i++)
        n += (size_t)sprintf(ask + n, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n*2\r\n$4\r\nECHO\r\n$3\r\n%03d\r\n",
                             strlen(key), key, i);
    CHECK_EQUAL(c->w, push_bytes(l.qd, ask, n), 0);
    sleep_ns(SEC(1));
    CHECK(c->w, demi_mem_used() < before + (size_t)c->count * ((8u << 20)));
    for (int i = 0; i < LATE_REPLIES; i++) {
        struct bytes r = link_reply(&l);
        if (!CHECK_EQUAL(c->w, r.p ? r.n : 0, LATE_VALUE + sizeof "$100000\r\n\r\n" - 1)) break;
        sprintf(ask, "$3\r\n%03d\r\n", i);
        if (!EXPECT_NEXT(&l, ask)) break;
    }
    free(ask);
    link_close(&l);
    return 0;
}

/* For 20 seconds some client or other is out of reach. */
static inline void cut_or_heal(void *arg)
{
    struct cast *c = arg;
    struct rng *r = sim_rng(c->w->sim);
    bool over = sim_now(c->w->sim) > SIM_START_NS + SEC(20);
    struct sim_host *client = c->clients[rng_below(r, (uint64_t)c->count)];
    for (int i = 0; over && i < c->count; i++) sim_heal(c->w->sim, c->host, c->clients[i]);
    if (over) return;
    if (rng_below(r, 2)) sim_cut(c->w->sim, c->host, client);
    else sim_heal(c->w->sim, c->host, client);
    sim_at(c->w->sim, sim_now(c->w->sim) + rng_below(r, MS(300)), cut_or_heal, c);
}

static inline void free_game(struct world *w)
{
    struct cast *c = w->state;
    free(c->data);
    c->data = NULL;
}

#endif

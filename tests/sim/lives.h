/* SPDX-License-Identifier: MIT
 *
 * A server on a simulated disk that dies and comes back, over and over, under clients that know what must be there
 * then. Three kinds of hosts beside the server's:
 *
 *     players     write keys of their own (model.h): single commands, and transactions that count themselves
 *     operator    BGSAVE, BGREWRITEAOF and the like, now and then
 *     director    boots the server, looks at what it has loaded, lets the others play, and has it end: by a crash at
 *                 any instant, in the middle of the n-th operation of its disk, or by SHUTDOWN
 *
 * A transaction adds one to the key "seq", which gives it a number among those of all players, and says in "last:P" by
 * which of its deeds a player was last counted. So what is there after a life tells which deeds are in it:
 *
 *     all players' transactions up to the number, and none beyond: a prefix of history, no half transaction
 *     a player's keys as after one of its deeds from the last counted one on, before the next that is counted
 *     no deed is missing that was promised: what promise() says of the moment in which the reply came
 */
#ifndef TESTS_SIM_LIVES_H
#define TESTS_SIM_LIVES_H

#include "tests/sim/disk.h"
#include "tests/sim/model.h"
#include "tests/sim/redis.h"

#include "server/persist/aof_manifest.h"
#include "server/persist/aof_scan.h"
#include "server/persist/persist.h"

#define PLAYERS_MAX 3
#define SINGLE      (-1)
#define LOOK_NS     MS(2)
#define READY_NS    SEC(3600) /* within which a server is ready, or has refused */
#define WITHIN_NS   SEC(2)    /* of everysec: what may be missing */
#define RECOVERY_NS SEC(7200) /* within which writes go on when the disk is good again */

enum phase { PHASE_REST, PHASE_PLAY, PHASE_OVER };

/* What a player has done. */
struct deed {
    struct model after;
    uint64_t serial;
    int64_t number;   /* SINGLE; 0: of a transaction whose reply has not come */
    uint64_t told_ns; /* when the reply came; 0: it has not */
    bool promised;    /* the log was on when it was sent, and when it was told */
};

struct lives_player {
    struct lives *all;
    int index;
    struct rng rng;
    struct link link;
    struct model base; /* as loaded */
    uint64_t base_last, serial;
    struct deed *deeds; /* since then */
    unsigned count, room;
    bool rests;
};

struct lives {
    struct world *w;
    struct rng rng;
    /* the scenario's */
    const char *conf;
    char conf_text[512]; /* for it */
    int life_count, player_count, batch_max;
    uint64_t play_ns; /* at most */
    uint32_t large_max;
    uint64_t operation_ns;                /* between two of the operator's, at most */
    unsigned operations;                  /* enum operation bits: the operator's */
    bool may_shut_down;                   /* or only crash */
    bool may_need_repair;                 /* a log may be refused, and is then cut by who runs the server */
    void (*trouble)(struct lives *l);     /* with the disk, by the director during play; may be NULL */
    void (*before_boot)(struct lives *l); /* each but the first; may be NULL */

    struct sim_disk *disk;
    struct sim_disk_settings good; /* the disk without errors */
    struct server_host server;
    struct sim_host *host;
    enum phase phase;
    int life, resting;
    bool crashed;
    uint64_t crash_ns;
    int64_t base_number; /* as loaded */
    int64_t told_number; /* the highest that was told */
    int64_t floor;       /* what was saved with certainty: this must be there */
    uint64_t floor_ns;   /* and of everysec, what was told before (when the server or its disk went bad) */
    uint64_t trouble_ns; /* when the disk first went bad in this life; 0: it did not */
    bool bad;            /* it is */
    uint64_t bad_until_ns;
    unsigned switches; /* of the log */
    bool log_was_on;   /* at any time */
    struct lives_player players[PLAYERS_MAX];
    /* what happened, for who wants to know whether anything did */
    unsigned boots, loads, crashes, shutdowns, repairs, refusals, exits, troubles, recoveries;
    uint64_t deeds, lost, refused;
};

enum operation {
    OPERATION_BGSAVE = 1,
    OPERATION_SAVE = 2,
    OPERATION_REWRITE = 4,
    OPERATION_SWITCH = 8, /* the log, off and on */
    OPERATION_BEGIN = 16, /* a log, where there is none */
};

/* --- promises ----------------------------------------------------------------------------------------------------- */

static inline bool log_is_on(const struct lives *l)
{
    return l->server.srv && l->server.srv->workers && l->server.srv->aof.state == AOF_ON;
}

/* What must be there after the life that has ended. */
static inline bool was_promised(const struct lives *l, const struct deed *d)
{
    if (d->number > 0 && d->number <= l->floor) return true;
    if (!d->promised || !d->told_ns) return false;
    if (strstr(l->conf, "appendfsync always")) return true;
    return strstr(l->conf, "appendfsync everysec") && d->told_ns + WITHIN_NS <= l->floor_ns;
}

/* --- players ------------------------------------------------------------------------------------------------------ */

static inline const struct model *player_model(const struct lives_player *p)
{
    return p->count ? &p->deeds[p->count - 1].after : &p->base;
}

static inline struct deed *deed_add(struct lives_player *p)
{
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->deeds = realloc(p->deeds, p->room * sizeof *p->deeds);
    }
    struct deed *d = &p->deeds[p->count];
    struct model before = *player_model(p);
    p->count++;
    *d = (struct deed){.after = before, .serial = ++p->serial, .promised = log_is_on(p->all)};
    p->all->deeds++;
    return d;
}

/* Sends it, and says what will be replied. */
static inline void send_single(struct lives_player *p, struct deed *d, struct text *cmd, struct text *reply)
{
    d->number = SINGLE;
    while (!cmd->n) model_step(&d->after, &p->rng, cmd, reply);
}

static inline unsigned send_transaction(struct lives_player *p, struct deed *d, struct text *cmd, struct text *reply)
{
    unsigned commands = 2;
    char serial[32];
    command_head(cmd, 1, "MULTI");
    text_add(cmd, "*2\r\n$4\r\nINCR\r\n$3\r\nseq\r\n");
    text_add(cmd, "*3\r\n$3\r\nSET\r\n$6\r\nlast:%d\r\n$%d\r\n%s\r\n", p->index,
             snprintf(serial, sizeof serial, "%llu", (unsigned long long)d->serial), serial);
    text_add(reply, "+OK\r\n");
    for (uint64_t n = rng_below(&p->rng, 4); n; n--) {
        size_t before = cmd->n;
        model_step(&d->after, &p->rng, cmd, reply);
        commands += cmd->n > before;
    }
    command_head(cmd, 1, "EXEC");
    return commands;
}

static inline bool is_refusal(struct bytes r)
{
    return r.n > 8 && (!memcmp(r.p, "-MISCONF", 8) || !memcmp(r.p, "-EXECABO", 8));
}

/* The reply to what was counted: "*3\r\n:17\r\n" and what the model says. */
static inline bool take_number(struct world *w, struct deed *d, struct bytes r, unsigned commands,
                               const struct text *want)
{
    char head[32];
    int n = snprintf(head, sizeof head, "*%u\r\n:", commands);
    const char *line = r.n > (size_t)n && !memcmp(r.p, head, (size_t)n) ? memchr(r.p + n, '\n', r.n - (size_t)n) : NULL;
    if (!check(w, line, "EXEC replied '%.*s'", (int)(r.n < 200 ? r.n : 200), r.p)) return false;
    d->number = strtoll(r.p + n, NULL, 10);
    size_t rest = r.n - (size_t)(line + 1 - r.p);
    return CHECK(w, rest == want->n && !memcmp(line + 1, want->p, rest));
}

enum told { TOLD_DONE, TOLD_REFUSED, TOLD_NOTHING };

static inline enum told hear(struct lives_player *p, struct deed *d, unsigned commands, const struct text *want)
{
    struct world *w = p->all->w;
    struct bytes r = {0};
    for (unsigned i = commands ? 0 : commands + 1; i < commands + 2; i++) { /* MULTI, QUEUED ..., EXEC */
        r = link_reply(&p->link);
        if (!r.p) return TOLD_NOTHING;
    }
    if (is_refusal(r)) return TOLD_REFUSED;
    if (commands && !take_number(w, d, r, commands, want)) return TOLD_NOTHING;
    if (!commands)
        check(w, r.n == want->n && !memcmp(r.p, want->p, r.n), "'%.*s', not '%.*s'", (int)(r.n < 200 ? r.n : 200), r.p,
              (int)(want->n < 200 ? want->n : 200), want->p);
    d->told_ns = sim_now(w->sim);
    return TOLD_DONE;
}

#define BATCH_MAX 6

/* Some deeds, sent together. False: the connection is gone. */
static inline bool play_batch(struct lives_player *p)
{
    struct lives *l = p->all;
    unsigned n = 1 + (unsigned)rng_below(&p->rng, (uint64_t)l->batch_max), commands[BATCH_MAX] = {0};
    unsigned first = p->count, switches = l->switches;
    struct text cmd[BATCH_MAX] = {0}, want[BATCH_MAX] = {0};
    bool goes_on = true;
    for (unsigned i = 0; i < n; i++) {
        struct deed *d = deed_add(p);
        if (rng_below(&p->rng, 3)) commands[i] = send_transaction(p, d, &cmd[i], &want[i]);
        else send_single(p, d, &cmd[i], &want[i]);
    }
    for (unsigned i = 0; goes_on && i < n; i++) goes_on = push_bytes(p->link.qd, cmd[i].p, cmd[i].n) == 0;
    for (unsigned i = 0; goes_on && i < n; i++) {
        struct deed *d = &p->deeds[first + i];
        switch (hear(p, d, commands[i], &want[i])) {
        case TOLD_NOTHING: goes_on = false; break;
        case TOLD_REFUSED: /* it was the only one */
            CHECK_EQUAL(l->w, n, 1);
            p->count = first;
            l->refused++;
            break;
        case TOLD_DONE:
            l->log_was_on |= log_is_on(l);
            d->promised = d->promised && log_is_on(l) && switches == l->switches;
            if (d->number > l->told_number) l->told_number = d->number;
        }
    }
    for (unsigned i = 0; i < n; i++) free(cmd[i].p), free(want[i].p);
    return goes_on;
}

static inline void rest_a_while(struct lives_player *p)
{
    static const uint64_t most[] = {MS(1), MS(5), MS(20), MS(400)};
    sleep_ns(rng_below(&p->rng, most[rng_below(&p->rng, 4)] + 1));
}

/* Connects, unless play ends first. */
static inline bool join(struct lives_player *p)
{
    struct lives *l = p->all;
    p->link = (struct link){.w = l->w, .qd = -1};
    while (l->phase == PHASE_PLAY && p->link.qd < 0) {
        p->link.qd = connect_to(SERVER_ADDR, SERVER_PORT);
        if (p->link.qd < 0) sleep_ns(LOOK_NS);
    }
    return p->link.qd >= 0;
}

static inline int player_main(void *arg)
{
    struct lives_player *p = arg;
    struct lives *l = p->all;
    for (;;) {
        l->resting++;
        while (l->phase == PHASE_REST) sleep_ns(LOOK_NS);
        if (l->phase == PHASE_OVER) return 0;
        l->resting--;
        if (join(p))
            while (l->phase == PHASE_PLAY && play_batch(p)) rest_a_while(p);
        link_close(&p->link);
        while (l->phase == PHASE_PLAY) sleep_ns(LOOK_NS);
    }
}

/* --- the operator ------------------------------------------------------------------------------------------------- */

static inline bool is_ok(struct bytes r) { return r.p && r.n >= 3 && !memcmp(r.p, "+OK", 3); }

/* What was told before a save began is in it, if it ends well. */
static inline void save_now(struct lives *l, struct link *link)
{
    int64_t told = l->told_number;
    bool loaded = !strstr(l->conf, "appendonly yes"); /* or the log will be */
    if (is_ok(link_ask(link, "SAVE", NULL)) && told > l->floor && loaded) l->floor = told;
}

static inline void save_in_the_background(struct lives *l, struct link *link)
{
    int64_t told = l->told_number;
    struct bytes r = link_ask(link, "BGSAVE", NULL);
    if (!r.p || r.p[0] != '+') return;
    while (l->phase == PHASE_PLAY && l->server.srv && !l->crashed && l->server.srv->persist.saving) sleep_ns(LOOK_NS);
    bool fine = l->phase == PHASE_PLAY && l->server.srv && !l->crashed && !l->server.srv->stopping &&
                !l->server.srv->persist.failed;
    bool loaded = !strstr(l->conf, "appendonly yes");
    if (fine && told > l->floor && loaded) l->floor = told;
}

static inline void switch_log(struct lives *l, struct link *link)
{
    bool on = !l->server.srv || l->server.srv->aof.state == AOF_OFF;
    l->switches++;
    link_ask(link, "CONFIG", "SET", "appendonly", on ? "yes" : "no", NULL);
    l->switches++;
}

static inline void operate(struct lives *l, struct link *link)
{
    unsigned bit;
    do bit = 1u << rng_below(&l->rng, 5);
    while (!(l->operations & bit));
    switch ((enum operation)bit) {
    case OPERATION_BGSAVE: save_in_the_background(l, link); break;
    case OPERATION_SAVE: save_now(l, link); break;
    case OPERATION_REWRITE: link_ask(link, "BGREWRITEAOF", NULL); break;
    case OPERATION_SWITCH: switch_log(l, link); break;
    case OPERATION_BEGIN:
        if (l->server.srv && l->server.srv->aof.state == AOF_OFF) switch_log(l, link);
        break;
    }
}

static inline int operator_main(void *arg)
{
    struct lives *l = arg;
    for (;;) {
        l->resting++;
        while (l->phase == PHASE_REST) sleep_ns(LOOK_NS);
        if (l->phase == PHASE_OVER) return 0;
        l->resting--;
        struct link link = {.w = l->w};
        link.qd = connect_to(SERVER_ADDR, SERVER_PORT);
        while (link.qd >= 0 && l->phase == PHASE_PLAY) {
            operate(l, &link);
            sleep_ns(rng_below(&l->rng, l->operation_ns));
        }
        link_close(&link);
        while (l->phase == PHASE_PLAY) sleep_ns(LOOK_NS);
    }
}

/* --- the director: what is there ---------------------------------------------------------------------------------- */

static inline bool bulk_number(struct bytes r, int64_t *out)
{
    *out = 0;
    if (!r.p || r.p[0] != '$') return false;
    if (r.p[1] == '-') return true; /* no key */
    const char *line = memchr(r.p, '\n', r.n);
    *out = strtoll(line + 1, NULL, 10);
    return true;
}

/* Which deed was counted last; -1: none since the last look. -2: that was never done. */
static inline int find_last(const struct lives_player *p, int64_t last)
{
    if ((uint64_t)last == p->base_last) return -1;
    for (unsigned i = 0; i < p->count; i++)
        if (p->deeds[i].serial == (uint64_t)last && p->deeds[i].number != SINGLE) return (int)i;
    return -2;
}

/* The latest deed from `last` on after which the player's keys are as they are; last - 1: none. */
static inline int find_state(const struct lives_player *p, int last, const struct text *got)
{
    int end = last + 1;
    while (end < (int)p->count && p->deeds[end].number == SINGLE) end++;
    for (int k = end - 1; k >= last; k--) {
        struct text want = {0};
        model_answers(k < 0 ? &p->base : &p->deeds[k].after, &want);
        bool same = want.n == got->n && !memcmp(want.p, got->p, got->n);
        free(want.p);
        if (same) return k;
    }
    return last - 1;
}

static inline void check_player(struct lives *l, struct lives_player *p, int64_t number, int64_t last,
                                const struct text *got, int64_t *counted)
{
    struct world *w = l->w;
    int at = find_last(p, last);
    if (!check(w, at > -2, "player %d: deed %lld is there; deed %llu was, and it has come to %llu (life %d)", p->index,
               (long long)last, (unsigned long long)p->base_last, (unsigned long long)p->serial, l->life))
        return;
    int k = find_state(p, at, got);
    if (!check(w, k >= at, "player %d: after deed %lld its keys were never so", p->index, (long long)last)) return;
    for (int i = 0; i < (int)p->count; i++) {
        const struct deed *d = &p->deeds[i];
        if (d->number != SINGLE && i <= at) ++*counted;
        if (d->number > 0)
            check(w, (d->number <= number) == (i <= at), "player %d: transaction %lld is %s, and the last is %lld",
                  p->index, (long long)d->number, i <= at ? "there" : "missing", (long long)number);
        if (i > k) l->lost += d->told_ns != 0;
        if (i > k)
            check(w, !was_promised(l, d), "player %d: deed %llu, told %.3f s before the end, is lost (life %d)",
                  p->index, (unsigned long long)d->serial, (double)(l->floor_ns - d->told_ns) / 1e9, l->life);
    }
    if (k >= 0) p->base = p->deeds[k].after;
    p->base_last = (uint64_t)last;
    p->count = 0;
}

/* False: the server went away meanwhile. */
static inline bool look(struct lives *l, struct link *link)
{
    int64_t number, last[PLAYERS_MAX], counted = 0;
    struct text got[PLAYERS_MAX] = {0}, cmd = {0};
    bool ok = bulk_number(link_ask(link, "GET", "seq", NULL), &number);
    for (int i = 0; ok && i < l->player_count; i++) {
        char key[32];
        snprintf(key, sizeof key, "last:%d", i);
        ok = bulk_number(link_ask(link, "GET", key, NULL), &last[i]);
        cmd.n = 0;
        model_questions(&l->players[i].base, &cmd);
        ok = ok && push_bytes(link->qd, cmd.p, cmd.n) == 0;
        for (int k = 0; ok && k < MODEL_ANSWERS; k++) {
            struct bytes r = link_reply(link);
            ok = r.p != NULL;
            if (ok) memcpy(text_room(&got[i], r.n), r.p, r.n);
        }
    }
    if (ok) {
        for (int i = 0; i < l->player_count; i++) check_player(l, &l->players[i], number, last[i], &got[i], &counted);
        check_equal(l->w, number, l->base_number + counted, __FILE__, __LINE__, "transactions that are there");
        check(l->w, number >= l->floor, "%lld transactions were saved, %lld are there", (long long)l->floor,
              (long long)number);
        l->base_number = l->told_number = l->floor = number;
        l->trouble_ns = l->bad ? sim_now(l->w->sim) : 0;
        l->loads++;
    }
    for (int i = 0; i < PLAYERS_MAX; i++) free(got[i].p);
    free(cmd.p);
    return ok;
}

/* --- the director: boots and ends --------------------------------------------------------------------------------- */

static inline void power_fails(void *arg)
{
    struct lives *l = arg;
    if (l->crashed || sim_host_ended(l->host)) return;
    l->crashed = true;
    l->crash_ns = sim_now(l->w->sim);
    l->crashes++;
    server_crash(&l->server, l->host);
}

static inline void boot(void *arg)
{
    struct lives *l = arg;
    l->server = (struct server_host){.w = l->w, .conf = l->conf, .has_files = true};
    l->crashed = false;
    l->host = sim_host_add(l->w->sim, SERVER_ADDR, server_main, &l->server);
    sim_host_mount(l->host, l->disk);
    l->boots++;
}

/* The manifest as it is on the disk. */
static inline bool read_manifest(const struct lives *l, struct aof_manifest *m)
{
    size_t n;
    struct aof_manifest_fault fault;
    const char *bytes = sim_disk_bytes(l->disk, "appendonlydir/appendonly.aof.manifest", &n);
    char *text = bytes ? malloc(n + 1) : NULL;
    if (text) memcpy(text, bytes, n);
    *m = (struct aof_manifest){0};
    bool ok = text && aof_manifest_parse(m, text, n, &fault) == 0;
    free(text);
    return ok;
}

struct whole_file {
    const char *p;
    size_t n, at;
};

static inline long read_on(void *arg, char *buf, size_t size)
{
    struct whole_file *f = arg;
    size_t n = f->n - f->at < size ? f->n - f->at : size;
    memcpy(buf, f->p + f->at, n);
    f->at += n;
    return (long)n;
}

static inline bool cut_where_broken(struct lives *l, const char *path)
{
    struct whole_file f = {0};
    struct aof_scan *scan = malloc(sizeof *scan);
    bool done = false;
    f.p = sim_disk_bytes(l->disk, path, &f.n);
    aof_scan_init(scan, read_on, &f, 0);
    if (f.p && aof_scan_run(scan) == AOF_SCAN_BROKEN) {
        char *copy = malloc(f.n + 1);
        memcpy(copy, f.p, f.n);
        done = sim_disk_put(l->disk, path, copy, scan->whole) == 0;
        free(copy);
    }
    free(scan);
    return done;
}

/* What demikv-check-aof --fix does: the last file that has anything in it is cut where what is whole ends. After a sync
 * that failed it may be one before that; it says then that what follows is to be deleted, which is done here. */
static inline bool repair(struct lives *l)
{
    struct aof_manifest m;
    char path[600];
    bool done = false;
    if (!read_manifest(l, &m)) return false;
    for (size_t i = 0; i < m.count; i++) {
        size_t n = 0;
        if (m.files[i].kind != AOF_INCR) continue;
        snprintf(path, sizeof path, "appendonlydir/%s", m.files[i].name);
        if (!done) done = cut_where_broken(l, path);
        else if (sim_disk_bytes(l->disk, path, &n) && n) done = l->troubles && sim_disk_put(l->disk, path, "", 0) == 0;
    }
    aof_manifest_fini(&m);
    l->repairs++;
    return done;
}

/* Until the server is there and has loaded (true), or is not there any more. */
static inline bool wait_ready(struct lives *l, struct link *link)
{
    uint64_t until = sim_now(l->w->sim) + READY_NS;
    *link = (struct link){.w = l->w, .qd = -1};
    while (!sim_host_ended(l->host) && !l->crashed && CHECK(l->w, sim_now(l->w->sim) < until)) {
        if (link->qd < 0) link->qd = connect_to(SERVER_ADDR, SERVER_PORT);
        struct bytes r = link->qd < 0 ? (struct bytes){0} : link_ask(link, "PING", NULL);
        if (r.p && r.p[0] == '+') return true;
        if (!r.p) link_close(link);
        sleep_ns(MS(1));
    }
    return false;
}

static inline void wait_ended(struct lives *l)
{
    while (!sim_host_ended(l->host)) sleep_ns(LOOK_NS);
    sim_disk_when(l->disk, 0, NULL, NULL);
    sim_disk_fail_nth(l->disk, UINT32_MAX, EIO); /* what was to fail and has not is good again */
}

static inline void power_off(struct lives *l)
{
    if (!l->crashed && !sim_host_ended(l->host)) sim_at(l->w->sim, sim_now(l->w->sim), power_fails, l);
    wait_ended(l);
}

/* It ended by itself before it was ready, or after: it may, where there is trouble with its disk. */
static inline void ended_by_itself(struct lives *l, bool was_ready)
{
    bool trouble = l->troubles > 0;
    if (was_ready) {
        l->exits++;
        check(l->w, trouble, "the server ended by itself");
        return;
    }
    l->refusals++;
    if (trouble && l->trouble_ns) return; /* a disk that is bad while it loads */
    if (check(l->w, l->may_need_repair, "the server did not start (life %d)", l->life))
        check(l->w, repair(l), "the server did not start, and there is nothing to repair (life %d)", l->life);
}

static inline bool shut_down(struct lives *l)
{
    struct link link = {.w = l->w};
    bool saves = !strstr(l->conf, "appendonly yes");
    link.qd = connect_to(SERVER_ADDR, SERVER_PORT);
    bool refused = link.qd >= 0 && link_ask(&link, "SHUTDOWN", saves ? "SAVE" : "NOSAVE", NULL).p;
    link_close(&link);
    return !refused;
}

/* Everything that was told is there when it has ended so, unless power fails on the way. */
static inline void end_well(struct lives *l)
{
    int64_t told = l->told_number;
    bool on = log_is_on(l), saves = !strstr(l->conf, "appendonly yes");
    if (!shut_down(l)) { /* it cannot: the disk is bad */
        CHECK(l->w, l->trouble || (!on && l->operations & (OPERATION_SWITCH | OPERATION_BEGIN)));
        sim_at(l->w->sim, sim_now(l->w->sim), power_fails, l);
    }
    while (!sim_host_ended(l->host)) sleep_ns(LOOK_NS);
    if (l->crashed) return;
    l->shutdowns++;
    if ((saves || on) && told > l->floor) l->floor = told;
}

static inline void disk_is_good(struct lives *l)
{
    l->bad = false;
    sim_disk_set(l->disk, &l->good);
}

/* The disk is good again: the server takes writes before long, and what was told by then is safe. */
static inline void recover(struct lives *l)
{
    uint64_t until = sim_now(l->w->sim) + RECOVERY_NS;
    struct link link = {.w = l->w, .qd = connect_to(SERVER_ADDR, SERVER_PORT)};
    disk_is_good(l);
    sim_disk_fail_nth(l->disk, UINT32_MAX, EIO); /* not any more */
    while (link.qd >= 0) {
        struct bytes r = link_ask(&link, "SET", "probe", "1", NULL);
        if (!r.p) break; /* it has ended */
        int64_t told = l->told_number;
        if (is_ok(r)) {
            l->recoveries++;
            sleep_ns(SEC(3));
            if (l->crashed || sim_host_ended(l->host) || !log_is_on(l)) break;
            l->trouble_ns = 0;
            if (told > l->floor && !strstr(l->conf, "appendfsync no")) l->floor = told;
            break;
        }

        if (!CHECK(l->w, sim_now(l->w->sim) < until)) break;
        sleep_ns(SEC(1));
    }
    link_close(&link);
}

static inline void play(struct lives *l)
{
    uint64_t until = sim_now(l->w->sim) + rng_below(&l->rng, l->play_ns);
    l->phase = PHASE_PLAY;
    while (!l->crashed && !sim_host_ended(l->host) && sim_now(l->w->sim) < until) {
        sleep_ns(MS(5));
        if (l->trouble) l->trouble(l);
    }
    if (l->trouble && rng_below(&l->rng, 2)) recover(l);
    bool well = l->may_shut_down && rng_below(&l->rng, 3) == 0;
    if (well) l->phase = PHASE_REST; /* what is told while it stops is not counted */
    while (well && l->resting < l->player_count + 1) sleep_ns(LOOK_NS);
    if (l->crashed || sim_host_ended(l->host)) well = false;
    if (well) {
        end_well(l);
    } else {
        power_off(l);
    }
    uint64_t end = l->crashed ? l->crash_ns : l->server.ended_ns;
    l->floor_ns = l->trouble_ns && l->trouble_ns < end ? l->trouble_ns : end;
    l->phase = PHASE_REST;
    while (l->resting < l->player_count + 1) sleep_ns(LOOK_NS);
}

/* True: it has loaded. */
static inline bool boot_up(struct lives *l, struct link *link)
{
    unsigned boots = l->boots;
    sim_at(l->w->sim, sim_now(l->w->sim), boot, l);
    while (l->boots == boots) sleep_ns(LOOK_NS);
    return wait_ready(l, link);
}

/* One boot and what follows. */
static inline void live(struct lives *l, bool last)
{
    struct link link;
    if (!last && rng_below(&l->rng, 2))
        sim_disk_when(l->disk, 1 + rng_below(&l->rng, rng_below(&l->rng, 2) ? 100 : 1500), power_fails, l);
    bool ready = boot_up(l, &link), looked = ready && look(l, &link);
    link_close(&link);
    if (looked && !last) play(l);
    else if (last && ready) end_well(l);
    bool by_itself = !l->crashed;
    wait_ended(l);
    if (by_itself && !l->crashed && l->server.exit_code) ended_by_itself(l, ready);
}

static inline int director_main(void *arg)
{
    struct lives *l = arg;
    for (l->life = 0; l->life < l->life_count && !l->w->failure[0]; l->life++) {
        live(l, false);
        sleep_ns(rng_below(&l->rng, SEC(2)));
        if (l->before_boot && !l->w->failure[0]) l->before_boot(l);
    }
    disk_is_good(l);
    sim_disk_fail_nth(l->disk, UINT32_MAX, EIO);
    l->trouble = NULL;
    for (unsigned loads = l->loads; loads == l->loads && l->boots < 40 && !l->w->failure[0];) live(l, true);
    l->phase = PHASE_OVER;
    return 0;
}

/* --- the cast ----------------------------------------------------------------------------------------------------- */

/* w->state of its caller's choice: `l` is in it, with what is the scenario's filled in, and rng seeded. */
static inline void lives_add(struct world *w, struct lives *l)
{
    l->w = w;
    if (!l->good.jitter_ns) l->good = sim_disk_random(w->sim);
    l->disk = sim_disk_new(w->sim, &l->good);
    struct sim_link link = {.delay_ns = MS(0) + 20000, .jitter_ns = 100000, .segment_max = 16384, .window = 65536};
    link.delay_ns += rng_below(&l->rng, 2) * rng_below(&l->rng, MS(5));
    sim_link_set(w->sim, NULL, NULL, &link);
    for (int i = 0; i < l->player_count; i++) {
        struct lives_player *p = &l->players[i];
        *p = (struct lives_player){.all = l, .index = i, .base = {.owner = i, .large_max = l->large_max}};
        rng_seed(&p->rng, hash_u64(5 + (uint64_t)i, w->seed));
        char addr[32];
        snprintf(addr, sizeof addr, "10.0.1.%d", i + 1);
        sim_host_add(w->sim, addr, player_main, p);
    }
    sim_host_add(w->sim, "10.0.2.1", operator_main, l);
    sim_host_add(w->sim, "10.0.2.2", director_main, l);
}

static inline void lives_free(struct lives *l)
{
    for (int i = 0; i < PLAYERS_MAX; i++) free(l->players[i].deeds);
}

#endif

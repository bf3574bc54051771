/* SPDX-License-Identifier: MIT
 *
 * Servers that follow one of them, each on a disk of its own with a clock of its own, and a director who breaks links,
 * hosts, disks and the order of things. This is the servers, how they are asked, and what is looked at from outside:
 *
 *     ledger      every byte that a server appends to its history, and its data at points of it: ledger.h
 *     examiner    looks at some server every few milliseconds, between two of its turns
 *     cast        who writes and who reads as clients do: fleet_cast.h
 *     director    faults (fleet_faults.h), promotions and quiet points (fleet_rounds.h)
 *
 * What is checked is S1 to S12 of what replication promises, docs/replication.md; README.md says which is where.
 */
#ifndef TESTS_SIM_FLEET_H
#define TESTS_SIM_FLEET_H

#include "tests/sim/disk.h"
#include "tests/sim/ledger.h"
#include "tests/sim/model.h"
#include "tests/sim/redis.h"

#include "server/repl/replicas.h"
#include "server/repl/upstream.h"

#define FLEET_MAX    5
#define CUTS_MAX     4
#define FILES_MAX    4 /* that are kept of a disk, to be put back later */
#define STEP_NS      MS(5)
#define CALM_NS      SEC(120) /* after the last fault, within which all are in step */
#define REPL_TIMEOUT "4"      /* seconds */
#define NO_PRIMARY   (-1)
#define EXPIRES_MS   300
#define CLOCK_SLACK  2000 /* us: two looks at the clock */
#define LOG_KEPT     32   /* numbers at the end of the log */
#define DEADLINES    8192 /* numbers whose key's time is remembered */
#define ACTORS_MAX   6

struct fleet;

struct fleet_file {
    char path[64], *bytes;
    size_t n;
};

struct fleet_node {
    struct fleet *all;
    int index, follows; /* whom, by index; NO_PRIMARY */
    char addr[20], conf[480];
    struct sim_disk *disk;
    struct sim_disk_settings good; /* of the disk */
    bool bad_disk;                 /* it has failed since the last quiet point: the server may have ended by itself */
    struct server_host server;
    struct sim_host *host;
    unsigned boots;
    bool off; /* crashed or shut down, not booted again */
    int64_t skew_us;
    struct fleet_file old[FILES_MAX]; /* its files as they were once */
    struct ledger_eye eye;
    uint64_t fulls, fulls_before; /* snapshots that it began, since this boot and in all before */
    /* what the observer saw last since this boot */
    char id[41];
    int64_t offset, fulls_then;
    bool settled; /* it waited for no snapshot */
};

struct fleet {
    struct world *w;
    struct rng rng, eye_rng;
    int count, primary, other, rounds, round; /* other: who takes writes beside the primary; NO_PRIMARY */
    const char *conf;                         /* lines for all of them */
    bool has_log, has_swapdb;
    bool strict; /* the backlog is long enough for anything */
    struct ledger ledger;
    struct fleet_node nodes[FLEET_MAX];
    int cuts[CUTS_MAX][2], cut_count;
    bool over, rest;
    int actors, resting;
    /* the highest number that was answered; that a replica had acknowledged; that was on the primary's disk */
    int64_t told, waited, logged;
    int64_t deadlines[DEADLINES]; /* of the key that number n came with; 0: none */
    int64_t skew_max_us;          /* of all clocks at any time */
    bool may_full;     /* since the last quiet point something has happened after which a replica may need a snapshot */
    bool one_primary;  /* there is never a second that takes writes */
    size_t memory_max; /* of a history's text; 0: not looked at */
    size_t memory_seen;
    struct sim_link usual;
    /* what happened */
    unsigned promotions, crashes, quiets, faults, failovers, restarts, ends, strict_rounds;
    uint64_t writes, looks, examined;
};

/* Whoever is called by a server's journal has no other way to it. One simulation runs at a time. */
static struct fleet *the_fleet;

/* --- asking a server ---------------------------------------------------------------------------------------------- */

static inline bool open_at(struct link *l, struct world *w, const struct fleet_node *n)
{
    *l = (struct link){.w = w, .qd = -1};
    l->qd = connect_to(n->addr, SERVER_PORT);
    return l->qd >= 0;
}

static inline struct bytes ask(struct link *l, const char *line)
{
    struct text cmd = {0};
    text_add(&cmd, "%s\r\n", line);
    int err = push_bytes(l->qd, cmd.p, cmd.n);
    free(cmd.p);
    return err ? bytes_of(NULL, 0) : link_reply(l);
}

/* The value of a field of INFO's text, up to room - 1 bytes; false: it is not there. */
static inline bool field(const char *text, const char *name, char *out, size_t room)
{
    char head[64];
    size_t n = (size_t)snprintf(head, sizeof head, "\n%s:", name);
    const char *at = strstr(text, head);
    if (!at) return false;
    size_t size = strcspn(at + n, "\r\n");
    if (size >= room) size = room - 1;
    memcpy(out, at + n, size);
    out[size] = 0;
    return true;
}

struct fleet_facts {
    char role[8], id[41], link[8], digest[41];
    int64_t offset;
};

static inline int64_t number_of(const char *text, const char *name)
{
    char value[24];
    return field(text, name, value, sizeof value) ? strtoll(value, NULL, 10) : -1;
}

/* What a server says of itself; false: it does not. */
static inline bool facts_of(struct fleet *f, int i, struct fleet_facts *out)
{
    struct link l;
    char text[8192];
    *out = (struct fleet_facts){.offset = -1};
    bool fine = !f->nodes[i].off && open_at(&l, f->w, &f->nodes[i]);
    if (!fine) return false;
    struct bytes r = ask(&l, "INFO replication");
    fine = r.p && r.p[0] == '$' && r.n < sizeof text;
    if (fine) {
        memcpy(text, r.p, r.n);
        text[r.n] = 0;
        fine =
            field(text, "role", out->role, sizeof out->role) && field(text, "master_replid", out->id, sizeof out->id);
        if (!field(text, "master_link_status", out->link, sizeof out->link)) strcpy(out->link, "none");
        out->offset = number_of(text, "master_repl_offset");
    }
    r = fine ? ask(&l, "DEBUG DIGEST") : r;
    fine = fine && r.p && r.p[0] == '+' && r.n >= 41;
    if (fine) memcpy(out->digest, r.p + 1, 40);
    link_close(&l);
    return fine;
}

/* One command to a server; whether it was +OK. */
static inline bool tell(struct fleet *f, int i, const char *line)
{
    struct link l;
    bool fine = false;
    if (f->nodes[i].off || !open_at(&l, f->w, &f->nodes[i])) return false;
    struct bytes r = ask(&l, line);
    fine = r.p && r.n >= 3 && !memcmp(r.p, "+OK", 3);
    link_close(&l);
    return fine;
}

/* --- what is looked at from outside ------------------------------------------------------------------------------- */

/* The server, if it runs and is not about to end. */
static inline struct server *running(const struct fleet_node *n)
{
    struct server *srv = n->server.srv;
    return srv && srv->workers && n->eye.node >= 0 && !srv->stopping ? srv : NULL;
}

static inline bool takes_writes(const struct server *srv)
{
    return !srv->upstream && !server_is_paused(srv) && !srv->persist.loading;
}

static inline void meet_primaries(void *arg)
{
    struct fleet *f = arg;
    for (int i = 0; i < f->count; i++)
        if (running(&f->nodes[i])) ledger_meet(&f->ledger, &f->nodes[i].server.srv->history);
}

/* S7, S9, and all that the ledger knows. */
static inline void node_appended(struct journal *j)
{
    struct fleet *f = the_fleet;
    for (int i = 0; i < f->count; i++) {
        struct fleet_node *n = &f->nodes[i];
        if (n->server.srv != j->srv) continue;
        struct history *h = &j->srv->history;
        check(f->w, h->follows || !server_is_paused(j->srv), "%s: the offset moves while writes are paused", n->addr);
        if (h->follows) meet_primaries(f);
        if (!n->off) ledger_appended(&f->ledger, &n->eye, h);
        replicas_history_appended(j);
        if (j->text.bytes > f->memory_seen) f->memory_seen = j->text.bytes;
        check(f->w, !f->memory_max || j->text.bytes <= f->memory_max, "%s: its history takes %zu bytes", n->addr,
              j->text.bytes);
    }
}

/* The linker puts the second one in front of the server's, which is the first (Makefile: --wrap). */
bool __real_history_continues(const struct history *h, const char *id, size_t id_size, int64_t from);
bool __wrap_history_continues(const struct history *h, const char *id, size_t id_size, int64_t from);
bool __wrap_history_continues(const struct history *h, const char *id, size_t id_size, int64_t from)
{
    struct fleet *f = the_fleet;
    char text[HISTORY_ID_SIZE];
    bool may = __real_history_continues(h, id, id_size, from);
    if (id_size != sizeof text - 1 || from < 1) return may;
    memcpy(text, id, id_size);
    text[id_size] = 0;
    meet_primaries(f);
    for (int i = 0; i < f->count; i++)
        if (running(&f->nodes[i]) == h->journal.srv && !f->nodes[i].off)
            ledger_asked(&f->ledger, h, text, (uint64_t)from, may);
    return may;
}

static inline void node_started(struct server_host *h)
{
    struct fleet *f = the_fleet;
    for (int i = 0; i < f->count; i++)
        if (&f->nodes[i].server == h) f->nodes[i].eye = (struct ledger_eye){.node = i};
    h->srv->history.journal.appended = node_appended;
}

/* S5: who has half of a snapshot offers nothing. */
static inline void look_at_loading(struct fleet *f, const struct fleet_node *n, struct server *srv)
{
    if (!srv->persist.loading || f->has_swapdb) return; /* beside the old data, whose history stays until then */
    for (size_t i = 0; i < replicas_count(&srv->workers[0]); i++)
        check(f->w, replicas_at(&srv->workers[0], i)->flags & CLIENT_CLOSE_NOW,
              "%s: a replica of it follows while it loads", n->addr);
}

static inline void count_fulls(struct fleet *f)
{
    for (int i = 0; i < f->count; i++) {
        const struct server *srv = running(&f->nodes[i]);
        if (srv) f->nodes[i].fulls = replicas_figures(&srv->workers[0]).full;
    }
}

/* Snapshots that were begun, by all of them. */
static inline int64_t fulls_of(struct fleet *f)
{
    uint64_t sum = 0;
    count_fulls(f);
    for (int i = 0; i < f->count; i++) sum += f->nodes[i].fulls + f->nodes[i].fulls_before;
    return (int64_t)sum;
}

static inline void examine(void *arg)
{
    struct fleet *f = arg;
    struct fleet_node *n = &f->nodes[rng_below(&f->eye_rng, (uint64_t)f->count)];
    struct server *srv = running(n);
    int primaries = 0;
    if (f->over) return;
    count_fulls(f);
    if (srv && !n->off) {
        f->examined++;
        look_at_loading(f, n, srv);
        ledger_look(&f->ledger, &n->eye, srv);
    }
    for (int i = 0; f->one_primary && i < f->count; i++)
        primaries += running(&f->nodes[i]) && takes_writes(running(&f->nodes[i]));
    check(f->w, primaries <= 1, "%d servers take writes", primaries);
    sim_at(f->w->sim, sim_now(f->w->sim) + MS(5) + rng_below(&f->eye_rng, MS(60)), examine, f);
}

/* --- hosts -------------------------------------------------------------------------------------------------------- */

static inline void node_boot(void *arg)
{
    struct fleet_node *n = arg;
    struct fleet *f = n->all;
    char follows[64] = "";
    if (n->follows != NO_PRIMARY)
        snprintf(follows, sizeof follows, "replicaof %s %d\n", f->nodes[n->follows].addr, SERVER_PORT);
    snprintf(n->conf, sizeof n->conf, "%s%senable-debug-command yes\nshutdown-timeout 2\n", f->conf, follows);
    n->boots++;
    n->eye.node = -1; /* not yet to be looked at */
    n->fulls_before += n->fulls;
    n->fulls = 0;
    n->server = (struct server_host){.w = f->w,
                                     .conf = n->conf,
                                     .has_files = true,
                                     .salt = (uint64_t)n->index * 1000 + n->boots,
                                     .started = node_started};
    n->host = sim_host_add(f->w->sim, n->addr, server_main, &n->server);
    sim_host_mount(n->host, n->disk);
    sim_host_skew(n->host, n->skew_us);
    n->id[0] = 0;
    n->off = false;
}

static inline void node_power_off(void *arg)
{
    struct fleet_node *n = arg;
    if (n->off || sim_host_ended(n->host)) return;
    count_fulls(n->all);
    n->off = true;
    server_crash(&n->server, n->host);
}

static inline void now(struct fleet *f, void (*fn)(void *), void *arg)
{
    sim_at(f->w->sim, sim_now(f->w->sim), fn, arg);
}

static inline void crash(struct fleet *f, int i)
{
    struct fleet_node *n = &f->nodes[i];
    now(f, node_power_off, n);
    while (!sim_host_ended(n->host)) sleep_ns(STEP_NS);
    n->off = true; /* it may have ended by itself */
    f->crashes++;
}

static inline void reboot(struct fleet *f, int i, int follows)
{
    struct fleet_node *n = &f->nodes[i];
    n->follows = follows;
    now(f, node_boot, n);
    while (n->off) sleep_ns(STEP_NS);
}

/* SHUTDOWN SAVE: it waits for its replicas, and its file says where it stands. */
static inline void shut_down(struct fleet *f, int i)
{
    struct fleet_node *n = &f->nodes[i];
    struct link l;
    if (open_at(&l, f->w, n)) ask(&l, "SHUTDOWN SAVE FORCE");
    link_close(&l);
    for (int k = 0; k < 2000 && !sim_host_ended(n->host); k++) sleep_ns(STEP_NS);
    count_fulls(f);
    if (!sim_host_ended(n->host)) crash(f, i);
    n->off = true;
}

/* Files that lie in the root: snapshots. */
static inline void keep_file(void *arg, const char *path)
{
    struct fleet_node *n = arg;
    size_t size;
    const char *bytes = sim_disk_bytes(n->disk, path, &size);
    if (!bytes || strlen(path) >= sizeof n->old[0].path || !strstr(path, "dump.rdb")) return;
    for (int i = 0; i < FILES_MAX; i++) {
        struct fleet_file *file = &n->old[i];
        if (*file->path && strcmp(file->path, path) != 0) continue;
        strcpy(file->path, path);
        free(file->bytes);
        file->bytes = malloc(size ? size : 1);
        memcpy(file->bytes, bytes, size);
        file->n = size;
        return;
    }
}

static inline void keep_files(void *arg)
{
    struct fleet_node *n = arg;
    sim_disk_visit(n->disk, keep_file, n);
}

/* Another disk in the place of its own, with the files that were kept; off: with none. */
static inline void exchange_disk(struct fleet *f, struct fleet_node *n, bool with_files)
{
    n->disk = sim_disk_new(f->w->sim, &n->good);
    for (int i = 0; with_files && i < FILES_MAX; i++)
        if (*n->old[i].path) CHECK_EQUAL(f->w, sim_disk_put(n->disk, n->old[i].path, n->old[i].bytes, n->old[i].n), 0);
}

/* count servers, rounds rounds; it is w->state. */
static inline struct fleet *fleet_new(struct world *w, const char *conf, int count, int rounds)
{
    struct fleet *f = w->state = calloc(1, sizeof *f);
    *f = (struct fleet){.w = w, .count = count, .rounds = rounds, .other = NO_PRIMARY, .conf = conf};
    f->has_log = strstr(conf, "appendonly");
    f->has_swapdb = strstr(conf, "swapdb");
    f->strict = !f->has_log && !strstr(conf, "backlog-size");
    rng_seed(&f->rng, hash_u64(12, w->seed));
    rng_seed(&f->eye_rng, hash_u64(13, w->seed));
    return f;
}

static inline void fleet_fini(struct fleet *f)
{
    for (int i = 0; i < f->count; i++)
        for (int k = 0; k < FILES_MAX; k++) free(f->nodes[i].old[k].bytes);
    ledger_fini(&f->ledger);
    the_fleet = NULL;
}

/* The servers; line: each behind the one before it, else all behind the first. */
static inline void fleet_add_as(struct world *w, struct fleet *f, bool line)
{
    struct sim_link link = {.delay_ns = 20000, .jitter_ns = 100000, .segment_max = 16384, .window = 65536};
    the_fleet = f;
    ledger_init(&f->ledger, w);
    link.delay_ns += rng_below(&f->rng, 2) * rng_below(&f->rng, MS(3));
    f->usual = link;
    sim_link_set(w->sim, NULL, NULL, &link);
    for (int i = 0; i < f->count; i++) {
        struct fleet_node *n = &f->nodes[i];
        struct sim_disk_settings disk = sim_disk_random(w->sim);
        disk.any_sectors = false; /* a log with holes is refused, and repaired by hand: disk_server_test.c */
        *n = (struct fleet_node){.all = f, .index = i, .off = true, .good = disk};
        n->follows = !i ? NO_PRIMARY : line ? i - 1 : 0;
        snprintf(n->addr, sizeof n->addr, "10.0.0.%d", i + 1);
        n->disk = sim_disk_new(w->sim, &disk);
        node_boot(n);
    }
    sim_at(w->sim, sim_now(w->sim) + MS(100), examine, f);
}

static inline void fleet_add(struct world *w, struct fleet *f) { fleet_add_as(w, f, false); }
static inline void fleet_add_line(struct world *w, struct fleet *f) { fleet_add_as(w, f, true); }

#endif

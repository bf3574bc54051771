/* SPDX-License-Identifier: MIT
 *
 * Servers that follow one of them, each on a disk of its own, and a director who breaks links, hosts and the order of
 * things. Beside them:
 *
 *     writer     counts: MULTI, INCR n, RPUSH log n, EXEC, then WAIT 1: what a replica has acknowledged is told apart
 *     filler     writes keys of any size, so that backlogs overflow and snapshots take their time
 *     observer   looks at any server at any moment: the log is 1, 2, ... n there, whole and without a gap; a key is
 *                not seen after its time; under one id the offset does not go back
 *     director   faults, promotions, and quiet points: no fault, nobody writes, all come to one offset with one digest
 *
 * What is checked is S1 to S4, S6, S8, S10 and S12 of what replication promises: docs/replication.md.
 */
#ifndef TESTS_SIM_FLEET_H
#define TESTS_SIM_FLEET_H

#include "tests/sim/disk.h"
#include "tests/sim/model.h"
#include "tests/sim/redis.h"

#include "server/repl/replicas.h"

#define FLEET_MAX    5
#define CUTS_MAX     4
#define ACTORS       3 /* writer, filler, observer */
#define STEP_NS      MS(5)
#define CALM_NS      SEC(120) /* after the last fault, within which all are in step */
#define REPL_TIMEOUT "10"     /* seconds */
#define NO_PRIMARY   (-1)
#define EXPIRES_MS   300
#define CLOCK_SLACK  2000 /* us: two looks at the clock */

struct fleet;

struct fleet_node {
    struct fleet *all;
    int index, follows; /* whom, by index; NO_PRIMARY */
    char addr[20], conf[480];
    struct sim_disk *disk;
    struct server_host server;
    struct sim_host *host;
    unsigned boots;
    bool off; /* crashed, not booted again */
    /* what the observer saw last since this boot */
    char id[41];
    int64_t offset, fulls;
};

struct fleet {
    struct world *w;
    struct rng rng;
    int count, primary, rounds, round;
    const char *conf; /* lines for all of them */
    struct fleet_node nodes[FLEET_MAX];
    int cuts[CUTS_MAX][2], cut_count;
    bool over, rest;
    int resting;
    int64_t told, waited; /* the highest number that was answered; that a replica had acknowledged, too */
    unsigned promotions, crashes, quiets, faults; /* what happened */
    uint64_t writes, looks;
};

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

/* --- hosts ------------------------------------------------------------------------------------------------------- */

static inline void node_boot(void *arg)
{
    struct fleet_node *n = arg;
    struct fleet *f = n->all;
    char follows[64] = "";
    if (n->follows != NO_PRIMARY)
        snprintf(follows, sizeof follows, "replicaof %s %d\n", f->nodes[n->follows].addr, SERVER_PORT);
    snprintf(n->conf, sizeof n->conf, "%s%senable-debug-command yes\n", f->conf, follows);
    n->boots++;
    n->server = (struct server_host){
        .w = f->w, .conf = n->conf, .has_files = true, .salt = (uint64_t)n->index * 1000 + n->boots};
    n->host = sim_host_add(f->w->sim, n->addr, server_main, &n->server);
    sim_host_mount(n->host, n->disk);
    n->id[0] = 0;
    n->off = false;
}

static inline void node_power_off(void *arg)
{
    struct fleet_node *n = arg;
    if (n->off || sim_host_ended(n->host)) return;
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
    while (!n->off || !sim_host_ended(n->host)) sleep_ns(STEP_NS);
    f->crashes++;
}

static inline void reboot(struct fleet *f, int i, int follows)
{
    struct fleet_node *n = &f->nodes[i];
    n->follows = follows;
    now(f, node_boot, n);
    while (n->off) sleep_ns(STEP_NS);
}

static inline void cut_last(void *arg)
{
    struct fleet *f = arg;
    const int *pair = f->cuts[f->cut_count - 1];
    sim_cut(f->w->sim, f->nodes[pair[0]].host, f->nodes[pair[1]].host);
}

/* A host that was booted meanwhile is another: nothing is cut of it. */
static inline void heal_all(void *arg)
{
    struct fleet *f = arg;
    for (int i = 0; i < f->cut_count; i++)
        sim_heal(f->w->sim, f->nodes[f->cuts[i][0]].host, f->nodes[f->cuts[i][1]].host);
    f->cut_count = 0;
}

struct pair {
    struct fleet *f;
    int a, b;
};

static inline void reset_pair(void *arg)
{
    const struct pair *p = arg;
    sim_reset(p->f->w->sim, p->f->nodes[p->a].host, p->f->nodes[p->b].host);
}

/* --- who writes --------------------------------------------------------------------------------------------------- */

static inline bool rests(struct fleet *f)
{
    if (!f->rest) return false;
    f->resting++;
    while (f->rest && !f->over) sleep_ns(STEP_NS);
    f->resting--;
    return true;
}

static inline int64_t bulk_or_zero(struct bytes r)
{
    if (!r.p || r.p[0] != '$' || r.p[1] == '-') return 0;
    return strtoll(r.p + line_end(r.p, r.n), NULL, 10);
}

/* One number more; false: it was not answered as it should. */
static inline bool count_on(struct fleet *f, struct link *l, int64_t n)
{
    char line[400];
    int64_t expires_ms = (int64_t)demi_wall_us() / 1000 + EXPIRES_MS;
    snprintf(line, sizeof line, "MULTI\r\nINCR n\r\nRPUSH log %lld\r\nSET expires %lld PXAT %lld\r\nEXEC", (long long)n,
             (long long)expires_ms, (long long)expires_ms);
    struct bytes r = ask(l, line); /* MULTI's */
    for (int i = 0; i < 4 && r.p; i++) r = link_reply(l);
    if (!r.p || r.p[0] != '*' || r.p[1] != '3') return false; /* it is none any more, or has gone */
    f->writes++;
    CHECK_EQUAL(f->w, strtoll(r.p + 5, NULL, 10), n);
    if (n > f->told) f->told = n;
    r = ask(l, "WAIT 1 100");
    if (!r.p || r.p[0] != ':') return false;
    if (strtoll(r.p + 1, NULL, 10) >= 1 && n > f->waited) f->waited = n;
    return true;
}

/* To who is the primary now, as long as it is. */
static inline void count_at(struct fleet *f, int primary)
{
    struct link l;
    if (open_at(&l, f->w, &f->nodes[primary])) {
        struct bytes r = ask(&l, "GET n");
        int64_t n = bulk_or_zero(r);
        bool fine = r.p && r.p[0] == '$';
        while (fine && f->primary == primary && !f->rest && !f->over) {
            fine = count_on(f, &l, ++n);
            sleep_ns(rng_below(&f->rng, MS(4)));
        }
    }
    link_close(&l);
}

static inline int writer_main(void *arg)
{
    struct fleet *f = arg;
    while (!f->over) {
        if (rests(f)) continue;
        if (f->primary != NO_PRIMARY) count_at(f, f->primary);
        sleep_ns(STEP_NS);
    }
    return 0;
}

static inline void fill_at(struct fleet *f, int primary)
{
    struct link l;
    struct text cmd = {0};
    if (open_at(&l, f->w, &f->nodes[primary])) {
        for (bool fine = true; fine && f->primary == primary && !f->rest && !f->over;) {
            char key[24];
            int n = snprintf(key, sizeof key, "filler:%u", (unsigned)rng_below(&f->rng, 40));
            struct made v = {(uint32_t)rng_u64(&f->rng),
                             1 + (uint32_t)rng_below(&f->rng, rng_below(&f->rng, 8) ? 300 : 6000)};
            cmd.n = 0;
            command_head(&cmd, 3, "SET");
            text_add(&cmd, "$%d\r\n%s\r\n", n, key);
            text_bulk(&cmd, v);
            fine = push_bytes(l.qd, cmd.p, cmd.n) == 0 && link_reply(&l).p;
            sleep_ns(rng_below(&f->rng, MS(20)));
        }
    }
    free(cmd.p);
    link_close(&l);
}

static inline int filler_main(void *arg)
{
    struct fleet *f = arg;
    while (!f->over) {
        if (rests(f)) continue;
        if (f->primary != NO_PRIMARY) fill_at(f, f->primary);
        sleep_ns(STEP_NS);
    }
    return 0;
}

/* --- who looks ---------------------------------------------------------------------------------------------------- */

/* Snapshots that were begun, by those that run. INFO stats, which has the number, has times of the processor's, too: it
 * is not asked. */
static inline int64_t fulls_of(const struct fleet *f)
{
    int64_t sum = 0;
    for (int i = 0; i < f->count; i++) {
        const struct server *srv = f->nodes[i].server.srv;
        if (srv && srv->workers) sum += (int64_t)replicas_figures(&srv->workers[0]).full;
    }
    return sum;
}

/* The end of a reply's first line and what is behind it, element by element. */
static inline struct bytes element(struct bytes all, size_t *at)
{
    size_t size = reply_size(all.p + *at, all.n - *at);
    struct bytes one = bytes_of(all.p + *at, size);
    *at += size;
    return one;
}

/* S1, S4: n, the log's length and its last are one number; the log's element in the middle is its place. */
static inline void look_at_log(struct fleet *f, const struct fleet_node *node, struct link *l)
{
    int64_t asked_us = (int64_t)demi_wall_us();
    struct bytes r = ask(l, "MULTI\r\nGET n\r\nLLEN log\r\nLINDEX log -1\r\nGET expires\r\nEXEC");
    for (int i = 0; i < 5 && r.p; i++) r = link_reply(l);
    if (!r.p || r.p[0] != '*' || r.p[1] != '4') return;
    size_t at = line_end(r.p, r.n);
    int64_t n = bulk_or_zero(element(r, &at)), length = reply_number(element(r, &at));
    int64_t last = bulk_or_zero(element(r, &at)), expires_ms = bulk_or_zero(element(r, &at));
    f->looks++;
    check(f->w, n == length && n == last, "%s: n is %lld, the log has %lld, the last %lld", node->addr, (long long)n,
          (long long)length, (long long)last);
    check(f->w, !expires_ms || asked_us <= expires_ms * 1000 + CLOCK_SLACK, "%s: seen %lld us after its time",
          node->addr, (long long)(asked_us - expires_ms * 1000));
}

/* S3. */
static inline void look_at_offset(struct fleet *f, struct fleet_node *node, struct link *l)
{
    char text[8192], id[41];
    unsigned boots = node->boots;
    struct bytes r = ask(l, "INFO replication");
    if (!r.p || r.p[0] != '$' || r.n >= sizeof text || boots != node->boots) return;
    memcpy(text, r.p, r.n);
    text[r.n] = 0;
    int64_t offset = number_of(text, "master_repl_offset"), first = number_of(text, "repl_backlog_first_byte_offset");
    int64_t size = number_of(text, "repl_backlog_histlen");
    if (!CHECK(f->w, field(text, "master_replid", id, sizeof id))) return;
    if (number_of(text, "repl_backlog_active") == 1)
        check(f->w, first + size - 1 == offset, "%s: a backlog from %lld, of %lld, to %lld", node->addr,
              (long long)first, (long long)size, (long long)offset);
    /* Who is put behind one that is behind gets a snapshot, which may be older than what it had. */
    int64_t fulls = fulls_of(f);
    if (!strcmp(id, node->id) && fulls == node->fulls)
        check(f->w, offset >= node->offset, "%s: the offset goes back from %lld to %lld", node->addr,
              (long long)node->offset, (long long)offset);
    strcpy(node->id, id);
    node->offset = offset;
    node->fulls = fulls;
}

static inline int observer_main(void *arg)
{
    struct fleet *f = arg;
    while (!f->over) {
        if (rests(f)) continue;
        struct fleet_node *node = &f->nodes[rng_below(&f->rng, (uint64_t)f->count)];
        struct link l;
        if (!node->off && open_at(&l, f->w, node)) {
            for (int i = 0; i < 3; i++) look_at_log(f, node, &l);
            look_at_offset(f, node, &l);
            link_close(&l);
        }
        sleep_ns(rng_below(&f->rng, MS(30)));
    }
    return 0;
}

/* --- quiet points ------------------------------------------------------------------------------------------------- */

static inline bool all_in_step(struct fleet *f, struct fleet_facts facts[FLEET_MAX])
{
    if (!facts_of(f, f->primary, &facts[f->primary]) || strcmp(facts[f->primary].role, "master") != 0) return false;
    for (int i = 0; i < f->count; i++) {
        if (i == f->primary) continue;
        if (!facts_of(f, i, &facts[i]) || strcmp(facts[i].link, "up") != 0) return false;
        if (facts[i].offset != facts[f->primary].offset || strcmp(facts[i].id, facts[f->primary].id) != 0) return false;
    }
    return true;
}

static inline void describe(const struct fleet *f, const struct fleet_facts facts[FLEET_MAX], char *out, size_t room)
{
    size_t n = 0;
    for (int i = 0; i < f->count; i++)
        n += (size_t)snprintf(out + n, room - n, " %d%s: %s %s %s %lld %.8s;", i, f->nodes[i].off ? " off" : "",
                              facts[i].role, facts[i].link, facts[i].id, (long long)facts[i].offset, facts[i].digest);
}

/* No fault any more, nobody writes: S2, S6, S8. */
static inline void quiet_point(struct fleet *f, int64_t floor)
{
    struct fleet_facts facts[FLEET_MAX] = {0};
    char text[1024];
    f->rest = true;
    while (f->resting < ACTORS) sleep_ns(STEP_NS);
    now(f, heal_all, f);
    int64_t fulls = fulls_of(f);
    uint64_t until = sim_now(f->w->sim) + CALM_NS;
    bool fine;
    while (!(fine = all_in_step(f, facts)) && sim_now(f->w->sim) < until && !f->w->failure[0]) sleep_ns(MS(100));
    describe(f, facts, text, sizeof text);
    if (check(f->w, fine, "round %d: not in step:%s", f->round, text)) {
        for (int i = 0; i < f->count; i++)
            check(f->w, !strcmp(facts[i].digest, facts[f->primary].digest), "round %d: other data:%s", f->round, text);
        check(f->w, fulls_of(f) - fulls <= f->count - 1, "round %d: %lld snapshots after the last fault", f->round,
              (long long)(fulls_of(f) - fulls));
        struct link l;
        if (CHECK(f->w, open_at(&l, f->w, &f->nodes[f->primary]))) {
            int64_t n = bulk_or_zero(ask(&l, "GET n"));
            check(f->w, n >= floor, "round %d: %lld was acknowledged, %lld is there", f->round, (long long)floor,
                  (long long)n);
            f->told = f->waited = n;
            link_close(&l);
        }
        f->quiets++;
    }
    f->rest = false;
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

static inline int some_node(struct fleet *f) { return (int)rng_below(&f->rng, (uint64_t)f->count); }

static inline int some_replica(struct fleet *f)
{
    int i = some_node(f);
    return i == f->primary ? (i + 1) % f->count : i;
}

static inline void partition(struct fleet *f)
{
    int a = some_node(f), b = some_replica(f);
    if (a == b || f->cut_count == CUTS_MAX || f->nodes[a].off || f->nodes[b].off) return;
    f->cuts[f->cut_count][0] = a;
    f->cuts[f->cut_count][1] = b;
    f->cut_count++;
    now(f, cut_last, f);
}

static inline void replica_dies(struct fleet *f)
{
    int i = some_replica(f);
    now(f, heal_all, f); /* what is cut of a host that is not there any more cannot be healed */
    sleep_ns(STEP_NS);
    crash(f, i);
    sleep_ns(rng_below(&f->rng, SEC(3)));
    reboot(f, i, f->nodes[i].follows);
}

/* Behind another replica, or behind the primary again; never in a ring. */
static inline void follows_another(struct fleet *f)
{
    int i = some_replica(f), to = some_node(f);
    char line[64];
    if (to == i || (to != f->primary && f->nodes[to].follows != f->primary)) to = f->primary;
    for (int k = 0; k < f->count; k++)
        if (f->nodes[k].follows == i) to = f->primary; /* somebody is behind it: it stays next to the primary */
    snprintf(line, sizeof line, "REPLICAOF %s %d", f->nodes[to].addr, SERVER_PORT);
    if (tell(f, i, line)) f->nodes[i].follows = to;
}

static inline void other_settings(struct fleet *f)
{
    static const char *const settings[] = {"CONFIG SET repl-backlog-size 16384",
                                           "CONFIG SET repl-backlog-size 1000000",
                                           "CONFIG SET repl-diskless-sync no",
                                           "CONFIG SET repl-diskless-sync yes",
                                           "CONFIG SET repl-diskless-load swapdb",
                                           "CONFIG SET repl-diskless-load disabled",
                                           "CONFIG SET repl-diskless-load on-empty-db",
                                           "CONFIG SET repl-ping-replica-period 1",
                                           "CONFIG SET repl-timeout 5",
                                           ("CONFIG SET repl-timeout " REPL_TIMEOUT)};
    tell(f, some_node(f), settings[rng_below(&f->rng, sizeof settings / sizeof settings[0])]);
}

static inline void a_link_breaks(struct fleet *f)
{
    struct pair p = {f, some_node(f), some_replica(f)};
    if (p.a == p.b || f->nodes[p.a].off || f->nodes[p.b].off) return;
    now(f, reset_pair, &p);
    sleep_ns(STEP_NS); /* p is read until then */
}

static inline void some_fault(struct fleet *f)
{
    f->faults++;
    switch (rng_below(&f->rng, 6)) {
    case 0:
    case 1: partition(f); break;
    case 2: a_link_breaks(f); break;
    case 3: replica_dies(f); break;
    case 4: follows_another(f); break;
    default: other_settings(f); break;
    }
}

/* The primary dies; who has most of its history follows it, the others him; it comes back as a replica. */
static inline void primary_dies(struct fleet *f)
{
    int old = f->primary, best = NO_PRIMARY;
    struct fleet_facts facts[FLEET_MAX] = {0};
    char id[41], line[64];
    if (!facts_of(f, old, &facts[old])) return;
    strcpy(id, facts[old].id);
    sleep_ns(rng_below(&f->rng, SEC(1)));
    crash(f, old);
    for (int i = 0; i < f->count; i++) {
        if (i == old || !CHECK(f->w, facts_of(f, i, &facts[i])) || strcmp(facts[i].id, id) != 0) continue;
        if (best == NO_PRIMARY || facts[i].offset > facts[best].offset) best = i;
    }
    if (!check(f->w, best != NO_PRIMARY && tell(f, best, "REPLICAOF NO ONE"), "nobody to promote")) return;
    f->nodes[best].follows = NO_PRIMARY;
    f->promotions++;
    snprintf(line, sizeof line, "REPLICAOF %s %d", f->nodes[best].addr, SERVER_PORT);
    for (int i = 0; i < f->count; i++) {
        if (i == old || i == best) continue;
        f->nodes[i].follows = best;
        CHECK(f->w, tell(f, i, line));
    }
    f->primary = best;
    reboot(f, old, best);
}

/* Another is promoted while the primary lives and is written to: what it alone has taken vanishes when it follows. */
static inline void primary_is_deposed(struct fleet *f)
{
    int best = some_replica(f);
    char line[64];
    if (!tell(f, best, "REPLICAOF NO ONE")) return;
    f->nodes[best].follows = NO_PRIMARY;
    f->promotions++;
    sleep_ns(rng_below(&f->rng, SEC(1)));
    f->primary = best;
    sleep_ns(rng_below(&f->rng, SEC(1)));
    snprintf(line, sizeof line, "REPLICAOF %s %d", f->nodes[best].addr, SERVER_PORT);
    for (int i = 0; i < f->count; i++) {
        if (i == best) continue;
        f->nodes[i].follows = best;
        CHECK(f->w, tell(f, i, line));
    }
}

/* --- the director ------------------------------------------------------------------------------------------------- */

static inline void one_round(struct fleet *f)
{
    bool dies = rng_below(&f->rng, 3) == 0, deposed = !dies && rng_below(&f->rng, 3) == 0;
    sleep_ns(rng_below(&f->rng, SEC(2)));
    if (dies) primary_dies(f); /* one failure alone: what WAIT was told is there */
    if (deposed) primary_is_deposed(f);
    for (uint64_t n = dies ? 0 : 1 + rng_below(&f->rng, 4); n && !f->w->failure[0]; n--) {
        some_fault(f);
        sleep_ns(rng_below(&f->rng, rng_below(&f->rng, 3) ? SEC(2) : SEC(15)));
    }
    sleep_ns(rng_below(&f->rng, SEC(1)));
    quiet_point(f, dies ? f->waited : deposed ? 0 : f->told);
}

static inline void stop_node(struct fleet *f, int i)
{
    while (!sim_host_ended(f->nodes[i].host)) {
        struct link l;
        if (open_at(&l, f->w, &f->nodes[i])) ask(&l, "SHUTDOWN NOSAVE NOW FORCE");
        link_close(&l);
        sleep_ns(MS(50));
    }
}

static inline int fleet_director_main(void *arg)
{
    struct fleet *f = arg;
    f->rest = true;
    quiet_point(f, 0);
    for (f->round = 1; f->round <= f->rounds && !f->w->failure[0]; f->round++) one_round(f);
    f->over = true;
    now(f, heal_all, f);
    for (int i = 0; i < f->count; i++) stop_node(f, i);
    return 0;
}

/* --- the cast ----------------------------------------------------------------------------------------------------- */

static inline void fleet_add(struct world *w, struct fleet *f)
{
    struct sim_link link = {.delay_ns = 20000, .jitter_ns = 100000, .segment_max = 16384, .window = 65536};
    f->w = w;
    link.delay_ns += rng_below(&f->rng, 2) * rng_below(&f->rng, MS(3));
    sim_link_set(w->sim, NULL, NULL, &link);
    for (int i = 0; i < f->count; i++) {
        struct fleet_node *n = &f->nodes[i];
        struct sim_disk_settings disk = sim_disk_random(w->sim);
        disk.any_sectors = false; /* a log with holes is refused, and repaired by hand: disk_server_test.c */
        *n = (struct fleet_node){.all = f, .index = i, .follows = i ? 0 : NO_PRIMARY, .off = true};
        snprintf(n->addr, sizeof n->addr, "10.0.0.%d", i + 1);
        n->disk = sim_disk_new(w->sim, &disk);
        node_boot(n);
    }
    sim_host_add(w->sim, "10.0.1.1", writer_main, f);
    sim_host_add(w->sim, "10.0.1.2", filler_main, f);
    sim_host_add(w->sim, "10.0.1.3", observer_main, f);
    sim_host_add(w->sim, "10.0.2.1", fleet_director_main, f);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Who writes to a fleet and who reads from it:
 *
 *     writer      counts: MULTI, INCR n, RPUSH log n, ..., EXEC, then sometimes WAIT or WAITAOF: what a replica has
 *                 acknowledged, and what is on the primary's disk, are told apart
 *     filler      commands of all kinds in three databases: those that reach the stream as other ones, of any size
 *     observer    looks at any server at any moment: the end of the log is whole and without a gap; a key is not seen
 *                 after its time and not missed before; under one id the offset does not go back
 */
#ifndef TESTS_SIM_FLEET_CAST_H
#define TESTS_SIM_FLEET_CAST_H

#include "tests/sim/fleet.h"

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

/* --- the writer --------------------------------------------------------------------------------------------------- */

/* Everything goes, and comes back: a replica sees neither one without the other. */
static inline void add_flush(struct text *t, int64_t n)
{
    int64_t first = n >= LOG_KEPT ? n - LOG_KEPT + 1 : 1;
    text_add(t, "FLUSHALL\r\nSET n %lld\r\nRPUSH log", (long long)n);
    for (int64_t i = first; i <= n; i++) text_add(t, " %lld", (long long)i);
    text_add(t, "\r\n");
}

static inline bool wait_told(struct fleet *f, struct link *l, int64_t n)
{
    struct bytes r;
    uint64_t what = rng_below(&f->rng, 6);
    if (what == 0 && f->has_log) {
        r = ask(l, "WAITAOF 1 0 100");
        if (!r.p || r.p[0] != '*') return false;
        if (r.n > 5 && r.p[5] == '1' && n > f->logged) f->logged = n;
    } else if (what < 3) {
        r = ask(l, "WAIT 1 100");
        if (!r.p || r.p[0] != ':') return false;
        if (strtoll(r.p + 1, NULL, 10) >= 1 && n > f->waited) f->waited = n;
    }
    return true;
}

/* One number more; false: it was not answered as it should. It follows the one before it if nobody was promoted since:
 * who was deposed and promoted again between two of them has another's number, and has closed no connection. */
static inline bool count_on(struct fleet *f, struct link *l, int64_t n, unsigned promotions)
{
    struct text cmd = {0};
    int64_t expires_ms = (int64_t)demi_wall_us() / 1000 + EXPIRES_MS;
    bool flush = n > 1 && rng_below(&f->rng, 60) == 0;
    text_add(&cmd, "MULTI\r\n");
    if (flush) add_flush(&cmd, n);
    else text_add(&cmd, "INCR n\r\nRPUSH log %lld\r\nLTRIM log -%d -1\r\n", (long long)n, LOG_KEPT);
    text_add(&cmd, "SET expires %lld PXAT %lld\r\nEXEC\r\n", (long long)expires_ms, (long long)expires_ms);
    if (n < DEADLINES && (!f->deadlines[n] || expires_ms < f->deadlines[n])) f->deadlines[n] = expires_ms;
    struct bytes r = bytes_of(NULL, 0);
    if (!push_bytes(l->qd, cmd.p, cmd.n)) r = link_reply(l); /* MULTI's */
    free(cmd.p);
    for (int i = 0; i < 5 && r.p; i++) r = link_reply(l);
    if (!r.p || r.p[0] != '*' || r.p[1] != '4') return false; /* it is none any more, or has gone */
    f->writes++;
    if (f->promotions != promotions) return false;
    if (!flush) CHECK_EQUAL(f->w, strtoll(r.p + 5, NULL, 10), n);
    if (n > f->told) f->told = n;
    return wait_told(f, l, n);
}

/* To who is the primary now, as long as it is. */
static inline void count_at(struct fleet *f, int primary)
{
    struct link l;
    unsigned promotions = f->promotions;
    if (open_at(&l, f->w, &f->nodes[primary])) {
        struct bytes r = ask(&l, "GET n");
        int64_t n = bulk_or_zero(r);
        bool fine = r.p && r.p[0] == '$';
        while (fine && f->primary == primary && !f->rest && !f->over) {
            fine = count_on(f, &l, ++n, promotions);
            sleep_ns(rng_below(&f->rng, MS(25)));
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

/* --- the filler --------------------------------------------------------------------------------------------------- */

/* %u are keys. Whatever they answer. */
static const char *const fillings[] = {"APPEND a:%u more",
                                       "SETEX e:%u 1 short",
                                       "SET e:%u shorter PX 40",
                                       "PEXPIRE filler:%u 700",
                                       "PERSIST filler:%u",
                                       "GETEX filler:%u PX 900",
                                       "HSET h:%u f v g w",
                                       "HINCRBYFLOAT h:%u n 0.1",
                                       "HDEL h:%u f",
                                       "SADD s:%u a b c d e 1 2 3",
                                       "SPOP s:%u",
                                       "SPOP s:%u 3",
                                       "ZADD z:%u 1.5 m 2 n 3 o",
                                       "ZADD z:%u INCR 0.1 m",
                                       "ZPOPMIN z:%u",
                                       "LPUSH l:%u a b c",
                                       "RPOP l:%u",
                                       "LMOVE l:%u l:9 LEFT RIGHT",
                                       "LTRIM l:%u 0 20",
                                       "XADD x:%u MAXLEN ~ 30 * f v",
                                       "XADD x:%u MAXLEN = 20 * f v g w",
                                       "XGROUP CREATE x:%u g 0 MKSTREAM",
                                       "XREADGROUP GROUP g one COUNT 3 STREAMS x:%u >",
                                       "XREADGROUP GROUP g two NOACK STREAMS x:%u >",
                                       "XAUTOCLAIM x:%u g two 0 0 COUNT 2",
                                       "XGROUP DELCONSUMER x:%u g one",
                                       "INCRBYFLOAT f:%u 0.25",
                                       "GETDEL filler:%u",
                                       "RENAME filler:%u renamed",
                                       "COPY filler:%u copied REPLACE",
                                       "MOVE a:%u 2",
                                       "PFADD p:%u a b c",
                                       "SETBIT b:%u 100 1",
                                       "GETSET filler:%u other",
                                       "SETRANGE filler:%u 40 inside",
                                       "UNLINK filler:%u",
                                       "PUBLISH news %u"};

static inline void add_filling(struct fleet *f, struct text *cmd, unsigned *replies)
{
    const char *form = fillings[rng_below(&f->rng, sizeof fillings / sizeof fillings[0])];
    const char *key = strstr(form, "%u");
    text_add(cmd, "%.*s%u%s\r\n", (int)(key - form), form, (unsigned)rng_below(&f->rng, 6), key + 2);
    ++*replies;
}

static inline void add_value(struct fleet *f, struct text *cmd, unsigned *replies)
{
    char key[24];
    int n = snprintf(key, sizeof key, "filler:%u", (unsigned)rng_below(&f->rng, 12));
    struct made v = {(uint32_t)rng_u64(&f->rng), 1 + (uint32_t)rng_below(&f->rng, rng_below(&f->rng, 8) ? 300 : 6000)};
    command_head(cmd, 3, "SET");
    text_add(cmd, "$%d\r\n%s\r\n", n, key);
    text_bulk(cmd, v);
    ++*replies;
}

/* Some commands in one piece, in some database, maybe as a transaction that changes it in its middle. */
static inline unsigned add_fillings(struct fleet *f, struct text *cmd)
{
    unsigned replies = 1, count = 1 + (unsigned)rng_below(&f->rng, 3);
    bool multi = rng_below(&f->rng, 6) == 0;
    cmd->n = 0;
    text_add(cmd, "SELECT %u\r\n", (unsigned)rng_below(&f->rng, 3));
    if (multi) text_add(cmd, "MULTI\r\n"), replies++;
    for (unsigned i = 0; i < count; i++) {
        if (rng_below(&f->rng, 3) == 0) add_value(f, cmd, &replies);
        else add_filling(f, cmd, &replies);
        if (multi && rng_below(&f->rng, 2)) text_add(cmd, "SELECT %u\r\n", (unsigned)rng_below(&f->rng, 3)), replies++;
    }
    if (multi) text_add(cmd, "EXEC\r\n"), replies++;
    if (rng_below(&f->rng, 40) == 0) text_add(cmd, "SWAPDB 1 2\r\n"), replies++;
    if (rng_below(&f->rng, 60) == 0) text_add(cmd, "SELECT 2\r\nFLUSHDB\r\n"), replies += 2;
    return replies;
}

static inline void fill_at(struct fleet *f, int primary, bool other)
{
    struct link l;
    struct text cmd = {0};
    if (open_at(&l, f->w, &f->nodes[primary])) {
        for (bool fine = true; fine && (other ? f->other : f->primary) == primary && !f->rest && !f->over;) {
            unsigned replies = add_fillings(f, &cmd);
            fine = push_bytes(l.qd, cmd.p, cmd.n) == 0;
            for (; fine && replies; replies--) fine = link_reply(&l).p;
            sleep_ns(rng_below(&f->rng, MS(50)));
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
        bool other = f->other != NO_PRIMARY && rng_below(&f->rng, 2);
        int to = other ? f->other : f->primary;
        if (to != NO_PRIMARY) fill_at(f, to, other);
        sleep_ns(STEP_NS);
    }
    return 0;
}

/* --- the observer ------------------------------------------------------------------------------------------------- */

/* The end of a reply's first line and what is behind it, element by element. */
static inline struct bytes element(struct bytes all, size_t *at)
{
    size_t size = reply_size(all.p + *at, all.n - *at);
    struct bytes one = bytes_of(all.p + *at, size);
    *at += size;
    return one;
}

static inline int64_t wall_us(const struct fleet_node *node) { return (int64_t)demi_wall_us() + node->skew_us; }

/* Of the clock that was ever farthest ahead: a primary deletes by its own. */
static inline int64_t latest_wall_us(const struct fleet *f) { return (int64_t)demi_wall_us() + f->skew_max_us; }

/* S10: not after its time by the server's own clock; not away before anybody's clock says so. */
static inline void look_at_time(struct fleet *f, const struct fleet_node *node, int64_t asked_us, int64_t n,
                                int64_t expires_ms)
{
    int64_t deadline = n > 0 && n < DEADLINES ? f->deadlines[n] : 0;
    check(f->w, !expires_ms || asked_us <= expires_ms * 1000 + CLOCK_SLACK, "%s: seen %lld us after its time",
          node->addr, (long long)(asked_us - expires_ms * 1000));
    check(f->w, expires_ms || !deadline || latest_wall_us(f) + CLOCK_SLACK >= deadline * 1000,
          "%s: number %lld's key is away %lld us before its time", node->addr, (long long)n,
          (long long)(deadline * 1000 - latest_wall_us(f)));
}

/* S1, S4: n, the log's length and its ends fit each other. */
static inline void look_at_log(struct fleet *f, const struct fleet_node *node, struct link *l)
{
    int64_t asked_us = wall_us(node), skew_us = node->skew_us;
    struct bytes r = ask(l, "MULTI\r\nGET n\r\nLLEN log\r\nLINDEX log 0\r\nLINDEX log -1\r\nGET expires\r\nEXEC");
    for (int i = 0; i < 6 && r.p; i++) r = link_reply(l);
    if (!r.p || r.p[0] != '*' || r.p[1] != '5') return;
    size_t at = line_end(r.p, r.n);
    int64_t n = bulk_or_zero(element(r, &at)), length = reply_number(element(r, &at));
    int64_t first = bulk_or_zero(element(r, &at)), last = bulk_or_zero(element(r, &at));
    int64_t expires_ms = bulk_or_zero(element(r, &at)), want = n < LOG_KEPT ? n : LOG_KEPT;
    f->looks++;
    check(f->w, length == want && n == last && (!n || first == n - want + 1),
          "%s: n is %lld, the log has %lld, from %lld to %lld", node->addr, (long long)n, (long long)length,
          (long long)first, (long long)last);
    if (skew_us == node->skew_us) look_at_time(f, node, asked_us, n, expires_ms);
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
    if (!strcmp(id, node->id) && fulls == node->fulls_then && node->settled)
        check(f->w, offset >= node->offset, "%s: the offset goes back from %lld to %lld", node->addr,
              (long long)node->offset, (long long)offset);
    strcpy(node->id, id);
    node->offset = offset;
    node->fulls_then = fulls;
    const struct server *srv = running(node);
    node->settled = srv && (!srv->upstream || srv->upstream->state == UPSTREAM_CONNECTED);
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
        sleep_ns(rng_below(&f->rng, MS(150)));
    }
    return 0;
}

static inline void actor_add(struct fleet *f, int (*fn)(void *arg))
{
    char addr[20];
    snprintf(addr, sizeof addr, "10.0.1.%d", ++f->actors);
    sim_host_add(f->w->sim, addr, fn, f);
}

#endif

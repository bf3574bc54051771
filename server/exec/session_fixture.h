/* SPDX-License-Identifier: MIT
 *
 * For unit tests: a server without a loop, a network or clients, and sessions that run commands in it.
 */
#ifndef SERVER_EXEC_SESSION_FIXTURE_H
#define SERVER_EXEC_SESSION_FIXTURE_H

#include <stdio.h>

#include "server/conf/conf.h"
#include "server/evict.h"
#include "server/exec/blocked.h"
#include "server/exec/exec.h"
#include "server/exec/multi.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/net/pubsub.h"
#include "server/net/tracking.h"
#include "server/observe/errorstats.h"
#include "server/observe/latency.h"
#include "server/observe/slowlog.h"
#include "server/script/scripts.h"
#include "server/server.h"

#define FIXTURE_NOW 1790000000000 /* ms: somewhere in 2026 */
#define FIXTURE_DBS 4

struct fixture {
    struct server srv;
    struct worker w;
    struct config cfg;
    struct db dbs[FIXTURE_DBS];
    struct effect_sink sink;
    char effects[4096]; /* of the last command: words parted by spaces, effects by "; " */
    size_t used;
};

static inline void fixture_capture(struct effect_sink *s, int dbid, const struct bytes *argv, int argc)
{
    struct fixture *f = list_entry(s, struct fixture, sink);
    (void)dbid;
    size_t room = sizeof f->effects;
    if (f->used && f->used < room) f->used += (size_t)snprintf(f->effects + f->used, room - f->used, "; ");
    for (int i = 0; i < argc && f->used < room; i++)
        f->used +=
            (size_t)snprintf(f->effects + f->used, room - f->used, "%s%.*s", i ? " " : "", (int)argv[i].n, argv[i].p);
}

static inline void fixture_init(struct fixture *f, unsigned slices)
{
    memset(f, 0, sizeof *f);
    command_table_init();
    conf_init(&f->cfg);
    f->srv = (struct server){.config = &f->cfg,
                             .dbs = f->dbs,
                             .db_count = FIXTURE_DBS,
                             .workers = &f->w,
                             .worker_count = 1,
                             .active_expire = true,
                             .slices = slices};
    acl_init(&f->srv.acl);
    conf_store_init(&f->srv.conf, &f->srv.config);
    conf_store_join(&f->srv.conf, &f->w.conf);
    list_init(&f->srv.sinks);
    f->sink.effect = fixture_capture;
    list_push_back(&f->srv.sinks, &f->sink.link);
    f->w.srv = &f->srv;
    f->w.call = (struct call){.srv = &f->srv, .w = &f->w, .cfg = &f->cfg, .held = UINT64_MAX};
    f->w.cmd_stats = mem_calloc(command_count() * sizeof *f->w.cmd_stats);
    f->w.now_ms = FIXTURE_NOW;
    f->w.slow_ticks = UINT64_MAX;
    list_init(&f->w.clients);
    list_init(&f->w.copies);
    rng_seed(&f->w.rng, 1);
    reply_init(&f->w.nowhere, 2);
    for (int i = 0; i < FIXTURE_DBS; i++) db_init(&f->dbs[i], i, slices, 42);
    f->w.evict = evict_new(FIXTURE_DBS);
    blocked_init(&f->w);
    pubsub_init(&f->srv);
    slowlog_init(&f->srv);
    latency_init(&f->srv);
    scripts_init(&f->srv);
}

static inline void fixture_fini(struct fixture *f)
{
    tracking_fini(&f->srv);
    scripts_fini(&f->srv);
    latency_fini(&f->srv);
    slowlog_fini(&f->srv);
    pubsub_fini(&f->srv);
    blocked_fini(&f->w);
    evict_free(f->w.evict);
    for (int i = 0; i < FIXTURE_DBS; i++) db_fini(&f->dbs[i]);
    for (unsigned i = 0; i < command_count(); i++) mem_free(f->w.cmd_stats[i].histogram);
    mem_free(f->w.cmd_stats);
    effects_fini(&f->w.effects);
    key_refs_fini(&f->w.keys);
    reply_fini(&f->w.nowhere);
    errorstats_fini(&f->srv);
    libraries_clear(&f->srv.libraries);
    acl_fini(&f->srv.acl);
    conf_store_leave(&f->srv.conf, &f->w.conf);
    conf_store_fini(&f->srv.conf);
    conf_fini(&f->cfg);
}

/* Runs one line, words parted by single spaces, and gives the reply as it goes over the wire, valid until the next. */
static inline const char *fixture_ask(struct fixture *f, struct session *s, const char *line)
{
    static char text[262144]; /* COMMAND DOCS */
    struct bytes argv[64];
    int argc = 0;
    for (const char *p = line; *p && argc < 64;) {
        const char *end = strchrnul(p, ' ');
        argv[argc++] = bytes_of(p, (size_t)(end - p));
        p = *end ? end + 1 : end;
    }
    f->used = 0;
    f->effects[0] = 0;
    reply_reset(s->out);
    exec_argv(s, argv, argc);
    size_t n = reply_bytes(s->out);
    ASSERT(n < sizeof text);
    reply_copy_out(s->out, text);
    text[n] = 0;
    return text;
}

#endif

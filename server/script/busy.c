/* SPDX-License-Identifier: MIT
 *
 * Setting Lua's hook for each run would cost 55 ns, and more for every instruction while it is set (LuaJIT leaves its
 * fast dispatch then). So nothing is set while nothing is late: a timer sends the loop's thread a signal some times a
 * second, as long as scripts are used; its handler compares the number of the run with the one it saw before, and sets
 * the hook when that run is over its time. LuaJIT allows that from a handler of its own thread, and the hook is the
 * whole state's, coroutines included. A second without scripts stops the timer. So a script costs two stores, and the
 * process 20 signals a second (more if the threshold is under 200 ms) while it runs scripts.
 *
 *   tick: no run -> idle          another run -> remember it         the same, over its time -> set the hook
 *   hook: take it away; serve a turn of the loop (worker_turn_in_script()); killed -> the error that nobody catches
 *
 * While a script is busy the ticks come each 5 ms, and each sets the hook for one more such turn.
 *
 * A script of an append-only file runs in the task that reads it, and is busy as any other; it lets the loop go on in
 * the place of the turn, and clients are told LOADING, or BUSY where that is for who may ask while data are loaded.
 */
#include "server/script/busy.h"

#include "server/exec/call.h"
#include "server/exec/session.h"
#include "server/script/engine.h"
#include "server/script/scripts.h"
#include "server/server.h"

void script_kill(struct call *c, bool is_eval)
{
    struct script_run *run = c->srv->scripts->run;
    if (!run) {
        call_error(c, "NOTBUSY No scripts in execution right now.");
    } else if (run->session.flags & SESSION_WROTE) {
        call_error(c,
                   "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either "
                   "wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.");
    } else if (is_eval && !run->what->is_eval) {
        call_error(c, "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");
    } else if (!is_eval && run->what->is_eval) {
        call_error(c, "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
    } else {
        run->killed = true;
        call_ok(c);
    }
}

#ifdef SCRIPT_LUA

#include <errno.h>
#include <lua.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/exec/batch.h"
#include "server/observe/log.h"
#include "server/script/guard.h"
#include "server/script/values.h"
#include "server/worker.h"

#define TICK_NS_MAX   UINT64_C(50000000)
#define TICK_NS_BUSY  UINT64_C(5000000)
#define DEBUG_WAIT_NS UINT64_C(100000000) /* a debugged script waits, and looks about so often */
#define IDLE_NS       UINT64_C(1000000000)
#define NS_A_MS       UINT64_C(1000000)
#define TICK_SIGNAL   SIGVTALRM
#define THRESHOLD_MAX (INT64_C(1) << 40) /* ms: for ever, and no overflow in ns */

static struct scripts *volatile watched; /* a handler gets no argument, and one process has one server */

/* --- the timer ---------------------------------------------------------------------------------------------------- */

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* 0: stops it. */
static void set_timer(struct script_watch *w, uint64_t ns)
{
    struct itimerspec its = {.it_interval = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)}};
    its.it_value = its.it_interval;
    timer_settime((timer_t)w->timer, 0, &its, NULL);
    w->is_armed = ns != 0;
}

static void hook(lua_State *L, lua_Debug *ar);

/* In a handler: nothing here allocates, locks or logs. */
static void tick(int sig)
{
    struct scripts *s = watched;
    (void)sig;
    if (!s) return;
    int err = errno;
    struct script_watch *w = &s->watch;
    struct script_run *run = s->run;
    if (w->seen != s->serial) {
        w->idle_ticks = 0;
        w->seen = s->serial;
        w->seen_ns = clock_ns();
    } else if (!run) {
        if (++w->idle_ticks > IDLE_NS / w->tick_ns) set_timer(w, 0);
    } else if (!w->is_late && !w->in_hook && (run->is_busy || clock_ns() - w->seen_ns >= w->threshold_ns)) {
        w->is_late = true;
        if (!run->debug) lua_sethook(run->vm->L, hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
    }
    errno = err;
}

static bool make_timer(struct script_watch *w)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = tick;
    sa.sa_flags = SA_RESTART;
    if (sigaction(TICK_SIGNAL, &sa, NULL) != 0) return false;
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = TICK_SIGNAL;
    event._sigev_un._tid = gettid();
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return false;
    w->timer = (void *)timer;
    w->has_timer = true;
    return true;
}

/* Out of line: the timer does not run, or the threshold is another one. */
static __attribute__((noinline)) void arm(struct scripts *s, uint64_t threshold_ns)
{
    struct script_watch *w = &s->watch;
    if (!s->srv->in_a_process || (!w->has_timer && !make_timer(w))) return;
    watched = s;
    w->threshold_ns = threshold_ns;
    w->tick_ns = threshold_ns / 4 < TICK_NS_MAX ? threshold_ns / 4 : TICK_NS_MAX;
    if (w->tick_ns < NS_A_MS) w->tick_ns = NS_A_MS;
    w->idle_ticks = 0;
    set_timer(w, w->tick_ns);
}

/* --- a turn of the loop inside of a script ------------------------------------------------------------------------ */

void script_busy_enter(struct script_run *run)
{
    struct worker *w = run->vm->w;
    if (run->is_busy) return;
    run->is_busy = true;
    w->srv->unusual |= run->what->is_eval ? SERVER_BUSY_SCRIPT : SERVER_BUSY_FUNCTION;
    if (run->caller->client) client_enter_script(run->caller->client);
    run->batch = batch_put_aside(w, run->caller, run->argv);
}

static void become_busy(struct script_run *run)
{
    struct server *srv = run->vm->w->srv;
    const struct script_what *what = run->what;
    server_log(srv, LOG_WARNING_LEVEL,
               "Slow script detected: still in execution after %llu milliseconds. You can try killing the script using "
               "the %s command. Script name is: %s.",
               (unsigned long long)((clock_ns() - srv->scripts->watch.seen_ns) / NS_A_MS),
               what->is_eval ? "SCRIPT KILL" : "FUNCTION KILL", what->name);
    script_busy_enter(run);
    set_timer(&srv->scripts->watch, TICK_NS_BUSY);
}

static void be_busy_no_more(struct script_run *run, struct worker *w)
{
    struct server *srv = w->srv;
    srv->unusual &= ~(unsigned)SERVER_BUSY;
    batch_take_back(w, run->batch);
    if (run->caller->client) client_leave_script(run->caller->client);
    if (srv->upstream) worker_let_go(w); /* the stream has waited */
    if (srv->scripts->watch.is_armed) set_timer(&srv->scripts->watch, srv->scripts->watch.tick_ns);
}

/* What the running command has open is put aside: its call, its effects, what it has sent to its own client. */
static void serve_others(struct script_run *run, uint64_t wait_ns)
{
    struct worker *w = run->vm->w;
    struct call call = w->call;
    struct effects effects = w->effects;
    bool has_pushes = w->has_pushes;
    int64_t now_us = w->now_us; /* the script's */
    w->effects = (struct effects){0};
    w->has_pushes = false;
    if (w->srv->persist.loading) demi_yield(); /* it is of a log, which a task reads: the loop has its turn */
    else worker_turn_in_script(w, run->caller->client, wait_ns);
    effects_fini(&w->effects);
    w->effects = effects;
    w->has_pushes = has_pushes;
    w->call = call;
    w->call.cfg = w->conf.cfg;
    w->now_us = now_us;
    w->now_ms = now_us / 1000;
    if (!w->srv->stopping) return;
    run->killed = true; /* SHUTDOWN NOSAVE: what it has done half is not told */
    effects_cut(&w->effects, &(struct effects){0});
}

void script_busy_serve(struct script_run *run) { serve_others(run, DEBUG_WAIT_NS); }

int script_busy_die(lua_State *L)
{
    struct script_vm *vm = script_vm_of(L);
    lua_sethook(vm->L, NULL, 0, 0);
    if (!vm->killed) server_log(vm->w->srv, LOG_NOTICE_LEVEL, "Lua script killed by user with SCRIPT KILL.");
    vm->killed = true;
    vm->never_fails = true; /* there is room for this error */
    script_push_error(L, BYTES("ERR " SCRIPT_KILLED_TEXT), false);
    vm->never_fails = false;
    return lua_error(L);
}

void script_busy_look(lua_State *L)
{
    struct script_vm *vm = script_vm_of(L);
    struct scripts *s = vm->w->srv->scripts;
    struct script_watch *w = &s->watch;
    struct script_run *run = vm->run;
    if (!w->is_late || w->in_hook) return;
    w->is_late = false;
    if (run && run->debug) return; /* its own hook looks at the clock */
    lua_sethook(vm->L, NULL, 0, 0);
    if (!run || s->run != run) return;
    w->in_hook = true;
    if (!run->is_busy) become_busy(run);
    serve_others(run, 0);
    w->in_hook = false;
    if (run->killed) script_busy_die(L);
}

static void hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    script_busy_look(L);
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

void script_busy_begin(struct scripts *s)
{
    int64_t ms = s->srv->config->busy_reply_threshold;
    bool alone = s->srv->persist.replaying && !s->srv->persist.loading; /* DEBUG LOADAOF: nobody is served */
    if (unlikely(ms == 0 || alone)) {
        if (s->watch.is_armed) set_timer(&s->watch, 0);
        return;
    }
    if (ms > THRESHOLD_MAX) ms = THRESHOLD_MAX;
    uint64_t ns = (uint64_t)ms * NS_A_MS;
    if (unlikely(!s->watch.is_armed || s->watch.threshold_ns != ns)) arm(s, ns);
}

/* The run is no more the one under way, so no tick sets the hook again. */
void script_busy_end(struct scripts *s, struct script_run *run)
{
    if (unlikely(s->watch.is_late)) {
        lua_sethook(run->vm->L, NULL, 0, 0);
        s->watch.is_late = false;
    }
    if (unlikely(run->is_busy)) be_busy_no_more(run, run->vm->w);
}

void script_busy_fini(struct scripts *s)
{
    if (watched == s) watched = NULL;
    if (s->watch.has_timer) timer_delete((timer_t)s->watch.timer);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Lua's hook is called before each line. Where the script is to stop, lines are sent to the client, and turns of the
 * loop are served from inside of the hook (worker_turn_in_script()) until the client has sent a command that lets the
 * script go on: so the loop stays alive, however long somebody thinks. The hook is there while a script is debugged and
 * at no other time.
 *
 *   EVAL --> hook: line --no reason--> on
 *                    |  step, breakpoint, redis.breakpoint(), too long
 *                    v
 *            lines to the client --> turn, turn, turn... command --> answer --.
 *                    ^                                                        |
 *                    `---------- neither step nor continue -------------------'
 *
 * The lines go to the connection at once and not into the client's reply, where EVAL's own has its place: as in Redis.
 * A client that goes away leaves a script that nothing stops any more; if that runs for too long, it is ended.
 *
 * Redis has a second mode, SCRIPT DEBUG YES, which debugs in a child made by fork() and forgets what it changed. There
 * is no fork here, and to run the script for real for who wanted a rehearsal would be worse than to refuse: so the EVAL
 * behind it is refused, too (redis-cli does not look at what SCRIPT DEBUG replied).
 */
#include "server/script/debugger.h"

#include "server/exec/call.h"
#include "server/exec/session.h"

#define NO_FORK                                                                                                        \
    "ERR SCRIPT DEBUG YES is not supported: this server does not fork. Use SCRIPT DEBUG SYNC, or redis-cli "           \
    "--ldb-sync-mode, where what the script changes stays changed"

#define DEBUG_MODES (SESSION_DEBUGS | SESSION_DEBUG_REFUSED)

void debugger_set_mode(struct call *c)
{
    struct session *s = c->session;
    if (reply_bytes(s->out) > 0) {
        call_error(c, "ERR SCRIPT DEBUG must be called outside a pipeline");
        return;
    }
    uint32_t flags = s->flags & ~(uint32_t)DEBUG_MODES;
    if (bytes_is_word(c->argv[2], "no")) {
        call_ok(c);
    } else if (bytes_is_word(c->argv[2], "sync")) {
        flags |= SESSION_DEBUGS;
        call_ok(c);
    } else if (bytes_is_word(c->argv[2], "yes")) {
        flags |= SESSION_DEBUG_REFUSED;
        call_error(c, NO_FORK);
    } else {
        call_error(c, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
        return;
    }
    s->flags = flags;
}

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/mem.h"
#include "server/observe/log.h"
#include "server/script/busy.h"
#include "server/script/debugger_parts.h"
#include "server/script/engine.h"
#include "server/script/eval.h"
#include "server/script/scripts.h"
#include "server/script/vm.h"
#include "server/server.h"
#include "server/worker.h"

#define COUNT_EVERY    100000 /* instructions between two looks at the clock */
#define NS_A_MS        UINT64_C(1000000)
#define TIME_NS        (5000 * NS_A_MS) /* a script may run without a stop, if there is no busy-reply-threshold */
#define SAID_MAX       (2 * DEBUG_SHOW_MAX)
#define SHOWN_AT_FIRST 256
#define WORDS_SHOWN    10 /* of a command that a script calls */

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

void debugger_say(struct debugger *d, struct bytes line)
{
    if (d->gone || d->said_too_much) return;
    const char *nul = line.n ? memchr(line.p, 0, line.n) : NULL;
    if (nul) line.n = (size_t)(nul - line.p);
    d->said_too_much = reply_bytes(&d->said) + line.n > SAID_MAX;
    reply_status_bytes(&d->said, d->said_too_much ? BYTES("<hint> What follows is too much and was left out.") : line);
    d->said_count++;
}

void debugger_sayf(struct debugger *d, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    debugger_say(d, bytes_of_str(text));
}

void debugger_say_value(struct debugger *d, struct conf_text *t)
{
    bool cut = d->shown_max && t->n > d->shown_max;
    if (cut) {
        t->n = d->shown_max;
        conf_text_add_str(t, " ...");
    }
    debugger_say(d, conf_text_bytes(t));
    conf_text_free(t);
    if (!cut || d->hinted) return;
    d->hinted = true;
    debugger_say(d, BYTES("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming."));
}

/* Cuts the first line off. */
static struct bytes take_line(struct bytes *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct bytes line = bytes_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    size_t n = line.n + (end != NULL);
    *rest = bytes_of(rest->p + n, rest->n - n);
    return line;
}

bool debugger_is_breakpoint(const struct debugger *d, int line)
{
    for (int i = 0; i < d->breakpoint_count; i++)
        if (d->breakpoints[i] == line) return true;
    return false;
}

static void say_line(struct debugger *d, int number, struct bytes text)
{
    bool breaks = debugger_is_breakpoint(d, number), current = d->line == number;
    struct conf_text t = {0};
    conf_text_printf(&t, "%s%s%-3d ", current ? "->" : "  ", breaks ? "#" : " ", number);
    conf_text_add(&t, text);
    debugger_say(d, conf_text_bytes(&t));
    conf_text_free(&t);
}

static struct bytes line_at(const struct debugger *d, int line)
{
    struct bytes rest = d->source, text = BYTES("<out of range source code line>");
    if (line < 1 || line > d->line_count) return text;
    for (int i = 0; i < line; i++) text = take_line(&rest);
    return text;
}

void debugger_say_source(struct debugger *d, int line) { say_line(d, line, line_at(d, line)); }

void debugger_list(struct debugger *d, int around, int context)
{
    struct bytes rest = d->source;
    for (int i = 1; i <= d->line_count; i++) {
        struct bytes text = take_line(&rest);
        if ((i < around ? around - i : i - around) <= context) say_line(d, i, text);
    }
}

void debugger_send(struct debugger *d)
{
    struct reply whole;
    reply_init(&whole, 2);
    reply_array(&whole, d->said_count);
    reply_append(&whole, &d->said);
    if (!d->gone) client_say(d->cl, &whole);
    reply_fini(&whole);
    reply_reset(&d->said);
    d->said_count = 0;
    d->said_too_much = false;
}

/* --- a dialogue --------------------------------------------------------------------------------------------------- */

void debugger_end_script(struct script_run *run, lua_State *L, const char *text)
{
    struct script_vm *vm = run->vm;
    lua_sethook(vm->L, NULL, 0, 0);
    vm->killed = true;
    vm->never_fails = true;
    run->debug->steps = false;
    script_push_error(L, bytes_of_str(text), false);
    vm->never_fails = false;
    lua_error(L);
    abort();
}

static bool hear(void *ctx, struct bytes said)
{
    struct debugger *d = ctx;
    return debug_input_add(&d->input, said);
}

/* The next command is in d->input; false: the client has gone. */
static bool next_command(struct debugger *d, struct script_run *run, lua_State *L)
{
    for (;;) {
        enum debug_input_result r = debug_input_next(&d->input);
        if (r == DEBUG_INPUT_BROKEN) debugger_end_script(run, L, "ERR protocol error");
        if (r == DEBUG_INPUT_COMMAND && !client_is_behind(d->cl)) return true;
        if (r == DEBUG_INPUT_MORE) {
            enum client_heard heard = client_hear(d->cl, hear, d);
            if (heard == CLIENT_HEARD_TOO_MUCH) debugger_end_script(run, L, "ERR max client buffer reached");
            if (heard == CLIENT_HEARD) continue;
            if (heard == CLIENT_GONE) return false;
        }
        script_busy_serve(run);
        if (run->killed) script_busy_die(L);
    }
}

/* False: the client has gone. */
static bool dialogue(struct debugger *d, struct script_run *run, lua_State *L)
{
    bool goes_on = false;
    do {
        if (!next_command(d, run, L)) {
            d->gone = true;
            d->breakpoint_count = 0;
            return false;
        }
        goes_on = debug_command(d, run, L);
        if (!goes_on) debugger_send(d);
    } while (!goes_on);
    return true;
}

static void stop(struct debugger *d, struct script_run *run, lua_State *L, const char *reason, bool too_long)
{
    d->stopped = true;
    d->steps = d->breaks = false;
    debugger_sayf(d, "* Stopped at %d, stop reason = %s", d->line, reason);
    debugger_say_source(d, d->line);
    debugger_send(d);
    script_busy_enter(run);
    run->vm->never_fails = true;
    bool there = dialogue(d, run, L);
    run->vm->never_fails = false;
    if (!there && too_long)
        debugger_end_script(run, L, "ERR timeout during Lua debugging with client closing connection");
    d->since_ns = clock_ns();
    d->stopped = false;
}

/* --- the hook ----------------------------------------------------------------------------------------------------- */

static bool is_late(const struct script_run *run)
{
    int64_t ms = run->vm->w->srv->config->busy_reply_threshold;
    uint64_t limit = ms > 0 && (uint64_t)ms < UINT64_MAX / NS_A_MS ? (uint64_t)ms * NS_A_MS : TIME_NS;
    return clock_ns() - run->debug->since_ns >= limit;
}

/* Between two instructions of what `eval` runs, or in a function of C that takes long. */
static void watch_eval(lua_State *L, struct script_run *run)
{
    struct script_vm *vm = run->vm;
    if (!is_late(run) || vm->killed) return;
    lua_sethook(vm->L, NULL, 0, 0);
    vm->killed = true;
    luaL_error(L, "this takes too long");
}

/* LuaJIT has an instruction for the head of a loop that asks for nothing, Lua has none. */
static bool is_bare_loop(const struct debugger *d)
{
    struct bytes t = line_at(d, d->line);
    while (t.n && (t.p[0] == ' ' || t.p[0] == '\t')) t.p++, t.n--;
    while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t' || t.p[t.n - 1] == '\r')) t.n--;
    return bytes_equal(t, BYTES("repeat")) || bytes_equal(t, BYTES("while true do")) ||
           bytes_equal(t, BYTES("while 1 do"));
}

static void hook(lua_State *L, lua_Debug *ar)
{
    struct script_run *run = script_vm_of(L)->run;
    struct debugger *d = run ? run->debug : NULL;
    bool counts = ar->event != LUA_HOOKLINE;
    if (!d) return;
    if (d->stopped) {
        if (d->evaluates) watch_eval(L, run);
        return;
    }
    int level = 0;
    lua_Debug at;
    do { /* a function of C may have called this: where it was called is where the script is */
        if (!lua_getstack(L, level++, &at)) return;
        lua_getinfo(L, "Sl", &at);
    } while (at.currentline < 0);
    if (!strstr(at.short_src, "user_script")) return;
    d->line = at.currentline;
    if (counts) {
        if (is_late(run)) stop(d, run, L, "timeout reached, infinite loop?", true);
    } else if (d->breaks && !d->gone) {
        stop(d, run, L, "redis.breakpoint() called", false);
    } else if (debugger_is_breakpoint(d, d->line)) {
        stop(d, run, L, "break point", false);
    } else if (d->steps && !d->gone && !is_bare_loop(d)) {
        stop(d, run, L, "step over", false);
    }
}

static void set_hook(struct script_vm *vm) { lua_sethook(vm->L, hook, LUA_MASKLINE | LUA_MASKCOUNT, COUNT_EVERY); }

static int die_at_once(lua_State *L) { return lua_error(L); }

/* LuaJIT calls no hook while one is running, so what runs inside of one could not be ended. But it takes a coroutine
 * that dies for the end of the hook ("assumes nobody uses coroutines inside hooks", lj_err.c): so one dies here. */
static void leave_hook(lua_State *L)
{
    lua_State *co = lua_newthread(L);
    lua_pushcfunction(co, die_at_once);
    lua_pushnil(co);
    lua_resume(co, 1);
    lua_pop(L, 1);
}

int debugger_call(struct debugger *d, lua_State *L)
{
    struct script_vm *vm = script_vm_of(L);
    vm->never_fails = false;
    d->since_ns = clock_ns();
    d->evaluates = true;
    leave_hook(L);
    lua_sethook(vm->L, hook, LUA_MASKCOUNT, COUNT_EVERY);
    int err = lua_pcall(L, 0, 1, 0);
    set_hook(vm);
    d->evaluates = false;
    vm->killed = false;
    vm->never_fails = true;
    return err;
}

/* --- what the script does ----------------------------------------------------------------------------------------- */

void debugger_note_call(struct script_run *run, struct script_values *v, const struct bytes *argv, int argc)
{
    struct debugger *d = run->debug;
    struct conf_text t = {0};
    v->out.values = &script_values_taken;
    if (!d->steps) return;
    conf_text_add_str(&t, "<redis>");
    for (int i = 0; i < argc && i < WORDS_SHOWN; i++) {
        conf_text_add_str(&t, " ");
        conf_text_add(&t, argv[i]);
    }
    if (argc > WORDS_SHOWN) conf_text_printf(&t, " ... (%d more)", argc - WORDS_SHOWN - 1); /* as Redis counts */
    debugger_say(d, conf_text_bytes(&t));
    conf_text_free(&t);
    debug_reply_begin(&d->reply, v);
}

/* Why a command was not run Redis tells without ERR, or as the line that a client would get. */
static void note_refusal(struct debugger *d, struct bytes why)
{
    if (why.n > 4 && memcmp(why.p, "ERR ", 4) == 0) debugger_sayf(d, "<error> %.*s", (int)why.n - 4, why.p + 4);
    else debugger_sayf(d, "<error> -%.*s  ", (int)why.n, why.p);
}

void debugger_note_reply(struct script_run *run, struct script_values *v, bool refused)
{
    struct debugger *d = run->debug;
    if (v->out.values == &script_values_taken) return;
    v->out.values = &script_values_taken;
    if (refused) {
        note_refusal(d, conf_text_bytes(&d->reply.error));
        return;
    }
    if (d->reply.error.n) debugger_note_error(run, "-", conf_text_bytes(&d->reply.error));
    struct conf_text t = {0};
    conf_text_add_str(&t, "<reply> ");
    conf_text_add(&t, conf_text_bytes(&d->reply.text));
    debugger_say_value(d, &t);
}

void debugger_note_error(struct script_run *run, const char *sign, struct bytes text)
{
    struct debugger *d = run->debug;
    struct conf_text t = {0};
    if (!d->steps) return;
    conf_text_printf(&t, "<error> %s", sign);
    conf_text_add(&t, text);
    debugger_say(d, conf_text_bytes(&t));
    conf_text_free(&t);
}

void debugger_break(struct script_run *run) { run->debug->breaks = true; }

void debugger_print(struct script_run *run, lua_State *L)
{
    struct debugger *d = run->debug;
    struct conf_text t = {0};
    int argc = lua_gettop(L);
    conf_text_printf(&t, "<debug> line %d: ", d->line);
    run->vm->never_fails = true;
    for (int i = 1; i <= argc; i++) {
        if (i > 1) conf_text_add_str(&t, ", ");
        debug_show_value(&t, L, i);
    }
    run->vm->never_fails = false;
    debugger_say(d, conf_text_bytes(&t));
    conf_text_free(&t);
}

/* --- a session ---------------------------------------------------------------------------------------------------- */

void debugger_begin(struct script_run *run)
{
    run->debug->since_ns = clock_ns();
    set_hook(run->vm);
}

void debugger_end(struct script_run *run)
{
    run->debug->stopped = false;
    lua_sethook(run->vm->L, NULL, 0, 0);
}

static void take_source(struct debugger *d, struct bytes body)
{
    while (body.n && (body.p[body.n - 1] == '\n' || body.p[body.n - 1] == '\r')) body.n--;
    d->source = body;
    for (struct bytes rest = body; rest.n; d->line_count++) take_line(&rest);
}

static void end_session(struct debugger *d)
{
    debugger_say(d, BYTES("<endsession>"));
    debugger_send(d);
    client_close_after_reply(d->cl);
    reply_fini(&d->said);
    debug_reply_fini(&d->reply);
    debug_input_fini(&d->input);
    mem_free(d);
}

void debugger_eval(struct call *c, bool read_only)
{
    struct server *srv = c->srv;
    struct debugger *d = mem_calloc(sizeof *d);
    d->cl = c->client;
    d->steps = true;
    d->shown_max = SHOWN_AT_FIRST;
    reply_init(&d->said, 2);
    take_source(d, c->argv[1]);
    if (c->session->flags & SESSION_DEBUG_REFUSED) {
        call_error(c, NO_FORK);
    } else {
        server_log(srv, LOG_NOTICE_LEVEL, "Redis synchronous debugging eval session started");
        srv->scripts->debugger = d;
        script_eval(c, false, read_only);
        srv->scripts->debugger = NULL;
        server_log(srv, LOG_NOTICE_LEVEL, "Redis synchronous debugging eval session ended");
    }
    end_session(d);
}

#else

void debugger_eval(struct call *c, bool read_only) { (void)c, (void)read_only; }

#endif

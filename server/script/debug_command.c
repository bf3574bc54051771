/* SPDX-License-Identifier: MIT
 *
 * The commands of the debugger of scripts, which its client sends while the script is stopped. Their names, what they
 * take and the texts are those of Redis 7.2.4.
 */
#include "server/script/debugger_parts.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <string.h>

#include "server/ds/number.h"
#include "server/script/call.h"
#include "server/script/engine.h"
#include "server/script/sandbox.h"
#include "server/script/vm.h"

#define SHOWN_LEAST 60
#define CONTEXT     5 /* lines */

/* --- words -------------------------------------------------------------------------------------------------------- */

static struct bytes word(const struct debugger *d, int i) { return d->input.words[i]; }

static bool is(struct bytes w, const char *name) { return bytes_is_word(w, name); }

/* "s" or "step". */
static bool is_one_of(struct bytes w, const char *name)
{
    char letter[2] = {name[0], 0};
    return is(w, letter) || is(w, name);
}

/* As atoi() reads it: 0 if it is no number. */
static int as_number(struct bytes w)
{
    int64_t v = 0;
    size_t i = w.n && (w.p[0] == '-' || w.p[0] == '+');
    for (; i < w.n && w.p[i] >= '0' && w.p[i] <= '9' && v <= INT_MAX; i++) v = v * 10 + (w.p[i] - '0');
    if (v > INT_MAX) v = INT_MAX;
    return w.n && w.p[0] == '-' ? (int)-v : (int)v;
}

/* --- where it is -------------------------------------------------------------------------------------------------- */

static void list(struct debugger *d)
{
    int argc = d->input.count, around = d->line, context = CONTEXT;
    if (argc > 1 && as_number(word(d, 1)) > 0) around = as_number(word(d, 1));
    if (argc > 2) context = as_number(word(d, 2));
    debugger_list(d, around, context);
}

static void trace(struct debugger *d, lua_State *L)
{
    lua_Debug ar;
    int level = 0;
    for (; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Snl", &ar);
        if (!strstr(ar.short_src, "user_script")) continue;
        debugger_sayf(d, "%s %s:", level == 0 ? "In" : "From", ar.name ? ar.name : "top level");
        debugger_say_source(d, ar.currentline);
    }
    if (level == 0) debugger_say(d, BYTES("<error> Can't retrieve Lua stack."));
}

/* --- breakpoints -------------------------------------------------------------------------------------------------- */

static bool remove_breakpoint(struct debugger *d, int64_t line)
{
    for (int i = 0; i < d->breakpoint_count; i++) {
        if (d->breakpoints[i] != line) continue;
        for (d->breakpoint_count--; i < d->breakpoint_count; i++) d->breakpoints[i] = d->breakpoints[i + 1];
        return true;
    }
    return false;
}

static void add_breakpoint(struct debugger *d, int64_t line)
{
    if (d->breakpoint_count == DEBUG_BREAKPOINTS_MAX) {
        debugger_say(d, BYTES("Too many breakpoints set."));
    } else if (line > d->line_count || debugger_is_breakpoint(d, (int)line)) {
        debugger_say(d, BYTES("Wrong line number."));
    } else {
        d->breakpoints[d->breakpoint_count++] = (int)line;
        debugger_list(d, (int)line, 1);
    }
}

static void change_breakpoints(struct debugger *d, struct bytes arg)
{
    int64_t line;
    if (!number_parse_i64(arg, &line)) {
        debugger_sayf(d, "Invalid argument:'%.*s'", (int)arg.n, arg.p);
    } else if (line == 0) {
        d->breakpoint_count = 0;
        debugger_say(d, BYTES("All breakpoints removed."));
    } else if (line > 0) {
        add_breakpoint(d, line);
    } else if (line > -INT_MAX && remove_breakpoint(d, -line)) {
        debugger_say(d, BYTES("Breakpoint removed."));
    } else {
        debugger_say(d, BYTES("No breakpoint in the specified line."));
    }
}

static void breakpoints(struct debugger *d)
{
    if (d->input.count > 1) {
        for (int i = 1; i < d->input.count; i++) change_breakpoints(d, word(d, i));
        return;
    }
    if (d->breakpoint_count == 0) {
        debugger_say(d, BYTES("No breakpoints set. Use 'b <line>' to add one."));
        return;
    }
    debugger_sayf(d, "%d breakpoints set:", d->breakpoint_count);
    for (int i = 0; i < d->breakpoint_count; i++) debugger_say_source(d, d->breakpoints[i]);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* Pops the value on the top. */
static void say_popped(struct debugger *d, lua_State *L, const char *before, const char *name)
{
    struct conf_text t = {0};
    conf_text_printf(&t, "%s%s%s", before, name, *name ? " = " : "");
    debug_show_value(&t, L, -1);
    lua_pop(L, 1);
    debugger_say_value(d, &t);
}

static void print_one(struct debugger *d, lua_State *L, struct bytes wanted)
{
    lua_Debug ar;
    const char *name;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        for (int i = 1; (name = lua_getlocal(L, &ar, i)) != NULL; i++) {
            if (bytes_equal(bytes_of_str(name), wanted)) {
                say_popped(d, L, "<value> ", "");
                return;
            }
            lua_pop(L, 1);
        }
    }
    if (!bytes_equal(wanted, BYTES("KEYS")) && !bytes_equal(wanted, BYTES("ARGV"))) {
        debugger_say(d, BYTES("No such variable."));
        return;
    }
    script_push_globals(L);
    lua_pushlstring(L, wanted.p, wanted.n);
    lua_rawget(L, -2);
    say_popped(d, L, "<value> ", "");
    lua_pop(L, 1);
}

static void print_all(struct debugger *d, lua_State *L)
{
    lua_Debug ar;
    const char *name;
    bool any = false;
    if (lua_getstack(L, 0, &ar))
        for (int i = 1; (name = lua_getlocal(L, &ar, i)) != NULL; i++) {
            if (strstr(name, "(*temporary)")) {
                lua_pop(L, 1);
                continue;
            }
            say_popped(d, L, "<value> ", name);
            any = true;
        }
    if (!any) debugger_say(d, BYTES("No local variables in the current context."));
}

static void max_length(struct debugger *d)
{
    if (d->input.count == 2) {
        int n = as_number(word(d, 1));
        d->hinted = true;
        d->shown_max = n != 0 && n <= SHOWN_LEAST ? SHOWN_LEAST : (size_t)n;
    }
    if (d->shown_max) debugger_sayf(d, "<value> replies are truncated at %d bytes.", (int)d->shown_max);
    else debugger_say(d, BYTES("<value> replies are unlimited."));
}

/* --- what runs something ------------------------------------------------------------------------------------------ */

/* Pops an error: a text, or a table with err. */
static void say_error(struct debugger *d, lua_State *L)
{
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    size_t n = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
    struct conf_text t = {0};
    conf_text_add_str(&t, "<error> ");
    conf_text_add(&t, text ? bytes_of(text, n) : bytes_of_str(luaL_typename(L, -1)));
    debugger_say(d, conf_text_bytes(&t));
    conf_text_free(&t);
    lua_pop(L, 1);
}

/* Pushes the function, or why it is none. */
static bool load(lua_State *L, const struct debugger *d, const char *before, const char *behind)
{
    struct conf_text code = {0};
    conf_text_add_str(&code, before);
    for (int i = 1; i < d->input.count; i++) {
        if (i > 1) conf_text_add_str(&code, " ");
        conf_text_add(&code, word(d, i));
    }
    conf_text_add_str(&code, behind);
    bool loaded = luaL_loadbufferx(L, code.p, code.n, "@ldb_eval", "t") == 0;
    conf_text_free(&code);
    return loaded;
}

/* As an expression, or else as a statement. In parentheses first: a call behind `return` alone is a tail call, and the
 * place of its error would be lost (tails.h). */
static bool load_any(lua_State *L, const struct debugger *d)
{
    if (load(L, d, "return (", ")")) return true;
    lua_pop(L, 1);
    if (load(L, d, "return ", "")) return true;
    lua_pop(L, 1);
    return load(L, d, "", "");
}

static void eval(struct debugger *d, lua_State *L)
{
    if (!load_any(L, d) || debugger_call(d, L) != 0) say_error(d, L);
    else say_popped(d, L, "<retval> ", "");
}

/* The command and its reply are shown as those of the script are while it is run step by step. */
static void redis(struct debugger *d, struct script_run *run, lua_State *L)
{
    if (!lua_checkstack(L, d->input.count + 1)) {
        debugger_say(d, BYTES("<error> max lua stack reached"));
        return;
    }
    lua_pushcfunction(L, script_redis_call);
    for (int i = 1; i < d->input.count; i++) lua_pushlstring(L, word(d, i).p, word(d, i).n);
    d->steps = true;
    lua_pcall(L, d->input.count - 1, 1, 0);
    d->steps = false;
    run->vm->never_fails = true;
    lua_pop(L, 1);
}

static void help(struct debugger *d)
{
    static const char *const lines[] = {"Redis Lua debugger help:",
                                        "[h]elp               Show this help.",
                                        "[s]tep               Run current line and stop again.",
                                        "[n]ext               Alias for step.",
                                        "[c]ontinue           Run till next breakpoint.",
                                        "[l]ist               List source code around current line.",
                                        "[l]ist [line]        List source code around [line].",
                                        "                     line = 0 means: current position.",
                                        "[l]ist [line] [ctx]  In this form [ctx] specifies how many lines",
                                        "                     to show before/after [line].",
                                        "[w]hole              List all source code. Alias for 'list 1 1000000'.",
                                        "[p]rint              Show all the local variables.",
                                        "[p]rint <var>        Show the value of the specified variable.",
                                        "                     Can also show global vars KEYS and ARGV.",
                                        "[b]reak              Show all breakpoints.",
                                        "[b]reak <line>       Add a breakpoint to the specified line.",
                                        "[b]reak -<line>      Remove breakpoint from the specified line.",
                                        "[b]reak 0            Remove all breakpoints.",
                                        "[t]race              Show a backtrace.",
                                        "[e]val <code>        Execute some Lua code (in a different callframe).",
                                        "[r]edis <cmd>        Execute a Redis command.",
                                        "[m]axlen [len]       Trim logged Redis replies and Lua var dumps to len.",
                                        "                     Specifying zero as <len> means unlimited.",
                                        "[a]bort              Stop the execution of the script. In sync",
                                        "                     mode dataset changes will be retained.",
                                        "",
                                        "Debugger functions you can call from Lua scripts:",
                                        "redis.debug()        Produce logs in the debugger console.",
                                        "redis.breakpoint()   Stop execution like if there was a breakpoint in the",
                                        "                     next line of code."};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) debugger_say(d, bytes_of_str(lines[i]));
}

bool debug_command(struct debugger *d, struct script_run *run, lua_State *L)
{
    struct bytes name = word(d, 0);
    int argc = d->input.count;
    if (is_one_of(name, "continue")) return true;
    if (is_one_of(name, "step") || is_one_of(name, "next")) {
        d->steps = true;
        return true;
    }
    if (is_one_of(name, "abort")) debugger_end_script(run, L, "ERR script aborted for user request");
    if (!lua_checkstack(L, LUA_MINSTACK)) debugger_end_script(run, L, "ERR max lua stack reached");
    if (is_one_of(name, "help")) help(d);
    else if (is_one_of(name, "trace")) trace(d, L);
    else if (is_one_of(name, "maxlen")) max_length(d);
    else if (is_one_of(name, "break")) breakpoints(d);
    else if (is_one_of(name, "eval")) eval(d, L);
    else if (is_one_of(name, "redis") && argc > 1) redis(d, run, L);
    else if (is_one_of(name, "print") && argc == 2) print_one(d, L, word(d, 1));
    else if (is_one_of(name, "print")) print_all(d, L);
    else if (is_one_of(name, "list")) list(d);
    else if (is_one_of(name, "whole")) debugger_list(d, 1, 1000000);
    else debugger_say(d, BYTES("<error> Unknown Redis Lua debugger command or wrong number of arguments."));
    return false;
}

#endif

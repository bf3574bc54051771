/* SPDX-License-Identifier: MIT
 *
 * FCALL and FUNCTION: over server/script/function.h and the libraries of server/rdb/libraries.h.
 */
#include "alloc/base/clock.h"
#include "server/command/handlers.h"
#include "server/db/hooks.h"
#include "server/ds/glob.h"
#include "server/exec/call.h"
#include "server/mem.h"
#include "server/net/monitor.h"
#include "server/rdb/libraries.h"
#include "server/rdb/sink.h"
#include "server/script/busy.h"
#include "server/script/flags.h"
#include "server/script/function.h"
#include "server/script/scripts.h"
#include "server/server.h"

/* MONITOR shows it before the commands that it runs, and whatever it comes to. */
static void fcall(struct call *c, bool read_only)
{
    if (unlikely(c->w->monitor_count) && c->client) monitor_feed(c->w, c->client, c->cmd, c->argv, c->argc);
    if (scripts_available(c)) function_call(c, read_only);
}

void cmd_fcall(struct call *c) { fcall(c, false); }
void cmd_fcall_ro(struct call *c) { fcall(c, true); }

/* --- changes: each is an effect ----------------------------------------------------------------------------------- */

void cmd_function_load(struct call *c)
{
    char err[LIBRARIES_ERROR_SIZE];
    struct library *library;
    bool replace = false;
    for (int i = 2; i < c->argc - 1; i++) {
        if (!bytes_is_word(c->argv[i], "replace")) {
            call_errorf(c, "ERR Unknown option given: %.*s", (int)(c->argv[i].n < 128 ? c->argv[i].n : 128),
                        c->argv[i].p);
            return;
        }
        replace = true;
    }
    if (!scripts_available(c)) return;
    bool limited = !srv_must_obey(c);
    if (libraries_load(&c->srv->libraries, c->argv[c->argc - 1], replace, limited, &library, err, sizeof err)) {
        call_errorf(c, "ERR %s", err);
        return;
    }
    c->dirty++;
    call_bulk(c, bytes_of_str(library->name));
}

void cmd_function_delete(struct call *c)
{
    if (!libraries_delete(&c->srv->libraries, c->argv[2])) {
        call_error(c, "ERR Library not found");
        return;
    }
    c->dirty++;
    call_ok(c);
}

void cmd_function_flush(struct call *c)
{
    bool elsewhere = c->cfg->lazyfree_lazy_user_flush;
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 3 && bytes_is_word(c->argv[2], "async")) elsewhere = true;
    else if (c->argc == 3 && bytes_is_word(c->argv[2], "sync")) elsewhere = false;
    else if (c->argc == 3) {
        call_error(c, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    functions_flush(c->srv, elsewhere);
    c->dirty++;
    call_ok(c);
}

void cmd_function_restore(struct call *c)
{
    char err[LIBRARIES_ERROR_SIZE];
    bool replace = false, flush = false;
    if (c->argc > 4) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 4) {
        replace = bytes_is_word(c->argv[3], "replace");
        flush = bytes_is_word(c->argv[3], "flush");
        if (!replace && !flush && !bytes_is_word(c->argv[3], "append")) {
            call_error(c, "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
            return;
        }
    }
    if (!scripts_available(c)) return;
    struct libraries set = functions_another_set(c->srv);
    bool unchecked = c->srv->skip_checksum_validation, limited = !srv_must_obey(c);
    int error = libraries_read_dump(&set, c->argv[2], unchecked, limited, err, sizeof err);
    if (!error && flush) libraries_clear(&c->srv->libraries);
    if (!error) error = libraries_join(&c->srv->libraries, &set, replace, err, sizeof err);
    libraries_clear(&set);
    if (error) {
        call_errorf(c, "ERR %s", err);
        return;
    }
    c->dirty++;
    call_ok(c);
}

/* --- looks -------------------------------------------------------------------------------------------------------- */

static void release_payload(void *payload) { mem_free(payload); }

void cmd_function_dump(struct call *c)
{
    struct rdb_sink s;
    rdb_sink_init(&s, NULL, NULL);
    s.compress = c->cfg->rdbcompression;
    s.version = (int)c->cfg->rdb_version;
    libraries_dump(&c->srv->libraries, &s);
    struct bytes payload = rdb_sink_bytes(&s);
    s.buf = NULL; /* the reply's from here on */
    rdb_sink_fini(&s);
    reply_bulk_ref(c->out, payload, release_payload, (void *)(uintptr_t)payload.p);
}

static void reply_text(struct reply *out, const char *text) { reply_bulk(out, bytes_of_str(text)); }

static void reply_function(struct reply *out, const struct function *f)
{
    size_t count = 0;
    reply_map(out, 3);
    reply_text(out, "name");
    reply_bulk(out, bytes_of(f->name, f->name_size));
    reply_text(out, "description");
    if (f->description) reply_bulk(out, bytes_of(f->description, f->description_size));
    else reply_null(out);
    reply_text(out, "flags");
    for (unsigned i = 0; script_flag_name(i); i++) count += f->what.flags >> i & 1;
    reply_set(out, count);
    for (unsigned i = 0; script_flag_name(i); i++)
        if (f->what.flags >> i & 1) reply_status(out, script_flag_name(i));
}

static void reply_library(struct reply *out, const struct library *l, bool with_code)
{
    reply_map(out, with_code ? 4 : 3);
    reply_text(out, "library_name");
    reply_text(out, l->name);
    reply_text(out, "engine");
    reply_text(out, "LUA");
    reply_text(out, "functions");
    reply_array(out, l->function_count);
    for (unsigned i = 0; i < l->function_count; i++) reply_function(out, l->functions[i].what);
    if (!with_code) return;
    reply_text(out, "library_code");
    reply_bulk(out, l->code);
}

static bool is_listed(const struct library *l, struct bytes pattern)
{
    return !pattern.p || glob_match(pattern, bytes_of_str(l->name), true);
}

void cmd_function_list(struct call *c)
{
    struct bytes pattern = bytes_of(NULL, 0);
    bool with_code = false;
    for (int i = 2; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        if (!with_code && bytes_is_word(word, "withcode")) {
            with_code = true;
        } else if (!pattern.p && bytes_is_word(word, "libraryname")) {
            if (++i == c->argc) {
                call_error(c, "ERR library name argument was not given");
                return;
            }
            pattern = c->argv[i];
        } else {
            call_errorf(c, "ERR Unknown argument %.*s", (int)(word.n < 128 ? word.n : 128), word.p);
            return;
        }
    }
    const struct libraries *l = &c->srv->libraries;
    size_t count = 0;
    for (unsigned i = 0; i < l->count; i++) count += is_listed(l->all[i], pattern);
    reply_array(c->out, count);
    for (unsigned i = 0; i < l->count; i++)
        if (is_listed(l->all[i], pattern)) reply_library(c->out, l->all[i], with_code);
}

/* Whoever is answered while it runs is answered because it is late: it is watched. */
static void reply_running(struct reply *out, const struct scripts *s)
{
    const struct script_run *run = s->run;
    reply_map(out, 3);
    reply_text(out, "name");
    reply_text(out, run->what->name);
    reply_text(out, "command");
    reply_array(out, (size_t)run->argc);
    for (int i = 0; i < run->argc; i++) reply_bulk(out, run->argv[i]);
    reply_text(out, "duration_ms");
    reply_int(out, (int64_t)((clock_mono_ns() - s->watch.seen_ns) / 1000000));
}

void cmd_function_stats(struct call *c)
{
    struct reply *out = c->out;
    const struct script_run *run = c->srv->scripts->run;
    if (run && run->what->is_eval) {
        call_error(c, "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
        return;
    }
    reply_map(out, 2);
    reply_text(out, "running_script");
    if (run) reply_running(out, c->srv->scripts);
    else reply_null(out);
    reply_text(out, "engines");
    reply_map(out, 1);
    reply_text(out, "LUA");
    reply_map(out, 2);
    reply_text(out, "libraries_count");
    reply_int(out, c->srv->libraries.count);
    reply_text(out, "functions_count");
    reply_int(out, c->srv->libraries.function_count);
}

void cmd_function_kill(struct call *c) { script_kill(c, false); }

void cmd_function_help(struct call *c)
{
    static const char *const lines[] = {
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Library description",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE "
        "command",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance of failure",
        "      in case of functions name collision with another library).",
        NULL};
    call_help(c, lines);
}

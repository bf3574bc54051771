/* SPDX-License-Identifier: MIT
 *
 * What a value is kept as: OBJECT, and MEMORY USAGE.
 */
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/db/use.h"

/* The value asked about; NULL: null was replied. */
static const struct entry *subject(struct call *c)
{
    const struct entry *e = db_lookup_notouch(c, call_key(c, 2), true);
    if (!e) reply_null(c->out);
    return e;
}

void cmd_object_encoding(struct call *c)
{
    const struct entry *e = subject(c);
    if (e) reply_bulk_str(c->out, entry_encoding_name(e));
}

/* Redis shares the numbers 0 ... 9999 and counts for ever (unless eviction needs their clocks); nothing else is
 * shared between keys. */
static bool redis_would_share(const struct call *c, const struct entry *e)
{
    if (e->enc != ENC_INT || entry_int(e) < 0 || entry_int(e) >= 10000) return false;
    if (c->cfg->maxmemory == 0) return true;
    return c->cfg->maxmemory_policy != MAXMEMORY_VOLATILE_LRU && c->cfg->maxmemory_policy != MAXMEMORY_ALLKEYS_LRU &&
           !use_is_lfu(c->cfg);
}

void cmd_object_refcount(struct call *c)
{
    const struct entry *e = subject(c);
    if (e) call_integer(c, redis_would_share(c, e) ? INT32_MAX : 1);
}

void cmd_object_idletime(struct call *c)
{
    const struct entry *e = subject(c);
    if (!e) return;
    if (use_is_lfu(c->cfg)) {
        call_error(
            c,
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "
            "policies at runtime LRU and LFU data will take some time to adjust.");
        return;
    }
    call_integer(c, db_idle_seconds(c, e));
}

void cmd_object_freq(struct call *c)
{
    const struct entry *e = subject(c);
    if (!e) return;
    if (!use_is_lfu(c->cfg)) {
        call_error(c, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
                      "when switching "
                      "between policies at runtime LRU and LFU data will take some time to adjust.");
        return;
    }
    call_integer(c, db_lfu_counter(c, e));
}

void cmd_object_help(struct call *c)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        NULL,
    };
    call_help(c, lines);
}

void cmd_memory_usage(struct call *c)
{
    int64_t samples = 5;
    for (int i = 3; i < c->argc; i++) {
        if (!bytes_is_word(c->argv[i], "samples") || i + 1 == c->argc) {
            call_syntax_error(c);
            return;
        }
        if (!call_int(c, c->argv[++i], &samples)) return;
        if (samples < 0) {
            call_syntax_error(c);
            return;
        }
    }
    const struct entry *e = db_peek(c, call_key(c, 2));
    if (e) call_integer(c, (int64_t)entry_memory(e, (size_t)samples));
    else reply_null(c->out);
}

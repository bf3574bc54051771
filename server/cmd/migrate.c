/* SPDX-License-Identifier: MIT
 *
 * MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key ...]: its
 * arguments, and who waits for it. server/migrate/ does the rest.
 */
#include "server/migrate/migrate.h"

#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/server.h"
#include "server/worker.h"

#define TIMEOUT_MS_DEFAULT 1000

/* The option at argv[i]; gives the index of its last argument, argc - 1 for KEYS, or -1 with an error replied. */
static int parse_option(struct call *c, struct migrate_order *o, int i)
{
    struct bytes word = c->argv[i];
    int left = c->argc - 1 - i;
    if (bytes_is_word(word, "copy")) {
        o->copy = true;
        return i;
    }
    if (bytes_is_word(word, "replace")) {
        o->replace = true;
        return i;
    }
    if (bytes_is_word(word, "auth") && left >= 1) {
        o->has_password = true;
        o->password = c->argv[i + 1];
        return i + 1;
    }
    if (bytes_is_word(word, "auth2") && left >= 2) {
        o->has_user = o->has_password = true;
        o->user = c->argv[i + 1];
        o->password = c->argv[i + 2];
        return i + 2;
    }
    if (!bytes_is_word(word, "keys")) {
        call_syntax_error(c);
        return -1;
    }
    if (c->argv[3].n) {
        call_error(c, "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string");
        return -1;
    }
    o->first_key = i + 1;
    o->key_count = left;
    return c->argc - 1;
}

static bool parse_order(struct call *c, struct migrate_order *o)
{
    for (int i = 6; i < c->argc; i++) {
        i = parse_option(c, o, i);
        if (i < 0) return false;
    }
    if (!call_int(c, c->argv[5], &o->timeout_ms) || !call_int(c, c->argv[4], &o->db)) return false;
    if (o->timeout_ms <= 0) o->timeout_ms = TIMEOUT_MS_DEFAULT;
    return true;
}

static bool answer(struct client *cl, const struct request *r, struct reply *out, bool last)
{
    (void)r;
    if (migrate_answer(cl, out)) return true;
    if (last) reply_error(out, "-IOERR nobody waits for the target instance any more, and the keys may still go there");
    return last;
}

void cmd_migrate(struct call *c)
{
    struct migrate_order o = {.host = c->argv[1], .port = c->argv[2], .first_key = 3, .key_count = 1};
    if (!parse_order(c, &o)) return;
    if (c->deny_blocking || !c->client) migrate_at_once(c, &o);
    else if (migrate_begin(c, &o)) call_block_on_log(c, 0, answer);
    else reply_status(c->out, "NOKEY");
}

/* SPDX-License-Identifier: MIT */
#include "server/exec/admit.h"

#include <stdio.h>
#include <string.h>

#include "server/exec/multi.h"

static bool arity_fits(const struct command *cmd, int argc)
{
    return cmd->arity >= 0 ? argc == cmd->arity : argc >= -cmd->arity;
}

static bool debug_is_allowed(const struct session *s, const struct admit_state *st)
{
    return st->debug == ADMIT_PROTECTED_YES || (st->debug == ADMIT_PROTECTED_LOCAL && (s->flags & SESSION_LOCAL));
}

/* Over maxmemory these are refused: commands that may need more, and inside MULTI whatever would be queued. */
static bool needs_memory(const struct session *s, const struct command *cmd)
{
    if (cmd->flags & CMD_DENYOOM) return true;
    if (!(s->flags & SESSION_MULTI)) return false;
    if (cmd->flags & CMD_RUNS_QUEUE) return multi_needs_memory(s);
    return !(cmd->flags & CMD_ENDS_MULTI);
}

static bool touches_keys(const struct command *cmd)
{
    return cmd->flags & (CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE);
}

static bool may_write(const struct session *s, const struct command *cmd)
{
    return (cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) || ((cmd->flags & CMD_RUNS_QUEUE) && multi_writes(s));
}

/* The queue of EXEC counts as EXEC. */
static bool changes_data(const struct session *s, const struct command *cmd)
{
    return (cmd->flags & (CMD_WRITE | CMD_TELLS_DISK_ERROR)) || ((cmd->flags & CMD_RUNS_QUEUE) && multi_changes(s));
}

static bool runs_while_loading(const struct session *s, const struct command *cmd)
{
    return (cmd->flags & CMD_LOADING) && !((cmd->flags & CMD_RUNS_QUEUE) && multi_needs_data(s));
}

static enum admit_reason why_refused(const struct session *s, const struct request *r, const struct admit_state *st)
{
    const struct command *cmd = r->cmd;
    ASSERT(cmd != NULL);
    ASSERT(r->argc > 0);
    if (!arity_fits(cmd, r->argc)) return ADMIT_ARITY;
    if ((cmd->flags & CMD_NEEDS_CLIENT) && !s->client) return ADMIT_NO_CLIENT;
    if ((cmd->flags & CMD_PROTECTED) && !debug_is_allowed(s, st)) return ADMIT_DEBUG;
    if (!(s->flags & SESSION_AUTHENTICATED) && !(cmd->flags & CMD_NO_AUTH)) return ADMIT_NOAUTH;
    if ((s->flags & SESSION_MULTI) && (cmd->flags & CMD_NO_MULTI)) return ADMIT_NO_MULTI;
    if (st->over_memory && needs_memory(s, cmd)) return ADMIT_OOM;
    if (st->disk_error && changes_data(s, cmd)) return ADMIT_DISK_ERROR;
    if (st->aof_error && changes_data(s, cmd)) return ADMIT_AOF_ERROR;
    if ((s->flags & SESSION_PUBSUB) && s->out->proto == 2 && !(cmd->flags & CMD_SUBSCRIBED)) return ADMIT_SUBSCRIBED;
    if (st->loading && !runs_while_loading(s, cmd)) return ADMIT_LOADING;
    if ((s->flags & (SESSION_REPLICA | SESSION_MONITOR)) && touches_keys(cmd)) return ADMIT_REPLICA;
    return ADMIT_OK;
}

struct admission admit(const struct session *s, const struct request *r, const struct admit_state *st)
{
    enum admit_reason why = why_refused(s, r, st);
    if (why != ADMIT_OK) return (struct admission){ADMIT_REFUSE, why};
    if (st->pause == ADMIT_PAUSE_ALL || (st->pause == ADMIT_PAUSE_WRITES && may_write(s, r->cmd)))
        return (struct admission){ADMIT_HOLD, ADMIT_OK};
    if ((s->flags & SESSION_MULTI) && !(r->cmd->flags & CMD_RUNS_IN_MULTI))
        return (struct admission){ADMIT_QUEUE, ADMIT_OK};
    return (struct admission){ADMIT_RUN, ADMIT_OK};
}

void admit_text(enum admit_reason why, const struct request *r, const struct admit_state *st, char *text, size_t size)
{
    static const char *const fixed[ADMIT_REASONS] = {
        [ADMIT_DEBUG] =
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can "
            "run it from a local connection, otherwise you need to set this option in the configuration "
            "file, and then restart the server.",
        [ADMIT_NOAUTH] = "NOAUTH Authentication required.",
        [ADMIT_NO_MULTI] = "ERR Command not allowed inside a transaction",
        [ADMIT_OOM] = "OOM command not allowed when used memory > 'maxmemory'.",
        [ADMIT_DISK_ERROR] =
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands "
            "that may modify the data set are disabled, because this instance is configured to report errors during "
            "writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for "
            "details about the RDB error.",
        [ADMIT_LOADING] = "LOADING Redis is loading the dataset in memory",
        [ADMIT_REPLICA] = "ERR Replica can't interact with the keyspace",
    };
    const char *name = r->cmd->full_name;
    switch (why) {
    case ADMIT_ARITY: snprintf(text, size, "ERR wrong number of arguments for '%s' command", name); return;
    case ADMIT_NO_CLIENT: snprintf(text, size, "ERR '%s' works on a connection, and there is none", name); return;
    case ADMIT_SUBSCRIBED:
        snprintf(text, size,
                 "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                 "this context",
                 name);
        return;
    case ADMIT_AOF_ERROR:
        snprintf(text, size, "MISCONF Errors writing to the AOF file: %s", strerror(-st->aof_error));
        return;
    default: snprintf(text, size, "%s", fixed[why] ? fixed[why] : "ERR"); return;
    }
}

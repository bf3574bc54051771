/* SPDX-License-Identifier: MIT
 *
 * PUBLISH, SPUBLISH and PUBSUB; subscribing itself is in server/net/pubsub.c.
 */
#include "server/command/handlers.h"
#include "server/ds/glob.h"
#include "server/net/pubsub.h"
#include "server/server.h"

void cmd_publish(struct call *c)
{
    size_t receivers = pubsub_publish(c, c->argv[1], c->argv[2]);
    if (effect_wanted(c)) effect_as(c, c->argc, c->argv); /* subscribers of replicas hear it too */
    call_integer(c, (int64_t)receivers);
}

void cmd_spublish(struct call *c)
{
    size_t receivers = pubsub_publish_sharded(c, c->argv[1], c->argv[2]);
    if (effect_wanted(c)) effect_as(c, c->argc, c->argv);
    call_integer(c, (int64_t)receivers);
}

struct channel_list {
    struct reply *out;
    const struct bytes *pattern;
    size_t count;
};

static void add_channel(void *arg, struct bytes name)
{
    struct channel_list *l = arg;
    if (l->pattern && !glob_match(*l->pattern, name, false)) return;
    reply_bulk(l->out, name);
    l->count++;
}

static void list_channels(struct call *c, enum pubsub_kind kind)
{
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    struct channel_list l = {.out = c->out, .pattern = c->argc == 3 ? &c->argv[2] : NULL};
    struct reply_mark mark = reply_defer(c->out);
    pubsub_each(c->srv, kind, add_channel, &l);
    reply_defer_array(c->out, mark, l.count);
}

static void count_subscribers(struct call *c, enum pubsub_kind kind)
{
    reply_array(c->out, (size_t)(c->argc - 2) * 2);
    for (int i = 2; i < c->argc; i++) {
        reply_bulk(c->out, c->argv[i]);
        reply_int(c->out, (int64_t)pubsub_subscribers(c->srv, kind, c->argv[i]));
    }
}

void cmd_pubsub_channels(struct call *c) { list_channels(c, PUBSUB_CHANNELS); }
void cmd_pubsub_shardchannels(struct call *c) { list_channels(c, PUBSUB_SHARDED); }
void cmd_pubsub_numsub(struct call *c) { count_subscribers(c, PUBSUB_CHANNELS); }
void cmd_pubsub_shardnumsub(struct call *c) { count_subscribers(c, PUBSUB_SHARDED); }
void cmd_pubsub_numpat(struct call *c) { call_integer(c, (int64_t)pubsub_count(c->srv, PUBSUB_PATTERNS)); }

void cmd_pubsub_help(struct call *c)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    List the channels that have subscribers, those matching <pattern> only.",
        "NUMPAT",
        "    Tell how many patterns are subscribed to.",
        "NUMSUB [<channel> ...]",
        "    Tell how many subscribers each channel has, patterns left aside.",
        "SHARDCHANNELS [<pattern>]",
        "    List the sharded channels that have subscribers, those matching <pattern> only.",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Tell how many subscribers each sharded channel has.",
        NULL,
    };
    call_help(c, lines);
}

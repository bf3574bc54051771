/* SPDX-License-Identifier: MIT
 *
 * PUBLISH and PUBSUB; subscribing itself is in server/net/pubsub.c.
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

void cmd_pubsub_channels(struct call *c)
{
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    struct channel_list l = {.out = c->out, .pattern = c->argc == 3 ? &c->argv[2] : NULL};
    struct reply_mark mark = reply_defer(c->out);
    pubsub_channels(c->srv, add_channel, &l);
    reply_defer_array(c->out, mark, l.count);
}

void cmd_pubsub_numsub(struct call *c)
{
    reply_array(c->out, (size_t)(c->argc - 2) * 2);
    for (int i = 2; i < c->argc; i++) {
        reply_bulk(c->out, c->argv[i]);
        reply_int(c->out, (int64_t)pubsub_subscribers(c->srv, c->argv[i]));
    }
}

void cmd_pubsub_numpat(struct call *c) { call_integer(c, (int64_t)pubsub_pattern_count(c->srv)); }

void cmd_pubsub_help(struct call *c)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    List the channels that have subscribers, those matching <pattern> only.",
        "NUMPAT",
        "    Tell how many patterns are subscribed to.",
        "NUMSUB [<channel> ...]",
        "    Tell how many subscribers each channel has, patterns left aside.",
        NULL,
    };
    call_help(c, lines);
}

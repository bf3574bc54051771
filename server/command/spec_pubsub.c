/* SPDX-License-Identifier: MIT
 *
 * Channels and patterns. Sharded channels come with the cluster.
 */
#include "server/command/handlers.h"
#include "server/command/spec.h"

static const struct command pubsub_subs[] = {
    {
        .name = "CHANNELS",
        .handler = cmd_pubsub_channels,
        .arity = -2,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.8.0",
        .complexity = "O(N) where N is the number of active channels, and assuming constant time pattern matching "
                      "(relatively short channels and patterns)",
        .summary = "Returns the active channels.",
        ARGS({.name = "pattern", .type = ARG_PATTERN, .flags = ARG_OPTIONAL}),
    },
    {
        .name = "HELP",
        .handler = cmd_pubsub_help,
        .arity = 2,
        .flags = CMD_LOADING | CMD_STALE,
        .acl = ACL_SLOW,
        .group = "pubsub",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Returns helpful text about the different subcommands.",
    },
    {
        .name = "NUMPAT",
        .handler = cmd_pubsub_numpat,
        .arity = 2,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.8.0",
        .complexity = "O(1)",
        .summary = "Returns a count of unique pattern subscriptions.",
    },
    {
        .name = "NUMSUB",
        .handler = cmd_pubsub_numsub,
        .arity = -2,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.8.0",
        .complexity = "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
        .summary = "Returns a count of subscribers to channels.",
        ARGS({.name = "channel", .type = ARG_STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE}),
    },
};

const struct command spec_pubsub[] = {
    {
        .name = "PSUBSCRIBE",
        .handler = cmd_psubscribe,
        .arity = -2,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL | CMD_SUBSCRIBED | CMD_NEEDS_CLIENT,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.0.0",
        .complexity = "O(N) where N is the number of patterns to subscribe to.",
        .summary = "Listens for messages published to channels that match one or more patterns.",
        ARGS({.name = "pattern", .type = ARG_PATTERN, .flags = ARG_MULTIPLE}),
    },
    {
        .name = "PUBLISH",
        .handler = cmd_publish,
        .arity = 3,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE | CMD_SENTINEL,
        .acl = ACL_PUBSUB | ACL_FAST,
        .group = "pubsub",
        .since = "2.0.0",
        .complexity = "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total "
                      "number of subscribed patterns (by any client).",
        .summary = "Posts a message to a channel.",
        ARGS({.name = "channel", .type = ARG_STRING}, {.name = "message", .type = ARG_STRING}),
    },
    {
        .name = "PUBSUB",
        .arity = -2,
        .acl = ACL_SLOW,
        .subs = pubsub_subs,
        .sub_count = COUNT(pubsub_subs),
        .group = "pubsub",
        .since = "2.8.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for Pub/Sub commands.",
    },
    {
        .name = "PUNSUBSCRIBE",
        .handler = cmd_punsubscribe,
        .arity = -1,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL | CMD_SUBSCRIBED | CMD_NEEDS_CLIENT,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.0.0",
        .complexity = "O(N) where N is the number of patterns to unsubscribe.",
        .summary = "Stops listening to messages published to channels that match one or more patterns.",
        ARGS({.name = "pattern", .type = ARG_PATTERN, .flags = ARG_OPTIONAL | ARG_MULTIPLE}),
    },
    {
        .name = "SUBSCRIBE",
        .handler = cmd_subscribe,
        .arity = -2,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL | CMD_SUBSCRIBED | CMD_NEEDS_CLIENT,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.0.0",
        .complexity = "O(N) where N is the number of channels to subscribe to.",
        .summary = "Listens for messages published to channels.",
        ARGS({.name = "channel", .type = ARG_STRING, .flags = ARG_MULTIPLE}),
    },
    {
        .name = "UNSUBSCRIBE",
        .handler = cmd_unsubscribe,
        .arity = -1,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL | CMD_SUBSCRIBED | CMD_NEEDS_CLIENT,
        .acl = ACL_PUBSUB | ACL_SLOW,
        .group = "pubsub",
        .since = "2.0.0",
        .complexity = "O(N) where N is the number of channels to unsubscribe.",
        .summary = "Stops listening to messages posted to channels.",
        ARGS({.name = "channel", .type = ARG_STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE}),
    },
};

const unsigned spec_pubsub_count = COUNT(spec_pubsub);

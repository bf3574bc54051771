/* SPDX-License-Identifier: MIT
 *
 * Publish and subscribe, and keyspace notifications, which are published messages too.
 *
 *   channels: name -> subscribers      client->subs: names and patterns it subscribed to
 *   patterns: text -> subscribers      (a message is matched against each distinct pattern once)
 *   sharded:  name -> subscribers      (a namespace of its own, which no pattern reaches)
 *
 * Subscribers of a channel are a list in the order in which they came. A message is written into each receiver's own
 * output (that of the one who publishes: behind its reply, pushes.h); the output-buffer limit of the pubsub class
 * bounds what a slow one can hold.
 */
#include "server/net/pubsub.h"

#include <string.h>

#include "server/command/handlers.h"
#include "server/db/hooks.h"
#include "server/ds/glob.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/net/pushes.h"
#include "server/server.h"
#include "server/worker.h"

struct channel {
    struct list subscribers; /* struct subscription.by_channel */
    size_t count;
    uint64_t hash;
    uint8_t kind; /* enum pubsub_kind */
    uint32_t n;
    char name[];
};

/* Who, and to what: the key of a subscription in pubsub.subscriptions. */
struct subscription_key {
    struct client *cl;
    struct channel *ch;
};

struct subscription {
    struct list by_channel; /* in channel.subscribers */
    struct list by_client;  /* in subscriptions.list[kind] */
    struct subscription_key key;
};

struct subscriptions {
    struct list list[PUBSUB_KINDS];
    size_t count[PUBSUB_KINDS];
};

struct pubsub {
    struct table names[PUBSUB_KINDS]; /* of struct channel * */
    struct table subscriptions;       /* of all clients: whether there is one needs no walk through either's list */
};

static struct bytes channel_name(const void *entry)
{
    const struct channel *ch = entry;
    return bytes_of(ch->name, ch->n);
}

static const struct table_ops channel_ops = {.key = channel_name};

static struct bytes key_bytes(const struct subscription_key *key) { return bytes_of((const char *)key, sizeof *key); }
static struct bytes subscription_bytes(const void *entry)
{
    return key_bytes(&((const struct subscription *)entry)->key);
}
static const struct table_ops subscription_ops = {.key = subscription_bytes};

int pubsub_init(struct server *srv)
{
    srv->pubsub = mem_calloc(sizeof *srv->pubsub);
    for (int k = 0; k < PUBSUB_KINDS; k++)
        table_init(&srv->pubsub->names[k], &channel_ops, srv->dbs[0].hash_seed + (uint64_t)k);
    table_init(&srv->pubsub->subscriptions, &subscription_ops, srv->dbs[0].hash_seed + PUBSUB_KINDS);
    return 0;
}

static void free_channel(void *arg, void *entry) { mem_free(entry); }

void pubsub_fini(struct server *srv)
{
    if (!srv->pubsub) return;
    table_fini(&srv->pubsub->subscriptions, NULL, NULL);
    for (int k = 0; k < PUBSUB_KINDS; k++) table_fini(&srv->pubsub->names[k], free_channel, NULL);
    mem_free(srv->pubsub);
    srv->pubsub = NULL;
}

static struct channel *find_channel(struct server *srv, enum pubsub_kind kind, struct bytes name)
{
    struct table *t = &srv->pubsub->names[kind];
    return table_find(t, table_hash(t, name), name);
}

size_t pubsub_count(const struct server *srv, enum pubsub_kind kind) { return table_count(&srv->pubsub->names[kind]); }

size_t pubsub_client_count(const struct client *cl, enum pubsub_kind kind)
{
    return cl->subs ? cl->subs->count[kind] : 0;
}

size_t pubsub_client_memory(const struct client *cl)
{
    if (!cl->subs) return 0;
    size_t n = 0;
    for (int k = 0; k < PUBSUB_KINDS; k++) n += cl->subs->count[k];
    return sizeof *cl->subs + n * (sizeof(struct subscription) + 2 * sizeof(uint64_t)); /* its slots in tables */
}

size_t pubsub_subscribers(struct server *srv, enum pubsub_kind kind, struct bytes name)
{
    struct channel *ch = find_channel(srv, kind, name);
    return ch ? ch->count : 0;
}

void pubsub_client_each(const struct client *cl, enum pubsub_kind kind, void (*fn)(void *arg, struct bytes name),
                        void *arg)
{
    if (!cl->subs) return;
    list_for_each(it, &cl->subs->list[kind])
    {
        const struct channel *ch = list_entry(it, struct subscription, by_client)->key.ch;
        fn(arg, bytes_of(ch->name, ch->n));
    }
}

void pubsub_each(struct server *srv, enum pubsub_kind kind, void (*fn)(void *arg, struct bytes name), void *arg)
{
    struct table_iter it;
    table_iter_init(&it, &srv->pubsub->names[kind]);
    for (struct channel *ch; (ch = table_iter_next(&it));) fn(arg, bytes_of(ch->name, ch->n));
    table_iter_fini(&it);
}

/* --- subscribing -------------------------------------------------------------------------------------------------- */

static struct subscription *find_subscription(struct client *cl, struct channel *ch)
{
    struct table *t = &cl->w->srv->pubsub->subscriptions;
    struct bytes key = key_bytes(&(struct subscription_key){cl, ch});
    return table_find(t, table_hash(t, key), key);
}

static void subscribe(struct client *cl, enum pubsub_kind kind, struct bytes name)
{
    struct server *srv = cl->w->srv;
    if (!cl->subs) {
        cl->subs = mem_calloc(sizeof *cl->subs);
        for (int k = 0; k < PUBSUB_KINDS; k++) list_init(&cl->subs->list[k]);
    }
    struct channel *ch = find_channel(srv, kind, name);
    if (ch && find_subscription(cl, ch)) return;
    if (!ch) {
        ch = mem_calloc(sizeof *ch + name.n);
        list_init(&ch->subscribers);
        ch->kind = (uint8_t)kind;
        ch->n = (uint32_t)name.n;
        memcpy(ch->name, name.p, name.n);
        ch->hash = table_hash(&srv->pubsub->names[kind], name);
        table_insert(&srv->pubsub->names[kind], ch->hash, ch);
    }
    struct subscription *s = mem_alloc(sizeof *s);
    s->key = (struct subscription_key){cl, ch};
    struct table *all = &srv->pubsub->subscriptions;
    table_insert(all, table_hash(all, key_bytes(&s->key)), s);
    list_push_back(&ch->subscribers, &s->by_channel);
    list_push_back(&cl->subs->list[kind], &s->by_client);
    ch->count++;
    cl->subs->count[kind]++;
}

static void drop_subscription(struct subscription *s)
{
    struct client *cl = s->key.cl;
    struct channel *ch = s->key.ch;
    struct pubsub *ps = cl->w->srv->pubsub;
    int kind = ch->kind;
    table_delete(&ps->subscriptions, table_hash(&ps->subscriptions, key_bytes(&s->key)), key_bytes(&s->key));
    list_remove(&s->by_channel);
    list_remove(&s->by_client);
    cl->subs->count[kind]--;
    if (--ch->count == 0) {
        struct table *t = &ps->names[kind];
        table_delete_slot(t, table_find_slot(t, ch->hash, bytes_of(ch->name, ch->n)));
        mem_free(ch);
    }
    mem_free(s);
}

void pubsub_forget(struct client *cl)
{
    if (!cl->subs) return;
    for (int k = 0; k < PUBSUB_KINDS; k++)
        list_for_each_safe(it, &cl->subs->list[k]) drop_subscription(list_entry(it, struct subscription, by_client));
    mem_free(cl->subs);
    cl->subs = NULL;
    cl->s.flags &= ~(uint32_t)SESSION_PUBSUB;
}

/* What a confirmation tells: sharded channels are counted apart from the rest. */
static size_t told_count(const struct client *cl, enum pubsub_kind kind)
{
    if (kind == PUBSUB_SHARDED) return pubsub_client_count(cl, PUBSUB_SHARDED);
    return pubsub_client_count(cl, PUBSUB_CHANNELS) + pubsub_client_count(cl, PUBSUB_PATTERNS);
}

static bool has_subscriptions(const struct client *cl)
{
    return told_count(cl, PUBSUB_CHANNELS) + told_count(cl, PUBSUB_SHARDED) > 0;
}

/* These replies are pushes: CLIENT REPLY OFF does not swallow them. */
static void confirm(struct client *cl, enum pubsub_kind kind, const char *what, const struct bytes *name)
{
    struct reply *out = &cl->out;
    reply_push(out, 3);
    reply_bulk_str(out, what);
    if (name) reply_bulk(out, *name);
    else reply_null(out);
    reply_int(out, (int64_t)told_count(cl, kind));
}

/* Where one reply is due for each command there is no place for a subscriber's. RESP3 tells both apart, and EXEC is let
 * off for what clients did before there was RESP3; sharded channels are newer than both and make no exception. */
static bool may_subscribe(struct call *c, enum pubsub_kind kind)
{
    if (!c->deny_blocking) return true;
    if (kind != PUBSUB_SHARDED && (c->client->out.proto != 2 || c->in_exec)) return true;
    call_errorf(c, "ERR %s isn't allowed for a DENY BLOCKING client", c->cmd->name);
    return false;
}

static void subscribe_all(struct call *c, enum pubsub_kind kind, const char *what)
{
    struct client *cl = c->client;
    if (!may_subscribe(c, kind)) return;
    for (int i = 1; i < c->argc; i++) {
        subscribe(cl, kind, c->argv[i]);
        confirm(cl, kind, what, &c->argv[i]);
    }
    cl->s.flags |= SESSION_PUBSUB;
}

static void unsubscribe_from_all(struct client *cl, enum pubsub_kind kind, const char *what)
{
    if (!pubsub_client_count(cl, kind)) confirm(cl, kind, what, NULL);
    while (pubsub_client_count(cl, kind)) {
        struct subscription *s = list_entry(list_first(&cl->subs->list[kind]), struct subscription, by_client);
        size_t n = s->key.ch->n;
        char *copy = mem_alloc(n + 1);
        memcpy(copy, s->key.ch->name, n);
        struct bytes name = bytes_of(copy, n);
        drop_subscription(s);
        confirm(cl, kind, what, &name);
        mem_free(copy);
    }
}

static void unsubscribe_all(struct call *c, enum pubsub_kind kind, const char *what)
{
    struct client *cl = c->client;
    if (c->argc == 1) unsubscribe_from_all(cl, kind, what);
    for (int i = 1; i < c->argc; i++) {
        struct channel *ch = find_channel(c->srv, kind, c->argv[i]);
        struct subscription *s = ch ? find_subscription(cl, ch) : NULL;
        if (s) drop_subscription(s);
        confirm(cl, kind, what, &c->argv[i]);
    }
    if (!has_subscriptions(cl)) cl->s.flags &= ~(uint32_t)SESSION_PUBSUB;
}

void cmd_subscribe(struct call *c) { subscribe_all(c, PUBSUB_CHANNELS, "subscribe"); }
void cmd_psubscribe(struct call *c) { subscribe_all(c, PUBSUB_PATTERNS, "psubscribe"); }
void cmd_ssubscribe(struct call *c) { subscribe_all(c, PUBSUB_SHARDED, "ssubscribe"); }
void cmd_unsubscribe(struct call *c) { unsubscribe_all(c, PUBSUB_CHANNELS, "unsubscribe"); }
void cmd_punsubscribe(struct call *c) { unsubscribe_all(c, PUBSUB_PATTERNS, "punsubscribe"); }
void cmd_sunsubscribe(struct call *c) { unsubscribe_all(c, PUBSUB_SHARDED, "sunsubscribe"); }

/* --- publishing --------------------------------------------------------------------------------------------------- */

struct publish_message {
    struct worker_message m;
    enum pubsub_kind kind; /* PUBSUB_CHANNELS, whose patterns hear it too, or PUBSUB_SHARDED */
    struct bytes channel, text;
    const struct client *running; /* whose command publishes; NULL: the server by itself */
    size_t receivers;
};

/* To those of w's clients that are subscribed to ch. */
static void deliver(struct worker *w, struct channel *ch, const struct publish_message *p)
{
    static const char *const what[PUBSUB_KINDS] = {"message", "pmessage", "smessage"};
    bool is_pattern = ch->kind == PUBSUB_PATTERNS;
    list_for_each(it, &ch->subscribers)
    {
        struct client *cl = list_entry(it, struct subscription, by_channel)->key.cl;
        if (cl->w != w || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        struct reply *out = pushes_output(w, cl, p->running);
        reply_push(out, is_pattern ? 4 : 3);
        reply_bulk_str(out, what[ch->kind]);
        if (is_pattern) reply_bulk(out, bytes_of(ch->name, ch->n));
        reply_bulk(out, p->channel);
        reply_bulk(out, p->text);
    }
}

static void publish_here(struct worker *w, struct worker_message *m)
{
    struct publish_message *p = container_of(m, struct publish_message, m);
    struct pubsub *ps = w->srv->pubsub;
    struct channel *ch = find_channel(w->srv, p->kind, p->channel);
    p->receivers = 0; /* of all workers: every one of them finds the same */
    if (ch) {
        deliver(w, ch, p);
        p->receivers += ch->count;
    }
    if (p->kind == PUBSUB_SHARDED || !table_count(&ps->names[PUBSUB_PATTERNS])) return;
    struct table_iter it;
    table_iter_init(&it, &ps->names[PUBSUB_PATTERNS]);
    for (struct channel *pattern; (pattern = table_iter_next(&it));) {
        if (!glob_match(bytes_of(pattern->name, pattern->n), p->channel, false)) continue;
        deliver(w, pattern, p);
        p->receivers += pattern->count;
    }
    table_iter_fini(&it);
}

static size_t publish(struct call *c, enum pubsub_kind kind, struct bytes channel, struct bytes message)
{
    struct publish_message p = {.m.handle = publish_here, .kind = kind, .channel = channel, .text = message};
    if (c == &c->w->call) p.running = session_origin(c->session); /* a script's caller gets it behind its reply, too */
    worker_post_all(c->srv, &p.m);
    return p.receivers;
}

size_t pubsub_publish(struct call *c, struct bytes channel, struct bytes message)
{
    return publish(c, PUBSUB_CHANNELS, channel, message);
}

size_t pubsub_publish_sharded(struct call *c, struct bytes channel, struct bytes message)
{
    return publish(c, PUBSUB_SHARDED, channel, message);
}

/* "__keyspace@0__:key" with the event as message, and "__keyevent@0__:event" with the key. */
static void publish_event(struct call *c, const char *prefix, int dbid, struct bytes subject, struct bytes message)
{
    char stack[256];
    size_t head = strlen(prefix), size = head + 24 + subject.n;
    char *name = size <= sizeof stack ? stack : mem_alloc(size);
    memcpy(name, prefix, head);
    size_t n = head + number_format_i64(name + head, dbid);
    memcpy(name + n, "__:", 3);
    n += 3;
    memcpy(name + n, subject.p, subject.n);
    pubsub_publish(c, bytes_of(name, n + subject.n), message);
    if (name != stack) mem_free(name);
}

void notify_event(struct call *c, unsigned cls, const char *event, struct bytes key, int dbid)
{
    unsigned wanted = c->cfg->notify_keyspace_events;
    if (likely(!(wanted & cls))) return;
    struct bytes name = bytes_of_str(event);
    if (wanted & NOTIFY_KEYSPACE) publish_event(c, "__keyspace@", dbid, key, name);
    if (wanted & NOTIFY_KEYEVENT) publish_event(c, "__keyevent@", dbid, name, key);
}

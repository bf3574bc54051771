/* SPDX-License-Identifier: MIT
 *
 *   class:   0          1              2             ...   18
 *   weight:  < 32 KiB   32 .. 64 KiB   64 .. 128 KiB ...   >= 4 GiB        (redis-server's)
 *
 * Within a class whoever came into it first goes first. Closing is bounded by CLOSED_AT_ONCE; the rest follows with the
 * next client that is weighed.
 */
#include "server/net/client_weight.h"

#include <stdio.h>

#include "server/exec/multi.h"
#include "server/mem.h"
#include "server/net/client.h"
#include "server/net/client_parts.h"
#include "server/net/pubsub.h"
#include "server/net/tracking.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

#define LOG2_MIN       15
#define LOG2_MAX       33
#define CLASSES        (LOG2_MAX - LOG2_MIN + 1)
#define CLOSED_AT_ONCE 1000
#define LIMIT_MIN      ((size_t)128 << 10) /* less, and nobody could even say CONFIG SET */

struct client_weights {
    size_t limit, sum;
    bool is_over;                 /* and nobody is left who could be closed: said in the log */
    struct list classes[CLASSES]; /* struct client.weight_class */
};

static size_t limit_of(const struct config *cfg)
{
    int64_t v = cfg->maxmemory_clients;
    size_t limit;
    if (v == 0 || (v < 0 && !cfg->maxmemory)) return 0;
    if (v > 0) limit = (size_t)v;
    else limit = (size_t)((double)cfg->maxmemory * (double)-v / 100);
    return limit < LIMIT_MIN ? LIMIT_MIN : limit;
}

static size_t weight_of(const struct client *cl, size_t output)
{
    return sizeof *cl + client_input_memory(cl) + multi_memory(&cl->s) + pubsub_client_memory(cl) +
           tracking_client_memory(cl) + output + cl->unsent;
}

/* Ends of replication are no clients whose memory is theirs to save. */
static bool is_exempt(const struct client *cl) { return cl->s.flags & (SESSION_REPLICA | SESSION_PRIMARY); }

static bool is_evictable(const struct client *cl)
{
    return !(cl->flags & (CLIENT_NO_EVICT | CLIENT_CLOSE_NOW | CLIENT_IN_SCRIPT)) && !is_exempt(cl);
}

static struct list *class_of(struct client_weights *cw, size_t weight)
{
    int bits = weight ? 64 - __builtin_clzll(weight) : 0;
    if (bits < LOG2_MIN) bits = LOG2_MIN;
    if (bits > LOG2_MAX) bits = LOG2_MAX;
    return &cw->classes[bits - LOG2_MIN];
}

/* --- closed ------------------------------------------------------------------------------------------------------- */

static void count_evicted(struct client *cl)
{
    client_log(cl, LOG_NOTICE_LEVEL, "Evicting client: ", "");
    cl->w->stats.evicted_clients++;
}

/* The heaviest who may be closed. Each who may not is looked at once a class. */
static struct client *heaviest(struct client_weights *cw)
{
    for (int i = CLASSES - 1; i >= 0; i--) list_for_each(it, &cw->classes[i])
        {
            struct client *cl = list_entry(it, struct client, weight_class);
            if (is_evictable(cl)) return cl;
        }
    return NULL;
}

static void evict_clients(struct worker *w)
{
    struct client_weights *cw = w->weights;
    for (int n = 0; cw->sum >= cw->limit && n < CLOSED_AT_ONCE; n++) {
        struct client *cl = heaviest(cw);
        if (!cl) {
            if (!cw->is_over)
                server_log(w->srv, LOG_WARNING_LEVEL, "Over client maxmemory after evicting all evictable clients");
            cw->is_over = true;
            return;
        }
        count_evicted(cl);
        client_kill(cl);
    }
    cw->is_over = false;
}

/* --- weighed ------------------------------------------------------------------------------------------------------ */

/* Who cannot be closed is in no class, so that whoever looks for the heaviest does not meet him. */
static void put_weight(struct client_weights *cw, struct client *cl, size_t weight)
{
    struct list *class = class_of(cw, weight);
    bool had = !list_is_empty(&cl->weight_class), wants = is_evictable(cl);
    cw->sum += weight - cl->weight;
    if (had && (!wants || class != class_of(cw, cl->weight))) {
        list_remove(&cl->weight_class);
        had = false;
    }
    if (wants && !had) list_push_back(class, &cl->weight_class);
    cl->weight = weight;
}

/* What is built of its output, with what it lends. */
static size_t output_built(const struct client *cl)
{
    size_t bytes = reply_bytes(&cl->out), room = cl->out.tail ? cl->out.tail->cap : 0;
    return bytes > room ? bytes : room;
}

void client_weigh(struct client *cl)
{
    struct client_weights *cw = cl->w->weights;
    if (cl->flags & CLIENT_CLOSE_NOW) {
        client_weight_forget(cl);
        return;
    }
    put_weight(cw, cl, is_exempt(cl) ? 0 : weight_of(cl, output_built(cl)));
    if (unlikely(cw->sum >= cw->limit)) evict_clients(cl->w);
}

bool client_weight_allows(struct client *cl, size_t output)
{
    struct client_weights *cw = cl->w->weights;
    if (!is_evictable(cl)) return true;
    size_t weight = weight_of(cl, output);
    put_weight(cw, cl, weight);
    if (likely(weight < cw->limit)) return true;
    count_evicted(cl);
    client_close_without_rest(cl);
    return false;
}

void client_weight_begin(struct client *cl)
{
    list_init(&cl->weight_class);
    if (cl->w->weights) cl->flags |= CLIENT_WEIGHED;
}

void client_weight_forget(struct client *cl)
{
    if (!cl->w->weights) return;
    cl->w->weights->sum -= cl->weight;
    cl->weight = 0;
    list_remove(&cl->weight_class);
    cl->flags &= ~(uint32_t)CLIENT_WEIGHED;
}

size_t client_weights_describe(const struct worker *w, char *out, size_t size)
{
    size_t n = 0, low = 0;
    for (int i = 0; w->weights && i < CLASSES && n < size; i++) {
        size_t high = (size_t)1 << (LOG2_MIN + i), sum = 0, count = 0;
        list_for_each(it, &w->weights->classes[i])
        {
            sum += list_entry(it, struct client, weight_class)->weight;
            count++;
        }
        n += (size_t)snprintf(out + n, size - n, "bucket %10zu", low);
        if (n >= size) return 0;
        if (i == CLASSES - 1) n += (size_t)snprintf(out + n, size - n, "+            : ");
        else n += (size_t)snprintf(out + n, size - n, " - %10zu: ", high - 1);
        if (n >= size) return 0;
        n += (size_t)snprintf(out + n, size - n, "tot-mem: %10zu, clients: %zu\n", sum, count);
        low = high;
    }
    return n < size ? n : 0;
}

/* --- the bound ---------------------------------------------------------------------------------------------------- */

static struct client_weights *begin_weighing(struct worker *w)
{
    struct client_weights *cw = mem_calloc(sizeof *cw);
    for (int i = 0; i < CLASSES; i++) list_init(&cw->classes[i]);
    w->weights = cw;
    return cw;
}

void client_weights_take_config(struct worker *w)
{
    size_t limit = limit_of(w->conf.cfg);
    if (!limit) {
        client_weights_fini(w);
        return;
    }
    struct client_weights *cw = w->weights ? w->weights : begin_weighing(w);
    if (cw->limit == limit) return;
    cw->limit = limit;
    list_for_each(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        if (cl->flags & CLIENT_CLOSE_NOW) continue;
        cl->flags |= CLIENT_WEIGHED;
        put_weight(cw, cl, is_exempt(cl) ? 0 : weight_of(cl, output_built(cl)));
    }
}

void client_weights_fini(struct worker *w)
{
    if (!w->weights) return;
    list_for_each(it, &w->clients) client_weight_forget(list_entry(it, struct client, all));
    mem_free(w->weights);
    w->weights = NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * DNS queries of any number of clients, by UDP, to one resolver and back, with a small cache.
 *
 *     client --id 7--> relay --id 51234, one of SOCKETS ports--> resolver
 *
 * A query goes on under an id and from a port that nobody can guess, and only what comes from the resolver, to that
 * port, with that id and that question, is its answer (RFC 5452). No answer in time: asked once more, then the client
 * is told so (SERVFAIL). At most PENDING queries are on their way; more are lost, and clients ask again. Answers are
 * kept for as long as they say, in KEPT places. Not here: TCP, for answers that do not fit; a client that sees the
 * truncation asks the resolver. Usage: dns-relay ADDR PORT RESOLVER [RESOLVER_PORT]
 */
#include "demi/examples/common.h"
#include "demi/examples/dns/message.h"

#include <demi/ext.h>
#include <demi/sga.h>

#define SOCKETS    16
#define PENDING    1024
#define KEPT       1024
#define WAYS       4 /* each answer may lie in so many of them */
#define QUERY_MAX  512
#define ANSWER_MAX 1232 /* of one that is kept */
#define BATCH      64
#define PATIENCE   2000000000u /* ns */
#define TRIES      2
#define TICK       100000000u

struct pending {
    int tries; /* 0: a free place */
    int socket;
    uint16_t id, client_id;
    uint64_t deadline_ns;
    struct sockaddr_in client;
    size_t size;
    struct dns_query query;
    uint8_t message[QUERY_MAX];
};

struct kept {
    size_t key_size, size;
    uint64_t since_s, until_s;
    uint8_t key[DNS_KEY_MAX], message[ANSWER_MAX];
};

static struct {
    int listener, sockets[SOCKETS];
    demi_qtoken_t pops[SOCKETS + 1]; /* of the sockets, and of the listener */
    struct sockaddr_in resolver;
    FILE *random;
    uint64_t seed;
    struct pending pending[PENDING];
    struct kept kept[KEPT];
} relay;

static uint16_t random_16(void)
{
    uint16_t n;
    if (fread(&n, sizeof n, 1, relay.random) != 1) MUST(EIO);
    return n;
}

static uint64_t now_s(void) { return demi_now_ns() / 1000000000; }

static int is_same(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port;
}

/* UDP may drop: nobody asks how the push ended. */
static void send_to(int qd, const uint8_t *message, size_t size, const struct sockaddr_in *to)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = demi_sgaalloc(size);
    if (sga.sga_numsegs == 0) return;
    memcpy(sga.sga_segs[0].sgaseg_buf, message, size);
    demi_pushto(&qt, qd, &sga, (const struct sockaddr *)to, sizeof *to);
    demi_sgafree(&sga);
}

/* --- what is kept ------------------------------------------------------------------------------------------------- */

/* The WAYS places of a query, by FNV-1a from a secret start. */
static struct kept *places_of(const struct dns_query *q)
{
    uint64_t hash = relay.seed;
    for (size_t i = 0; i < q->key_size; i++) hash = (hash ^ q->key[i]) * 0x100000001b3;
    return &relay.kept[(hash ^ hash >> 32) % (KEPT / WAYS) * WAYS];
}

static int is_of(const struct kept *k, const struct dns_query *q)
{
    return k->key_size == q->key_size && memcmp(k->key, q->key, q->key_size) == 0;
}

/* In the place of what was kept before, or of what ends first. */
static void keep(const struct dns_query *q, const uint8_t *message, size_t size)
{
    uint32_t ttl = q->key_size && size <= ANSWER_MAX ? dns_ttl(message, size) : 0;
    struct kept *k = places_of(q), *first = k;
    if (!ttl) return;
    for (int i = 0; i < WAYS; i++)
        if (is_of(&first[i], q) || (!is_of(k, q) && first[i].until_s < k->until_s)) k = &first[i];
    k->key_size = q->key_size;
    memcpy(k->key, q->key, q->key_size);
    k->size = size;
    memcpy(k->message, message, size);
    k->since_s = now_s();
    k->until_s = k->since_s + ttl;
}

/* With the client's id and its way to write the name. */
static int answer_from_kept(const struct dns_query *q, const uint8_t *query, const struct sockaddr_in *client)
{
    const struct kept *k = places_of(q), *end = k + WAYS;
    uint8_t message[ANSWER_MAX];
    while (k < end && !is_of(k, q)) k++;
    if (!q->key_size || k == end || now_s() >= k->until_s) return 0;
    memcpy(message, k->message, k->size);
    memcpy(message, query, 2);
    memcpy(message + DNS_HEADER, query + DNS_HEADER, q->question_size);
    dns_age(message, k->size, (uint32_t)(now_s() - k->since_s));
    send_to(relay.listener, message, k->size, client);
    return 1;
}

/* --- what is on its way ------------------------------------------------------------------------------------------- */

static struct pending *find(int socket, uint16_t id)
{
    for (struct pending *p = relay.pending; p < relay.pending + PENDING; p++)
        if (p->tries && p->socket == socket && p->id == id) return p;
    return NULL;
}

static void ask(struct pending *p)
{
    uint16_t id, socket;
    do {
        id = random_16();
        socket = random_16() % SOCKETS;
    } while (find(socket, id)); /* a thousand of a million are taken */
    p->id = id;
    p->socket = socket;
    p->tries++;
    p->deadline_ns = demi_now_ns() + PATIENCE;
    dns_put_16(p->message, p->id);
    send_to(relay.sockets[socket], p->message, p->size, &relay.resolver);
}

/* A free place; NULL: there is none, or the same client asks the same again. */
static struct pending *place_for(const struct sockaddr_in *client, uint16_t client_id)
{
    struct pending *free_one = NULL;
    for (struct pending *p = relay.pending; p < relay.pending + PENDING; p++) {
        if (!p->tries) free_one = p;
        else if (p->client_id == client_id && is_same(&p->client, client)) return NULL;
    }
    return free_one;
}

static void query_came(uint8_t *message, size_t size, const struct sockaddr_in *client)
{
    struct dns_query q;
    int code = dns_query_parse(&q, message, size);
    if (code < 0) return;
    if (code == DNS_NOERROR && size > QUERY_MAX) code = DNS_FORMERR;
    if (code) {
        size = dns_refuse(message, &q, code);
        send_to(relay.listener, message, size, client);
        return;
    }
    if (answer_from_kept(&q, message, client)) return;
    struct pending *p = place_for(client, dns_16(message));
    if (!p) return;
    p->client = *client;
    p->client_id = dns_16(message);
    p->query = q;
    p->size = size;
    memcpy(p->message, message, size);
    ask(p);
}

static void answer_came(int socket, uint8_t *message, size_t size, const struct sockaddr_in *from)
{
    if (size < DNS_HEADER || !is_same(from, &relay.resolver)) return;
    struct pending *p = find(socket, dns_16(message));
    if (!p || !dns_answers(message, size, p->message, &p->query)) return;
    keep(&p->query, message, size);
    dns_put_16(message, p->client_id);
    send_to(relay.listener, message, size, &p->client);
    p->tries = 0;
}

static void give_up_what_is_late(void)
{
    for (struct pending *p = relay.pending; p < relay.pending + PENDING; p++) {
        if (!p->tries || demi_now_ns() < p->deadline_ns) continue;
        if (p->tries < TRIES) {
            ask(p);
            continue;
        }
        dns_put_16(p->message, p->client_id);
        size_t size = dns_refuse(p->message, &p->query, DNS_SERVFAIL);
        send_to(relay.listener, p->message, size, &p->client);
        p->tries = 0;
    }
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static int udp_socket(const struct sockaddr_in *at, demi_qtoken_t *pop)
{
    int qd;
    MUST(demi_socket(&qd, AF_INET, SOCK_DGRAM, 0));
    MUST(demi_bind(qd, (const struct sockaddr *)at, sizeof *at));
    MUST(demi_pop(pop, qd));
    return qd;
}

/* A pop's result; one that failed brought nothing. That of a push is nobody's. */
static void came(demi_qresult_t *r)
{
    demi_sgarray_t *sga = &r->qr_value.sga;
    int i = 0;
    while (i <= SOCKETS && relay.pops[i] != r->qr_qt) i++;
    if (i > SOCKETS) return;
    if (r->qr_opcode == DEMI_OPC_POP) {
        struct sockaddr_in from = sga->sga_addr;
        uint8_t *message = sga->sga_segs[0].sgaseg_buf;
        size_t size = sga->sga_segs[0].sgaseg_len;
        if (i == SOCKETS) query_came(message, size, &from);
        else answer_came(i, message, size, &from);
        demi_sgafree(sga);
    }
    MUST(demi_pop(&relay.pops[i], r->qr_qd));
}

int main(int argc, char *const argv[])
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const struct sockaddr_in any = {.sin_family = AF_INET};
    struct demi_args args = {argc, argv, NULL};
    demi_qtoken_t timer;
    long port = argc >= 4 ? strtol(argv[2], NULL, 10) : 0, resolver_port = argc == 5 ? strtol(argv[4], NULL, 10) : 53;
    relay.resolver.sin_family = AF_INET;
    if (argc < 4 || argc > 5 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 ||
        inet_pton(AF_INET, argv[3], &relay.resolver.sin_addr) != 1 || port < 1 || port > 65535 || resolver_port < 1 ||
        resolver_port > 65535) {
        fprintf(stderr, "usage: %s ADDR PORT RESOLVER [RESOLVER_PORT]\n", argv[0]);
        return 1;
    }
    at.sin_port = htons((uint16_t)port);
    relay.resolver.sin_port = htons((uint16_t)resolver_port);
    relay.random = fopen("/dev/urandom", "rb");
    if (!relay.random || fread(&relay.seed, sizeof relay.seed, 1, relay.random) != 1) MUST(EIO);
    MUST(demi_init(&args));
    relay.listener = udp_socket(&at, &relay.pops[SOCKETS]);
    for (int i = 0; i < SOCKETS; i++) relay.sockets[i] = udp_socket(&any, &relay.pops[i]);
    MUST(demi_timer(&timer, TICK));
    for (;;) {
        demi_qresult_t results[BATCH];
        int count = 0;
        MUST(demi_wait_batch(results, BATCH, &count, NULL));
        for (int i = 0; i < count; i++) {
            if (results[i].qr_qt == timer) {
                give_up_what_is_late();
                MUST(demi_timer(&timer, TICK));
            } else came(&results[i]);
        }
    }
}

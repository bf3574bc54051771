/* SPDX-License-Identifier: MIT
 *
 * All is sent before an answer is read, as redis-server does it: a round trip for any number of keys. A key has arrived
 * when its line begins with '+' and those of AUTH and SELECT do, too; a line that begins otherwise is no answer of a
 * Redis, and ends the link.
 */
#include "server/migrate/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/conf/config.h"
#include "server/ds/number.h"
#include "server/exec/call.h"
#include "server/mem.h"
#include "server/rdb/write.h"
#include "server/worker.h"

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void wire_add(struct wire *b, const void *p, size_t n)
{
    if (b->cap - b->n < n) {
        b->cap = b->cap * 2 > b->n + n ? b->cap * 2 : b->n + n + 256;
        b->p = mem_realloc(b->p, b->cap);
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void wire_head(struct wire *b, char kind, size_t n)
{
    char text[32];
    wire_add(b, text, (size_t)snprintf(text, sizeof text, "%c%zu\r\n", kind, n));
}

static void wire_bulk(struct wire *b, struct bytes s)
{
    wire_head(b, '$', s.n);
    if (s.n) wire_add(b, s.p, s.n);
    wire_add(b, "\r\n", 2);
}

static void wire_int(struct wire *b, int64_t v)
{
    char text[NUMBER_I64_SIZE];
    wire_bulk(b, bytes_of(text, number_format_i64(text, v)));
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static struct bytes keep(char **at, struct bytes b)
{
    char *p = *at;
    if (b.n) memcpy(p, b.p, b.n);
    p[b.n] = 0;
    *at += b.n + 1;
    return bytes_of(p, b.n);
}

void transfer_init(struct transfer *t, struct call *c, const struct migrate_order *o, const bool *stop)
{
    size_t size = o->host.n + o->port.n + o->user.n + o->password.n + 4;
    for (int i = 0; i < o->key_count; i++) size += c->argv[o->first_key + i].n + 1;
    char *at = t->texts = mem_alloc(size);
    t->host = keep(&at, o->host);
    t->port = keep(&at, o->port);
    t->user = keep(&at, o->user);
    t->password = keep(&at, o->password);
    t->has_user = o->has_user;
    t->has_password = o->has_password;
    t->db = o->db;
    t->timeout_ms = o->timeout_ms;
    t->copy = o->copy;
    t->replace = o->replace;
    t->stop = stop;
    t->count = (size_t)o->key_count;
    t->keys = mem_calloc((t->count + 1) * sizeof *t->keys);
    for (size_t i = 0; i < t->count; i++) {
        t->keys[i].ref = *call_key(c, o->first_key + (int)i);
        t->keys[i].ref.name = keep(&at, t->keys[i].ref.name);
        t->keys[i].ref.arg = 0;
    }
}

void transfer_fini(struct transfer *t)
{
    mem_free(t->keys);
    mem_free(t->texts);
    mem_free(t->payload.p);
}

void transfer_fail(struct transfer *t, const char *error)
{
    if (!t->error[0]) snprintf(t->error, sizeof t->error, "%s", error);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

void transfer_begin(struct transfer *t, int64_t now_ms)
{
    t->now_ms = now_ms;
    t->sent_count = 0;
}

/* Its bytes are rdb_sink_fini()'s to free. */
static void dump(struct rdb_sink *s, const struct entry *e, const struct config *cfg)
{
    rdb_sink_init(s, NULL, NULL);
    s->compress = cfg->rdbcompression;
    s->version = (int)cfg->rdb_version;
    rdb_write_dump(s, e);
}

void transfer_add(struct transfer *t, size_t i, const struct entry *e, const struct config *cfg)
{
    struct transfer_key *k = &t->keys[i];
    struct wire *b = &t->payload;
    struct rdb_sink s;
    int64_t left_ms = 0;
    k->expires_ms = entry_expire(e);
    if (k->expires_ms >= 0) left_ms = k->expires_ms - t->now_ms > 1 ? k->expires_ms - t->now_ms : 1;
    dump(&s, e, cfg);
    struct bytes payload = rdb_sink_bytes(&s);
    wire_head(b, '*', t->replace ? 5 : 4);
    wire_bulk(b, BYTES("RESTORE"));
    wire_bulk(b, k->ref.name);
    wire_int(b, left_ms);
    wire_bulk(b, payload);
    k->size = payload.n;
    k->at = b->n - payload.n - 2;
    if (t->replace) wire_bulk(b, BYTES("REPLACE"));
    rdb_sink_fini(&s);
    k->sent = true;
    t->sent_count++;
}

bool transfer_is_of(const struct transfer *t, const struct transfer_key *k, const struct entry *e,
                    const struct config *cfg)
{
    struct rdb_sink s;
    if (entry_expire(e) != k->expires_ms) return false;
    dump(&s, e, cfg);
    struct bytes now = rdb_sink_bytes(&s);
    bool same = now.n == k->size && memcmp(now.p, t->payload.p + k->at, now.n) == 0;
    rdb_sink_fini(&s);
    return same;
}

bool transfer_has(const struct transfer *t, const struct key_ref *key)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct transfer_key *k = &t->keys[i];
        if (k->sent && k->ref.hash == key->hash && bytes_equal(k->ref.name, key->name)) return true;
    }
    return false;
}

/* --- the exchange ------------------------------------------------------------------------------------------------- */

/* How far it came. */
enum transfer_step { STEP_CONNECT, STEP_WRITE, STEP_READ, STEP_DONE };

struct attempt {
    struct peer_entry *peer;
    enum transfer_step at;
    size_t answers; /* to RESTORE */
    int err;
};

static int send_all(const struct transfer *t, struct peer_entry *e, bool selects)
{
    struct wire head = {0};
    if (t->has_password) {
        wire_head(&head, '*', t->has_user ? 3 : 2);
        wire_bulk(&head, BYTES("AUTH"));
        if (t->has_user) wire_bulk(&head, t->user);
        wire_bulk(&head, t->password);
    }
    if (selects) {
        wire_head(&head, '*', 2);
        wire_bulk(&head, BYTES("SELECT"));
        wire_int(&head, t->db);
    }
    int err = head.n ? link_send(&e->link, head.p, head.n, t->timeout_ms) : 0;
    mem_free(head.p);
    return err ? err : link_send(&e->link, t->payload.p, t->payload.n, t->timeout_ms);
}

/* 0; 1: an error, kept if it is the first; -errno. */
static int read_answer(struct transfer *t, struct peer_entry *e, char *refused)
{
    char line[LINK_LINE_MAX];
    int err = link_read_line(&e->link, line, sizeof line, t->timeout_ms);
    if (err) return err;
    if (line[0] == '+') return 0;
    if (line[0] != '-') {
        link_close(&e->link);
        return -EPROTO;
    }
    if (!refused[0]) snprintf(refused, LINK_LINE_MAX, "%s", line + 1);
    return 1;
}

static int read_answers(struct transfer *t, struct attempt *a, bool selects)
{
    char refused[LINK_LINE_MAX] = "";
    int err = t->has_password ? read_answer(t, a->peer, refused) : 0;
    bool no_entry = err > 0;
    if (err >= 0 && selects) err = read_answer(t, a->peer, refused);
    no_entry |= err > 0;
    for (size_t i = 0; i < t->count && err >= 0; i++) {
        if (!t->keys[i].sent) continue;
        err = read_answer(t, a->peer, refused);
        if (err < 0) break;
        a->answers++;
        t->keys[i].arrived = err == 0 && !no_entry;
    }
    if (!refused[0]) return err < 0 ? err : 0;
    a->peer->db = -1;
    if (a->answers && !t->error[0])
        snprintf(t->error, sizeof t->error, "-ERR Target instance replied with error: %s", refused);
    return err < 0 ? err : 0;
}

/* At port 0, which is what a word that is no number comes to, nobody is. */
static int open_link(const struct transfer *t, struct peer_entry *e, struct server *srv)
{
    int64_t port;
    if (memchr(t->host.p, 0, t->host.n)) return -EINVAL;
    if (!number_parse_i64(t->port, &port) || port == 0) return -ECONNREFUSED;
    if (port < 0 || port > UINT16_MAX) return -EINVAL;
    return link_connect(&e->link, srv, t->host.p, (uint16_t)port, t->timeout_ms, t->stop);
}

static void attempt(struct transfer *t, struct attempt *a, struct server *srv)
{
    struct peer_entry *e = a->peer;
    a->at = STEP_CONNECT;
    if (!link_is_open(&e->link)) {
        e->db = -1;
        a->err = open_link(t, e, srv);
        if (a->err == -ECONNREFUSED || a->err == -ECONNRESET)
            a->at = STEP_WRITE; /* Redis finds that by its first write */
        if (a->err) return;
    }
    bool selects = e->db != t->db;
    a->at = STEP_WRITE;
    a->err = send_all(t, e, selects);
    if (a->err) return;
    a->at = STEP_READ;
    a->err = read_answers(t, a, selects);
    if (a->err) return;
    a->at = STEP_DONE;
    if (!t->error[0]) e->db = t->db;
}

/* A link that was kept may have been closed at the other end: that is worth a second attempt, unless something was
 * answered, or nothing for so long that a second one would have no chance. */
void transfer_run(struct transfer *t, struct peers *peers, const struct worker *w)
{
    static const char *const errors[] = {
        [STEP_CONNECT] = "-IOERR error or timeout connecting to the client",
        [STEP_WRITE] = "-IOERR error or timeout writing to target instance",
        [STEP_READ] = "-IOERR error or timeout reading to target instance",
    };
    for (int tries = 0; tries < 2; tries++) {
        struct attempt a = {.peer = peers_take(peers, t->host, t->port)};
        attempt(t, &a, w->srv);
        if (a.err) link_close(&a.peer->link);
        peers_give(peers, a.peer, w->now_ms);
        if (a.at == STEP_DONE) return;
        bool again = a.at != STEP_CONNECT && a.err != -ETIMEDOUT && a.err != -EPROTO && !a.answers && !*t->stop;
        if (again && tries == 0) continue;
        transfer_fail(t, errors[a.at]);
        return;
    }
}

/* SPDX-License-Identifier: MIT
 *
 * DEBUG: how values and tables lie in memory. What is long goes to standard output, as in redis-server.
 */
#include "server/cmd/debug_parts.h"

#include <stdio.h>

#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/dict.h"
#include "server/ds/listpack.h"
#include "server/ds/quicklist.h"
#include "server/ds/ztree.h"
#include "server/mem.h"
#include "server/net/client_weight.h"
#include "server/server.h"
#include "server/worker.h"

#define SHOWN_MAX 40 /* bytes of an element */

/* The key of argv[2], even if its time is over and nobody has seen that yet, or the error. */
const struct entry *debug_key(struct call *c)
{
    const struct key_ref *key = call_key(c, 2);
    const struct entry *e = table_find(&db_slice(c->db, key)->table, key->hash, key->name);
    if (!e) call_error(c, "ERR no such key");
    return e;
}

void debug_object(struct call *c)
{
    const struct entry *e = debug_key(c);
    if (!e) return;
    char extra[160] = "";
    if (e->enc == ENC_QUICKLIST) {
        const struct quicklist *q = entry_ptr(e);
        size_t bytes = 0, packed = 0;
        for (const struct quicklist_node *n = q->head; n; n = n->next) {
            bytes += n->size;
            packed += n->compressed;
        }
        snprintf(extra, sizeof extra,
                 " ql_nodes:%u ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:%d "
                 "ql_uncompressed_size:%zu",
                 q->nodes, q->nodes ? (double)q->count / q->nodes : 0.0, q->fill, packed != 0, bytes);
    }
    uint32_t now = (uint32_t)(c->now_ms / 1000) & 0xffffff;
    char text[512];
    snprintf(text, sizeof text, "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%u%s",
             (void *)e, entry_encoding_name(e), e->type == OBJ_STRING ? entry_string_length(e) + 1 : entry_memory(e, 0),
             e->lru, (now - e->lru) & 0xffffff, extra);
    reply_status(c->out, text);
}

/* A hash table's shape, in the lines that Redis's tools look for. */
static size_t write_table(char *out, size_t size, const struct table *t)
{
    struct table_stats st;
    table_stats(t, &st);
    if (!st.count)
        return (size_t)snprintf(out, size,
                                "Hash table 0 stats (main hash table):\nNo stats available for empty dictionaries\n");
    return (size_t)snprintf(out, size,
                            "Hash table 0 stats (main hash table):\n table size: %zu\n number of "
                            "elements: %zu\n different slots: %zu\n"
                            " max chain length: %zu\n avg chain length (counted): %.02f\n avg "
                            "chain length (computed): %.02f\n"
                            " Chain length distribution:\n",
                            table_nominal_size(t), st.count, st.bucket_count, st.longest,
                            (double)st.count / (double)st.bucket_count, (double)st.count / (double)st.bucket_count);
}

void debug_htstats(struct call *c)
{
    int64_t id;
    if (!call_int(c, c->argv[2], &id)) return;
    struct db *db = srv_db(c, id);
    if (!db) {
        call_error(c, "ERR Out of range database");
        return;
    }
    char text[8192];
    size_t n = (size_t)snprintf(text, sizeof text, "[Dictionary HT]\n");
    for (unsigned i = 0; i < db->slice_count && n < sizeof text - 512; i++)
        n += write_table(text + n, sizeof text - n, &db->slices[i].table);
    n += (size_t)snprintf(text + n, sizeof text - n, "[Expires HT]\n%zu keys have an expiry in their entry\n",
                          db_expires(db));
    reply_verbatim(c->out, bytes_of(text, n), "txt");
}

void debug_htstats_key(struct call *c)
{
    const struct entry *e = debug_key(c);
    if (!e) return;
    const struct table *t = NULL;
    if (e->enc == ENC_HT) t = &((struct dict *)entry_ptr(e))->t;
    if (e->enc == ENC_SKIPLIST) t = &((struct ztree *)entry_ptr(e))->t;
    if (!t) {
        call_error(c, "ERR The value stored at the specified key is not represented using an hash table");
        return;
    }
    char text[1024];
    size_t n = write_table(text, sizeof text, t);
    reply_verbatim(c->out, bytes_of(text, n), "txt");
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void print_element(size_t index, struct bytes s)
{
    printf("\tindex: %2zu, bytes: %zu, \"", index, s.n);
    for (size_t i = 0; i < s.n && i < SHOWN_MAX; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch >= ' ' && ch < 127 && ch != '"' && ch != '\\') putchar(ch);
        else printf("\\x%02x", ch);
    }
    printf(s.n > SHOWN_MAX ? "...\"\n" : "\"\n");
}

static void print_listpack(const unsigned char *lp)
{
    char buf[NUMBER_I64_SIZE];
    size_t index = 0;
    printf("{total bytes %zu} {num entries %zu}\n", lp_bytes(lp), lp_count(lp));
    for (const unsigned char *e = lp_first(lp); e; e = lp_next(lp, e)) print_element(index++, lp_get_bytes(e, buf));
    printf("{end}\n");
}

void debug_listpack(struct call *c)
{
    const struct entry *e = debug_key(c);
    if (!e) return;
    if (e->enc != ENC_LISTPACK) {
        call_error(c, "ERR Not a listpack encoded object.");
        return;
    }
    print_listpack(entry_ptr(e));
    fflush(stdout);
    reply_status(c->out, "Listpack structure printed on stdout");
}

static void print_node(const struct quicklist_node *n, uint32_t index, bool whole)
{
    printf("{quicklist node(%u)\n{container : %s, encoding: %s, size: %zu, count: %u}\n", index,
           n->plain ? "PLAIN" : "PACKED", n->compressed ? "LZF" : "RAW", (size_t)n->size, (unsigned)n->count);
    if (!whole) return;
    unsigned char *own;
    const unsigned char *raw = quicklist_node_raw(n, &own);
    if (n->plain) print_element(0, bytes_of((const char *)raw, n->size));
    else print_listpack(raw);
    mem_free(own);
    printf("}\n");
}

/* QUICKLIST <key> [<0|1>] */
void debug_quicklist(struct call *c)
{
    int64_t whole = 0;
    const struct entry *e = debug_key(c);
    if (!e || (c->argc > 3 && !call_int(c, c->argv[3], &whole))) return;
    if (e->enc != ENC_QUICKLIST) {
        call_error(c, "ERR Not a quicklist encoded object.");
        return;
    }
    const struct quicklist *q = entry_ptr(e);
    uint32_t index = 0;
    printf("{count : %zu}\n{len : %u}\n{fill : %d}\n{compress : %d}\n", (size_t)q->count, q->nodes, q->fill, q->depth);
    for (const struct quicklist_node *n = q->head; n; n = n->next) print_node(n, index++, whole != 0);
    fflush(stdout);
    reply_status(c->out, "Quicklist structure printed on stdout");
}

/* --- strings, clients --------------------------------------------------------------------------------------------- */

/* In the words of redis-server, where each string is an object of its own; here a key lies in its entry, and what is
 * short with it. */
void debug_sdslen(struct call *c)
{
    const struct entry *e = debug_key(c);
    if (!e) return;
    if (e->type != OBJ_STRING || e->enc == ENC_INT) {
        call_error(c, "ERR Not an sds encoded string.");
        return;
    }
    const struct blob *b = e->enc == ENC_RAW ? entry_ptr(e) : NULL;
    size_t key = entry_key(e).n, length = entry_string_length(e);
    size_t room = b ? mem_size(b) : length, own = entry_memory(e, 0) - (b ? room : 0);
    char text[256];
    snprintf(text, sizeof text,
             "key_sds_len:%zu, key_sds_avail:0, key_zmalloc: %zu, val_sds_len:%zu, val_sds_avail:%zu, val_zmalloc: %zu",
             key, own, length, b ? b->cap - length : 0, room);
    reply_status(c->out, text);
}

void debug_client_eviction(struct call *c)
{
    char text[4096];
    size_t n = client_weights_describe(c->w, text, sizeof text);
    if (n) reply_verbatim(c->out, bytes_of(text, n), "txt");
    else call_error(c, "ERR maxmemory-clients is disabled.");
}

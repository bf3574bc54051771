/* SPDX-License-Identifier: MIT
 *
 * Two operations build it all: xor adds the SHA-1 of something that has no order; mix adds it and
 * then hashes the result, so that what comes next depends on what came before.
 */
#include "server/observe/digest.h"

#include <stdio.h>

#include "server/ds/dict.h"
#include "server/ds/intset.h"
#include "server/ds/listpack.h"
#include "server/ds/number.h"
#include "server/types/list.h"
#include "server/ds/xstream.h"
#include "server/ds/ztree.h"
#include "server/server.h"
#include "server/types/zset_listpack.h"

#define REDIS_OBJ_STREAM 6 /* ours is 5; there that is a module's value */

static void xor_in(unsigned char *digest, struct bytes s)
{
    unsigned char h[SHA1_SIZE];
    sha1(s, h);
    for (int i = 0; i < SHA1_SIZE; i++) digest[i] ^= h[i];
}

static void mix_in(unsigned char *digest, struct bytes s)
{
    xor_in(digest, s);
    sha1(bytes_of(digest, SHA1_SIZE), digest);
}

static void mix_number(unsigned char *digest, uint32_t v)
{
    char be[4];
    store_be32(be, v);
    mix_in(digest, bytes_of(be, 4));
}

static void digest_list(const struct entry *e, unsigned char *digest)
{
    struct list_view l;
    struct quicklist_iter it;
    struct lp_value v;
    char buf[NUMBER_I64_SIZE];
    quicklist_iter_init(&it, list_open(&l, e), 0, false);
    while (quicklist_iter_next(&it, &v)) mix_in(digest, lp_value_bytes(v, buf));
    quicklist_iter_fini(&it);
}

static void add_pair(unsigned char *digest, struct bytes a, struct bytes b)
{
    unsigned char pair[SHA1_SIZE] = {0};
    mix_in(pair, a);
    mix_in(pair, b);
    xor_in(digest, bytes_of(pair, SHA1_SIZE));
}

static void add_scored(unsigned char *digest, struct bytes member, double score)
{
    char text[NUMBER_DOUBLE_SIZE];
    unsigned n = number_format_bare_double(text, score);
    add_pair(digest, member, bytes_of(text, n));
}

static void digest_listpack(const struct entry *e, unsigned char *digest)
{
    const unsigned char *lp = entry_ptr(e);
    for (const unsigned char *p = lp_first(lp); p;) {
        char a[NUMBER_I64_SIZE], b[NUMBER_I64_SIZE];
        struct bytes first = lp_get_bytes(p, a);
        if (e->type == OBJ_SET) {
            xor_in(digest, first);
            p = lp_next(lp, p);
            continue;
        }
        p = lp_next(lp, p);
        struct bytes second = lp_get_bytes(p, b);
        if (e->type == OBJ_ZSET) add_scored(digest, first, zset_listpack_score(p));
        else add_pair(digest, first, second);
        p = lp_next(lp, p);
    }
}

static void digest_dict(const struct entry *e, unsigned char *digest)
{
    struct dict_iter it;
    struct bytes field, value;
    dict_iter_init(&it, entry_ptr(e));
    while (dict_iter_next(&it, &field, &value)) {
        if (e->type == OBJ_SET) xor_in(digest, field);
        else add_pair(digest, field, value);
    }
    dict_iter_fini(&it);
}

static void digest_intset(const struct intset *s, unsigned char *digest)
{
    for (size_t i = 0; i < intset_count(s); i++) {
        char text[NUMBER_I64_SIZE];
        xor_in(digest, bytes_of(text, number_format_i64(text, intset_get(s, i))));
    }
}

/* Groups do not count, as in Redis. */
static void digest_stream(const struct xstream *s, unsigned char *digest)
{
    struct xstream_iter it;
    struct stream_id id;
    struct lp_value name, value;
    char buf[NUMBER_I64_SIZE], text[48];
    xstream_iter_init(&it, s, (struct stream_id){0}, STREAM_ID_MAX, false);
    for (int64_t fields; xstream_iter_next(&it, &id, &fields);) {
        int n = snprintf(text, sizeof text, "%llu.%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);
        mix_in(digest, bytes_of(text, (size_t)n));
        for (; fields; fields--) {
            xstream_iter_field(&it, &name, &value);
            mix_in(digest, lp_value_bytes(name, buf));
            mix_in(digest, lp_value_bytes(value, buf));
        }
    }
}

void digest_value(const struct entry *e, unsigned char digest[SHA1_SIZE])
{
    char buf[ENTRY_STR_BUF];
    mix_number(digest, e->type == OBJ_STREAM ? REDIS_OBJ_STREAM : e->type);
    switch (e->enc) {
    case ENC_EMBSTR:
    case ENC_INT:
    case ENC_RAW: mix_in(digest, entry_string(e, buf)); break;
    case ENC_QUICKLIST: digest_list(e, digest); break;
    case ENC_LISTPACK:
        if (e->type == OBJ_LIST) digest_list(e, digest);
        else digest_listpack(e, digest);
        break;
    case ENC_INTSET: digest_intset(entry_ptr(e), digest); break;
    case ENC_HT: digest_dict(e, digest); break;
    case ENC_SKIPLIST:
        for (struct ztree_pos p = ztree_at(entry_ptr(e), 0); !ztree_pos_is_end(p); p = ztree_next(p)) {
            double score;
            struct bytes member = ztree_get(p, &score);
            add_scored(digest, member, score);
        }
        break;
    case ENC_STREAM: digest_stream(entry_ptr(e), digest); break;
    }
    if (entry_expire(e) != -1) xor_in(digest, BYTES("!!expire!!"));
}

static void add_entry(void *arg, const struct entry *e)
{
    unsigned char one[SHA1_SIZE] = {0}, *all = arg;
    mix_in(one, entry_key(e));
    digest_value(e, one);
    xor_in(all, bytes_of(one, SHA1_SIZE));
}

void digest_everything(struct server *srv, unsigned char digest[SHA1_SIZE])
{
    memset(digest, 0, SHA1_SIZE);
    for (int i = 0; i < srv->db_count; i++) {
        if (!db_size(&srv->dbs[i])) continue;
        mix_number(digest, (uint32_t)i);
        db_each(&srv->dbs[i], add_entry, digest);
    }
}

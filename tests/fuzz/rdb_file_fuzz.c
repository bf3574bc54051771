/* SPDX-License-Identifier: MIT
 *
 * RDB files. The first byte says how: bit 0, the file comes byte by byte, as from a slow device; bit 1, its checksum is
 * put right before; bit 2, keys that are there twice replace each other; bit 3, version 10 is written. What was loaded
 * is written again, read again, and is as much: keys and libraries of functions. With bit 4 the file is read a second
 * time, in blocks (by bit 5, short ones) with somebody going ahead, and comes to the same.
 */
#include <stdint.h>

#include "server/db/db.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
#include "server/rdb/lookahead.h"
#include "server/rdb/snapshot.h"
#include "tests/fuzz/keyspace_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct drip {
    const char *at, *end;
    size_t step;
};

static long give(void *arg, char *buf, size_t room)
{
    struct drip *d = arg;
    size_t n = (size_t)(d->end - d->at);
    if (n > room) n = room;
    if (n > d->step) n = d->step;
    memcpy(buf, d->at, n);
    d->at += n;
    return (long)n;
}

struct ahead {
    struct drip drip;
    struct rdb_lookahead lookahead;
    struct rdb_notes *notes;
};

static long give_block(void *arg, struct bytes *block, const struct rdb_notes **notes)
{
    struct ahead *a = arg;
    size_t n = (size_t)(a->drip.end - a->drip.at);
    if (n > a->drip.step) n = a->drip.step;
    *block = bytes_of(a->drip.at, n);
    a->drip.at += n;
    if (n) rdb_lookahead_block(&a->lookahead, *block, a->notes);
    *notes = a->notes;
    return (long)n;
}

struct loaded {
    int err;
    char why[128];
    uint64_t offset, keys, expired, empty;
};

static struct loaded load_from(struct keyspace *k, struct rdb_source *s, unsigned flags)
{
    struct rdb_loader loader = {.flags = flags};
    struct call c = k->f.w.call;
    c.db = &k->f.dbs[0];
    c.now_ms = FIXTURE_NOW;
    struct loaded out = {.err = rdb_read_snapshot(s, &c, &loader), .offset = rdb_source_offset(s)};
    snprintf(out.why, sizeof out.why, "%s", s->why ? s->why : "");
    out.keys = loader.keys, out.expired = loader.expired, out.empty = loader.empty;
    return out;
}

static struct loaded load(struct keyspace *k, struct bytes file, size_t step, unsigned flags)
{
    struct drip drip = {file.p, file.p + file.n, step};
    struct rdb_source s;
    rdb_source_of_stream(&s, give, &drip);
    struct loaded out = load_from(k, &s, flags);
    rdb_source_fini(&s);
    return out;
}

static struct loaded load_ahead(struct keyspace *k, struct bytes file, size_t step, unsigned flags)
{
    struct ahead a = {.drip = {file.p, file.p + file.n, step}, .notes = mem_alloc(sizeof *a.notes)};
    struct rdb_source s;
    rdb_lookahead_init(&a.lookahead, k->f.dbs[0].hash_seed, true);
    rdb_source_of_blocks(&s, give_block, &a);
    struct loaded out = load_from(k, &s, flags);
    rdb_source_fini(&s);
    mem_free(a.notes);
    return out;
}

static uint64_t key_count(const struct keyspace *k)
{
    uint64_t n = 0;
    for (int i = 0; i < FIXTURE_DBS; i++) n += db_size(&k->f.dbs[i]);
    return n;
}

/* A file of what is there; the caller's. */
static struct bytes save(struct keyspace *k, int version)
{
    struct rdb_sink sink;
    struct call c = k->f.w.call;
    c.now_ms = FIXTURE_NOW;
    rdb_sink_init(&sink, NULL, NULL);
    sink.checksum = true;
    sink.version = version;
    rdb_write_snapshot(&sink, &c);
    struct bytes out = rdb_sink_bytes(&sink);
    char *copy = mem_alloc(out.n + 1);
    memcpy(copy, out.p, out.n);
    rdb_sink_fini(&sink);
    return bytes_of(copy, out.n);
}

static void set_checksum(char *p, size_t n)
{
    if (n < 8) return;
    uint64_t crc = crc64(0, p, n - 8);
    for (int i = 0; i < 8; i++) p[n - 8 + (size_t)i] = (char)(crc >> (8 * i));
}

static void empty(struct keyspace *k)
{
    struct bytes flush[] = {BYTES("FLUSHALL"), BYTES("SYNC")};
    keyspace_do(&k->s, flush, 2);
    ASSERT(key_count(k) == 0);
}

static void compare_ahead(struct keyspace *k, struct bytes file, bool short_blocks, unsigned flags,
                          const struct loaded *plain)
{
    uint64_t keys = key_count(k);
    unsigned libraries = k->f.srv.libraries.count;
    empty(k);
    libraries_clear(&k->f.srv.libraries);
    struct loaded ahead = load_ahead(k, file, short_blocks ? 13 : RDB_BLOCK_MAX, flags);
    ASSERT(ahead.err == plain->err && strcmp(ahead.why, plain->why) == 0 && ahead.offset == plain->offset);
    ASSERT(ahead.keys == plain->keys && ahead.expired == plain->expired && ahead.empty == plain->empty);
    ASSERT(key_count(k) == keys && k->f.srv.libraries.count == libraries);
}

static void write_and_read_again(struct keyspace *k, int version)
{
    uint64_t keys = key_count(k);
    unsigned libraries = k->f.srv.libraries.count;
    struct bytes file = save(k, version);
    empty(k);
    ASSERT(k->f.srv.libraries.count == libraries);
    libraries_clear(&k->f.srv.libraries);
    ASSERT(load(k, file, SIZE_MAX, 0).err == 0);
    ASSERT(key_count(k) == keys);
    ASSERT(k->f.srv.libraries.count == libraries);
    mem_free((char *)file.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct keyspace *k = keyspace_new();
    size_t n = size - 1;
    char *copy = mem_alloc(n + 1);
    memcpy(copy, data + 1, n);
    if (data[0] & 2) set_checksum(copy, n);
    unsigned flags = data[0] & 4 ? RDB_LOAD_MERGE : 0;
    struct loaded plain = load(k, bytes_of(copy, n), data[0] & 1 ? 1 : SIZE_MAX, flags);
    if (data[0] & 16) compare_ahead(k, bytes_of(copy, n), data[0] & 32, flags, &plain);
    mem_free(copy);
    if (plain.err == 0) write_and_read_again(k, data[0] & 8 ? RDB_VERSION_MIN : RDB_VERSION);
    keyspace_free(k);
    return 0;
}

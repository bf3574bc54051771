/* SPDX-License-Identifier: MIT
 *
 * RDB files. The first byte says how: bit 0, the file comes byte by byte, as from a slow device; bit 1, its checksum is
 * put right before; bit 2, keys that are there twice replace each other; bit 3, version 10 is written. What was loaded
 * is written again, read again, and is as much: keys and libraries of functions.
 */
#include <stdint.h>

#include "server/db/db.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
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

static int load(struct keyspace *k, struct bytes file, size_t step, unsigned flags)
{
    struct drip drip = {file.p, file.p + file.n, step};
    struct rdb_source s;
    struct rdb_loader loader = {.flags = flags};
    struct call c = k->f.w.call;
    c.db = &k->f.dbs[0];
    c.now_ms = FIXTURE_NOW;
    rdb_source_of_stream(&s, give, &drip);
    int err = rdb_read_snapshot(&s, &c, &loader);
    rdb_source_fini(&s);
    return err;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct keyspace *k = keyspace_new();
    size_t n = size - 1;
    char *copy = mem_alloc(n + 1);
    memcpy(copy, data + 1, n);
    if (data[0] & 2) set_checksum(copy, n);
    int err = load(k, bytes_of(copy, n), data[0] & 1 ? 1 : SIZE_MAX, data[0] & 4 ? RDB_LOAD_MERGE : 0);
    mem_free(copy);
    if (err == 0) {
        uint64_t keys = key_count(k);
        unsigned libraries = k->f.srv.libraries.count;
        struct bytes file = save(k, data[0] & 8 ? RDB_VERSION_MIN : RDB_VERSION);
        struct bytes flush[] = {BYTES("FLUSHALL"), BYTES("SYNC")};
        keyspace_do(&k->s, flush, 2);
        ASSERT(key_count(k) == 0);
        ASSERT(k->f.srv.libraries.count == libraries);
        libraries_clear(&k->f.srv.libraries);
        err = load(k, file, SIZE_MAX, 0);
        ASSERT(err == 0);
        ASSERT(key_count(k) == keys);
        ASSERT(k->f.srv.libraries.count == libraries);
        mem_free((char *)file.p);
    }
    keyspace_free(k);
    return 0;
}

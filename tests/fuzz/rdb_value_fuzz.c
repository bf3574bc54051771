/* SPDX-License-Identifier: MIT
 *
 * Values of RDB and DUMP from outside: a type and bytes. What is read is sound: it can be walked by the writer, what
 * that writes is read again, and comes to the same number of bytes and the same digest, in either version. A source
 * that gives the bytes one by one comes to the same verdict as one that has them all.
 */
#include <stdint.h>

#include "alloc/base/assert.h"
#include "server/conf/conf.h"
#include "server/db/entry_build.h"
#include "server/mem.h"
#include "server/observe/digest.h"
#include "server/rdb/read.h"
#include "server/rdb/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct drip {
    const uint8_t *at, *end;
};

static long one_byte(void *arg, char *buf, size_t room)
{
    struct drip *d = arg;
    (void)room;
    if (d->at == d->end) return 0;
    *buf = (char)*d->at++;
    return 1;
}

static int read_dripping(const uint8_t *data, size_t size, const struct rdb_rules *rules)
{
    struct drip drip = {data + 1, data + size};
    struct rdb_source s;
    struct value v;
    rdb_source_of_stream(&s, one_byte, &drip);
    int err = rdb_read_value(&s, data[0], rules, &v);
    if (err == 0) value_free(v);
    rdb_source_fini(&s);
    return err;
}

static void digest(const struct entry *e, unsigned char out[SHA1_SIZE])
{
    memset(out, 0, SHA1_SIZE);
    digest_value(e, out);
}

/* How many bytes it writes to; what they read to is handed back in *again. */
static size_t write_and_read(struct value v, int version, const struct rdb_rules *rules, struct value *again,
                             unsigned char sum[SHA1_SIZE])
{
    struct entry *e = entry_new_value(BYTES("key"), v, -1);
    struct rdb_sink sink;
    rdb_sink_init(&sink, NULL, NULL);
    sink.compress = true;
    sink.version = version;
    digest(e, sum);
    rdb_write_dump(&sink, e);
    struct bytes out = rdb_sink_bytes(&sink);
    struct rdb_refusal why;
    int err = rdb_read_dump(out, rules, false, again, &why);
    ASSERT(err == 0);
    rdb_sink_fini(&sink);
    entry_free(e);
    return out.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config cfg;
    static struct quicklist_options lists;
    if (size == 0) return 0;
    if (!cfg.hash_max_listpack_entries) conf_init(&cfg);
    struct rdb_rules rules = {.cfg = &cfg, .lists = &lists, .seed = 1, .deep = true};

    char *copy = mem_alloc(size); /* of exactly this size for the sanitizer */
    memcpy(copy, data, size);
    struct rdb_source s;
    struct value v, again, third;
    rdb_source_of_bytes(&s, bytes_of(copy + 1, size - 1));
    int err = rdb_read_value(&s, data[0], &rules, &v);
    rdb_source_fini(&s);
    mem_free(copy);
    ASSERT((read_dripping(data, size, &rules) == 0) == (err == 0));
    if (err) return 0;

    unsigned char sums[3][SHA1_SIZE];
    struct value old;
    size_t n = write_and_read(v, RDB_VERSION, &rules, &again, sums[0]);
    ASSERT(write_and_read(again, RDB_VERSION, &rules, &third, sums[1]) == n);
    write_and_read(third, RDB_VERSION_MIN, &rules, &old, sums[2]);
    for (int i = 1; i < 3; i++) ASSERT(memcmp(sums[0], sums[i], SHA1_SIZE) == 0);
    value_free(old);
    return 0;
}

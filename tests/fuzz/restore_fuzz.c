/* SPDX-License-Identifier: MIT
 *
 * RESTORE of any payload (version and checksum are put right first), checked deeply or not, and then the commands of
 * every type over the key: what was accepted is read, changed and dumped as if it had been built here.
 *
 *     input   one byte: bit 0 sanitize-dump-payload, bit 1 RESP3, bit 2 rdb-version 10 | type (1) | value
 */
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
#include "tests/fuzz/keyspace_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read first, then changed at both ends and in the middle, one command a line, by the key k. */
static const char *const reads[] = {
    "TYPE k",
    "OBJECT ENCODING k",
    "MEMORY USAGE k SAMPLES 0",
    "OBJECT FREQ k",
    "STRLEN k",
    "GET k",
    "GETRANGE k 1 -2",
    "BITCOUNT k",
    "BITPOS k 1",
    "LCS k k LEN",
    "LLEN k",
    "LRANGE k 0 -1",
    "LINDEX k -1",
    "LINDEX k 1",
    "LPOS k a COUNT 0",
    "SCARD k",
    "SMEMBERS k",
    "SISMEMBER k a",
    "SMISMEMBER k a 1 b",
    "SRANDMEMBER k -5",
    "SSCAN k 0 COUNT 1000",
    "SINTER k k",
    "SUNION k k",
    "HLEN k",
    "HGETALL k",
    "HKEYS k",
    "HVALS k",
    "HGET k a",
    "HRANDFIELD k -5 WITHVALUES",
    "HSTRLEN k a",
    "HSCAN k 0 COUNT 1000",
    "ZCARD k",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZREVRANGE k 0 -1",
    "ZRANGEBYSCORE k -inf +inf",
    "ZRANGEBYLEX k - +",
    "ZCOUNT k 0 (5",
    "ZLEXCOUNT k - +",
    "ZRANK k a",
    "ZREVRANK k a",
    "ZSCORE k a",
    "ZRANDMEMBER k -5",
    "ZSCAN k 0 COUNT 1000",
    "ZDIFF 2 k k WITHSCORES",
    "SORT k BY nosort",
    "SORT k ALPHA",
    "TTL k",
    "DEBUG OBJECT k",
    "DEBUG DIGEST-VALUE k",
    "SCAN 0 TYPE stream",
    "XLEN k",
    "XRANGE k - +",
    "XREVRANGE k + - COUNT 3",
    "XRANGE k (1-1 2",
    "XREAD COUNT 3 STREAMS k 0",
    "XINFO STREAM k",
    "XINFO STREAM k FULL COUNT 0",
    "XINFO GROUPS k",
    "XINFO CONSUMERS k g",
    "XPENDING k g",
    "XPENDING k g - + 10",
};
static const char *const changes[] = {
    "COPY k copy",
    "APPEND k tail",
    "SETRANGE k 3 mid",
    "SETBIT k 9 1",
    "INCR k",
    "INCRBYFLOAT k 0.5",
    "GETSET copy v",
    "LPUSH k head",
    "RPUSH k tail 12345678901",
    "LINSERT k BEFORE tail x",
    "LSET k 0 other",
    "LSET k -1 5",
    "LREM k -1 5",
    "LTRIM k 0 -2",
    "LMOVE k k LEFT RIGHT",
    "LPOP k 2",
    "RPOP k",
    "SADD k a 1 70000 9999999999 b",
    "SREM k a 1",
    "SMOVE k s2 b",
    "SPOP k",
    "SPOP k 2",
    "SUNIONSTORE s3 k k",
    "HSET k a 1 b 2 longer-than-the-rest-of-them x",
    "HINCRBY k a 5",
    "HINCRBYFLOAT k a 0.5",
    "HDEL k b",
    "HSETNX k c 1",
    "ZADD k 1 a 2.5 b inf c",
    "ZINCRBY k -3 a",
    "ZREM k b",
    "ZPOPMIN k",
    "ZPOPMAX k 2",
    "ZREMRANGEBYRANK k 0 0",
    "ZREMRANGEBYSCORE k 5 6",
    "ZUNIONSTORE z3 2 k k",
    "ZRANGESTORE z4 k 0 -1",
    "GEOADD k 1 1 a",
    "XGROUP CREATE k g 0",
    "XGROUP CREATE k new 0",
    "XREADGROUP GROUP g c COUNT 2 STREAMS k >",
    "XGROUP CREATE k edge 0 ENTRIESREAD 9223372036854775807",
    "XREADGROUP GROUP edge c COUNT 1 STREAMS k >",
    "XREADGROUP GROUP g c STREAMS k 0",
    "XREADGROUP GROUP new c NOACK STREAMS k >",
    "XDEL k 1-1 1-2 2-1",
    "XADD k * f v",
    "XADD k 5-1 f v",
    "XADD k MAXLEN ~ 5 * f v w x",
    "XREADGROUP GROUP g d STREAMS k >",
    "XCLAIM k g e 0 1-1 2-1 5-1 FORCE",
    "XAUTOCLAIM k g e 0 0 COUNT 3",
    "XACK k g 1-1 2-1 3-1",
    "XTRIM k MAXLEN 6",
    "XTRIM k MINID 3",
    "XSETID k 18446744073709551615-3",
    "XADD k * f v",
    "COPY k copied REPLACE",
    "XGROUP DELCONSUMER k g c",
    "XGROUP DESTROY k g",
    "XTRIM k MAXLEN 0",
    "XADD k * f v",
    "PEXPIRE k 100000",
    "PERSIST k",
    "RENAME k l",
    "RENAME l k",
};

static void ask_line(struct session *s, const char *line)
{
    struct bytes argv[16];
    int argc = 0;
    for (const char *p = line; *p && argc < 16;) {
        const char *end = strchrnul(p, ' ');
        argv[argc++] = bytes_of(p, (size_t)(end - p));
        p = *end ? end + 1 : end;
    }
    keyspace_do(s, argv, argc);
}

static void ask_all(struct session *s, const char *const *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) ask_line(s, lines[i]);
}

/* type, value | version | crc64 */
static struct bytes payload_of(const uint8_t *data, size_t size)
{
    char *p = mem_alloc(size + 10);
    memcpy(p, data, size);
    p[size] = RDB_VERSION;
    p[size + 1] = 0;
    uint64_t crc = crc64(0, p, size + 2);
    for (int i = 0; i < 8; i++) p[size + 2 + (size_t)i] = (char)(crc >> (8 * i));
    return bytes_of(p, size + 10);
}

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct keyspace *k = keyspace_new();
    k->f.cfg.sanitize_dump_payload = data[0] & 1 ? SANITIZE_DUMP_YES : SANITIZE_DUMP_NO;
    k->f.cfg.rdb_version = data[0] & 4 ? RDB_VERSION_MIN : RDB_VERSION;
    k->out.proto = data[0] & 2 ? 3 : 2;
    struct bytes payload = payload_of(data + 1, size - 1), key = BYTES("k");
    struct bytes restore[] = {BYTES("RESTORE"), key, BYTES("0"), payload};
    struct bytes said = keyspace_ask(&k->s, restore, 4);
    if (keyspace_replied(said, "+OK")) {
        keyspace_check_key(&k->s, key);
        ask_all(&k->s, reads, COUNT(reads));
        ask_all(&k->s, changes, COUNT(changes));
        keyspace_check_key(&k->s, key);
        ask_all(&k->s, reads, COUNT(reads));
    }
    mem_free((char *)said.p);
    mem_free((char *)payload.p);
    keyspace_free(k);
    return 0;
}

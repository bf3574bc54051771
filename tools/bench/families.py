# SPDX-License-Identifier: MIT
"""Section families: one test and more a family of commands, small and large values, as redis-benchmarks-specification has them: -P 10."""
import math

from rig import Failed, load
from speed import mid, ratio, turns
from table import Table

KEYS = 100000
CONNS = ("-c", 50, "-P", 10)
GOAL_MEAN, GOAL_EACH = 2.0, 1.0
ROUNDS_MAX = 3

# Family, test, words of the command (tools/bench/workload.h), bytes of %v. What they read is there: see fill().
TESTS = (
    ("string", "GET 10 B", "GET key:%k", 10),
    ("string", "GET 1 KiB", "GET big:%k", 1024),
    ("string", "SET 10 B", "SET key:%k %v", 10),
    ("string", "SET 1 KiB", "SET big:%k %v", 1024),
    ("string", "SET EX", "SET key:%k %v EX 3600", 10),
    ("string", "SETNX, there", "SETNX key:%k %v", 10),
    ("string", "MGET of 10", "MGET" + " key:%k" * 10, 10),
    ("string", "MSET of 10", "MSET" + " key:%k %v" * 10, 10),
    ("string", "INCR", "INCR counter:%k", 10),
    ("string", "INCRBYFLOAT", "INCRBYFLOAT float:%k 0.5", 10),
    ("string", "APPEND and SET", "APPEND tail:%k %v ; SET tail:%= %v", 10),
    ("string", "GETRANGE", "GETRANGE big:%k 100 199", 10),
    ("string", "SETRANGE", "SETRANGE big:%k 100 %v", 10),
    ("string", "STRLEN", "STRLEN key:%k", 10),
    ("bitmap", "SETBIT", "SETBIT bits:%k 100 1", 10),
    ("bitmap", "GETBIT", "GETBIT big:%k 4000", 10),
    ("bitmap", "BITCOUNT of 1 KiB", "BITCOUNT big:%k", 10),
    ("bitmap", "BITPOS of 1 KiB", "BITPOS zero 1", 10),
    ("bitmap", "BITFIELD", "BITFIELD fields INCRBY u16 #5 1 GET u8 0", 10),
    ("bitmap", "BITOP AND, 2 of 1 KiB", "BITOP AND bits:out big:%k big:%=", 10),
    ("hash", "HSET of 1", "HSET hash:%k field3 %v", 10),
    ("hash", "HSET of 5", "HSET hash:%k field0 %v field1 %v field2 %v field3 %v field4 %v", 10),
    ("hash", "HGET", "HGET hash:%k field3", 10),
    ("hash", "HMGET of 5", "HMGET hash:%k field0 field2 field4 field6 field8", 10),
    ("hash", "HGETALL of 10", "HGETALL hash:%k", 10),
    ("hash", "HGETALL of 50", "HGETALL hash50", 10),
    ("hash", "HINCRBY", "HINCRBY numbers:%k n 1", 10),
    ("hash", "HINCRBYFLOAT", "HINCRBYFLOAT numbers:%k f 0.5", 10),
    ("hash", "HEXISTS, HLEN", "HEXISTS hash:%k field3 ; HLEN hash:%k", 10),
    ("hash", "HGET of 100,000", "HGET hashbig field:%k", 10),
    ("hash", "HSCAN", "HSCAN hash50 0", 10),
    ("list", "LPUSH and LPOP", "LPUSH queue:%m %v ; LPOP queue:%m", 10),
    ("list", "RPUSH and LPOP, 1 KiB", "RPUSH queue %v ; LPOP queue", 1024),
    ("list", "LRANGE of 10", "LRANGE list10 0 -1", 10),
    ("list", "LRANGE of 100", "LRANGE list100 0 -1", 10),
    ("list", "LINDEX of 10,000", "LINDEX list10000 5000", 10),
    ("list", "LPOS of 100", "LPOS list100 v50", 10),
    ("list", "LMOVE", "LMOVE list100 list100 LEFT RIGHT", 10),
    ("set", "SADD", "SADD set:%k member:%m", 10),
    ("set", "SADD and SREM of 100,000", "SADD setbig member:%k ; SREM setbig member:%=", 10),
    ("set", "SISMEMBER", "SISMEMBER setbig member:%k", 10),
    ("set", "SMEMBERS of 10", "SMEMBERS set10", 10),
    ("set", "SMEMBERS of 100", "SMEMBERS set100", 10),
    ("set", "SINTER, 100 and 10", "SINTER set100 set10", 10),
    ("set", "SUNION, 100 and 10", "SUNION set100 set10", 10),
    ("set", "SDIFF, 100 and 10", "SDIFF set100 set10", 10),
    ("set", "SRANDMEMBER 10", "SRANDMEMBER setbig 10", 10),
    ("set", "SPOP and SADD", "SPOP set100 ; SADD set100 m%m", 10),
    ("sorted set", "ZADD, 100,000", "ZADD zset %m member:%k", 10),
    ("sorted set", "ZINCRBY", "ZINCRBY zset 1 member:%k", 10),
    ("sorted set", "ZSCORE", "ZSCORE zset member:%k", 10),
    ("sorted set", "ZRANK", "ZRANK zset member:%k", 10),
    ("sorted set", "ZRANGE of 10", "ZRANGE zset10 0 -1", 10),
    ("sorted set", "ZRANGE of 100 WITHSCORES", "ZRANGE zset100 0 -1 WITHSCORES", 10),
    ("sorted set", "ZRANGEBYSCORE LIMIT 10", "ZRANGEBYSCORE zset %m +inf LIMIT 0 10", 10),
    ("sorted set", "ZCOUNT", "ZCOUNT zset 1000 %m", 10),
    ("sorted set", "ZREM and ZADD", "ZREM zset10 v5 ; ZADD zset10 5 v5", 10),
    ("sorted set", "ZUNIONSTORE, 100 and 10", "ZUNIONSTORE zset:out 2 zset100 zset10", 10),
    ("sorted set", "ZPOPMIN and ZADD", "ZPOPMIN zset100 ; ZADD zset100 %m m%m", 10),
    ("generic", "EXISTS", "EXISTS key:%k", 10),
    ("generic", "EXPIRE", "EXPIRE key:%k 3600", 10),
    ("generic", "TTL", "TTL key:%k", 10),
    ("generic", "TYPE", "TYPE hash:%k", 10),
    ("generic", "SET and DEL", "SET gone:%k %v ; DEL gone:%=", 10),
    ("generic", "SET and UNLINK, 1 KiB", "SET gone:%k %v ; UNLINK gone:%=", 1024),
    ("generic", "SCAN COUNT 10", "SCAN 0 COUNT 10", 10),
    ("generic", "SORT of 10 numbers", "SORT numbers10", 10),
    ("generic", "OBJECT ENCODING", "OBJECT ENCODING key:%k", 10),
    ("generic", "COPY", "COPY key:%k copy:%k REPLACE", 10),
    ("stream", "XADD MAXLEN", "XADD stream MAXLEN ~ 10000 * f %v", 10),
    ("stream", "XRANGE of 10", "XRANGE stream10 - +", 10),
    ("stream", "XREAD of 10", "XREAD COUNT 10 STREAMS stream10 0", 10),
    ("stream", "XLEN", "XLEN stream10", 10),
    ("geo", "GEOADD", "GEOADD geo 13.361389 38.115556 place:%k", 10),
    ("geo", "GEOPOS", "GEOPOS places place7", 10),
    ("geo", "GEODIST", "GEODIST places place7 place8", 10),
    ("geo", "GEOHASH", "GEOHASH places place7", 10),
    ("geo", "GEOSEARCH, 100 km of 1,000", "GEOSEARCH places FROMLONLAT 15 37 BYRADIUS 100 km ASC", 10),
    ("geo", "GEOSEARCH, a box, WITHDIST", "GEOSEARCH places FROMLONLAT 15 37 BYBOX 200 200 km ASC COUNT 10 WITHDIST", 10),
    ("HyperLogLog", "PFADD", "PFADD hll member:%k", 10),
    ("HyperLogLog", "PFCOUNT of 1, written", "PFADD hll new:%k ; PFCOUNT hll", 10),
    ("HyperLogLog", "PFCOUNT of 3, dense", "PFCOUNT hll0 hll1 hll2", 10),
    ("HyperLogLog", "PFMERGE of 2, dense", "PFMERGE hll:out hll0 hll1", 10),
    ("pubsub", "PUBLISH, nobody listens", "PUBLISH channel %v", 10),
    ("transactions", "MULTI, SET, GET, EXEC", "MULTI ; SET key:%k %v ; GET key:%k ; EXEC", 10),
    ("scripting", "EVAL_RO of a GET", "EVAL_RO return(redis.call('get',KEYS[1])) 1 key:%k", 10),
    ("connection", "PING", "PING", 10),
    ("connection", "ECHO", "ECHO %v", 10),
    ("connection", "CLIENT ID", "CLIENT ID", 10),
    ("server", "CONFIG GET", "CONFIG GET maxmemory", 10),
    ("server", "INFO", "INFO default", 10),
)


def add(target, command, key, words):
    words = list(words)
    for i in range(0, len(words), 900):
        said = target.call(command, key, *words[i:i + 900])
        if said.startswith("-"):
            raise Failed("%s: %s: %s" % (target.name, command, said.strip()))


def fill(target):
    """Small collections under one key, large ones, and KEYS keys of strings and of hashes of 10 fields."""
    target.call("FLUSHALL")
    for words, size in (("SET key:%k %v", 10), ("SET big:%k %v", 1024), ("HSET hash:%k" + "".join(" field%d %%v" % i for i in range(10)), 10),
                        ("HSET hashbig field:%k %v", 10), ("SADD setbig member:%k", 10), ("ZADD zset %k member:%=", 10)):
        load(target, words, "-r", KEYS, "--sequential", "-n", KEYS, "-d", size, "-P", 100, unix=True)
    for n in (10, 100):
        names = ["v%d" % i for i in range(n)]
        add(target, "RPUSH", "list%d" % n, names)
        add(target, "SADD", "set%d" % n, names)
        add(target, "ZADD", "zset%d" % n, [w for i, name in enumerate(names) for w in (str(i), name)])
    add(target, "RPUSH", "list10000", ["v%d" % i for i in range(10000)])
    add(target, "RPUSH", "numbers10", [str(i * 7 % 10) for i in range(10)])
    add(target, "HSET", "hash50", [w for i in range(50) for w in ("field%d" % i, "value%d" % i)])
    add(target, "GEOADD", "places", [w for i in range(1000) for w in (str(13 + i % 37 * 0.1), str(36 + i % 29 * 0.1), "place%d" % i)])
    for i in range(3):
        add(target, "PFADD", "hll%d" % i, ["member:%d" % (i * 10000 + j) for j in range(20000)])
    for i in range(10):
        target.call("XADD", "stream10", "*", "field", "value%d" % i)
    target.call("SETBIT", "zero", "8191", "1")


def measure(bench, targets):
    found = {}
    for r in bench.progress.rounds(min(bench.rounds, ROUNDS_MAX)):
        for _, name, words, size in TESTS:
            for target in turns(targets, r):
                found.setdefault((target.name, name), []).append(
                    load(target, words, *CONNS, "-r", KEYS, "-d", size, seconds=bench.burst / 2))
    return found


def section_families(bench):
    targets = [bench.redis, bench.ours]
    for target in targets:
        fill(target)
    found = measure(bench, targets)
    bench.empty()
    table = Table("Families of commands, -P 10, 50 connections, TCP",
                  ["family", "test", "rps R7", "rps demikv", "us CPU R7", "us CPU demikv", "rps x R7", "target", ""])
    ratios = []
    for family, name, _, _ in TESTS:
        r7, ours = (mid(found, n, name, "rps") for n in ("redis", "demikv"))
        cpu = [mid(found, n, name, "cpu_us") for n in ("redis", "demikv")]
        ratios.append(ratio(ours, r7))
        table.judged(family, name, r7, ours, *cpu, ratios[-1], value=ratios[-1], at_least=GOAL_EACH)
    taken = [math.log(x) for x in ratios if x]
    mean = math.exp(sum(taken) / len(taken))
    table.judged("all", "geometric mean of %d" % len(taken), "", "", "", "", mean, value=mean, at_least=GOAL_MEAN)
    table.note("medians of %d; of several commands in one test each counts as a request" % min(bench.rounds, ROUNDS_MAX))
    yield table

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Random commands to hashes, sorted sets, sets and lists that change their shape all the time, the same to redis-server and to our server.

generated.py draws from every command there is; what a key holds is gone there before it has grown. Here keys keep their type, have names of all
lengths, and grow and shrink past every size at which they lie otherwise in memory; limits of encodings change on the way, keys expire, are sorted, stored into
each other, dumped, restored, reloaded, renamed, copied, moved. Meanwhile, between batches: a client that waits for one of them, and at our server alone
snapshots, rewritten logs, defragmentation. Our server logs all of it, and has the same keys when it has loaded that log.

For an address sanitizer (make VARIANT=asan): a handler that reads what it has given back dies here. COMPAT_SEED, COMPAT_SEEDS and COMPAT_COUNT are
generated.py's; SHAPES_SECONDS=600 draws fresh seeds for so long.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compat  # noqa: E402
import generated  # noqa: E402
import grammar  # noqa: E402
import versions  # noqa: E402
from older import bridge, our_server  # noqa: E402
from resp import Node  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

LENGTHS = (1, 2, 7, 8, 9, 15, 24, 63, 99, 100, 101, 255, 256, 300)  # of names: where an entry's header and alignment change


def named(letter, lengths):
    return [(letter * n).encode() for n in lengths]


HASHES, ZSETS = named("h", LENGTHS[::2]), named("z", LENGTHS[1::2])
GEOS, SETS, LISTS = named("g", (1, 6, 100)), named("s", (1, 8)), named("l", (1, 9))
MEMBERS = [b"a", b"b", b"c", b"1", b"2", b"-7", b"127", b"128", b"4096", b"100000", b"5000000000", b"", b"z", b"h", b"\x00\xff"]
MEMBERS += [b"m%d" % i for i in range(20)] + [b"%d" % i * n for i, n in ((3, 16), (4, 17), (5, 31), (6, 63), (7, 64), (8, 65))]
VALUES = [b"0", b"1", b"10", b"-5", b"3.5", b"", b"abc", b"9223372036854775807", b"v" * 17, b"v" * 19, b"w" * 40, b"w" * 62, b"x" * 63, b"x" * 64,
          b"x" * 65, b"y" * 130, b"y" * 505, b"y" * 3000]

# What one script does to a key, so that one command finds it in several shapes.
SCRIPTS = [
    b"return redis.call('RESTORE', KEYS[2], 0, redis.call('DUMP', KEYS[1]), 'REPLACE')",
    b"return redis.call('RESTORE', KEYS[2], 100000, redis.call('DUMP', KEYS[1]))",
    b"for i = 1, 40 do redis.call('HSET', KEYS[1], 'f' .. i, ARGV[2]) end return redis.call('HLEN', KEYS[1])",
    b"for i = 40, 1, -1 do redis.call('HDEL', KEYS[1], 'f' .. i) end return redis.call('HLEN', KEYS[1])",
    b"local n = 0 for i = 1, 30 do n = n + redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', i)) n = n + redis.call('HDEL', KEYS[1], 'f' .. i) end return n",
    b"for i = 1, 40 do redis.call('ZADD', KEYS[1], i % 7, 'm' .. i) end return redis.call('ZCARD', KEYS[1])",
    b"for i = 40, 1, -1 do redis.call('ZREM', KEYS[1], 'm' .. i) end return redis.call('ZCARD', KEYS[1])",
    b"for i = 1, 9 do redis.call('ZADD', KEYS[1], i * 1000001, ARGV[1] .. i) redis.call('ZPOPMIN', KEYS[1]) end return redis.call('ZCARD', KEYS[1])",
    b"redis.call('SORT', KEYS[1], 'ALPHA') redis.call('ZADD', KEYS[1], 1, ARGV[1]) return redis.call('SORT', KEYS[1], 'ALPHA', 'STORE', KEYS[2])",
    b"redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('RENAME', KEYS[1], KEYS[2]) return redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])",
    b"redis.call('EXPIRE', KEYS[1], 1000) redis.call('HINCRBY', KEYS[1], 'n', 100000) redis.call('PERSIST', KEYS[1]) return redis.call('HINCRBY', KEYS[1], 'n', 7)",
    b"redis.call('ZINCRBY', KEYS[1], 0.1, ARGV[1]) redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE') return redis.call('ZREM', KEYS[1], ARGV[1])",
]

POOLS = {
    "H": HASHES, "Z": ZSETS, "G": GEOS, "S": SETS, "L": LISTS, "k": HASHES + ZSETS + GEOS + SETS + LISTS,
    "m": MEMBERS, "v": VALUES, "E": SCRIPTS, "e": [b"1", b"8", b"40", b"128"], "b": [b"-inf", b"+inf", b"0", b"(1", b"2", b"(3", b"7"],
    "i": [b"%d" % i for i in range(-6, 9)] + [b"30", b"-30"], "c": [b"0", b"1", b"2", b"5", b"100"],
    "n": [b"0", b"1", b"-1", b"5", b"1000", b"9223372036854775807", b"-9223372036854775808"], "f": [b"0", b"0.1", b"1.5", b"-2.25", b"1e10", b"1e300", b"inf"],
    "s": [b"0", b"1", b"2", b"3", b"-1", b"1.5", b"0.1", b"1e20", b"inf", b"-inf", b"3.14159", b"1234567890123", b"-0.000123456789"],
    "d": [b"0", b"0", b"1"], "t": [b"1000", b"5000", b"100000"], "w": grammar.POOLS["w"],
    "O": [b"13.361389", b"15.087269", b"0", b"-122.27652", b"2.3522"], "T": [b"38.115556", b"37.502669", b"0", b"-85.05", b"48.8566"],
    "W": [b"1", b"100", b"1000", b"20000"],
}

# The words of grammar.py.
TEMPLATES = grammar.parse_templates("""
    HSET {H} ({m}~{v})+ ; HSET {H} ({m}~{v})+ ; HSET {H} {m} {v} {m} {v} {m} {v} {m} {v} ; HSET {H} {m} {m} ; HSET {H} {m} {v} ; HMSET {H} {m} {v} ; HSETNX {H} {m} {v}
    HINCRBY {H} {m} {n} ; HINCRBY {H} n {n} ; HINCRBYFLOAT {H} {m} {f} ; HINCRBYFLOAT {H} n {f} ; HDEL {H} {m}+ ; HDEL {H} {m} {m} {m} {m} {m} {m} {m} {m} ; HDEL {H} {m}
    HGET {H} {m} ; HMGET {H} {m}+ ; HLEN {H} ; HSTRLEN {H} {m} ; HEXISTS {H} {m} ; @pairs HGETALL {H} ; @unordered HKEYS {H} ; @unordered HVALS {H}
    @count HRANDFIELD {H} [{c}|-{c}] ; @count HRANDFIELD {H} {c} WITHVALUES ; @scan HSCAN {H} 0 COUNT 1000 [MATCH~m*]
    ZADD {Z} ({s}~{m})+ ; ZADD {Z} ({s}~{m})+ ; ZADD {Z} {s} {m} {s} {m} {s} {m} {s} {m} ; ZADD {Z} [NX|XX|GT|LT|CH|XX~CH|INCR] {s} {m} ; ZINCRBY {Z} {s} {m} ; ZADD {Z} {s} {m}
    ZREM {Z} {m}+ ; ZREM {Z} {m} {m} {m} {m} {m} {m} {m} {m} ; ZREM {Z} {m} ; ZPOPMIN {Z} [{c}] ; ZPOPMAX {Z} [{c}] ; ZMPOP 2 {Z} {Z} (MIN|MAX) [COUNT~{c}]
    ZREMRANGEBYRANK {Z} {i} {i} ; ZREMRANGEBYSCORE {Z} {b} {b} ; BZPOPMIN {Z} {Z} 0.001 ; BZPOPMAX {Z} 0.001 ; BZMPOP 0.001 2 {Z} {Z} MIN COUNT 3
    ZRANGE {Z} 0 -1 WITHSCORES ; ZRANGE {Z} {i} {i} [REV|WITHSCORES] ; ZRANGE {Z} {b} {b} BYSCORE [LIMIT~{c}~{c}] ; ZSCORE {Z} {m} ; ZMSCORE {Z} {m}+ ; ZCARD {Z} ; ZRANK {Z} {m}
    ZCOUNT {Z} {b} {b} ; @count ZRANDMEMBER {Z} [{c}|-{c}] ; @scan ZSCAN {Z} 0 COUNT 1000 ; ZRANGESTORE {Z} {Z} {i} {i} [REV] ; ZUNIONSTORE {Z} 2 {Z} ({Z}|{S}|{G})
    ZUNIONSTORE {Z} 2 {Z} {Z} [WEIGHTS~{s}~2|AGGREGATE~MAX] ; ZINTERSTORE {Z} 2 {Z} {Z} ; ZDIFFSTORE {Z} 2 {Z} {Z} ; ZUNION 2 {Z} {Z} WITHSCORES ; ZINTER 2 {Z} {Z} ; ZDIFF 2 {Z} {Z}
    GEOADD {G} ({O}~{T}~{m})+ ; GEOADD {G} [NX|XX|CH] {O} {T} {m} ; ZREM {G} {m}+ ; ZREM {G} {m} ; GEOPOS {G} {m}+ ; GEOHASH {G} {m} ; GEODIST {G} {m} {m} km
    GEOSEARCH {G} FROMLONLAT {O} {T} BYRADIUS {W} km [WITHDIST] ; GEOSEARCHSTORE {G} {G} FROMLONLAT {O} {T} BYRADIUS {W} km [STOREDIST] ; GEORADIUS {G} {O} {T} {W} km STORE {G}
    GEORADIUSBYMEMBER {G} {m} {W} km STORE {Z} ; GEOSEARCHSTORE {Z} {G} FROMMEMBER {m} BYBOX {W} {W} km
    SADD {S} {m}+ ; SADD {S} {n}+ ; SREM {S} {m}+ ; SMOVE {S} {S} {m} ; @unordered SMEMBERS {S} ; SUNIONSTORE {S} {S} {S} ; SDIFFSTORE {S} {S} {S} ; SINTERSTORE {S} {S} ; SCARD {S}
    RPUSH {L} {m}+ ; LPUSH {L} {v}+ ; LPOP {L} [{c}] ; RPOP {L} ; LTRIM {L} {i} {i} ; LSET {L} {i} {v} ; LINSERT {L} BEFORE {m} {v} ; LREM {L} {i} {m} ; LRANGE {L} 0 -1 ; LMOVE {L} {L} LEFT RIGHT
    SORT {Z} [ALPHA|DESC|ALPHA~LIMIT~{c}~{c}|BY~nosort|BY~nosort~DESC~LIMIT~1~3] ; SORT {Z} ALPHA ; SORT {Z} (ALPHA|BY~nosort|ALPHA~DESC) STORE ({L}|{Z}) ; SORT_RO {Z} ALPHA ; SORT {L} ALPHA STORE {L}
    SORT {S} ALPHA ; SORT {L} [ALPHA|DESC] STORE {Z} ; @unordered SORT {Z} ALPHA BY h*->m1 GET # GET hhhhhhh*->m2 ; SORT {Z} BY h*->n GET h*->n STORE {L} ; SORT {H} ALPHA
    DEL {k} ; UNLINK {k} ; EXISTS {k} ; TOUCH {k} {k} ; TYPE {k} ; OBJECT ENCODING {k} ; OBJECT ENCODING {H} ; OBJECT ENCODING {Z}
    EXPIRE {k} {t} [NX|XX|LT] ; EXPIRE {H} {t} ; EXPIRE {Z} {t} ; PERSIST {k} ; PEXPIRE {k} {t}000 ; EXPIREAT {k} 1 ; @near:1 TTL {k} ; RENAME {k} {k} ; RENAME {H} {H} ; RENAME {Z} {Z} ; RENAMENX {k} {k}
    COPY {H} {H} REPLACE ; COPY {Z} {Z} REPLACE ; COPY {k} {k} [REPLACE|DB~{d}|REPLACE~DB~{d}] ; MOVE {k} {d} ; SELECT {d} ; SWAPDB 0 1
    @lua EVAL {E} 2 {H} {H} {m} {v} ; @lua EVAL {E} 2 {H} {H} {m} {v} ; @lua EVAL {E} 2 {Z} {Z} {m} {v} ; @lua EVAL {E} 2 {Z} {Z} {m} {v} ; @lua EVAL {E} 2 {k} {k} {m} {v} ; @lua EVAL_RO {E} 2 {H} {Z} {m} {v}
    CONFIG SET hash-max-listpack-entries {e} ; CONFIG SET zset-max-listpack-entries {e} ; CONFIG SET hash-max-listpack-value 18 ; CONFIG SET hash-max-listpack-value 64
    CONFIG SET zset-max-listpack-value 18 ; CONFIG SET zset-max-listpack-value 64 ; CONFIG SET hash-max-listpack-entries 128 zset-max-listpack-entries 128
    MULTI ; EXEC ; EXEC ; DISCARD ; WATCH {k} ; UNWATCH ; SET {k} {v} ; GET {k} ; LPUSH {k} {v} ; HSET {k} {m} {v} ; ZADD {k} {s} {m}
""")
WAITS = grammar.parse_templates("BZPOPMIN {Z} {Z} 0 ; BZPOPMAX {Z} {Z} {Z} 0 ; BZMPOP 0 2 {Z} {Z} MAX COUNT 2 ; BLPOP {L} {L} 0 ; BLMOVE {L} {L} LEFT LEFT 0")
if versions.OLDER:  # "rerun", "zadd-many" and "hset-many" of versions.txt
    WAITS = grammar.parse_templates("BZPOPMIN {Z} 0 ; BZPOPMAX {Z} 0 ; BLPOP {L} 0 ; BLMOVE {L} {L} LEFT LEFT 0")
    POOLS["e"] = [b"8", b"40", b"128"]
# To ours alone; whether they may run at that moment is not asked.
OURS_ALONE = (("BGSAVE",), ("BGREWRITEAOF",), ("MEMORY", "PURGE"), ("CONFIG", "SET", "activedefrag", "yes"), ("CONFIG", "SET", "activedefrag", "no"),
              ("CONFIG", "SET", "lazyfree-lazy-server-del", "yes"), ("CONFIG", "SET", "lazyfree-lazy-server-del", "no"), ("MEMORY", "DOCTOR"))
OURS_ALONE += tuple(("MEMORY", "USAGE", key, "SAMPLES", "0") for key in HASHES[:2] + ZSETS[:2])
EXPIRING, RELOADS = 0.02, 0.003  # shares of the commands drawn


class Shapes(grammar.Grammar):
    """Commands of the templates above; now and then a key's time comes, or all is saved and loaded."""

    def __init__(self, rng):
        super().__init__(rng, TEMPLATES, POOLS)
        self.due, self.count = [], 0

    def may_follow(self, count):
        """Commands that belong together do not lie on both sides of the end of a batch, where others look at the keys."""
        return 0 < self.count % generated.BATCH <= generated.BATCH - count

    def command(self):
        self.count += 1
        if self.due:
            return "", self.due.pop(0)
        what = self.rng.random()
        if what < EXPIRING and self.may_follow(2):
            self.due = [[b"PEXPIRE", self.rng.choice(POOLS["k"]), b"1"], [b"DEBUG", b"SLEEP", b"0.003"]]
            # Before 7.2 time goes on in a transaction.
            return "", [b"EXEC"] if versions.OLDER else self.due.pop(0)
        if what < EXPIRING + RELOADS:
            # A key past its time is not loaded, which no log is told: it goes before.
            self.due = [word for db in (b"1", b"0") for word in ([b"SELECT", db], [b"EXISTS"] + POOLS["k"] + POOLS["w"])] + [[b"DEBUG", b"RELOAD"]]
            return "", [b"EXEC"]
        rule, args = self.one_of_all()
        if self.rng.random() < 0.02 and args[0] not in (b"EVAL", b"EVAL_RO", b"CONFIG", b"DEBUG", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP"):
            args = self.spoil(args)
        return rule, args


class Beside:
    """What goes on besides a sequence's commands (generated.walk())."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.waits = grammar.Grammar(self.rng, WAITS, POOLS)
        self.waiting = None  # what the waiting clients were told

    def before(self, runs):
        if self.rng.random() < 0.4:
            _, self.waiting = self.waits.one_of_all()
            for run in runs:
                run.wait(self.waiting)
        if self.rng.random() < 0.5:
            runs[1].watcher.call(*self.rng.choice(OURS_ALONE))

    def after(self, runs):
        if not self.waiting:
            return None
        told = [run.waited() for run in runs]
        waiting, self.waiting = self.waiting, None
        return None if compat.same(*bridge(waiting, *told), []) else told

    @staticmethod
    def contents(client):
        """A key, whether it expires and what it holds, of each one, as generated.narrow() reads it."""
        kids = []
        for db in ("0", "1"):
            client.call("SELECT", db)
            for key in sorted(k.text() for k in client.call("KEYS", "*").kids):
                kids += [Node(b"+%s/%s\r\n" % (db.encode(), key)), Node(b"+%d\r\n" % (client.call("PTTL", key).text() != b"-1")),
                         generated.read_value(client, key, client.call("TYPE", key).text(), b"")]
        return Node(b"*%d\r\n" % len(kids), b"", kids)

    def end(self, runs):
        """The log of ours makes the same keys."""
        ours = runs[1].watcher
        if ours.call("CONFIG", "GET", "appendonly").kids[1].text() != b"yes":
            return None
        ours.timeout = 60
        time.sleep(0.002)  # whose time was about to come has gone
        before = self.contents(ours)
        loaded = ours.call("DEBUG", "LOADAOF")
        after = self.contents(ours)
        if loaded.raw() != b"+OK\r\n":
            return before, loaded
        return None if before.raw() == after.raw() else generated.narrow(before, after)


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    generated.HASHES_KEEP_ORDER = False  # a large one that became small is loaded in its table's order
    tap, seconds = Tap(), float(os.environ.get("SHAPES_SECONDS", "0"))
    ends = time.monotonic() + seconds
    seeds = iter(lambda: random.SystemRandom().randrange(1 << 31) if time.monotonic() < ends else None, None) if seconds else generated.seeds_wanted(4)
    count = int(os.environ.get("COMPAT_COUNT", "3000"))
    events = ["--notify-keyspace-events", "KEA"]
    with Server(REDIS, events) as theirs, our_server(events + ["--appendonly", "yes", "--active-defrag-ignore-bytes", "1", "--active-defrag-threshold-lower", "1"]) as ours:
        generated.compare(tap, (theirs, ours), seeds, lambda seed: generated.drawn(Shapes(random.Random(seed)), count), Beside)
    tap.done()


if __name__ == "__main__":
    main()

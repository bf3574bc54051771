#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""What a primary sends to its replicas for each kind of command: ours and redis-server's, byte for byte, and the offset that both count."""
import re
import time

from node import Node, Tap, check, kinds, until
from peer import FakeReplica, encode
from proxy import Commands

from older import OUR_ARGS, bridge_stream  # noqa: E402
from resp import split  # noqa: E402
from sync import STREAMS  # noqa: E402

MARK = encode(["PUBLISH", "mark", "mark"])
LUA = "#!lua name=lib%d\\nredis.register_function('f%d', function(k, a) redis.call('set', k[1], a[1]) redis.call('incr', 'n') end)"

# As in tests/compat/sync.py, which has the greater part of them: "2:" is another connection, "2>" one that does not wait, and "2<" that does.
RECORDS = STREAMS + [
    ("each way to give a time", ["SET k v PX 100000000", "SET k v PXAT 99999999999999 KEEPTTL", "PSETEX k 100000000 v", "SET k v EX 100 KEEPTTL", "SET k v NX EX 10000",
                                 "SET n v NX PX 10000000", "GETSET k w", "GETEX k", "GETEX k EX 1000000", "GETEX k PXAT 99999999999999", "GETEX k PERSIST", "GETEX k PERSIST"]),
    ("a time that is past, where the cycle does not come", ["DEBUG SET-ACTIVE-EXPIRE 0", "SET k v PXAT 1", "SET l v EXAT 1", "PSETEX m 1 v", "!sleep 0.01", "GET k", "EXISTS l m"]),
    ("EXPIRE with each of its flags", ["SET k v", "EXPIRE k 1000000 NX", "EXPIRE k 1000000 NX", "EXPIRE k 2000000 GT", "EXPIRE k 1000000 GT", "PEXPIRE k 1000000000 LT",
                                       "EXPIREAT k 99999999999 XX", "PEXPIREAT k 99999999999999", "PERSIST k", "PERSIST k", "EXPIRE k 100000 XX", "EXPIREAT k 1", "EXPIRE none 5"]),
    ("strings", ["SET k v", "APPEND k x", "SETRANGE k 3 abc", "SETRANGE k 0 \"\"", "SETBIT k 7 1", "SETBIT k 7 1", "BITFIELD k SET u8 0 255 INCRBY i8 8 1", "BITFIELD k GET u8 0",
                 "MSET a 1 b 2", "MSETNX a 1 c 2", "MSETNX c 1 d 2", "SETNX a 1", "SETNX e 1", "INCRBY a 5", "INCRBY a -0", "DECRBY a 7", "DECR a", "INCR a", "GETDEL a", "GETDEL a",
                 "BITOP AND d k b", "BITOP NOT x nothing", "STRLEN k", "COPY k kk", "COPY k kk", "COPY k kk REPLACE", "PFADD p a b c", "PFADD p a", "PFCOUNT p", "PFCOUNT p", "PFADD p2 z",
                 "PFMERGE p3 p p2"]),
    ("lists", ["RPUSH l a b c d", "LPUSH l x", "LPUSHX none x", "RPUSHX l y", "LPOP l", "RPOP l 2", "LPOP l 0", "LSET l 0 z", "LINSERT l BEFORE z w", "LINSERT l BEFORE none w", "LREM l 1 z",
               "LREM l 1 z", "LTRIM l 0 -1", "LTRIM l 0 0", "RPOPLPUSH l l", "LMOVE l m LEFT LEFT", "LMPOP 2 l m RIGHT COUNT 5", "LPOP m", "RPOPLPUSH none m"]),
    ("sets", ["SADD s a b c 1 2", "SADD s a", "SREM s a none", "SREM s none", "SMOVE s t b", "SMOVE s t none", "SADD u b x", "SINTERSTORE d s u", "SUNIONSTORE d s u", "SDIFFSTORE d s u",
              "SINTERSTORE d s none", "SPOP u 0", "SPOP none"]),
    ("members that were drawn", ["SADD any a b c d e", "SPOP any", "SPOP any 2", "SADD any a b c d e f g", "SRANDMEMBER any 2", "SPOP any 100"]),
    ("hashes", ["HSET h f v g w", "HSET h f v", "HMSET h f v", "HSETNX h f v", "HSETNX h n v", "HINCRBY h c 5", "HINCRBY h c 0", "HINCRBYFLOAT h d 1.50", "HDEL h f none", "HDEL h none", "hset h F V"]),
    ("sorted sets", ["ZADD z 1 a 2 b 3 c 4 d 5 e 6 f", "ZADD z 1 a", "ZADD z NX 9 a", "ZADD z GT CH 9 a", "ZADD z INCR 2 b", "ZADD z XX INCR 2 none", "ZINCRBY z 1.5 c", "ZREM z a none", "ZREM z none",
                     "ZREMRANGEBYRANK z 0 0", "ZREMRANGEBYRANK z 50 60", "ZREMRANGEBYSCORE z 4 4", "ZREMRANGEBYLEX z [x [y", "ZPOPMIN z", "ZPOPMAX z 2", "ZPOPMIN none", "ZADD z 1 a 2 b",
                     "ZUNIONSTORE y 2 z z WEIGHTS 1 2", "ZINTERSTORE y 2 z z", "ZDIFFSTORE y 2 z none", "ZRANGESTORE x z 0 -1", "ZRANGESTORE x none 0 -1", "ZMPOP 2 none z MAX COUNT 2",
                     "2> BZPOPMAX z 0", "ZADD z 1 a 2 b", "2<", "2> BZMPOP 0 2 none q MIN COUNT 2", "ZADD q 1 a 2 b 3 c", "2<"]),
    ("places", ["GEOADD g 13.361389 38.115556 a 15.087269 37.502669 b", "GEOADD g NX 13 38 a", "geoadd g CH 13 38 a", "GEOSEARCHSTORE s g FROMLONLAT 15 37 BYRADIUS 400 km",
                "GEORADIUS g 15 37 400 km STORE d", "GEORADIUS g 15 37 1 m STORE d", "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km"]),
    ("keys", ["SET k v", "RENAME k l", "RENAMENX l m", "RENAMENX m m", "MOVE m 1", "SELECT 1", "MOVE m 0", "SELECT 0", "UNLINK m none", "DEL none", "DEL m", "RPUSH l 3 1 2", "SORT l", "SORT l STORE l2",
              "SORT none STORE l2", "TOUCH l", "OBJECT ENCODING l", "SWAPDB 0 1", "SWAPDB 0 1", "FLUSHDB ASYNC", "FLUSHDB SYNC", "FLUSHALL ASYNC", "flushall"]),
    ("names and bytes stay as they were typed", ["sEt k v", "set \"\" \"\"", "SET \"\\x00\\xff \\r\\n\" \"*1\\r\\n$4\\r\\nPING\\r\\n\"", "InCr n", "DeL k n", "SET k %{x*3000}", "SET k %{y*40000}"]),
    ("scripts are told as what they did", [
        "EVAL \"redis.call('set', KEYS[1], 'v')\" 1 k", "EVAL \"redis.call('set', KEYS[1], 'v') redis.call('incr', 'n')\" 1 k", "EVAL \"return redis.call('get', KEYS[1])\" 1 k",
        "EVAL \"redis.call('set', KEYS[1], 'v') return redis.call('incr', KEYS[1])\" 1 k", "EVAL \"redis.call('set', KEYS[1], 'v') error('x')\" 1 k",
        "EVAL \"redis.call('select', 5) redis.call('set', 'five', 1)\" 0", "EVAL \"redis.call('select', 5) redis.call('set', 'five', 1) redis.call('select', 0) redis.call('incr', 'n')\" 0",
        "EVAL \"redis.call('publish', 'c', 'm')\" 0", "EVAL \"redis.call('publish', 'c', 'm') redis.call('incr', 'n')\" 0", "EVAL \"redis.call('incrbyfloat', 'f', '0.5') redis.call('expire', 'f', 10000)\" 0",
        "EVAL \"for i = 1, 5 do redis.pcall('incr', i == 3 and 'k' or 'n') end\" 0", "EVAL_RO \"return redis.call('get', KEYS[1])\" 1 k", "SCRIPT LOAD \"return 1\"", "SCRIPT FLUSH"]),
    ("a script that sets nothing leaves nothing", ["EVAL \"return redis.call('del', 'none')\" 0", "EVAL \"redis.set_repl(redis.REPL_NONE) redis.call('set', 'only', 'here')\" 0",
                                                   "EVAL \"redis.set_repl(redis.REPL_AOF) redis.call('set', 'only', 'log') redis.set_repl(redis.REPL_ALL) redis.call('set', 'all', 1)\" 0", "DEL only"]),
    ("functions", ["FUNCTION LOAD \"" + LUA % (1, 1) + "\"", "FUNCTION LOAD REPLACE \"" + LUA % (1, 1) + "\"", "FUNCTION LOAD \"" + LUA % (1, 1) + "\"", "FCALL f1 1 k v", "FCALL_RO f1 1 k v",
                   "function load \"" + LUA % (2, 2) + "\"", "FUNCTION DELETE lib2", "FUNCTION DELETE lib2", "FUNCTION LIST", "FUNCTION FLUSH ASYNC", "FUNCTION FLUSH"]),
    ("transactions", ["MULTI", "EXEC", "MULTI", "SET k v", "SELECT 3", "SET k v", "SELECT 0", "INCR n", "EXEC", "MULTI", "SELECT 3", "SET k w", "EXEC", "SELECT 0", "SET a 1", "MULTI", "INCR k", "SET a 2", "EXEC",
                      "MULTI", "INCR k", "INCR k", "EXEC", "MULTI", "PUBLISH c m", "EXEC", "MULTI", "SET a 1", "EVAL \"redis.call('incr', 'n') redis.call('incr', 'n')\" 0", "EXEC",
                      "WATCH a", "2: SET a 5", "MULTI", "SET a 6", "EXEC"]),
    ("what reads, asks or fails is not told", ["GET k", "CONFIG SET lfu-log-factor 11", "CONFIG SET lfu-log-factor 10", "DEBUG SLEEP 0", "CLIENT SETNAME x", "ACL SETUSER u on", "ACL DELUSER u", "LPUSH k x",
                                               "SET k", "NOSUCH x", "SETRANGE k -1 x", "HSET k f v", "INFO server", "SET end 1"]),
    ("eviction tells what went", ["SET big %{x*5000}", "CONFIG SET maxmemory-policy allkeys-random maxmemory 1", "GET big", "INCR n", "CONFIG SET maxmemory 0", "CONFIG SET maxmemory-policy noeviction"]),
    ("several waiters are served by one push", ["2> BLPOP w 0", "3> BRPOP w 0", "RPUSH w a b c", "2<", "3<", "2> BLMOVE w x RIGHT LEFT 0", "3> BLPOP x 0", "MULTI", "RPUSH w a", "SET y 1", "EXEC", "2<", "3<"]),
    ("a waiter whose time is up", ["2: BLPOP none 0.01", "2: BZPOPMIN none 0.01", "SET end 1"]),
]


class Side:
    """One of the two primaries, and who follows it."""

    def __init__(self, kind):
        self.node = Node(kind, (OUR_ARGS if kind.ours else []) + ["--repl-ping-replica-period", "3600"])
        self.feed = FakeReplica(self.node.path).full_sync()
        self.setup = self.node.client()
        self.wrong = []

    def play(self, lines):
        """Records that came of it, times hidden; and notes where the bytes and the offset do not agree."""
        clients = {"1": self.setup, "2": self.node.client(), "3": self.node.client()}
        for line in lines:
            self.line(clients, line)
        self.setup.call("PUBLISH", "mark", "mark")
        raw = self.feed.records_until(MARK)
        if self.node.offset() != self.feed.offset:
            self.wrong.append("offset %d, and %d bytes came" % (self.node.offset(), self.feed.offset))
        self.setup.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        self.setup.call("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0")
        self.setup.call("FLUSHALL")
        self.setup.call("FUNCTION", "FLUSH")
        self.setup.call("SELECT", "0")
        self.setup.call("PUBLISH", "mark", "mark")
        self.feed.records_until(MARK)
        clients["2"].close()
        clients["3"].close()
        return self.seen(raw)

    def line(self, clients, line):
        which, then, rest = line[0], line[1:2], line[2:]
        if line.startswith("!sleep"):
            time.sleep(float(line.split()[1]))
        elif then == "<":
            clients[which].read()
        elif then == ">":
            waiting = self.node.info("clients")["blocked_clients"]
            clients[which].send(encode(split(rest.encode())))
            until(lambda: self.node.info("clients")["blocked_clients"] != waiting or clients[which].readable(0))
        else:
            text = rest if then == ":" else line
            clients[which if then == ":" else "1"].call(*split(text.encode()))

    def seen(self, raw):
        out = []
        for record in raw:
            words = words_of(record)
            if encode(words) != record:
                self.wrong.append("not as a request is written: %r" % record)
            out.append(words)
        return [encode([hidden(word, words) for word in words]) for words in joined(bridge_stream([[b"SELECT", b"0"]] + out)[1:])]

    def close(self):
        self.feed.close()
        self.setup.close()
        self.node.stop()


def joined(stream):
    """Members that SPOP took go in one SREM (7.2.4), or in several with MULTI round them (7.0, ours): the same to who applies them."""
    out = []
    for words in stream:
        if words[:2] == [b"SREM", b"any"] and len(out) > 1 and out[-1][:2] == words[:2] and out[-2] == [b"MULTI"]:
            out[-1] += words[2:]
        elif words == [b"EXEC"] and len(out) > 1 and out[-2:-1] == [[b"MULTI"]] and out[-1][:2] == [b"SREM", b"any"]:
            del out[-2]
        else:
            out.append(words)
    return out


def words_of(record):
    parsed = Commands()
    parsed.feed(record)
    return parsed.got[0][1]


def hidden(word, words):
    """Times of today, and members that were drawn, with as many bytes as they have."""
    if re.fullmatch(rb"1[789]\d{11}(-\d+)?", word):
        return b"T" * 13 + re.sub(rb"\d", b"N", word[13:])  # the second of a millisecond is -1
    if words[1:2] == [b"any"] and words[0] == b"SREM" and len(word) == 1:
        return b"?"
    return word


def without_idle_consumers(got, want):
    """A consumer that got nothing is told by us alone: redis-server's replicas do not have it."""
    return [record for record in got if words_of(record)[:2] != [b"XGROUP", b"CREATECONSUMER"] or record in want]


def compare(tap, theirs, ours):
    for claim, lines in RECORDS:
        want, got = theirs.play(lines), ours.play(lines)
        got = without_idle_consumers(got, want)
        notes = [] if want == got else ["redis-server: %r" % want, "ours:         %r" % got]
        for side, name in ((theirs, "redis-server"), (ours, "ours")):
            notes += ["%s: %s" % (name, text) for text in side.wrong]
            side.wrong = []
        check(tap, not notes, claim, *notes)


def controls(tap, side, name):
    """Records that no client asks for."""
    side.setup.call("SET", "a", "1")
    side.setup.call("PUBLISH", "mark", "mark")
    side.feed.records_until(MARK)
    side.setup.call("CONFIG", "SET", "repl-ping-replica-period", "1")
    ping = side.feed.record()
    side.setup.call("CONFIG", "SET", "repl-ping-replica-period", "3600")
    check(tap, ping == b"*1\r\n$4\r\nping\r\n", name + ": a ping in lower case, 14 bytes", ping)
    side.setup.send(encode(["WAIT", "1", "0"]))
    record = side.feed.record()
    while record == ping:
        record = side.feed.record()
    before = side.feed.offset - len(record)
    check(tap, record == encode(["REPLCONF", "GETACK", "*"]), name + ": WAIT asks for acknowledgements in 37 bytes, which count", record)
    side.feed.ack(before)
    reply = side.setup.read().raw()
    check(tap, reply == b":1\r\n", name + ": and does not wait for its own question", reply)
    offset = side.node.offset()
    check(tap, offset == side.feed.offset, name + ": the offset stands where the bytes end", offset, side.feed.offset)


def selects(tap, side, name):
    """The database is told again to who has loaded a snapshot, and not to who goes on."""
    side.setup.call("SET", "a", "1")
    side.setup.call("PUBLISH", "mark", "mark")
    side.feed.records_until(MARK)
    replid = side.feed.id
    second = FakeReplica(side.node.path)
    line = second.psync(replid.decode(), side.feed.offset + 1)
    side.setup.call("SET", "b", "1")
    first = second.record()
    check(tap, line == b"+CONTINUE %s\r\n" % replid and first == encode(["SET", "b", "1"]), name + ": who goes on is not told the database", line, first)
    third = FakeReplica(side.node.path).full_sync()
    side.setup.call("SET", "c", "1")
    records = [third.record(), third.record()]
    check(tap, records == [encode(["SELECT", "0"]), encode(["SET", "c", "1"])], name + ": who has loaded a snapshot is", records)
    second.close()
    third.close()


def main():
    ours, theirs = [Side(kind) for kind in kinds()[:2]]
    tap = Tap()
    compare(tap, theirs, ours)
    for side, name in ((theirs, "redis-server"), (ours, "ours")):
        selects(tap, side, name)
        controls(tap, side, name)
        side.close()
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""A replica of redis-server's and one of ours that follow the same redis-server: both are asked the same, and must say the same.

Dialogues: a line `P words` is for the primary; `~ms` waits; any other line is asked of both replicas, after they have executed all that
the primary said, and what they say is compared byte for byte. `@scan words` and the like: as in case files (normal.py). After them come
clients that wait, watch, track, monitor or subscribe at the replicas while the primary writes, and random commands. TAP on stdout.

    [COMPAT_SEED=7] [COMPAT_COUNT=300] tests/compat/replica_linked.py [part of a claim]
"""
import os
import random
import re
import shlex
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import compat  # noqa: E402
import normal  # noqa: E402
import versions  # noqa: E402
from generated import Queue, is_undefined  # noqa: E402
from grammar import Grammar  # noqa: E402
from resp import Closed, Silent  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

SEED, COUNT = int(os.environ.get("COMPAT_SEED", "7")), int(os.environ.get("COMPAT_COUNT", "300"))
SHOWN = 6

DIALOGUES = {
    "what is past its time is hidden, and nothing deletes it": """
P DEBUG SET-ACTIVE-EXPIRE 0
P SET k v PX 30
P RPUSH list a b
P PEXPIRE list 30
P ZADD zset 1 a
P PEXPIRE zset 30
P HSET hash f v
P PEXPIRE hash 30
P SADD set a
P PEXPIRE set 30
P XADD stream 1-1 f v
P PEXPIRE stream 30
P PFADD hll a
P PEXPIRE hll 30
P SET alive v
~60
GET k
MGET k alive
EXISTS k list alive
STRLEN k
GETRANGE k 0 -1
GETBIT k 1
BITCOUNT k
TTL k
PTTL k
EXPIRETIME k
PEXPIRETIME k
TYPE k
DUMP k
OBJECT ENCODING k
OBJECT IDLETIME k
OBJECT FREQ k
OBJECT REFCOUNT k
TOUCH k alive
LLEN list
LRANGE list 0 -1
LINDEX list 0
ZCARD zset
ZRANGE zset 0 -1
ZSCORE zset a
HGETALL hash
HLEN hash
HGET hash f
SMEMBERS set
SCARD set
SISMEMBER set a
SINTER set
SRANDMEMBER set
XLEN stream
XRANGE stream - +
XREAD STREAMS stream 0
XINFO STREAM stream
PFCOUNT hll
SORT_RO list
KEYS *
@scan SCAN 0
@scan SCAN 0 TYPE list
RANDOMKEY
DBSIZE
MEMORY USAGE nokey
EVAL "return redis.call('get', 'k')" 0
EVAL "return redis.call('exists', 'k')" 0
EVAL_RO "return redis.call('ttl', 'k')" 0
INFO keyspace
@expired INFO stats
P DEBUG SET-ACTIVE-EXPIRE 1
~300
DBSIZE
KEYS *
@expired INFO stats
""",
    "the stream sees what is past its time here": """
P DEBUG SET-ACTIVE-EXPIRE 0
P EVAL "redis.call('set', KEYS[1], '1', 'PX', '1') local t = redis.call('time') local s = 0 for i = 1, 3000000 do s = s + i end return redis.call('incr', KEYS[1])" 1 k
GET k
P EVAL "redis.call('rpush', KEYS[1], 'x') redis.call('pexpire', KEYS[1], '1') local s = 0 for i = 1, 3000000 do s = s + i end redis.call('rpush', KEYS[1], 'y') return redis.call('persist', KEYS[1])" 1 list
LRANGE list 0 -1
TTL list
DBSIZE
P DEBUG SET-ACTIVE-EXPIRE 1
~200
DBSIZE
""",
    "a client may not write, in any way": """
P SET k v
SET k w
GETEX k
GETSET k w
SORT k
SORT k STORE d
BITFIELD k GET u8 0
BITFIELD k SET u8 0 1
BITFIELD_RO k GET u8 0
PFADD h a
PFCOUNT h
PFMERGE h h
GEORADIUS g 1 1 1 m
GEORADIUS_RO g 1 1 1 m
XREADGROUP GROUP g c STREAMS s >
XREAD STREAMS s 0
BLPOP l 0
BRPOPLPUSH a b 0
RESTORE k2 0 x
COPY k k2
MOVE k 1
SWAPDB 0 1
MIGRATE 127.0.0.1 1 k 0 1
FUNCTION LOAD "#!lua name=x"
FUNCTION FLUSH
FUNCTION LIST
SCRIPT LOAD "return 1"
SCRIPT FLUSH
FLUSHALL
FLUSHDB
EVAL "return redis.call('set', 'k', 'w')" 0
EVAL "return redis.pcall('set', 'k', 'w')" 0
EVAL "redis.call('get', 'k') return redis.call('pfcount', 'h')" 0
MULTI
SET k w
GET k
EXEC
MULTI
GET k
INCR k
DISCARD
PUBLISH c m
SPUBLISH c m
WAIT 0 0
SELECT 1
GET k
SELECT 0
GET k
DEBUG SLEEP 0
""",
    "PFCOUNT keeps what it has counted, also here": """
P PFADD h a b c
P PFADD i x y
PFCOUNT h
PFCOUNT h
PFCOUNT h i
GET h
""",
    "functions come by the stream, scripts do not": """
P FUNCTION LOAD "#!lua name=lib\\nredis.register_function('w', function(keys) return redis.call('set', keys[1], 'x') end)\\nredis.register_function{function_name='r', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}}"
P SCRIPT LOAD "return 'loaded'"
P SET k v
FCALL r 1 k
FCALL_RO r 1 k
FCALL w 1 k
FCALL_RO w 1 k
EVALSHA 26f3e5f5ba6a7c3c6f7f0a8a1e5d1a7f3b8e9d0c 0
FUNCTION STATS
P FUNCTION DELETE lib
FCALL r 1 k
""",
    "a writable replica: what its clients write stays there, and dies by itself": """
CONFIG SET replica-read-only no
P DEBUG SET-ACTIVE-EXPIRE 0
P SET theirs v PX 60
P SET theirs2 v PX 60
P RPUSH theirs3 a
P PEXPIRE theirs3 60
P SET long v PX 1000000
SET own v PX 60
SET own2 v
PEXPIRE own2 60
SETEX own3 1000 v
SET own4 v
GETEX own4 PX 60
COPY own own5
SET own6 v PX 60
RENAME own6 own7
SET own8 v PX 60
PERSIST own8
APPEND theirs x
GET theirs
~120
GET theirs
EXISTS theirs theirs2 theirs3 own own2 own3 own4 own5 own7 own8
~600
DBSIZE
@tracked INFO stats
APPEND theirs2 new
GET theirs2
TTL theirs2
DEL theirs3
DEL theirs3
LPUSH theirs b
LRANGE theirs 0 -1
EXPIRE own8 -1
EXISTS own8
~300
DBSIZE
P DEBUG SET-ACTIVE-EXPIRE 1
CONFIG SET replica-read-only yes
""",
    "a writable replica: expiry in the past is no deletion of its own": """
CONFIG SET replica-read-only no
SET k v
EXPIREAT k 1
SET k2 v
PEXPIRE k2 -5
SET k3 v
GETEX k3 PXAT 1
SET k4 v EXAT 1
EXISTS k k2 k3 k4
~500
DBSIZE
CONFIG SET replica-read-only yes
""",
    "commands of every kind arrive": """
P SELECT 3
P SET k v
P SELECT 0
P MSET a 1 b 2
P INCRBYFLOAT a 1.5
P HINCRBYFLOAT h f 1.25
P SPOP none
P SADD s a b c d e
P SPOP s 2
P ZADD z 1 a 2 b
P BZPOPMAX z 1
P XADD st * f v
P XGROUP CREATE st g 0
P XREADGROUP GROUP g c STREAMS st >
P MULTI
P SET m 1
P PUBLISH c m
P INCR m
P EXEC
P EVAL "redis.call('set', 'e', '1') return redis.call('rpush', 'l', 'x')" 0
P GEOADD geo 13.3 38.1 p
P SETRANGE r 5 x
P SET x v EX 100 GET
P RESTORE dup 0 "\\x00\\x01x\\x0b\\x00\\x00" REPLACE
P SWAPDB 2 3
P LPUSH q 1 2 3
P LMOVE q q2 LEFT RIGHT
P FLUSHDB ASYNC
P SET after v
DBSIZE
INFO keyspace
DEBUG DIGEST
SELECT 2
GET k
""",
}


class Line:
    """The three servers, and a client of each; the replicas' speak one protocol."""

    def __init__(self, primary, theirs, ours, proto=2):
        self.primary, self.replicas, self.proto = primary, (theirs, ours), proto
        self.p = primary.client(10.0)
        self.pair = [self.connect(i) for i in (0, 1)]
        self.probes = [server.client(10.0) for server in self.replicas]

    def connect(self, i):
        client = self.replicas[i].client(10.0)
        if self.proto == 3:
            client.call("HELLO", "3")
        return client

    def again(self):
        for i in (0, 1):
            self.pair[i].close()
            self.pair[i] = self.connect(i)

    def settle(self, tries=2000):
        """Until both have executed all that the primary has written."""
        for _ in range(tries):
            want = field(self.p, "replication", "master_repl_offset")
            if all(field(c, "replication", "master_link_status") == "up" and field(c, "replication", "slave_repl_offset") == want
                   for c in self.probes):
                return True
            time.sleep(0.005)
        return False

    def both(self, *words):
        replies = []
        for i in (0, 1):
            try:
                replies.append(self.pair[i].call(*words))
            except (Closed, Silent) as what:
                replies.append(type(what).__name__)
                self.pair[i] = self.connect(i)
        return replies


def field(client, section, name):
    for line in client.call("INFO", section).text().decode().splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1]
    return None


def stat_of(name):
    def only(node):
        found = re.search(name.encode() + rb":\d+", node.raw())
        return found.group() if found else b"nothing"
    return only


def raw_of(directive, reply):
    if isinstance(reply, str):
        return reply.encode()
    own = {"expired": stat_of("expired_keys"), "tracked": stat_of("slave_expires_tracked_keys")}
    if directive in own:
        return own[directive](reply)
    raw = (getattr(normal, directive)(reply) if directive else reply).raw()
    # The average is a sample of when it was looked for.
    return re.sub(rb"avg_ttl=\d+", b"avg_ttl=", raw) if b"avg_ttl=" in raw else raw


def words_of(line):
    """As redis-cli reads them: with escapes inside of double quotes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escapedquotes, lexer.escape = True, "", "", ""
    return [w.encode().decode("unicode_escape").encode("latin-1") if "\\" in w else w.encode() for w in lexer]


def hold(line, text):
    """The differences of a dialogue."""
    wrong, settled = [], False
    for step in text.strip().splitlines():
        if step.startswith("P "):
            line.p.call(*words_of(step[2:]))
            settled = False
        elif step.startswith("~"):
            time.sleep(int(step[1:]) / 1000)
            settled = False
        else:
            directive = step.split(" ", 1)[0][1:] if step.startswith("@") else ""
            words = words_of(step.split(" ", 1)[1] if directive else step)
            if not settled and not line.settle():
                return wrong + ["the replicas do not catch up, before: " + step]
            settled = True
            theirs, ours = [raw_of(directive, r) for r in line.both(*words)]
            if theirs != ours:
                wrong.append("%s: %r there, %r here" % (step, theirs[:400], ours[:400]))
    return wrong


def fresh(line):
    line.again()
    for words in (["DISCARD"], ["SELECT", "0"], ["FLUSHALL"], ["FUNCTION", "FLUSH"], ["DEBUG", "SET-ACTIVE-EXPIRE", "1"]):
        line.p.call(*words)
    line.settle()
    for words in (["CONFIG", "SET", "replica-read-only", "no"], ["FLUSHALL"], ["SCRIPT", "FLUSH"], ["CONFIG", "SET", "replica-read-only", "yes"],
                  ["CONFIG", "RESETSTAT"]):
        line.both(*words)


def section_dialogues(tap, line, part):
    for claim, text in DIALOGUES.items():
        if part in claim:
            fresh(line)
            wrong = hold(line, text)
            tap.ok(not wrong, "RESP%d: %s" % (line.proto, claim), wrong[:SHOWN])


# --- who hears of what the primary does ---------------------------------------------------------------------------------------------------

# Words before which a client of each replica says them, then what the primary says, and how many replies or pushes it hears of it.
HEARD = [
    ("XREAD waits for an entry", [["XREAD", "BLOCK", "0", "STREAMS", "s", "$"]], [["XADD", "s", "1-1", "f", "v"]], 0, 1),
    ("a subscriber hears what is published at the primary", [["SUBSCRIBE", "c"]], [["PUBLISH", "c", "hello"]], 1, 1),
    ("a sharded one, too", [["SSUBSCRIBE", "c"]], [["SPUBLISH", "c", "hello"]], 1, 1),
    ("what is published inside of MULTI", [["SUBSCRIBE", "c"]], [["MULTI"], ["SET", "a", "1"], ["PUBLISH", "c", "m"], ["EXEC"]], 1, 1),
    ("keyspace events of what the stream does", [["PSUBSCRIBE", "__key*__:*"]],
     [["SET", "k", "v"], ["EXPIRE", "k", "100"], ["RENAME", "k", "k2"], ["DEL", "k2"]], 1, 10),
    ("a watched key that the stream changes", [["SET", "k", "v"], ["WATCH", "k"]], [["SET", "k", "w"]], 2, 0),
]


def hear(client, count):
    said = []
    for _ in range(count):
        try:
            said.append(client.read().raw())
        except (Closed, Silent) as what:
            said.append(type(what).__name__.encode())
            break
    return said


def section_heard(tap, line):
    for claim, before, primary, replies, heard in HEARD:
        fresh(line)
        line.both("CONFIG", "SET", "notify-keyspace-events", "KEA")
        clients = [line.connect(i) for i in (0, 1)]
        told = [[], []]
        for i, client in enumerate(clients):
            client.timeout = 3.0
            for words in before:
                client.send(b" ".join(w.encode() for w in words) + b"\r\n")
            told[i] += hear(client, replies)
        line.settle()
        time.sleep(0.02)
        for words in primary:
            line.p.call(*words)
        line.settle()
        for i, client in enumerate(clients):
            told[i] += hear(client, heard)
            if "watched" in claim:
                told[i] += [client.call(w).raw() for w in ("MULTI", "PING", "EXEC")]
            client.close()
        tap.ok(told[0] == told[1] and b"Silent" not in told[0], "RESP%d: %s" % (line.proto, claim), told)
        line.both("CONFIG", "SET", "notify-keyspace-events", "")


def section_tracking(tap, line):
    """RESP3: who has read a key hears that the stream changed it."""
    fresh(line)
    told = []
    line.p.call("SET", "k", "v")
    line.settle()
    for i in (0, 1):
        client = line.connect(i)
        client.timeout = 3.0
        client.call("HELLO", "3")
        told.append([client.call("CLIENT", "TRACKING", "ON").raw(), client.call("GET", "k").raw()])
        line.p.call("SET", "k", "v")
        line.settle()
        told[i] += hear(client, 1)
        client.close()
    tap.ok(told[0] == told[1], "tracking: what the stream changes is invalidated", told)


def section_monitor(tap, line):
    fresh(line)
    clients = [line.connect(i) for i in (0, 1)]
    for client in clients:
        client.timeout = 1.0
        client.call("MONITOR")
    for words in (["SET", "k", "v"], ["MULTI"], ["INCR", "n"], ["SADD", "s", "a"], ["EXEC"], ["EVAL", "return redis.call('set', 'e', '1')", "0"],
                  ["PUBLISH", "c", "m"]):
        line.p.call(*words)
    line.settle()
    told = []
    for client in clients:
        shown = []
        while True:
            try:
                said = client.read().raw()
            except (Closed, Silent):
                break
            if b"INFO" not in said and b"info" not in said:
                shown.append(re.sub(rb"^\+[\d.]+ \[(\d+) [^\]]*\]", rb"\1", said))
        told.append(shown)
        client.close()
    tap.ok(told[0] == told[1] and len(told[0]) >= 5, "MONITOR shows what the stream brings", told)


def shown_client(reply):
    """Of a line of CLIENT LIST what must be alike."""
    text = reply.text().decode()
    return [re.findall(r"(?:^| )(name|flags|db|sub|psub|multi|user|redir|resp)=(\S*)", row) for row in text.splitlines()]


def section_clients(tap, line):
    fresh(line)
    line.p.call("SET", "k", "v")
    line.settle()
    listed = [shown_client(r) for r in line.both("CLIENT", "LIST", "TYPE", "master")]
    tap.ok(listed[0] == listed[1] and len(listed[0]) == 1, "CLIENT LIST TYPE master", listed)
    for words in (["CLIENT", "LIST", "TYPE", "replica"], ["CLIENT", "KILL", "TYPE", "replica"], ["CLIENT", "KILL", "TYPE", "pubsub"]):
        theirs, ours = [r.raw() for r in line.both(*words)]
        tap.ok(theirs == ours, " ".join(words), [theirs, ours])
    before = field(line.p, "stats", "sync_full")
    theirs, ours = [r.raw() for r in line.both("CLIENT", "KILL", "TYPE", "master")]
    tap.ok(theirs == ours == b":1\r\n", "CLIENT KILL TYPE master", [theirs, ours])
    line.p.call("SET", "k", "w")
    tap.ok(line.settle(), "and both are back")
    tap.ok(field(line.p, "stats", "sync_full") == before, "without another full synchronization")
    theirs, ours = [r.raw() for r in line.both("GET", "k")]
    tap.ok(theirs == ours == b"$1\r\nw\r\n", "with what was written meanwhile", [theirs, ours])
    theirs, ours = line.both("INFO", "replication")
    same = {}
    for i, reply in enumerate((theirs, ours)):
        for row in reply.text().decode().splitlines():
            name, _, value = row.partition(":")
            if name not in ("master_last_io_seconds_ago", "repl_backlog_histlen", "repl_backlog_first_byte_offset"):
                same.setdefault(name, ["", ""])[i] = value
    differ = {name: both for name, both in same.items() if both[0] != both[1]}
    tap.ok(not differ, "INFO replication is the same while the link is up", [differ])


def section_blocked(tap, line):
    """A client of a writable replica waits for a list; what it takes is gone there, and there alone."""
    fresh(line)
    line.both("CONFIG", "SET", "replica-read-only", "no")
    told = [[], []]
    clients = [line.connect(i) for i in (0, 1)]
    for client in clients:
        client.timeout = 3.0
        client.send(b"BLPOP l 0\r\n")
    time.sleep(0.1)
    line.p.call("RPUSH", "l", "a", "b")
    line.settle()
    for i, client in enumerate(clients):
        told[i] += hear(client, 1)
        client.close()
    told = [t + [r.raw()] for t, r in zip(told, line.both("LRANGE", "l", "0", "-1"))]
    tap.ok(told[0] == told[1], "a client that waits at a writable replica takes what the stream brings", told)
    line.both("CONFIG", "SET", "replica-read-only", "yes")


def section_busy(tap, line):
    """While a script runs for too long the stream waits."""
    fresh(line)
    line.both("CONFIG", "SET", "busy-reply-threshold", "50")
    line.p.call("SET", "k", "v")
    line.settle()
    told = [[], []]
    for i in (0, 1):
        runs, other = line.connect(i), line.connect(i)
        runs.send(b'EVAL "while true do end" 0\r\n')
        for _ in range(300):
            if other.call("GET", "k").raw().startswith(b"-BUSY"):
                break
            time.sleep(0.01)
        line.p.call("SET", "k", str(i))
        line.p.call("SET", "new%d" % i, "v")
        time.sleep(0.2)
        told[i] += [other.call("GET", "k").raw(), other.call("SCRIPT", "KILL").raw(), re.sub(rb"[0-9a-f]{40}|\d+", b"", runs.read().raw())]
        line.settle()
        told[i] += [other.call("MGET", "k", "new%d" % i).raw() == b"*2\r\n$1\r\n%d\r\n$1\r\nv\r\n" % i]
        runs.close()
        other.close()
    tap.ok(told[0] == told[1] and told[0][-1], "while a script is busy the stream waits, and goes on behind it", told)
    line.both("CONFIG", "SET", "busy-reply-threshold", "5000")


def section_paused(tap, line):
    """CLIENT PAUSE holds the stream, too, and keeps nothing of it."""
    fresh(line)
    told = []
    line.both("CLIENT", "PAUSE", "400", "WRITE")
    line.p.call("SET", "k", "v")
    time.sleep(0.1)
    told.append([r.raw() for r in line.both("GET", "k")])
    time.sleep(0.5)
    line.settle()
    told.append([r.raw() for r in line.both("GET", "k")])
    tap.ok(all(t[0] == t[1] for t in told) and told[0] != told[1], "CLIENT PAUSE holds the stream", told)


# --- without the primary ------------------------------------------------------------------------------------------------------------------

def section_gone(tap, line):
    """The primary stops, and is there again."""
    fresh(line)
    line.p.call("SET", "k", "v")
    line.settle()
    for stale in ("no", "yes"):
        line.both("CONFIG", "SET", "replica-serve-stale-data", stale)
        line.primary.process.terminate()
        line.primary.process.wait()
        for i in (0, 1):
            for _ in range(500):
                if field(line.probes[i], "replication", "master_link_status") == "down":
                    break
                time.sleep(0.01)
        asked = [["GET", "k"], ["PING"], ["SET", "k", "w"], ["EXISTS", "k"], ["CONFIG", "GET", "slave-serve-stale-data"], ["DBSIZE"],
                 ["EVAL", "return redis.call('get', 'k')", "0"], ["LASTSAVE", "x"], ["WAIT", "0", "0"]]
        differ = []
        for words in asked:
            theirs, ours = [r.raw() if not isinstance(r, str) else r for r in line.both(*words)]
            if theirs != ours:
                differ.append((words, theirs, ours))
        tap.ok(not differ, "without the primary, stale data %s" % stale, differ)
        line.primary.start()
        line.p = line.primary.client(10.0)
        line.p.call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        line.p.call("SET", "new", "v")
        tap.ok(line.settle(), "and with it again", [line.replicas[1].log_tail(8)])
        theirs, ours = [r.raw() for r in line.both("MGET", "k", "new")]
        tap.ok(theirs == ours, "with its data", [theirs, ours])
        line.p.call("SET", "k", "v")


# --- of ours ------------------------------------------------------------------------------------------------------------------------------

def section_of_ours(tap, theirs, ours, primary):
    """Both follow one of ours."""
    for server in (theirs, ours):
        server.client().call("REPLICAOF", "127.0.0.1", str(primary.port))
    line = Line(primary, theirs, ours)
    tap.ok(line.settle(), "both follow one of ours", ours.log_tail(8))
    line.both("CONFIG", "RESETSTAT")
    said = line.p.call("DEBUG", "REPLICATE", "SET", "told", "v").raw()
    line.p.call("SADD", "s", *[str(i) for i in range(4000)])
    for count in ("1023", "1024", "1025"):
        line.p.call("SPOP", "s", count)
    line.settle()
    there, here = [r.raw() for r in line.both("GET", "told")]
    tap.ok((said, there, here, line.p.call("GET", "told").raw()) == (b"+OK\r\n", b"$1\r\nv\r\n", b"$1\r\nv\r\n", b"$-1\r\n"),
           "DEBUG REPLICATE is for replicas alone", [said, there, here])
    calls = [field(client, "commandstats", "cmdstat_srem").split(",")[0] for client in line.probes]
    sizes = [r.raw() for r in line.both("SCARD", "s") + [line.p.call("SCARD", "s")]]
    tap.ok(calls == ["calls=4", "calls=4"] and sizes == [b":928\r\n"] * 3, "SPOP of many is SREM of up to 1,024 members", [calls, sizes])


# --- at random ----------------------------------------------------------------------------------------------------------------------------

def section_random(tap, line):
    """What grammar.py writes is said to the primary, and then the same or another command to both replicas."""
    fresh(line)
    grammar, queue, wrong = Grammar(random.Random(SEED)), Queue(), []
    for n in range(COUNT):
        rule, words = grammar.command()
        try:
            line.p.call(*words)
        except (Closed, Silent):
            line.p = line.primary.client(10.0)
        if n % 3:
            continue
        rule, asked = grammar.command() if n % 2 else (rule, words)
        line.settle()
        if is_undefined(asked) or (versions.reason(asked) if versions.OLDER else versions.reason_of_ours(asked)):
            continue
        theirs, ours = [compat.CLOSED if isinstance(r, str) else r for r in line.both(*asked)]
        if not queue.agree((rule, asked), theirs, ours):
            wrong.append("%r: %r there, %r here" % (asked, raw_of("", theirs)[:300], raw_of("", ours)[:300]))
    line.settle()
    digests = [c.call("DEBUG", "DIGEST").raw() for c in [line.p] + line.pair]
    tap.ok(len(set(digests)) == 1, "after %d random commands all three have the same digest (seed %d)" % (COUNT, SEED), digests)
    tap.ok(not wrong, "and the replicas answer alike", wrong[:SHOWN])


def main():
    tap = Tap()
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if not os.access(REDIS, os.X_OK):
        skip_all("no redis-server to compare with")
    with Server(REDIS, ["--repl-diskless-sync-delay", "0"], tcp=True) as primary:
        options = ["--replicaof", "127.0.0.1 %d" % primary.port]
        with Server(REDIS, options) as theirs, Server(OURS, options) as ours:
            line = Line(primary, theirs, ours)
            tap.ok(line.settle(), "both follow the primary", ours.log_tail(8))
            for proto in (2, 3):
                line = Line(primary, theirs, ours, proto)
                section_dialogues(tap, line, part)
                if not part:
                    section_heard(tap, line)
            if not part:
                line = Line(primary, theirs, ours)
                section_tracking(tap, line)
                section_monitor(tap, line)
                section_clients(tap, line)
                section_blocked(tap, line)
                section_busy(tap, line)
                section_paused(tap, line)
                section_random(tap, line)
                section_gone(tap, line)
                with Server(OURS, ["--repl-diskless-sync-delay", "0"], tcp=True) as other:
                    section_of_ours(tap, theirs, ours, other)
            tap.ok(ours.alive(), "ours is there at the end")
    tap.done()


if __name__ == "__main__":
    main()

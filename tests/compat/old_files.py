#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Files of every version of RDB, made by hand of the format's description, since no server here writes the old ones any more:
loaded by our server and compared key by key, and by redis-server, with the same digest; TAP on stdout."""
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import rdb_writer as w  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from older import our_server  # noqa: E402
import versions  # noqa: E402

SOON_S = 1900000000
SOON_MS = SOON_S * 1000 + 7
PAST_MS = 1000000000000
NUMBERS = [0, 12, 13, -1, 127, -128, 128, 32767, -32768, 32768, 8388607, -8388608, 8388608, (1 << 31) - 1, -(1 << 31), 1 << 31, -(1 << 63), (1 << 63) - 1]
WORDS = [b"", b"a", b"w" * 63, b"x" * 64, b"y" * 253, b"z" * 254, b"n" * 20000]
LONG = b"abcabcabc-the same again and again-" * 40


def bulk(e):
    return b"%d" % e if isinstance(e, int) else e


def flat(pairs):
    return [x for pair in pairs for x in pair]


class Files:
    """What a version has: parts of the file, and what a server that loaded it must hold: key -> (type, value, expiry)."""

    def __init__(self):
        self.parts, self.keys, self.serial = [], {}, 0

    def add(self, kind, name, value, held, before=b"", expires=-1):
        key = b"%02d:%s" % (self.serial, name)
        self.serial += 1
        self.parts.append(before + w.pair(kind, key, value))
        if held is not None:
            self.keys[key] = held + (expires,)


def text(value):
    return ("string", value)


def version_1(f):
    for bits in (6, 14, 32):
        f.add(0, b"short %d" % bits, w.string(b"v" * 50, bits), text(b"v" * 50))
    f.add(0, b"long", w.string(b"v" * 70000), text(b"v" * 70000))
    f.add(0, b"empty", w.string(b""), text(b""))
    for n in (0, -1, 127, -128, 128, -32768, 32768, -(1 << 31), (1 << 31) - 1):
        f.add(0, b"int %d" % n, w.integer(n), text(b"%d" % n))
    f.add(0, b"lzf", w.lzf(LONG), text(LONG))
    f.add(0, b"lzf of one run", w.lzf(b"q" * 5000), text(b"q" * 5000))
    elements = [w.string(b"one"), w.integer(-70000), w.lzf(LONG), w.string(b"")]
    plain = [b"one", b"-70000", LONG, b""]
    f.add(1, b"list", w.many(elements), ("list", plain))
    f.add(2, b"set", w.many(elements), ("set", set(plain)))
    f.add(2, b"set of numbers", w.many([w.integer(n) for n in (5, -6, 70000)]), ("set", {b"5", b"-6", b"70000"}))
    f.add(2, b"large set", w.many([w.integer(n) for n in range(1000)]), ("set", {b"%d" % n for n in range(1000)}))
    scores = [(b"a", b"3"), (b"b", b"-2.5"), (b"c", b"inf"), (b"d", b"-inf"), (b"e", b"1e+22"), (b"f", b"0.25")]
    f.add(3, b"zset", w.many([w.string(m) + w.score_text(s) for m, s in scores]), ("zset", {m: float(s) for m, s in scores}))
    large = {b"m%d" % i: float(i % 7) for i in range(300)}
    f.add(3, b"large zset", w.many([w.string(m) + w.score_text(b"%d" % s) for m, s in large.items()]), ("zset", large))
    f.add(4, b"hash", w.many([w.string(b"f") + w.integer(7), w.lzf(LONG) + w.string(b"")]), ("hash", {b"f": b"7", LONG: b""}))
    f.add(4, b"large hash", w.many([w.integer(i) + w.string(b"v") for i in range(700)]), ("hash", {b"%d" % i: b"v" for i in range(700)}))
    f.add(0, b"expires", w.string(b"v"), text(b"v"), w.expire_s(SOON_S), SOON_S * 1000)
    f.add(0, b"expired", w.string(b"v"), None, w.expire_s(PAST_MS // 1000))


def version_2(f):
    fields = [(b"f%d" % i, v) for i, v in enumerate(WORDS[:6])]
    f.add(9, b"zipmap", w.string(w.zipmap(fields)), ("hash", dict(fields)))
    f.add(9, b"zipmap with spare bytes", w.string(w.zipmap(fields[:2], spare=3)), ("hash", dict(fields[:2])))
    f.add(9, b"zipmap with long field", w.string(w.zipmap([(b"g" * 300, b"h" * 300)], count=False)), ("hash", {b"g" * 300: b"h" * 300}))
    fields = [(b"%d" % i, b"%d" % -i) for i in range(300)]
    f.add(9, b"zipmap of 300, compressed", w.lzf(w.zipmap(fields)), ("hash", dict(fields)))
    for bits in (0, 14, 32):
        f.add(10, b"ziplist %d" % bits, w.string(w.ziplist(WORDS + NUMBERS, bits)), ("list", [bulk(e) for e in WORDS + NUMBERS]))
    f.add(10, b"ziplist compressed", w.lzf(w.ziplist([b"again and again"] * 90)), ("list", [b"again and again"] * 90))
    for size in (2, 4, 8):
        numbers = [-(1 << size * 8 - 1), -1, 0, 5, (1 << size * 8 - 1) - 1]
        f.add(11, b"intset %d" % size, w.string(w.intset(numbers, size)), ("set", {b"%d" % n for n in numbers}))
    f.add(11, b"intset of 600", w.string(w.intset(range(600), 2)), ("set", {b"%d" % n for n in range(600)}))
    f.add(11, b"intset wider than needed", w.string(w.intset([1, 2, 3], 8)), ("set", {b"1", b"2", b"3"}))
    scored = [(b"low", b"-inf"), (b"a", -3), (b"b", b"0.5"), (b"c", 5), (b"d", 1 << 40), (b"top", b"inf")]
    f.add(12, b"zset ziplist", w.string(w.ziplist(flat(scored))), ("zset", {m: float(bulk(s)) for m, s in scored}))
    scored = [(b"member %03d" % i, i) for i in range(200)]
    f.add(12, b"zset ziplist of 200", w.string(w.ziplist(flat(scored))), ("zset", {m: float(s) for m, s in scored}))


def version_3(f):
    f.add(0, b"expires to the millisecond", w.string(b"v"), text(b"v"), w.expire_ms(SOON_MS), SOON_MS)
    f.add(0, b"expired before", w.string(b"v"), None, w.expire_ms(PAST_MS))


def version_4(f):
    pairs = [(b"field", 5), (17, b"v" * 70), (b"", b"")]
    f.add(13, b"hash ziplist", w.string(w.ziplist(flat(pairs))), ("hash", {bulk(a): bulk(b) for a, b in pairs}))
    pairs = [(b"f%d" % i, i) for i in range(600)]
    f.add(13, b"hash ziplist of 600", w.string(w.ziplist(flat(pairs))), ("hash", {a: bulk(b) for a, b in pairs}))


def version_7(f):
    nodes = [[b"a", 1, -5000000000], [b"z" * 9000], [7] * 50]
    f.add(14, b"quicklist", w.many([w.string(w.ziplist(n)) for n in nodes]), ("list", [bulk(e) for n in nodes for e in n]))
    f.add(14, b"quicklist with compressed nodes", w.many([w.lzf(w.ziplist([b"compress me"] * 80)), w.string(w.ziplist([b"end"]))]),
          ("list", [b"compress me"] * 80 + [b"end"]))
    f.add(14, b"quicklist with an empty node", w.many([w.string(w.ziplist([])), w.string(w.ziplist([b"only"]))]), ("list", [b"only"]))


def version_8(f):
    scored = [(b"a", 0.5), (b"b", float("inf")), (b"c", float("-inf")), (b"d", 1e300), (b"e", -7.0)]
    if versions.OLDER: # DEBUG DIGEST there reads scores as it prints them
        scored[3] = (b"d", 1e22)
    f.add(5, b"zset of doubles", w.many([w.string(m) + w.score(s) for m, s in scored]), ("zset", dict(scored)))
    f.add(0, b"length of 64 bits", w.string(b"v", 64), text(b"v"))


STREAM_NODES = [w.stream_node(5, 1, [(5, 1, 0, [(b"f", b"v"), (b"g", 9)]), (5, 2, 1, [(b"f", b"w"), (b"g", -9)]), (6, 0, 0, [(b"own", b"x" * 100)])]),
                w.stream_node(1 << 41, 0, [(1 << 41, 0, 0, [(b"f", 70000)])])]
STREAM_HELD = ("stream", [(b"5-1", [b"f", b"v", b"g", b"9"]), (b"6-0", [b"own", b"x" * 100]), (b"%d-0" % (1 << 41), [b"f", b"70000"])])
GROUPS = [(b"g", (5, 2), [(5, 1), (5, 2)], [(b"alice", [(5, 2)]), (b"bob", [(5, 1)]), (b"idle", [])]), (b"none", (0, 0), [], [])]


def a_stream(kind, groups=GROUPS):
    return w.stream(kind, STREAM_NODES, 3, (1 << 41, 5), groups)


def version_9(f):
    f.add(15, b"stream", a_stream(15), STREAM_HELD)
    f.add(15, b"stream without entries", w.stream(15, [], 0, (9, 9), []), ("stream", []))
    f.add(0, b"idle", w.string(b"v"), text(b"v"), w.idle(5000))
    f.add(0, b"counted", w.string(b"v"), text(b"v"), w.freq(77))
    f.add(0, b"idle and expires", w.string(b"v"), text(b"v"), w.expire_ms(SOON_MS) + w.idle(70000), SOON_MS)


def version_10(f):
    pairs = [(b"field", 5), (17, b"v" * 70), (b"", b""), (b"n" * 5000, -4097)]
    f.add(16, b"hash listpack", w.string(w.listpack(flat(pairs))), ("hash", {bulk(a): bulk(b) for a, b in pairs}))
    f.add(16, b"hash listpack of 600", w.string(w.listpack(flat((i, i) for i in range(600)))), ("hash", {b"%d" % i: b"%d" % i for i in range(600)}))
    scored = [(b"low", b"-inf"), (b"a", -3), (b"b", b"0.5"), (7, 7), (b"top", b"inf")]
    f.add(17, b"zset listpack", w.string(w.listpack(flat(scored))), ("zset", {bulk(m): float(bulk(s)) for m, s in scored}))
    nodes = [(2, w.listpack(WORDS[:6] + NUMBERS)), (1, b"p" * 9000), (2, w.listpack([b"end"]))]
    f.add(18, b"quicklist 2", w.many([w.length(kind) + w.string(n) for kind, n in nodes]),
          ("list", [bulk(e) for e in WORDS[:6] + NUMBERS] + [b"p" * 9000, b"end"]))
    f.add(19, b"stream 2", a_stream(19), STREAM_HELD)


def version_11(f):
    elements = [b"a", 5, -70000, b"long" * 30]
    f.add(20, b"set listpack", w.string(w.listpack(elements)), ("set", {bulk(e) for e in elements}))
    f.add(21, b"stream 3", a_stream(21), STREAM_HELD)


ADDED = {1: version_1, 2: version_2, 3: version_3, 4: version_4, 7: version_7, 8: version_8, 9: version_9, 10: version_10, 11: version_11}


def make(version):
    f = Files()
    head = []
    if version >= 7:
        head += [w.aux(b"redis-ver", b"made by hand"), w.aux(b"redis-bits", b"64"), b"\xfa" + w.string(b"ctime") + w.integer(1500000000), w.aux(b"unheard-of", b"\x00")]
    if version >= 10:
        head.append(w.library(b"#!lua name=mylib\nredis.register_function('f', function() return 1 end)"))
    for number, add in ADDED.items():
        if number <= version:
            add(f)
    head.append(w.select(0))
    if version >= 7:
        head.append(w.resize(len(f.parts), 3))
    other = [w.select(3), w.pair(0, b"elsewhere", w.string(b"v"))]
    return head + f.parts + other, f.keys


def held(client, key, streams):
    """As Files has it: type, value, expiry."""
    kind = client.call("TYPE", key).text().decode()
    def items(*words):
        return [n.text() for n in client.call(*words).kids]
    value = None
    if kind == "string":
        value = client.call("GET", key).text()
    elif kind == "list":
        value = items("LRANGE", key, "0", "-1")
    elif kind == "set":
        value = set(items("SMEMBERS", key))
    elif kind == "hash":
        flat_items = items("HGETALL", key)
        value = dict(zip(flat_items[::2], flat_items[1::2]))
    elif kind == "zset":
        flat_items = items("ZRANGE", key, "0", "-1", "WITHSCORES")
        value = {m: float(s) for m, s in zip(flat_items[::2], flat_items[1::2])}
    elif kind == "stream" and streams:
        value = [(n.kids[0].text(), [x.text() for x in n.kids[1].kids]) for n in client.call("XRANGE", key, "-", "+").kids]
    return kind, value, int(client.call("PEXPIRETIME", key).text())


def load(server, client, data):
    with open(os.path.join(server.dir, "dump.rdb"), "wb") as out:
        out.write(data)
    return client.call("DEBUG", "RELOAD", "NOSAVE").text() == b"OK"


def compare(client, keys, streams):
    """What is not as it should be."""
    wrong = []
    there = {n.text() for n in client.call("KEYS", "*").kids}
    if there != set(keys):
        wrong.append("keys: %s" % sorted(there ^ set(keys)))
    for key in there & set(keys):
        found, want = held(client, key, streams), keys[key]
        if not streams and want[0] == "stream":
            want = ("stream", None, want[2])
        if found != want:
            wrong.append("%s: %.200s instead of %.200s" % (key.decode(), found, want))
    return wrong


def digest(client):
    return client.call("DEBUG", "DIGEST").text()


def encodings(client, keys):
    """But for lists, which 7.2 has in listpacks, too, and sets."""
    out = {k: client.call("OBJECT", "ENCODING", k).text() for k in sorted(keys)}
    return {k: e for k, e in out.items() if not versions.OLDER or e not in (b"quicklist", b"listpack") or keys[k][0] not in ("list", "set")}


def every_version(tap, servers, clients):
    theirs, ours = clients
    known = 10 if versions.OLDER else 11
    for version in range(1, 12):
        parts, keys = make(version)
        data = w.file(version, parts)
        loaded = load(servers[1], ours, data)
        wrong = compare(ours, keys, False) if loaded else servers[1].log_tail(3)
        tap.ok(loaded and not wrong and ours.call("SELECT", "3").text() == b"OK" and ours.call("GET", "elsewhere").text() == b"v",
               "version %d: ours loads it, key by key" % version, wrong)
        ours.call("SELECT", "0")
        if version > known:
            continue  # it is older than that
        loaded = load(servers[0], theirs, data)
        wrong = compare(theirs, keys, True) if loaded else servers[0].log_tail(3)
        same = digest(theirs) == digest(ours)
        tap.ok(loaded and not wrong and same, "version %d: redis-server too, with the same digest" % version, wrong)
        a, b = encodings(theirs, keys), encodings(ours, keys)
        tap.ok(a == b, "version %d: and the same encodings" % version, ["%s: %s, ours %s" % (k, a.get(k), b.get(k)) for k in keys if a.get(k) != b.get(k)])
        before = digest(ours)
        tap.ok(ours.call("DEBUG", "RELOAD").text() == b"OK" and digest(ours) == before, "version %d: and is written anew as the same" % version)


def new_streams_for_old(tap, servers, clients):
    """Type 21 under version 10 goes without the times of activity."""
    theirs, ours = clients
    keys = {b"s": STREAM_HELD + (-1,)}
    ours.call("FLUSHALL")
    body = bytes([21]) + a_stream(21) + b"\x0b\x00"
    said = ours.call("RESTORE", "s", "0", body + w.crc64(body).to_bytes(8, "little")).text()
    tap.ok(said == b"OK" and ours.call("DUMP", "s").text()[:1] == b"\x13", "a stream of 7.2 is dumped for 7.0 as of type 19")
    ours.call("SAVE")
    with open(os.path.join(servers[1].dir, "dump.rdb"), "rb") as data:
        loaded = load(servers[0], theirs, data.read())
    tap.ok(loaded and not compare(theirs, keys, True) and digest(theirs) == digest(ours), "and saved for it, which loads it")
    groups = [n.kids for n in theirs.call("XINFO", "GROUPS", "s").kids]
    tap.ok(len(groups) == 2 and [n.text() for n in theirs.call("XPENDING", "s", "g").kids[:1]] == [b"2"], "with its groups and what is pending")


def checksums(tap, servers, ours):
    parts = [w.select(0), w.pair(0, b"k", w.string(b"v"))]
    for version in (4, 5, 9, 10):
        tap.ok(load(servers[1], ours, w.file(version, parts, 0)), "version %d without a checksum is loaded" % version)
        if version >= 5:
            tap.ok(not load(servers[1], ours, w.file(version, parts, 12345)), "version %d with a wrong one is not" % version)


def sanitized(tap, servers, ours):
    """What only some look for: a field twice."""
    values = [(16, w.string(w.listpack([b"f", 1, b"f", 2]))), (17, w.string(w.listpack([b"m", 1, b"m", 2]))), (20, w.string(w.listpack([b"m", b"m"])))]
    for how, restored, loaded in (("no", True, True), ("clients", False, True), ("yes", False, False)):
        ours.call("CONFIG", "SET", "sanitize-dump-payload", how)
        for kind, value in values:
            body = bytes([kind]) + value + b"\x0b\x00"
            reply = ours.call("RESTORE", "k", "0", body + w.crc64(body).to_bytes(8, "little"), "REPLACE").text()
            file = load(servers[1], ours, w.file(11, [w.select(0), w.pair(kind, b"k", value)]))
            tap.ok((reply == b"OK") == restored and file == loaded and (restored or b"Bad data format" in reply),
                   "sanitize-dump-payload %s, type %d: RESTORE %s it, a file's %s" % (how, kind, "takes" if restored else "refuses", "is taken" if loaded else "is not"))
        harmful = bytes([16]) + w.string(w.listpack([b"f", 1])[:-2] + b"\xff") + b"\x0b\x00"
        reply = ours.call("RESTORE", "k", "0", harmful + w.crc64(harmful).to_bytes(8, "little"), "REPLACE").text()
        tap.ok(b"Bad data format" in reply, "sanitize-dump-payload %s: what could do harm is refused" % how)
    ours.call("CONFIG", "SET", "sanitize-dump-payload", "no")


def use(tap, servers, ours):
    parts = [w.select(0), w.idle(5000) + w.pair(0, b"idle", w.string(b"v")), w.pair(0, b"used", w.string(b"v"))]
    ours.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    load(servers[1], ours, w.file(9, parts))
    tap.ok(5000 <= int(ours.call("OBJECT", "IDLETIME", "idle").text()) < 5100 and int(ours.call("OBJECT", "IDLETIME", "used").text()) < 100, "LRU: a key is as idle as it was")
    ours.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    load(servers[1], ours, w.file(9, [w.select(0), w.freq(77) + w.pair(0, b"k", w.string(b"v"))]))
    tap.ok(ours.call("OBJECT", "FREQ", "k").text() == b"77", "LFU: and as often used")
    ours.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


def corrupt_parts():
    """What each part of a file is refused for; whether it is in a key's value."""
    lp = w.listpack
    node = w.string(w.stream_id(1, 1)) + w.string(lp([1, 0, 1, b"f", 0, 2, 0, 0, b"v", 4]))
    yield "a score that is not a number", True, w.pair(3, b"k", w.many([w.string(b"a") + w.score_text(b"nan")])), "not a number"
    yield "a score that is a word", True, w.pair(3, b"k", w.many([w.string(b"a") + w.score_text(b"word")])), "not a number"
    yield "a double that is none", True, w.pair(5, b"k", w.many([w.string(b"a") + w.score(float("nan"))])), "not a number"
    yield "a zipmap that ends early", True, w.pair(9, b"k", w.string(w.zipmap([(b"f", b"v")])[:-3] + b"\xff")), "Zipmap integrity"
    yield "a field twice in a zipmap", True, w.pair(9, b"k", w.string(w.zipmap([(b"f", b"v"), (b"f", b"w")]))), "Zipmap integrity"
    yield "a ziplist that says it is longer", True, w.pair(10, b"k", w.string(b"\xff" + w.ziplist([b"a"])[1:])), "ziplist integrity"
    yield "a ziplist with a wrong tail", True, w.pair(10, b"k", w.string(w.ziplist([b"a", b"b"])[:4] + b"\x0a" + w.ziplist([b"a", b"b"])[5:])), "ziplist integrity"
    yield "an intset out of order", True, w.pair(11, b"k", w.string(w.intset([1, 2], 2)[:8] + b"\x02\x00\x01\x00")), "Intset integrity"
    yield "an intset of no size", True, w.pair(11, b"k", w.string(b"\x03" + w.intset([1, 2], 2)[1:])), "Intset integrity"
    yield "a member without a score", True, w.pair(12, b"k", w.string(w.ziplist([b"a"]))), "Zset ziplist integrity"
    yield "a field without a value", True, w.pair(13, b"k", w.string(w.ziplist([b"a", 1, b"b"]))), "Hash ziplist integrity"
    yield "a field twice", True, w.pair(13, b"k", w.string(w.ziplist([b"a", 1, b"a", 2]))), "Hash ziplist integrity"
    yield "a node of a list that is none", True, w.pair(14, b"k", w.many([w.string(b"nothing")])), "ziplist integrity"
    yield "a listpack of odd length", True, w.pair(16, b"k", w.string(lp([b"a"]))), "Hash listpack integrity"
    yield "a listpack that ends early", True, w.pair(17, b"k", w.string(lp([b"a", 1])[:-2] + b"\xff")), "Zset listpack integrity"
    yield "a node of an unknown kind", True, w.pair(18, b"k", w.many([w.length(3) + w.string(b"x")])), "Quicklist integrity"
    yield "a set's listpack", True, w.pair(20, b"k", w.string(lp([b"a"])[:-1])), "Set listpack integrity"
    yield "a set's member twice", True, w.pair(2, b"k", w.many([w.string(b"a")] * 2)), "twice"
    yield "a stream's key of 15 bytes", True, w.pair(15, b"k", w.many([w.string(b"x" * 15) + w.string(lp([1]))])), "not the size of a stream ID"
    yield "a stream's node", True, w.pair(15, b"k", w.many([w.string(b"x" * 16) + w.string(lp([1]))])), "Stream listpack integrity"
    yield "a stream's node twice", True, w.pair(15, b"k", w.stream(15, [node] * 2, 2, (1, 1), [])), "existing key"
    yield "entries without nodes", True, w.pair(15, b"k", w.stream(15, [], 2, (1, 1), [])), "Stream length inconsistent"
    yield "a group twice", True, w.pair(19, b"k", a_stream(19, GROUPS[1:] * 2)), "Duplicated consumer group"
    yield "pending of nobody", True, w.pair(21, b"k", a_stream(21, [(b"g", (0, 0), [(5, 1)], [])])), "without consumer"
    yield "pending of two", True, w.pair(21, b"k", a_stream(21, [(b"g", (0, 0), [(5, 1)], [(b"c", [(5, 1)]), (b"d", [(5, 1)])])])), "Duplicated consumer PEL"
    yield "pending of no group", True, w.pair(21, b"k", a_stream(21, [(b"g", (0, 0), [], [(b"c", [(5, 1)])])])), "not found in the group"
    yield "a compressed string that says it is longer", True, w.pair(0, b"k", b"\xc3\x03\x09\x01ab"), "compressed string"
    yield "a string of 2^62 bytes", True, w.pair(0, b"k", w.length(1 << 62, 64) + b"abc"), "the data end"
    yield "a length that is a string", True, w.pair(1, b"k", b"\xc0\x01"), "where a length should be"
    yield "an unknown encoding", True, w.pair(0, b"k", b"\xc5\x01"), "unknown encoding"
    yield "a module's value", True, w.pair(7, b"k", w.length(w.module_id("ReJSON-RL"), 64) + b"\x00"), "'ReJSON-RL'"
    yield "a module's value from before 4.0", True, w.pair(6, b"k", b"\x00"), "before 4.0"
    yield "a module's other data", False, b"\xf7" + w.length(w.module_id("graphdata"), 64) + b"\x02\x01\x02\x00", "'graphdata'"
    yield "a module's other data, unread", False, b"\xf7" + w.length(w.module_id("graphdata"), 64) + b"\x01\x01", "when_opcode"
    yield "functions of a release candidate", False, b"\xf6" + w.string(b"x"), "before the release"
    yield "a library without a name", False, w.library(b"return 1"), "Missing library metadata"
    yield "a library twice", False, w.library(b"#!lua name=a\nredis.register_function('f', function() end)") * 2, "already exists"
    yield "an unknown type", False, w.pair(8, b"k", b"x"), "unknown type"
    yield "a database too many", False, w.select(99), "more databases"


def corrupted(tap, servers, ours):
    for what, in_value, part, why in corrupt_parts():
        front = [w.select(0), w.pair(0, b"first", w.string(b"v"))]
        data = w.file(11, front + [part])
        at = len(w.file(4, front)) - 1
        refused = not load(servers[1], ours, data)
        line = [t for t in servers[1].log_tail(3) if "Error loading the DB" in t][-1:]
        found = re.search(r"at byte (\d+): (.*)", line[0]) if line else None
        passed = refused and found and at < int(found.group(1)) <= len(data) and why in found.group(2) and ("(key 'k')" in found.group(2)) == in_value
        tap.ok(bool(passed), "%s is refused, and the log says where and why" % what, [] if passed else line)
    tap.ok(ours.call("PING").text() == b"PONG", "none of them harmed the server")


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    args = ["--rdb-version", "10"] if versions.OLDER else []
    with Server(REDIS) as theirs, our_server(args) as ours:
        servers, clients = (theirs, ours), (theirs.client(20.0), ours.client(20.0))
        every_version(tap, servers, clients)
        if versions.OLDER:
            new_streams_for_old(tap, servers, clients)
        checksums(tap, servers, clients[1])
        use(tap, servers, clients[1])
        sanitized(tap, servers, clients[1])
        corrupted(tap, servers, clients[1])
    tap.done()


if __name__ == "__main__":
    main()

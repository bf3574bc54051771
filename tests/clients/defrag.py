#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Active defragmentation: a heap of every type, thinned out, takes less afterwards, by its own figures, and every byte of the data
is what it was: while clients read and write, while a reply is lent to one who does not read it, while a save goes on that
holds what there was at its beginning. Switched off it does nothing. MEMORY PURGE gives pages back."""
import random

from here import OURS, Server, Tap, digest, info, need_server, text_of, wait_until
from resp import encode

KEYS = 6000
LENT = 2 << 20
FAST = ("activedefrag", "yes", "active-defrag-ignore-bytes", "1", "active-defrag-threshold-lower", "2", "active-defrag-cycle-min", "60",
        "active-defrag-cycle-max", "80", "active-defrag-max-scan-fields", "200")


def ok(tap, passed, claim, *notes):
    tap.ok(passed, claim, () if passed else notes)


def number(client, field, section="memory"):
    return int(info(client, field, section))


def send_all(client, commands):
    for first in range(0, len(commands), 500):
        part = commands[first:first + 500]
        client.send(b"".join(encode(words) for words in part))
        for _ in part:
            client.read()


def commands_of(chance, i):
    """One key of each type; every hundredth is large."""
    n = 400 if i % 200 == 0 else chance.randint(1, 20)
    words = ["%s:%d:%s" % ("w" * chance.randint(1, 30), i, k) for k in range(n)]
    yield ["SET", "string:%d" % i, "v" * chance.randint(1, 400)]
    yield ["SET", "raw:%d" % i, "r" * chance.choice((700, 1500))]
    yield ["SET", "timed:%d" % i, "v", "EX", "100000"]
    yield ["RPUSH", "list:%d" % i] + words
    yield ["SADD", "set:%d" % i] + words
    yield ["SADD", "numbers:%d" % i] + [str(k * i) for k in range(n)]
    yield ["HSET", "hash:%d" % i] + [w for one in words for w in (one, one)]
    yield ["ZADD", "zset:%d" % i] + [w for k, one in enumerate(words) for w in (str(k * 1.5), one)]
    yield ["XADD", "stream:%d" % (i % 50), "%d-1" % (i + 1), "field", "f" * chance.randint(1, 300)]


def large_ones(chance):
    """Whose elements go, and not their keys."""
    for kind in ("SADD bigset", "HSET bighash", "ZADD bigzset", "RPUSH biglist"):
        command, key = kind.split()
        for first in range(0, 20000, 200):
            names = ["e%d:%s" % (i, "x" * chance.randint(1, 60)) for i in range(first, first + 200)]
            if command == "HSET":
                names = [w for n in names for w in (n, n)]
            if command == "ZADD":
                names = [w for n in names for w in (str(len(n)), n)]
            yield [command, key] + names


def thin_out(client, chance):
    send_all(client, [["DEL", "%s:%d" % (kind, i)] for i in range(KEYS) for kind in
                      ("string", "raw", "timed", "list", "set", "numbers", "hash", "zset") if chance.random() < 0.8])
    for key, remove, scan in (("bigset", "SREM", "SSCAN"), ("bighash", "HDEL", "HSCAN"), ("bigzset", "ZREM", "ZSCAN")):
        whole = client.call(scan, key, "0", "COUNT", "1000000").kids[1].kids
        members = [m.text() for m in whole[::2 if scan != "SSCAN" else 1]]
        gone = [m for m in members if chance.random() < 0.85]
        send_all(client, [[remove, key] + gone[i:i + 100] for i in range(0, len(gone), 100)])
    send_all(client, [["XTRIM", "stream:%d" % i, "MAXLEN", "5"] for i in range(0, 50, 2)])


def fill(client, seed):
    chance = random.Random(seed)
    client.call("FLUSHALL")
    send_all(client, [words for i in range(KEYS) for words in commands_of(chance, i)])
    send_all(client, list(large_ones(chance)))
    thin_out(client, chance)


def fragmentation(client):
    return number(client, "allocator_active") - number(client, "allocator_allocated")


def start(client):
    client.call("CONFIG", "RESETSTAT")
    client.call("CONFIG", "SET", *FAST)


def alone(tap, client):
    fill(client, 1)
    before, wasted = digest(client), fragmentation(client)
    ok(tap, number(client, "active_defrag_hits", "stats") == 0 and info(client, "active_defrag_running", "memory") == "0", "off, nothing runs")
    start(client)
    ended = wait_until(lambda: fragmentation(client) < wasted * 2 / 3)
    left = fragmentation(client)
    ok(tap, ended, "what is wasted falls by more than a third", wasted, left, info(client, "active_defrag_hits", "stats"))
    ok(tap, number(client, "active_defrag_key_hits", "stats") > KEYS / 10 and number(client, "active_defrag_misses", "stats") > 0, "it is counted")
    ok(tap, wait_until(lambda: info(client, "active_defrag_running", "memory") == "0"), "and comes to an end")
    client.call("CONFIG", "SET", "activedefrag", "no")
    ok(tap, digest(client) == before, "the data is what it was")
    ok(tap, client.call("DEBUG", "CHANGE-REPL-ID") is not None and client.call("PING").text() == b"PONG", "the server lives")


def busy(tap, server, client):
    """Readers, a writer and a reply that is lent."""
    fill(client, 2)  # what was put in order has nothing to move
    fill(client, 2)
    client.call("SET", "lent", "l" * LENT)
    slow = server.client()
    slow.send(encode(["GET", "lent"]))
    writer, chance = server.client(), random.Random(3)
    model = {}
    start(client)
    for _ in range(150):
        part = []
        for _ in range(40):
            key, kind = "w%d" % chance.randint(0, 500), chance.randint(0, 2)
            value = "u" * chance.randint(1, 900)
            if kind:
                part.append(["SET", key, value])
                model[key] = value.encode()
            else:
                part.append(["DEL", key])
                model.pop(key, None)
            part += [["HSET", "bighash", "n%d" % chance.randint(0, 999), value[:50]], ["ZADD", "bigzset", str(len(value)), key],
                     ["SREM", "bigset", key], ["LPUSH", "biglist", value[:20]], ["RPOP", "biglist"],
                     ["XADD", "stream:1", "*", "f", value]]
        send_all(writer, part)
    ok(tap, number(client, "active_defrag_hits", "stats") > 0, "things move while clients write")
    ok(tap, all(text_of(client, "GET", k) == v for k, v in model.items()), "what they wrote is there")
    ok(tap, slow.read().text() == b"l" * LENT, "a lent value arrives whole")
    before = digest(client)
    ok(tap, client.call("DEBUG", "RELOAD").text() == b"OK" and digest(client) == before, "all of it is saved and loaded alike")
    client.call("CONFIG", "SET", "activedefrag", "no")


def saving(tap, server, client):
    """The file has what there was when the save began."""
    fill(client, 4)
    before = digest(client)
    client.call("CONFIG", "SET", "rdb-key-save-delay", "20")
    client.call("BGSAVE")
    start(client)
    chance = random.Random(5)
    moved = 0
    while info(client, "rdb_bgsave_in_progress") == "1":
        send_all(client, [["SET", "string:%d" % chance.randint(0, KEYS), "new"] for _ in range(20)] +
                 [["HSET", "bighash", "f%d" % chance.randint(0, 500), "new"], ["ZREM", "bigzset", "e7:x"], ["SPOP", "bigset"]])
        moved = max(moved, number(client, "active_defrag_hits", "stats"))
    ok(tap, moved > 0, "things move while a save goes on")
    client.call("CONFIG", "SET", "rdb-key-save-delay", "0", "activedefrag", "no")
    folder = client.call("CONFIG", "GET", "dir").kids[1].text().decode()
    with Server(OURS, ["--dir", folder]) as other:
        ok(tap, digest(other.client()) == before, "the save holds the moment at which it began")


def purged(tap, client):
    client.call("CONFIG", "SET", "activedefrag", "no")
    client.call("FLUSHALL")
    client.call("DEBUG", "POPULATE", "200000", "k", "200")
    send_all(client, [["DEL"] + ["k:%d" % i for i in range(first, first + 100) if i % 50] for first in range(0, 200000, 100)])
    before = number(client, "allocator_resident")
    client.call("MEMORY", "PURGE")
    after = number(client, "allocator_resident")
    ok(tap, after <= before and after < number(client, "allocator_active") * 1.3 + (24 << 20), "MEMORY PURGE gives back what no object lies in", before, after)
    said = text_of(client, "MEMORY", "MALLOC-STATS").decode()
    ok(tap, "slabs" in said and len(said.splitlines()) > 8, "MEMORY MALLOC-STATS tells of each size", said)


need_server()
tap = Tap()
with Server(OURS) as server:
    client = server.client()
    alone(tap, client)
    busy(tap, server, client)
    saving(tap, server, client)
    purged(tap, client)
tap.done()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Streams and libraries of functions go from redis-server to our server and back, by values, by files and by
SYNC; spoilt streams harm nobody; TAP on stdout."""
import os
import random
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from older import our_server  # noqa: E402
import versions  # noqa: E402

VERSION = ["--rdb-version", "10"] if versions.OLDER else []
LIBRARY = "#!lua name=lib%d\nredis.register_function('f%d', function(keys, args) return %d end)\n%s"
PATIENCE = 10.0


def text(client, *words):
    return client.call(*words).text()


def digest(client):
    return text(client, "DEBUG", "DIGEST")


def digests(client, *keys):
    return [n.text() for n in client.call("DEBUG", "DIGEST-VALUE", *keys).kids]


def fill(client, rng):
    """Streams: empty, with deleted entries, with fields of their own, trimmed, over many nodes, with groups."""
    client.call("XADD", "one", "1-1", "f", "v")
    client.call("XADD", "none", "5-0", "f", "v")
    client.call("XDEL", "none", "5-0")
    client.call("XGROUP", "CREATE", "group only", "g", "$", "MKSTREAM")
    for i in range(700):
        fields = ["a", str(i), "b", "x" * rng.randrange(200)] if rng.randrange(4) else ["own%d" % i, "-7", "", ""] * rng.randrange(1, 4)
        client.call("XADD", "many", "%d-%d" % (1000 + i // 3, i % 3 + 1), *fields)
    for i in range(0, 700, 5):
        client.call("XDEL", "many", "%d-%d" % (1000 + i // 3, i % 3 + 1))
    client.call("XADD", "trimmed", "MAXLEN", "~", "100", "*", "f", "v")
    for group in ("g1", "g2", "empty"):
        client.call("XGROUP", "CREATE", "many", group, "0")
    for consumer in ("alice", "bob", "c" * 300):
        client.call("XREADGROUP", "GROUP", "g1", consumer, "COUNT", "30", "STREAMS", "many", ">")
        client.call("XREADGROUP", "GROUP", "g2", consumer, "COUNT", "2", "STREAMS", "many", ">")
    client.call("XGROUP", "CREATECONSUMER", "many", "g2", "idle")
    client.call("XACK", "many", "g1", "1000-2", "1001-3")
    client.call("PEXPIREAT", "many", "4000000000000")
    client.call("SET", "string", "beside")


def described(client):
    """All that XINFO knows, but for what depends on the moment it is asked."""
    def plain(node):
        if not node.kids:
            return node.text()
        kids = [plain(k) for k in node.kids]
        for i, word in enumerate(kids[:-1]):
            if word in (b"seen-time", b"active-time", b"radix-tree-keys", b"radix-tree-nodes"):
                kids[i + 1] = b"-"
        return kids
    keys = sorted(k.text() for k in client.call("KEYS", "*").kids if text(client, "TYPE", k.text()) == b"stream")
    return [(k, text(client, "PEXPIRETIME", k), plain(client.call("XINFO", "STREAM", k, "FULL", "COUNT", "0"))) for k in keys]


def values_cross(tap, theirs, ours):
    fill(theirs, random.Random(1))
    was, before = described(theirs), digest(theirs)
    payloads = [(k, text(theirs, "DUMP", k)) for k, _, _ in was]
    wrong = []
    for key, payload in payloads:
        reply = ours.call("RESTORE", key, "0", payload).text()
        if reply != b"OK" or text(ours, "DUMP", key)[:-10] != payload[:-10]:
            wrong.append("%s: %s" % (key, reply))
    tap.ok(not wrong, "a stream is restored and dumped as the same bytes", wrong)
    theirs.call("PERSIST", "many")
    keys = [k for k, _ in payloads]
    tap.ok(digests(ours, *keys) == digests(theirs, *keys), "their digests are redis-server's")
    theirs.call("PEXPIREAT", "many", "4000000000000")
    return was, before


def file_crosses(tap, servers, clients, was, before):
    theirs, ours = clients
    there, here = (os.path.join(s.dir, "dump.rdb") for s in servers)
    for i in (1, 2):
        theirs.call("FUNCTION", "LOAD", LIBRARY % (i, i, i, "-- padding\n" * 500 * (i - 1)))
    functions = text(theirs, "FUNCTION", "DUMP")
    theirs.call("SAVE")
    shutil.copy(there, here)
    reply = text(ours, "DEBUG", "RELOAD", "NOSAVE")
    passed = reply == b"OK" and digest(ours) == before
    tap.ok(passed, "our server loads redis-server's file of streams and functions: the digest is the same", [] if passed else servers[1].log_tail(5))
    tap.ok(b"number_of_libraries:2" in text(ours, "INFO", "memory"), "INFO counts the libraries")
    tap.ok(text(ours, "DEBUG", "RELOAD") == b"OK" and digest(ours) == before, "it loads its own")
    ours.call("FLUSHALL")
    tap.ok(b"number_of_libraries:2" in text(ours, "INFO", "memory") and text(ours, "SAVE") == b"OK", "FLUSHALL keeps the libraries")
    reply = text(ours, "DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")
    tap.ok(reply != b"OK" and any("already exists" in line for line in servers[1].log_tail(5)), "a library that is there already is an error")
    tap.ok(text(ours, "DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE") == b"OK", "MERGE replaces it")
    shutil.copy(there, here)
    ours.call("DEBUG", "RELOAD", "NOSAVE")
    ours.call("BGSAVE")
    while b"rdb_bgsave_in_progress:1" in text(ours, "INFO", "persistence"):
        pass
    theirs.call("FLUSHALL")
    theirs.call("FUNCTION", "FLUSH")
    shutil.copy(here, there)
    reply = text(theirs, "DEBUG", "RELOAD", "NOSAVE")
    passed = reply == b"OK" and digest(theirs) == before and described(theirs) == was
    tap.ok(passed, "redis-server loads our file: entries, groups, consumers, what is pending", [] if passed else servers[0].log_tail(5))
    # In which order a table of theirs has its libraries is chance: the same bytes, without the checksum.
    same = sorted(text(theirs, "FUNCTION", "DUMP")[:-10]) == sorted(functions[:-10])
    tap.ok(text(theirs, "FCALL", "f2", "0") == b"2" and same, "and the functions, which run")


def commands(tap, ours):
    ask = lambda *words: text(ours, *words)
    tap.ok(ask("TYPE", "many") == b"stream" and ask("OBJECT", "ENCODING", "many") == b"stream", "TYPE and OBJECT ENCODING say stream")
    tap.ok(int(ask("MEMORY", "USAGE", "many")) > 10000, "MEMORY USAGE counts all of it")
    found = ours.call("SCAN", "0", "COUNT", "1000", "TYPE", "stream").kids[1].kids
    tap.ok(sorted(n.text() for n in found) == [b"group only", b"many", b"none", b"one", b"trimmed"], "SCAN TYPE finds them")
    for words in (["GET", "many"], ["LPUSH", "many", "a"], ["SADD", "many", "a"], ["HGET", "many", "a"], ["ZADD", "many", "1", "a"],
                  ["INCR", "many"], ["SORT", "many"], ["SUNIONSTORE", "to", "many"], ["ZUNIONSTORE", "to", "1", "many"], ["LMOVE", "many", "to", "LEFT", "LEFT"],
                  ["SETRANGE", "many", "1", "a"], ["GETSET", "many", "a"], ["HSCAN", "many", "0"], ["BITOP", "NOT", "to", "many"]):
        reply = ask(*words)
        tap.ok(reply.startswith(b"WRONGTYPE"), "%s has the wrong type" % words[0], [] if reply.startswith(b"WRONGTYPE") else [reply])
    same = digests(ours, "many")
    dump = ask("DUMP", "many")
    ask("COPY", "many", "copy")
    ask("RENAME", "many", "moved")
    ask("PERSIST", "moved")
    ask("MOVE", "moved", "1")
    ask("SELECT", "1")
    tap.ok(ask("DUMP", "moved") == dump and ask("DEL", "moved") == b"1", "RENAME, MOVE and DEL do as to any key")
    ask("SELECT", "0")
    tap.ok(ask("DUMP", "copy") == dump and ask("EXISTS", "many") == b"0", "COPY copies")
    tap.ok(ask("RENAME", "copy", "many") == b"OK" and digests(ours, "many") == same, "the digest is the value's")
    ask("COPY", "many", "gone")
    ask("PEXPIRE", "gone", "1")
    deadline = time.monotonic() + PATIENCE
    while ask("EXISTS", "gone") == b"1" and time.monotonic() < deadline:
        time.sleep(0.01)
    tap.ok(ask("EXISTS", "gone") == b"0", "one whose time has come is gone")
    ask("COPY", "many", "replaced")
    tap.ok(ask("SET", "replaced", "x") == b"OK" and ask("GET", "replaced") == b"x" and ask("UNLINK", "many") == b"1", "SET replaces one, UNLINK frees one")


def use(ours):
    """Every command on a stream that may be odd: whatever they answer, the server lives."""
    for words in (b"XRANGE k - +", b"XREVRANGE k + - COUNT 5", b"XADD k * f v", b"XADD k MAXLEN ~ 500 * a 1 b 2", b"XREADGROUP GROUP g1 new COUNT 3 STREAMS k >",
                  b"XREADGROUP GROUP g1 alice STREAMS k 0", b"XAUTOCLAIM k g1 bob 0 - COUNT 5", b"XCLAIM k g2 bob 0 1000-2 1001-1 FORCE", b"XACK k g1 1000-2 1002-1",
                  b"XDEL k 1001-1 1002-2", b"XINFO STREAM k FULL COUNT 0", b"XINFO GROUPS k", b"XPENDING k g1 - + 10", b"XTRIM k MAXLEN 30", b"XTRIM k MINID 1200",
                  b"XSETID k 18446744073709551615-5", b"COPY k again REPLACE", b"XGROUP DELCONSUMER k g1 alice", b"XGROUP DESTROY k g2"):
        ours.call(*words.split())


def corrupted(tap, ours, payload):
    """Any byte of any stream spoilt: refused, or a value that can be dumped and summed up."""
    rng = random.Random(3)
    ours.call("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1")
    took = 0
    for _ in range(1500):
        at = rng.randrange(1, len(payload) - 10)
        spoilt = bytearray(payload)
        spoilt[at] ^= 1 << rng.randrange(8)
        ours.call("CONFIG", "SET", "sanitize-dump-payload", rng.choice(["yes", "no", "clients"]))
        if text(ours, "RESTORE", "k", "0", bytes(spoilt), "REPLACE") == b"OK":
            took += 1
            ours.call("DEBUG", "DIGEST-VALUE", "k")
            dump = text(ours, "DUMP", "k")
            if text(ours, "RESTORE", "again", "0", dump, "REPLACE") != b"OK" or text(ours, "DUMP", "again") != dump:
                tap.ok(False, "what was taken is dumped as what can be taken, byte %d" % at)
            use(ours)
    for n in range(1, len(payload) - 10, 37):
        if text(ours, "RESTORE", "k", "0", payload[:n] + payload[-10:], "REPLACE") == b"OK":
            tap.ok(False, "cut after %d bytes is refused" % n)
    tap.ok(text(ours, "PING") == b"PONG" and took < 1500, "spoilt streams harm nobody (%d of 1500 were streams all the same)" % took)
    ours.call("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0")


def replica(tap):
    """A redis-server that follows ours has streams and functions, too."""
    with our_server(VERSION + ["--repl-diskless-sync-delay", "0"], tcp=True) as master, Server(REDIS) as follower:
        ours, theirs = master.client(PATIENCE), follower.client(PATIENCE)
        fill(theirs, random.Random(1))
        theirs.call("FUNCTION", "LOAD", LIBRARY % (1, 1, 1, ""))
        theirs.call("SAVE")
        shutil.copy(os.path.join(follower.dir, "dump.rdb"), os.path.join(master.dir, "dump.rdb"))
        ours.call("DEBUG", "RELOAD", "NOSAVE")
        was = described(theirs)
        theirs.call("FLUSHALL")
        theirs.call("FUNCTION", "FLUSH")
        theirs.call("REPLICAOF", "127.0.0.1", str(master.port))
        for _ in range(200):
            if b"master_link_status:up" in text(theirs, "INFO", "replication"):
                break
            theirs.call("DEBUG", "SLEEP", "0.05")
        passed = described(theirs) == was and digest(theirs) == digest(ours)
        tap.ok(passed, "a replica has the streams", [] if passed else follower.log_tail(8))
        tap.ok(len(theirs.call("FUNCTION", "LIST").kids) == 1, "and the functions")
        theirs.call("REPLICAOF", "NO", "ONE")


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS) as theirs, our_server(VERSION) as ours:
        clients = theirs.client(20.0), ours.client(20.0)
        was, before = values_cross(tap, *clients)
        payload = text(clients[1], "DUMP", "many")
        file_crosses(tap, (theirs, ours), clients, was, before)
        corrupted(tap, clients[1], payload)
        clients[1].call("DEL", "k", "again")
        commands(tap, clients[1])
    replica(tap)
    tap.done()


if __name__ == "__main__":
    main()

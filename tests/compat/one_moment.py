#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A snapshot is of one moment, whatever is written while it is made: what SYNC gives, loaded by another server, which then plays the
stream behind it, is what the first server has. Random commands of every kind, with databases that are flushed and swapped among them;
seeded. TAP on stdout.
"""
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from generated import sequence  # noqa: E402
from resp import Client, encode  # noqa: E402
from servers import OURS, Server  # noqa: E402
from sync import attach  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

KEYS = 100000     # so that the walk goes on for some turns
BURST = 200       # commands sent at once
RANDOM = 30       # of them, random ones
PATIENCE = 60
WHOLE = (["SWAPDB", "0", "1"], ["SWAPDB", "0", "2"], ["FLUSHDB"], ["FLUSHDB", "ASYNC"], ["MOVE", "key:7", "2"], ["RENAME", "key:8", "key:9"],
         ["COPY", "key:10", "key:11", "DB", "1", "REPLACE"], ["SELECT", "1"], ["SELECT", "2"], ["SELECT", "0"], ["UNLINK", "key:12"])
FORBIDDEN = (b"FLUSHALL", b"SHUTDOWN", b"DEBUG", b"CONFIG", b"CLIENT", b"BLPOP", b"SUBSCRIBE", b"QUIT", b"RESET", b"FAILOVER",
             b"REPLICAOF")


class Writer(threading.Thread):
    """Writes without end, a burst after the other; nothing that waits, and nothing whose effect only a master may send
    (XADD with LIMIT)."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.client, self.rng = server.client(PATIENCE), random.Random(seed)
        self.random_commands = [args for _, args in sequence(seed, 3000)
                                if args[0].upper() not in FORBIDDEN and not args[0].upper().startswith((b"B", b"P", b"S")) and not {b"BLOCK", b"LIMIT"} & set(args)]
        self.bursts = 0
        self.stopping = False

    def command(self):
        key = "key:%d" % self.rng.randrange(KEYS)
        what = self.rng.randrange(12)
        if what == 0:
            return ["DEL", key]
        if what == 1:
            return ["RPUSH", "list:%d" % self.rng.randrange(1000), key]
        if what == 2:
            return ["ZINCRBY", "zset:%d" % self.rng.randrange(1000), "1", key]
        if what == 3:
            return ["HSET", "hash:%d" % self.rng.randrange(1000), key, "v"]
        if what == 4:
            return ["SADD", "set:%d" % self.rng.randrange(1000), key]
        if what == 5:
            return ["SET", "new:%d" % self.rng.randrange(KEYS), key]
        return [("SET", "APPEND")[what % 2], key, str(self.rng.random())]

    def run(self):
        while not self.stopping:
            burst = [self.command() for _ in range(BURST)] + self.rng.sample(self.random_commands, RANDOM)
            if self.rng.randrange(4) == 0:
                burst += [self.rng.choice(WHOLE)]
            self.client.send(b"".join(encode(args) for args in burst))
            for _ in burst:
                self.client.read()
            self.bursts += 1


def fill(server):
    client = server.client(PATIENCE)
    for db in range(3):
        lines = [["SELECT", str(db)]] + [["SET", "key:%d" % i, str(i)] for i in range(KEYS)]
        lines += [["RPUSH", "list:%d" % (i % 1000), str(i)] for i in range(20000)]
        for at in range(0, len(lines), 1000):
            client.send(b"".join(encode(args) for args in lines[at:at + 1000]))
            for _ in lines[at:at + 1000]:
                client.read()
    return client


def stream_until_mark(feed):
    """What lies between the snapshot and the mark, as it came."""
    out = []
    while True:
        node = feed.node(time.monotonic() + PATIENCE)
        words = [kid.text() for kid in node.kids]
        if words == [b"PUBLISH", b"mark", b"mark"]:
            return out
        if words[0].upper() != b"PING":
            out.append(node.raw())


def copy_of(snapshot, stream):
    """A server that has loaded the one and played the other; its digest."""
    with Server(OURS) as server:
        with open(os.path.join(server.dir, "dump.rdb"), "wb") as out:
            out.write(snapshot)
        client = server.client(PATIENCE)
        loaded = client.call("DEBUG", "RELOAD", "NOSAVE")
        if loaded.is_error():
            return loaded.text()
        for at in range(0, len(stream), 500):
            part = stream[at:at + 500]
            client.send(b"".join(part))
            for one in part:
                reply = client.read()
                if reply.is_error():
                    return one + reply.head
        return client.call("DEBUG", "DIGEST").text()


def compare(tap, seed):
    with Server(OURS) as server:
        client = fill(server)
        writer = Writer(server, seed)
        writer.start()
        begun = writer.bursts
        while writer.bursts < begun + 3:
            time.sleep(0.001)
        began = writer.bursts
        feed, snapshot = attach(server)
        during = writer.bursts - began
        feed.timeout = PATIENCE
        reader = []
        thread = threading.Thread(target=lambda: reader.extend(stream_until_mark(feed)), daemon=True)
        thread.start()
        time.sleep(0.2)
        writer.stopping = True
        writer.join()
        digest = client.call("DEBUG", "DIGEST").text()
        client.call("PUBLISH", "mark", "mark")
        thread.join(PATIENCE)
        got = copy_of(snapshot, reader)
        detail = ["%d bytes, %d bursts while it was made, %d records behind it" % (len(snapshot), during, len(reader)), repr(digest), repr(got)]
        tap.ok(got == digest and during > 0, "seed %d: a snapshot and what comes behind it are the data" % seed, [] if got == digest and during else detail)


def main():
    if not os.access(OURS, os.X_OK):
        skip_all("no " + OURS)
    tap = Tap()
    seeds = [int(s) for s in sys.argv[1:]] or [1, 2, 3]
    for seed in seeds:
        compare(tap, seed)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 900
"""A link that is cut after each byte there is: of the handshake, of the snapshot in both of its forms, of the beginning of the stream.

After each cut the replica holds all of its old data or all of the new; where it had a snapshot whole, it asks to go on behind the last command that had come
whole, and gets just that: no command is executed twice, or by half. In the end it is in step.

Each pair of our server and redis-server, both ways round, a share of the positions; FLEET_ALL=1: all of them."""
import os
import random
import sys

from node import Node, Tap, check, in_step, kinds, until
from proxy import Cut, Proxy

STEP = 1 if os.environ.get("FLEET_ALL") else 23  # of the positions, this share
HOWS = ("close", "reset", "half")
SELECT_BYTES = 23  # which are there after a snapshot only
rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 12)

# What the stream begins with after the snapshot: each kind of frame, numbers that tell of a command that was lost or came twice.
WRITES = [["INCR", "n"], ["RPUSH", "l", "a"], ["SELECT", "3"], ["INCR", "n"], ["SELECT", "0"], ["MULTI"], ["INCR", "n"], ["RPUSH", "l", "b"], ["SADD", "s", "1"], ["EXEC"],
          ["SET", "k", "*1\r\n$4\r\nPING\r\n"], ["EVAL", "redis.call('incr', 'n') redis.call('rpush', 'l', 'c')", "0"], ["HINCRBY", "h", "f", "1"], ["SET", "", ""], ["INCR", "n"]]


def data(node, generation):
    """A small data set, of each type."""
    node.ask("FLUSHALL")
    for words in (["SET", "generation", str(generation)], ["RPUSH", "l", "x", "y"], ["SADD", "s", "1", "2"], ["HSET", "h", "f", "1"], ["ZADD", "z", "1", "m"], ["XADD", "x", "1-1", "f", "v"],
                  ["SET", "n", "0"], ["SET", "t", "v", "PXAT", "33177117420000"]):
        node.ask(*words)


class Pair:
    """A primary and a replica, with the proxy between them."""

    def __init__(self, primary, replica, form):
        load = ["--repl-diskless-load", "swapdb"] if form == "mark" else []
        self.primary = Node(primary, ["--repl-diskless-sync", "yes" if form == "mark" else "no", "--repl-ping-replica-period", "3600"])
        self.replica = Node(replica, load)
        self.proxy = Proxy(("127.0.0.1", self.primary.port), ports=2)
        self.name = "%s behind %s, a snapshot by its %s" % (replica.name, primary.name, form)
        self.turn = 0
        self.wrong = []

    def connect(self):
        """At once: by the proxy's other name."""
        self.turn += 1
        self.replica.follow(self.proxy.ports[self.turn % 2])

    def settle(self):
        if in_step(self.primary, self.replica) and self.primary.digest() == self.replica.digest():
            return True
        self.note("not in step: %r, %r" % (self.primary.info(), self.replica.info()))
        return False

    def note(self, text):
        self.wrong.append(text)

    def lengths(self):
        """How many bytes each phase has, by a link that is not cut."""
        data(self.primary, 0)
        self.connect()
        self.settle()
        self.write()
        self.settle()
        link = self.proxy.links[-1]
        return dict(link.down.counts, **link.up.counts)

    def write(self):
        client = self.primary.client()
        for words in WRITES:
            client.call(*words)
        client.close()

    def fresh(self):
        """The replica is a primary with data of its own, which no +CONTINUE fits."""
        self.replica.follow(None)
        self.proxy.drop()
        data(self.replica, -1)
        self.proxy.cuts.clear()
        return self.replica.digest()

    def cut_sync(self, phase, at, how):
        """A full synchronisation that is cut there."""
        old, new = self.fresh(), self.primary.digest()
        self.proxy.cut_done.clear()
        self.proxy.cuts = [Cut(phase, at, how)]
        self.proxy.one_link = True
        before = len(self.proxy.links)
        self.connect()
        if not until(lambda: self.proxy.cut_done.is_set() or self.is_through(before)):
            self.note("%s %d was never reached" % (phase, at))
        if not self.proxy.cut_done.is_set():  # a snapshot has numbers in it that have a byte less at times
            self.proxy.one_link = self.proxy.closed = False
            return
        cut = next(link for link in self.proxy.links[before:] if link.was_cut)
        whole = cut.down.payload_whole
        if how == "half":
            cut.end()
        got = self.replica.digest()
        if got != old and (got != new or not whole):
            self.note("%s %d %s: neither the old data nor the new" % (phase, at, how))
        if not self.replica.alive() or not self.primary.alive():
            self.note("%s %d %s: a server has died" % (phase, at, how))
        self.proxy.one_link = self.proxy.closed = False

    def is_through(self, before):
        return self.replica.is_up() and any(link.down.phase == "stream" for link in self.proxy.links[before:])

    def cut_stream(self, at, how):
        """The stream is cut after so many bytes more, and goes on behind what has come whole."""
        if not self.settle():
            return
        link = self.proxy.live()[-1]
        fulls, before = self.primary.stats()[0], len(self.proxy.links)
        self.proxy.cut_done.clear()
        link.cut = Cut("stream", link.down.counts["stream"] + at, how)
        self.write()
        if not until(self.proxy.cut_done.is_set):
            self.note("stream %d was never reached" % at)
        if how == "half":
            link.end()
        until(lambda: any(link.down.phase == "stream" for link in self.proxy.links[before:]))
        if not self.settle():
            return
        again = next(link for link in self.proxy.links[before:] if link.up.psync)
        want = whole_until(link) + 1
        if not again.up.psync or again.up.psync[1] != want or again.down.full or again.down.phase != "stream":
            self.note("stream %d %s: asked for %r, and not for %d; %r" % (at, how, again.up.psync, want, again.down.lines))
        if self.primary.stats()[0] != fulls:
            self.note("stream %d %s: a full synchronisation" % (at, how))

    def close(self):
        self.proxy.close()
        self.replica.stop()
        self.primary.stop()


def whole_until(link):
    """The offset of the last command that had come whole: of a transaction, all of it."""
    end, inside = link.down.first_offset() - 1, False
    for offset, words in link.down.commands():
        name = words[0].upper()
        inside = name == b"MULTI" or inside and name != b"EXEC"
        if not inside:
            end = offset
    return end


def positions(count, step):
    """A share of them, other ones each time a seed is given; the first and the last always."""
    return sorted({0, 1, count - 1, count} | set(range(rng.randrange(step), count, step)))


def run(tap, primary, replica, form):
    pair = Pair(primary, replica, form)
    lengths = pair.lengths()
    cuts = 0
    for phase in ("answers", "asks", "waiting", "payload"):
        step = STEP if phase != "payload" else STEP * 2
        for at in positions(lengths[phase], step)[1:]:
            pair.cut_sync(phase, at, rng.choice(HOWS))
            cuts += 1
    pair.fresh()
    pair.connect()
    pair.settle()
    check(tap, not pair.wrong, "%s: %d cuts of handshake and snapshot" % (pair.name, cuts), *pair.wrong[:10])
    pair.wrong = []
    cuts = 0
    for at in positions(lengths["stream"] - SELECT_BYTES, STEP)[1:]:
        pair.cut_stream(at, rng.choice(HOWS))
        cuts += 1
    check(tap, not pair.wrong, "%s: %d cuts of the stream" % (pair.name, cuts), *pair.wrong[:10])
    pair.close()


def main():
    tap = Tap()
    ours, theirs = kinds()[:2]
    for primary, replica in ((ours, theirs), (theirs, ours), (ours, ours)):
        if not replica.may_follow(primary):
            tap.skip("%s behind %s" % (replica.name, primary.name), "RDB version %d cannot be read" % primary.writes)
            continue
        for form in ("mark", "length"):
            run(tap, primary, replica, form)
    tap.done()


if __name__ == "__main__":
    main()

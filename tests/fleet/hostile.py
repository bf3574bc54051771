#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Peers that say anything at any time. A replica keeps its data until a whole snapshot is there, closes the link to who says nonsense, tries again, and is well afterwards; a primary
answers with an error or closes, and is well afterwards, too. Seeded; the same with redis-server shows what the test asks (DEMIKV_SERVER=/usr/bin/redis-server)."""
import os
import random
import socket
import sys
import time

from node import Node, Tap, check, in_step, kinds, until
from peer import Client, Closed, FakePrimary, FakeReplica, Silent, encode
from proxy import Proxy

rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
ROUNDS = int(os.environ.get("FLEET_ROUNDS", "30"))
ID = b"0123456789abcdef0123456789abcdef01234567"
MARK = b"M" * 40
EMPTY = b"REDIS0010\xff" + bytes(8)  # without a checksum


def noise(size):
    return bytes(rng.randrange(256) for _ in range(size))


def snapshot_of(server):
    """What a right primary would send."""
    replica = FakeReplica(server.path).full_sync()
    replica.close()
    return replica.payload


# --- primaries that are none ----------------------------------------------------------------------------------------------

def answers(text):
    """To the first thing that is asked."""
    def play(peer):
        peer.request()
        peer.send(text)
        peer.gone()
    return play


def psync_answers(text):
    def play(peer):
        peer.greet()
        peer.send(text)
        peer.gone()
    return play


def ends(text):
    """And no more comes: waits for the replica to close, too, which has looked at all of it then."""
    def play(peer):
        peer.greet()
        try:
            peer.send(text)
            peer.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it did not want to hear it to its end
            pass
        peer.gone()
    return play


FULL = b"+FULLRESYNC %s 100\r\n" % ID
WRONG_PRIMARIES = [
    ("nothing, and an end", ends(b"")),
    ("noise at once", answers(noise(500))),
    ("noise without a line", answers(b"\xff" * 70000)),
    ("an error to PING", answers(b"-ERR go away\r\n")),
    ("an HTTP server", answers(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("noise for PSYNC's answer", psync_answers(noise(300) + b"\r\n")),
    ("a line that does not end", ends(b"+FULLRESYNC " + b"a" * 100000)),
    ("FULLRESYNC without an offset", ends(b"+FULLRESYNC %s\r\n" % ID)),
    ("FULLRESYNC with an id too short", ends(b"+FULLRESYNC abc 1\r\n$5\r\nabcde")),
    ("FULLRESYNC with an offset that is none", ends(b"+FULLRESYNC %s x\r\n" % ID)),
    ("CONTINUE with nothing to go on with", ends(b"+CONTINUE\r\n")),
    ("CONTINUE with an id too long", ends(b"+CONTINUE %s\r\n" % (ID * 3))),
    ("a payload of negative size", ends(FULL + b"$-5\r\nabc")),
    ("a payload of a size that is none", ends(FULL + b"$12x\r\nabc")),
    ("a payload of a size beyond all", ends(FULL + b"$99999999999999999999\r\nabc")),
    ("a payload that is late for ever", ends(FULL + b"\n" * 5000)),
    ("an end within the size", ends(FULL + b"$1")),
    ("an error for a payload", ends(FULL + b"-ERR no memory\r\n")),
    ("no payload", ends(FULL)),
    ("a whole payload of noise", ends(FULL + b"$300\r\n" + noise(300))),
    ("a whole payload of noise, with a mark", ends(FULL + b"$EOF:" + MARK + b"\r\n" + noise(500) + MARK)),
    ("a mark too short", ends(FULL + b"$EOF:abc\r\n" + EMPTY + b"abc")),
    ("a mark that never comes", ends(FULL + b"$EOF:" + MARK + b"\r\n" + EMPTY)),
    ("half a mark", ends(FULL + b"$EOF:" + MARK + b"\r\n" + EMPTY[:-3] + MARK[:20])),
    ("a whole payload of a version of the future", ends(FULL + b"$%d\r\nREDIS9999" % len(EMPTY) + EMPTY[9:])),
]


class Victim:
    """A replica with data of its own to lose."""

    def __init__(self, kind, form):
        self.name = "%s, repl-diskless-load %s" % (kind.name, form)
        self.node = Node(kind, ["--repl-diskless-load", form])
        self.wrong = []
        self.keeps = form == "swapdb"  # also when a snapshot that came whole is none; else the old data go before it is loaded
        self.fill()

    def fill(self):
        for i in range(50):
            self.node.ask("SET", "mine:%d" % i, "x" * i)
        self.digest = self.node.digest()

    def meets(self, name, play, whole=False):
        """A wrong primary. whole: its snapshot comes whole."""
        primary = FakePrimary(play)
        self.node.follow(primary.port)
        if not until(lambda: any(peer.over for peer in primary.seen), 20):
            self.wrong.append("%s: the link stays" % name)
        self.node.follow(None)
        if self.node.digest() != self.digest:
            if not whole or self.keeps or self.node.text("DBSIZE") != b"0":
                self.wrong.append("%s: the data are others, of %s keys" % (name, self.node.text("DBSIZE")))
            self.node.ask("FLUSHALL")
            self.fill()
        primary.close()

    def close(self):
        self.node.stop()


def cut_and_spoilt(victim, payload):
    """A right snapshot that is cut, or has a bit turned over: refused by its checksum."""
    for i in range(ROUNDS):
        bad = bytearray(payload)
        bad[rng.randrange(9, len(bad))] ^= 1 << rng.randrange(8)
        victim.meets("turned bit %d" % i, ends(FULL + b"$%d\r\n" % len(bad) + bytes(bad)), whole=True)
        size = rng.randrange(len(payload))
        victim.meets("cut at %d" % size, ends(FULL + b"$%d\r\n" % len(payload) + payload[:size]))


def replicas(tap, kind, right):
    """right: a server whose snapshot is right."""
    payload = snapshot_of(right)
    for form in ("disabled", "swapdb"):
        victim = Victim(kind, form)
        for name, play in WRONG_PRIMARIES:
            victim.meets(name, play, "whole" in name)
        check(tap, not victim.wrong, "%s: %d wrong primaries, and the data stay" % (victim.name, len(WRONG_PRIMARIES)), *victim.wrong[:8])
        victim.wrong = []
        cut_and_spoilt(victim, payload)
        check(tap, not victim.wrong, "%s: %d snapshots that are cut or spoilt, and the data stay" % (victim.name, 2 * ROUNDS), *victim.wrong[:8])
        proxy = Proxy(("127.0.0.1", right.port))
        victim.node.follow(proxy.port)
        fine = in_step(right, victim.node)
        check(tap, fine and victim.node.digest() == right.digest(), "%s: a right one is followed afterwards" % victim.name, victim.node.info(), victim.node.log_tail(5))
        broken_streams(tap, victim, right, proxy)
        proxy.close()
        victim.close()


def broken_streams(tap, victim, right, proxy):
    """Noise in the middle of the stream: the link ends, and in the end it is in step again."""
    for junk in (b"*3\r\n$3\r\nSET\r\n$-7\r\n", b"*99999999999\r\n", b"*2\r\n+OK\r\n", b"$5\r\nhello\r\n*1\r\n$999999999999\r\n", noise(200).replace(b"\n", b" ") + b"\n", b"*1\r\n$4\r\nping"):
        until(proxy.live)
        link = proxy.live()[-1]
        try:
            link.near.sendall(junk)
        except OSError:
            pass
        right.ask("INCR", "serial")
        link.end()
        if not in_step(right, victim.node) or victim.node.digest() != right.digest():
            victim.wrong.append("after %r: %r" % (junk, victim.node.info()))
    check(tap, not victim.wrong and victim.node.alive(), "%s: noise in a stream does no harm that lasts" % victim.name, *victim.wrong[:3])


# --- replicas that are none -----------------------------------------------------------------------------------------------

WRONG_ASKS = [["PSYNC"], ["PSYNC", "?"], ["PSYNC", "?", "x"], ["PSYNC", "?", "-1", "FAILOVER"], ["PSYNC", "x" * 40, "99999999999999999999"], ["PSYNC", ID, "1", "FAILOVER", "x"], ["PSYNC", "", ""],
              ["REPLCONF"], ["REPLCONF", "ACK"], ["REPLCONF", "ACK", "x"], ["REPLCONF", "ACK", "-5"], ["REPLCONF", "capa"], ["REPLCONF", "listening-port", "x"], ["REPLCONF", "listening-port", "99999999"],
              ["REPLCONF", "ip-address", "x" * 3000], ["REPLCONF", "rdb-filter-only", "\"x"], ["REPLCONF", "rdb-filter-only", "keys"], ["REPLCONF", "rdb-only", "maybe"], ["REPLCONF", "GETACK", "*"],
              ["REPLCONF", "nonsense", "1"], ["REPLCONF", "version", "x"], ["SYNC", "x"], ["WAIT", "-1", "0"], ["WAIT", "1", "-1"], ["FAILOVER", "TO", "x"], ["REPLICAOF", "x"], ["REPLICAOF", "x", "99999"]]
ACKS = [["REPLCONF", "ACK", "99999999999999999"], ["REPLCONF", "ACK", "-1"], ["REPLCONF", "ACK", "0"], ["REPLCONF", "ACK", "1", "FACK", "x"], ["PSYNC", "?", "-1"], ["SYNC"], ["MULTI"], ["SET", "theirs", "1"],
        ["REPLCONF", "GETACK", "*"], ["SUBSCRIBE", "x"], ["QUIT"]]


def primaries(tap, kind):
    """A primary among replicas that lie, ask twice, go in the middle, do not read."""
    with Node(kind) as node:
        for i in range(50):
            node.ask("SET", "mine:%d" % i, "x" * 3000)
        digest, wrong = node.digest(), []
        for i in range(ROUNDS * 3):
            stray(node, rng.randrange(6))
            if not node.alive():
                wrong.append("dead after %d" % i)
                break
        fine = node.alive() and node.digest() == digest
        check(tap, fine and not wrong, "%s: %d replicas that are none, and the data stay" % (kind.name, ROUNDS * 3), *wrong, *([] if node.alive() else node.log_tail(30)))
        replica = FakeReplica(node.path).full_sync()
        node.ask("SET", "after", "1")
        records = [replica.record(), replica.record()]
        check(tap, records[1] == encode(["SET", "after", "1"]), "%s: a right one is served afterwards" % kind.name, records)
        replica.close()
        gone = until(lambda: node.info()["connected_slaves"] == "0")
        check(tap, gone, "%s: and none of them is left" % kind.name, node.info())


def stray(node, what):
    try:
        client = Client(node.path, 20)
        if what == 0:  # words that are wrong, some of them in a row
            for _ in range(rng.randrange(1, 5)):
                words = rng.choice(WRONG_ASKS)
                client.send(encode(words))
        elif what == 1:  # it goes before the snapshot is there
            client.send(encode(["REPLCONF", "capa", "eof"]) + encode(["PSYNC", "?", "-1"]))
        elif what == 2:  # in the middle of it, after some bytes
            client.send(encode(["SYNC"]))
            client.exactly(rng.randrange(1, 2000), deadline())
        elif what == 3:  # it lies about what it has
            client.close()
            client = FakeReplica(node.path).full_sync()
            for _ in range(3):
                client.send(encode(rng.choice(ACKS)))
            node.ask("WAIT", "1", "1")
        elif what == 4:  # noise after PSYNC
            client.send(encode(["PSYNC", "?", "-1"]) + noise(rng.randrange(1, 3000)))
        else:  # all at once
            client.send(b"".join(encode(rng.choice(WRONG_ASKS + ACKS[:6])) for _ in range(10)))
        client.close()
    except (OSError, Closed, Silent):
        pass


def deadline():
    return time.monotonic() + 20


def main():
    tap = Tap()
    ours, theirs = kinds()[:2]
    with Node(theirs) as right:
        for i in range(100):
            right.ask("SET", "theirs:%d" % i, "y" * i)
            right.ask("RPUSH", "list", "e%d" % i)
        replicas(tap, ours, right)
    primaries(tap, ours)
    tap.done()


if __name__ == "__main__":
    main()

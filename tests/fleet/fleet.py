#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 900
"""Fleets of our servers and redis-servers: pairs and chains of three, random commands of every type, links cut at random bytes, promotions.

At every quiet point all are at one offset with one digest, the primary's offset is the sum of the bytes that passed, the leaf got the top's bytes, and the numbers
of full and partial synchronisations are those that an oracle expects: who can go on does.

FLEET_SEED=n, FLEET_ROUNDS=n (of writes, a fleet)."""
import os
import random

from node import PATIENCE, Node, Tap, check, in_step, kinds, until
from proxy import Cut, Proxy

from grammar import Grammar  # noqa: E402
from resp import Closed, Silent, encode  # noqa: E402

SEED = int(os.environ.get("FLEET_SEED", "12"))
ROUNDS = int(os.environ.get("FLEET_ROUNDS", "3"))
BATCH = 150
# What is about a server and not about its data, or would change who follows whom.
NOT_DATA = (b"REPLICAOF", b"FAILOVER", b"ACL", b"MIGRATE", b"CLUSTER", b"READONLY", b"READWRITE", b"ASKING", b"MODULE", b"ROLE", b"PFDEBUG", b"DEBUG", b"CONFIG", b"SCRIPT", b"AUTH")
SMALL_BACKLOG = 16384


def of_value(node, db, key):
    """What is there, told alike by versions that write scores with other digits."""
    if node.text("TYPE", key) == b"zset":
        found = [kid.text() for kid in node.ask("ZRANGE", key, "0", "-1", "WITHSCORES").kids]
        return sorted(zip(found[::2], map(float, found[1::2]))), node.text("PTTL", key) == b"-1"
    return node.ask("DEBUG", "DIGEST-VALUE", key).raw(), node.text("PTTL", key) == b"-1"


def contents(node):
    out = {}
    for db in range(int(node.ask("CONFIG", "GET", "databases").kids[1].text())):
        node.ask("SELECT", db)
        out.update(((db, kid.text()), of_value(node, db, kid.text())) for kid in node.ask("KEYS", "*").kids)
    node.ask("SELECT", "0")
    return out


def differences(nodes):
    """Of their data, in words."""
    digests = [node.digest() for node in nodes]
    if len(set(digests)) == 1:
        return []
    if len({node.kind.version >= (7, 2) for node in nodes}) == 1:
        return digests
    first, *others = [contents(node) for node in nodes]
    return [(key, first.get(key), other.get(key)) for other in others for key in first.keys() | other.keys() if first.get(key) != other.get(key)]


class Fleet:
    """Nodes in a line, each behind the one before, with a proxy between two."""

    def __init__(self, members, rng, args=()):
        self.rng = rng
        self.nodes = [Node(kind, list(args) + ["--repl-ping-replica-period", "3600"]) for kind in members]
        self.proxies = [Proxy(("127.0.0.1", node.port), ports=2) for node in self.nodes[:-1]]
        self.name = " <- ".join(kind.name for kind in members)
        self.wrong = []
        self.patience = PATIENCE
        for proxy in self.proxies:
            proxy.before = self.foresee
        self.grammar = Grammar(rng)
        self.client = self.nodes[0].client(30)

    # --- what is expected of a synchronisation

    def foresee(self, link):
        """Before a PSYNC is passed on: whether what it asks for is there."""
        node = next(node for node in self.nodes if node.port == link.proxy.target[1])
        client = node.client(30)
        text = client.call("INFO", "replication").text().decode()
        client.close()
        facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        link.expects = self.goes_on(facts, *link.up.psync)

    @staticmethod
    def goes_on(facts, replid, offset):
        """True, False, or None: it is not known, since the primary is none itself yet, or what it keeps moves."""
        if facts["role"] != "master" and facts["master_link_status"] != "up":
            return None
        known = replid.decode() == facts["master_replid"] or replid.decode() == facts["master_replid2"] and offset <= int(facts["second_repl_offset"])
        first, size = int(facts["repl_backlog_first_byte_offset"]), int(facts["repl_backlog_histlen"])
        kept = facts["repl_backlog_active"] == "1" and first <= offset <= first + size
        return known and kept

    def settled(self):
        """(full, partial, refused partial) that the proxies saw, a node; a synchronisation against expectation is noted."""
        seen = []
        for proxy in self.proxies:
            links = [link for link in proxy.links if link.up.psync]
            full = [link for link in links if link.down.full]
            partial = [link for link in links if link.down.partial is not None]
            seen.append((len(full), len(partial), len([link for link in full if link.up.psync[0] != b"?"])))
            for link in links:
                if link.up.psync[0] == b"?":  # who is told whom to follow has an id of its own
                    self.wrong.append("a replica has thrown its history away")
            for link in full + partial:
                expects = getattr(link, "expects", None)
                if expects is not None and expects != (link in partial):
                    self.wrong.append("PSYNC %r was answered %r" % (link.up.psync, link.down.lines))
        return seen

    # --- writes

    def commands(self, count):
        out = []
        while len(out) < count:
            args = self.grammar.command()[1]
            spoils_hll = args[0].upper() in (b"SETBIT", b"SETRANGE", b"APPEND", b"SET") and args[1:2] and args[1].startswith(b"j")
            if args[0].upper() not in NOT_DATA and not spoils_hll:
                out.append(args)
        return out

    def write(self, count=BATCH):
        """Random commands, and some that are counted."""
        text = b"".join(encode(args) for args in self.commands(count))
        text += encode(["EXEC"]) + encode(["SELECT", "0"]) + encode(["DEL", "serial"]) + encode(["INCR", "serial"]) + encode(["PING", "the end of it"])
        self.client.send(text)
        try:
            while self.client.read().text() != b"the end of it":
                pass
        except (Closed, Silent) as error:
            self.wrong.append("the primary's client: %r" % error)
            self.client = self.nodes[0].client(30)

    def cut(self):
        """Some link, at some byte of what is to come."""
        proxy = self.rng.choice(self.proxies)
        live = proxy.live()
        if live:
            live[-1].cut = Cut("stream", live[-1].down.counts["stream"] + self.rng.randrange(1, 2000), self.rng.choice(("close", "reset")))

    # --- quiet points

    def join(self):
        for node, proxy in zip(self.nodes[1:], self.proxies):
            node.follow(proxy.port)

    def quiet(self, when):
        """All are at one place with the same data."""
        top = self.nodes[0]
        if not in_step(top, *self.nodes[1:], seconds=self.patience):
            self.wrong.append("%s: never in step: %r" % (when, [node.info() for node in self.nodes]))
            return False
        other = differences(self.nodes)
        if other:
            self.wrong.append("%s: data differ at offset %d: %r" % (when, top.offset(), other[:3]))
        offset = top.offset()
        for proxy in self.proxies:
            link = proxy.live()[-1]
            if not until(lambda link=link: link.down.end_offset() == offset, self.patience):
                self.wrong.append("%s: offset %d, and bytes up to %r" % (when, offset, link.down.end_offset()))
        self.same_bytes(when)
        for node, proxy, seen in zip(self.nodes, self.proxies, self.settled()):
            if node.stats() != seen:
                self.wrong.append("%s: sync_full, _partial_ok, _partial_err: %r, and %r were seen" % (when, node.stats(), seen))
        for node in self.nodes[1:]:
            if node.info("errorstats").get("errorstat_READONLY") or int(node.info("stats").get("unexpected_error_replies", 0)):
                self.wrong.append("%s: what came down the stream failed: %r" % (when, node.log_tail(3)))
        return not self.wrong

    def same_bytes(self, when):
        """The leaf's stream is the top's, where both were seen."""
        for above, below in zip(self.proxies, self.proxies[1:]):
            known = {}
            for link in above.links:
                if link.down.first_offset() is not None:
                    known.update((link.down.first_offset() + i, link.down.stream[i]) for i in range(len(link.down.stream)))
            for link in below.links:
                first = link.down.first_offset()
                if first is not None and any(known.get(first + i, byte) != byte for i, byte in enumerate(link.down.stream)):
                    self.wrong.append("%s: the leaf got other bytes than the middle" % when)

    def close(self):
        for proxy in self.proxies:
            proxy.close()
        self.client.close()
        for node in reversed(self.nodes):
            node.stop()


def with_cuts(tap, fleet):
    fleet.write()
    fleet.join()
    fleet.quiet("at first")
    for i in range(ROUNDS):
        for _ in range(3):
            fleet.cut()
            fleet.write()
        if not fleet.quiet("round %d" % i):
            break
    cuts = sum(link.was_cut for proxy in fleet.proxies for link in proxy.links)
    check(tap, not fleet.wrong and cuts > 0, "%s: random commands, links cut at random bytes" % fleet.name, "%d cuts" % cuts, *fleet.wrong[:5])
    fleet.wrong = []


def beyond_the_backlog(tap, fleet):
    """A replica that was away for too long gets a snapshot, and nothing else does. Where more than the backlog is left out is known from INFO."""
    top, proxy = fleet.nodes[0], fleet.proxies[0]
    for node in fleet.nodes:
        node.ask("CONFIG", "SET", "repl-backlog-size", SMALL_BACKLOG)
    for turn, size in enumerate((100, SMALL_BACKLOG // 2, 4 * SMALL_BACKLOG)):
        proxy.closed = True
        proxy.drop()
        for _ in range(size // 100):
            fleet.client.call("SET", "filler", "x" * 60)
        proxy.closed = False
        fleet.nodes[1].follow(proxy.ports[1 - turn % 2])  # at once
        if not fleet.quiet("away for %d bytes" % size):
            break
    full = [link for link in proxy.links if link.down.full]
    check(tap, not fleet.wrong and len(full) == 2, "%s: a snapshot for who was away for longer than the backlog, else none" % fleet.name, *fleet.wrong[:5], len(full), top.log_tail(3))
    fleet.wrong = []


def promotion(tap, fleet):
    """The second becomes the primary; the third goes on behind it, and the first goes on behind it, too."""
    first, second = fleet.nodes[:2]
    above = fleet.proxies[0]
    stats = second.stats()
    second.follow(None)
    role = second.info()["role"]
    above.drop()
    above.target = ("127.0.0.1", second.port)
    fleet.client.close()
    fleet.client = second.client(30)
    fleet.write(20)
    first.follow(above.port)
    fine = in_step(second, *[node for node in fleet.nodes if node is not second])
    fleet.write()
    fine = fine and in_step(second, *[node for node in fleet.nodes if node is not second])
    other = differences(fleet.nodes)
    gained = [b - a for a, b in zip(stats, second.stats())]
    facts = second.info()
    check(tap, fine and role == "master" and not other, "%s: after a promotion all are in step" % fleet.name, role, other[:3], [node.info() for node in fleet.nodes], *fleet.wrong[:3])
    check(tap, gained == [0, len(fleet.nodes) - 1, 0] and facts["master_replid"] != facts["master_replid2"], "%s: and nobody needed a snapshot for it" % fleet.name, gained, facts)


def members(found):
    """Who stands before whom: each pair, and chains that alternate."""
    for a in found:
        for b in found:
            if b.may_follow(a):
                yield [a, b]
                if a is not b and a.may_follow(b):
                    yield [a, b, a]


def main():
    tap = Tap()
    found = kinds()
    for line in members(found):
        if len(found) > 1 and not any(kind.ours for kind in line) and any(kind.ours for kind in found):
            continue  # of redis-servers alone: they are looked at when the rig is
        rng = random.Random("%d %s" % (SEED, [kind.name for kind in line]))
        fleet = Fleet(line, rng)
        with_cuts(tap, fleet)
        beyond_the_backlog(tap, fleet)
        promotion(tap, fleet)
        fleet.close()
    tap.done()


if __name__ == "__main__":
    main()

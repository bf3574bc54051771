#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Random commands of several clients that track keys, each in another way: who is told what, in which order, must agree with redis-server.

    plain    RESP3                                          noloop   RESP3, NOLOOP
    optin    RESP3, OPTIN, with CLIENT CACHING now and then optout   RESP3, OPTOUT
    bcast    RESP3, BCAST, two prefixes                     all      RESP3, BCAST NOLOOP
    resp2    RESP2, redirected to `hears`                   other    tracks nothing

One of them sends a random command (grammar.py), and then all that any of them hears is compared, byte for byte. A seed gives the same
commands for ever; what differs is printed with the commands before it.

COMPAT_SEED=n runs that seed only, COMPAT_SEEDS=n that many, COMPAT_COUNT=n commands a seed.
"""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compat  # noqa: E402
from grammar import Grammar  # noqa: E402
from generated import is_undefined, quoted  # noqa: E402
from resp import Closed, Silent, encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
import versions  # noqa: E402

MODES = {"plain": [], "noloop": ["NOLOOP"], "optin": ["OPTIN"], "optout": ["OPTOUT"], "bcast": ["BCAST", "PREFIX", "k1", "PREFIX", "q"],
         "all": ["BCAST", "NOLOOP"]}
ACTORS = [*MODES, "resp2", "other"]
READS = ["GET {k}", "MGET {k} {k} {k}", "TYPE {k}", "LRANGE {k} 0 -1", "EXISTS {k} {q}", "STRLEN {k}", "XREAD STREAMS {z} {z} 0 0"]
# 7.0 tracks what is declared of read-only scripts.
READS += [] if versions.OLDER else ["EVAL_RO r1 2 {k} {q}", "EVAL r2 1 {k}", "EVAL w1 1 {k}", "EVAL w2 2 {k} {q}"]
SCRIPTS = {b"r1": b"return redis.call('type', KEYS[1])", b"r2": b"return redis.call('exists', KEYS[1])", b"w1": b"return redis.call('del', KEYS[1])",
           b"w2": b"redis.call('exists', KEYS[1]); redis.call('set', KEYS[2], 'x'); return redis.call('exists', KEYS[2])"}
SHOWN = int(os.environ.get("COMPAT_SHOWN", "40"))
CACHING = ("YES", "NO")
# What ours tells and 7.2.4 does not (SWAPDB), and what depends on the order of tables, or which keys wrong arguments name (XREAD).
UNASKED = (b"SWAPDB", b"SPOP", b"RANDOMKEY", b"ACL", b"SCAN", b"XREAD")


class Side:
    """One server's clients."""

    def __init__(self, server):
        self.server = server
        watcher = server.client()
        watcher.call("FLUSHALL")
        self.clients = {name: server.client() for name in [*ACTORS, "hears"]}
        for name, options in MODES.items():
            self.clients[name].call("HELLO", "3")
            self.clients[name].call("CLIENT", "TRACKING", "ON", *options)
        number = self.clients["hears"].call("CLIENT", "ID").text()
        self.clients["hears"].call("SUBSCRIBE", "__redis__:invalidate")
        self.clients["resp2"].call("CLIENT", "TRACKING", "ON", "REDIRECT", number)
        watcher.close()

    def close(self):
        for client in self.clients.values():
            client.close()

    def step(self, who, args, mark):
        """All that anybody hears of it, as {name: [reply or message]}; the reply is the first of who's."""
        self.clients[who].send(encode(args))
        heard = {who: [self.clients[who].read()]}
        for name in [who] + [n for n in self.clients if n != who]:
            client = self.clients[name]
            client.send(encode([b"PING", mark]))
            nodes = heard.setdefault(name, [])
            while True:
                node = client.read()
                if mark in node.raw() or node.head == b"+QUEUED\r\n" or (node.kind == b"-" and b"wrong number" in node.head):
                    break
                nodes.append(node)
        return heard


def draw(grammar, rng):
    """(who, rule, args) of the next command."""
    who = rng.choice(ACTORS)
    what = rng.random()
    if what < 0.25 or (who not in ("other", "resp2") and what < 0.4):
        args = [SCRIPTS.get(w, w) for w in (grammar.fill(w).encode("latin-1") for w in rng.choice(READS).split())]
        return who, "", args
    if who in ("optin", "optout") and what < 0.5:
        return who, "", [b"CLIENT", b"CACHING", rng.choice(CACHING).encode()]
    rule, args = grammar.command()
    if is_undefined(args) or args[0].upper() in UNASKED or (versions.OLDER and versions.reason(args)):
        return who, "", [b"TYPE", b"k0"]
    return who, rule, args


def differs(rule, who, theirs, ours):
    """What one of them heard and not the other, as lines."""
    lines = []
    for name in theirs:
        a, b = list(theirs[name]), list(ours[name])
        # The reply itself is compared elsewhere (generated.py).
        if name == who and a and b and (a[0].kind == b[0].kind or compat.same(a[0], b[0], [rule] if rule else [])):
            a, b = a[1:], b[1:]
        if [n.raw() for n in a] != [n.raw() for n in b]:
            lines += ["    %s: redis %s" % (name, [compat.shown(n) for n in a]), "    %s: ours  %s" % (name, [compat.shown(n) for n in b])]
    return lines


def run(servers, seed, count):
    rng = random.Random(seed)
    grammar, sides, log = Grammar(rng), [], []
    told = 0
    try:
        sides = [Side(server) for server in servers]
        for i in range(count):
            who, rule, args = draw(grammar, rng)
            log.append("%s: %s" % (who, " ".join(quoted(a) for a in args)))
            heard = [side.step(who, args, b"mark-%d" % i) for side in sides]
            told += sum(len(v) for name, v in heard[0].items()) - 1
            lines = differs(rule, who, *heard)
            if lines:
                return log[-SHOWN:] + lines, told
    except (OSError, Closed, Silent, ValueError) as error:
        return log[-SHOWN:] + [repr(error)], told
    finally:
        for side in sides:
            side.close()
        for server in servers:
            server.revive()
    return [], told


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    count = int(os.environ.get("COMPAT_COUNT", "1500"))
    one = os.environ.get("COMPAT_SEED")
    seeds = [int(one)] if one else range(1, 1 + int(os.environ.get("COMPAT_SEEDS", "3")))
    tap = Tap()
    with Server(REDIS) as theirs, Server(OURS) as ours:
        for seed in seeds:
            notes, told = run((theirs, ours), seed, count)
            tap.ok(not notes and told > count / 6, "seed %d: of %d random commands the same is told to all who track" % (seed, count), notes + ["%d messages" % told])
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Every command with arguments too few, too many, empty, negative, huge, twice, of the wrong kind: the same errors.

The commands and how many arguments they take are read from COMMAND; what is called is drawn from a seed. A reply is compared
where one of the two servers says that something is wrong. TAP on stdout, a line a command.

    [COMPAT_SEED=7] [COMPAT_COUNT=200] tests/compat/arguments.py [command]
"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Closed, Silent  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap  # noqa: E402
from versions import expected  # noqa: E402

SEED, COUNT = int(os.environ.get("COMPAT_SEED", "7")), int(os.environ.get("COMPAT_COUNT", "40"))
SHOWN = 3
# What ends, stops or silences a server or its client, changes what the next call means, or has several replies.
LEFT_OUT = {"shutdown", "monitor", "sync", "psync", "replconf", "debug", "quit", "multi", "failover", "replicaof", "slaveof",
            "migrate", "save", "bgsave", "bgrewriteaof", "subscribe", "psubscribe", "unsubscribe", "punsubscribe",
            "client|kill", "client|pause", "client|reply", "config|set", "config|rewrite"}
# These wait, but not in a transaction.
WAITING = {"blpop", "brpop", "blmove", "brpoplpush", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "wait"}
KEYS = ["str", "num", "list", "set", "zset", "hash", "nokey"]
FILL = ["SET str abc", "SET num 10", "RPUSH list a b c", "SADD set a b c", "ZADD zset 1 a 2 b", "HSET hash f 1 g x"]
VALUES = ["", "-1", "0", "1", "2", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "2147483648", "nan", "-inf",
          "1.5", "1e400", "+1", " 1", "(1", "[a", "-", "+", "*", "f", "a",
          "x" * 500]  # of a longer option EXPIRE's error shows 512 bytes here, all of them in redis-server
TOKENS = """NX XX GET EX PX EXAT PXAT KEEPTTL PERSIST GT LT CH INCR LIMIT COUNT MATCH TYPE WITHSCORES WITHSCORE WITHVALUES BYSCORE
BYLEX REV WEIGHTS AGGREGATE SUM RANK MAXLEN LEN IDX MINMATCHLEN WITHMATCHLEN BEFORE AFTER LEFT RIGHT MIN MAX ASC DESC ALPHA STORE
BY BIT BYTE OVERFLOW SAT SET INCRBY AND NOT DB REPLACE ABSTTL IDLETIME FREQ ASYNC SYNC KEYS u8 i64 #1 AUTH SETNAME ID""".split()


def commands(client):
    """Name and arity of all, a subcommand as `container|name`."""
    found = {}
    for row in client.call("COMMAND").kids:
        for r in row.kids[9].kids or [row]:
            found[r.kids[0].text().decode()] = int(r.kids[1].text())
    return found


class Pair:
    def __init__(self, theirs, ours):
        self.servers, self.clients = (theirs, ours), [theirs.client(2.0), ours.client(2.0)]

    def both(self, words):
        """What each says; a text where it says nothing."""
        replies = []
        for i, client in enumerate(self.clients):
            try:
                replies.append(client.call(*words))
            except (Closed, Silent) as what:
                replies.append(type(what).__name__)
        if any(isinstance(r, str) for r in replies):
            for i, server in enumerate(self.servers):
                self.clients[i].close()
                self.clients[i] = server.client(2.0)
        return replies

    def fill(self):
        for line in ["RESET", "FLUSHALL"] + FILL:
            self.both(line.split())

    def difference(self, words, in_multi):
        """Both replies as bytes where they differ and one is an error."""
        if in_multi:
            self.both(["MULTI"])
        replies = self.both(words)
        if in_multi and not any(isinstance(r, str) for r in replies):
            replies = [r if r.is_error() else e.kids[0] if e.kids else e for r, e in zip(replies, self.both(["EXEC"]))]
        raw = [r.encode() if isinstance(r, str) else r.raw() for r in replies]
        wrong = any(isinstance(r, str) or r.is_error() for r in replies)
        return raw if wrong and raw[0] != raw[1] else None


def draw(rng, name, arity):
    """A call, mostly of about as many arguments as there may be."""
    words = name.split("|")
    least = abs(arity) - len(words)
    count = max(0, least + rng.choice([-1, 0, 0, 1, 1, 2, 3, 4, 6]))
    for i in range(count):
        kind = rng.random()
        if i == 0 and kind < 0.8 or kind < 0.15:
            words.append(rng.choice(KEYS))
        else:
            words.append(rng.choice(VALUES if kind < 0.6 else TOKENS))
    if count > 1 and rng.random() < 0.2:
        words += words[-rng.choice([1, 2]):]
    return words


def is_excused(words, raw):
    """redis-server's LSET cuts the index to 32 bits and writes to another element; here it is out of range."""
    if raw == [b"-ERR timeout is negative\r\n", b"-ERR timeout is out of range\r\n"]:
        return expected("timeout")
    return words[0] == "lset" and len(words) == 4 and words[2].strip("+- ").isdigit() and len(words[2]) > 9


def differences(pair, name, arity):
    rng, notes = random.Random("%d %s" % (SEED, name)), []
    pair.fill()
    for _ in range(COUNT):
        words = draw(rng, name, arity)
        raw = pair.difference(words, name in WAITING)
        if raw and not is_excused(words, raw):
            notes.append("%r\n  redis: %r\n  ours:  %r" % (words, raw[0][:300], raw[1][:300]))
        if raw:
            pair.fill()
    return notes


def main():
    tap, part = Tap(), sys.argv[1] if len(sys.argv) > 1 else ""
    with Server(REDIS) as theirs, Server(OURS) as ours:
        pair = Pair(theirs, ours)
        known, mine = commands(pair.clients[0]), commands(pair.clients[1])
        for name, arity in sorted(mine.items()):
            # What the older version does not know, or takes with fewer arguments, has nothing to be compared with.
            if name in LEFT_OUT or known.get(name) != arity or not name.startswith(part):
                continue
            notes = differences(pair, name, arity)
            tap.ok(not notes, "the same errors: " + name.replace("|", " ").upper(), notes[:SHOWN])
    tap.done()


if __name__ == "__main__":
    main()

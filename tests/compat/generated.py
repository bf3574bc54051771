#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Random commands, the same to redis-server and to our server: every reply and, now and then, the whole keyspace must agree.

A seed gives the same commands for ever. A sequence that shows a difference is shrunk (delta debugging: parts of it are left
out as long as a difference remains) and printed as a case that can be pasted into a file of tests/compat/cases.

COMPAT_SEED=n runs that seed only, COMPAT_SEEDS=n that many, COMPAT_COUNT=n commands a seed.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compat  # noqa: E402
from grammar import Grammar  # noqa: E402
from resp import Closed, Node, Silent, encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
import versions  # noqa: E402
from older import bridge, our_server, with_doubles_read  # noqa: E402

BATCH = 50            # commands sent at once
STATE_EVERY = 250     # commands between two looks at the whole keyspace
SHRINK_SECONDS = 6.0
SAID_LINES = 40       # of a sanitizer
LIMITS = ["hash-max-listpack-entries", "8", "hash-max-listpack-value", "18", "zset-max-listpack-entries", "8",
          "zset-max-listpack-value", "18", "set-max-intset-entries", "6", "list-max-listpack-size", "4",
          "stream-node-max-entries", "5"]
LIMITS += [] if versions.OLDER else ["set-max-listpack-entries", "9", "set-max-listpack-value", "18"]
HASHES_KEEP_ORDER = True # as long as they are listpacks
STATE = ("", [b"(the whole keyspace)"])


def read_stream(client, key):
    """All but the times at which something was delivered."""
    kids = [client.call("XRANGE", key, "-", "+"), client.call("XINFO", "STREAM", key), client.call("XINFO", "GROUPS", key),
            client.call("DEBUG", "DIGEST-VALUE", key)]
    if versions.OLDER:  # has fewer consumers: those that found something
        for group in kids[2].kids:
            del group.kids[2:4]
    kids += [client.call("XPENDING", key, group.kids[1].text()) for group in kids[2].kids]
    return Node(b"*%d\r\n" % len(kids), b"", kids)


def read_value(client, key, kind, encoding):
    """What a key holds; ordered where Redis keeps an order."""
    if kind == b"string":
        return client.call("GET", key)
    if kind == b"list":
        return client.call("LRANGE", key, "0", "-1")
    if kind == b"zset":
        reply = client.call("ZRANGE", key, "0", "-1", "WITHSCORES")
        return with_doubles_read(reply) if versions.OLDER else reply
    if kind == b"stream":
        return read_stream(client, key)
    if kind == b"set":
        return compat.normalise(client.call("SMEMBERS", key), ["unordered"] if encoding != b"intset" else [])
    return compat.normalise(client.call("HGETALL", key), ["pairs"] if encoding != b"listpack" or not HASHES_KEEP_ORDER else [])


def state(client):
    """The keyspace of both databases as one comparable Node."""
    kids = []
    for db in ("0", "1"):
        client.call("SELECT", db)
        for key in sorted(k.text() for k in client.call("KEYS", "*").kids):
            kind = client.call("TYPE", key).text()
            encoding = client.call("OBJECT", "ENCODING", key)
            expires = client.call("TTL", key).text() != b"-1"
            kids += [Node(b"+%s/%s expires=%d\r\n" % (db.encode(), key, expires)),
                     Node(b"+list\r\n") if versions.OLDER and kind == b"list" else encoding,
                     read_value(client, key, kind, encoding.text())]
    return Node(b"*%d\r\n" % len(kids), b"", kids)


class Run:
    """One server's part in a sequence."""

    def __init__(self, server, limits):
        self.watcher = server.client()
        self.watcher.call("FLUSHALL")
        self.watcher.call("ACL", "DELUSER", "nobody", *[n.text() for n in self.watcher.call("ACL", "USERS").kids if n.text() != b"default"])
        self.watcher.call("ACL", "LOG", "RESET")
        self.watcher.call("FUNCTION", "FLUSH")
        self.watcher.call("SCRIPT", "FLUSH")
        self.watcher.call("CONFIG", "SET", *limits)
        self.client = server.client()

        self.server, self.waiter = server, None

    def close(self):
        self.client.close()
        self.watcher.close()
        if self.waiter:
            self.waiter.close()

    def wait(self, command):
        """A client of its own asks, and has its reply or waits when this returns."""
        if not self.waiter:
            self.waiter = self.server.client()
            self.waiter_id = self.waiter.call("CLIENT", "ID").text()
        self.waiter.send(encode(command))
        deadline = time.monotonic() + self.waiter.timeout
        while not self.waiter.readable(0) and b"blocked_clients:1\r\n" not in self.watcher.call("INFO", "clients").text():
            if time.monotonic() > deadline:
                raise Silent("neither replied nor waiting")

    def waited(self):
        """What it was told, by now."""
        self.watcher.call("CLIENT", "UNBLOCK", self.waiter_id)
        return self.waiter.read()

    def replies(self, commands):
        self.client.send(b"".join(encode(args) for _, args in commands))
        out = []
        for _ in commands:
            try:
                out.append(self.client.read())
            except Closed:
                out.append(compat.CLOSED)
                break
            except Silent:
                out.append(compat.NO_REPLY)
                break
        return out


class Queue:
    """What a transaction has queued, so that each element of EXEC's reply is judged as its own command's."""

    def __init__(self):
        self.rules = []

    def agree(self, command, theirs, ours):
        """Whether the replies to a command agree; keeps track of MULTI and EXEC."""
        rule, args = command
        rules = [rule] if rule else []
        if theirs.head == b"+QUEUED\r\n":
            self.rules.append((rules, args))
            return theirs.raw() == ours.raw()
        if args[0] == b"MULTI" and not theirs.is_error():
            self.rules = []
        if args[0] == b"EXEC" and theirs.kids and theirs.head == ours.head:
            return all(compat.same(*bridge(queued, a, b), r) for a, b, (r, queued) in zip(theirs.kids, ours.kids, self.rules))
        return compat.same(*bridge(args, theirs, ours), rules)


def first_difference(servers, limits, commands, beside=lambda: None):
    """(index, theirs, ours) of the first reply that differs, or None."""
    runs = []
    try:
        runs = [Run(server, limits) for server in servers]
        return walk(runs, commands, beside())
    except (OSError, Closed, Silent, ValueError) as error:
        return len(commands) - 1, compat.CLOSED, Node(b"+%s\r\n" % repr(error).encode())
    finally:
        for run in runs:
            run.close()
        for server in servers:
            server.revive()


def walk(runs, commands, beside=None):
    """beside: what happens besides the commands: before(runs) and after(runs) a batch, and at the end(runs); the latter two return a difference or None."""
    at, queue = 0, Queue()
    while at < len(commands):
        if commands[at] is STATE:
            states = [state(run.watcher) for run in runs]
            if states[0].raw() != states[1].raw():
                return (at, *narrow(*states))
            at += 1
            continue
        batch = commands[at:at + BATCH]
        batch = batch[:batch.index(STATE)] if STATE in batch else batch
        if beside:
            beside.before(runs)
        both = [run.replies(batch) for run in runs]
        for i in range(len(batch)):
            if i >= min(len(both[0]), len(both[1])):
                return at + i, compat.NO_REPLY, compat.CLOSED
            a, b = both[0][i], both[1][i]
            if not queue.agree(batch[i], a, b):
                return at + i, a, b
        at += len(batch)
        found = beside.after(runs) if beside else None
        if found:
            return (at - 1, *found)
    found = beside.end(runs) if beside else None
    return (at - 1, *found) if found else None


def narrow(a, b):
    """Of two keyspaces only what differs."""
    for i in range(0, max(len(a.kids), len(b.kids)), 3):
        one, two = a.kids[i:i + 3], b.kids[i:i + 3]
        if [n.raw() for n in one] != [n.raw() for n in two]:
            return Node(b"*%d\r\n" % len(one), b"", one), Node(b"*%d\r\n" % len(two), b"", two)
    return a, b


def shrink(servers, limits, commands, beside):
    """Leaves out ever smaller parts while a difference remains; ends with one command a part, or with its time."""
    deadline = time.monotonic() + SHRINK_SECONDS
    parts = 2
    while len(commands) > 1 and time.monotonic() < deadline:
        size = -(-len(commands) // parts)
        for start in range(0, len(commands), size):
            fewer = commands[:start] + commands[start + size:]
            found = first_difference(servers, limits, fewer, beside) if fewer else None
            if found:
                commands, parts = fewer[:found[0] + 1], max(parts - 1, 2)
                break
            if time.monotonic() > deadline:
                return commands
        else:
            if size == 1:
                return commands
            parts = min(parts * 2, len(commands))
    return commands


def quoted(arg):
    if len(arg) > 16 and arg == arg[:1] * len(arg) and arg.isalnum():
        return "%%{%s*%d}" % (arg[:1].decode(), len(arg))
    if arg and all(33 <= c < 127 and c not in b"\"'\\" for c in arg):
        return arg.decode()
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in b"\"\\" else "\\x%02x" % c for c in arg) + '"'


def is_undefined(args):
    """Ranges by bytes: where members have different scores, as here, redis-server's answer depends on the random levels of its list."""
    return b"LEX" in args[0].upper() or any(a.upper() == b"BYLEX" for a in args)


def sequence(seed, count):
    return drawn(Grammar(random.Random(seed)), count)


def drawn(grammar, count):
    commands = []
    for i in range(count):
        rule, args = grammar.command()
        # What is answered differently on purpose, or by the version, would change what follows, too: it is not asked.
        unasked = is_undefined(args) or (versions.reason(args) if versions.OLDER else versions.reason_of_ours(args))
        commands.append(("", [b"PING"]) if unasked else (rule, args))
        if (i + 1) % STATE_EVERY == 0:
            commands += [("", [b"EXEC"]), STATE]
    return commands


def sanitizer_said(server):
    """What a sanitizer found wrong with the server, as lines."""
    with open(server.log, errors="replace") as log:
        text = log.read()
    start = max(text.rfind("ERROR: AddressSanitizer"), text.rfind("runtime error:"), text.rfind("ASSERTION FAILED"))
    return text[max(start - 80, 0):].splitlines()[:SAID_LINES] if start >= 0 else []


def report(servers, seed, limits, commands, first, beside):
    """The smallest sequence found that shows a difference, as lines; `first` is the difference of the whole one."""
    said = sanitizer_said(servers[1])
    commands = shrink(servers, limits, commands, beside)
    found = first_difference(servers, limits, commands, beside)
    lines = ["seed %d, shrunk to %d commands:" % (seed, len(commands))]
    lines += ["CONFIG SET " + " ".join(limits)] if limits is LIMITS else []
    lines += [" ".join(quoted(a) for a in args) for _, args in commands]
    if not found:
        lines.append("(seen once and not again, at command %d of the seed)" % (first[0] + 1))
        found = first
    return lines + ["    redis: " + compat.shown(found[1]), "    ours:  " + compat.shown(found[2])] + said


def seeds_wanted(count):
    """Of COMPAT_SEED, COMPAT_SEEDS or, if there is neither, so many."""
    one = os.environ.get("COMPAT_SEED")
    return [int(one)] if one else range(1, 1 + int(os.environ.get("COMPAT_SEEDS", count)))


def compare(tap, servers, seeds, draw, beside=None):
    """A case a seed: the commands that draw(seed) gives, with what beside(seed) does (walk())."""
    defaults = [n.text().decode() for name in LIMITS[::2] for n in servers[0].client().call("CONFIG", "GET", name).kids]
    for seed in seeds:
        limits = LIMITS if seed % 2 else defaults
        commands = draw(seed)
        new = (lambda: beside(seed)) if beside else lambda: None
        found = first_difference(servers, limits, commands, new)
        notes = report(servers, seed, limits, commands[:found[0] + 1], found, new) if found else []
        tap.ok(not found, "seed %d: %d random commands are answered alike" % (seed, len(commands)), notes)


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    count = int(os.environ.get("COMPAT_COUNT", "3000"))
    tap = Tap()
    with Server(REDIS) as theirs, our_server() as ours:
        compare(tap, (theirs, ours), seeds_wanted(6), lambda seed: sequence(seed, count))
    tap.done()


if __name__ == "__main__":
    main()

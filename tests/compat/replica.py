#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""A replica of redis-server's and one of ours, of the same primary: what each answers, refuses and does by itself.

First without a link (nobody listens where their primary should be): every command of the table, for each combination of
replica-read-only and replica-serve-stale-data, asked plainly, in a transaction and from a script. Compared is every reply with which
either of the two refuses something because of its role, byte for byte. Then ROLE, INFO and what waits when the role changes. TAP on stdout.
"""
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from arguments import commands  # noqa: E402
from resp import Closed, Silent  # noqa: E402
from servers import OURS, REDIS, Server, free_port  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from versions import OLDER, expected  # noqa: E402

# What ends or silences a server or its client, changes its role, or waits for what cannot come.
LEFT_OUT = {"shutdown", "monitor", "sync", "psync", "replconf", "debug", "quit", "failover", "replicaof", "slaveof", "reset", "client|kill",
            "client|pause", "client|reply", "config|set", "config|rewrite", "multi", "exec", "discard", "subscribe", "psubscribe", "ssubscribe",
            "unsubscribe", "punsubscribe", "sunsubscribe", "auth", "hello", "save", "bgsave", "bgrewriteaof", "restore-asking", "asking",
            "migrate", "cluster|failover", "acl|setuser", "acl|load", "module|load", "module|loadex", "client|no-evict", "client|no-touch"}
OPTIONS = [("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")]
ROLE_WORDS = re.compile(rb"READONLY|MASTERDOWN|NOREPLICAS|LOADING|stale replica|replica instances|EXECABORT")
REFUSAL = 300  # bytes: INFO and others name the codes of errors further down
SHOWN = 4


class Pair:
    """The two servers, and a client of each."""

    def __init__(self, theirs, ours, proto=2):
        self.servers, self.proto = (theirs, ours), proto
        self.clients = [self.connect(0), self.connect(1)]

    def connect(self, i):
        client = self.servers[i].client(5.0)
        if self.proto == 3:
            client.call("HELLO", "3")
        return client

    def again(self):
        for i in (0, 1):
            self.clients[i].close()
            self.clients[i] = self.connect(i)

    def both(self, *words):
        return [client.call(*words) for client in self.clients]

    def raw(self, *words):
        return [reply.raw() for reply in self.both(*words)]

    def each(self, *lines):
        for line in lines:
            self.both(*(line.split() if isinstance(line, str) else line))


def call_of(name, arity):
    """Enough words, all of them a key's name or a number; what is wrong with them is found after the server's state is asked."""
    words = name.split("|")
    return words + ["1"] * (abs(arity) - len(words))


def ways(pair, words):
    """What each of them says to the same words plainly, queued and in EXEC, and from a script."""
    plain = pair.raw(*words)
    pair.both("MULTI")
    queued = pair.raw(*words)
    ended = pair.raw("EXEC")
    script = pair.raw("EVAL", "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return r end return 'ran'", "0", *words)
    return [("plainly", plain), ("queued", queued), ("in EXEC", ended), ("from a script", script)]


def refusals(pair, tap, table, claim):
    """Every command, as the options are now."""
    wrong, refused = [], 0
    for name, arity in sorted(table.items()):
        words = call_of(name, arity)
        for how, (theirs, ours) in ways(pair, words):
            by_role = ROLE_WORDS.search(theirs[:REFUSAL]) or ROLE_WORDS.search(ours[:REFUSAL])
            refused += bool(by_role)
            if b"not allowed from script" in theirs and expected("script-blocking"):
                continue
            if by_role and theirs != ours:
                wrong.append("%s %s: %r there, %r here" % (" ".join(words), how, theirs[:160], ours[:160]))
    tap.ok(not wrong and refused > 0, "%s: the same commands are refused, in the same words (%d times)" % (claim, refused), wrong[:SHOWN])


def section_refusals(tap, pair, table):
    for read_only, stale in OPTIONS:
        pair.each("CONFIG SET replica-read-only " + read_only, "CONFIG SET replica-serve-stale-data " + stale)
        refusals(pair, tap, table, "RESP%d, read-only %s, stale data %s" % (pair.proto, read_only, stale))
    pair.each("CONFIG SET replica-read-only yes", "CONFIG SET replica-serve-stale-data yes")


def fields(reply):
    return [line.split(b":", 1) for line in reply.text().split(b"\r\n") if b":" in line]


# Where a primary stood that became a replica.
OFFSETS = {b"master_repl_offset", b"slave_repl_offset", b"slave_read_repl_offset"}
# What is another's in each server, or moves.
OWN = {b"master_replid", b"master_replid2", b"master_link_down_since_seconds", b"repl_backlog_size", b"repl_backlog_active",
       b"repl_backlog_first_byte_offset", b"repl_backlog_histlen", b"second_repl_offset"}


def compare_info(tap, pair, claim, own=frozenset()):
    theirs, ours = [fields(r) for r in pair.both("INFO", "replication")]
    tap.ok([f[0] for f in theirs] == [f[0] for f in ours], "%s: INFO replication has the same fields in the same order" % claim,
           [b" ".join(f[0] for f in theirs).decode(), b" ".join(f[0] for f in ours).decode()])
    differ = [(a, b) for a, b in zip(theirs, ours) if a != b and a[0] not in OWN | own]
    tap.ok(not differ, "%s: with the same values" % claim, differ)


SCRIPTS = [("#!lua\n", "return redis.call('set', KEYS[1], 'x')"), ("#!lua flags=no-writes\n", "return redis.call('get', KEYS[1])"),
           ("#!lua flags=allow-stale,no-writes\n", "return redis.call('get', KEYS[1])"),
           ("#!lua flags=allow-stale,no-writes\n", "return redis.call('echo', 'x')"),
           ("#!lua flags=allow-stale\n", "return redis.call('set', KEYS[1], 'x')"),
           ("#!lua flags=no-writes\n", "return redis.call('set', KEYS[1], 'x')"), ("", "return 1"),
           ("", "return redis.call('get', KEYS[1])"), ("", "return redis.pcall('set', KEYS[1], 'x')"),
           ("", "return redis.call('pfcount', KEYS[1])"), ("", "return redis.call('publish', 'c', 'm')"),
           ("", "return redis.call('role')"), ("#!lua flags=allow-oom,allow-stale,no-writes\n", "return 1")]


def section_scripts(tap, pair):
    """Programs that say what they do, and such that do not."""
    for read_only, stale in OPTIONS:
        pair.each("CONFIG SET replica-read-only " + read_only, "CONFIG SET replica-serve-stale-data " + stale)
        wrong = []
        for first, body in SCRIPTS:
            for command in ("EVAL", "EVAL_RO"):
                theirs, ours = pair.raw(command, first + body, "1", "k")
                if theirs != ours:
                    wrong.append("%s %r: %r there, %r here" % (command, first + body, theirs, ours))
            pair.both("MULTI")
            theirs, ours = [a + b for a, b in zip(pair.raw("EVAL", first + body, "1", "k"), pair.raw("EXEC"))]
            if theirs != ours:
                wrong.append("in MULTI, %r: %r there, %r here" % (first + body, theirs, ours))
        tap.ok(not wrong, "RESP%d, read-only %s, stale data %s: scripts" % (pair.proto, read_only, stale), wrong[:SHOWN])
    pair.each("CONFIG SET replica-read-only yes", "CONFIG SET replica-serve-stale-data yes")


LIBRARY = """#!lua name=mine
local function w(keys) return redis.call('set', keys[1], 'x') end
local function r(keys) return redis.call('get', keys[1]) end
local function s() return 'stale' end
redis.register_function('w', w)
redis.register_function{function_name='r', callback=r, flags={'no-writes'}}
redis.register_function{function_name='s', callback=s, flags={'no-writes', 'allow-stale'}}
"""


def section_functions(tap, pair):
    for read_only, stale in OPTIONS:
        pair.each("CONFIG SET replica-read-only " + read_only, "CONFIG SET replica-serve-stale-data " + stale)
        wrong = []
        for words in (["FCALL", "w", "1", "k"], ["FCALL", "r", "1", "k"], ["FCALL_RO", "r", "1", "k"], ["FCALL_RO", "w", "1", "k"],
                      ["FCALL", "s", "0"], ["FCALL", "none", "0"], ["FUNCTION", "LOAD", "x"], ["FUNCTION", "DELETE", "none"],
                      ["FUNCTION", "FLUSH", "x", "y"], ["FUNCTION", "STATS"], ["FUNCTION", "RESTORE", "x"]):
            theirs, ours = pair.raw(*words)
            if theirs != ours:
                wrong.append("%s: %r there, %r here" % (" ".join(words), theirs, ours))
        tap.ok(not wrong, "RESP%d, read-only %s, stale data %s: functions" % (pair.proto, read_only, stale), wrong[:SHOWN])
    pair.each("CONFIG SET replica-read-only yes", "CONFIG SET replica-serve-stale-data yes")


def section_told(tap, pair):
    """What it says of itself."""
    said = [re.findall(r"\d+:([A-Z]) ", server.log_tail(1)[0]) for server in pair.servers]
    tap.ok(said[0] == said[1] == ["S"], "lines of the log name the role", said)
    for words in (["ROLE"], ["WAIT", "0", "0"], ["WAIT", "x", "y"], ["CONFIG", "GET", "replica-*"], ["CONFIG", "GET", "slave-*"]) + (
            () if OLDER else (["WAITAOF", "0", "0", "0"], ["WAITAOF", "1", "0", "0"], ["WAITAOF", "2", "0", "0"])):
        theirs, ours = pair.both(*words)
        if words[0] == "ROLE":
            # It tries and fails in turns.
            theirs, ours = [re.sub(rb"\$\d+\r\nconnect(ing)?\r\n", b"$7\r\nconnect\r\n", r.raw()) for r in (theirs, ours)]
            tap.ok(theirs == ours, "ROLE", [theirs, ours])
        elif words[0] == "CONFIG":
            theirs, ours = [sorted(zip([k.raw() for k in r.kids[::2]], [k.raw() for k in r.kids[1::2]])) for r in (theirs, ours)]
            tap.ok(theirs == ours, " ".join(words), [theirs, ours])
        else:
            tap.ok(theirs.raw() == ours.raw(), " ".join(words), [theirs.raw(), ours.raw()])
    theirs, ours = pair.both("HELLO")
    role = [[k.raw() for k in r.kids][11] for r in (theirs, ours)]
    tap.ok(role[0] == role[1], "HELLO says replica", role)
    for words in (["CONFIG", "SET", "slave-priority", "-1"], ["CONFIG", "SET", "replica-priority", "7"],
                  ["CONFIG", "SET", "replica-announced", "no"], ["CONFIG", "SET", "slave-read-only", "no"]):
        theirs, ours = pair.raw(*words)
        tap.ok(theirs == ours, " ".join(words), [theirs, ours])
    compare_info(tap, pair, "with other options", OFFSETS)
    pair.each("CONFIG SET replica-priority 100", "CONFIG SET replica-announced yes", "CONFIG SET replica-read-only yes")


def section_dead_in_a_file(tap, pair, port):
    """Whose time has come stays when a replica reads it from a file, and goes when a primary does."""
    said = []
    for role in (["REPLICAOF", "NO", "ONE"], ["REPLICAOF", "127.0.0.1", str(port)]):
        pair.each("REPLICAOF NO ONE", "FLUSHALL", "DEBUG SET-ACTIVE-EXPIRE 0", "SET dead v PX 1", "SET alive v PX 1000000")
        time.sleep(0.02)
        pair.both(*role)
        said += [pair.raw("DEBUG", "RELOAD"), pair.raw("DBSIZE"), pair.raw("EXISTS", "dead", "alive")]
    pair.each("DEBUG SET-ACTIVE-EXPIRE 1")
    tap.ok(all(theirs == ours for theirs, ours in said) and said[1] != said[4], "a replica reads from a file what is dead, too", said)


def last_word(client):
    """What a client is told that waits, and whether the connection ends with it."""
    try:
        said = client.read().raw()
    except (Closed, Silent) as what:
        return type(what).__name__
    try:
        client.read()
    except Closed:
        return said + b"and closed"
    except Silent:
        return said + b"and open"
    return said + b"and more"


def section_waiting(tap, pair, port):
    """Who waits when a primary becomes a replica, and when that becomes another's."""
    for words in (["BLPOP", "nokey", "0"], ["XREAD", "BLOCK", "0", "STREAMS", "nokey", "0"], ["WAIT", "1", "0"], ["BZPOPMIN", "nokey", "0"],
                  ["BLMOVE", "nokey", "b", "LEFT", "LEFT", "0"]):
        pair.each("REPLICAOF NO ONE")
        waiting = [pair.connect(i) for i in (0, 1)]
        for client in waiting:
            client.timeout = 1.0
            client.send(b"".join(b"%s " % w.encode() for w in words) + b"\r\n")
        for server in pair.servers:
            wait_for(server, "blocked_clients:1")
        pair.each("REPLICAOF 127.0.0.1 %d" % port)
        theirs, ours = [last_word(client) for client in waiting]
        tap.ok(theirs == ours, "%s, and then a replica" % " ".join(words), [theirs, ours])
        for client in waiting:
            client.close()
    waiting = [pair.connect(i) for i in (0, 1)]
    for client in waiting:
        client.timeout = 0.3
        client.send(b"XREAD BLOCK 0 STREAMS nokey 0\r\n")
    for server in pair.servers:
        wait_for(server, "blocked_clients:1")
    pair.each("REPLICAOF NO ONE")
    theirs, ours = [last_word(client) for client in waiting]
    tap.ok(theirs == ours, "promotion disturbs nobody", [theirs, ours])
    for client in waiting:
        client.close()
    pair.each("REPLICAOF 127.0.0.1 %d" % port)


def wait_for(server, line, section="clients", tries=500):
    client = server.client()
    for _ in range(tries):
        if line.encode() in client.call("INFO", section).text():
            client.close()
            return True
    client.close()
    return False


def main():
    tap = Tap()
    if not os.access(REDIS, os.X_OK):
        skip_all("no redis-server to compare with")
    nobody = free_port()
    options = ["--replicaof", "127.0.0.1 %d" % nobody]
    with Server(REDIS, options) as theirs, Server(OURS, options) as ours:
        pair = Pair(theirs, ours)
        both_know = [commands(client) for client in pair.clients]
        table = {name: arity for name, arity in both_know[1].items() if both_know[0].get(name) == arity and name not in LEFT_OUT}
        tap.ok(len(table) > 200, "%d commands are asked" % len(table))
        compare_info(tap, pair, "started as a replica")
        for proto in (2, 3):
            pair = Pair(theirs, ours, proto)
            pair.each("REPLICAOF NO ONE", ["FUNCTION", "LOAD", "REPLACE", LIBRARY], "SET k v", "REPLICAOF 127.0.0.1 %d" % nobody)
            section_refusals(tap, pair, table)
            section_scripts(tap, pair)
            section_functions(tap, pair)
        pair = Pair(theirs, ours)
        section_told(tap, pair)
        section_waiting(tap, pair, nobody)
        section_dead_in_a_file(tap, pair, nobody)
        compare_info(tap, pair, "made one", OFFSETS)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""WAITAOF with a log: who waits, for what, and what ends it. With REDIS_SERVER naming a redis-server 7.2 that is asked the same."""
import os
import sys

from here import OURS, REDIS, Server, Tap, info, need_server, text_of, wait_until

from resp import Closed, encode  # noqa: E402

need_server()
tap = Tap()
PATIENCE = 60
NO_LOG = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."


def said(reply):
    """A reply as Python has it."""
    if reply.kind == b"*":
        return [said(kid) for kid in reply.kids]
    return reply.text().decode()


class Case:
    """A server with a log, and clients of it."""

    def __init__(self, server, policy):
        self.server = server
        self.admin = server.client(PATIENCE)
        self.client = server.client(PATIENCE)
        self.ask("CONFIG", "SET", "appendfsync", policy)

    def ask(self, *words):
        return said(self.admin.call(*words))

    def waits(self, *words):
        """Sends it, and returns when it waits."""
        self.client.send(encode(list(words)))
        return wait_until(lambda: info(self.admin, "blocked_clients", "clients") == "1")

    def read(self):
        return said(self.client.read())


def policies(case):
    case.client.call("INCR", "n")
    yield "no: it is written, and not synced", said(case.client.call("WAITAOF", "1", "0", "50")), ["0", "0"]
    yield "who changed nothing waits for nothing", case.ask("WAITAOF", "1", "0", "0"), ["1", "0"]
    yield "none is asked for: no wait, and the truth", said(case.client.call("WAITAOF", "0", "0", "0")), ["0", "0"]
    case.client.call("MULTI")
    case.client.call("WAITAOF", "1", "0", "0")
    yield "in a transaction nobody waits", said(case.client.call("EXEC")), [["0", "0"]]
    yield "waits for the disk", case.waits("WAITAOF", "1", "0", "0"), True
    case.ask("CONFIG", "SET", "appendfsync", "everysec")
    yield "everysec: the next sync", case.read(), ["1", "0"]
    case.ask("CONFIG", "SET", "appendfsync", "always")
    case.client.send(b"".join(encode(words) for words in (["INCR", "n"], ["WAITAOF", "1", "0", "0"], ["INCR", "n"], ["WAITAOF", "1", "0", "0"])))
    yield "always, in a pipeline", [case.read() for _ in range(4)], ["2", ["1", "0"], "3", ["1", "0"]]


def ends(case):
    case.client.call("INCR", "n")
    number = said(case.client.call("CLIENT", "ID"))
    case.waits("WAITAOF", "1", "0", "0")
    yield "CLIENT UNBLOCK", [case.ask("CLIENT", "UNBLOCK", number), case.read()], ["1", ["0", "0"]]
    case.waits("WAITAOF", "1", "0", "0")
    yield "CLIENT UNBLOCK ERROR", [case.ask("CLIENT", "UNBLOCK", number, "ERROR"), case.read()], ["1", "UNBLOCKED client unblocked via CLIENT UNBLOCK"]
    case.waits("WAITAOF", "1", "0", "0")
    other = case.server.client(PATIENCE)
    other.send(b"".join(encode(words) for words in (["MULTI"], ["SET", "a", "1"], ["CLIENT", "UNBLOCK", number], ["SET", "b", "1"], ["EXEC"])))
    for _ in range(4):
        other.read()
    yield "in a transaction", [said(other.read()), case.read()], [["OK", "1", "OK"], ["0", "0"]]
    case.waits("WAITAOF", "1", "0", "0")
    case.ask("CONFIG", "SET", "appendonly", "no")
    yield "the log is switched off", case.read(), NO_LOG
    yield "and there is none to wait for", said(case.client.call("WAITAOF", "1", "0", "0")), NO_LOG
    yield "or to be in", said(case.client.call("WAITAOF", "0", "0", "0")), ["0", "0"]
    case.ask("CONFIG", "SET", "appendfsync", "everysec")
    case.ask("CONFIG", "SET", "rdb-key-save-delay", "10000000")
    case.ask("BGSAVE")
    case.ask("CONFIG", "SET", "appendonly", "yes")
    case.client.call("SET", "x", "y")
    yield "switched on while a file is saved: waits for its first base", case.waits("WAITAOF", "1", "0", "0"), True
    case.ask("CONFIG", "SET", "rdb-key-save-delay", "0")
    case.ask("FLUSHALL")  # gives the save up
    yield "and is told when that is there", [case.read(), info(case.admin, "aof_rewrite_in_progress")], [["1", "0"], "0"]
    case.ask("CONFIG", "SET", "appendfsync", "no")
    case.client.call("SET", "x", "y")
    case.waits("WAITAOF", "1", "1", "0")
    case.client.close()
    yield "its client goes", wait_until(lambda: info(case.admin, "blocked_clients", "clients") == "0"), True


def killed(case):
    number = said(case.client.call("CLIENT", "ID"))
    case.client.call("SET", "x", "y")
    case.waits("WAITAOF", "1", "0", "0")
    case.ask("CLIENT", "KILL", "ID", number)
    try:
        case.client.read()
        gone = False
    except Closed:
        gone = True
    yield "CLIENT KILL", [gone, info(case.admin, "blocked_clients", "clients")], [True, "0"]
    other = case.server.client(PATIENCE)
    other.call("SET", "x", "y")
    case.ask("BGREWRITEAOF")
    wait_until(lambda: info(case.admin, "aof_rewrite_in_progress") == "0")
    yield "the file that a rewrite leaves is synced", said(other.call("WAITAOF", "1", "0", "0")), ["1", "0"]


def run(program):
    for claims in (policies, ends, killed):
        with Server(program, ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]) as server:
            for what, got, want in claims(Case(server, "no")):
                tap.ok(got == want, "WAITAOF: " + what, [] if got == want else [got, want])


if len(sys.argv) > 1 or "7.2" in os.environ.get("REDIS_SERVER", ""):
    run(REDIS)
run(OURS)
tap.done()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""log-format and log-timestamp-format: every line of a server's life is one JSON object, or one of logfmt, the report of a crash too; whatever bytes a
client brings; changed while it runs. What the default writes has not changed. TAP on stdout."""
import datetime
import json
import os
import re
import signal
import time

from here import OURS, Server, Tap, need_server

need_server()


class Quiet(Tap):
    """Notes are for what failed."""

    def ok(self, passed, claim, notes=()):
        return super().ok(passed, claim, () if passed else notes)


tap = Quiet()
LEGACY = re.compile(rb"\d+:[MS] \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3} [.\-*#] ")
LEGACY_ISO = re.compile(rb"\d+:[MS] \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d [.\-*#] ")
LOGFMT = re.compile(rb'pid=\d+ role=(primary|replica) timestamp="[^"]+" level=(debug|info|notice|warning) message="[^"\x00-\x1f]*"\Z')
FIELDS = ["timestamp", "level", "pid", "role", "message"]


def lines(server):
    with open(server.log, "rb") as log:
        return log.read().split(b"\n")[:-1]


def parsed(text):
    """The objects, and what is none."""
    good, bad = [], []
    for line in text:
        try:
            good.append(json.loads(line.decode("utf-8")))
            if list(good[-1]) != FIELDS:
                bad.append(line)
        except ValueError:
            bad.append(line)
    return good, bad


def ended(server, sig=signal.SIGTERM):
    os.kill(server.pid, sig)
    server.process.wait(20)


def a_whole_life():
    with Server(OURS, ["--log-format", "json", "--loglevel", "debug", "--always-show-logo", "yes"]) as server:
        client = server.client()
        junk = b"\xff\xfe quote \" back \\ nul? \x01 \xc3\xbc \xed\xa0\x80"
        client.call("DEBUG", "LOG", junk)
        client.call("CLIENT", "SETNAME", "x")
        ended(server)
        good, bad = parsed(lines(server))
        tap.ok(len(good) > 8 and not bad, "every line of a server's life is an object with the same fields", bad)
        tap.ok({o["pid"] for o in good} == {server.pid} and {o["role"] for o in good} == {"primary"} and {o["level"] for o in good} >= {"notice", "warning"},
               "pid, role and level", good[:3])
        now = datetime.datetime.now(datetime.timezone.utc)
        apart = [abs((now - datetime.datetime.fromisoformat(o["timestamp"])).total_seconds()) for o in good]
        tap.ok(max(apart) < 600, "timestamps are of now, with their zone", good[:1])
        said = [o["message"] for o in good if "quote" in o["message"]]
        tap.ok(len(said) == 1 and '\xff\xfe quote " back \\ nul? \x01 \xfc \xed\xa0\x80' in said[0], "bytes that are no text come out as themselves", said)


def changed_while_it_runs():
    with Server(OURS, ["--loglevel", "debug"]) as server:
        client = server.client()
        tap.ok(all(LEGACY.match(line) for line in lines(server)), "the default is redis-server's line", lines(server)[:3])
        before = client.call("INFO", "everything").text()
        for form, timestamp, good in (("json", "milliseconds", None), ("logfmt", "legacy", LOGFMT), ("logfmt", "iso8601", LOGFMT), ("legacy", "iso8601", LEGACY_ISO), ("legacy", "legacy", LEGACY), ("json", "legacy", None)):
            reply = client.call("CONFIG", "SET", "log-format", form, "log-timestamp-format", timestamp).raw()
            at = len(lines(server))
            client.call("DEBUG", "LOG", 'one "two"\nthree')
            new = lines(server)[at:]
            if form == "json":
                objects, bad = parsed(new)
                fine = objects and not bad and 'one "two"\nthree' in objects[-1]["message"] and isinstance(objects[-1]["timestamp"], int) == (timestamp == "milliseconds")
            else:
                new = new if form == "logfmt" else new[:1] # a message with a newline is two of them there
                fine = new and all(good.match(line) for line in new)
            tap.ok(reply == b"+OK\r\n" and fine, "CONFIG SET log-format %s, timestamps %s" % (form, timestamp), [reply] + new)
        shown = [k.text() for k in client.call("CONFIG", "GET", "log-*").kids]
        tap.ok(dict(zip(shown[::2], shown[1::2])) == {b"log-format": b"json", b"log-timestamp-format": b"legacy"}, "CONFIG GET shows them", shown)
        refused = client.call("CONFIG", "SET", "log-format", "xml").raw()
        tap.ok(b"legacy, logfmt, json" in refused, "another word is refused", [refused])
        names = [[line.split(b":")[0] for line in text.split(b"\r\n") if b":" in line] for text in (before, client.call("INFO", "everything").text())]
        tap.ok(set(names[0]) <= set(names[1]), "INFO is what it was")


def a_replica():
    with Server(OURS, ["--repl-diskless-sync-delay", "0"], tcp=True) as primary, Server(OURS, ["--log-format", "json", "--replicaof", "127.0.0.1 %d" % primary.port], tcp=True) as replica:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and b"master_link_status:up" not in replica.client().call("INFO", "replication").text():
            time.sleep(0.05)
        good, bad = parsed(lines(replica))
        tap.ok(not bad and good[-1]["role"] == "replica", "a replica says that it is one", bad or good[-1:])


def a_crash():
    for form in ("json", "logfmt"):
        with Server(OURS, ["--log-format", form]) as server:
            if b"__asan_init" in open(OURS, "rb").read():
                tap.skip("the report of a crash, %s" % form, "a sanitizer reports by itself")
                continue
            client = server.client()
            client.call("SET", "k", "v")
            ended(server, signal.SIGSEGV)
            text = lines(server)
            if form == "json":
                good, bad = parsed(text)
                messages = [o["message"] for o in good]
            else:
                bad = [line for line in text if not LOGFMT.match(line)]
                messages = [line.decode("utf-8", "replace") for line in text]
            tap.ok(not bad and len(text) > 100 and any("crashed by signal: 11" in m for m in messages) and any("redis_version" in m for m in messages),
                   "the report of a crash is lines of %s" % form, bad[:5] or messages[-5:])


a_whole_life()
changed_while_it_runs()
a_replica()
a_crash()
tap.done()

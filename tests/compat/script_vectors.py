#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Scripts and what redis-server 7.2.4 answers to them, byte for byte: the language, the libraries, conversions in both protocols, errors.

The files of script_vectors/ hold a line a script: its text (JSON if it begins with a quote), the reply of 7.2.4 as JSON, and,
where ours is another on purpose, a word of REASONS and our reply. They run in the order of the file on one connection, as
EVAL script 2 k1 k2 a1 a2. No redis-server is asked. `script_vectors.py --write` puts our replies into the third column.
"""
import json
import os
import sys

from resp import encode
from servers import OURS, Server
from tap import Tap, skip_all

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "script_vectors")
NO_LUA = b"built without LuaJIT"
DATA = [["SET", "s", "v"], ["SET", "lk", "v"], ["HSET", "h", "f", "1"], ["SADD", "st", "a"], ["ZADD", "z", "1.5", "a"], ["RPUSH", "l", "1", "2"]]
FILES = {
    "lua.tsv": (2, [["SET", "lk", "v"]]),
    "resp2.tsv": (2, DATA + [["DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1"]]),
    "resp3.tsv": (3, DATA + [["DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1"]]),
}
# What LuaJIT cannot do as Lua 5.1 does, and what is wanted: server/README.md says it to users.
REASONS = {
    "syntax": "LuaJIT reads more than Lua 5.1 does: goto, escapes, suffixes of numbers",
    "holes": "the length of a table with holes is any of its borders",
    "arg": "there is no implicit arg table",
    "os": "os.clock is there",
    "loop": "a loop by steps of 0 does not end",
    "levels": "limits of deep nesting and large functions, and what is left of a chunk's name in their errors, are LuaJIT's",
    "tail": "the position of a tail call is known once",
    "yield": "coroutines may yield inside metamethods and iterators",
    "numbers": "whole numbers are arguments in full, as in 7.0 and since 7.2.5",
}


def load(name):
    for line in open(os.path.join(FOLDER, name), encoding="utf-8"):
        fields = line.rstrip("\n").split("\t")
        if len(fields) < 2 or line.startswith("#"):
            yield line, None, None, None, None
            continue
        script = json.loads(fields[0]) if fields[0].startswith('"') else fields[0]
        script = script.encode("utf-8" if any(ord(letter) > 255 for letter in script) else "latin-1")
        reason, ours = fields[2:4] if len(fields) > 3 else (None, None)
        yield line, script, json.loads(fields[1]).encode("latin-1"), reason, ours and json.loads(ours).encode("latin-1")


def answers(server, name):
    proto, before = FILES[name]
    client = server.client()
    client.timeout = 30
    for words in [["FLUSHALL"], ["SCRIPT", "FLUSH"]] + before + ([["HELLO", "3"]] if proto == 3 else []):
        client.call(*words)
    for line, script, redis, reason, ours in load(name):
        got = client.call("EVAL", script, "2", "k1", "k2", "a1", "a2").raw() if script is not None else None
        yield line, script, redis, reason, ours, got


def write(server, name):
    lines = []
    for line, script, redis, reason, ours, got in answers(server, name):
        fields = line.rstrip("\n").split("\t")
        if script is None or got == redis:
            lines.append(line if script is None else "\t".join(fields[:2]) + "\n")
        else:
            lines.append("\t".join(fields[:2] + [reason or "?", json.dumps(got.decode("latin-1"))]) + "\n")
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as out:
        out.writelines(lines)


def check(tap, server, name):
    count, wrong, unused = 0, [], []
    for line, script, redis, reason, ours, got in answers(server, name):
        if script is None:
            continue
        count += 1
        if reason is not None and reason not in REASONS:
            wrong.append("%r: no such reason: %s" % (script[:80], reason))
        elif got != (redis if reason is None else ours):
            wrong.append("%r\n  7.2.4 %r\n  ours  %r%s" % (script[:160], redis[:200], got[:200], "" if reason is None else " (noted: %r)" % ours[:200]))
        elif reason is not None and got == redis:
            unused.append(script[:80])
    tap.ok(not wrong and count > 100, "%s: %d scripts answer as 7.2.4 does, or as is noted" % (name, count), wrong[:20])
    tap.ok(not unused, "%s: what is noted as another reply is another reply" % name, unused)
    tap.ok(server.client().call("PING").raw() == b"+PONG\r\n", "%s: the server is there" % name)


def main():
    if not os.access(OURS, os.X_OK):
        skip_all("no " + OURS)
    tap = Tap()
    for name in sorted(FILES):
        server = Server(OURS)
        try:
            if NO_LUA in server.client().call("EVAL", "return 1", "0").raw():
                skip_all("built without LuaJIT")
            if "--write" in sys.argv:
                write(server, name)
            else:
                check(tap, server, name)
        finally:
            server.stop()
    tap.done()


main()

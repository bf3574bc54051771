#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Scripts that crash, hang or break the sandbox of some server: each is answered (or killed), and the server is as before.

tests/compat/script_vectors/hostile.tsv has a claim, a script and what must hold on a line. error: a reply of one line that begins with
"-". reply, prefix: the reply, or its beginning, as JSON. killable: SCRIPT KILL ends it. closed form: arrays in each other, and in
the innermost an error."""
import json
import os
import time

from here import FOLDER, OURS, Server, Tap, need_server, skip_all
from resp import Silent, encode

CASES = os.path.join(FOLDER, "..", "compat", "script_vectors", "hostile.tsv")
LONG = 60  # seconds; a machine may be slow


def killed(server):
    """Whether there was a script to end."""
    try:
        return server.client().call("SCRIPT", "KILL").raw() == b"+OK\r\n"
    except Silent:
        return False


def answer(server, client, script, may_last):
    """The reply, and whether it had to be killed."""
    client.send(encode(["EVAL", script, "0"]))
    deadline = time.monotonic() + LONG
    client.timeout = 1.5 if may_last else LONG
    ended = False
    while True:
        try:
            return client.read(), ended
        except Silent:
            if time.monotonic() > deadline:
                raise
            ended = killed(server) or ended


def holds(what, reply, ended):
    raw = reply.raw()
    for one in what.split(" or "):
        kind, _, rest = one.partition(" ")
        if kind == "error" and raw.startswith(b"-") and raw.count(b"\r\n") == 1 and raw.count(b"\n") == 1:
            return True
        if kind == "reply" and raw == json.loads(rest).encode("latin-1"):
            return True
        if kind == "prefix" and raw.startswith(json.loads(rest).encode("latin-1")):
            return True
        if kind == "killable" and ended and b"Script killed by user" in raw:
            return True
    return False


def check_closed_form(tap, server, claim, script):
    """Arrays in each other, as far as Lua's stack goes: read as bytes, since Python's own stack ends before."""
    client = server.client()
    client.send(encode(["EVAL", script, "0"]) + encode(["PING"]))
    got, end = b"", b"-ERR reached lua stack limit\r\n+PONG\r\n"
    client.sock.settimeout(LONG)
    while not got.endswith(end):
        got += client.sock.recv(1 << 16)
    head = got[:-len(end)]
    tap.ok(head == b"*1\r\n" * (len(head) // 4) and len(head) > 4000, claim)


def check(tap, server, claim, script, what):
    if what == "closed form":
        check_closed_form(tap, server, claim, script)
        return
    client = server.client()
    try:
        reply, ended = answer(server, client, script, "killable" in what)
        passed = holds(what, reply, ended)
        notes = [script, what, reply.raw()[:300], "killed" if ended else "not killed"]
        beside = server.client()
        beside.timeout = LONG
        passed = passed and client.call("PING").raw() == b"+PONG\r\n" and beside.call("EVAL", "return 1", "0").raw() == b":1\r\n"
    except Silent:
        passed, notes = False, [script, "no reply"]
    tap.ok(passed, claim, () if passed else notes)


def main():
    need_server()
    tap = Tap()
    server = Server(OURS, ["--busy-reply-threshold", "200"])
    if b"built without LuaJIT" in server.client().call("EVAL", "return 1", "0").raw():
        server.stop()
        skip_all("built without LuaJIT")
    try:
        for line in open(CASES, encoding="utf-8"):
            if not line.startswith("#"):
                check(tap, server, *line.rstrip("\n").split("\t"))
    finally:
        server.stop()
    tap.done()


main()

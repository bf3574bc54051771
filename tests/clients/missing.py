#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the README calls missing is: its commands and options are refused, and no other command of redis-server is (tools/missing-table;
tests/tools/missing.py holds the table). Its session is run by tests/docs.
"""
import importlib.machinery
import importlib.util
import os

from here import OURS, REDIS, Server, Tap, need_server, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
loader = importlib.machinery.SourceFileLoader("missing_table", os.path.join(ROOT, "tools", "missing-table"))
missing = importlib.util.module_from_spec(importlib.util.spec_from_loader("missing_table", loader))
loader.exec_module(missing)
# What a command is refused with that takes some; the others have no row, or take none.
ARGUMENTS = {"CLUSTER": ("INFO",), "MODULE LOAD": ("x",), "MODULE LOADEX": ("x",), "MODULE UNLOAD": ("x",)}
# A value that asks for something, where "yes" does not.
ASKS = {"user": "alice on", "io-threads": "4", "tls-port": "6380", "maxmemory-clients": "10mb", "loadmodule": "/x", "bind-source-addr": "127.0.0.1", "socket-mark-id": "1"}
need_server()

tap = Tap()
with Server(OURS) as server:
    client = server.client()
    lists = missing.refused()
    commands = [command for _, found, _ in lists for command in found]
    options = [option for _, _, found in lists for option in found]
    known = []
    for command in commands:
        words = command.split(" ")
        reply = client.call(*words, *ARGUMENTS.get(command, ()))
        if not reply.head.startswith(b"-ERR ") or b"wrong number of arguments" in reply.head:
            known.append("%s: %s" % (command, reply.raw().decode("utf-8", "replace")))
    tap.ok(commands and not known, "the commands it calls missing are refused", known)

    count = int(client.call("COMMAND", "COUNT").text())
    ours = {kid.text().decode().lower() for kid in client.call("COMMAND", "LIST").kids}
    rows = {row.lower() for row, _ in missing.rows()}
    tap.ok(rows == ours and count == sum("|" not in row for row in rows), "the rows it counts are those of COMMAND LIST and COMMAND COUNT",
           sorted(rows ^ ours))
    if os.access(REDIS, os.X_OK):
        with Server(REDIS) as redis:
            lacking = {kid.text().decode().lower() for kid in redis.client().call("COMMAND", "LIST").kids} - ours
        tap.ok(lacking <= set(missing.unknown()), "it names every command of redis-server that is missing", sorted(lacking))
    else:
        tap.skip("it names every command of redis-server that is missing", "no " + REDIS)

    taken = []
    for option in options:
        name, value = (option.split(" ", 1) + [None])[:2]
        value = value or ASKS.get(name, "yes")
        status, output = run([OURS, "--port", "0", "--" + name] + value.split(" "), timeout=10)
        if status == 0 or status is None or "not supported" not in output:
            taken.append("%s %s: status %s" % (name, value, status))
    tap.ok(not taken, "the options it calls refused stop the start, and are named", taken)
tap.done()

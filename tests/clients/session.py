#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the README says of the server is so: its first session, typed into redis-cli, is answered as printed; the commands and
options that it calls missing are refused, and no other command of redis-server is (tools/missing-table; tests/tools/missing.py holds the table).
"""
import importlib.machinery
import importlib.util
import os
import signal

from here import OURS, REDIS, Server, Tap, info, need, need_server, run, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
loader = importlib.machinery.SourceFileLoader("missing_table", os.path.join(ROOT, "tools", "missing-table"))
missing = importlib.util.module_from_spec(importlib.util.spec_from_loader("missing_table", loader))
loader.exec_module(missing)
PROMPT = "127.0.0.1:26700> "
# What a command is refused with that takes some; the others have no row, or take none.
ARGUMENTS = {"CLUSTER": ("INFO",), "MODULE LOAD": ("x",), "MODULE LOADEX": ("x",), "MODULE UNLOAD": ("x",)}
# A value that asks for something, where "yes" does not.
ASKS = {"user": "alice on", "io-threads": "4", "tls-port": "6380", "maxmemory-clients": "10mb", "loadmodule": "/x", "bind-source-addr": "127.0.0.1", "socket-mark-id": "1"}
CLI = need("redis-cli")
need_server()
with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as page:
    TEXT = page.read()


def sessions():
    """[[(command, printed), ...], ...] of the first session: the server is started again between one and the next."""
    found, within = [], False
    for line in TEXT[TEXT.index("## A first session"):TEXT.index("## Three ways")].splitlines():
        line = line[4:] if line.startswith("    ") else None
        if line is None or line.startswith("$ "):
            within = False
        elif line.startswith(PROMPT):
            if not within:
                found.append([])
            within = True
            found[-1].append((line[len(PROMPT):], []))
        elif within:
            found[-1][-1][1].append(line.rstrip())
    return found


def type_in(server, typed, which):
    status, output = run([CLI, "--no-raw", "-p", str(server.port)], input="".join(c + "\n" for c, _ in typed))
    got = [line.rstrip() for line in output.splitlines() if line.strip()]
    printed = [line for _, lines in typed for line in lines]
    tap.ok(status == 0 and got == printed, "part %d: each command of it is answered as printed" % which,
           [] if got == printed else ["printed: " + line for line in printed] + ["got:     " + line for line in got])


def again(server, how, args):
    """Ends it, and starts it in the same folder with other options."""
    server.process.send_signal(how)
    server.process.wait(60)
    server.args = args
    server.start()


tap = Tap()
with Server(OURS, ["--save", "3600 1"], tcp=True) as server:
    parts = sessions()
    tap.ok(len(parts) == 3 and len(parts[0]) >= 8, "the README has a first session, of three parts", [len(part) for part in parts])
    type_in(server, parts[0], 1)
    again(server, signal.SIGINT, ["--save", "3600 1"])
    type_in(server, parts[1], 2)
    client = server.client()
    wait_until(lambda: info(client, "aof_rewrite_in_progress") == info(client, "aof_buffer_length") == "0")
    again(server, signal.SIGKILL, ["--appendonly", "yes"])
    type_in(server, parts[2], 3)

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

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""COMMAND INFO and COMMAND DOCS of every command that redis-server and our server both know; TAP on stdout.

Both must be equal but for the order of sets (flags, categories, subcommands). Compared with a redis-server before 7.2 texts are
left out (summary, complexity, notes, what history tells), and so is what KINDS names.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from normal import pairs_of  # noqa: E402
import versions  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

TEXTS = {b"summary", b"complexity", b"display_text", b"replaced_by", b"notes"} if versions.OLDER else set()
# What 7.2 changed in many rows: the key in versions.txt, where a difference lies, in which rows (None: in any).
KINDS = [
    ("table names", re.compile(r"/arguments/\d+/name: "), None),
    ("table noscript", re.compile(r"/2: .*noscript.*, ours (?!.*noscript)"), {"blmove", "blpop", "brpop", "brpoplpush", "bzpopmax", "bzpopmin", "wait"}),
    ("table deprecated", re.compile(r"/(deprecated_since|doc_flags): redis None"), {"psetex", "quit", "setex", "setnx"}),
    ("table tips", re.compile(r"/7(/\d+)?: redis "), {"acl", "client", "config", "latency", "msetnx", "randomkey", "scan"}),
    ("table since", re.compile(r"/subcommands/client.pause/since: "), {"client"}),
    ("table arguments", re.compile(r"/arguments/\d+/(arguments|type|flags|token|display_text): "), {"bitop", "client", "config", "psubscribe"}),
    ("table acl-log", re.compile(r"/subcommands/acl.log/history: redis None"), {"acl"}),
    ("table xinfo", re.compile(r"/subcommands/xinfo.(consumers/history|stream/(history|arguments/1/(arguments|token|name|type|flags|display_text))): "), {"xinfo"}),
]


def value(node):
    """A reply as Python data; the order of arrays is kept."""
    if node.kind in b"*~%":
        return [value(k) for k in node.kids] if node.head[1:2] != b"-" else None
    if node.kind == b":":
        return int(node.text())
    return None if node.head in (b"$-1\r\n", b"_\r\n") else node.text()


def as_map(flat):
    return {k: v for k, v in zip(flat[::2], flat[1::2])} if flat else {}


def info(row, common):
    """A row of COMMAND INFO with its sets sorted and only the subcommands that both have."""
    if row is None:
        return None
    row = list(row)
    row[2], row[6], row[7] = sorted(row[2]), sorted(row[6]), sorted(row[7])
    row[8] = sorted(({k: v for k, v in as_map(s).items() if k not in TEXTS} for s in row[8]), key=str)
    row[9] = sorted((info(s, common) for s in row[9] if s[0] in common), key=lambda s: s[0])
    return row


def argument(flat):
    fields = {k: v for k, v in as_map(flat).items() if k not in TEXTS}
    if b"arguments" in fields:
        fields[b"arguments"] = [argument(a) for a in fields[b"arguments"]]
    return fields


def docs(flat, common):
    """An entry of COMMAND DOCS without its texts."""
    out = {}
    for key, val in as_map(flat).items():
        if key in TEXTS:
            continue
        if key == b"arguments":
            val = [argument(a) for a in val]
        elif key == b"history":
            val = [entry[0] for entry in val] if versions.OLDER else val
        elif key == b"subcommands":
            val = {name: docs(sub, common) for name, sub in as_map(val).items() if name in common}
        elif isinstance(val, list):
            val = sorted(val)
        out[key] = val
    return out


def differences(theirs, ours, path=""):
    """Where two trees differ, as lines, at most a few."""
    if theirs == ours:
        return []
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(set(theirs) | set(ours))
        return [d for k in keys for d in differences(theirs.get(k), ours.get(k), "%s/%s" % (path, k.decode()))]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [d for i, (a, b) in enumerate(zip(theirs, ours)) for d in differences(a, b, "%s/%d" % (path, i))]
    return ["%s: redis %r, ours %r" % (path or "/", theirs, ours)]


def excused(command, difference):
    """Whether 7.2 is to differ there from what is older."""
    return any(where.search(difference) and (rows is None or command in rows) and versions.expected(key) for key, where, rows in KINDS)


def names_of(client):
    """Every command and subcommand, "client|kill" for the latter."""
    rows = value(client.call("COMMAND", "INFO"))
    return {r[0] for r in rows} | {s[0] for r in rows for s in r[9]}, {r[0] for r in rows}


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS) as theirs, Server(OURS) as ours:
        clients = [theirs.client(), ours.client()]
        listed = [names_of(c) for c in clients]
        common = listed[0][0] & listed[1][0]
        for name in sorted(listed[0][1] & listed[1][1]):
            rows = [info(value(c.call("COMMAND", "INFO", name))[0], common) for c in clients]
            notes = differences(*rows)
            entries = [docs(value(c.call("COMMAND", "DOCS", name))[1], common) for c in clients]
            notes += differences(*entries)
            key = "table " + name.decode()
            if key in versions.KNOWN and versions.expected(key):
                tap.ok(bool(notes), "COMMAND INFO and DOCS of %s differ between the versions" % name.decode())
                continue
            notes = [n for n in notes if not excused(name.decode(), n)]
            tap.ok(not notes, "COMMAND INFO and DOCS of " + name.decode(), notes[:6])
        count = len(pairs_of(clients[1].call("COMMAND", "DOCS").kids))
        tap.ok(count == len(listed[1][1]), "COMMAND DOCS without a name has an entry a command")
        listing = {k.text() for k in clients[1].call("COMMAND", "LIST").kids}
        tap.ok(listing == listed[1][0], "COMMAND LIST and COMMAND INFO know the same commands")
        number = clients[1].call("COMMAND", "COUNT").text()
        tap.ok(int(number) == len(listed[1][1]), "COMMAND COUNT counts them")
    if versions.OLDER:
        tap.ok(not versions.unused("table"), "every row that is listed as different is there", versions.unused("table"))
    tap.done()


if __name__ == "__main__":
    main()

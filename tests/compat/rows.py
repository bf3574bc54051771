#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every row of redis-server 7.2.4's table of commands is ours, as COMMAND INFO and COMMAND DOCS show it: rows-7.2.4.txt has a line for each,
so that no redis-server 7.2.4 need be there. Where one is (REDIS_SERVER), the file is compared with it, too; --record writes it from that.

A line: name, arity, flags, first, last and step of the keys, ACL categories, tips, and sums of the key specifications and of the
documentation (texts, arguments, history). Rows that are not there yet are those of server/command/missing.c.
"""
import hashlib
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from command_table import as_map, value  # noqa: E402
from servers import OURS, REDIS, ROOT, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows-7.2.4.txt")
VERSION = b"7.2.4"


def words(items):
    return ",".join(sorted(i.decode() for i in items)) or "-"


def short(data):
    return hashlib.sha1(repr(data).encode()).hexdigest()[:10]


def argument(flat):
    fields = as_map(flat)
    if b"arguments" in fields:
        fields[b"arguments"] = [argument(a) for a in fields[b"arguments"]]
    return sorted(fields.items())


def doc_of(flat):
    out = {}
    for key, val in as_map(flat).items():
        if key == b"arguments":
            val = [argument(a) for a in val]
        elif key == b"doc_flags":
            val = sorted(val)
        if key != b"subcommands":
            out[key] = val
    return sorted(out.items())


def lines_of(client):
    """{name: line} of all commands and subcommands."""
    docs = {}
    for name, entry in as_map(value(client.call("COMMAND", "DOCS"))).items():
        docs[name] = entry
        for sub, text in as_map(as_map(entry).get(b"subcommands", [])).items():
            docs[sub] = text
    found = {}
    for row in value(client.call("COMMAND", "INFO")):
        for name, arity, flags, first, last, step, cats, tips, specs, _ in [row] + row[9]:
            keys = [sorted(as_map(s).items(), key=str) for s in specs]
            found[name.decode()] = " ".join((name.decode(), str(arity), words(flags), "%d:%d:%d" % (first, last, step), words(cats), words(tips).replace(" ", "_"),
                                             short(keys), short(doc_of(docs[name]))))
    return found


def kept():
    with open(FILE, encoding="utf-8") as file:
        return {line.split(" ")[0]: line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")}


def missing():
    with open(os.path.join(ROOT, "server", "command", "missing.c"), encoding="utf-8") as file:
        return set(re.findall(r'"([a-z|_-]+)"', re.search(r"names\[\] = \{(.*?)\};", file.read(), re.S)[1]))


def reference(client):
    return re.search(rb"redis_version:(\S+)", client.call("INFO", "server").text())[1] == VERSION


def record():
    with Server(REDIS) as redis:
        client = redis.client()
        if not reference(client):
            sys.exit("REDIS_SERVER is no redis-server 7.2.4")
        with open(FILE, "w", encoding="utf-8") as file:
            file.write("# What COMMAND INFO and DOCS of redis-server 7.2.4 say: REDIS_SERVER=... tests/compat/rows.py --record\n")
            file.writelines(line + "\n" for _, line in sorted(lines_of(client).items()))


def main():
    if sys.argv[1:] == ["--record"]:
        record()
        return
    if not os.access(OURS, os.X_OK):
        skip_all("no " + OURS)
    tap, want = Tap(), kept()
    with Server(OURS) as ours:
        got = lines_of(ours.client())
    absent = set(want) - set(got)
    tap.ok(len(want) == 370 and absent == missing(), "every command of 7.2.4 is there, or is said to be missing", sorted(absent ^ missing()))
    tap.ok(not set(got) - set(want), "and no other is", sorted(set(got) - set(want)))
    other = [(want[name], got[name]) for name in sorted(want) if name in got and want[name] != got[name]]
    tap.ok(not other, "each row is as 7.2.4 has it", [text for pair in other for text in ("7.2.4: " + pair[0], "ours:  " + pair[1])])
    if os.access(REDIS, os.X_OK):
        with Server(REDIS) as redis:
            client = redis.client()
            if reference(client):
                tap.ok(lines_of(client) == want, "the list is what redis-server 7.2.4 says")
    tap.done()


if __name__ == "__main__":
    main()

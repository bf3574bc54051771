#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Lines of CLIENT LIST and CLIENT INFO: whole however long a client's names are, and with the memory of a transaction."""
import re
from contextlib import closing

from here import OURS, Server, Tap, need_server

LONG = 70000


def ask(client, *words):
    return client.call(*words).text()


def value(line, name):
    found = re.search(rb"(?:^| )" + name + rb"=(\S*)", line)
    return found.group(1) if found else None


def whole_lines(tap, server):
    with closing(server.client()) as s, closing(server.client()) as other:
        ask(s, "CLIENT", "SETNAME", "n" * LONG)
        ask(s, "CLIENT", "SETINFO", "LIB-NAME", "l" * LONG)
        ask(s, "CLIENT", "SETINFO", "LIB-VER", "v" * LONG)
        ask(other, "CLIENT", "SETNAME", "short")
        number = ask(s, "CLIENT", "ID").decode()
        for words in (("INFO",), ("LIST",), ("LIST", "ID", number), ("LIST", "TYPE", "normal")):
            lines = ask(s, "CLIENT", *words).splitlines()
            mine = [line for line in lines if value(line, b"id") == number.encode()]
            good = len(mine) == 1 and value(mine[0], b"name") == b"n" * LONG and value(mine[0], b"lib-name") == b"l" * LONG
            good = good and value(mine[0], b"lib-ver") == b"v" * LONG and value(mine[0], b"user") == b"default"
            tap.ok(good, "CLIENT %s has the whole line" % " ".join(words[:2]), ["%d lines" % len(lines)] + [repr(line[:200]) for line in mine])
        lines = ask(other, "CLIENT", "LIST").splitlines()
        tap.ok(len(lines) == 2 and value(lines[-1], b"name") in (b"short", b"n" * LONG), "and the lines of others are theirs")


def transaction(tap, server):
    with closing(server.client()) as s, closing(server.client()) as other:
        number = ask(s, "CLIENT", "ID").decode()

        def memory():
            return int(value(ask(other, "CLIENT", "LIST", "ID", number), b"multi-mem"))
        seen = [memory()]
        for words in (("WATCH", "k"), ("MULTI",), ("SET", "k", "v" * 1000), ("EXEC",), ("MULTI",), ("SET", "k", "v"), ("DISCARD",)):
            ask(s, *words)
            seen.append(memory())
        good = seen[0] == 0 and seen[1] > 0 and seen[3] > 1000 and seen[4] == 0 and seen[6] > 0 and seen[7] == 0
        tap.ok(good, "multi-mem is what is queued and watched, and 0 again", [str(seen)])


need_server()
tap = Tap()
with Server(OURS) as server:
    whole_lines(tap, server)
    transaction(tap, server)
tap.done()

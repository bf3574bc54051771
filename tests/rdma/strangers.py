# SPDX-License-Identifier: MIT
"""Clients of Valkey's framing that have no password, of a server that wants one and may lend them four buffers:
strangers.py ADDRESS PORT PASSWORD. One line a claim on stdout: sockets.py runs it in a guest."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from demi import Client, Gone  # noqa: E402

address, port, password = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def ok(fine, claim):
    print("%sok %s" % ("" if fine else "not ", claim), flush=True)


def come():
    try:
        return Client(address, port, True)
    except (Gone, OSError):
        return None


def come_in():
    """As a client that knows the password; who is refused tries again."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        c = come()
        try:
            if c and c.call("AUTH", password) == b"OK":
                return c
        except (Gone, OSError):
            pass
        time.sleep(0.2)
    return None


strangers = [come() for _ in range(12)]
ok(3 <= sum(c is not None for c in strangers) <= 4, "no more than four buffers are lent to clients that nobody knows")
friends = [come_in() for _ in range(8)]
ok(all(friends), "those with the password come in nevertheless, more than four of them")
ok(all(c.call("PING") == b"PONG" for c in friends if c), "and are served")

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""Replies of more than INT_MAX bytes arrive whole: one value, and several. TAP on stdout; skipped where memory is short.

    tests/compat/big_replies.py
"""
import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from servers import OURS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

BYTES = 2_200_000_000
PIECE = 450_000_000
NEED = 6 << 30  # of redis-server, which copies what it replies
MARKS = 7  # so many places of a value are not zero


def available():
    with open("/proc/meminfo") as info:
        return next(int(line.split()[1]) << 10 for line in info if line.startswith("MemAvailable"))


def fill(control, key, size):
    """Zeros, with a few marks, which say where they lie."""
    assert control.call("SETRANGE", key, str(size - 1), "\0").text() == b"%d" % size
    places = [(size - 20) * i // (MARKS - 1) for i in range(MARKS)]
    for at in places:
        control.call("SETRANGE", key, str(at), "<%d>" % at)
    return places


def wrong_with(server, request, size, count, places):
    """Reads the reply of `count` values (0: one that is no array) and looks at the marks. What is wrong, or ""."""
    head = b"$%d\r\n" % size
    expected = {}
    at = len(b"*%d\r\n" % count) if count else 0
    for _ in range(count or 1):
        expected[at] = head
        for place in places:
            expected[at + len(head) + place] = b"<%d>" % place
        at += len(head) + size + 2
        expected[at - 2] = b"\r\n"
    expected[at] = b"+PONG\r\n"
    total = at + len(b"+PONG\r\n")
    spots = sorted(expected)
    buf, kept, done = bytearray(4 << 20), b"", 0  # `done`: bytes before `kept`
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect(server.path)
        s.sendall(request + b"\r\nPING\r\n")
        while done + len(kept) < total:
            n = s.recv_into(buf)
            if n == 0:
                return "closed after %d of %d bytes" % (done + len(kept), total)
            data = kept + bytes(buf[:n]) if spots and spots[0] < done + len(kept) + n else b""
            while spots and data and spots[0] + len(expected[spots[0]]) <= done + len(data):
                spot = spots.pop(0)
                got = data[spot - done:spot - done + len(expected[spot])]
                if got != expected[spot]:
                    return "%r instead of %r at %d" % (got, expected[spot], spot)
            end = done + len(kept) + n
            kept = (kept + bytes(buf[max(0, n - 32):n]))[-32:]
            done = end - len(kept)
    return "" if not spots else "%d marks are missing" % len(spots)


def main():
    if available() < NEED:
        skip_all("less than %d GiB of memory are available" % (NEED >> 30))
    tap = Tap()
    with Server(OURS, args=["--proto-max-bulk-len", "4gb"]) as server:
        control = server.client(60.0)
        places = fill(control, "piece", PIECE)
        wrong = wrong_with(server, b"MGET" + b" piece" * 5, PIECE, 5, places)
        tap.ok(not wrong, "arrives whole: MGET of a value five times", [wrong] if wrong else [])
        control.call("FLUSHALL")
        places = fill(control, "whole", BYTES)
        wrong = wrong_with(server, b"GET whole", BYTES, 0, places)
        tap.ok(not wrong, "arrives whole: GET of one value", [wrong] if wrong else [])
        tap.ok(server.alive(), "the server is alive")
    tap.done()


if __name__ == "__main__":
    main()

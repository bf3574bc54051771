#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""The tests of this folder can fail: each fault that they are there for, made by the proxy between two servers that are right, is seen."""
import random
import re

from fleet import Fleet
from node import Tap, check, kinds, until

OFFSET = re.compile(rb"(\r\nPSYNC\r\n\$40\r\n[0-9a-f]{40}\r\n\$\d+\r\n)(\d+)(\r\n)")


def other_value(link, phase, piece):
    """A digit of a value is another one: the data differ, and no length does."""
    return piece.replace(b"spoil:1", b"spoil:2") if phase == "stream" else piece


def left_out(link, phase, piece):
    """A command is not there."""
    return piece.replace(b"*3\r\n$3\r\nSET\r\n$5\r\nspoil\r\n$7\r\nspoil:1\r\n", b"") if phase == "stream" else piece


def doubled(link, phase, piece):
    return piece.replace(b"*2\r\n$4\r\nINCR\r\n$6\r\nserial\r\n", b"*2\r\n$4\r\nINCR\r\n$6\r\nserial\r\n" * 2) if phase == "stream" else piece


def moved(link, phase, piece):
    """Whoever goes on gets other bytes than it asked for."""
    return OFFSET.sub(lambda m: m[1] + b"%0*d" % (len(m[2]), max(int(m[2]) - 27, 1)) + m[3], piece) if phase == "asks" else piece


def always_full(link, phase, piece):
    return re.sub(rb"(\r\nPSYNC\r\n\$40\r\n)[0-9a-f]{40}", rb"\g<1>" + b"0" * 40, piece) if phase == "asks" else piece


def play(kind, spoil):
    """What the fleet finds wrong."""
    fleet = Fleet([kind, kind], random.Random(1))
    proxy = fleet.proxies[0]
    fleet.client.call("SET", "serial", "1")
    fleet.join()
    fleet.quiet("at first")
    proxy.spoil = spoil
    fleet.client.call("SET", "spoil", "spoil:1")
    until(lambda: proxy.live()[-1].down.end_offset() == fleet.nodes[0].offset())
    proxy.drop()
    fleet.client.call("INCR", "serial")
    fleet.client.call("SET", "spoil", "spoil:1")
    try:
        fleet.patience = 1.5
        fleet.quiet("then")
    finally:
        fleet.close()
    return fleet.wrong


def main():
    tap = Tap()
    kind = kinds()[1]
    check(tap, not play(kind, None), "%s: nothing is wrong where nothing was spoilt" % kind.name)
    for spoil in (other_value, left_out, doubled, moved, always_full):
        wrong = play(kind, spoil)
        check(tap, wrong, "seen to fail: %s" % spoil.__name__.replace("_", " "))
    tap.done()


if __name__ == "__main__":
    main()

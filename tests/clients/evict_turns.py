#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""How much eviction a turn of the loop does at most, in keys and elements, never in time: nobody waits behind the rest.

A server without any time for eviction looks at its clock after 16 keys; so much a turn takes, and each command that adds
something as much again. TAP on stdout.

    tests/clients/evict_turns.py
"""
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "compat"))
from resp import encode  # noqa: E402
from servers import OURS, Server  # noqa: E402
from tap import Tap  # noqa: E402

KEYS_A_LOOK = 16
ARGS = ("--maxmemory-policy", "allkeys-random", "--maxmemory-eviction-tenacity", "0")


def fill(c, count, value):
    for first in range(0, count, 1000):
        c.send(b"".join(encode(["SET", "key:%d" % i, value]) for i in range(first, min(first + 1000, count))))
        for _ in range(first, min(first + 1000, count)):
            c.read()


def counts(info):
    text = info.text().decode()
    return [int(re.search(r"^%s:(\d+)" % name, text, re.M).group(1)) for name in ("evicted_keys", "eventloop_cycles")]


def used(c):
    return int(re.search(r"^used_memory:(\d+)", c.call("INFO", "memory").text().decode(), re.M).group(1))


def in_one_piece(c, commands):
    """Sent at once between two INFOs; their replies, and keys that went a turn."""
    c.send(encode(["INFO", "stats"]) + b"".join(map(encode, commands)) + encode(["INFO", "stats"]))
    before, replies, after = counts(c.read(20)), [c.read(20) for _ in commands], counts(c.read(20))
    gone, turns = after[0] - before[0], after[1] - before[1]
    return replies, gone, turns


def pipelined_reads(tap):
    """Each would have had a budget of its own."""
    with Server(OURS, ARGS) as server:
        c = server.client(20.0)
        fill(c, 50000, "small")
        commands = [["CONFIG", "SET", "maxmemory", str(used(c) // 2)]] + [["EXISTS", "none"]] * 2000
        replies, gone, turns = in_one_piece(c, commands)
        most = 2 * KEYS_A_LOOK * (turns + 1)
        tap.ok(all(r.text() == b"0" for r in replies[1:]) and 0 < gone <= most,
               "2,000 commands over the limit do not evict more than their turns may", ["%d keys in %d turns" % (gone, turns)])


def pipelined_writes(tap):
    """Each adds more than 16 keys take: after one the rest of the batch waits."""
    with Server(OURS, ARGS) as server:
        c = server.client(20.0)
        fill(c, 50000, "small")
        c.call("CONFIG", "SET", "maxmemory", str(used(c)))
        large = "x" * 8000
        commands = [w for i in range(300) for w in (["SET", "large", large + str(i)], ["STRLEN", "large"], ["GETRANGE", "large", "8000", "-1"])]
        replies, gone, turns = in_one_piece(c, commands)
        sizes = [{b"0", b"%d" % (8000 + len(str(i)))} for i in range(300)]  # or it was evicted
        tails = [{b"", b"%d" % i} for i in range(300)]
        right = all(replies[3 * i].text() == b"OK" and replies[3 * i + 1].text() in sizes[i] and replies[3 * i + 2].text() in tails[i]
                    for i in range(300))
        tap.ok(right and len(replies) == 900, "what waits for the next turn runs in its order")
        fill(c, 3000, "small")
        grow = [["SET", "grow:%d" % i, large] for i in range(1000)]
        replies, gone, turns = in_one_piece(c, grow)
        most = 3 * KEYS_A_LOOK * (turns + 1)
        tap.ok(all(r.text() == b"OK" for r in replies) and 0 < gone <= most,
               "writes that add much do not evict more than their turns may", ["%d keys in %d turns" % (gone, turns)])
        deadline = time.monotonic() + 20
        while used(c) > int(c.call("CONFIG", "GET", "maxmemory").kids[1].text()) + 200000 and time.monotonic() < deadline:
            time.sleep(0.05)
        tap.ok(time.monotonic() < deadline, "and the limit is kept in the end")


def large_values(tap):
    """None of their elements is freed in the loop, whatever lazyfree-lazy-eviction says."""
    for lazy in ("no", "yes"):
        with Server(OURS, ARGS + ("--lazyfree-lazy-eviction", lazy)) as server:
            c = server.client(20.0)
            for k in range(3):
                for first in range(0, 60000, 1000):
                    c.call("ZADD", "zset:%d" % k, *[w for i in range(first, first + 1000) for w in (str(i), "member:%d" % i)])
            c.call("CONFIG", "SET", "maxmemory", "1")
            deadline = time.monotonic() + 20
            while c.call("DBSIZE").text() != b"0" and time.monotonic() < deadline:
                time.sleep(0.01)
            freed = 0
            while freed != 3 and time.monotonic() < deadline:
                info = c.call("INFO", "memory").text().decode()
                freed = int(re.search(r"^lazyfreed_objects:(\d+)", info, re.M).group(1))
            tap.ok(freed == 3, "large values are freed by the helper, lazyfree-lazy-eviction %s" % lazy, ["%d of 3" % freed])


def main():
    tap = Tap()
    pipelined_reads(tap)
    pipelined_writes(tap)
    large_values(tap)
    tap.done()


if __name__ == "__main__":
    main()

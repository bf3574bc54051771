# SPDX-License-Identifier: MIT
"""What lists, sets, hashes and sorted sets take: section collections. Bytes a key of small ones, bytes an element of a large
one, by INFO used_memory. Members, fields and values of small ones have 8 bytes, those of large ones 16, keys 16."""
import socket
import time
import zlib

from rig import Failed
from table import Table

SMALL_KEYS, MEMBERS = 100000, 10
LARGE = 500000
A_TIME = 200  # commands on their way

# type: (words of one key with its members, the goal)
SMALL = (
    ("set", lambda k, m: ["SADD", k] + m, 165),
    ("list", lambda k, m: ["RPUSH", k] + m, 165),
    ("hash", lambda k, m: ["HSET", k] + [w for one in m for w in (one, one)], 250),
    ("sorted set", lambda k, m: ["ZADD", k] + [w for i, one in enumerate(m) for w in (str(i), one)], 170),
)
# type: (words that put elements i … i + n - 1 into one key, the goal)
BIG = (
    ("set", lambda names: ["SADD", "one"] + names, 33),
    ("list", lambda names: ["RPUSH", "one"] + names, None),
    ("hash", lambda names: ["HSET", "one"] + [w for n in names for w in (n, n)], 52),
    ("sorted set", lambda names: ["ZADD", "one"] + [w for n in names for w in (str(zlib.crc32(n.encode()) % 10**6), n)], 47),
)


def packed(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)


def send_all(target, commands):
    """Commands whose reply is a number, many at a time."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(target.path)
        s.settimeout(60)
        for first in range(0, len(commands), A_TIME):
            part = commands[first:first + A_TIME]
            s.sendall(b"".join(packed(words) for words in part))
            got = b""
            while got.count(b"\n") < len(part):
                more = s.recv(1 << 16)
                if not more or more.startswith(b"-"):
                    raise Failed("%s: %r" % (target.name, more[:80]))
                got += more


def taken(target, commands):
    """Bytes that the commands made the server use."""
    target.call("FLUSHALL")
    time.sleep(0.3)
    before = int(target.info("used_memory"))
    send_all(target, commands)
    time.sleep(0.3)  # tables that still move finish
    return int(target.info("used_memory")) - before


def small_keys(words, count):
    members = ["member%02d" % i for i in range(MEMBERS)]
    return [words("key:%012d" % k, members) for k in range(count)]


def one_key(words, count):
    step = 100
    return [words(["elem%012d" % i for i in range(first, first + step)]) for first in range(0, count, step)]


def section_collections(bench):
    few, many = (SMALL_KEYS // 5, LARGE // 5) if bench.quick else (SMALL_KEYS, LARGE)
    for title, kinds, commands, count in (
            ("Bytes a key of {} members of 8 bytes, {:,} keys of 16 bytes".format(MEMBERS, few), SMALL, small_keys, few),
            ("Bytes an element of 16 bytes (a hash: field and value), {:,} in one key".format(many), BIG, one_key, many)):
        table = Table(title, ["type", "R7", "demikv", "x R7", "target", ""])
        for name, words, goal in kinds:
            each = [taken(target, commands(words, count)) / count for target in (bench.redis, bench.ours)]
            table.judged(name, "%.1f" % each[0], "%.1f" % each[1], each[1] / each[0], value=each[1], at_most=goal)
        yield table
    bench.empty()

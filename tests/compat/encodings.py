#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What sets and lists become by which command, as redis-server 7.2.4 has it; TAP on stdout.

The expectations were taken from a 7.2.4; with REDIS_SERVER naming one it is held to them, too. The one of Debian 12 is older.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import split  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from versions import OLDER  # noqa: E402

FEW = "CONFIG SET set-max-intset-entries 4 set-max-listpack-entries 3 set-max-listpack-value 5"
# Claim, what each line does, the encoding of k after it. {a..b} in a line: the integers from a to b.
CASES = [
    ("defaults of sets", ["SADD k {1..512}", "intset", "SADD k 513", "hashtable"]),
    ("a set of words by count", ["SADD k w {1..127}", "listpack", "SADD k x", "hashtable"]),
    ("many at once are a table at once", ["SADD k w {1..128}", "hashtable"]),
    ("announced members count, new or not", [FEW, None, "SADD k w", "listpack", "SADD k w w w", "listpack", "SADD k w w w w", "hashtable"]),
    ("an intset takes a word", [FEW, None, "SADD k 1 2", "intset", "SADD k w", "listpack", "SADD k 3", "hashtable"]),
    ("an intset that is full for a listpack", [FEW, None, "SADD k 1 2 3", "intset", "SADD k w", "hashtable"]),
    ("a word that is too long", [FEW, None, "SADD k 1", "intset", "SADD k longer", "hashtable"]),
    ("a number that is too wide", [FEW, None, "SADD k 123456", "intset", "SADD k w", "hashtable"]),
    ("a set never goes back", [FEW, None, "SADD k a b c d", "hashtable", "SREM k a b c", "hashtable"]),
    ("nor does a listpack of numbers", ["SADD k 1 w", "listpack", "SREM k w", "listpack"]),
    ("SMOVE makes what fits", ["SADD s w 1", None, "SMOVE s k 1", "intset", "SMOVE s k w", "listpack"]),
    ("SINTERSTORE of words", ["SADD a w x 1", None, "SADD b w x 1", None, "SINTERSTORE k a b", "listpack"]),
    ("SINTERSTORE of words that leaves numbers", ["SADD a w 1", None, "SADD b x 1", None, "SINTERSTORE k a b", "intset"]),
    ("SINTERSTORE of a table", ["SADD a {1..600}", None, "SADD b {1..600} w", None, "SINTERSTORE k a b", "hashtable",
                                "SADD c {1..10}", None, "SINTERSTORE k a b c", "intset"]),
    ("SUNIONSTORE and SDIFFSTORE", ["SADD a 1 w", None, "SADD b 2", None, "SUNIONSTORE k a b", "listpack", "SDIFFSTORE k b a", "intset"]),
    ("SPOP keeps what it was", ["SADD k {1..50}", "intset", "SPOP k 49", "intset", "DEL k", None, "SADD k w {1..50}", "listpack",
                                "SPOP k 10", "listpack", "SPOP k 40", "listpack"]),
    ("SPOP of nearly all of a table", ["SADD k w {1..500}", "hashtable", "SPOP k 496", "listpack"]),
    ("SPOP of a part of a table", ["SADD k w {1..500}", "hashtable", "SPOP k 100", "hashtable"]),
    ("COPY and DUMP", ["SADD s 1 w", None, "COPY s k", "listpack", "DEBUG RELOAD", "listpack"]),
    ("a list by size", ["RPUSH k {1..100}", "listpack", "RPUSH k {1..3000}", "quicklist", "LTRIM k 0 1500", "quicklist",
                        "LTRIM k 0 700", "listpack"]),
    ("a list by count", ["CONFIG SET list-max-listpack-size 4", None, "RPUSH k 1 2 3 4", "listpack", "RPUSH k 5", "quicklist",
                         "LPOP k 2", "quicklist", "RPOP k", "listpack", "DEBUG RELOAD", "listpack"]),
    ("a list that is loaded is judged by the whole limit", ["CONFIG SET list-max-listpack-size 4", None, "RPUSH k 1 2 3 4 5", "quicklist",
                                                            "RPOP k", "quicklist", "DEBUG RELOAD", "listpack"]),
    ("where elements are counted, bytes count only when a list grows", [
        "CONFIG SET list-max-listpack-size 4", None, "RPUSH k %{x*9000}", "quicklist", "RPUSH k a", "quicklist", "RPOP k", "listpack",
        "DEBUG RELOAD", "listpack", "LSET k 0 %{y*9000}", "listpack", "RPUSH k a", "quicklist", "RPUSH s %{x*9000}", None,
        "SORT s BY nosort STORE k", "listpack", "LMOVE s k LEFT LEFT", "quicklist", "LPOP k", "listpack"]),
    ("half of one element is none", ["CONFIG SET list-max-listpack-size 1", None, "RPUSH k a", "listpack", "RPUSH k b", "quicklist",
                                     "RPOP k", "quicklist", "DEBUG RELOAD", "listpack"]),
    ("a list of an old file stays a quicklist", [
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1", None,
        r'RESTORE k 0 "\x0a\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01a\xff\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00"', "quicklist",
        "RPUSH k b", "quicklist", "RPOP k", "listpack"]),
    ("LSET, LINSERT, LREM, LMOVE", ["CONFIG SET list-max-listpack-size 2", None, "RPUSH k a b", "listpack", "LINSERT k AFTER a c",
                                    "quicklist", "LREM k 0 a", "quicklist", "LREM k 0 b", "listpack", "RPUSH k d", "listpack", "LSET k 0 x", "quicklist",
                                    "RPOP k", "listpack", "LPUSH l 1 2", None, "LMOVE l k LEFT LEFT", "listpack", "LMOVE l k LEFT LEFT",
                                    "quicklist", "LMOVE k l LEFT LEFT", "quicklist", "LMOVE k l LEFT LEFT", "listpack"]),
    ("a lowered limit of sets holds from the next new member", [
        "SADD k a b c d", None, "CONFIG SET set-max-listpack-entries 2", "listpack", "SADD k a", "listpack", "SREM k a", "listpack",
        "SPOP k", "listpack", "SADD k b c", None, "SADD k e", "hashtable"]),
    ("and of intsets", ["SADD k 1 2 3 4", None, "CONFIG SET set-max-intset-entries 2", "intset", "SADD k 1", "intset", "SREM k 1", "intset",
                        "SADD k 5", "hashtable"]),
    ("a member over a lowered limit may stay", ["SADD k aaaaaaaaa b", None, "CONFIG SET set-max-listpack-value 3", "listpack", "SADD k c",
                                                "listpack", "SADD k aaaaaaaaa", "listpack", "SADD k dddd", "hashtable"]),
    ("a lowered limit of lists holds from the next change", [
        "RPUSH k 1 2 3 4 5", None, "CONFIG SET list-max-listpack-size 2", "listpack", "RPOP k", "listpack", "LSET k 0 9", "quicklist"]),
    ("SORT STORE", ["SADD s {1..100}", None, "SORT s STORE k", "listpack", "SADD s {1..4000}", None, "SORT s STORE k", "quicklist"]),
]
DEFAULTS = ("CONFIG SET set-max-intset-entries 512 set-max-listpack-entries 128 set-max-listpack-value 64 "
            "list-max-listpack-size -2")


def words(line):
    out = []
    for word in split(line.encode()):
        first, dots, last = word.strip(b"{}").partition(b"..")
        out += [b"%d" % i for i in range(int(first), int(last) + 1)] if dots else [word]
    return out


def differences(client, lines):
    client.call("FLUSHALL")
    client.call(*words(DEFAULTS))
    notes = []
    for line, wanted in zip(lines[::2], lines[1::2]):
        reply = client.call(*words(line))
        if reply.is_error():
            notes.append("%s: %s" % (line, reply.text().decode()))
        got = client.call("OBJECT", "ENCODING", "k").text().decode()
        if wanted and got != wanted:
            notes.append("%s: %s, not %s" % (line, got, wanted))
    return notes


def main():
    if not os.access(OURS, os.X_OK):
        skip_all("no " + OURS)
    tap = Tap()
    for binary in [OURS] if OLDER else [OURS, REDIS]:
        with Server(binary) as server:
            client = server.client(20.0)
            for claim, lines in CASES:
                notes = differences(client, lines)
                tap.ok(not notes, "%s: %s" % ("ours" if binary == OURS else "redis-server", claim), notes)
    tap.done()


main()

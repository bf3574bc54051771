#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The stream that SYNC gives: the same commands to redis-server and ours, the same stream after the snapshot; and a redis-server as
our replica. TAP on stdout.
"""
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Client, encode, split  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from older import bridge_stream, our_server  # noqa: E402
from versions import OLDER, unused  # noqa: E402

# Claim, lines. "2:" is another connection, "2>" does not wait for the reply. The stream is read at the end of each.
STREAMS = [
    ("a write is told as it came, after a SELECT", ["SET k v", "INCR n", "GET k", "DEL nothing"]),
    ("another database is selected once", ["SELECT 3", "SET a 1", "SET b 2", "SELECT 0", "SET c 3"]),
    ("relative times become absolute", ["SET k v EX 100000", "EXPIRE k 100000", "GETEX k PERSIST", "SETEX k 100000 x"]),
    ("SET is told as it came, less GET", ["SET k v NX GET", "SET k w get KeepTTL xx Get"]),
    ("SET with PXAT is told as it came", ["SET k v pxat 99999999999999", "SET k v GET PXAT 99999999999999 xx", "SET k v EXAT 99999999999"]),
    ("EXEC frames several writes", ["MULTI", "SET a 1", "GET a", "INCR a", "EXEC"]),
    ("one write of an EXEC stands alone", ["MULTI", "GET a", "SET a 1", "EXEC"]),
    ("an EXEC without writes is silent", ["MULTI", "GET a", "PING", "EXEC", "SET end 1"]),
    ("an EXEC over two databases selects inside", ["MULTI", "SET a 1", "SELECT 5", "SET b 1", "EXEC", "SELECT 0", "SET c 1"]),
    ("a discarded transaction is silent", ["MULTI", "SET a 1", "DISCARD", "SET end 1"]),
    ("SPOP is told as what it took", ["SADD s only", "SPOP s", "SADD t a b", "SPOP t 5"]),
    ("SPOP with a count inside EXEC", ["SADD s a", "MULTI", "SPOP s 3", "SET x 1", "EXEC"]),
    ("floats are told as results", ["INCRBYFLOAT f 0.1", "HINCRBYFLOAT h f 0.1"]),
    ("pops of several keys name one", ["RPUSH l a b c", "LMPOP 2 nope l LEFT COUNT 2", "ZADD z 1 a 2 b", "ZMPOP 1 z MIN COUNT 1",
                                       "BLPOP nope l 0", "BZPOPMIN z 0"]),
    ("a served waiter is told after its push", ["2> BLPOP l 0", "RPUSH l a", "2<"]),
    ("BLMOVE is told as LMOVE", ["2> BLMOVE l m LEFT RIGHT 0", "RPUSH l a b", "2<"]),
    ("BLMOVE is told in its own spelling", ["2> blmove l m lEfT RIGHT 0", "RPUSH l a b", "2<", "blmove m l Left right 0"]),
    ("BRPOPLPUSH is told as RPOPLPUSH", ["2> BRPOPLPUSH l m 0", "RPUSH l a", "2<", "BRPOPLPUSH m l 0", "BLMOVE l m RIGHT LEFT 0"]),
    ("BLMPOP and BZMPOP are told as pops", ["2> BLMPOP 0 1 l LEFT COUNT 2", "RPUSH l a b c", "2<", "2> BZMPOP 0 1 z MAX", "ZADD z 1 a", "2<"]),
    ("a waiter served by an EXEC is told after it", ["2> BLPOP l 0", "MULTI", "RPUSH l a", "SET x 1", "EXEC", "2<"]),
    ("a key that is dead goes before what is done to it", ["DEBUG SET-ACTIVE-EXPIRE 0", "PSETEX k 1 v", "!sleep 0.01", "INCR k"]),
    ("a SCAN for another type tells a dead key, too", ["DEBUG SET-ACTIVE-EXPIRE 0", "PSETEX k 1 v", "!sleep 0.01", "SCAN 0 TYPE list", "SET end 1"]),
    ("a read that finds one dead tells it", ["DEBUG SET-ACTIVE-EXPIRE 0", "PSETEX k 1 v", "!sleep 0.01", "GET k", "SET end 1"]),
    ("dead keys inside an EXEC lie in its frame", ["DEBUG SET-ACTIVE-EXPIRE 0", "PSETEX k 1 v", "!sleep 0.01", "MULTI", "GET k", "SET x 1", "EXEC"]),
    ("a DEL of an expiry in the past", ["SET k v", "EXPIRE k -1", "SET k v", "GETEX k PXAT 1"]),
    ("a deletion is an UNLINK where its option says so", [
        "CONFIG SET lazyfree-lazy-server-del yes", "SADD s a b", "SPOP s 5", "SET k v", "GETDEL k", "SET k v", "EXPIRE k -1", "SET k v",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1",
        r'RESTORE k 1 "\x00\x03foo\n\x00\x00\x00\x00\x00\x00\x00\x00\x00" REPLACE ABSTTL', "CONFIG SET lazyfree-lazy-server-del no"]),
    ("flushing is always told", ["FLUSHDB", "FLUSHALL", "SWAPDB 0 1"]),
    ("PUBLISH is told without a change", ["PUBLISH c m", "MULTI", "PUBLISH c m", "SET a 1", "EXEC"]),
    ("SPUBLISH is told without a change", ["SPUBLISH c m", "spublish c m", "MULTI", "SPUBLISH c m", "SET a 1", "EXEC"]),
    ("RESTORE tells an absolute time", ["DEBUG SET-SKIP-CHECKSUM-VALIDATION 1",
                                        r'RESTORE k 100000 "\x00\x03foo\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"',
                                        r'RESTORE k 1 "\x00\x03foo\n\x00\x00\x00\x00\x00\x00\x00\x00\x00" REPLACE ABSTTL']),
    ("what fails is not told", ["SET k v", "LPUSH k a", "INCR k", "SET end 1"]),
    ("COPY, MOVE and RENAME as they came", ["SET k v", "COPY k l", "RENAME l m", "MOVE m 1", "PERSIST k", "APPEND k x"]),
    ("SORT STORE and set operations as they came", ["RPUSH l 3 1 2", "SORT l STORE d", "SADD a 1 2", "SADD b 2", "SINTERSTORE c a b",
                                                    "SDIFFSTORE e b a", "ZADD z 1 m", "ZRANGESTORE y z 0 -1"]),
    ("XADD tells the ID it made", ["XADD s 1-1 f v", "XADD s 1-* f v", "XADD s * f v", "XADD s NOMKSTREAM * f v w x", "xadd s 99999999999999-* f v"]),
    ("XADD and XTRIM tell exactly what they left", [
        "CONFIG SET stream-node-max-entries 3", *["XADD s %d-1 f v" % i for i in range(1, 9)], "XADD s MAXLEN ~ 4 9-1 f v", "XADD s MAXLEN ~ 100 LIMIT 5 10-* f v",
        "XADD s MINID ~ 9-1 11-1 f v", "XTRIM s MAXLEN ~ 1", "XADD s MAXLEN = 2 12-1 f v", "XADD s MAXLEN 1 NOMKSTREAM 13-* f v", "XTRIM s MAXLEN ~ 5",
        *["XADD s %d-1 f v" % i for i in range(14, 22)], "XTRIM s MINID ~ 20 LIMIT 4", "XTRIM s MINID 20", "XTRIM s MAXLEN 0", "XTRIM s MAXLEN 0",
        "CONFIG SET stream-node-max-entries 100"]),
    ("XDEL and XSETID as they came", ["XADD s 1-1 f v", "XDEL s 1-1 2-2", "XDEL s 2-2", "XSETID s 5", "xsetid s 6 EntriesAdded 3"]),
    ("XREADGROUP is told as what it gave", [
        "XGROUP CREATE s g 0 MKSTREAM", *["XADD s %d-1 f v" % i for i in range(1, 6)], "XREADGROUP GROUP g a COUNT 2 STREAMS s >", "XREADGROUP GROUP g a STREAMS s 0",
        "XREADGROUP GROUP g b COUNT 1 STREAMS s >", "XREADGROUP GROUP g b COUNT 1 NOACK STREAMS s >", "XREADGROUP GROUP g c NOACK STREAMS s >",
        "XREADGROUP GROUP g d STREAMS s >", "XREADGROUP GROUP g a STREAMS s s 0 >", "SET end 1"]),
    ("two streams of one XREADGROUP lie in one frame", ["XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE t g 0 MKSTREAM", "XADD s 1-1 f v", "XADD t 1-1 f v",
                                                        "XREADGROUP GROUP g a STREAMS s t > >", "MULTI", "XADD s 2-1 f v", "XREADGROUP GROUP g a STREAMS s >", "EXEC"]),
    ("a reader that waited is told after the entry", ["XGROUP CREATE s g $ MKSTREAM", "2> XREADGROUP GROUP g a BLOCK 0 STREAMS s >", "XADD s 1-1 f v", "2<",
                                                      "2> XREADGROUP GROUP g a BLOCK 0 NOACK STREAMS s >", "XADD s 2-1 f v", "2<"]),
    ("XACK and XGROUP as they came", ["XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f v", "XREADGROUP GROUP g a STREAMS s >", "XACK s g 1-1 5-5", "XACK s g 1-1",
                                      "XGROUP CREATECONSUMER s g b", "XGROUP CREATECONSUMER s g b", "XGROUP SETID s g $ ENTRIESREAD 1", "XGROUP DELCONSUMER s g b",
                                      "XGROUP DELCONSUMER s g b", "XGROUP DESTROY s g", "XGROUP DESTROY s g", "SET end 1"]),
    ("XCLAIM tells all there is to tell", [
        "XGROUP CREATE s g 0 MKSTREAM", *["XADD s %d-1 f v" % i for i in range(1, 7)], "XREADGROUP GROUP g a COUNT 4 STREAMS s >", "XCLAIM s g b 0 1-1",
        "XCLAIM s g b 0 1-1 2-1 9-1 JUSTID RETRYCOUNT 7", "XCLAIM s g b 0 5 FORCE TIME 1234", "XDEL s 3-1", "XCLAIM s g b 0 3 4-1", "XCLAIM s g b 0 9-9 LASTID 6-1",
        "XCLAIM s g b 0 1-1 LASTID 6-2", "XCLAIM s g b 0 9-9", "SET end 1"]),
    ("XAUTOCLAIM tells each as an XCLAIM", [
        "XGROUP CREATE s g 0 MKSTREAM", *["XADD s %d-1 f v" % i for i in range(1, 7)], "XREADGROUP GROUP g a STREAMS s >", "XDEL s 2-1 5-1",
        "XAUTOCLAIM s g a 0 0 COUNT 3", "XAUTOCLAIM s g a 0 4 JUSTID", "XAUTOCLAIM s g a 1000000 0", "SET end 1"]),
]


def attach(server):
    """A connection that has sent SYNC and read the snapshot."""
    feed = Client(server.path, 10.0)
    feed.send(b"SYNC\r\n")
    deadline = time.monotonic() + 10
    line = b"\r\n"
    while line == b"\r\n" or line == b"\n":
        line = feed.line(deadline)
        while line.startswith(b"\n"):
            line = line[1:]
    size = int(line[1:])
    return feed, feed.exactly(size, deadline)


def drain(feed, client):
    """Everything up to a mark that the client sets now."""
    client.call("PUBLISH", "mark", "mark")
    seen = []
    while True:
        node = feed.node(time.monotonic() + 5)
        words = [kid.text() for kid in node.kids]
        if words == [b"PUBLISH", b"mark", b"mark"]:
            return seen
        if words != [b"PING"] and words != [b"ping"]:
            seen.append(words)


def play(server, lines):
    setup = server.client()
    setup.call("FLUSHALL")
    feed, _ = attach(server)
    clients = {1: setup, 2: server.client()}
    for line in lines:
        which = 2 if line.startswith("2") else 1
        if which == 2:
            line = line[1:]
        if line == "<":
            clients[which].read()
        elif line.startswith("> "):
            clients[which].send(encode(split(line[2:].encode())))
            time.sleep(0.05)
        elif line.startswith("!sleep"):
            time.sleep(float(line.split()[1]))
        else:
            clients[which].call(*split(line.encode()))
    seen = drain(feed, setup)
    setup.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    setup.call("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0")
    for client in list(clients.values()) + [feed]:
        client.close()
    return seen


def times_hidden(stream):
    """Absolute times differ between the two servers by what passed between them."""
    stream = [[re.sub(rb"^\d{13}-\d+$", b"ID", w) for w in words] for words in stream]
    return [[b"TIME" if w.isdigit() and len(w) == 13 else w.upper() if i == 0 else w for i, w in enumerate(words)] for words in stream]


def without_idle_consumers(got, want):
    """A consumer that got nothing is told by us alone: redis-server's replicas do not have it."""
    return [words for words in got if words[:2] != [b"XGROUP", b"CREATECONSUMER"] or words in want]


def streams(tap, theirs, ours):
    for claim, lines in STREAMS:
        want, got = times_hidden(bridge_stream(play(theirs, lines))), times_hidden(bridge_stream(play(ours, lines)))
        got = without_idle_consumers(got, want)
        tap.ok(want == got, claim, [] if want == got else ["redis-server: %r" % want, "ours:         %r" % got])
    if OLDER:
        tap.ok(not unused("stream"), "every difference between versions that is listed is there", unused("stream"))


def info(client, field):
    for line in client.call("INFO", "replication").text().split(b"\r\n"):
        if line.startswith(field.encode() + b":"):
            return line.split(b":", 1)[1]
    return b""


def wait_for(what, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def replica(tap):
    with our_server(tcp=True) as ours, Server(REDIS, ["--repl-diskless-load", "disabled"], tcp=True) as theirs:
        master, follower = ours.client(), theirs.client()
        for i in range(500):
            master.call("SET", "key:%d" % i, "x" * i)
            master.call("RPUSH", "list", str(i))
        follower.call("REPLICAOF", "127.0.0.1", str(ours.port))
        tap.ok(wait_for(lambda: info(follower, "master_link_status") == b"up"), "a redis-server comes up as our replica")
        digests = [c.call("DEBUG", "DIGEST").text() for c in (master, follower)]
        tap.ok(digests[0] == digests[1], "with the data we have", digests if digests[0] != digests[1] else [])
        tap.ok(info(master, "connected_slaves") == b"1" and b"state=online" in info(master, "slave0"), "INFO shows it")
        for i in range(2000):
            master.call("SET", "key:%d" % (i % 700), str(i), "EX", "100000")
            master.call("ZADD", "z", str(i), "m%d" % (i % 50))
            master.call("SPOP", "s") if i % 2 else master.call("SADD", "s", str(i), str(i + 1))
        tap.ok(wait_for(lambda: master.call("DEBUG", "DIGEST").text() == follower.call("DEBUG", "DIGEST").text()), "and stays in step")
        for name, words in (("small", "SADD small a b c"), ("stream", "XADD stream 1-1 f v"), ("group", "XGROUP CREATE stream g 0"), ("text", "SET text v")):
            master.call(*words.split())
            payload = master.call("DUMP", name.replace("group", "stream")).text()
            master.call("RESTORE", name + ":1", "0", payload)
            master.call("RESTORE", name + ":2", "100000", payload)
        there = wait_for(lambda: master.call("DEBUG", "DIGEST").text() == follower.call("DEBUG", "DIGEST").text())
        tap.ok(there and follower.call("EXISTS", "small:1", "small:2", "group:2").text() == b"3", "a RESTORE of a newer payload comes to an older replica")
        client = master.call("FAILOVER", "TO", "127.0.0.1", str(theirs.port), "TIMEOUT", "10000")
        changed = wait_for(lambda: info(follower, "role") == b"master" and info(master, "master_link_status") == b"up")
        tap.ok(changed, "FAILOVER makes the two change places", [] if changed else [client.raw()] + ours.log_tail())
        follower.call("SET", "there", "1")
        tap.ok(wait_for(lambda: master.call("GET", "there").text() == b"1") and info(master, "master_failover_state") == b"no-failover", "and ours follows")
        follower.call("FAILOVER", "TIMEOUT", "10000")
        changed = wait_for(lambda: info(master, "role") == b"master" and info(follower, "master_link_status") == b"up")
        tap.ok(changed, "and the other way round", [] if changed else ours.log_tail())
        same = wait_for(lambda: master.call("DEBUG", "DIGEST").text() == follower.call("DEBUG", "DIGEST").text())
        tap.ok(same, "with the same data")
        up = info(follower, "master_link_status") == b"up"
        tap.ok(up, "the link is still up", [] if up else theirs.log_tail())
        follower.call("REPLICAOF", "NO", "ONE")
        tap.ok(wait_for(lambda: info(master, "connected_slaves") == b"0"), "it leaves and is counted no more")
        master.call("SET", "after", "1")


def manners(tap, ours):
    client = ours.client()
    client.call("FLUSHALL")
    feed, snapshot = attach(ours)
    tap.ok(snapshot.startswith(b"REDIS0010"), "the snapshot is an RDB file, of the version that every replica takes")
    feed.send(b"PING\r\nGET x\r\nnonsense\r\nSYNC\r\nRESET\r\n")
    client.call("SET", "a", "1")
    tap.ok(feed.node(time.monotonic() + 5).raw() == encode(["SELECT", "0"]) and feed.node(time.monotonic() + 5).raw() == encode(["SET", "a", "1"]),
           "what a replica sends is not answered")
    tap.ok(b"flags=S" in client.call("CLIENT", "LIST", "TYPE", "replica").text(), "CLIENT LIST TYPE replica shows it")
    other, _ = attach(ours)
    client.call("SET", "b", "1")
    both = [[feed.node(time.monotonic() + 5).raw() for _ in range(2)], [other.node(time.monotonic() + 5).raw() for _ in range(2)]]
    tap.ok(both[0] == both[1] == [encode(["SELECT", "0"]), encode(["SET", "b", "1"])], "a second one makes both select again")
    client.call("MULTI")
    tap.ok(client.call("SYNC").is_error(), "not inside MULTI")
    client.call("DISCARD")
    client.call("CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 0 0")
    slow, _ = attach(ours)
    big = "x" * 500000
    for _ in range(40):
        client.call("SET", "big", big)
    tap.ok(wait_for(lambda: b"connected_slaves:0" in client.call("INFO", "replication").text()), "one that does not read is closed at its limit")
    client.call("CONFIG", "SET", "client-output-buffer-limit", "replica 256mb 64mb 60")


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS, ["--repl-diskless-sync", "no"]) as theirs, our_server() as ours:
        streams(tap, theirs, ours)
        manners(tap, ours)
    replica(tap)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What INFO memory and MEMORY STATS say memory is used for: data stays data however many clients it is on its way to, what
belongs to replicas is theirs, what belongs to clients goes with them, and the parts make the whole."""
import re
import time

from here import OURS, Server, Tap, need_server
from resp import encode

MB = 1 << 20
READERS = 40
BIG = 4 * MB
SLACK = MB


def ok(tap, passed, claim, notes):
    tap.ok(passed, claim, () if passed else notes)


def fields(client):
    text = client.call("INFO", "memory").text().decode()
    return {name: int(value) for name, value in re.findall(r"^(\w+):(-?\d+)\r$", text, re.M)}


def stats(client):
    kids = client.call("MEMORY", "STATS").kids
    return {k.text().decode(): v for k, v in zip(kids[::2], kids[1::2])}


def number(node):
    return int(node.head[1:-2])


def check_sum(tap, client, when):
    m = fields(client)
    ok(tap, m["used_memory_overhead"] + m["used_memory_dataset"] == m["used_memory"] and m["used_memory_dataset"] > 0,
           "%s: overhead and data are what is used" % when, [m])
    parts = m["used_memory_startup"] + m["mem_clients_normal"] + m["mem_clients_slaves"]
    ok(tap, parts <= m["used_memory_overhead"], "%s: clients are overhead" % when, [m])
    s = stats(client)
    same = all(abs(number(s[name]) - m[other]) < 65536 for name, other in
               (("overhead.total", "used_memory_overhead"), ("dataset.bytes", "used_memory_dataset"), ("total.allocated", "used_memory"),
                ("clients.normal", "mem_clients_normal"), ("clients.slaves", "mem_clients_slaves")))
    ok(tap, same, "%s: MEMORY STATS says the same" % when, [m, {k: v.head for k, v in s.items()}])
    return m


def settled(client, good):
    deadline = time.monotonic() + 10
    while True:
        m = fields(client)
        if good(m) or time.monotonic() > deadline:
            return m
        time.sleep(0.1)


def listed(client):
    """The sums of what CLIENT LIST says of all."""
    text = client.call("CLIENT", "LIST").text().decode()
    return {name: sum(int(n) for n in re.findall(r" %s=(\d+)" % name, text)) for name in ("omem", "tot-mem")}


def check_lines(tap, client, when):
    sums = {}

    def agree(m):
        sums.update(listed(client))
        return abs(sums["tot-mem"] - m["mem_clients_normal"]) < 65536 and sums["omem"] <= sums["tot-mem"]

    m = settled(client, agree)
    ok(tap, agree(m), "%s: the lines of CLIENT LIST add up to what INFO says" % when, [sums, m])


def shared_replies(tap, server):
    """A value lent to many clients that do not read it."""
    client = server.client()
    client.call("SET", "big", b"v" * BIG)
    before = check_sum(tap, client, "a value of %d MB" % (BIG // MB))
    readers = [server.client() for _ in range(READERS)]
    for r in readers:
        r.send(encode(["GET", "big"]))
    time.sleep(1.5)
    m = check_sum(tap, client, "it is on its way to %d clients" % READERS)
    ok(tap, abs(m["used_memory_dataset"] - before["used_memory_dataset"]) < SLACK, "the data is as large as before", [before, m])
    check_lines(tap, client, "it is on its way to %d clients" % READERS)
    client.call("DEL", "big")
    time.sleep(0.2)
    m = check_sum(tap, client, "it was deleted meanwhile")
    ok(tap, m["mem_clients_normal"] > BIG and m["used_memory_dataset"] < before["used_memory_dataset"] - BIG + SLACK,
           "then it is what clients have to get, once for all", [before, m])
    check_lines(tap, client, "it was deleted meanwhile")
    for r in readers:
        r.close()
    m = settled(client, lambda m: m["mem_clients_normal"] < SLACK)
    ok(tap, m["mem_clients_normal"] < SLACK, "and goes with them", [m])


def built_replies(tap, server):
    """Replies made for a client alone."""
    client, reader = server.client(), server.client()
    for _ in range(40):
        client.call("RPUSH", "l", *["x" * 1000 for _ in range(100)])
    before = fields(client)
    reader.send(encode(["LRANGE", "l", "0", "-1"]))
    m = settled(client, lambda m: m["mem_clients_normal"] > before["mem_clients_normal"] + 2 * MB)
    ok(tap, m["mem_clients_normal"] > before["mem_clients_normal"] + 2 * MB and
           abs(m["used_memory_dataset"] - before["used_memory_dataset"]) < SLACK, "a reply that is not read is its client's", [before, m])
    check_sum(tap, client, "a reply is not read")
    check_lines(tap, client, "a reply is not read")
    reader.close()


def small_messages(tap, server):
    """The library keeps copies of what is small."""
    client, reader = server.client(), server.client()
    client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
    reader.call("SUBSCRIBE", "c")
    omem, n = 0, 0
    while omem < MB and n < 200000:
        for _ in range(500):
            client.send(encode(["PUBLISH", "c", "m" * 100]))
        for _ in range(500):
            client.read()
        n += 500
        omem = listed(client)["omem"]
    ok(tap, MB <= omem < 4 * MB, "small messages that are not read are their subscriber's", [omem, n])
    check_lines(tap, client, "small messages are not read")
    reader.close()
    tap.ok(settled(client, lambda m: listed(client)["omem"] == 0) is not None and listed(client)["omem"] == 0, "and go with it")


def replicas(tap, server):
    client, replica = server.client(), server.client()
    client.call("CONFIG", "SET", "rdbcompression", "no")
    client.call("DEBUG", "POPULATE", "8", "key", str(MB))
    before = fields(client)
    ok(tap, before["mem_clients_slaves"] == 0, "without replicas they have nothing", [before])
    replica.send(encode(["SYNC"]))
    m = settled(client, lambda m: m["mem_clients_slaves"] > 5 * MB)
    ok(tap, m["mem_clients_slaves"] > 5 * MB and m["mem_clients_normal"] < before["mem_clients_normal"] + SLACK,
           "a snapshot that a replica has not read is the replicas'", [before, m])
    check_sum(tap, client, "a replica reads a snapshot")
    replica.close()
    m = settled(client, lambda m: m["mem_clients_slaves"] == 0)
    ok(tap, m["mem_clients_slaves"] == 0, "and goes with it", [m])


def evictable(client):
    """What eviction looks at, without what clients have to get."""
    m = fields(client)
    return m["used_memory"] - m["mem_not_counted_for_evict"] - m["mem_clients_normal"], m


def write_often(client, times):
    for _ in range(times):
        client.send(encode(["SETRANGE", "k", "0", b"w" * 1000]) * 100)
        for _ in range(100):
            client.read()


def unread_stream(tap, server):
    """A replica that reads its snapshot, and then nothing: what was handed to the library for it is its own, as the rest is."""
    client, replica = server.client(), server.client()
    client.call("FLUSHALL")
    client.call("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0", "repl-backlog-size", "16384")
    client.call("SET", "k", b"v" * 1000)
    replica.send(encode(["SYNC"]))
    while replica.readable(1.0):
        replica.sock.recv(1 << 16)
    write_often(client, 1)  # the server has room for such requests from here on
    before, m = evictable(client)
    write_often(client, 80)
    after, m = evictable(client)
    ok(tap, m["mem_clients_slaves"] > 5 * MB and abs(after - before) < 48 << 10, "a stream that a replica does not read is no reason to evict, to the block", [before, after, m])
    check_sum(tap, client, "a replica does not read its stream")
    replica.close()
    m = settled(client, lambda m: m["mem_clients_slaves"] == 0)
    after, m = evictable(client)
    ok(tap, m["mem_clients_slaves"] == 0 and abs(after - before) < 48 << 10, "and goes with it", [before, after, m])


need_server()
tap = Tap()
with Server(OURS) as server:
    check_sum(tap, server.client(), "empty")
    shared_replies(tap, server)
    built_replies(tap, server)
    small_messages(tap, server)
    replicas(tap, server)
    unread_stream(tap, server)
tap.done()

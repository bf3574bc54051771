#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""maxmemory-clients: when clients take too much together the largest are closed, and nobody else; what a client's memory is made of; the
bound holds within one command, too."""
import re
import time

from here import OURS, Server, Tap, info, need_server, text_of, wait_until
from resp import Closed, Silent, encode

KB, MB = 1 << 10, 1 << 20
PROMPT = 10


def clients(admin):
    """{name: tot-mem} of who is connected and has a name."""
    lines = text_of(admin, "CLIENT", "LIST").decode()
    return {m[1]: int(m[2]) for m in re.finditer(r" name=(\S+) .* tot-mem=(\d+) ", lines)}


def named(server, name):
    client = server.client()
    client.call("CLIENT", "SETNAME", name)
    return client


def fill(client, size):
    """An argument that does not come to its end."""
    client.send(b"*2\r\n$%d\r\n" % size + b"v" * size)


def evicted(admin):
    return int(info(admin, "evicted_clients", "stats"))


def limit(admin, value):
    return admin.call("CONFIG", "SET", "maxmemory-clients", value).text()


def restart(admin):
    limit(admin, "0")
    admin.call("FLUSHALL")


def check_order(tap, server, admin):
    sizes = {"small": 200 * KB, "middle": 600 * KB, "large": 2 * MB, "huge": 5 * MB}
    all_of_them = {name: named(server, name) for name in sizes}
    for name, client in all_of_them.items():
        fill(client, sizes[name])
    wait_until(lambda: all(clients(admin).get(name, 0) >= size for name, size in sizes.items()), PROMPT)
    before, left = evicted(admin), dict(sizes)
    for name in reversed(list(sizes)):
        weights = clients(admin)
        limit(admin, str(sum(weights.values()) - weights[name] // 2))
        del left[name]
        gone = wait_until(lambda: set(clients(admin)) == set(left) | {"admin"}, PROMPT)
        tap.ok(gone, "the largest goes, and nobody else: " + name, [sorted(clients(admin))])
    tap.ok(evicted(admin) == before + len(sizes), "evicted_clients counts them", [before, evicted(admin)])
    restart(admin)


def grow(server, admin, name, feed, limit_bytes):
    """Feeds a client until it is closed; whether it was, and the largest it was seen to be."""
    client, seen = named(server, name), 0
    limit(admin, str(limit_bytes))
    deadline = time.monotonic() + PROMPT
    try:
        for i in range(100000):
            feed(client, i)
            if i % 50 == 0:
                seen = max(seen, clients(admin).get(name, 0))
            if time.monotonic() > deadline:
                break
    except (OSError, Closed, Silent):
        pass
    gone = wait_until(lambda: name not in clients(admin), PROMPT)
    client.close()
    restart(admin)
    return gone, seen


def check_kinds(tap, server, admin):
    big = b"v" * 50000
    kinds = {
        "a transaction's queue": lambda c, i: c.call(*((b"SET", b"k", big) if i else (b"MULTI",))),
        "watched keys": lambda c, i: c.call("WATCH", *["key:%d:%d" % (i, k) for k in range(50)]),
        "channels": lambda c, i: [c.call("SUBSCRIBE", "%d:%d" % (i, k)) for k in range(20)],
        "patterns": lambda c, i: [c.call("PSUBSCRIBE", "%d:%d*" % (i, k)) for k in range(20)],
        "prefixes that it tracks": lambda c, i: c.call("CLIENT", "TRACKING", "ON", "BCAST",
                                                       *[w for k in range(50) for w in ("PREFIX", "p%06d:%06d" % (i, k))]),
    }
    for what, feed in kinds.items():
        gone, seen = grow(server, admin, "grows", feed, 300 * KB)
        tap.ok(gone and seen < 400 * KB, "who grows by %s is closed" % what, [gone, seen])


def check_output(tap, server, admin):
    """Who does not read: closed at the limit, where without one he would be let wait."""
    admin.call("SETRANGE", "k", 100 * KB, "v")
    client = named(server, "reads-nothing")
    limit(admin, str(3 * MB))
    try:
        for _ in range(500):
            client.send(encode(["GET", "k"]))
            time.sleep(0.001)
    except (OSError, Silent):
        pass
    tap.ok(wait_until(lambda: "reads-nothing" not in clients(admin), PROMPT), "who does not read what he asked for is closed")
    client.close()
    restart(admin)
    # One reply that is larger than all clients may be.
    for _ in range(40):
        admin.call("RPUSH", "l", *["x" * 1000] * 500)
    limit(admin, str(5 * MB))
    client, before = named(server, "asks-for-much"), int(info(admin, "used_memory_peak", "memory"))
    client.send(encode(["LRANGE", "l", "0", "-1"]))
    gone = wait_until(lambda: "asks-for-much" not in clients(admin), PROMPT)
    peak = int(info(admin, "used_memory_peak", "memory"))
    tap.ok(gone and peak < before + 10 * MB, "a reply that is larger than the limit is not made to its end", [before, peak])
    client.close()
    restart(admin)


def check_exempt(tap, server, admin):
    keeps, goes = named(server, "keeps"), named(server, "goes")
    keeps.call("CLIENT", "NO-EVICT", "ON")
    fill(keeps, 3 * MB)
    wait_until(lambda: clients(admin)["keeps"] > 3 * MB, PROMPT)
    limit(admin, str(2 * MB))
    fill(goes, 200 * KB)
    gone = wait_until(lambda: "goes" not in clients(admin), PROMPT)
    tap.ok(gone and "keeps" in clients(admin), "NO-EVICT: it counts, and others go", [sorted(clients(admin))])
    tap.ok(text_of(admin, "PING") == b"PONG", "who asks from time to time is served on, over the limit")
    keeps.close()
    goes.close()
    restart(admin)


def check_forms(tap, admin):
    admin.call("CONFIG", "SET", "maxmemory", str(100 * MB))
    said = [limit(admin, v) for v in ("5%", "100%", "1mb", "0", "101%", "-1", "x")]
    good = said[:4] == [b"OK"] * 4 and all(s.startswith(b"ERR") for s in said[4:])
    tap.ok(good, "bytes, or percent of maxmemory", said)
    limit(admin, "5%")
    tap.ok(admin.call("CONFIG", "GET", "maxmemory-clients").kids[1].text() == b"5%", "CONFIG GET says percent")
    admin.call("CONFIG", "SET", "maxmemory", "0")
    restart(admin)


def main():
    need_server()
    tap = Tap()
    with Server(OURS) as server:
        admin = named(server, "admin")
        admin.call("CLIENT", "NO-EVICT", "ON")
        check_order(tap, server, admin)
        check_kinds(tap, server, admin)
        check_output(tap, server, admin)
        check_exempt(tap, server, admin)
        check_forms(tap, admin)
        tap.ok(text_of(admin, "PING") == b"PONG", "and the server goes on")
    tap.done()


if __name__ == "__main__":
    main()

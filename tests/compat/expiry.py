#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""Keys that die as fast as they are made: how many dead ones lie about, here and in redis-server under the same load.

Each server gets `SET k v PX 1000` under new names, so many a second, and is asked for DBSIZE all the while. The level is
DBSIZE over the keys of the last second, which are the living: 1 would be no dead at all. By hand with another rate:

    tests/compat/expiry.py 20000
"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Client  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

RATE = int(sys.argv[1]) if len(sys.argv) > 1 else 50000
TTL_MS = 1000
SECONDS = 4.0
WARM = 2.0       # until the first keys have died, and the cycle knows it
BATCH = 200
RATIO = 1.3      # times redis-server's level


def info(client, field, section="stats"):
    for line in client.call("INFO", section).body.decode().splitlines():
        if line.startswith(field + ":"):
            return float(line.split(":")[1])
    raise RuntimeError("INFO without " + field)


def number(client, *words):
    return int(client.call(*words).head[1:])


def level(server):
    """Puts the load on, and returns (mean of DBSIZE / living, the largest DBSIZE)."""
    client = Client(server.path, 20.0)
    start, made, sizes, most, history, asked = time.monotonic(), 0, [], 0, [], 0.0
    while True:
        now = time.monotonic() - start
        if now > SECONDS:
            break
        if now * RATE - made < BATCH:
            time.sleep(0.001)
            continue
        client.send(b"".join(b"SET k%011d v PX %d\r\n" % (made + i, TTL_MS) for i in range(BATCH)))
        for _ in range(BATCH):
            client.read()
        made += BATCH
        history.append((now, BATCH))
        if now > WARM and now - asked > 0.02:
            asked = now
            while history[0][0] < now - TTL_MS / 1000:
                history.pop(0)
            size = number(client, "DBSIZE")
            most = max(most, size)
            sizes.append(size / sum(n for _, n in history))
    client.close()
    return sum(sizes) / len(sizes), most


def main():
    tap = Tap()
    if not os.access(REDIS, os.X_OK):
        skip_all("no redis-server to compare with")
    with Server(REDIS) as theirs:
        redis, redis_most = level(theirs)
    with Server(OURS) as server:
        ours, most = level(server)
        client = server.client()
        tap.ok(ours <= RATIO * redis, "the dead are at most %.1f times redis-server's level" % RATIO,
               ["DBSIZE over the living: %.2f here, %.2f there; most keys %d and %d" % (ours, redis, most, redis_most)])
        tap.ok(info(client, "expired_stale_perc") > 0, "INFO tells the share of the dead")
        tap.ok(info(client, "expire_cycle_cpu_milliseconds") > 0, "and the time it takes")
        deadline = time.monotonic() + 20
        while number(client, "DBSIZE") and time.monotonic() < deadline:
            time.sleep(0.05)
        tap.ok(number(client, "DBSIZE") == 0, "without traffic all of them go")
    with Server(OURS) as server:
        client = Client(server.path, 20.0)
        client.call("CONFIG", "SET", "maxmemory", str(int(info(client, "used_memory", "memory")) + (1 << 20)))
        refused, start, made = 0, time.monotonic(), 0
        while time.monotonic() - start < 3:   # some 0.5 MB alive at any time, and 10 MB a second that die
            client.send(b"".join(b"SET n%011d %s PX 50\r\n" % (made + i, b"v" * 400) for i in range(100)))
            made += 100
            refused += sum(client.read().head.startswith(b"-") for _ in range(100))
            time.sleep(0.005)
        tap.ok(refused == 0, "writes are not refused because of the dead", ["%d of %d refused" % (refused, made)])
    tap.done()


main()

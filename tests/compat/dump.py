#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Values and whole files between redis-server and our server, both ways; TAP on stdout.

What one dumps the other restores, what one saves the other loads, and DEBUG DIGEST says that it is the same data.
"""
import os
import random
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from older import file_for_old, our_server, value_for_old  # noqa: E402
import versions  # noqa: E402

# DEBUG DIGEST reads scores as they are printed: with an older redis-server no 0.1.
SCORES = ["1", "-0", "inf", "-inf", "3", "1e17", "-2.5"] + (["0.5", "1e22"] if versions.OLDER else ["0.1", "1e300"])


def text(rng, limit):
    """A member or value: numbers, short words, long ones that compress, bytes that do not."""
    kind = rng.randrange(5)
    if kind == 0:
        return b"%d" % rng.choice([0, 1, -1, 12, 127, -129, 4095, 32768, -70000, 1 << 31, -(1 << 63), (1 << 63) - 1])
    if kind == 1:
        return b"word-%d" % rng.randrange(1000)
    if kind == 2:
        return b"abc" * rng.randrange(limit)
    if kind == 3:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    return b""


def fill(client, rng, keys):
    """Keys of every type and encoding, in two databases."""
    for i in range(keys):
        client.call("SELECT", str(i % 2 * 3))
        key, count = b"key:%d" % i, rng.choice([1, 3, 20, 127, 130, 600])
        kind = rng.randrange(6)
        if kind == 0:
            client.call("SET", key, text(rng, 3000))
        elif kind == 1:
            for _ in range(count):
                client.call(rng.choice(["RPUSH", "LPUSH"]), key, text(rng, 200))
        elif kind == 2:
            client.call("SADD", key, *[text(rng, 20) for _ in range(count)])
        elif kind == 3:
            client.call("SADD", key, *[str(rng.randrange(-1 << rng.choice([7, 20, 40]), 1000)) for _ in range(count)])
        elif kind == 4:
            client.call("HSET", key, *[t for _ in range(count) for t in (text(rng, 30), text(rng, 30))])
        else:
            for _ in range(count):
                client.call("ZADD", key, rng.choice(SCORES), text(rng, 20))
        if rng.randrange(3) == 0:
            client.call("PEXPIREAT", key, str(4000000000000 + i))


def digest(client):
    return client.call("DEBUG", "DIGEST").text()


def configure(clients, settings):
    for client in clients:
        for name, value in settings.items():
            reply = client.call("CONFIG", "SET", name, value)
            if reply.is_error():
                raise ValueError(reply.text())


def copy_values(source, target):
    """Every value by DUMP and RESTORE; the errors."""
    errors = []
    for db in ("0", "3"):
        source.call("SELECT", db)
        target.call("SELECT", db)
        for key in source.call("KEYS", "*").kids:
            payload = value_for_old(source.call("DUMP", key.text()).text())
            ttl = int(source.call("PEXPIRETIME", key.text()).text())
            reply = target.call("RESTORE", key.text(), str(max(ttl, 0)), payload, "ABSTTL")
            if reply.is_error():
                errors.append("%s: %s" % (key.text(), reply.text()))
    return errors


def values_cross(tap, theirs, ours):
    for seed in range(3):
        one, other = (theirs, ours) if seed % 2 else (ours, theirs)
        for client in (one, other):
            client.call("FLUSHALL")
            client.call("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1")
        fill(one, random.Random(seed), 60)
        notes = copy_values(one, other)
        tap.ok(not notes and digest(one) == digest(other),
               "values of %s restored by the other, seed %d" % ("redis-server" if one is theirs else "ours", seed), notes)
    for client in (theirs, ours):
        client.call("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0")


SETTINGS = [
    {},
    {"rdbcompression": "no"},
    {"maxmemory-policy": "allkeys-lru"},
    {"maxmemory-policy": "allkeys-lfu", "list-compress-depth": "1", "list-max-listpack-size": "5"},
]
DEFAULTS = {"rdbcompression": "yes", "maxmemory-policy": "noeviction", "list-compress-depth": "0",
            "list-max-listpack-size": "-2"}


def files_cross(tap, servers, clients):
    theirs, ours = clients
    there, here = (os.path.join(s.dir, "dump.rdb") for s in servers)
    for seed, settings in enumerate(SETTINGS):
        what = " ".join("%s=%s" % pair for pair in settings.items()) or "defaults"
        configure(clients, dict(DEFAULTS, **settings))
        ours.call("FLUSHALL")
        fill(ours, random.Random(seed + 10), 80)
        before = digest(ours)
        reply = ours.call("DEBUG", "RELOAD").text()
        tap.ok(reply == b"OK" and digest(ours) == before, "ours saves and loads its own file, " + what, [] if reply == b"OK" else [reply])
        with open(here, "rb") as file:
            whole = file.read()
        with open(there, "wb") as file:
            file.write(file_for_old(whole))
        reply = theirs.call("DEBUG", "RELOAD", "NOSAVE").text()
        tap.ok(reply == b"OK" and digest(theirs) == before, "redis-server loads our file, " + what, [] if reply == b"OK" else [reply])

        theirs.call("FLUSHALL")
        fill(theirs, random.Random(seed + 20), 80)
        before = digest(theirs)
        theirs.call("SAVE")
        shutil.copy(there, here)
        reply = ours.call("DEBUG", "RELOAD", "NOSAVE").text()
        tap.ok(reply == b"OK" and digest(ours) == before, "ours loads redis-server's file, " + what, [] if reply == b"OK" else [reply])
    configure(clients, DEFAULTS)


def reload_options(tap, server, client):
    path = os.path.join(server.dir, "dump.rdb")
    client.call("SELECT", "0")
    client.call("FLUSHALL")
    client.call("MSET", "a", "1", "b", "2")
    client.call("DEBUG", "RELOAD")
    client.call("SET", "a", "changed")
    client.call("SET", "c", "new")
    tap.ok(client.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE").text() == b"OK" and
           [k.text() for k in client.call("MGET", "a", "b", "c").kids] == [b"1", b"2", b"new"], "MERGE replaces and keeps")
    tap.ok(client.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").is_error(), "without MERGE a key that is there is an error")
    tap.ok(client.call("DEBUG", "RELOAD", "NOSAVE").text() == b"OK" and client.call("DBSIZE").text() == b"2", "NOSAVE takes the file as it is")
    tap.ok(b"only supports" in client.call("DEBUG", "RELOAD", "FASTER").text(), "other words are refused")
    client.call("SET", "soon", "v", "PXAT", "1")
    client.call("PSETEX", "alive", "100000", "v")
    client.call("DEBUG", "RELOAD")
    tap.ok(client.call("DBSIZE").text() == b"3", "what is past its time is not loaded")

    whole = open(path, "rb").read()
    for name, bad in (("a flipped bit", whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]), ("half a file", whole[:len(whole) // 2]),
                      ("an empty file", b""), ("another signature", b"RADIS" + whole[5:]), ("a newer version", b"REDIS9999" + whole[9:])):
        with open(path, "wb") as file:
            file.write(bad)
        tap.ok(client.call("DEBUG", "RELOAD", "NOSAVE").is_error() and client.call("PING").text() == b"PONG", name + " is refused")
    os.remove(path)
    tap.ok(client.call("DEBUG", "RELOAD", "NOSAVE").is_error(), "no file is an error")
    os.mkdir(path)
    client.call("SET", "kept", "1")
    tap.ok(client.call("DEBUG", "RELOAD").is_error() and client.call("GET", "kept").text() == b"1" and
           not [n for n in os.listdir(server.dir) if n.startswith("temp-")], "a save that fails loses nothing and leaves nothing behind")
    os.rmdir(path)


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS) as theirs, our_server() as ours:
        clients = theirs.client(20.0), ours.client(20.0)
        values_cross(tap, *clients)
        files_cross(tap, (theirs, ours), clients)
        reload_options(tap, ours, clients[1])
    tap.done()


if __name__ == "__main__":
    main()

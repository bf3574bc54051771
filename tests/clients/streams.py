#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Streams and their groups over restarts: the log as it was written, rewritten as commands and as RDB, and what redis-server makes
of each; a large one freed aside. TAP on stdout."""
import os
import random
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "compat"))
from grammar import ALL, Grammar  # noqa: E402
from resp import encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PATIENCE = 20.0
ON = ["--appendonly", "yes", "--appendfsync", "no", "--rdb-version", "10"]
HIDDEN = (b"seen-time", b"active-time", b"radix-tree-keys", b"radix-tree-nodes")
tap = Tap()


def wait_until(what):
    end = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


def info(client, field):
    found = [line for line in client.call("INFO").text().split(b"\r\n") if line.startswith(field.encode() + b":")]
    return found[0].split(b":", 1)[1] if found else b""


def stream_commands(seed, count):
    grammar = Grammar(random.Random(seed))
    templates = [tokens for _, tokens in ALL if tokens[0].startswith("X") and "BLOCK" not in tokens and "{k}" not in tokens]
    for _ in range(count):
        yield [a for t in grammar.rng.choice(templates) for a in grammar.token(t)]


def fill(client, seed):
    commands = list(stream_commands(seed, 2500))
    client.send(b"".join(encode(args) for args in commands))
    for _ in commands:
        client.read()


def groups_of(client, key):
    return [group.kids[1].text() for group in client.call("XINFO", "GROUPS", key).kids]


def streams(client):
    return sorted(k.text() for k in client.call("KEYS", "*").kids if client.call("TYPE", k.text()).text() == b"stream")


def forget_deleted(client):
    """What is pending of entries that are no more is lost when a log is rewritten, as by redis-server."""
    for key in streams(client):
        for group in groups_of(client, key):
            client.call("XAUTOCLAIM", key, group, "cleaner", "9999999999999", "0", "COUNT", "100000")


def told(client):
    """What the log tells: not who was seen when, or how often something was read again."""
    out = [client.call("DEBUG", "DIGEST").text()]
    for key in streams(client):
        for group in groups_of(client, key):
            out += [key, group, client.call("XPENDING", key, group).raw()]
        out += [group.kids[7].text() for group in client.call("XINFO", "GROUPS", key).kids]
    return out


def plain(node):
    if not node.kids:
        return node.raw()
    kids = [plain(k) for k in node.kids]
    for i, kid in enumerate(node.kids[:-1]):
        if not kid.kids and kid.text() in HIDDEN:
            kids[i + 1] = b"-"
    return kids


def all_of(client):
    """Everything but what no command can set."""
    return told(client), [plain(client.call("XINFO", "STREAM", key, "FULL", "COUNT", "0")) for key in streams(client)]


def end(server):
    server.process.terminate()
    server.process.wait()


def restart(server, args=None):
    if args is not None:
        server.args = args
    server.start()
    client = server.client(PATIENCE)
    wait_until(lambda: info(client, "loading") == b"0")
    return client


def rewritten(client):
    client.call("BGREWRITEAOF")
    return wait_until(lambda: info(client, "aof_rewrite_in_progress") == b"0" and info(client, "aof_rewrite_scheduled") == b"0")


def check(passed, claim, notes=()):
    tap.ok(passed, claim, [] if passed else notes)


def logs(preamble):
    with Server(OURS, ON + ["--aof-use-rdb-preamble", preamble]) as server:
        client = server.client(PATIENCE)
        fill(client, 1)
        before = told(client)
        end(server)
        client = restart(server)
        check(len(before) > 10 and told(client) == before, "what was propagated makes the same streams and groups", server.log_tail(5))
        fill(client, 2)
        client.call("XTRIM", "z0", "MAXLEN", "0")
        forget_deleted(client)
        before = all_of(client)
        check(rewritten(client), "the log is rewritten, preamble " + preamble)
        end(server)
        client = restart(server)
        check(all_of(client) == before, "and makes the same again, down to who has what pending", server.log_tail(5))
        end(server)
        if not os.access(REDIS, os.X_OK):
            tap.skip("redis-server reads it", "no " + REDIS)
            return
        with Server(REDIS, []) as theirs:
            end(theirs)
            shutil.copytree(os.path.join(server.dir, "appendonlydir"), os.path.join(theirs.dir, "appendonlydir"))
            client = restart(theirs, ["--appendonly", "yes"])
            # The other has no `active-time`.
            strip = lambda text: repr(text).replace("b'$11\\r\\nactive-time\\r\\n', b'-', ", "").replace("*10", "*8")
            check(strip(all_of(client)) == strip(before), "redis-server reads it, preamble " + preamble, theirs.log_tail(5))


def freed_aside():
    with Server(OURS, []) as server:
        client = server.client(PATIENCE)
        client.call("CONFIG", "SET", "stream-node-max-entries", "10")
        client.send(b"".join(encode(["XADD", "s", "%d-1" % i, "f", "v"]) for i in range(1, 5001)))
        for _ in range(5000):
            client.read()
        client.call("XGROUP", "CREATE", "s", "g", "0")
        client.call("XREADGROUP", "GROUP", "g", "c", "COUNT", "2000", "STREAMS", "s", ">")
        used = int(client.call("MEMORY", "USAGE", "s", "SAMPLES", "0").text())
        sampled = int(client.call("MEMORY", "USAGE", "s").text())
        check(100000 < used < 500000 and abs(used - sampled) < used / 5, "MEMORY USAGE counts nodes and what is pending", [used, sampled])
        full = int(info(client, "used_memory"))
        client.call("COPY", "s", "t")
        client.call("UNLINK", "s")
        client.call("UNLINK", "t")
        freed = wait_until(lambda: int(info(client, "lazyfreed_objects")) == 2 and int(info(client, "used_memory")) < full - used / 2)
        check(freed, "UNLINK frees a large stream on the helper thread", [info(client, "lazyfreed_objects"), info(client, "used_memory"), full])
        client.call("XADD", "small", "1-1", "f", "v")
        client.call("UNLINK", "small")
        check(info(client, "lazyfreed_objects") == b"2", "and a small one at once")


def main():
    if not os.access(OURS, os.X_OK):
        skip_all("no " + OURS)
    logs("no")
    logs("yes")
    freed_aside()
    tap.done()


if __name__ == "__main__":
    main()

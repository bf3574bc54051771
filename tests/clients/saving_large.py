#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Large collections while they are saved: who would change one waits until it is written, all others are served, and the file is of the
moment at which the save began; as RDB, and as a log's base of commands. The memory that old values take is bounded."""
import select
import shutil
import time

from here import OURS, Server, Tap, digest, info, need_server, text_of, wait_until

from resp import encode  # noqa: E402

need_server()
tap = Tap()
PATIENCE = 60
SLOW = "20000"  # microseconds a step
MEMBERS = 20000
BUFFERS, AHEAD = 2 << 20, 8 << 20  # of the packer; how far a walk is ahead of it, with what a millisecond adds
LARGE = {
    "zset": lambda i: ["ZADD", "zset", str(i % 977), "member:%d" % i],
    "set": lambda i: ["SADD", "set", "member:%d" % i],
    "hash": lambda i: ["HSET", "hash", "field:%d" % i, "value:%d" % i],
    "list": lambda i: ["RPUSH", "list", "element:%d" % i],
}
# Each changes, or would, one of them; by themselves and among others.
WRITES = (
    [["ZADD", "zset", "1", "new"]], [["ZINCRBY", "zset", "5", "member:17"]], [["ZPOPMIN", "zset"]], [["SREM", "set", "member:5"]],
    [["SPOP", "set"]], [["SUNIONSTORE", "set", "set", "other"]], [["HSET", "hash", "field:1", "changed"]], [["HDEL", "hash", "field:2"]],
    [["HINCRBY", "hash", "count", "1"]], [["RPUSH", "list", "last"]], [["LPOP", "list"]], [["LSET", "list", "100", "changed"]],
    [["LMOVE", "list", "list", "LEFT", "RIGHT"]], [["EXPIRE", "zset", "1000"]], [["MULTI"], ["SET", "small:1", "x"], ["ZADD", "zset", "7", "x"], ["EXEC"]],
    [["DEL", "set", "small:2"]], [["RENAME", "hash", "hash2"]], [["COPY", "list", "list", "DB", "1", "REPLACE"]], [["MOVE", "list", "2"]],
    [["BLMOVE", "small:list", "list", "LEFT", "RIGHT", "5"]],
)


def fill(server, names=tuple(LARGE)):
    client = server.client(PATIENCE)
    for name in names:
        make = LARGE[name]
        client.send(b"".join(encode(make(i)) for i in range(MEMBERS)))
        for _ in range(MEMBERS):
            client.read()
    if len(names) < len(LARGE):
        return client
    client.call("DEBUG", "POPULATE", "2000", "small")
    client.call("RPUSH", "small:list", "1", "2", "3")
    client.call("SADD", "other", "o")
    return client


def has_reply(client):
    return bool(select.select([client.sock], [], [], 0)[0])


def loaded(server, args=()):
    """What a server has that starts with these files."""
    with Server(OURS, list(args)) as other:
        other.process.terminate()
        other.process.wait(PATIENCE)
        shutil.rmtree(other.dir + "/appendonlydir", ignore_errors=True)
        shutil.copytree(server.dir, other.dir, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock", "log*", "*.log"))
        other.start()
        return digest(other.client(PATIENCE))


def writers_wait():
    with Server(OURS) as server:
        client = fill(server)
        client.call("CONFIG", "SET", "rdb-key-save-delay", SLOW)
        client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
        before, began = client.read().text(), client.read().text()
        tap.ok(began == b"Background saving started", "BGSAVE begins")
        waiting = []
        for number, commands in enumerate(WRITES):
            one = server.client(PATIENCE)
            one.call("CLIENT", "SETNAME", "w%d" % number)
            one.send(b"".join(encode(c) for c in commands))
            waiting.append((one, commands))
        tap.ok(text_of(client, "ZCARD", "zset") == b"%d" % MEMBERS and text_of(client, "LLEN", "list") == b"%d" % MEMBERS
               and client.call("HGET", "hash", "field:2").text() == b"value:2", "readers are served, and see what was there")
        tap.ok(text_of(client, "SET", "small:7", "new") == b"OK" and text_of(client, "DEL", "small:8") == b"1", "so are writers of other keys")
        killed = server.client(PATIENCE)
        killed.call("CLIENT", "SETNAME", "killed")
        number = text_of(killed, "CLIENT", "ID")
        killed.send(encode(["ZADD", "zset", "1", "never"]))
        tap.ok(text_of(client, "CLIENT", "KILL", "ID", number.decode()) == b"1", "who waits can be killed")
        held = [c for one, c in waiting if not has_reply(one)]
        tap.ok(len(held) >= len(WRITES) / 2 and info(client, "rdb_bgsave_in_progress") == "1", "writers of large ones wait", [len(held)])
        client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        errors = []
        for one, commands in waiting:
            replies = [one.read() for _ in commands]
            errors += [(c, r.text()) for c, r in zip(commands, replies) if r.is_error() and b"no such key" not in r.text()]
        tap.ok(not errors, "and go on when it is written", errors)
        tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok", "the save ends well")
        tap.ok(client.call("ZSCORE", "zset", "never").head == b"$-1\r\n", "a killed one's command never ran")
        got = loaded(server)
        tap.ok(got == before, "the file is of the moment at which it began", [] if got == before else [got, before])


def what_asks_nobody():
    """Changes that no client waits for: the time of a large one comes, it is flushed, its database is swapped; a save that is given up."""
    with Server(OURS) as server:
        client = fill(server)
        for name in LARGE:
            client.call("PEXPIRE", name, "700")
        client.call("CONFIG", "SET", "rdb-key-save-delay", SLOW)
        client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
        before, _ = client.read().text(), client.read()
        waits = server.client(PATIENCE)
        waits.send(encode(["ZADD", "zset", "1", "new"]))
        time.sleep(1)
        tap.ok(client.call("EXISTS", *LARGE).text() in (b"0", b"1"), "expired ones are gone for readers")
        client.call("SWAPDB", "0", "1")
        tap.ok(text_of(client, "DBSIZE") == b"0" and text_of(client, "SET", "zset", "string") == b"OK", "SWAPDB")
        client.call("FLUSHDB")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        tap.ok(not waits.read().is_error(), "who waited goes on, in what its database is now")
        tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok", "the save ends well")
        with Server(OURS) as other:
            other.process.terminate()
            other.process.wait(PATIENCE)
            shutil.copy(server.dir + "/dump.rdb", other.dir + "/dump.rdb")
            other.start()
            fresh = other.client(PATIENCE)
            tap.ok(int(info(fresh, "rdb_last_load_keys_expired")) == len(LARGE) and int(info(fresh, "rdb_last_load_keys_loaded")) == 2002,
                   "and the file has all of them, which a start leaves out now", [before])
        for command in (["FLUSHALL"], ["DEBUG", "RELOAD", "NOSAVE"]):
            fill(server)
            client.call("CONFIG", "SET", "rdb-key-save-delay", SLOW)
            client.call("BGSAVE")
            waits.send(encode(["ZADD", "zset", "1", "new"]) + encode(["SPOP", "set"]))
            time.sleep(0.1)
            client.call(*command)
            tap.ok(text_of(client, "PING") == b"PONG" and not waits.read().is_error() and not waits.read().is_error(),
                   "%s ends a save, and who waits for it goes on" % " ".join(command))
        waits.send(encode(["ZADD", "zset", "1", "new"]))
        client.call("BGSAVE")
        server.process.terminate()
        tap.ok(server.process.wait(PATIENCE) == 0, "SIGTERM with a command that waits")


def base_of_commands():
    with Server(OURS, ["--appendonly", "yes", "--aof-use-rdb-preamble", "no"]) as server:
        client = fill(server)
        client.call("CONFIG", "SET", "rdb-key-save-delay", "2000")
        client.call("BGREWRITEAOF")
        waiting = []
        for commands in WRITES:
            one = server.client(PATIENCE)
            one.send(b"".join(encode(c) for c in commands))
            waiting.append((one, commands))
        client.call("SET", "small:9", "aside")
        for one, commands in waiting:
            for _ in commands:
                one.read()
        client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        tap.ok(wait_until(lambda: info(client, "aof_rewrite_in_progress") == "0") and info(client, "aof_last_bgrewrite_status") == "ok",
               "a base of commands is written, too")
        before = digest(client)
        client.call("CONFIG", "SET", "appendfsync", "always")
        client.call("SET", "k", "v")
        client.call("DEL", "k")
        got = loaded(server, ["--appendonly", "yes", "--aof-use-rdb-preamble", "no"])
        tap.ok(got == before, "and the log has everything", [] if got == before else [got, before])


def memory_is_bounded():
    """What is written aside while a large one is in the writing waits in memory: beyond the limit, writes do, and reads do not."""
    with Server(OURS) as server:
        client, writer = fill(server, ("zset",)), server.client(PATIENCE)
        for one in (client, writer):
            one.call("SELECT", "1")
        client.call("DEBUG", "POPULATE", "30000", "wide", "1000")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "1000000", "snapshot-memory-limit", "2mb")
        client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
        before, _ = client.read().text(), client.read()
        writer.send(b"".join(encode(["SET", "wide:%d" % i, "short"]) for i in range(30000)))
        tap.ok(wait_until(lambda: int(info(client, "current_cow_size")) > (2 << 20) + BUFFERS), "old values pile up")
        tap.ok(text_of(client, "GET", "wide:29999").startswith(b"value:29999"), "up to the limit, and reads are served")
        client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        tap.ok(all(not writer.read().is_error() for _ in range(30000)), "writes go on when there is room")
        tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok", "the save ends well")
        peak = int(info(client, "rdb_last_cow_size"))
        tap.ok(peak < (2 << 20) + AHEAD + BUFFERS + (1 << 20), "which is all that it ever took", [peak])
        got = loaded(server)
        tap.ok(got == before, "and is of its moment", [got, before])


writers_wait()
what_asks_nobody()
base_of_commands()
memory_is_bounded()
tap.done()

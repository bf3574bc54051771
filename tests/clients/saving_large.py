#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Large collections while they are saved: who changes elements of a set, hash or sorted set is served, and who deletes or overwrites a key; who
would change a list, a stream, or a key otherwise, waits until it is written, all others are served, and the file is of the moment at which the save began; as RDB, and as a log's base of
commands. The memory that old values take is bounded."""
import glob
import os
import random
import select
import shutil
import time

from here import OURS, Server, Tap, digest, info, need_server, text_of, wait_until

from resp import encode  # noqa: E402

need_server()
tap = Tap()
PATIENCE = 60
SLOW = "20000"  # microseconds a step
STOPPED = "30000000"  # what waits for a few steps is not answered within anybody's patience
MEMBERS = 20000
BUFFERS, AHEAD = 2 << 20, 8 << 20  # of the packer; how far a walk is ahead of it, with what a millisecond adds
LARGE = {
    "zset": lambda i: ["ZADD", "zset", str(i % 977), "member:%d" % i],
    "set": lambda i: ["SADD", "set", "member:%d" % i],
    "hash": lambda i: ["HSET", "hash", "field:%d" % i, "value:%d" % i],
    "list": lambda i: ["RPUSH", "list", "element:%d" % i],
    "stream": lambda i: ["XADD", "stream", "%d-1" % (i + 1), "field", "value:%d" % i],
}
# Each changes, or would, elements of one of them; by themselves and among others.
ELEMENTS = (
    [["ZADD", "zset", "1", "new"]], [["ZINCRBY", "zset", "5", "member:17"]], [["ZPOPMIN", "zset"]], [["ZPOPMAX", "zset", "3"]], [["BZPOPMIN", "zset", "1"]],
    [["ZMPOP", "2", "none", "zset", "MAX", "COUNT", "2"]], [["BZMPOP", "1", "1", "zset", "MIN"]], [["ZREM", "zset", "member:3", "member:4"]],
    [["ZREMRANGEBYRANK", "zset", "100", "110"]], [["ZREMRANGEBYSCORE", "zset", "500", "501"]], [["ZREMRANGEBYLEX", "zset", "[a", "[b"]],
    [["SADD", "set", "new", "member:1"]], [["SREM", "set", "member:5"]], [["SPOP", "set"]], [["SPOP", "set", "10"]], [["SMOVE", "set", "other", "member:6"]],
    [["SMOVE", "other", "set", "o"]], [["HSET", "hash", "field:1", "changed"]], [["HMSET", "hash", "a", "b", "field:4", "c"]], [["HSETNX", "hash", "d", "e"]],
    [["HDEL", "hash", "field:5"]], [["HINCRBY", "hash", "count", "1"]], [["HINCRBYFLOAT", "hash", "sum", "1.5"]],
    [["MULTI"], ["SET", "small:1", "x"], ["ZADD", "zset", "7", "x"], ["EXEC"]],
)
# These delete or overwrite all of one.
GONE = (
    [["ZREMRANGEBYSCORE", "zset", "-inf", "+inf"]], [["SPOP", "set", "1000000"]], [["SET", "list", "a string"]], [["UNLINK", "hash"]], [["DEL", "list"]],
)
GONE_TOO = (
    [["COPY", "list", "list", "DB", "1", "REPLACE"]],
    [["SUNIONSTORE", "set", "set", "other"]], [["ZADD", "zset2", "1", "x"], ["RENAME", "zset2", "zset"]], [["MSET", "hash", "1", "list", "2"]],
)
# And these change a list, a stream, or one of them as a whole.
WRITES = (
    [["RPUSH", "list", "last"]], [["LPOP", "list"]], [["LSET", "list", "100", "changed"]], [["LMOVE", "list", "list", "LEFT", "RIGHT"]],
    [["MULTI"], ["SET", "small:1", "x"], ["ZADD", "zset", "7", "x"], ["LPUSH", "list", "x"], ["EXEC"]], [["ZADD", "list", "1", "of another type"]],
    [["EXPIRE", "zset", "1000"]], [["PERSIST", "set"]], [["RENAME", "hash", "hash2"]], [["MULTI"], ["DEL", "set"], ["EXPIRE", "zset", "2000"], ["EXEC"]],
    [["MOVE", "list", "2"]], [["BLMOVE", "small:list", "list", "LEFT", "RIGHT", "5"]], [["SETRANGE", "list", "0", "x"]], [["LTRIM", "list", "0", "10"]],
    [["XADD", "stream", "*", "f", "v"]], [["XADD", "stream", "MAXLEN", "~", "1000", "*", "f", "v"]], [["XDEL", "stream", "5-1", "19999-1"]],
    [["XGROUP", "CREATE", "stream", "g", "0"], ["XREADGROUP", "GROUP", "g", "c", "COUNT", "5", "STREAMS", "stream", ">"]], [["XTRIM", "stream", "MAXLEN", "10"]],
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
        killed.send(encode(["RPUSH", "list", "never"]))
        tap.ok(text_of(client, "CLIENT", "KILL", "ID", number.decode()) == b"1", "who waits can be killed")
        held = [c for one, c in waiting if not has_reply(one)]
        tap.ok(len(held) >= len(WRITES) / 2 and info(client, "rdb_bgsave_in_progress") == "1", "writers of large ones wait", [len(held)])
        client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        errors = []
        for one, commands in waiting:
            replies = [one.read() for _ in commands]
            errors += [(c, r.text()) for c, r in zip(commands, replies) if r.is_error() and b"no such key" not in r.text() and b"WRONGTYPE" not in r.text()]
        tap.ok(not errors, "and go on when it is written", errors)
        tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok", "the save ends well")
        tap.ok(client.call("LPOS", "list", "never").head == b"$-1\r\n", "a killed one's command never ran")
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
        waits.send(encode(["LPUSH", "list", "new"]))
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
            for words in ELEMENTS[0], ELEMENTS[1], ELEMENTS[11], ELEMENTS[17]:
                client.call(*words[0])
            waits.send(encode(["LPUSH", "list", "new"]) + encode(["SPOP", "set"]))
            time.sleep(0.1)
            client.call(*command)
            tap.ok(text_of(client, "PING") == b"PONG" and not waits.read().is_error() and not waits.read().is_error(),
                   "%s ends a save, and who waits for it goes on" % " ".join(command))
        waits.send(encode(["LPUSH", "list", "new"]))
        client.call("BGSAVE")
        server.process.terminate()
        tap.ok(server.process.wait(PATIENCE) == 0, "SIGTERM with a command that waits")


def base_of_commands():
    with Server(OURS, ["--appendonly", "yes", "--aof-use-rdb-preamble", "no"]) as server:
        client = fill(server)
        client.call("CONFIG", "SET", "rdb-key-save-delay", "2000")
        client.call("BGREWRITEAOF")
        waiting = []
        for commands in ELEMENTS + WRITES:
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


def random_write(rng):
    """A change of one or some elements; now and then one that takes many."""
    member, field = "member:%d" % rng.randrange(MEMBERS * 5 // 4), "field:%d" % rng.randrange(MEMBERS * 5 // 4)
    if rng.randrange(100) == 0:
        return rng.choice((["SPOP", "set", "500"], ["ZPOPMIN", "zset", "500"], ["ZREMRANGEBYSCORE", "zset", "100", "120"]))
    return rng.choice((
        ["ZADD", "zset", str(rng.randrange(977)), member], ["ZADD", "zset", "GT", "CH", "500.25", member], ["ZINCRBY", "zset", str(rng.randrange(-50, 50)), member],
        ["ZREM", "zset", member], ["ZPOPMAX", "zset"], ["ZPOPMIN", "zset"], ["SADD", "set", member], ["SREM", "set", member], ["SPOP", "set"],
        ["SMOVE", "set", "set2", member], ["SMOVE", "set2", "set", member], ["HSET", "hash", field, "new:%d" % rng.randrange(10**9)], ["HDEL", "hash", field],
        ["HINCRBY", "hash", "n:" + field, "7"], ["HSET", "hash", field, "x" * rng.randrange(300)],
    ))


def under_writes(server, clients, rng, field, least):
    """Several clients change elements until the save has ended. How many commands were answered while it was under way."""
    answered = 0
    while info(clients[0], field) == "1":
        for client in clients:
            client.send(b"".join(encode(random_write(rng)) for _ in range(20)))
        for client in clients:
            for _ in range(20):
                if client.read().is_error():
                    return -1
        if info(clients[0], field) == "1":
            answered += 20 * len(clients)
        if answered >= least:
            clients[0].call("CONFIG", "SET", "rdb-key-save-delay", "0")
    return answered


def elements_change():
    """Who changes elements is served while they are being written, and the file has them as they were."""
    with Server(OURS) as server:
        client = fill(server)
        client.call("CONFIG", "SET", "rdb-key-save-delay", STOPPED)
        client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
        before, _ = client.read().text(), client.read()
        late = []
        for commands in ELEMENTS:
            replies = [client.call(*words) for words in commands]
            late += [(commands, reply.text()) for reply in replies if reply.is_error()]
        tap.ok(not late and info(client, "rdb_bgsave_in_progress") == "1", "each command that changes elements alone is served while a save is under way", late)
        client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok", "the save ends well")
        got = loaded(server)
        tap.ok(got == before, "and knows nothing of them", [got, before])
        for gone in GONE, GONE_TOO:
            client.call("DEL", "zset", "list", "set", "hash")
            fill(server)
            client.call("CONFIG", "SET", "rdb-key-save-delay", STOPPED)
            client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
            before, _ = client.read().text(), client.read()
            late = [words for commands in gone for words in commands if client.call(*words).is_error()]
            fill(server, ("zset",))
            tap.ok(not late and info(client, "rdb_bgsave_in_progress") == "1", "who deletes or overwrites one is served, too", late)
            client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
            tap.ok(wait_until(lambda: info(client, "rdb_bgsave_in_progress") == "0") and info(client, "rdb_last_bgsave_status") == "ok", "the save ends well")
            got = loaded(server)
            tap.ok(got == before, "and has it", [got, before])
        client.call("FLUSHALL")
        for seed in range(4):
            rng, clients = random.Random(seed), [client] + [server.client(PATIENCE) for _ in range(3)]
            if seed == 2:  # emptied, element by element, before or while it is written
                client.call("CONFIG", "SET", "set-max-listpack-entries", "0")
            fill(server, ("zset", "set", "hash"))
            client.call("SADD", "set2", *["member:%d" % i for i in range(0, 2 * MEMBERS, 2)])
            client.call("CONFIG", "SET", "rdb-key-save-delay", "3000")
            client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]))
            before, _ = client.read().text(), client.read()
            if seed == 2:
                clients[1].send(encode(["SPOP", "set2", str(2 * MEMBERS)]) + encode(["ZREMRANGEBYRANK", "zset", "0", "-1"]) + encode(["ZADD", "zset", "1", "again"]))
                clients[1].read(), clients[1].read(), clients[1].read()
            answered = under_writes(server, clients, rng, "rdb_bgsave_in_progress", 2000)
            tap.ok(answered >= 2000 and info(client, "rdb_last_bgsave_status") == "ok", "many commands are answered before a save ends", [answered])
            got = loaded(server)
            tap.ok(got == before, "and the file is of the moment at which it began", [got, before])


def base_of_elements():
    """The same for a base of commands: what it has alone, without the log behind it."""
    args = ["--appendonly", "yes", "--aof-use-rdb-preamble", "no"]
    with Server(OURS, args) as server:
        client = fill(server)
        clients = [client] + [server.client(PATIENCE) for _ in range(3)]
        before = digest(client)
        client.call("CONFIG", "SET", "rdb-key-save-delay", "3000")
        client.call("BGREWRITEAOF")
        tap.ok(wait_until(lambda: int(info(client, "current_save_keys_total")) > 0), "a rewrite begins when its files are there")
        answered = under_writes(server, clients, random.Random(7), "aof_rewrite_in_progress", 2000)
        tap.ok(answered >= 2000 and info(client, "aof_last_bgrewrite_status") == "ok", "many commands are answered while a base of commands is written", [answered])
        base = glob.glob(server.dir + "/appendonlydir/*.base.aof")[0]
        with Server(OURS, args) as other:
            other.process.terminate()
            other.process.wait(PATIENCE)
            shutil.rmtree(other.dir + "/appendonlydir")
            os.mkdir(other.dir + "/appendonlydir")
            shutil.copy(base, other.dir + "/appendonlydir/")
            with open(other.dir + "/appendonlydir/appendonly.aof.manifest", "w", encoding="ascii") as manifest:
                manifest.write("file %s seq 2 type b\n" % os.path.basename(base))
            other.start()
            got = digest(other.client(PATIENCE))
        tap.ok(got == before, "and it is of the moment at which it began", [got, before])
        now = digest(client)
        client.call("CONFIG", "SET", "appendfsync", "always")
        client.call("SET", "k", "v")
        client.call("DEL", "k")
        got = loaded(server, args)
        tap.ok(got == now, "and with the log it is all there is", [got, now])


def kept_elements_are_bounded():
    """What is kept of elements that changed counts, too: beyond the limit writes wait, and the save goes on."""
    with Server(OURS) as server:
        client, writer = server.client(PATIENCE), server.client(PATIENCE)
        value = "v" * 400
        for i in range(0, 30000, 100):
            client.call("HSET", "wide", *[x for k in range(i, i + 100) for x in ("field:%d" % k, value)])
        client.call("CONFIG", "SET", "rdb-key-save-delay", "300000", "snapshot-memory-limit", "2mb")
        fill(server, ("zset",))
        client.send(encode(["DEBUG", "DIGEST"]) + encode(["BGSAVE"]) + encode(["EXPIRE", "zset", "100"]))  # the zset is written first
        before, _ = client.read().text(), client.read()
        writer.send(b"".join(encode(["HSET", "wide", "field:%d" % i, "short"]) for i in range(30000)))
        other = server.client(PATIENCE)
        tap.ok(wait_until(lambda: int(info(other, "current_cow_size")) > (2 << 20) + BUFFERS), "old values of elements pile up")
        seen = int(text_of(other, "HSTRLEN", "wide", "field:29999"))
        tap.ok(seen == len(value), "up to the limit, and reads are served", [seen])
        other.call("CONFIG", "SET", "rdb-key-save-delay", "0")
        tap.ok(all(not writer.read().is_error() for _ in range(30000)) and not client.read().is_error(), "writes go on when there is room")
        tap.ok(wait_until(lambda: info(other, "rdb_bgsave_in_progress") == "0") and info(other, "rdb_last_bgsave_status") == "ok", "the save ends well")
        peak = int(info(other, "rdb_last_cow_size"))
        tap.ok(peak < (2 << 20) + AHEAD + BUFFERS + (1 << 20), "which is all that it ever took", [peak])
        got = loaded(server)
        tap.ok(got == before, "and is of its moment", [got, before])


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
elements_change()
base_of_elements()
memory_is_bounded()
kept_elements_are_bounded()
tap.done()

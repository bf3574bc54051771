#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""Work that an outsider decides grows no faster than what he sends.

Each case does something n times and 10 n times: ten times as much may cost up to twenty times as much. Work that grows with
the square would cost a hundred times as much. The cost is the server's own time on a processor, which other programs
disturb a little; so where that says no by little, callgrind's count of instructions decides. TAP on stdout.

    tests/compat/outside_work.py [part of a claim]
"""
import os
import re
import resource
import shutil
import socket
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Client  # noqa: E402
from servers import OURS, Server  # noqa: E402
from tap import Tap  # noqa: E402

MORE, RATIO, TRIES = 10, 20, 3
# Eight bytes that once made a factor of the hash 0, whatever its seed and whatever follows.
VOID = bytes.fromhex("a94f2dc78d1be963")


def command(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Talk:
    """A connection that reads in large pieces: only a marker at the end is looked for."""

    def __init__(self, server):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.s.connect(server.path)
        self.s.settimeout(60)

    def do(self, data, mark=b"the end", piece=0):
        """Sends all of it and a PING, and reads up to that one's answer."""
        data += command("PING", mark)
        end, sent, tail = b"$%d\r\n%s\r\n" % (len(mark), mark), 0, b""
        self.s.setblocking(False)
        while not tail.endswith(end):
            try:
                if sent < len(data):
                    sent += self.s.send(data[sent:sent + (piece or 1 << 18)])
            except BlockingIOError:
                pass
            try:
                got = self.s.recv(1 << 20)
                if not got:
                    raise RuntimeError("closed by the server")
                tail = (tail + got)[-len(end) - 16:]
                if tail.endswith(b"the end\r\n"):
                    break
            except BlockingIOError:
                if sent == len(data):
                    self.s.setblocking(True)
                    self.s.settimeout(60)
        return tail

    def close(self):
        self.s.close()


def names(n, word=b"name:%011d"):
    return [word % i for i in range(n)]


def one(*words):
    return lambda t, n, s: t.do(command(*[w for x in words for w in (x(n) if callable(x) else [x])]))


def pipeline(make):
    return lambda t, n, s: t.do(b"".join(make(i) for i in range(n)))


def voided(n):
    return [VOID + struct.pack("<Q", i * 0x9e3779b97f4a7c15 % 2**64) for i in range(n)]


def in_pieces(t, n, s):
    t.do(command("DEL", *names(n)), piece=16384)


class Crowd:
    """Clients that a case needs to be there: a tenth of n."""

    def __init__(self, server, n, *first, answered=True):
        self.all = []
        for _ in range(n // 10):
            talk = Talk(server)
            self.all.append(talk)
            if first:
                talk.s.sendall(command(*first))
                if answered:
                    talk.s.recv(4096)

    def close(self):
        for talk in self.all:
            talk.close()


def many_ids(t, n, s):
    crowd = Crowd(s, n, "CLIENT", "ID")
    before = cpu_ns(s)
    t.do(command("CLIENT", "LIST", "ID", *range(100000, 100000 + 10 * n)))
    for i in range(n // 100):
        t.do(command("CLIENT", "KILL", "ID", 100000 + i) * 10 + command("CLIENT", "UNBLOCK", 100000 + i) * 10)
    spent = cpu_ns(s) - before
    crowd.close()
    return spent


def popular_channel(t, n, s):
    crowd = Crowd(s, n, "SUBSCRIBE", "popular")
    before = cpu_ns(s)
    t.do(command("HELLO", 3) + command("SUBSCRIBE", *["popular"] * n) + command("UNSUBSCRIBE", *["popular"] * n))
    for talk in crowd.all:
        talk.s.sendall(command("UNSUBSCRIBE", "popular"))
        talk.s.recv(4096)
    spent = cpu_ns(s) - before
    crowd.close()
    return spent


def many_clients_one_monitor(t, n, s):
    crowd, monitor = Crowd(s, n), Talk(s)
    monitor.s.sendall(command("MONITOR"))
    monitor.s.recv(4096)
    before = cpu_ns(s)
    for _ in range(n // 100):
        t.do(command("GET", "k") * 100)
        while monitor.s.recv(1 << 20).count(b"PING") == 0:
            pass
    spent = cpu_ns(s) - before
    crowd.close()
    monitor.close()
    return spent


def stream_backwards(t, n, s):
    ids = ["%d-1" % (n - i) for i in range(n)]
    t.do(b"".join(command("XADD", "s", "%d-1" % (i + 1), "f", "v") for i in range(n)) + command("XGROUP", "CREATE", "s", "g", "0") +
         command("XREADGROUP", "GROUP", "g", "a", "COUNT", "1", "STREAMS", "s", ">") * n + command("XCLAIM", "s", "g", "b", "0", *ids, "JUSTID") +
         command("XAUTOCLAIM", "s", "g", "a", "0", "0", "COUNT", n, "JUSTID") + command("XACK", "s", "g", *ids) + command("XDEL", "s", *ids))


def many_consumers(t, n, s):
    name = "a name with a beginning that all have, number %d"
    t.do(command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM") + b"".join(command("XGROUP", "CREATECONSUMER", "s", "g", name % (n - i)) for i in range(n)) +
         b"".join(command("XGROUP", "CREATE", "s", name % i, "0") for i in range(n)) + b"".join(command("XGROUP", "DELCONSUMER", "s", "g", name % i) for i in range(n)))


def readers_of_one_stream(t, n, s):
    """Each entry is for all of one kind of reader, and for one of a group."""
    t.do(command("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"))
    crowd = Crowd(s, n, "XREAD", "BLOCK", "0", "STREAMS", "s", "$", answered=False)
    group = Crowd(s, n, "XREADGROUP", "GROUP", "g", "a", "BLOCK", "0", "STREAMS", "s", ">", answered=False)
    asks = Client(s.path, 60.0)
    while b"blocked_clients:%d\r" % (n // 10 * 2) not in asks.call("INFO", "clients").text():
        pass
    before = cpu_ns(s)
    t.do(command("XADD", "s", "1-1", "f", "v"))
    spent = cpu_ns(s) - before
    crowd.close()
    group.close()
    return spent


# Claim, n, what to do. A function that measures by itself returns the time.
CASES = [
    ("SADD of names that once all had one hash", 3000, one("SADD", "s", voided)),
    ("SET of such names", 3000, pipeline(lambda i: command("SET", VOID + struct.pack("<Q", i), "v"))),
    ("HSET of such names", 3000, one("HSET", "h", lambda n: [w for x in voided(n) for w in (x, b"v")])),
    ("ZADD of such names", 3000, one("ZADD", "z", lambda n: [w for x in voided(n) for w in (b"1", x)])),
    ("a long command that comes in pieces", 5000, in_pieces),
    ("CLIENT LIST ID, KILL ID and UNBLOCK among many clients", 1000, many_ids),
    ("SUBSCRIBE to one channel, over and over and by many", 1000, popular_channel),
    ("MONITOR among many clients", 1000, many_clients_one_monitor),
    ("SUBSCRIBE and UNSUBSCRIBE, many channels", 3000,
     lambda t, n, s: t.do(command("HELLO", 3) + command("SUBSCRIBE", *names(n)) + command("UNSUBSCRIBE", *names(n)))),
    ("PSUBSCRIBE and PUNSUBSCRIBE of everything", 3000,
     lambda t, n, s: t.do(command("HELLO", 3) + command("PSUBSCRIBE", *names(n)) + command("PUNSUBSCRIBE"))),
    ("CLIENT TRACKING: many keys are read and changed, by one who tracks", 3000,
     lambda t, n, s: t.do(command("HELLO", 3) + command("CLIENT", "TRACKING", "ON") + command("MGET", *names(n)) + b"".join(command("SET", k, 1) for k in names(n)))),
    ("CLIENT TRACKING: many prefixes, and writes that fit them", 3000,
     lambda t, n, s: t.do(command("CLIENT", "TRACKING", "ON", "BCAST", *[w for k in names(n) for w in ("PREFIX", k + b":")])
                          + b"".join(command("SET", k + b":1", 1) for k in names(n)) + command("CLIENT", "TRACKING", "OFF"))),
    ("CLIENT TRACKING on and off", 3000,
     lambda t, n, s: t.do((command("CLIENT", "TRACKING", "ON") + command("GET", "k") + command("CLIENT", "TRACKING", "OFF")) * n)),
    ("WATCH of many keys", 3000, one("WATCH", names)),
    ("WATCH of one key, many times", 3000, one("WATCH", lambda n: ["k"] * n)),
    ("MULTI of many commands", 3000,
     lambda t, n, s: t.do(command("MULTI") + command("INCR", "n") * n + command("EXEC"))),
    ("BLPOP of many keys, and of one many times", 3000,
     lambda t, n, s: t.do(command("BLPOP", *(names(n) + ["k"] * n), "0.01"))),
    ("COMMAND GETKEYS of many arguments", 3000, one("COMMAND", "GETKEYS", "MSET", lambda n: names(2 * n))),
    ("COMMAND INFO of many names", 3000, one("COMMAND", "INFO", lambda n: ["get"] * n)),
    ("ZUNIONSTORE of one key, many times", 1000,
     lambda t, n, s: t.do(command("ZADD", "z", 1, "a", 2, "b") + command("ZUNIONSTORE", "d", n, *["z"] * n))),
    ("SUNION and SINTER of one key, many times", 3000,
     lambda t, n, s: t.do(command("SADD", "s", *names(10)) + command("SUNION", *["s"] * n) + command("SINTER", *["s"] * n))),
    ("BITFIELD of many operations", 3000, one("BITFIELD", "b", lambda n: ["SET", "u8", "#1", "7"] * n)),
    ("SORT with many GET patterns", 1000,
     lambda t, n, s: t.do(command("RPUSH", "l", 1, 2, 3) + command("SORT", "l", *["GET", "k*"] * n))),
    ("DEL and EXISTS of one key, many times", 3000,
     lambda t, n, s: t.do(command("EXISTS", *["k"] * n) + command("DEL", *["k"] * n))),
    ("APPEND a byte at a time", 3000, pipeline(lambda i: command("APPEND", "a", "x"))),
    ("SETBIT further and further", 3000, pipeline(lambda i: command("SETBIT", "bits", i * 8, 1))),
    ("RPUSH and LPUSH, pops from both ends", 3000,
     lambda t, n, s: t.do(command("RPUSH", "l", *names(n)) + command("LPUSH", "l", *names(n)) + command("LPOP", "l") * n
                          + command("RPOP", "l") * n)),
    ("SPOP until nothing is left", 3000,
     lambda t, n, s: t.do(command("SADD", "s", *names(n)) + command("SPOP", "s") * n)),
    ("HRANDFIELD, SRANDMEMBER, ZRANDMEMBER of nearly all", 3000,
     lambda t, n, s: t.do(command("SADD", "s", *names(n)) + command("SRANDMEMBER", "s", n - 1) + command("SRANDMEMBER", "s", -n))),
    ("ZADD in falling order and ZPOPMIN", 3000,
     lambda t, n, s: t.do(b"".join(command("ZADD", "z", n - i, "m%d" % i) for i in range(n)) + command("ZPOPMIN", "z") * n)),
    ("XADD of many fields, which the next one has, too", 3000,
     lambda t, n, s: t.do(command("XADD", "s", "1-1", *names(2 * n)) + command("XADD", "s", "2-1", *names(2 * n)))),
    ("XADD, XREADGROUP, XCLAIM, XACK and XDEL of many entries, last to first", 2000, stream_backwards),
    ("XREAD of a stream named over and over", 3000, lambda t, n, s: t.do(command("XADD", "s", "1-1", "f", "v") + command("XREAD", "STREAMS", *["s"] * n, *["0"] * n))),
    ("many consumers and groups", 2000, many_consumers),
    ("readers that wait for one stream", 100, readers_of_one_stream),
    ("CONFIG GET of many patterns", 300, one("CONFIG", "GET", lambda n: ["maxmem*"] * n)),
    ("PUBSUB NUMSUB of many names", 3000, one("PUBSUB", "NUMSUB", names)),
    ("inline commands", 3000, lambda t, n, s: t.do(b"SET k v\r\n" * n)),
    ("empty lines and empty commands", 20000, lambda t, n, s: t.do(b"\r\n*0\r\n" * n)),
]


def cpu_ns(server):
    with open("/proc/%d/task/%d/schedstat" % (server.pid, server.pid)) as file:
        return int(file.read().split()[0])


def prepare(server):
    talk = Talk(server)
    talk.do(command("CONFIG", "SET", "libos-spin-us", "0") + command("DEBUG", "PAUSE-CRON", "1"))
    return talk


def resume(server):
    """A signal to end waits for the cron, too."""
    Client(server.path, 60.0).call("DEBUG", "PAUSE-CRON", "0")


def processor_time(action, n):
    with Server(OURS, ["--maxclients", "2000"]) as server:
        talk = prepare(server)
        before = cpu_ns(server)
        spent = action(talk, n, server)
        if not isinstance(spent, int):
            spent = cpu_ns(server) - before
        talk.close()
        resume(server)
        return spent


def instructions(action, n):
    """Of a whole life of the server."""
    out = tempfile.mktemp(prefix="demikv-callgrind-")
    wrap = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out]
    with Server(OURS, ["--maxclients", "2000"], wrap=wrap) as server:
        talk = prepare(server)
        if n:
            action(talk, n, server)
        talk.close()
        resume(server)
        server.process.terminate()
        server.process.wait(60)
    with open(out) as file:
        found = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M)
    os.unlink(out)
    return int(found.group(1))


def compare(action, n):
    """How many times as much, and a word about it."""
    ratios = []
    for _ in range(TRIES):
        few, many = processor_time(action, n), processor_time(action, n * MORE)
        ratios.append((many / few, "%d: %.2f ms, %d: %.2f ms" % (n, few / 1e6, n * MORE, many / 1e6)))
        if ratios[-1][0] <= RATIO:
            return ratios[-1]
    if not shutil.which("valgrind"):
        return min(ratios)
    none, few, many = instructions(action, 0), instructions(action, n), instructions(action, n * MORE)
    return (many - none) / (few - none), "%d: %d instructions, %d: %d" % (n, few - none, n * MORE, many - none)


def main():
    tap = Tap()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for claim, n, action in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in claim:
            continue
        ratio, note = compare(action, n)
        tap.ok(ratio <= RATIO, claim, ["%s: %.1f times" % (note, ratio)])
    with Server(OURS) as one_server, Server(OURS) as another:
        orders = []
        for server in (one_server, another):
            client = Client(server.path, 20.0)
            client.send(b"".join(command("SET", w, "v") for w in names(100)))
            for _ in range(100):
                client.read()
            orders.append(client.call("KEYS", "*").raw())
        tap.ok(orders[0] != orders[1], "each process has a key of its own for its hash")
    tap.done()


main()

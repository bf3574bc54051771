#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a reply may take. Commands whose replies an argument multiplies, messages, and pipelines, sent by clients that do not
read: the peak of the server's memory stays near the limit that holds for them, the server answers others meanwhile, and who
reads loses nothing."""
import re
import socket
import threading
import time

from here import OURS, Server, Tap, need_server

MB = 1 << 20
LIMIT = 10 * MB
SLACK = 6 * MB  # chunks, what the kernel and the libOS hold, the work itself
SENT = 18 * MB  # by who does not read
PATIENCE = 3.0  # seconds in which another client must be served


def request(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def connect(server):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(server.path)
    return s


def call(s, *words):
    s.sendall(request(*words))
    return s.recv(1 << 16)


def field(server, section, name, auth=None):
    with connect(server) as s:
        if auth:
            call(s, "AUTH", auth)
        s.sendall(request("INFO", section))
        text = b""
        while name.encode() + b":" not in text or not text.endswith(b"\n"):
            text += s.recv(1 << 16)
    return int(text.split(name.encode() + b":")[1].split(b"\r\n")[0])


def first_of(s):
    """The first byte of an answer to SYNC; the lines before it say that the snapshot is being made."""
    while (byte := s.recv(1)) == b"\n":
        pass
    return byte


def drained(s):
    """Reads until the server closes; whether it did."""
    try:
        while s.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    except socket.timeout:
        return False
    return True


class Peak:
    """The most that the server has allocated since. Its own count, which is exact: how much of what was freed the heap keeps
    resident is not a matter of replies."""

    def __init__(self, server, auth=None):
        self.server, self.auth = server, auth
        self.before = field(server, "memory", "used_memory", auth)

    def grown(self):
        return field(self.server, "memory", "used_memory_peak", self.auth) - self.before


def is_served(server, auth=None):
    begin = time.monotonic()
    with connect(server) as s:
        ok = call(s, "AUTH", auth) == b"+OK\r\n" if auth else call(s, "PING") == b"+PONG\r\n"
    return ok and time.monotonic() - begin < PATIENCE


def flood(server, s, data, seconds=20, auth=None):
    """Sends what the server takes, and reads nothing; how much that was. It takes no more when it has served somebody else meanwhile."""
    s.settimeout(0.1)
    sent, stuck, deadline = 0, False, time.monotonic() + seconds
    while sent < len(data) and time.monotonic() < deadline:
        try:
            sent += s.send(data[sent:sent + 65536])
            stuck = False
        except socket.timeout:
            if stuck:
                break
            is_served(server, auth)
            stuck = True
        except (BrokenPipeError, ConnectionResetError):
            break
    return sent


# What makes a large reply of a small request: the state it needs, then the request as often as it takes.
BIG = b"v" * MB
MANY = [("h", "HSET", ["f%d" % i if i % 2 == 0 else "v" * 100 for i in range(200)]), ("s", "SADD", ["m%d" % i for i in range(200)]),
        ("z", "ZADD", [str(i // 2) if i % 2 == 0 else "m%d" % i for i in range(400)])]
ATTACKS = [
    ("HRANDFIELD WITHVALUES", [("HRANDFIELD", "h", "-20000000", "WITHVALUES")]),
    ("HRANDFIELD", [("HRANDFIELD", "h", "-20000000")]),
    ("SRANDMEMBER", [("SRANDMEMBER", "s", "-20000000")]),
    ("ZRANDMEMBER WITHSCORES", [("ZRANDMEMBER", "z", "-20000000", "WITHSCORES")]),
    ("ZRANDMEMBER", [("ZRANDMEMBER", "z", "-20000000")]),
    ("LRANGE", [("LRANGE", "l", "0", "-1")]),
    ("SORT with GET, many times", [["SORT", "short", "BY", "nosort"] + ["GET", "big"] * 50]),
    ("MGET of one large value", [["MGET"] + ["big"] * 1000]),
    ("GETRANGE", [("GETRANGE", "huge", "0", "-1")]),
    ("GET", [("GET", "huge")]),
    ("LCS", [("LCS", "lcs1", "lcs2", "IDX", "WITHMATCHLEN")] * 100),
    ("KEYS", [("KEYS", "*")] * 200),
    ("SMEMBERS", [("SMEMBERS", "s")] * 20000),
    ("DEBUG PROTOCOL", [("DEBUG", "PROTOCOL", "string")] * 400000),
    ("ECHO", [("ECHO", BIG)] * 40),
    ("HGETALL in EXEC", [("MULTI",)] + [("HGETALL", "h")] * 20000 + [("EXEC",)]),
    ("GET in EXEC", [("MULTI",)] + [("GET", "big")] * 40 + [("EXEC",)]),
    ("COMMAND DOCS", [("COMMAND", "DOCS")] * 100),
    ("CONFIG GET", [("CONFIG", "GET", "*")] * 1000),
]


def fill(s):
    for key, command, words in MANY:
        call(s, command, key, *words)
    call(s, "SET", "big", BIG)
    call(s, "SETRANGE", "huge", 40 * MB, "x")
    for _ in range(20):
        call(s, "RPUSH", "l", *["x" * 1000 for _ in range(1000)])
    call(s, "RPUSH", "short", *range(1000))
    call(s, "SET", "lcs1", "ab" * 100)
    call(s, "SET", "lcs2", "ba" * 100)
    s.sendall(request("DEBUG", "POPULATE", "20000"))
    s.recv(100)


def attack_with_a_limit(tap, name, requests):
    with Server(OURS, ["--client-output-buffer-limit", "normal", str(LIMIT), "0", "0"]) as server:
        with connect(server) as s:
            fill(s)
        peak = Peak(server)
        attacker = connect(server)
        begin = time.monotonic()
        data = b"".join(request(*r) for r in requests)
        flood(server, attacker, data)
        served = is_served(server)
        spent = time.monotonic() - begin
        grown = peak.grown() - (len(data) if "EXEC" in name else 0)
        tap.ok(served and grown < LIMIT + SLACK, "%s: bounded, others are served" % name,
               ["%.1f MB more, %s, after %.2f s" % (grown / MB, "served" if served else "not served", spent)])
        attacker.close()


def attack_without_a_limit(tap):
    """The default: no limit for normal clients. Who pipelines and does not read is not served on; who reads is. What it sends is kept, since it
    may be one that reads when it has sent everything: so that, and not what it asks for, is what it takes."""
    with Server(OURS) as server:
        with connect(server) as s:
            fill(s)
        for name, one in (("small errors", b"x\r\n"), ("GET of 100 bytes", request("HGETALL", "h")),
                          ("GET of 1 MB", request("GET", "big")), ("PING", b"PING\r\n")):
            peak = Peak(server)
            attackers = [connect(server) for _ in range(3)]
            for s in attackers:
                flood(server, s, one * (SENT // len(one)), 5)
            served = is_served(server)
            grown = peak.grown() / len(attackers)
            tap.ok(served and grown < SENT + 16 * MB, "a pipeline that nobody reads, %s: what it sends and %d MB are enough" % (name, 16),
                   ["%.1f MB each" % (grown / MB)])
            for s in attackers:
                s.close()
        check_reader(tap, server)


def check_reader(tap, server):
    """Everything arrives for who reads late: the server goes on when its output was sent."""
    for name, one, reply in (("small", b"PING\r\n", b"+PONG\r\n"),
                             ("large", request("GET", "big"), b"$%d\r\n%s\r\n" % (len(BIG), BIG))):
        count = 3000000 // len(one) if len(reply) < 100 else 100
        s = connect(server)
        sender = threading.Thread(target=lambda: s.sendall(one * count))
        s.settimeout(20)
        sender.start()
        time.sleep(0.5)
        got, want = 0, count * len(reply)
        try:
            while got < want:
                piece = s.recv(1 << 20)
                if not piece:
                    break
                got += len(piece)
        except socket.timeout:
            pass
        sender.join(20)
        tap.ok(got == want, "who reads late gets %d %s replies" % (count, name), ["%d of %d bytes" % (got, want)])
        s.close()


def without_password(tap):
    with Server(OURS, ["--requirepass", "secret"]) as server:
        peak = Peak(server, "secret")
        attackers = [connect(server) for _ in range(10)]
        for s in attackers:
            flood(server, s, b"x\r\n" * (2 * MB), 3, "secret")
        served = is_served(server, "secret")
        grown = peak.grown()
        tap.ok(served and grown < 2.5 * MB, "without the password 10 clients cost less than 2.5 MB", ["%.1f MB" % (grown / MB)])
        for s in attackers:
            s.close()
        s = connect(server)
        s.settimeout(20)
        count, got = 50000, 0
        sender = threading.Thread(target=lambda: s.sendall(b"x\r\n" * count + request("AUTH", "secret") + b"PING\r\n"))
        sender.start()
        text = b""
        try:
            while not text.endswith(b"+PONG\r\n"):
                piece = s.recv(1 << 20)
                if not piece:
                    break
                got += piece.count(b"-")
                text = (text + piece)[-100:]
        except (socket.timeout, ConnectionResetError):
            pass
        sender.join(20)
        tap.ok(text.endswith(b"+OK\r\n+PONG\r\n"), "who reads his errors may send many and then the password",
               ["%d errors" % got])
        s.close()


def messages(tap):
    """Who publishes decides how much a subscriber is sent; MONITOR sees what others do."""
    with Server(OURS, ["--client-output-buffer-limit", "pubsub", str(LIMIT), "0", "0", "replica", str(LIMIT), "0", "0"]) as server:
        for name, words in (("SUBSCRIBE", ("SUBSCRIBE", "ch")), ("PSUBSCRIBE", ("PSUBSCRIBE", "c*")), ("MONITOR", ("MONITOR",))):
            slow, publisher = connect(server), connect(server)
            call(slow, *words)
            peak = Peak(server)
            publisher.sendall(b"".join(request("PUBLISH", "ch", b"m" * 50000) for _ in range(2000)))
            got = 0
            while got < 2000:
                got += publisher.recv(1 << 16).count(b":")
            grown = peak.grown()
            tap.ok(is_served(server) and grown < LIMIT + SLACK, "%s: a slow receiver of 100 MB is bounded" % name,
                   ["%.1f MB" % (grown / MB)])
            slow.close()
            publisher.close()
        alone = connect(server)
        call(alone, "HELLO", "3")
        call(alone, "SUBSCRIBE", "ch")
        peak = Peak(server)
        alone.sendall(request("MULTI") + b"".join(request("PUBLISH", "ch", b"m" * 50000) for _ in range(800)) + request("EXEC"))
        closed = drained(alone)
        grown = peak.grown()
        tap.ok(is_served(server) and closed and grown < 40 * MB + LIMIT + SLACK, "who sends himself 40 MB in a transaction is closed at his limit",
               ["%.1f MB" % (grown / MB)])


def snapshots(tap):
    """A snapshot may be as large as the data and is one for all who ask while it is read; beside it there may be no other."""
    with Server(OURS, ["--client-output-buffer-limit", "replica", str(LIMIT), "0", "0", "--rdbcompression", "no"]) as server:
        with connect(server) as s:
            call(s, "DEBUG", "POPULATE", "30", "key", str(MB))
            peak = Peak(server)
            replicas = [connect(server) for _ in range(10)]
            for r in replicas:
                r.sendall(request("SYNC"))
            heads = [first_of(r) for r in replicas]
            grown = peak.grown()
            tap.ok(heads == [b"$"] * 10 and is_served(server) and grown < 40 * MB, "ten SYNCs of 30 MB cost one snapshot",
                   ["%.1f MB, %r" % (grown / MB, heads)])
            for i in range(7):
                call(s, "SET", "more", "x" * MB)
            other = connect(server)
            other.sendall(request("SYNC"))
            head = other.recv(6)
            tap.ok(head[:1] in b"$\n" and is_served(server), "who comes when much has been written since gets another, of which little is in the memory", [repr(head)])
        for r in replicas:
            r.close()
        again = connect(server)
        deadline = time.monotonic() + PATIENCE
        head = b"-"
        while head[:1] == b"-" and time.monotonic() < deadline:
            again.sendall(request("SYNC"))
            head = first_of(again)
            if head == b"-":
                again.recv(100)
        tap.ok(head[:1] == b"$", "when it is read by nobody there may be another", [repr(head)])
        other.close() # or the server's end waits for them to read
        again.close()


def snapshots_and_maxmemory(tap):
    """What replicas have not taken is no reason to evict: each deletion would give them more to take."""
    options = ["--maxmemory", str(45 * MB), "--maxmemory-policy", "allkeys-lru", "--client-output-buffer-limit", "replica", "0", "0", "0"]
    with Server(OURS, options + ["--rdbcompression", "no"]) as server:
        with connect(server) as s:
            call(s, "DEBUG", "POPULATE", "30000", "key", "1000")
            replica = connect(server)
            replica.sendall(request("SYNC"))
            for i in range(200):
                call(s, "SET", "key:%d" % i, "y" * 1000)
            head = first_of(replica)
            for i in range(200):
                call(s, "SET", "key:%d" % i, "z" * 1000)
            stats, memory = call(s, "INFO", "stats"), call(s, "INFO", "memory")
            apart = int(re.search(rb"mem_not_counted_for_evict:(\d+)", memory).group(1))
            tap.ok(head == b"$" and b"evicted_keys:0\r" in stats and apart > MB, "a snapshot that waits for its reader evicts nothing",
                   [repr(head), "%d bytes are not counted" % apart] + [line.decode() for line in stats.splitlines() if b"evicted_keys" in line])
            for i in range(20):
                call(s, "SET", "more:%d" % i, "z" * MB)
            evicted = int(re.search(rb"evicted_keys:(\d+)", call(s, "INFO", "stats")).group(1))
            left = int(call(s, "DBSIZE").strip(b":\r\n"))
            tap.ok(evicted > 0 and left > 10000, "what clients write evicts as much as it takes", ["%d evicted, %d left" % (evicted, left)])
            replica.close()


def nobody_wants_it(tap):
    with Server(OURS) as server:
        with connect(server) as s:
            fill(s)
            peak = Peak(server)
            begin = time.monotonic()
            s.sendall(request("CLIENT", "REPLY", "OFF") + request("HRANDFIELD", "h", "-2000000000") +
                      request("CLIENT", "REPLY", "ON") + request("PING"))
            ok = s.recv(100) in (b"+OK\r\n", b"+OK\r\n+PONG\r\n")
            tap.ok(ok and peak.grown() < SLACK and time.monotonic() - begin < PATIENCE,
                   "a reply that nobody wants takes nothing", ["%.1f MB" % (peak.grown() / MB)])


need_server()
tap = Tap()
without_password(tap)
for name, requests in ATTACKS:
    attack_with_a_limit(tap, name, requests)
attack_without_a_limit(tap)
messages(tap)
snapshots(tap)
snapshots_and_maxmemory(tap)
nobody_wants_it(tap)
tap.done()

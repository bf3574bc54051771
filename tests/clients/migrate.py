#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""MIGRATE: keys go to ours and to redis-server, and come from there; peers that hang, close, refuse or answer nonsense take nothing
away; while keys are on their way everybody is served but who wants to write them.
"""
import os
import re
import signal
import socket
import threading
import time

from here import OURS, REDIS, Server, Tap, digest, free_port, info, need_server, text_of, wait_until

need_server()
tap = Tap()
OLDER = os.access(REDIS, os.X_OK) and REDIS == "/usr/bin/redis-server"


class Peer:
    """Accepts, and does with each connection what `act(socket, number)` says. Counts them."""

    def __init__(self, act):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(100)
        self.port = self.listener.getsockname()[1]
        self.act, self.count, self.kept = act, 0, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            self.kept.append(sock)
            threading.Thread(target=self.safe, args=(sock, self.count), daemon=True).start()

    def safe(self, sock, number):
        try:
            self.act(sock, number)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for sock in self.kept:
            sock.close()


def requests(sock):
    """The words of each request that comes."""
    stream = sock.makefile("rb")
    while True:
        head = stream.readline()
        if not head:
            return
        words = []
        for _ in range(int(head[1:])):
            size = int(stream.readline()[1:])
            words.append(stream.read(size + 2)[:-2])
        yield words


def answering(answer):
    """A peer that gives answer(words) to each request; None: closes."""
    def act(sock, number):
        for words in requests(sock):
            reply = answer(words, number)
            if reply is None:
                sock.close()
                return
            sock.sendall(reply)
    return act


def hang(sock, number):
    time.sleep(60)


def after(event, reply=b"+OK\r\n"):
    """A peer that answers once the event is set."""
    def act(sock, number):
        for _ in requests(sock):
            event.wait(30)
            sock.sendall(reply)
    return act


def fill(client):
    for words in (("SET", "s", "x" * 300), ("SET", "n", "12345"), ("RPUSH", "l", *range(50)), ("RPUSH", "big", *("e%050d" % i for i in range(2000))),
                  ("SADD", "set", *range(9)), ("SADD", "words", *"abcdefgh"), ("HSET", "h", *range(40)), ("ZADD", "z", *range(40)),
                  ("XADD", "x", "1-1", "f", "v"), ("XGROUP", "CREATE", "x", "g", "0"), ("SETBIT", "bits", "70000", "1"), ("SET", "", "empty name"),
                  ("SET", "late", "v", "PX", "1000000")):
        assert not client.call(*words).is_error(), words
    return [b"s", b"n", b"l", b"big", b"set", b"words", b"h", b"z", b"x", b"bits", b"", b"late"]


def check_between(source, target, what):
    """All types, one by one and together; the digest of the data is that from before."""
    with Server(source, tcp=True) as a, Server(target, tcp=True) as b:
        here, there = a.client(), b.client()
        for client, other in ((here, target), (there, source)):
            if other == REDIS and OLDER:
                client.call("CONFIG", "SET", "rdb-version", "10")
        keys = fill(here)
        before = digest(here)
        alone = [key for key in keys if key]
        replies = [here.call("MIGRATE", "127.0.0.1", b.port, key, "0", "5000").head for key in alone]
        replies.append(here.call("MIGRATE", "127.0.0.1", b.port, "", "0", "5000").head)
        tap.ok(set(replies) == {b"+OK\r\n"} and here.call("DBSIZE").text() == b"0", what + ": each key goes", replies)
        tap.ok(digest(there) == before, what + ": and is there as it was")
        tap.ok(0 < int(text_of(there, "PTTL", "late")) <= 1000000, what + ": with its time")
        there.call("CONFIG", "SET", "rdbcompression", "no")
        reply = there.call("MIGRATE", "localhost", a.port, "", "0", "5000", "COPY", "KEYS", "nosuch", *keys)
        tap.ok(reply.head == b"+OK\r\n" and digest(here) == before and digest(there) == before, what + ": COPY leaves them, all at once", [reply.raw()])
        reply = there.call("MIGRATE", "localhost", a.port, "", "0", "5000", "KEYS", *keys)
        tap.ok(b"BUSYKEY" in reply.head and digest(there) == before, what + ": what is there already is not overwritten", [reply.raw()])
        reply = there.call("MIGRATE", "localhost", a.port, "", "0", "5000", "REPLACE", "KEYS", *keys)
        tap.ok(reply.head == b"+OK\r\n" and there.call("DBSIZE").text() == b"0", what + ": but for REPLACE", [reply.raw()])


def check_replies():
    with Server(OURS, ["--appendonly", "yes", "--slowlog-log-slower-than", "0"], tcp=True) as a, Server(OURS, ["--requirepass", "secret"], tcp=True) as b:
        client, other = a.client(), b.client()
        other.call("AUTH", "secret")
        other.call("ACL", "SETUSER", "mover", "on", ">hush", "~*", "+restore", "+select")

        def migrate(*more, key="k", db="0"):
            return client.call("MIGRATE", "127.0.0.1", b.port, key, db, "2000", *more).raw()

        for words, want in (((), b"-ERR Target instance replied with error: NOAUTH Authentication required.\r\n"),
                            (("AUTH", "wrong"), b"-ERR Target instance replied with error: WRONGPASS invalid username-password pair or user is disabled.\r\n"),
                            (("AUTH2", "mover", "wrong"), b"-ERR Target instance replied with error: WRONGPASS invalid username-password pair or user is disabled.\r\n"),
                            (("AUTH", "secret"), b"+OK\r\n"), (("AUTH2", "mover", "hush", "REPLACE"), b"+OK\r\n"), (("AUTH",), b"-ERR syntax error\r\n"),
                            (("AUTH2", "mover"), b"-ERR syntax error\r\n"), (("KEYS",), b"-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string\r\n"),
                            (("nonsense",), b"-ERR syntax error\r\n")):
            client.call("SET", "k", "v")
            got = migrate(*words)
            tap.ok(got == want, "MIGRATE ... %s" % " ".join(words), [got])
        client.call("SET", "k", "v")
        got = migrate("AUTH", "secret", db="77")
        tap.ok(got.startswith(b"-ERR Target instance replied with error: ERR DB index is out of range"), "a database that is not there", [got])
        tap.ok(migrate("AUTH", "secret", key="nosuch") == b"+NOKEY\r\n", "a key that is not here")
        tap.ok(migrate("KEYS", key="") == b"+NOKEY\r\n", "no key at all")
        tap.ok(migrate("AUTH", "secret", "REPLACE", db="5") == b"+OK\r\n" and other.call("SELECT", "5").head == b"+OK\r\n" and text_of(other, "GET", "k") == b"v",
               "another database")
        log = b"".join(k.raw() for k in client.call("SLOWLOG", "GET", "100").kids)
        tap.ok(b"secret" not in log and b"hush" not in log and b"(redacted)" in log, "passwords are not in the slow log")
        found = client.call("MIGRATE", "127.0.0.1", "1", "k", "0", "300").raw()
        client.call("SET", "k", "v")
        for host, port in (("127.0.0.1", "1"), ("127.0.0.1", "0"), ("127.0.0.1", "70000"), ("127.0.0.1", "x"), ("", b.port), ("no\0host", b.port), ("a" * 5000, "1")):
            found = client.call("MIGRATE", host, port, "k", "0", "2000").raw()
            what = b"writing to target instance" if port in ("0", "1", "x") and len(host) < 5000 else b"connecting to the client"
            tap.ok(found == b"-IOERR error or timeout %s\r\n" % what, "nobody at %s:%s" % (host[:10].replace("\0", "?"), port), [found])
        tap.ok(text_of(client, "GET", "k") == b"v", "and the key is here")
        keys = client.call("COMMAND", "GETKEYS", "MIGRATE", "h", "1", "", "0", "1", "AUTH", "keys", "KEYS", "a", "b").raw()
        tap.ok(keys == b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", "its keys are found behind a password that is called keys", [keys])
        client.call("SET", "of", "the log")
        migrate("AUTH", "secret", key="of")
        wait_until(lambda: info(client, "aof_buffer_length") == "0")
        before = digest(client)
        client.call("DEBUG", "LOADAOF")
        folder = os.path.join(a.dir, "appendonlydir")
        text = b"".join(open(os.path.join(folder, f), "rb").read() for f in os.listdir(folder))
        tap.ok(b"MIGRATE" not in text and re.search(rb"\$3\r\nDEL\r\n\$2\r\nof\r\n", text), "the log has a DEL")
        tap.ok(digest(client) == before, "and read again it says the same")


def check_bad_peers():
    read, write = b"-IOERR error or timeout reading to target instance\r\n", b"-IOERR error or timeout writing to target instance\r\n"

    def close_at_once(sock, number):
        sock.close()

    def half_a_line(sock, number):
        next(requests(sock))
        sock.sendall(b"+O")
        time.sleep(60)

    def drip(sock, number):
        for _ in range(100):
            sock.sendall(b"+")
            time.sleep(0.1)

    def first_only(sock, number):
        for i, _ in enumerate(requests(sock)):
            if i == 2: # SELECT and one RESTORE were answered
                sock.close()
                return
            sock.sendall(b"+OK\r\n")

    cases = (
        ("closes at once", close_at_once, 2, (read, write), ["a", "b", "c"]),
        ("closes when asked", answering(lambda words, n: None), 2, (read, write), ["a", "b", "c"]),
        ("says nothing", hang, 1, (read,), ["a", "b", "c"]),
        ("says half a line", half_a_line, 1, (read,), ["a", "b", "c"]),
        ("drips", drip, 1, (read,), ["a", "b", "c"]),
        ("speaks HTTP", answering(lambda words, n: b"HTTP/1.1 400 Bad Request\r\n\r\n"), 1, (read,), ["a", "b", "c"]),
        ("answers with numbers", answering(lambda words, n: b":1\r\n"), 1, (read,), ["a", "b", "c"]),
        ("answers with a line too long", answering(lambda words, n: b"+" + b"x" * 5000 + b"\r\n"), 1, (read,), ["a", "b", "c"]),
        ("refuses all", answering(lambda words, n: b"-ERR no\r\n"), 1, (b"-ERR Target instance replied with error: ERR no\r\n",), ["a", "b", "c"]),
        ("refuses SELECT", answering(lambda words, n: b"-ERR no\r\n" if words[0] == b"SELECT" else b"+OK\r\n"), 1,
         (b"-ERR Target instance replied with error: ERR no\r\n",), ["a", "b", "c"]),
        ("refuses one", answering(lambda words, n: b"-BUSY b\r\n" if words[1] == b"b" else b"+OK\r\n"), 1, (b"-ERR Target instance replied with error: BUSY b\r\n",), ["b"]),
        ("is gone behind the first", first_only, 1, (read,), ["b", "c"]),
    )
    with Server(OURS, tcp=True) as a:
        client, other = a.client(), a.client()
        for claim, act, connections, want, kept in cases:
            client.call("MSET", "a", "1", "b", "2", "c", "3")
            with Peer(act) as peer:
                start = time.monotonic()
                got = client.call("MIGRATE", "127.0.0.1", peer.port, "", "0", "500", "KEYS", "a", "b", "c").raw()
                left = [key for key in "abc" if other.call("EXISTS", key).text() == b"1"]
                tap.ok(got in want and left == kept and peer.count == connections and time.monotonic() - start < 30, "a peer that " + claim,
                       [got, left, peer.count])
        with Peer(answering(lambda words, n: b"+OK\r\n")) as peer:
            for _ in range(3):
                client.call("SET", "a", "1")
                client.call("MIGRATE", "127.0.0.1", peer.port, "a", "0", "500")
            tap.ok(peer.count == 1, "one connection serves many", [peer.count])
            peer.kept[0].shutdown(socket.SHUT_RDWR)
            client.call("SET", "a", "1")
            got = client.call("MIGRATE", "127.0.0.1", peer.port, "a", "0", "500").raw()
            tap.ok(got == b"+OK\r\n" and peer.count == 2, "and is made anew where it was closed", [got, peer.count])
            wait_until(lambda: info(client, "migrate_cached_sockets", "stats") == "0", 20)
            tap.ok(info(client, "migrate_cached_sockets", "stats") == "0", "none is kept for long")


def check_meanwhile():
    with Server(OURS, tcp=True) as a:
        asks, writer, other = a.client(30), a.client(30), a.client()
        event = threading.Event()

        def begin(*more, key="k", keys=()):
            event.clear()
            asks.send(encode(["MIGRATE", "127.0.0.1", peer.port, "" if keys else key, "0", "20000", *more] + (["KEYS", *keys] if keys else [])))
            wait_until(lambda: info(other, "blocked_clients", "clients") == "1")

        with Peer(after(event)) as peer:
            held = ([("SET", "k", "new")], [("APPEND", "k", "x")], [("DEL", "k")], [("RENAME", "k", "r")], [("RENAME", "o", "k")], [("MSET", "o", "1", "k", "2")],
                    [("FLUSHALL",)], [("SWAPDB", "0", "1")], [("MULTI",), ("INCR", "o"), ("SET", "k", "q"), ("EXEC",)],
                    [("EVAL", "return redis.call('SET', KEYS[1], 'e')", "1", "k")], [("MIGRATE", "127.0.0.1", "1", "k", "0", "100")])
            for commands in held:
                other.call("MSET", "k", "v", "o", "1")
                begin()
                for words in commands:
                    writer.send(encode(words))
                replies = [writer.read() for _ in commands[:-1]]
                waits = not writer.readable(0.05) and text_of(other, "GET", "k") == b"v"
                event.set()
                got = asks.read().head
                end = writer.read()
                tap.ok(waits and got == b"+OK\r\n", "%s waits, and %d replies came before" % (" ".join(commands[-1 if len(commands) == 1 else -2][:2]), len(replies)), [waits, got, end.raw()])
                if commands[0][0] == "APPEND":
                    tap.ok(end.text() == b"1", "and finds the key gone", [end.raw()])
                other.call("FLUSHALL")
            other.call("MSET", "k", "v", "o", "1")
            begin()
            replies = [other.call(*words).raw() for words in (("GET", "k"), ("SET", "o", "2"), ("STRLEN", "k"), ("PING",), ("KEYS", "*"))]
            tap.ok(replies[:4] == [b"$1\r\nv\r\n", b"+OK\r\n", b":1\r\n", b"+PONG\r\n"], "reading it does not wait, nor does anything else", replies)
            event.set()
            asks.read()
            other.call("SET", "k", "v")
            begin("COPY")
            got = other.call("SET", "k", "new").raw()
            event.set()
            tap.ok(got == b"+OK\r\n" and asks.read().head == b"+OK\r\n" and text_of(other, "GET", "k") == b"new", "with COPY nobody waits")

            other.call("MSET", "k", "v", "l", "v")
            begin(keys=("k", "l"))
            other.call("EVAL", "return redis.call('SET', 'k', 'undeclared')", "0")
            event.set()
            got = asks.read().raw()
            tap.ok(got == b"-ERR A key changed on its way: it is still here, and as it was there\r\n" and text_of(other, "GET", "k") == b"undeclared"
                   and other.call("EXISTS", "l").text() == b"0", "what a script changed without declaring it stays, and the others go", [got])
            other.call("SET", "k", "v")
            begin()
            other.call("EVAL", "redis.call('SET', 'k', 'w') return redis.call('SET', 'k', 'v')", "0")
            event.set()
            tap.ok(asks.read().head == b"+OK\r\n" and other.call("EXISTS", "k").text() == b"0", "what is as it was goes")
            other.call("SET", "k", "v", "PX", "150")
            begin()
            time.sleep(0.3)
            event.set()
            tap.ok(asks.read().head == b"+OK\r\n" and other.call("EXISTS", "k").text() == b"0", "what expired on its way is gone")

            other.call("SET", "k", "v")
            number = text_of(asks, "CLIENT", "ID")
            begin()
            other.call("CLIENT", "KILL", "ID", number)
            event.set()
            wait_until(lambda: other.call("EXISTS", "k").text() == b"0")
            tap.ok(other.call("EXISTS", "k").text() == b"0", "who asked may leave: what arrived is gone here")
            asks = a.client(30)
            number = text_of(asks, "CLIENT", "ID")
            other.call("SET", "k", "v")
            begin()
            unblocked = other.call("CLIENT", "UNBLOCK", number).text()
            got = asks.read().raw()
            event.set()
            wait_until(lambda: other.call("EXISTS", "k").text() == b"0")
            tap.ok(unblocked == b"1" and got.startswith(b"-IOERR ") and other.call("EXISTS", "k").text() == b"0", "or be told not to wait", [got])

            crowd = [a.client(30) for _ in range(80)]
            event.clear()
            for i, one in enumerate(crowd):
                other.call("SET", "c%d" % i, "v")
                one.send(encode(["MIGRATE", "127.0.0.1", peer.port, "c%d" % i, "0", "20000"]))
            wait_until(lambda: info(other, "blocked_clients", "clients") == "80")
            other.call("DEL", "c79")
            event.set()
            got = [one.read().head for one in crowd]
            tap.ok(got == [b"+OK\r\n"] * 79 + [b"+NOKEY\r\n"] and not other.call("KEYS", "c*").kids, "more than may be on their way stand in line", [got[-3:]])

            event.set()
            other.call("SET", "k", "v")
            replies = [other.call(*words).raw() for words in (("MULTI",), ("MIGRATE", "127.0.0.1", peer.port, "k", "0", "5000"), ("EXISTS", "k"), ("EXEC",))]
            tap.ok(replies[3] == b"*2\r\n+OK\r\n:0\r\n", "inside EXEC", replies)
            other.call("SET", "k", "v")
            got = other.call("EVAL", "local r = redis.call('MIGRATE', '127.0.0.1', ARGV[1], KEYS[1], '0', '5000') return {r, redis.call('EXISTS', KEYS[1])}", "1", "k", peer.port).raw()
            tap.ok(got == b"*2\r\n+OK\r\n:0\r\n", "and inside a script", [got])
        with Peer(hang) as peer:
            other.call("SET", "k", "v")
            begin()
            asks.send(encode(["PING"]))
            start = time.monotonic()
            a.process.send_signal(signal.SIGTERM)
            a.process.wait(20)
            tap.ok(a.process.returncode == 0 and time.monotonic() - start < 15, "the server ends under a key on its way", [a.process.returncode])


if __name__ == "__main__":
    from resp import encode
    check_between(OURS, OURS, "ours to ours")
    if os.access(REDIS, os.X_OK):
        check_between(OURS, REDIS, "ours to redis-server")
        check_between(REDIS, OURS, "redis-server to ours")
    else:
        tap.skip("to and from redis-server", "no " + REDIS)
    check_replies()
    check_bad_peers()
    check_meanwhile()
    tap.done()

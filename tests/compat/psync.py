#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""PSYNC and REPLCONF as a peer speaks them by hand: the same to redis-server and to ours, the same answers to the byte (but for
ids), the same offsets, the same counters. TAP on stdout.
"""
import concurrent.futures
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Client, Closed, Silent, encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from versions import OLDER  # noqa: E402

ID = re.compile(rb"[0-9a-f]{40}")
SELECT = encode(["SELECT", "0"])


class Peer:
    """A replica: a connection, and where it stands."""

    def __init__(self, server, *said):
        self.link = Client(server.path, 10.0)
        self.id, self.offset, self.stream = b"?", 0, b""
        self.said = [self.ask("REPLCONF", *words.split()) for words in said]

    def ask(self, *words):
        return self.link.call(*words).raw()

    def line(self):
        """The next line; newlines in front of it say that the link is alive."""
        line = self.link.line(time.monotonic() + 10)
        while line.startswith(b"\n"):
            line = line[1:] or self.link.line(time.monotonic() + 10)
        return line

    def psync(self, id=b"?", offset=-1, *more):
        self.link.send(encode([b"PSYNC", id, str(offset).encode(), *more]))
        return self.line()

    def payload(self):
        """Behind +FULLRESYNC: the payload, in either form."""
        head = self.line()
        deadline = time.monotonic() + 20
        if not head.startswith(b"$EOF:"):
            return self.link.exactly(int(head[1:]), deadline)
        mark, got = head[5:45], b""
        while not got.endswith(mark):
            got += self.link.exactly(1, deadline)
        return got[:-40]

    def full(self, id=b"?", offset=-1):
        """A full synchronisation; its payload."""
        line = self.psync(id, offset)
        assert line.startswith(b"+FULLRESYNC "), line
        self.id, self.offset = line.split()[1], int(line.split()[2])
        payload = self.payload()
        time.sleep(0.15)  # redis-server has to see the end of its child before an ACK counts; a replica sends another
        self.ack()
        return payload

    def ack(self, *more):
        self.link.send(encode([b"REPLCONF", b"ACK", str(self.offset).encode(), *more]))

    def take(self, n):
        """n bytes of the stream."""
        data = self.link.exactly(n, time.monotonic() + 5)
        self.offset += n
        self.stream += data
        return data

    def command(self):
        """The next command of the stream, its bytes."""
        data = self.link.node(time.monotonic() + 15).raw()
        self.offset += len(data)
        self.stream += data
        return data

    def is_closed(self, seconds=5):
        try:
            while True:
                self.link.exactly(1, time.monotonic() + seconds)
        except Closed:
            return True
        except Silent:
            return False

    def close(self):
        self.link.close()


def field(client, name, section="everything"):
    for line in client.call("INFO", section).text().split(b"\r\n"):
        if line.startswith(name.encode() + b":"):
            return line.split(b":", 1)[1]
    return b""


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def hidden(line):
    return ID.sub(b"ID", line)


def at_rest(client):
    """No replica is left of those whose connections were closed."""
    return wait_for(lambda: field(client, "connected_slaves") == b"0")


# --- the same to both: each returns what is compared ------------------------------------------------------------------------------

def replconf(server):
    """Every form of it, and what is wrong with some."""
    peer, out = Peer(server), []
    for words in (["listening-port", "7000"], ["listening-port", "x"], ["listening-port", "-1"], ["listening-port", "9223372036854775808"],
                  ["ip-address", "10.0.0.1"], ["ip-address", "x" * 255], ["ip-address", "x" * 256], ["ip-address", ""],
                  ["capa", "eof", "capa", "psync2"], ["capa", "whatever"], ["CAPA", "EOF"], ["rdb-only", "1"], ["rdb-only", "2"], ["rdb-only", "x"],
                  ["rdb-only", "0"], ["rdb-filter-only", "functions"], ["rdb-filter-only", ""], ["rdb-filter-only", "functions keys"],
                  ["rdb-filter-only", '"functions"'], ["rdb-filter-only", '"functions'], ["rdb-filter-only", "FUNCTIONS functions"], ["nonsense", "1"], ["x" * 100, "1"],
                  ["capa"], [], ["capa", "eof", "listening-port"], ["capa", "eof", "bad", "1", "capa", "x"]):
        out.append(peer.ask("REPLCONF", *words))
    for words in (["ack", "7"], ["ACK", "x"], ["ack", "7", "fack", "7"], ["getack", "*"], ["ack", "7", "x", "y"]):
        peer.link.send(encode(["REPLCONF", *words]))
        out.append(peer.ask("PING"))  # none of them is answered
    peer.close()
    return out


def refusals(server):
    """Whoever is refused is no replica; the connection is as it was."""
    client, out = server.client(), []
    for words in (["PSYNC"], ["PSYNC", "x"], ["PSYNC", "x", "y"], ["PSYNC", "?", ""], ["PSYNC", "?", "1.5"], ["PSYNC", "?", "9223372036854775808"], ["PSYNC", "?", "-1", "FAILOVER"],
                  ["PSYNC", "x", "1", "failover"]):
        peer = Peer(server)
        out += [hidden(peer.ask(*words)), peer.ask("PING"), field(client, "connected_slaves")]
        peer.close()
    peer = Peer(server)
    peer.link.send(encode(["PING"]) + encode(["PSYNC", "?", "-1"]))
    out += [peer.line(), peer.line()]
    peer.link.call("MULTI")
    out += [peer.ask("PSYNC", "?", "-1"), peer.ask("SYNC")]
    client.close()
    return out


def counters(client):
    return [int(field(client, "sync_" + name)) for name in ("full", "partial_ok", "partial_err")]


def full(server):
    """A first replica, the stream behind its snapshot, what INFO and ROLE say of it."""
    client, out = server.client(), []
    client.call("FLUSHALL")
    client.call("SET", "before", "1")
    counts, id_before = counters(client), field(client, "master_replid")
    peer = Peer(server, "listening-port 7001", "ip-address 10.1.2.3", "capa eof capa psync2")
    data = peer.full()
    out += [data[:5], peer.offset, id_before != peer.id, peer.id == field(client, "master_replid")]
    out += [field(client, "slave0"), field(client, "master_repl_offset")]
    client.call("SET", "k", "v")
    client.call("SELECT", "3")
    client.call("set", "k", " v ")
    out += [peer.command() for _ in range(4)]
    out.append(int(field(client, "master_repl_offset")) == peer.offset)
    peer.ack()
    out.append(wait_for(lambda: field(client, "slave0") == b"ip=10.1.2.3,port=7001,state=online,offset=%d,lag=0" % peer.offset))
    out.append(client.call("ROLE").raw())
    peer.link.send(encode(["PSYNC", "?", "-1"]) + encode(["SYNC"]))  # ignored
    client.call("SET", "end", "1")
    out.append(peer.command())
    first, length, offset = (int(field(client, name)) for name in ("repl_backlog_first_byte_offset", "repl_backlog_histlen", "master_repl_offset"))
    out += [first, first + length - 1 == offset, [a - b for a, b in zip(counters(client), counts)]]
    peer.close()
    out.append(at_rest(client))
    client.close()
    return out


def partial(server):
    """Cut at every byte of a short stream: each offset goes on with the byte behind it, and the edges are Redis's."""
    client, out = server.client(), []
    client.call("FLUSHALL")
    peer = Peer(server, "capa eof capa psync2")
    peer.full()
    start = peer.offset
    for i in range(3):
        client.call("SET", "key:%d" % i, "x" * i)
    while not peer.stream.endswith(encode(["SET", "key:2", "xx"])):
        peer.command()
    end, counts = peer.offset, counters(client)
    for k in range(len(peer.stream) + 1):
        other = Peer(server, "capa psync2")
        line = other.psync(peer.id if k % 2 else peer.id.upper(), start + k + 1)
        rest = other.link.exactly(len(peer.stream) - k, time.monotonic() + 5) if k < len(peer.stream) else b""
        if line != b"+CONTINUE %s\r\n" % peer.id or rest != peer.stream[k:]:
            out.append((k, line, rest))
        other.close()
    out.append(at_rest_but(client, 1))
    old = Peer(server)  # no psync2: no id
    out.append(old.psync(peer.id, end + 1))
    client.call("SET", "more", "1")
    out += [old.link.exactly(len(encode(["SET", "more", "1"])), time.monotonic() + 5), peer.command()]
    out.append([a - b for a, b in zip(counters(client), counts)])
    for id, offset in ((peer.id, peer.offset + 2), (peer.id, 0), (peer.id, -1), (b"0" * 40, peer.offset), (b"?", peer.offset), (b"x", 1), (peer.id[:39], peer.offset)):
        other = Peer(server, "capa psync2")
        line = other.psync(id, offset)
        out.append(hidden(line).split()[0])
        other.close()
    out.append([a - b for a, b in zip(counters(client), counts)])
    for each in (peer, old):
        each.close()
    out.append(at_rest(client))
    client.close()
    return out


def at_rest_but(client, n):
    return wait_for(lambda: field(client, "connected_slaves") == b"%d" % n)


def waiting(server):
    """WAIT asks for acknowledgements, once a turn, and counts what was acknowledged and not what was sent."""
    client, out = server.client(), []
    client.call("FLUSHALL")
    one, two = Peer(server, "capa psync2"), Peer(server, "capa psync2")
    for peer in (one, two):
        peer.full()
    out.append(wait_for(lambda: field(client, "slave1").count(b"online") == 1))
    client.call("SET", "k", "v")
    out += [client.call("WAIT", "0", "10").raw(), client.call("WAIT", "1", "50").raw()]
    client.send(encode(["WAIT", "1", "0"]))
    get_ack = encode(["REPLCONF", "GETACK", "*"])
    seen = b""
    while not seen.endswith(get_ack * 2):
        seen += one.command()
    out.append(seen.replace(SELECT, b""))
    one.ack()
    out.append(client.read().raw())
    out.append(client.call("WAIT", "2", "50").raw())
    while not two.stream.endswith(get_ack * 3):
        two.command()
    two.offset -= 1  # as far as it has executed, which is not all of what it was sent, and is all that the client wrote
    two.ack()
    out.append(client.call("WAIT", "2", "1000").raw())
    client.call("MULTI")
    client.call("SET", "a", "1")
    client.call("WAIT", "2", "0")
    out.append(len(client.call("EXEC").kids))  # it does not wait there
    other = server.client()
    out.append(other.call("WAIT", "2", "0").raw())  # it wrote nothing
    for peer in (one, two):
        peer.close()
    out.append(at_rest(client))
    out.append(client.call("WAIT", "1", "10").raw())
    for c in (client, other):
        c.close()
    return out


def logged(server):
    """WAITAOF counts FACK, and not what was only executed."""
    client, out = server.client(), []
    peer = Peer(server, "capa psync2")
    peer.full()
    out.append(wait_for(lambda: b"online" in field(client, "slave0")))
    client.call("SET", "k", "v")
    peer.offset = int(field(client, "master_repl_offset"))
    peer.ack()
    out += [client.call("WAITAOF", "0", "1", "60").raw(), client.call("WAITAOF", "1", "0", "10").raw()]
    peer.ack(b"FACK", str(peer.offset - 1).encode())
    out.append(client.call("WAITAOF", "0", "1", "60").raw())
    peer.ack(b"FACK", str(peer.offset).encode())
    out.append(client.call("WAITAOF", "0", "1", "1000").raw())
    peer.close()
    out.append(at_rest(client))
    client.close()
    return out


def good(server):
    """min-replicas-to-write: those that acknowledge."""
    client, out = server.client(), []
    client.call("CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", "1")
    out += [client.call("SET", "k", "v").raw(), field(client, "min_slaves_good_slaves")]
    peer = Peer(server, "capa psync2")
    peer.full()
    out += [wait_for(lambda: client.call("SET", "k", "v").raw() == b"+OK\r\n"), field(client, "min_slaves_good_slaves"), client.call("GET", "k").raw()]
    out += [wait_for(lambda: client.call("SET", "k", "v").is_error()), field(client, "min_slaves_good_slaves")]  # it has been silent for too long
    peer.ack()
    out += [wait_for(lambda: client.call("SET", "k", "v").raw() == b"+OK\r\n")]
    peer.close()
    out += [wait_for(lambda: client.call("SET", "k", "v").is_error())]
    client.call("CONFIG", "SET", "min-replicas-to-write", "0", "min-replicas-max-lag", "10")
    out += [client.call("SET", "k", "v").raw(), field(client, "min_slaves_good_slaves"), at_rest(client)]
    client.close()
    return out


def rhythm(server):
    """PING, and who is silent."""
    client, out = server.client(), []
    client.call("CONFIG", "SET", "repl-ping-replica-period", "1")
    peer = Peer(server, "capa psync2")
    peer.full()
    out += [peer.command(), peer.command()]
    client.call("CLIENT", "PAUSE", "100000", "WRITE")
    before = field(client, "master_repl_offset")
    client.call("CONFIG", "SET", "repl-ping-replica-period", "3600", "repl-timeout", "2")
    out.append(peer.is_closed(8))  # it has not acknowledged for so long
    client.call("CLIENT", "UNPAUSE")
    client.call("CONFIG", "SET", "repl-timeout", "60")
    out.append(at_rest(client))
    client.close()
    return out


def forgotten(server):
    """The backlog goes some time after the last replica, and its id with it."""
    client, out = server.client(), []
    peer = Peer(server, "capa psync2")
    peer.full()
    client.call("SET", "k", "v")
    peer.command()
    offset = peer.offset
    peer.close()
    out.append(at_rest(client))
    client.call("CONFIG", "SET", "repl-backlog-ttl", "1")
    out.append(wait_for(lambda: field(client, "repl_backlog_active") == b"0"))
    out += [field(client, "repl_backlog_histlen"), field(client, "master_replid") != peer.id, field(client, "master_replid2"), field(client, "second_repl_offset")]
    client.call("SET", "k", "v")  # nobody's history
    other = Peer(server, "capa psync2")
    out.append(hidden(other.psync(peer.id, offset + 1)).split()[0])
    other.close()
    client.call("CONFIG", "SET", "repl-backlog-ttl", "3600")
    out.append(at_rest(client))
    client.close()
    return out


def backlog(server):
    """Its size: what is too old for it is refused; growth keeps, and shrinking takes effect."""
    client, out = server.client(), []
    out += [client.call("CONFIG", "SET", "repl-backlog-size", "1").raw(), client.call("CONFIG", "GET", "repl-backlog-size").raw()]
    client.call("CONFIG", "SET", "repl-backlog-size", "100000")
    peer = Peer(server, "capa psync2")
    peer.full()
    start = peer.offset
    for _ in range(300):
        client.call("SET", "k", "x" * 1000)
    length = int(field(client, "repl_backlog_histlen"))
    out.append(length >= 99000)
    first, offset = int(field(client, "repl_backlog_first_byte_offset")), int(field(client, "master_repl_offset"))
    out.append(first + length - 1 == offset)
    for at in (start + 1, first - 1, first, offset, offset + 1):
        other = Peer(server, "capa psync2")
        out.append(hidden(other.psync(peer.id, at)).split()[0])
        other.close()
    client.call("CONFIG", "SET", "repl-backlog-size", "1mb")
    out.append(int(field(client, "repl_backlog_histlen")) >= length)
    client.call("CONFIG", "SET", "repl-backlog-size", "16384")
    for _ in range(100):
        client.call("SET", "k", "x" * 1000)
    peer.close()
    out.append(wait_for(lambda: client.call("SET", "k", "x" * 1000) and int(field(client, "repl_backlog_histlen")) < 120000))
    client.call("CONFIG", "SET", "repl-backlog-size", "1mb")
    out.append(at_rest(client))
    client.close()
    return out


def identity(server):
    """DEBUG CHANGE-REPL-ID: what was is nobody's any more."""
    client, out = server.client(), []
    peer = Peer(server, "capa psync2")
    peer.full()
    client.call("DEBUG", "CHANGE-REPL-ID")
    out += [field(client, "master_replid") != peer.id, field(client, "run_id") != field(client, "master_replid")]
    other = Peer(server, "capa psync2")
    out.append(hidden(other.psync(peer.id, peer.offset + 1)).split()[0])
    for each in (peer, other):
        each.close()
    out.append(at_rest(client))
    client.close()
    return out


def payload_head(peer):
    line = peer.line()
    return b"$EOF" if line.startswith(b"$EOF:") else line[:1]


def parts(server):
    """A part of the data: functions, nothing; who only wants the payload is closed behind it."""
    client, out = server.client(), []
    client.call("FLUSHALL")
    client.call("SET", "k", "v")
    client.call("FUNCTION", "LOAD", "REPLACE", "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
    for said in (["rdb-filter-only functions"], ["capa eof", "rdb-filter-only functions", "rdb-only 1"], ["capa eof", "rdb-filter-only functions"], ["capa eof", "rdb-only 1"], ["rdb-only 1"]):
        peer = Peer(server, *said)
        line = peer.psync()
        out.append(hidden(line).split()[0])
        if line.startswith(b"-"):
            peer.close()
            continue
        data = peer.payload()
        out += [data[:5], b"register_function" in data, b"\x00\x01k\x01v" in data]
        peer.ack()
        client.call("SET", "more", "1")
        out.append(peer.is_closed(5) if "rdb-only 1" in said else wait_for(lambda: b"online" in field(client, "slave0")))
        peer.close()
        out.append(at_rest(client))
    peer = Peer(server, "capa eof")
    peer.ask("REPLCONF", "rdb-filter-only", "")
    peer.psync()
    data = peer.payload()
    out += [b"register_function" in data, b"\x01k\x01v" in data]
    peer.close()
    out.append(at_rest(client))
    for said in ([], ["capa eof"]):  # without PSYNC: no status line
        peer = Peer(server, *said)
        peer.link.send(encode(["SYNC"]))
        out.append(payload_head(peer))
        peer.close()
        out.append(at_rest(client))
    client.call("FUNCTION", "FLUSH")
    client.close()
    return out


def together(server):
    """Several that wait get one payload, and the same stream behind it, to which a late one of a file comes, too."""
    client, out = server.client(), []
    client.call("FLUSHALL")
    for i in range(200):
        client.call("SET", "key:%d" % i, "x" * 100)
    client.call("CONFIG", "SET", "rdb-key-save-delay", "5000")
    peers = [Peer(server, "capa eof capa psync2") for _ in range(3)]
    lines = [peer.psync() for peer in peers[:1]]
    client.call("SET", "between", "1")
    peers[1].link.send(encode([b"PSYNC", b"?", b"-1"]))
    out.append(wait_for(lambda: field(client, "connected_slaves") == b"2"))
    out.append(field(client, "slave0").split(b",")[2])
    client.call("CONFIG", "SET", "rdb-key-save-delay", "0")
    for peer in peers[:2]:
        if peer is peers[1]:
            lines.append(peer.line())
        peer.offset = int(lines[-1].split()[2]) if peer is peers[1] else int(lines[0].split()[2])
        peer.payload()
        time.sleep(0.15)
        peer.ack()
    client.call("SET", "behind", "1")
    end = encode(["SET", "behind", "1"])
    for peer in peers[:2]:
        while not peer.stream.endswith(end):
            peer.command()
        out.append(peer.offset == int(field(client, "master_repl_offset")))
    out.append(peers[0].stream.replace(SELECT, b"").endswith(peers[1].stream.replace(SELECT, b"")))
    for peer in peers:
        peer.close()
    out.append(at_rest(client))
    client.close()
    return out


def delayed(server):
    """The first one waits for others, so long or until they are enough; a newline each second says that it waits."""
    client, out = server.client(), []
    client.call("CONFIG", "SET", "repl-diskless-sync-delay", "2")
    one = Peer(server, "capa eof capa psync2")
    one.link.send(encode([b"PSYNC", b"?", b"-1"]))
    newline = one.link.exactly(1, time.monotonic() + 5)
    line = one.line()
    out += [newline, hidden(line).split()[0]]
    one.close()
    out.append(at_rest(client))
    client.call("CONFIG", "SET", "repl-diskless-sync-delay", "100", "repl-diskless-sync-max-replicas", "2")
    peers = [Peer(server, "capa eof capa psync2") for _ in range(2)]
    for peer in peers:
        peer.link.send(encode([b"PSYNC", b"?", b"-1"]))
    for peer in peers:
        out.append(hidden(peer.line()).split()[0])
        peer.close()
    client.call("CONFIG", "SET", "repl-diskless-sync-delay", "0", "repl-diskless-sync-max-replicas", "0")
    out.append(at_rest(client))
    client.close()
    return out


def shared(server):
    """What is held for one that has not acknowledged its payload another one may ask for, beyond the backlog, until that one goes."""
    client, out = server.client(), []
    client.call("CONFIG", "SET", "repl-backlog-size", "16384")
    one, slow = Peer(server, "capa eof capa psync2"), Peer(server, "capa eof capa psync2")
    one.full()
    out.append(wait_for(lambda: b"online" in field(client, "slave0")))
    slow.psync()
    slow.payload()
    one.close()
    for i in range(40):
        client.call("SET", "k%d" % i, "v" * 10000)
    back = Peer(server, "capa eof capa psync2")
    out += [hidden(back.psync(one.id, one.offset + 1)).split()[0], int(field(client, "repl_backlog_histlen")) > 350000]
    slow.close()
    out.append(wait_for(lambda: field(client, "connected_slaves") == b"1"))
    client.call("SET", "k", "v" * 20000)  # redis-server lets go of it in steps
    again = Peer(server, "capa eof capa psync2")
    out.append(hidden(again.psync(one.id, one.offset + 1)).split()[0])
    for each in (back, again):
        each.close()
    client.call("FLUSHALL")
    client.call("CONFIG", "SET", "repl-backlog-size", "1mb")
    out.append(at_rest(client))
    client.close()
    return out


def deserted(server):
    """Who leaves in the middle of its payload leaves nothing behind; the next one gets one."""
    client, out = server.client(), []
    client.call("FLUSHALL")
    for i in range(300):
        client.call("SET", "key:%d" % i, os.urandom(50000))
    for take in (0, 1, 100, 1000000):
        peer = Peer(server, "capa eof capa psync2")
        peer.psync()
        peer.link.exactly(take, time.monotonic() + 10)
        peer.close()
        out.append(at_rest(client))
    out.append(wait_for(lambda: field(client, "rdb_bgsave_in_progress") == b"0"))
    peer = Peer(server, "capa psync2")
    out.append(len(peer.full()) > 15000000)
    peer.close()
    client.call("FLUSHALL")
    out.append(at_rest(client))
    client.close()
    return out


def failover(server):
    """FAILOVER holds writes until a replica has everything; its errors, its time, its end by hand."""
    client, out = server.client(), []
    for words in (["ABORT"], [], ["TO", "127.0.0.1"], ["TO", "127.0.0.1", "x"], ["TIMEOUT", "0"], ["TIMEOUT", "x"], ["FORCE"], ["x"]):
        out.append(client.call("FAILOVER", *words).raw())
    peer = Peer(server, "listening-port 1", "ip-address 127.0.0.1", "capa psync2")
    peer.full()
    out.append(wait_for(lambda: b"online" in field(client, "slave0")))
    for words in (["ABORT"], ["TO", "127.0.0.1", "2"], ["TO", "127.0.0.2", "1"], ["TO", "127.0.0.1", "1", "FORCE"], ["TIMEOUT", "10", "FORCE"], ["TIMEOUT", "-1"]):
        out.append(client.call("FAILOVER", *words).raw())
    client.call("SET", "k", "v")
    out += [client.call("FAILOVER", "TO", "127.0.0.1", "1").raw(), field(client, "master_failover_state"), client.call("FAILOVER").raw()]
    out += [client.call("REPLICAOF", "127.0.0.1", "1").raw(), client.call("GET", "k").raw()]
    other = Peer(server)
    out.append(other.ask("PSYNC", "?", "-1"))
    other.close()
    writer = server.client()
    writer.send(encode(["SET", "k", "w"]))
    try:
        writer.read(0.3)
        out.append("written")
    except Silent:
        out.append("held")
    out += [client.call("GET", "k").raw(), client.call("FAILOVER", "ABORT").raw(), writer.read().raw(), field(client, "master_failover_state")]
    client.call("FAILOVER", "TO", "127.0.0.1", "1", "TIMEOUT", "200")
    out.append(wait_for(lambda: field(client, "master_failover_state") == b"no-failover"))
    out += [client.call("SET", "k", "x").raw(), field(client, "role")]
    for each in (peer, writer, client):
        each.close()
    client = server.client()
    out.append(at_rest(client))
    client.close()
    return out


def forced(server):
    """FAILOVER with FORCE does not wait beyond its time, and the log says so."""
    client, out = server.client(), []
    peer = Peer(server, "listening-port 1", "ip-address 127.0.0.1", "capa psync2")
    peer.full()
    out.append(wait_for(lambda: b"online" in field(client, "slave0")))
    client.call("SET", "k", "v")
    out.append(client.call("FAILOVER", "TO", "127.0.0.1", "1", "TIMEOUT", "100", "FORCE").raw())
    out.append(wait_for(lambda: field(client, "master_failover_state") == b"failover-in-progress"))
    out += [field(client, "role"), client.call("FAILOVER", "ABORT").raw(), field(client, "role"), field(client, "master_failover_state")]
    out.append([line.split(" * ")[-1] for line in server.log_tail(100) if "time out exceeded" in line])
    peer.close()
    out.append(at_rest(client))
    client.close()
    return out


def paused(server):
    """While clients are paused a replica's acknowledgement counts, and nothing comes into the history."""
    client, out = server.client(), []
    peer = Peer(server, "capa psync2")
    peer.full()
    out.append(wait_for(lambda: b"online" in field(client, "slave0")))
    client.call("SET", "k", "v")
    client.call("CLIENT", "PAUSE", "1500", "WRITE")
    offset = field(client, "master_repl_offset")
    peer.offset = int(offset)
    peer.ack()
    out.append(wait_for(lambda: b"offset=" + offset in field(client, "slave0"), 1))
    out += [client.call("WAIT", "1", "100").raw(), field(client, "master_repl_offset") == offset]
    client.call("CLIENT", "UNPAUSE")
    peer.close()
    out.append(at_rest(client))
    client.close()
    return out


def leaving(server):
    """SHUTDOWN waits for the replica, with writes held, and may be taken back; then it goes."""
    client, asker, out = server.client(), server.client(), []
    client.call("CONFIG", "SET", "shutdown-timeout", "100")
    peer = Peer(server, "capa psync2")
    peer.full()
    out.append(wait_for(lambda: b"online" in field(client, "slave0")))
    client.call("SET", "k", "v")
    out.append(client.call("SHUTDOWN", "ABORT").raw())
    asker.send(encode(["SHUTDOWN"]))
    out.append(wait_for(lambda: b"cmd=shutdown" in client.call("CLIENT", "LIST").text()))
    out.append(0 < int(field(client, "shutdown_in_milliseconds")) <= 100000)
    writer = server.client()
    writer.send(encode(["SET", "k", "w"]))
    try:
        writer.read(0.3)
        out.append("written")
    except Silent:
        out.append("held")
    out += [client.call("SHUTDOWN", "ABORT").raw(), asker.read().raw(), writer.read().raw()]
    out.append(field(client, "shutdown_in_milliseconds"))
    asker.send(encode(["SHUTDOWN", "NOSAVE"]))
    time.sleep(0.3)
    out.append(server.alive())
    peer.offset = int(field(client, "master_repl_offset"))
    peer.ack()
    out.append(wait_for(lambda: not server.alive()))
    out.append([line.split(" * ")[-1] for line in server.log_tail(10) if "in sync" in line])
    server.start()
    return out


SCENES = [replconf, refusals, full, partial, waiting, good, rhythm, forgotten, backlog, identity, failover, forced, paused]
PAYLOADS = [parts, together, deserted]
DISKLESS = [delayed, shared]
SINCE_7_2 = [logged]
OPTIONS = ["--repl-diskless-sync", "no", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "3600"]


def play(scene, server):
    try:
        return scene(server)
    except (AssertionError, Closed, Silent, OSError, ValueError) as err:
        return ["%s: %r" % (type(err).__name__, err)] + server.log_tail(5)


def both(tap, scene, theirs, ours, form):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        want, got = pool.map(lambda server: play(scene, server), (theirs, ours))
    claim = "%s (by %s)" % (scene.__doc__.rstrip("."), form)
    tap.ok(want == got, claim, [] if want == got else ["redis-server: %r" % (want,), "ours:         %r" % (got,)])


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS, OPTIONS) as theirs, Server(OURS, OPTIONS) as ours:
        for scene in SCENES + PAYLOADS + ([] if OLDER else SINCE_7_2):
            both(tap, scene, theirs, ours, "file")
    OPTIONS[1] = "yes"
    with Server(REDIS, OPTIONS) as theirs, Server(OURS, OPTIONS) as ours:
        for scene in [full, partial] + PAYLOADS + DISKLESS:
            both(tap, scene, theirs, ours, "socket")
        got = play(leaving, ours)  # redis-server 7.2.4 crashes in it
        want = [True, b"-ERR No shutdown in progress.\r\n", True, True, "held", b"+OK\r\n", b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n", b"+OK\r\n", b"", True, True,
                ["1 of 1 replicas are in sync when shutting down."]]
        tap.ok(want == got, leaving.__doc__.rstrip("."), [] if want == got else [got])
        tap.ok(ours.alive(), "the server is still there")
    tap.done()


if __name__ == "__main__":
    main()

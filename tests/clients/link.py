#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Our server as a replica, and a primary of the test's own (stub_primary.py): the handshake to the byte, every form of answer and
payload, cuts at each byte of it, garbage at each state, silence at each state, and the stream: what is counted, acknowledged, held and
thrown away. Whatever the primary does, the link ends and the old data stay until new ones are whole.
"""
import time

from here import OURS, Server, Tap, info, log_has, need_server, text_of, wait_until
from stub_primary import ID, MARK, OTHER_ID, Gone, Late, Stub, command, rdb

NEW = [(b"new", b"1"), (b"more", b"2")]
LOADS = ("disabled", "on-empty-db", "swapdb")
FORMS = ("counted", "marked")


def follow(server, stub):
    """A new attempt begins at once."""
    with_client(server, "REPLICAOF", "NO", "ONE")
    stub.drain()
    return with_client(server, "REPLICAOF", "127.0.0.1", str(stub.port))


def with_client(server, *words):
    client = server.client(20)
    try:
        return client.call(*words)
    finally:
        client.close()


def get(server, *words):
    return with_client(server, *words).text()


def link(server, field):
    client = server.client(20)
    try:
        return info(client, field, "replication")
    finally:
        client.close()


def loading(server):
    client = server.client(20)
    try:
        return info(client, "loading")
    finally:
        client.close()


def payload(form, data):
    return b"$%d\r\n%s" % (len(data), data) if form == "counted" else b"$EOF:%s\r\n%s%s" % (MARK, data, MARK)


def full(offset=0, ident=ID):
    return b"+FULLRESYNC %s %d\r\n" % (ident, offset)


def synced(server, stub, form="counted", pairs=None, offset=0):
    """A connection that is in sync."""
    follow(server, stub)
    peer, _ = stub.asked()
    peer.send(full(offset) + payload(form, rdb(NEW if pairs is None else pairs)))
    peer.ack()
    return peer


def check_handshake(tap, stub):
    capa, version = [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"], [b"REPLCONF", b"version", b"7.2.4"]
    for args, first, port, ip in (
            ([], None, None, None),
            (["--masterauth", "secret"], [b"AUTH", b"secret"], None, None),
            (["--masterauth", "se cret", "--masteruser", "bob"], [b"AUTH", b"bob", b"se cret"], None, None),
            (["--replica-announce-port", "77", "--replica-announce-ip", "1.2.3.4"], None, b"77", b"1.2.3.4")):
        with Server(OURS, args + ["--replicaof", "127.0.0.1 %d" % stub.port], tcp=True) as server:
            peer = stub.accept()
            got = [peer.words()]
            peer.send(b"+PONG\r\n")
            want = [[b"PING"]] + ([first] if first else [])
            want += [[b"REPLCONF", b"listening-port", port or b"%d" % server.port]]
            want += [[b"REPLCONF", b"ip-address", ip]] if ip else []
            want += [capa, version]
            got += [peer.words() for _ in want[1:]]  # before anything of it is answered
            peer.send(b"+OK\r\n" * (len(want) - 1))
            got.append(peer.words())
            want.append([b"PSYNC", b"?", b"-1"])
            tap.ok(got == want, "what is said, and in which order: " + " ".join(args or ["nothing set"]), [got, want])
            peer.close()


def check_answers(tap, server, stub):
    follow(server, stub)
    peer = stub.accept()
    peer.words()
    peer.send(b"-NOAUTH Authentication required.\r\n")
    tap.ok(peer.words()[:2] == [b"REPLCONF", b"listening-port"], "to PING: a primary that wants a password is talked to")
    peer.send(b"-ERR no\r\n-ERR no\r\n-ERR no\r\n")
    for _ in range(2):
        peer.words()
    words = peer.words()
    own = [link(server, "master_replid").encode(), int(link(server, "master_repl_offset")) + 1]
    tap.ok(words == [b"PSYNC", own[0], b"%d" % own[1]], "errors of REPLCONF are ignored; told at run time it offers its own history", [words])
    peer.send(b"\n\n" + full(7) + b"\n" + payload("counted", rdb(NEW, [(b"repl-stream-db", b"3")])))
    tap.ok(peer.ack() == [7], "newlines before FULLRESYNC and before the payload; the first ACK is the snapshot's offset")
    peer.send(command(b"SET", b"in3", b"x"))
    tap.ok(peer.ack_of(7 + 29), "a command counts")
    client = server.client()
    client.call("SELECT", "3")
    tap.ok(client.call("GET", "in3").text() == b"x", "repl-stream-db of the file is the database of the stream")
    client.close()
    peer.close()
    peer, words = stub.asked()
    tap.ok(words == [b"PSYNC", ID, b"37"], "the link breaks: it asks at once for what comes next", [words])
    peer.send(b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n")
    tap.ok(peer.is_closed(), "NOMASTERLINK ends the attempt")
    begun = time.monotonic()
    peer, words = stub.asked()
    tap.ok(words == [b"PSYNC", ID, b"37"] and time.monotonic() - begun > 0.3, "and is tried again, not at once, with what it had", [words])
    peer.send(b"+CONTINUE " + OTHER_ID + b"\r\n" + command(b"SET", b"after", b"1"))
    tap.ok(peer.ack_of(36 + 31), "CONTINUE, with the stream in the same segment")
    got = [link(server, f) for f in ("master_replid", "master_replid2", "second_repl_offset")]
    tap.ok(got == [OTHER_ID.decode(), ID.decode(), "37"], "another id: the old one is the second", got)
    peer.close()
    peer, words = stub.asked()
    peer.send(b"+CONTINUE\r\n")
    peer.send(command(b"SET", b"last", b"1"))
    tap.ok(words == [b"PSYNC", OTHER_ID, b"68"] and peer.ack_of(67 + 30), "CONTINUE without an id keeps it", [words])
    peer.close()
    peer, words = stub.asked()
    peer.send(b"-ERR unknown command 'PSYNC'\r\n")
    tap.ok(peer.words() == [b"SYNC"], "a primary that does not know PSYNC is asked by SYNC")
    peer.send(b"\n" + payload("counted", rdb([(b"by", b"sync")])) + command(b"SET", b"x", b"y"))
    tap.ok(wait_until(lambda: get(server, "GET", "x") == b"y") and get(server, "DBSIZE") == b"2", "and followed")
    try:
        said = peer.words(1.5)
        while not said:  # newlines, while it loads
            said = peer.words(1.5)
        tap.ok(False, "SYNC: nothing is acknowledged", [said])
    except Late:
        tap.ok(True, "SYNC: nothing is acknowledged")
    peer.close()
    peer, words = stub.asked()
    tap.ok(words == [b"PSYNC", b"?", b"-1"], "and nothing partial is asked for afterwards", [words])
    peer.send(b"+CONTINUE\r\n")
    tap.ok(peer.is_closed(), "CONTINUE that nobody asked for ends the link")
    peer.close()


def check_payloads(tap, server, stub):
    for how in LOADS:
        with_client(server, "CONFIG", "SET", "repl-diskless-load", how)
        for form in FORMS:
            with_client(server, "REPLICAOF", "NO", "ONE")
            with_client(server, "FLUSHALL")
            if how != "on-empty-db":
                with_client(server, "SET", "old", "1")
            peer = synced(server, stub, form)
            peer.send(command(b"APPEND", b"new", b"2"))
            tap.ok(peer.ack_of(32) and get(server, "GET", "new") == b"12" and get(server, "DBSIZE") == b"2",
                   "%s, %s: the new data, and the stream behind them" % (how, form))
            peer.close()
    with_client(server, "CONFIG", "SET", "repl-diskless-load", "disabled")


def check_cuts(tap, server, stub, how, form, first=None):
    """The conversation ends after each of its bytes (from the payload on, unless first is 0); the data are the old or the new ones, whole."""
    data = payload(form, rdb(NEW[:1], [(b"repl-id", ID)]))
    pong, answer = b"+PONG\r\n", full(100)
    whole = len(pong) + len(answer) + len(data)
    with_client(server, "CONFIG", "SET", "repl-diskless-load", how)
    torn = []
    for cut in range(len(pong) + len(answer) if first is None else first, whole):
        with_client(server, "REPLICAOF", "NO", "ONE")
        with_client(server, "FLUSHALL")
        if how != "on-empty-db":
            with_client(server, "SET", "old", "1")
        follow(server, stub)
        peer, left = stub.accept(), cut
        try:
            peer.words()
            peer.send(pong[:left])
            left -= len(pong)
            if left >= 0:
                while peer.words()[0] != b"PSYNC":
                    peer.send(b"+OK\r\n")
                peer.send(answer[:left])
                left -= len(answer)
            if left >= 0:
                peer.send(data[:left])
        except Gone:
            torn.append("closed by us before byte %d" % cut)
        peer.close()
        if not wait_until(lambda: link(server, "master_sync_in_progress") == "0" and loading(server) == "0", 10):
            torn.append("byte %d: still at it" % cut)
        with_client(server, "REPLICAOF", "127.0.0.2", str(stub.port))  # at once, with what it has
        peer, words = stub.asked()
        keys = [get(server, "EXISTS", "old"), get(server, "DBSIZE")]
        if keys != ([b"0", b"0"] if how == "on-empty-db" else [b"1", b"1"]):
            torn.append("byte %d: %s" % (cut, keys))
        if how == "on-empty-db" and left > len(data.split(b"\r\n")[0]) + 12 and words != [b"PSYNC", b"?", b"-1"]:
            torn.append("byte %d: half loaded, and asks %s" % (cut, words))
        peer.close()
    tap.ok(not torn, "%s, %s: cut after each byte up to %d" % (how, form, whole), torn[:5])


def check_garbage(tap, server, stub):
    with_client(server, "CONFIG", "SET", "repl-diskless-load", "disabled")
    with_client(server, "REPLICAOF", "NO", "ONE")
    with_client(server, "FLUSHALL")
    with_client(server, "SET", "old", "1")
    long_line = b"+" + b"x" * 2000 + b"\r\n"
    good = rdb(NEW)
    bad = [("PING", said) for said in (b"-DENIED protected\r\n", b"HTTP/1.1 400 Bad\r\n", long_line, b"\r\n", bytes(range(256)) * 8)]
    bad += [("PSYNC", said) for said in (
        b"+OK\r\n", b"+FULLRESYNC\r\n", b"+FULLRESYNC x 1\r\n", b"+FULLRESYNC %s -1\r\n" % ID, b"+FULLRESYNC %s 99999999999999999999\r\n" % ID,
        b"+CONTINUE x\r\n", b":1\r\n", long_line, b"\xff" * 5000, b"x" * 1024)]
    bad += [("PSYNC", full() + said) for said in (
        b"-ERR no\r\n", b"+x\r\n", b"$\r\n", b"$-1\r\n", b"$99999999999999999999\r\n", b"$EOF:short\r\n", b"$EOF:%sx\r\n" % MARK, long_line,
        b"$5\r\nREDIS", b"$%d\r\n" % len(good) + b"X" + good[1:], b"$%d\r\n" % (len(good) - 9) + good[:-9], b"$0\r\n",
        payload("marked", b""), payload("marked", good[:-9]), payload("marked", b"\x00" * 3000))]
    torn = []
    for state, said in bad:
        follow(server, stub)
        peer = stub.accept()
        try:
            words = peer.words()
            while words[0] != state.encode():
                peer.send(b"+PONG\r\n" if words[0] == b"PING" else b"+OK\r\n")
                words = peer.words()
            peer.send(said)
            if not peer.is_closed(5):
                torn.append("goes on after %s: %r" % (state, said[:60]))
        except Gone:
            pass
        peer.close()
        if not server.alive():
            torn.append("dead after %s: %r" % (state, said[:60]))
            break
    tap.ok(not torn, "%d answers that are none end the attempt" % len(bad), torn)
    return torn


def check_stream(tap, server, stub):
    peer = synced(server, stub, "marked", offset=1000)
    peer.send(command(b"SELECT", b"0"))
    off = 1023
    multi = command(b"MULTI") + command(b"INCR", b"n") + command(b"SET", b"k", b"v")
    for i in range(len(multi)):
        peer.send(multi[i:i + 1])
    peer.send(command(b"REPLCONF", b"GETACK", b"*")[:20])
    tap.ok(peer.ack_of(off) and get(server, "EXISTS", "n", "k") == b"0", "inside a transaction the offset is the one before MULTI")
    peer.close()
    peer, words = stub.asked()
    tap.ok(words == [b"PSYNC", ID, b"%d" % (off + 1)], "cut there, it asks for MULTI again", [words])
    block = multi + command(b"EXEC")
    peer.send(b"+CONTINUE\r\n" + block + command(b"REPLCONF", b"GETACK", b"*"))
    off += len(block)
    tap.ok(peer.ack_of(off) and get(server, "MGET", "n", "k") is not None, "GETACK is answered with what was before it")
    off += 37
    tap.ok(peer.ack_of(off), "and counts afterwards")
    tap.ok(get(server, "GET", "n") == b"1" and get(server, "GET", "k") == b"v", "the transaction ran once")
    with_client(server, "SET", "n", "5")
    tap.ok(get(server, "GET", "n") == b"1", "clients do not write")
    errors = b"".join((command(b"NOSUCH", b"x"), command(b"GET"), command(b"LPUSH", b"k", b"1"), command(b"CLIENT", b"NOSUCH"), command(b"MONITOR"),
                       command(b"SUBSCRIBE", b"c"), command(b"SYNC"), command(b"PSYNC", b"?", b"-1"), command(b"RESET"), command(b"DEBUG", b"NOSUCH"),
                       command(b"QUIT"), command(b"HELLO", b"3"), command(b"CLIENT", b"REPLY", b"OFF")))
    peer.send(errors + command(b"SET", b"after", b"errors"))
    off += len(errors) + 36
    tap.ok(peer.ack_of(off) and get(server, "GET", "after") == b"errors", "commands that fail keep the link, and count")
    client = server.client()
    unexpected = int(info(client, "unexpected_error_replies", "stats"))
    client.close()
    tap.ok(unexpected == 13 and log_has(server, "== CRITICAL == This replica is sending an error to its master"), "and are counted and told", [unexpected])
    silent = b"".join((command(b"BLPOP", b"none", b"0"), command(b"WAIT", b"1", b"0"), command(b"BLMOVE", b"a", b"b", b"LEFT", b"LEFT", b"0"),
                       command(b"XREAD", b"BLOCK", b"0", b"STREAMS", b"s", b"$"), command(b"SET", b"not", b"blocked")))
    peer.send(silent)
    off += len(silent)
    tap.ok(peer.ack_of(off) and get(server, "GET", "not") == b"blocked", "nothing of it blocks")
    with_client(server, "CONFIG", "SET", "proto-max-bulk-len", "1mb", "client-query-buffer-limit", "1mb")
    large = command(b"SET", b"large", b"x" * (3 << 20))
    peer.send(large)
    off += len(large)
    tap.ok(peer.ack_of(off) and get(server, "STRLEN", "large") == b"%d" % (3 << 20), "limits of clients are none of the primary's")
    half = command(b"SET", b"half", b"done")
    peer.send(half[:-3])
    tap.ok(peer.ack_of(off), "half a command does not count")
    peer.close()
    peer, words = stub.asked()
    tap.ok(words == [b"PSYNC", ID, b"%d" % (off + 1)], "and is thrown away at a cut", [words])
    peer.send(b"+CONTINUE\r\nSET inline 1\r\n")
    tap.ok(peer.is_closed() and get(server, "EXISTS", "inline") == b"0", "what is no stream of commands ends the link")
    peer.close()
    peer, words = stub.asked()
    tap.ok(words == [b"PSYNC", b"?", b"-1"], "and nobody knows any more where the data stand", [words])
    for said in (b"*1\r\n$-5\r\nx", b"*99999999999\r\n", b"\r\n", b"$5\r\nhello\r\n", b"\x00\x01\x02", b"*1\r\n+x\r\n"):
        peer.send(full(5) + payload("counted", rdb(NEW)))
        peer.ack()
        peer.send(said)
        tap.ok(peer.is_closed(), "in the stream: %r" % said)
        peer.close()
        peer, words = stub.asked()
    peer.close()


def check_again(tap, server, stub):
    """REPLICAOF in the stream, NO ONE in the middle of everything."""
    peer = synced(server, stub)
    peer.send(command(b"REPLICAOF", b"NO", b"ONE") + command(b"SET", b"not", b"this"))
    tap.ok(peer.is_closed() and link(server, "role") == "master" and get(server, "EXISTS", "not") == b"0", "REPLICAOF NO ONE in the stream ends it")
    for stage in range(4):
        follow(server, stub)
        peer = stub.accept() if stage < 2 else stub.asked()[0]
        if stage == 1:
            peer.words()
        if stage == 3:
            peer.send(full() + b"$1000\r\nREDIS")
        with_client(server, "REPLICAOF", "NO", "ONE")
        tap.ok(peer.is_closed(5) and server.alive(), "NO ONE at stage %d of the handshake" % stage)
    other = Stub()
    peer = synced(server, stub, offset=50)
    with_client(server, "REPLICAOF", "127.0.0.1", str(other.port))
    second, words = other.asked()
    tap.ok(peer.is_closed() and words == [b"PSYNC", ID, b"51"], "another primary is offered what the first one gave", [words])
    tap.ok(get(server, "REPLICAOF", "127.0.0.1", str(other.port)) == b"OK Already connected to specified master", "the same again is none")
    second.close()
    other.close()


def check_silence(tap, stub):
    """repl-timeout at each state; a newline keeps it waiting."""
    with Server(OURS, ["--repl-timeout", "1"], tcp=True) as server:
        for stage, said in (("PING", b""), ("PSYNC", b""), ("PSYNC", full()), ("PSYNC", full() + b"$100\r\nREDIS"), ("PSYNC", full() + payload("counted", rdb(NEW)))):
            follow(server, stub)
            peer = stub.accept() if stage == "PING" else stub.asked()[0]
            peer.send(said)
            begun, end = time.monotonic(), time.monotonic() + 1.5
            while said == full() and time.monotonic() < end:
                peer.send(b"\n")
                time.sleep(0.2)
            closed = peer.is_closed(8)
            lasted = time.monotonic() - begun
            tap.ok(closed and lasted > (2 if said == full() else 0.9), "silence after %s %r" % (stage, said[:30]), [closed, lasted])
            peer.close()
        tap.ok(get(server, "GET", "new") == b"1", "and what was loaded stays")


def check_loading(tap, stub):
    """A newline each second while it loads; old data with swapdb; the log begins anew; FACK."""
    many = rdb([(b"key:%d" % i, b"x") for i in range(400)])
    for how, load in (("disabled", "counted"), ("swapdb", "marked")):
        with Server(OURS, ["--key-load-delay", "5000", "--repl-diskless-load", how, "--appendonly", "yes", "--appendfsync", "always"], tcp=True) as server:
            peer = synced(server, stub, load, [(b"old", b"1")], 10)
            with_client(server, "CONFIG", "SET", "key-load-delay", "5000")
            peer.close()
            peer, _ = stub.asked()
            peer.send(full(20) + payload(load, many))
            tap.ok(peer.words(5) == [] and peer.words(5) == [], "%s: newlines while it loads" % how)
            reply = with_client(server, "GET", "old")
            want = b"1" if how == "swapdb" else b"LOADING Redis is loading the dataset in memory"
            tap.ok(reply.text() == want, "%s: GET meanwhile" % how, [reply.raw()])
            with_client(server, "CONFIG", "SET", "key-load-delay", "0")
            ack = peer.ack(20)
            tap.ok(ack[0] == 20 and get(server, "DBSIZE") == b"400", "%s: acknowledged when it is loaded" % how, [ack])
            peer.send(command(b"SET", b"n", b"1"))
            got = wait_until(lambda: peer.ack() == [20 + 27, b"FACK", 20 + 27], 20)
            tap.ok(got, "%s: FACK, when the log has it" % how)
            peer.close()
            client = server.client()
            client.call("REPLICAOF", "NO", "ONE")
            client.close()


need_server()
tap = Tap()
stub = Stub()
check_handshake(tap, stub)
with Server(OURS, ["--hz", "50"], tcp=True) as server:
    check_answers(tap, server, stub)
    check_payloads(tap, server, stub)
    check_stream(tap, server, stub)
    check_again(tap, server, stub)
    check_garbage(tap, server, stub)
    tap.ok(get(server, "PING") == b"PONG" and server.alive(), "and it serves on")
check_silence(tap, stub)
check_loading(tap, stub)
with Server(OURS, ["--hz", "500"], tcp=True) as server:
    check_cuts(tap, server, stub, "disabled", "counted", 0)
    check_cuts(tap, server, stub, "on-empty-db", "marked")
    check_cuts(tap, server, stub, "swapdb", "marked")
    with open(server.log, errors="replace") as file:
        left = [line for line in file if "ASSERT" in line or "crashed" in line]
    tap.ok(server.alive() and not left, "alive", left)
stub.close()
tap.done()

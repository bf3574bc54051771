#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A value on its way to a slow reader stays the value that was asked for, whoever writes to its key meanwhile."""
import socket
import time

from here import OURS, Server, Tap, need_server

SIZE = 16 << 20  # far more than the kernel takes at once


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path)
    return s


def call(s, *words):
    s.sendall(request(*words))
    return s.recv(100)


def receive(s, n):
    got = bytearray()
    while len(got) < n:
        piece = s.recv(min(1 << 20, n - len(got)))
        if not piece:
            break
        got += piece
    return bytes(got)


def whole_value_arrives(path, *write):
    reader, writer = connect(path), connect(path)
    call(writer, b"SET", b"big", b"a" * SIZE)
    reader.sendall(request(b"GET", b"big"))
    time.sleep(0.2)  # the first bytes are under way, the rest is not
    call(writer, *write)
    head = b"$%d\r\n" % SIZE
    got = receive(reader, len(head) + SIZE + 2)
    assert got.startswith(head) and got.count(b"a") == SIZE, "%d bytes, %d of the old value" % (len(got), got.count(b"a"))


def all_at_once(path, count, ends):
    """Everything is sent before anything is read, as simple clients do with a pipeline."""
    s = connect(path)
    call(s, b"SET", b"k", b"v" * 100)
    s.sendall(request(b"GET", b"k") * count)
    if ends:
        s.shutdown(socket.SHUT_WR)
    size = 108 * count
    got = receive(s, size)
    assert len(got) == size and got.count(b"$100\r\n") == count, "%d bytes of %d" % (len(got), size)
    return not ends or s.recv(100) == b""


def is_bounded(path):
    """What such a client sends is held up to the limit of all input."""
    s, other = connect(path), connect(path)
    call(other, b"CONFIG", b"SET", b"client-query-buffer-limit", b"2mb")
    call(other, b"SET", b"k", b"v" * 1000)
    try:
        for _ in range(100):
            s.sendall(request(b"GET", b"k") * 10000)
    except (BrokenPipeError, ConnectionResetError):
        return True
    finally:
        call(other, b"CONFIG", b"SET", b"client-query-buffer-limit", b"1gb")
        s.close()
    return False


need_server()
tap = Tap()
with Server(OURS) as server:
    for write in ((b"SET", b"big", b"b" * SIZE), (b"SETRANGE", b"big", b"%d" % (SIZE - 1000), b"b" * 1000),
                  (b"SETBIT", b"big", b"%d" % (8 * SIZE - 1), b"0"), (b"APPEND", b"big", b"b"), (b"DEL", b"big")):
        claim = "a slow GET is not changed by " + write[0].decode()
        try:
            whole_value_arrives(server.path, *write)
            tap.ok(True, claim)
        except (AssertionError, OSError) as why:
            tap.ok(False, claim, [str(why)])
    for ends in (False, True):
        claim = "who sends everything before it reads anything gets all of it" + (", though its input has ended" if ends else "")
        try:
            tap.ok(all_at_once(server.path, 300000, ends), claim)
        except (AssertionError, OSError) as why:
            tap.ok(False, claim, [str(why)])
    tap.ok(is_bounded(server.path), "but not more than client-query-buffer-limit")
    tap.ok(call(connect(server.path), b"PING") == b"+PONG\r\n", "and the server serves others")
tap.done()

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
        piece = s.recv(1 << 20)
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
tap.done()

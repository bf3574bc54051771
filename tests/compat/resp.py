# SPDX-License-Identifier: MIT
"""A RESP client that keeps every byte.

A client library would turn `$-1` and `*-1` into the same None; here the bytes are what is compared, so a reply is a Node
that can be written out again exactly as it came: its head line, the body of a bulk string, its children. Knows RESP2 and RESP3.
"""
import re
import select
import socket
import time


class Closed(Exception):
    """The server closed the connection (or reset it) where a reply was due."""


class Silent(Exception):
    """No reply within the time allowed."""


class Node:
    """One reply. head: its first line with CRLF; body: a bulk's bytes with CRLF; kids: elements of an aggregate."""

    __slots__ = ("head", "body", "kids")

    def __init__(self, head, body=b"", kids=()):
        self.head, self.body, self.kids = head, body, list(kids)

    @property
    def kind(self):
        return self.head[:1]

    def raw(self):
        return self.head + self.body + b"".join(k.raw() for k in self.kids)

    def text(self):
        """The payload of a scalar."""
        return self.body[:-2] if self.body else self.head[1:-2]

    def is_error(self):
        return self.kind in b"-!"


AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
BULKS = b"$=!"


class Client:
    """A blocking connection. address: a path (Unix socket) or (host, port)."""

    def __init__(self, address, timeout=5.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.timeout = timeout
        self.sock.connect(address)
        self.buf = b""
        self.at = 0

    def close(self):
        self.sock.close()

    def send(self, data):
        """Sends everything; a peer that closes meanwhile is seen by the next read."""
        try:
            self.sock.setblocking(True)
            self.sock.settimeout(self.timeout)
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except socket.timeout:
            raise Silent("the server does not read")

    def fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            raise Silent("no reply")
        try:
            more = self.sock.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            raise Closed()
        self.buf = self.buf[self.at:] + more
        self.at = 0

    def line(self, deadline):
        while True:
            end = self.buf.find(b"\r\n", self.at)
            if end >= 0:
                got = self.buf[self.at:end + 2]
                self.at = end + 2
                return got
            self.fill(deadline)

    def exactly(self, size, deadline):
        if len(self.buf) - self.at < size:
            self.gather(size, deadline)
        got = self.buf[self.at:self.at + size]
        self.at += size
        return got

    def gather(self, size, deadline):
        """Until so many bytes are there. Pieces are put together once: a snapshot has thousands."""
        parts, have = [], 0
        try:
            while have + len(self.buf) - self.at < size:
                parts.append(self.buf[self.at:])
                have += len(parts[-1])
                self.buf, self.at = b"", 0
                self.fill(deadline)
        finally:
            self.buf, self.at = b"".join(parts) + self.buf[self.at:], 0

    def node(self, deadline):
        head = self.line(deadline)
        kind = head[:1]
        if kind in AGGREGATES:
            count = int(head[1:-2])
            if count < 0:
                return Node(head)
            return Node(head, kids=[self.node(deadline) for _ in range(count * AGGREGATES[kind])])
        if kind in BULKS:
            size = int(head[1:-2])
            return Node(head, self.exactly(size + 2, deadline)) if size >= 0 else Node(head)
        if kind not in b"+-:_,#(":
            raise ValueError("not RESP: %r" % head)
        return Node(head)

    def read(self, timeout=None):
        """The next reply."""
        return self.node(time.monotonic() + (self.timeout if timeout is None else timeout))

    def readable(self, timeout):
        return self.at < len(self.buf) or bool(select.select([self.sock], [], [], timeout)[0])

    def read_to_end(self):
        """Everything up to the server's close; Silent when it does not close."""
        try:
            while True:
                self.fill(time.monotonic() + self.timeout)
        except Closed:
            rest, self.buf, self.at = self.buf[self.at:], b"", 0
            return rest

    def call(self, *args):
        self.send(encode(args))
        return self.read()


def encode(args):
    """A command as an array of bulk strings."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        if not isinstance(arg, bytes):
            arg = str(arg).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


ESCAPES = {ord("n"): b"\n", ord("r"): b"\r", ord("t"): b"\t", ord("b"): b"\b", ord("a"): b"\a"}
REPEAT = re.compile(rb"%\{(.+?)\*(\d+)\}", re.S)


def unquote(text, at):
    """The quoted string that opens at text[at], and the place after it. Double quotes know \\n \\xHH and so on."""
    quote, out, at = text[at:at + 1], bytearray(), at + 1
    while at < len(text) and text[at:at + 1] != quote:
        byte = text[at]
        if byte == 0x5c and quote == b'"':
            if text[at + 1:at + 2] == b"x":
                out.append(int(text[at + 2:at + 4], 16))
                at += 4
                continue
            out += ESCAPES.get(text[at + 1], text[at + 1:at + 2])
            at += 2
            continue
        out.append(byte)
        at += 1
    if at >= len(text):
        raise ValueError("unbalanced quotes in %r" % text)
    return bytes(out), at + 1


def split(text):
    """A line into arguments as redis-cli reads them; %{x*100} stands for x a hundred times."""
    args, at = [], 0
    while True:
        while at < len(text) and text[at:at + 1].isspace():
            at += 1
        if at >= len(text):
            return args
        if text[at:at + 1] in (b'"', b"'"):
            arg, at = unquote(text, at)
        else:
            start = at
            while at < len(text) and not text[at:at + 1].isspace():
                at += 1
            arg = text[start:at]
        args.append(REPEAT.sub(lambda m: m.group(1) * int(m.group(2)), arg))

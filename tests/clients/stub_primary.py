# SPDX-License-Identifier: MIT
"""A primary that says whatever a test wants it to: it listens, and hands each connection of a replica out as a Peer, whose bytes are
read and written by the test."""
import select
import socket
import time

from here import free_port

ID = b"0123456789abcdef0123456789abcdef01234567"
OTHER_ID = b"fedcba9876543210fedcba9876543210fedcba98"
MARK = b"MarkMarkMark0123456789abcdefghijklmnopqr"


class Gone(Exception):
    """The replica closed the connection."""


class Late(Exception):
    """The replica did not do it in time."""


def rdb(pairs, aux=()):
    """A file with strings of less than 64 bytes, without a checksum."""
    out = [b"REDIS0011"]
    for key, value in aux:
        out += [b"\xfa", bytes([len(key)]), key, bytes([len(value)]), value]
    if pairs:
        out.append(b"\xfe\x00")
    for key, value in pairs:
        out += [b"\x00", bytes([len(key)]), key, bytes([len(value)]), value]
    return b"".join(out) + b"\xff" + bytes(8)


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Peer:
    def __init__(self, sock):
        self.sock, self.buf = sock, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def fill(self, end):
        left = end - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            raise Late()
        try:
            more = self.sock.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            raise Gone()
        self.buf += more

    def line(self, end):
        while b"\r\n" not in self.buf:
            self.fill(end)
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def words(self, seconds=10.0):
        """The next command, as a list of its words; a newline alone is []."""
        end = time.monotonic() + seconds
        while not self.buf:
            self.fill(end)
        if self.buf[:1] == b"\n":
            self.buf = self.buf[1:]
            return []
        words = []
        for _ in range(int(self.line(end)[1:])):
            size = int(self.line(end)[1:])
            while len(self.buf) < size + 2:
                self.fill(end)
            words.append(self.buf[:size])
            self.buf = self.buf[size + 2:]
        return words

    def ack(self, seconds=10.0):
        """The next REPLCONF ACK, without "REPLCONF ACK"; newlines before it are passed over."""
        words = self.words(seconds)
        while not words:
            words = self.words(seconds)
        assert words[:2] == [b"REPLCONF", b"ACK"], words
        return [w if w == b"FACK" else int(w) for w in words[2:]]

    def ack_of(self, offset, seconds=10.0):
        """Acknowledges at last what was sent."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.ack(seconds)[0] == offset:
                return True
        return False

    def is_closed(self, seconds=10.0):
        """The replica closes it, whatever it says before."""
        end = time.monotonic() + seconds
        try:
            while True:
                self.fill(end)
        except Gone:
            return True
        except Late:
            return False

    def close(self):
        self.sock.close()


class Stub:
    def __init__(self):
        self.port = free_port()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("", self.port))  # as 127.0.0.2, too
        self.sock.listen(64)

    def accept(self, seconds=10.0):
        self.sock.settimeout(seconds)
        try:
            return Peer(self.sock.accept()[0])
        except socket.timeout:
            raise Late() from None

    def drain(self):
        """Connections that nobody will look at any more."""
        self.sock.settimeout(0)
        try:
            while True:
                self.sock.accept()[0].close()
        except BlockingIOError:
            pass

    def asked(self, seconds=10.0):
        """A replica's connection after its handshake, and what it asked for."""
        peer = self.accept(seconds)
        while True:
            try:
                words = peer.words(seconds)
            except Gone:  # an attempt that was called off
                peer = self.accept(seconds)
                continue
            if words[0] in (b"PSYNC", b"SYNC"):
                return peer, words
            peer.send(b"+PONG\r\n" if words[0] == b"PING" else b"+OK\r\n")

    def close(self):
        self.sock.close()

# SPDX-License-Identifier: MIT
"""Peers that are no server: one that speaks as a replica does, and one that speaks as a primary does, to the byte, or as a test likes."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from resp import Client, Closed, Node, Silent, encode  # noqa: E402,F401

from proxy import Commands  # noqa: E402

PATIENCE = 30
HANDSHAKE = [["PING"], ["REPLCONF", "listening-port", "1"], ["REPLCONF", "capa", "eof", "capa", "psync2"]]


class FakeReplica(Client):
    """A connection that follows a primary."""

    def __init__(self, address, handshake=None):
        Client.__init__(self, address, PATIENCE)
        self.unheard = False  # an acknowledgement that came before the primary knew that all was sent is none: it is said again
        self.answers = [self.call(*words) for words in (HANDSHAKE if handshake is None else handshake)]
        self.id = self.offset = None
        self.payload = b""

    def until(self):
        return time.monotonic() + PATIENCE

    def fill(self, deadline):
        while self.unheard and not self.readable(0.02):
            if time.monotonic() > deadline:
                break
            self.ack(self.offset)
        Client.fill(self, deadline)

    def line_of_primary(self):
        """The next line that is one: newlines say only that it is there."""
        while True:
            line = b""
            while not line.endswith(b"\n"):
                line += self.exactly(1, self.until())
            if line.strip(b"\r\n"):
                return line

    def psync(self, replid="?", offset=-1, *more):
        """The line that answers."""
        self.send(encode(["PSYNC", replid, offset, *more]))
        line = self.line_of_primary()
        words = line.split()
        if words[0] == b"+FULLRESYNC":
            self.id, self.offset = words[1], int(words[2])
        elif words[0] == b"+CONTINUE":
            self.id, self.offset = (words + [self.id])[1], int(offset) - 1
        return line

    def read_payload(self, ack=True):
        """The form it came in: "length" or "mark"."""
        line = self.line_of_primary()
        if line.startswith(b"$EOF:"):
            mark = line[5:].strip()
            while mark not in self.buf[self.at:]:
                self.fill(self.until())
            self.payload, _, rest = self.buf[self.at:].partition(mark)
            self.buf, self.at = rest, 0
            form = "mark"
            self.unheard = ack and self.offset is not None
        else:
            self.payload = self.exactly(int(line[1:]), self.until())
            form = "length"
        if ack and self.offset is not None:
            self.ack(self.offset)
        return form

    def full_sync(self):
        line = self.psync()
        assert line.startswith(b"+FULLRESYNC "), line
        self.read_payload()
        return self

    def ack(self, offset):
        self.send(encode(["REPLCONF", "ACK", offset]))

    def record(self):
        """The next command of the stream, as it came; the offset moves."""
        raw = self.node(self.until()).raw()
        self.unheard = False
        self.offset += len(raw)
        return raw

    def records_until(self, last):
        """All records up to one that equals `last`, without it."""
        out = []
        while True:
            raw = self.record()
            if raw == last:
                return out
            out.append(raw)


class FakePrimary:
    """Listens; `play(connection)` is what it does with each replica, in a thread of its own."""

    def __init__(self, play):
        self.play = play
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = []  # connections, oldest first
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            connection = FromReplica(sock)
            self.seen.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.play(connection)
        except (OSError, Closed, Silent):
            pass
        connection.over = True

    def close(self):
        self.listener.close()
        for connection in self.seen:
            connection.close()


class FromReplica:
    """The primary's end of a link."""

    def __init__(self, sock):
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.parsed, self.at = sock, Commands(), 0
        self.asked = []  # words of each request
        self.over = False

    def request(self):
        """The next request's words."""
        while self.at >= len(self.parsed.got):
            data = self.sock.recv(1 << 16)
            if not data:
                raise Closed()
            self.parsed.feed(data)
        words = self.parsed.got[self.at][1]
        self.at += 1
        self.asked.append(words)
        return words

    def send(self, data):
        self.sock.sendall(data)

    def greet(self):
        """Answers the handshake; (id, offset) of the PSYNC that ends it."""
        while True:
            words = self.request()
            name = words[0].upper()
            if name == b"PSYNC":
                return words[1], int(words[2])
            self.send(b"+PONG\r\n" if name == b"PING" else b"+OK\r\n")

    def acks_until(self, offset):
        """Waits for an acknowledgement of so much."""
        while True:
            words = self.request()
            if words[0].upper() == b"REPLCONF" and words[1].upper() == b"ACK" and int(words[2]) >= offset:
                return int(words[2])

    def gone(self):
        """Waits for the replica to close the link."""
        try:
            while True:
                self.request()
        except (Closed, ConnectionResetError):
            return True
        except (Silent, socket.timeout):
            return False

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

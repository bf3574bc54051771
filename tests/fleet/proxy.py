# SPDX-License-Identifier: MIT
"""Stands between a replica and its primary, knows where in the replication protocol each byte is, and cuts, holds or records there.

Of what goes down (primary to replica) a byte belongs to one of

    answers    the lines that answer the handshake, up to the one that answers PSYNC or SYNC
    waiting    newlines while the snapshot is made, and the line that says how the snapshot comes ($<n> or $EOF:<mark>)
    payload    the snapshot, and the mark that ends it
    stream     the commands after it

and of what goes up to `asks` (up to PSYNC's end) or `acks`. Names and numbers are facts of the protocol; who parses here is nobody's server.
"""
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))

MARK_BYTES = 40
DOWN = ("answers", "waiting", "payload", "stream")
UP = ("asks", "acks")


class Commands:
    """Cuts requests out of bytes as they come: arrays of bulk strings, and inline words. Newlines between them are nothing."""

    def __init__(self):
        self.rest = b""
        self.taken = 0  # bytes up to the end of the last whole one
        self.got = []   # (end, words)

    def feed(self, data):
        self.rest += data
        while True:
            found = self.one()
            if not found:
                return
            size, words = found
            self.rest = self.rest[size:]
            self.taken += size
            if words:
                self.got.append((self.taken, words))

    def one(self):
        """(bytes, words) of the first request, or None: it is not whole."""
        if not self.rest:
            return None
        if self.rest[:1] in b"\r\n":
            return 1, []
        end = self.rest.find(b"\n")
        if end < 0:
            return None
        if self.rest[:1] != b"*":
            return end + 1, self.rest[:end].split()
        at, words = end + 1, []
        for _ in range(int(self.rest[1:end])):
            end = self.rest.find(b"\n", at)
            if end < 0:
                return None
            size = int(self.rest[at + 1:end])
            at = end + 1
            if len(self.rest) < at + size + 2:
                return None
            words.append(self.rest[at:at + size])
            at += size + 2
        return at, words


class Down:
    """Where the primary's bytes are in the protocol."""

    def __init__(self, link):
        self.link = link
        self.phase = "answers"
        self.counts = dict.fromkeys(DOWN, 0)
        self.line = b""
        self.left = 0      # of a payload that comes by length
        self.mark = None   # of one that comes by its end
        self.tail = b""    # the payload's last bytes, among which the mark may begin
        self.full = None   # (id, offset) of +FULLRESYNC
        self.partial = None  # the id of +CONTINUE; b"": none was said
        self.lines = []
        self.payload = bytearray()
        self.stream = bytearray()
        self.payload_whole = False

    def split(self, data):
        """data as pieces (phase, bytes), each of which is of one phase."""
        at = 0
        while at < len(data):
            phase = self.phase
            size = self.step(data[at:])
            yield phase, data[at:at + size]
            at += size

    def step(self, data):
        """Takes the first piece of data; its size."""
        if self.phase in ("answers", "waiting"):
            end = data.find(b"\n")
            size = len(data) if end < 0 else end + 1
            self.line += data[:size]
            if end >= 0:
                line, self.line = self.line, b""
                self.take_line(line.strip(b"\r\n"))
            return size
        if self.phase == "payload":
            return self.take_payload(data)
        self.stream += data
        return len(data)

    def take_line(self, line):
        if not line:
            return
        self.lines.append(line)
        if line.startswith(b"+FULLRESYNC "):
            words = line.split()
            self.full = (words[1].lower(), int(words[2]))
            self.phase = "waiting"
        elif line.startswith(b"+CONTINUE"):
            self.partial = line[10:].lower()
            self.phase = "stream"
        elif line.startswith(b"$EOF:"):
            self.mark = line[5:]
            self.phase = "payload"
        elif line.startswith(b"$"):
            self.left = int(line[1:])
            self.phase = "payload" if self.left else "stream"
            self.payload_whole = not self.left

    def take_payload(self, data):
        if self.mark is None:
            size = min(self.left, len(data))
            self.left -= size
            self.payload += data[:size]
            self.payload_whole = self.left == 0
        else:
            seen = self.tail + data
            found = seen.find(self.mark)
            size = len(data) if found < 0 else found + len(self.mark) - len(self.tail)
            self.tail = (self.tail + data)[-(MARK_BYTES - 1):]
            self.payload += data[:size]
            self.payload_whole = found >= 0
        if self.payload_whole:
            self.phase = "stream"
        return size

    def first_offset(self):
        """The offset that the stream's first byte has; None: there is no stream yet."""
        if self.full:
            return self.full[1] + 1
        if self.partial is not None and self.link.up.psync:
            return self.link.up.psync[1]
        return None

    def end_offset(self):
        """The offset of the last byte that has passed."""
        first = self.first_offset()
        return None if first is None else first - 1 + len(self.stream)

    def commands(self):
        """(offset of its end, words) of each whole command of the stream."""
        parsed = Commands()
        parsed.feed(bytes(self.stream))
        return [(self.first_offset() - 1 + end, words) for end, words in parsed.got]


class Up:
    """What the replica says."""

    def __init__(self):
        self.phase = "asks"
        self.counts = dict.fromkeys(UP, 0)
        self.parsed = Commands()
        self.psync = None  # (id, offset)
        self.words = []    # of each request
        self.acks = []
        self.raw = bytearray()

    def split(self, data):
        """data as pieces; one that ends PSYNC ends there."""
        at = 0
        while at < len(data):
            phase, size = self.phase, len(data) - at
            if phase == "asks":
                size = self.up_to_psync(data[at:])
            else:
                self.parsed.feed(data[at:])
            self.note()
            self.raw += data[at:at + size]
            yield phase, data[at:at + size]
            at += size

    def up_to_psync(self, data):
        for i in range(len(data)):
            self.parsed.feed(data[i:i + 1])
            if self.parsed.got and self.parsed.got[-1][1][0].upper() in (b"PSYNC", b"SYNC"):
                return i + 1
        return len(data)

    def note(self):
        got, self.parsed.got = self.parsed.got, []
        for _, words in got:
            self.words.append(words)
            name = words[0].upper()
            if name == b"PSYNC" and len(words) >= 3:
                self.psync = (words[1].lower(), int(words[2]))
                self.phase = "acks"
            elif name == b"SYNC":
                self.phase = "acks"
            elif name == b"REPLCONF" and words[1].upper() == b"ACK":
                self.acks.append(int(words[2]))


class Cut:
    """After `at` bytes of a phase the link ends. how: "close" (both sockets), "reset" (both by RST), "half" (what goes this way
    ends, the other way stays for what is to come), "hold" (nothing passes any more, and nothing is closed)."""

    def __init__(self, phase, at, how="close"):
        self.phase, self.at, self.how = phase, at, how

    def __repr__(self):
        return "Cut(%s, %d, %s)" % (self.phase, self.at, self.how)


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy, near, cut):
        self.proxy, self.near, self.cut = proxy, near, cut
        self.up, self.down = Up(), Down(self)
        self.far = None
        self.over = threading.Event()
        self.was_cut = False
        self.held = set()  # sides of which nothing passes any more

    def run(self):
        try:
            self.far = socket.create_connection(self.proxy.target, 10)
            self.far.settimeout(None)
        except OSError:
            self.end()
            return
        try:
            for sock in (self.near, self.far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # it was dropped meanwhile
            self.end()
            return
        threading.Thread(target=self.copy, args=(self.near, self.far, self.up), daemon=True).start()
        self.copy(self.far, self.near, self.down)

    def copy(self, source, target, side):
        try:
            while not self.over.is_set():
                self.proxy.flow[0 if side is self.down else 1].wait()
                data = source.recv(self.proxy.piece)
                if not data:
                    break
                if not self.pass_on(side, data, target):
                    return
        except OSError:
            pass
        self.end()

    def pass_on(self, side, data, target):
        """False: it was cut on the way."""
        for phase, piece in side.split(data):
            if side in self.held:
                return False
            cut, before = self.cut, side.counts[phase]
            if cut and cut.phase == phase and before + len(piece) >= cut.at:
                piece = piece[:cut.at - before]
                target.sendall(piece)
                side.counts[phase] += len(piece)
                if side is self.down and phase == "stream":
                    del side.stream[side.counts["stream"]:]  # what has not passed
                self.break_off(side, target)
                return False
            if self.proxy.spoil:
                piece = self.proxy.spoil(self, phase, piece)
            if self.proxy.before and side is self.up and phase == "asks" and side.phase == "acks":
                self.proxy.before(self)
            target.sendall(piece)
            side.counts[phase] += len(piece)
        return True

    def break_off(self, side, target):
        self.was_cut = True
        self.proxy.closed = self.proxy.closed or self.proxy.one_link
        how = self.cut.how
        if how == "half":
            target.shutdown(socket.SHUT_WR)
            self.held = {side}
        elif how == "hold":
            self.held = {self.up, self.down}
        else:
            self.end(how == "reset")
        self.proxy.cut_done.set()

    def end(self, reset=False):
        """A cut that was not reached is the next link's."""
        if self.cut and not self.was_cut and not self.over.is_set() and not self.proxy.closed:
            self.proxy.cuts.insert(0, self.cut)
        self.over.set()
        for sock in (self.near, self.far):
            if sock:
                try:
                    if reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)  # and the other thread leaves recv()
                except OSError:
                    pass
                sock.close()


class Proxy:
    """target: (host, port) of the primary. Cuts are taken from `cuts`, one a link, oldest first. before(link) is called with the PSYNC read
    and not passed on yet. `ports` listeners, which are alike: a replica told of another one connects at once."""

    def __init__(self, target, ports=1):
        self.target = target
        self.cuts, self.links = [], []
        self.before = None
        self.spoil = None     # spoil(link, phase, bytes): other bytes, so that a test can be seen to fail
        self.piece = 1 << 16  # read at once
        self.closed = False   # who connects is shut out
        self.one_link = False # so it is when a link was cut
        self.cut_done = threading.Event()
        self.flow = [threading.Event(), threading.Event()]  # down, up: whether it is read at all
        for event in self.flow:
            event.set()
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(ports)]
        self.ports = [sock.getsockname()[1] for sock in self.listeners]
        self.port = self.ports[0]
        for sock in self.listeners:
            threading.Thread(target=self.accept, args=(sock,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                near = listener.accept()[0]
            except OSError:
                return
            if self.closed:
                near.close()
                continue
            link = Link(self, near, self.cuts.pop(0) if self.cuts else None)
            self.links.append(link)
            threading.Thread(target=link.run, daemon=True).start()

    def live(self):
        return [link for link in self.links if not link.over.is_set()]

    def drop(self, reset=False):
        """Every link there is."""
        for link in self.live():
            link.end(reset)

    def stop_reading(self, down=True, up=True):
        for event, which in zip(self.flow, (down, up)):
            if which:
                event.clear()

    def read_on(self):
        for event in self.flow:
            event.set()

    def close(self):
        self.closed = True
        self.read_on()
        for listener in self.listeners:
            listener.close()
        self.drop()

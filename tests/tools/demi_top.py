#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tools/demi-top as a full screen, over a pseudo-terminal: its pages and keys, terminals of any size, a server that goes and returns, servers that answer
nonsense, passwords and TLS; the terminal is left as it was. TAP on stdout."""
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "compat"))
from programs import need  # noqa: E402
from servers import OURS, ROOT, Server, die_with_parent, free_port  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

if not os.access(OURS, os.X_OK):
    skip_all("no " + OURS)
TOP = os.path.join(ROOT, "tools", "demi-top")
PATIENCE = 20
CONTROL = re.compile(rb"\x1b(?:\[([0-9;?]*)([@-~])|[()][0-9A-B]|[=>78DEMHc])|[\x00-\x1f]|[^\x00-\x1f\x1b]+|\x1b")


class Quiet(Tap):
    """Notes are for what failed."""

    def ok(self, passed, claim, notes=()):
        return super().ok(passed, claim, () if passed else notes)


tap = Quiet()


class Terminal:
    """What a vt100 would show. strange: what it was sent and does not know."""

    def __init__(self, rows, columns):
        self.strange, self.rest = [], b""
        self.size(rows, columns)

    def size(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.y = self.x = 0
        self.region = (0, rows - 1)

    def down(self):
        """A line further; at the end of the region it moves up."""
        top, last = self.region
        if self.y == last:
            self.cells[top:last + 1] = self.cells[top + 1:last + 1] + [[" "] * self.columns]
        else:
            self.y = min(self.y + 1, self.rows - 1)

    def up(self):
        top, last = self.region
        if self.y == top:
            self.cells[top:last + 1] = [[" "] * self.columns] + self.cells[top:last]
        else:
            self.y = max(self.y - 1, 0)

    def feed(self, data):
        data = self.rest + data
        cut = data.rfind(b"\x1b", max(0, len(data) - 12))
        whole = cut < 0 or CONTROL.match(data, cut) and len(CONTROL.match(data, cut).group()) > 1
        self.rest = b"" if whole else data[cut:]
        for found in CONTROL.finditer(data if whole else data[:cut]):
            self.take(found)

    def take(self, found):
        text = found.group()
        if found.group(2):
            self.control(found.group(1), found.group(2).decode())
        elif text == b"\r":
            self.x = 0
        elif text == b"\n":
            self.down()
        elif text == b"\b":
            self.x = max(self.x - 1, 0)
        elif text == b"\t":
            self.x = min((self.x // 8 + 1) * 8, self.columns - 1)
        elif text == b"\x1bM":
            self.up()
        elif text[0] >= 32:
            for c in text.decode("utf-8", "replace"):
                if self.x >= self.columns:
                    self.x = 0
                    self.down()
                self.cells[self.y][self.x] = c
                self.x += 1
        elif text[:1] == b"\x1b" and len(text) < 2:
            self.strange.append(text)

    def control(self, numbers, letter):
        n = [int(v) for v in re.findall(rb"\d+", numbers)]
        first = n[0] if n else 1
        if letter == "H":
            self.y, self.x = min((n + [1, 1])[0] - 1, self.rows - 1), min((n + [1, 1])[1] - 1 if len(n) > 1 else 0, self.columns - 1)
        elif letter in "ABCD":
            self.y = min(max(self.y + {"A": -first, "B": first}.get(letter, 0), 0), self.rows - 1)
            self.x = min(max(self.x + {"C": first, "D": -first}.get(letter, 0), 0), self.columns - 1)
        elif letter == "K":
            begin, end = (0, self.x + 1) if n == [1] else (self.x, self.columns)
            self.cells[self.y][begin:end] = [" "] * (min(end, self.columns) - begin)
        elif letter == "J":
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
            for row in self.cells[self.y + 1:]:
                row[:] = [" "] * self.columns
        elif letter == "r":
            self.region = (max(n[0] - 1, 0), min(n[1] - 1, self.rows - 1)) if len(n) == 2 else (0, self.rows - 1)
            self.y = self.x = 0
        elif letter not in "mhl":
            self.strange.append(letter)

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)


class Run:
    """A demi-top in a terminal."""

    def __init__(self, words, rows=30, columns=100, environment=None):
        self.terminal, self.raw, self.status = Terminal(rows, columns), b"", None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "vt100", "LINES": "", "COLUMNS": ""}, **(environment or {}))
            for name in ("LINES", "COLUMNS"):
                os.environ.pop(name)
            die_with_parent()
            time.sleep(0.1) # the size comes first
            os.execv(TOP, [TOP] + words)
        self.resize(rows, columns)

    def resize(self, rows, columns):
        self.terminal.size(rows, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.status is None:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError: # it has ended
                    data = b""
                if not data:
                    self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                    return
                self.raw += data
                self.terminal.feed(data)

    def until(self, *words, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.status is None:
            if all(w in self.terminal.text() for w in words):
                return True
            self.read(0.05)
        return all(w in self.terminal.text() for w in words)

    def keys(self, text):
        os.write(self.fd, text)

    def alive(self):
        return self.status is None

    def end(self, how=b"q"):
        """Its exit status."""
        if self.status is None:
            os.write(self.fd, how) if isinstance(how, bytes) else os.kill(self.pid, how)
        end = time.monotonic() + PATIENCE
        while self.status is None and time.monotonic() < end:
            self.read(0.2)
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        return self.status


def pages():
    with Server(OURS) as server:
        client = server.client()
        client.call("LPUSH", "a", "b")
        top = Run(["-s", server.path, "-d", "0.2"], columns=130)
        tap.ok(top.until("The loop", "working", "Clients", "Replication", "Drops", "q quit"), "the overview", [top.terminal.text()])
        top.keys(b"2")
        tap.ok(top.until("libOS posix", "rx_calls", "work"), "2: the counters", [top.terminal.text()])
        top.keys(b"0")
        tap.ok(top.until("push_busy"), "0: those that are 0, too", [top.terminal.text()])
        top.keys(b"0r3") # since now
        time.sleep(0.5)
        for _ in range(50):
            client.call("LRANGE", "a", "0", "-1")
        tap.ok(top.until("<=", "||", "p99.9", "lrange", "since r"), "3: the latency of what was called since r", [top.terminal.text()])
        top.keys(b"\t")
        tap.ok(top.until("calls/s", "us each", "lrange"), "Tab: commands", [top.terminal.text()])
        top.keys(b"?")
        tap.ok(top.until("hold the picture"), "?: help")
        top.keys(b"?1 ")
        tap.ok(top.until("HELD", "The loop"), "space holds the picture")
        top.keys(b" -")
        tap.ok(top.until("every 0.5 s"), "- asks less often", [top.terminal.text()])
        tap.ok(not top.terminal.strange and top.end() == 0, "q ends it", [top.terminal.strange, top.status])
        top = Run(["-s", server.path])
        tap.ok(top.until("The loop") and top.end(signal.SIGTERM) == 0, "so does SIGTERM", [top.status, top.raw[-500:]])
        top = Run(["-s", server.path, "-n", "2", "-d", "0.1"])
        top.read(PATIENCE)
        tap.ok(top.status == 0 and "Traceback" not in top.raw.decode("utf-8", "replace"), "-n ends it after so many", [top.status])
        os.close(top.fd)


def sizes():
    with Server(OURS) as server:
        top = Run(["-s", server.path, "-d", "0.1"])
        top.until("The loop")
        for rows, columns in ((10, 40), (3, 10), (2, 5), (1, 1), (1, 200), (200, 2), (60, 200)):
            top.resize(rows, columns)
            for key in (b"1", b"2", b"\x1b[B", b"3", b"4", b"?", b"?"): # (an escape alone would be the end)
                if key != b"\x1b[B":
                    top.keys(key)
                top.read(0.05)
        top.keys(b"1")
        tap.ok(top.until("The loop", "Drops") and top.alive() and not top.terminal.strange, "terminals of 1 to 200 rows and columns", [top.terminal.text(), top.raw[-2000:]])
        top.resize(8, 60)
        tap.ok(top.until("The loop") and "Replication" not in top.terminal.text(), "a small one shows the beginning", [top.terminal.text()])
        top.keys(b"\x1bOB" * 14)
        moved = top.until("Replication")
        tap.ok(moved and top.alive(), "arrows scroll", [top.terminal.text()])
        tap.ok(top.end() == 0 and b"Traceback" not in top.raw, "and it ends as it should", [top.raw[-1000:]])


def gone_and_back():
    with Server(OURS) as server:
        top = Run(["-s", server.path, "-d", "0.1"])
        top.until("The loop")
        server.process.kill()
        server.process.wait()
        tap.ok(top.until("no answer", "asking again", "The loop"), "a server that goes away is told, the last picture stays", [top.terminal.text()])
        os.unlink(server.path)
        server.start()
        end = time.monotonic() + PATIENCE
        while "no answer" in top.terminal.text() and time.monotonic() < end:
            top.read(0.1)
        tap.ok("no answer" not in top.terminal.text() and "The loop" in top.terminal.text(), "and it is there again when it is back", [top.terminal.text()])
        os.kill(server.pid, signal.SIGSTOP)
        top.keys(b"2")
        tap.ok(top.until("libOS posix"), "keys work while the server hangs", [top.terminal.text()])
        os.kill(server.pid, signal.SIGCONT)
        tap.ok(top.end(signal.SIGINT) == 0 and b"Traceback" not in top.raw, "an interrupt ends it", [top.raw[-1000:]])


class Stub(threading.Thread):
    """A server that answers each thing it is sent with the next of its answers; the last one again and again."""

    def __init__(self, path, answers):
        super().__init__(daemon=True)
        self.answers, self.listener = answers, socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(5)

    def run(self):
        given = 0
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            with peer:
                try:
                    while peer.recv(65536):
                        peer.sendall(self.answers[min(given, len(self.answers) - 1)])
                        given += 1
                except OSError:
                    pass


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


def nonsense(folder):
    evil = bulk(b"demi_libos:po\x1b[31msix\r\ndemi_drop_\x07\x1b]0;owned\x07:5\r\ndemi_libos_turns:" + b"9" * 300 + b"\r\nuptime_in_seconds:\xff\xfe\r\nused_memory:nan\r\nmaxmemory:-1\r\nslave0:x=,,=,\r\n"
                b"cmdstat_\x1b[2J:calls=1,usec=1\r\ndb0:keys=\r\n")
    histogram = b"*4\r\n$1\r\n\x1b\r\n*4\r\n+calls\r\n:1\r\n+histogram_usec\r\n*4\r\n:0\r\n:1\r\n:-5\r\n:9\r\n$1\r\na\r\n:1\r\n"
    good = [evil, evil, histogram]
    junk = {"bytes": b"\xff\xfe\x00\x01\r\n" * 100, "a length of everything": b"$999999999999\r\n", "a length that is none": b"$x1\r\n", "arrays in arrays": b"*1\r\n" * 1000,
            "many items": b"*99999999\r\n", "a line without end": b"+" + b"x" * 200000, "an error": b"-ERR \x1b[2J no\r\n", "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n"}
    wrong = []
    for i, (name, answer) in enumerate(junk.items()):
        path = os.path.join(folder, "j%d" % i)
        Stub(path, [answer]).start()
        done = subprocess.run([TOP, "-s", path, "--once"], capture_output=True, timeout=PATIENCE, preexec_fn=die_with_parent)
        if done.returncode != 1 or not done.stderr.startswith(b"demi-top: ") or done.stderr.count(b"\n") != 1 or b"\x1b" in done.stderr:
            wrong.append("%s, as text: %d %r" % (name, done.returncode, done.stderr[-300:]))
        if i % 3:
            continue
        path = os.path.join(folder, "k%d" % i)
        Stub(path, good + [answer]).start()
        top = Run(["-s", path, "-d", "0.1"])
        if not top.until("no answer") or top.terminal.strange or b"]0;owned" in top.raw and b"\x1b]0;owned" in top.raw or b"\x1b[31msix" in top.raw:
            wrong.append("%s, on the screen: %s %s" % (name, top.terminal.text(), top.raw[-500:]))
        for key in b"1234":
            top.keys(bytes([key]))
            top.read(0.05)
        if top.end() != 0 or b"Traceback" in top.raw:
            wrong.append("%s: ends with %s: %r" % (name, top.status, top.raw[-1500:]))
    tap.ok(not wrong, "answers that are nonsense are told, and steer no terminal", wrong)


def text_of(words, environment=None):
    done = subprocess.run([TOP] + words, capture_output=True, text=True, timeout=PATIENCE, preexec_fn=die_with_parent, env=dict(os.environ, **(environment or {})), check=False)
    return done.returncode, done.stdout, done.stderr


def ways(folder):
    port = free_port()
    options = ["--requirepass", "geheim"]
    tls = os.access(os.path.join(os.path.dirname(OURS), "libdemikernel-tls.so"), os.R_OK)
    key, cert, secure = os.path.join(folder, "k.pem"), os.path.join(folder, "c.pem"), 0
    if tls:
        subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], capture_output=True, check=True)
        secure = next(p for p in range(port + 1, port + 900) if _free(p))
        options += ["--tls-port", str(secure), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"]
    with Server(OURS, options, tcp=True) as server:
        p = str(server.port)
        tap.ok(text_of(["-p", p, "--once"])[0] == 1 and text_of(["-p", p, "-a", "wrong", "--once"])[0] == 1, "without the password it says so and ends")
        tap.ok([text_of(["-p", p, "-a", "geheim", "--once"])[0], text_of(["-p", p, "--user", "default", "-a", "geheim", "--once"])[0],
                text_of(["-h", "127.0.0.1", "-p", p, "--once"], {"REDISCLI_AUTH": "geheim"})[0], text_of(["-s", server.path, "-a", "geheim", "--once"])[0]] == [0, 0, 0, 0],
               "password, user, environment, socket")
        if tls:
            at = ["-p", str(secure), "-a", "geheim", "--once", "--tls"]
            found = [text_of(at + ["--cacert", cert])[0], text_of(at + ["--insecure"])[0], text_of(at)[0], text_of(at + ["--cacert", folder + "/none"])[0]]
            tap.ok(found == [0, 0, 1, 1], "TLS: a certificate that is trusted, any, and one that is not", [found])
        else:
            tap.skip("TLS", "the plug-in is not built")
        top = Run(["-p", p, "-a", "geheim", "--once"])
        top.read(PATIENCE)
        tap.ok(top.status == 0 and b"libOS posix" in top.raw and b"\x1b" not in top.raw, "--once is text on a terminal, too", [top.raw])
        top = Run(["-p", p, "-a", "geheim", "-n", "1"], environment={"TERM": "nobody-knows-it"})
        top.read(PATIENCE)
        tap.ok(top.status == 0 and b"libOS posix" in top.raw, "so it is where nobody knows the terminal", [top.raw])
    tap.ok([text_of([w])[0] for w in ("--nonsense", "-d0", "-n-1")] == [2, 2, 2] and text_of(["-s", "x", "--tls"])[0] == 2 and text_of(["--help"])[0] == 0, "wrong arguments are 2")


def _free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


with tempfile.TemporaryDirectory(prefix="demikv-test-") as scratch:
    pages()
    sizes()
    gone_and_back()
    nonsense(scratch)
    ways(scratch)
tap.done()

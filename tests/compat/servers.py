# SPDX-License-Identifier: MIT
"""Starts servers for tests: ours and the real redis-server, both alike, each in a folder of its own.

Servers are told apart by nothing but their path. They listen on a Unix socket (and on a TCP port where a test asks for one),
log to a file, are ended by their pid, and die with the test: a killed test leaves no server behind.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Client, Closed, Silent

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REDIS = os.environ.get("REDIS_SERVER", "/usr/bin/redis-server")
OURS = os.path.join(ROOT, os.environ.get("DEMIKV_SERVER", "build/demikv-server"))
PR_SET_PDEATHSIG = 1
PORTS = range(24000, 25000)


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


reserved = {}  # port -> a socket whose abstract name keeps the port ours as long as this process lives


def reserve(port):
    """Whether no other test that is running has it: one that is about to listen there cannot be seen by bind(). Names of that
    kind are a network namespace's, as ports are, and leave nothing behind."""
    if port not in reserved:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind("\0demikv-test-port-%d" % port)
        except OSError:
            name.close()
            return False
        reserved[port] = name
    return True


def free_port():
    """A port of our range that nobody listens on, and that is given to no other test."""
    start = os.getpid() % len(PORTS)
    for i in range(len(PORTS)):
        port = PORTS[(start + i) % len(PORTS)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if reserve(port):
            return port
    raise RuntimeError("no free port")


class Server:
    """A running server. `tcp`: also listen on a free port. `args`: more options of its command line."""

    def __init__(self, binary, args=(), tcp=False, wrap=()):
        self.binary, self.args, self.wrap = binary, list(args), list(wrap)
        self.dir = tempfile.mkdtemp(prefix="demikv-test-")
        self.path = os.path.join(self.dir, "s.sock")
        self.log = os.path.join(self.dir, "log")
        self.port = free_port() if tcp else 0
        self.process = None
        self.start()

    def start(self):
        command = self.wrap + [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket",
                               self.path, "--save", "", "--appendonly", "no", "--dir", self.dir, "--daemonize",
                               "no", "--enable-debug-command", "yes"] + self.args
        with open(self.log, "ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.dir, preexec_fn=die_with_parent)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with open(self.log, "rb") as log:
                log.seek(start)
                if b"eady to accept connections" in log.read():
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        text = open(self.log, errors="replace").read()[-2000:]
        self.stop()
        raise RuntimeError("%s does not start:\n%s" % (self.binary, text))

    @property
    def pid(self):
        return self.process.pid

    def client(self, timeout=5.0):
        return Client(self.path, timeout)

    def alive(self):
        return self.process.poll() is None

    def revive(self):
        """After a crash or a hang: the next test gets a fresh server. True when there was a reason to."""
        if self.alive():
            try:
                probe = self.client(2.0)
                probe.call("PING")
                probe.close()
                return False
            except (OSError, Closed, Silent):
                self.process.kill()
                self.process.wait()
        self.start()
        return True

    def log_tail(self, lines=15):
        with open(self.log, errors="replace") as log:
            return log.read().splitlines()[-lines:]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

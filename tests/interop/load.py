#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 90
"""Our load generator says when connections die or say nothing: a line, and an exit status other than 0. Against a server of this script,
over the loopback; no root."""
import os
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap, skip_all  # noqa: E402

LOAD = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "tools/bench/load")


class Fake:
    """Answers every request with +PONG. The first `mute` connections but one (that the tool probes with) never answer; `cut` connections
    are ended after `after` seconds, by FIN or, with reset, by RST."""

    def __init__(self, mute=0, cut=0, after=0.5, reset=False):
        self.mute, self.cut, self.after, self.reset = mute, cut, after, reset
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            stream, _ = self.listener.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number, self.count = self.count, self.count + 1
            threading.Thread(target=self.serve, args=(stream, number), daemon=True).start()

    def serve(self, stream, number):
        until = time.monotonic() + self.after if 1 <= number <= self.cut else None
        mute = 1 <= number <= self.mute
        try:
            while True:
                if until and time.monotonic() > until:
                    if self.reset:
                        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    else:  # a request that came meanwhile would turn the close into a reset
                        stream.shutdown(socket.SHUT_WR)
                        while stream.recv(65536):
                            pass
                    stream.close()
                    return
                data = stream.recv(65536)
                if not data:
                    return
                if not mute:
                    stream.sendall(b"+PONG\r\n" * data.count(b"*1\r\n"))
        except OSError:
            pass


def run(fake, *options):
    done = subprocess.run([LOAD, "-p", str(fake.port), "-t", "ping", "-c", "8"] + list(options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=80, env={k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH")})
    return done.returncode, done.stdout


def check(tap, claim, got, status, *words):
    wrong = got[0] != status or not all(word in got[1] for word in words)
    tap.ok(not wrong, claim, ["status %s, wanted %s" % (got[0], status)] + got[1].splitlines() if wrong else [])


if not os.access(LOAD, os.X_OK):
    skip_all("no " + LOAD)
tap = Tap()
check(tap, "a run on which nothing dies ends with 0", run(Fake(), "-n", "2000"), 0, "requests/s")
check(tap, "connections closed by the server are told", run(Fake(cut=3), "--seconds", "2"), 3, "dead: 3 of 8 connections", "closed by the server")
check(tap, "connections reset by the server are told", run(Fake(cut=3, reset=True), "--seconds", "2"), 3, "dead: 3 of 8 connections")
check(tap, "... in open loop", run(Fake(cut=3), "--seconds", "2", "--rate", "1000"), 3, "dead: 3 of 8 connections")
check(tap, "a counted run ends although requests are lost", run(Fake(cut=7, after=0.05), "-n", "200000", "-P", "4"), 3, "dead: 7 of 8")
check(tap, "connections that never answer are told", run(Fake(mute=2), "--seconds", "2.5"), 3, "silent: 2 of 8 connections")
check(tap, "--machine tells both", run(Fake(mute=1, cut=3), "--seconds", "2.5", "--machine"), 3, "dead=2 silent=1")
tap.done()

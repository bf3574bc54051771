#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 90
"""Our load generator says when connections die or say nothing: a line, and an exit status other than 0; it counts the commands that are sent
together; asked to end, it tells what it has measured. Against a server of this script, over the loopback; no root."""
import os
import re
import signal
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


REPLIES = {b"1": b"+PONG\r\n", b"2": b"$3\r\nxxx\r\n", b"3": b"+OK\r\n"}  # by the number of words: PING, GET, SET


class Fake:
    """Answers every request. The first `mute` connections but one (that the tool probes with) never answer; `cut` connections
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
                    stream.sendall(b"".join(REPLIES[n] for n in re.findall(rb"\*([123])\r\n", data)))
        except OSError:
            pass


def run(fake, *options):
    done = subprocess.run([LOAD, "-p", str(fake.port), "-t", "ping", "-c", "8"] + list(options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=80, env={k: v for k, v in os.environ.items() if k not in ("LIBOS", "CONFIG_PATH")})
    return done.returncode, done.stdout


def run_until(number):
    """A run without an end to speak of, which is sent a signal as soon as it measures."""
    fake = Fake()
    process = subprocess.Popen([LOAD, "-p", str(fake.port), "-t", "ping", "-c", "1", "--seconds", "60", "--marks"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    return process.returncode, said


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
check(tap, "two commands that are sent together count as two", run(Fake(), "-t", "mixed", "-n", "2000"), 0, "(4000 in")
check(tap, "SIGTERM ends a run, which tells its figures", run_until(signal.SIGTERM), 0, "requests/s", "p99.9")
check(tap, "so does SIGINT", run_until(signal.SIGINT), 0, "requests/s")
check(tap, "--machine tells both", run(Fake(mute=1, cut=3), "--seconds", "2.5", "--machine"), 3, "dead=2 silent=1")
tap.done()

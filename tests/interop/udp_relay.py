#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""demi/examples/udp-relay: each client gets his own answers, more clients than it has places for, on each libOS of the kernel's sockets."""
import os
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402

RELAY = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "examples/udp-relay")
PLACES = 64
TRIES = 50  # of 0.2 s: a datagram may be lost


def udp(at=("127.0.0.1", 0)):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    s.bind(at)
    return s


def free_port():
    with udp() as s:
        return s.getsockname()[1]


class Service:
    """Answers what it is asked with what it was, and who seems to have asked."""

    def __init__(self):
        self.socket = udp()
        self.socket.setblocking(False)
        self.seen = set()

    def turn(self):
        try:
            data, who = self.socket.recvfrom(70000)
        except BlockingIOError:
            return
        self.seen.add(who)
        self.socket.sendto(b"re:" + data, who)


def asked(client, port, data, service):
    """What came back of it, or None. data is the client's number, a colon and anything: what comes late of an earlier try is known by that."""
    own = b"re:" + data.split(b":")[0] + b":"
    for _ in range(TRIES):
        client.sendto(data, ("127.0.0.1", port))
        until = time.monotonic() + 0.2
        client.setblocking(False)
        while time.monotonic() < until:
            service.turn()
            try:
                got = client.recv(70000)
                if got == b"re:" + data or not got.startswith(own):
                    return got
            except (BlockingIOError, ConnectionRefusedError):
                time.sleep(0.0005)
    return None


def check(tap, libos):
    service, port = Service(), free_port()
    relay = subprocess.Popen([RELAY, "127.0.0.1", str(port), "127.0.0.1", str(service.socket.getsockname()[1])], env=dict(os.environ, LIBOS=libos))
    clients = [udp() for _ in range(2 * PLACES)]
    try:
        got = [asked(c, port, b"%d:first" % i, service) for i, c in enumerate(clients[:PLACES])]
        tap.ok(got == [b"re:%d:first" % i for i in range(PLACES)] and len(service.seen) == PLACES, libos + ": each client has a socket and an answer of his own", [len(service.seen)])
        got = [asked(c, port, b"%d:again" % i, service) for i, c in enumerate(clients[:PLACES])]
        tap.ok(got == [b"re:%d:again" % i for i in range(PLACES)] and len(service.seen) == PLACES, libos + ": and keeps it", [len(service.seen)])
        got = [asked(c, port, b"%d:more" % i, service) for i, c in enumerate(clients)]
        tap.ok(got == [b"re:%d:more" % i for i in range(2 * PLACES)], libos + ": who comes when all places are taken gets that of the most silent")
        tap.ok(len(os.listdir("/proc/%d/fd" % relay.pid)) < PLACES + 32, libos + ": whose socket is closed")
        big = b"0:" + os.urandom(60000)
        tap.ok(asked(clients[0], port, big, service) == b"re:" + big, libos + ": a long one")
        tap.ok(relay.poll() is None, libos + ": it goes on")
    finally:
        relay.kill()
        relay.wait()
        for s in clients + [service.socket]:
            s.close()


tap = Tap()
for name in ("posix", "uring"):
    check(tap, name)
tap.done()

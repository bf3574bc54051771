#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""Requests run in the order in which they came, whichever client sent them, however many there are.

The server is held by a signal or by a command of its own while each of CLIENTS sends one thing, one after the other. TAP on
stdout; with DEMIKV_SERVER naming a redis-server the test checks itself.

    tests/compat/order.py
"""
import os
import signal
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from servers import OURS, Server  # noqa: E402
from tap import Tap  # noqa: E402

CLIENTS = 250  # what epoll tells of at once: beyond it a server may begin with what came meanwhile
MANY = 1000


def command(*words):
    words = [str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def connect(server, count):
    clients = []
    for _ in range(count):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(20)
        s.connect(server.path)
        s.sendall(b"PING\r\n")
        assert s.recv(100) == b"+PONG\r\n"
        clients.append(s)
    return clients


def stopped(server, send):
    """`send` happens while the server is stopped by a signal."""
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(0.05)
    send()
    os.kill(server.pid, signal.SIGCONT)


def asleep(server, send):
    """The same while it is busy with a command."""
    busy = connect(server, 1)[0]
    busy.sendall(b"DEBUG SLEEP 0.5\r\n")
    time.sleep(0.1)
    send()
    assert busy.recv(100) == b"+OK\r\n"
    busy.close()


def first_difference(want, got):
    for i, (a, b) in enumerate(zip(want, got)):
        if a != b:
            return "at %d: %s instead of %s" % (i, b, a)
    return "" if len(want) == len(got) else "%d instead of %d" % (len(got), len(want))


def pushes(server, count, hold, each, request):
    """Each client pushes its number `each` times in one piece; gives the list that came of it."""
    control, clients = server.client(30.0), connect(server, count)
    control.call("FLUSHALL")
    hold(server, lambda: [s.sendall(request(i) * each) for i, s in enumerate(clients)])
    for s in clients:
        left = each
        while left:
            left -= s.recv(1 << 16).count(b"\n")
    got = [int(x.text()) for x in control.call("LRANGE", "l", "0", "-1").kids]
    for s in clients:
        s.close()
    control.close()
    return first_difference([i for i in range(count) for _ in range(each)], got)


def multibulk(i):
    return command("RPUSH", "l", i)


def inline(i):
    return b"RPUSH l %d\r\n" % i


def poppers(server, count):
    """Clients that block one after the other while the server is stopped are served in that order."""
    control, clients = server.client(30.0), connect(server, count)
    control.call("FLUSHALL")
    stopped(server, lambda: [s.sendall(command("BLPOP", "q", 0)) for s in clients])
    while int([line for line in control.call("INFO", "clients").text().split(b"\r\n")
               if line.startswith(b"blocked_clients:")][0].split(b":")[1]) < count:
        time.sleep(0.01)
    for i in range(count):
        control.call("RPUSH", "q", str(i))
    got = [int(s.recv(100).split(b"\r\n")[4]) for s in clients]
    for s in clients:
        s.close()
    control.close()
    return first_difference(list(range(count)), got)


def main():
    tap = Tap()
    cases = []
    for hold, how in ((stopped, "stopped"), (asleep, "busy")):
        cases.append(("%d clients of a server that is %s" % (CLIENTS, how),
                      lambda s, hold=hold: pushes(s, CLIENTS, hold, 1, multibulk)))
        cases.append(("%d clients with three commands each, %s" % (CLIENTS, how),
                      lambda s, hold=hold: pushes(s, CLIENTS, hold, 3, multibulk)))
        cases.append(("%d clients with three lines each, %s" % (CLIENTS, how),
                      lambda s, hold=hold: pushes(s, CLIENTS, hold, 3, inline)))
        cases.append(("20 clients with 300 commands each, %s" % how,
                      lambda s, hold=hold: pushes(s, 20, hold, 300, multibulk)))
        cases.append(("%d clients of a server that is %s" % (MANY, how),
                      lambda s, hold=hold: pushes(s, MANY, hold, 1, multibulk)))
    cases.append(("%d clients that wait for an element" % MANY, lambda s: poppers(s, MANY)))
    with Server(OURS) as server:
        for claim, run in cases:
            wrong = run(server)
            tap.ok(not wrong, "in the order they came: " + claim, [wrong] if wrong else [])
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""CONFIG SET port and bind on our own stack and, to prove the checks, on Linux's: an address that stays is never away, a refused change has
changed nothing, and one that overlaps with what was takes its place."""
import os
import socket
import threading

from rig import DEVICES, PATIENCE, PORT, RAW4, RAW6, Redis, Rig
from tap import Tap, skip_all

CHANGES = 30
OTHER_PORT = PORT + 7


def answers(host, port=PORT):
    try:
        with socket.create_connection((host, port), PATIENCE) as s:
            s.sendall(b"PING\r\n")
            return s.recv(100) == b"+PONG\r\n"
    except OSError:
        return False


def reached():
    return [(host, port) for host in (RAW4, RAW6) for port in (PORT, OTHER_PORT) if answers(host, port)]


def setting(admin, *pairs):
    try:
        return admin.call("CONFIG", "SET", *pairs).decode()
    except RuntimeError as error:
        return str(error)


def under_connects(host, change):
    """What the change answers while somebody connects without a pause, and how often he failed."""
    over, counts = threading.Event(), [0, 0]

    def connects():
        while not over.is_set():
            counts[not answers(host)] += 1
    thread = threading.Thread(target=connects)
    thread.start()
    replies = []
    while len(replies) < CHANGES or sum(counts) < CHANGES:
        replies.append(change(len(replies)))
    over.set()
    thread.join()
    return replies, counts


def checks(tap, rig):
    on = rig.device.name + ": "

    def ok(passed, claim, *notes):
        tap.ok(passed, on + claim, [] if passed else list(notes))
    rig.server("--bind", RAW4)
    admin = Redis()
    for bind in (RAW4 + " 192.0.2.77", RAW4 + " " + RAW4):
        replies, counts = under_connects(RAW4, lambda i: setting(admin, "bind", bind))  # noqa: B023
        ok(all("Failed to bind" in r for r in replies) and not counts[1], "refused, %s: never away" % bind, replies[:2], counts)
    reply = setting(admin, "port", OTHER_PORT, "bind", RAW4 + " " + RAW6, "locale-collate", "no_SUCH")
    ok("Invalid locale name" in reply and reached() == [(RAW4, PORT)], "another option refuses: the new port is not left open", reply, reached())
    replies, counts = under_connects(RAW4, lambda i: setting(admin, "bind", (RAW4 + " " + RAW6, RAW4)[i % 2]))
    ok(set(replies) == {"OK"} and not counts[1], "addresses come and go: the one that stays is never away", replies[:2], counts)
    for bind, hosts in (("0.0.0.0 ::*", [RAW4, RAW6]), (RAW4, [RAW4]), ("*", [RAW4]), (RAW6 + " " + RAW4, [RAW4, RAW6]), ("* ::*", [RAW4, RAW6])):
        reply = setting(admin, "bind", bind)
        ok(reply == "OK" and reached() == [(host, PORT) for host in hosts], "%s takes the place of what it overlaps with" % bind, reply, reached())
    reply = setting(admin, "bind", "* " + RAW4)
    ok("Failed to bind" in reply and reached() == [(RAW4, PORT), (RAW6, PORT)], "what overlaps in itself is refused", reply, reached())
    reply = setting(admin, "port", OTHER_PORT)
    ok(reply == "OK" and reached() == [(RAW4, OTHER_PORT), (RAW6, OTHER_PORT)], "another port takes the place of the first", reply, reached())
    reply = setting(admin, "port", PORT, "bind", RAW4)
    ok(reply == "OK" and reached() == [(RAW4, PORT)], "and back", reply, reached())
    admin.close()


if os.geteuid():
    skip_all("this needs root")
tap = Tap()
for name in ("posix", "packet"):
    with Rig(DEVICES[name]) as rig:
        checks(tap, rig)
tap.done()

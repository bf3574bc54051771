#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CONFIG SET port and bind: what is listened on before and after is never away, however often the rest changes, and a change that is
refused has changed nothing. Clients connect without a pause while it happens."""
import os
import re
import socket
import threading

from here import OURS, Server, Tap, free_port, need_server

ROUNDS = 40
HERE, THERE = "127.0.0.1", "127.0.0.2"


def ok(tap, passed, claim, notes=()):
    tap.ok(passed, claim, () if passed else notes)


class Connecting:
    """Connects to an address again and again, and has each connection answer."""

    def __init__(self, address):
        self.address = address
        self.count, self.faults = 0, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            try:
                with socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET) as s:
                    s.settimeout(10)
                    s.connect(self.address)
                    s.sendall(b"PING\r\n")
                    if s.recv(100) != b"+PONG\r\n":
                        raise OSError("no answer")
                self.count += 1
            except OSError as error:
                self.faults.append(str(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def answers(address):
    try:
        with socket.create_connection(address, 2) as s:
            s.sendall(b"PING\r\n")
            return s.recv(100) == b"+PONG\r\n"
    except OSError:
        return False


def inodes(server):
    """The listening sockets, by the kernel's numbers: the same socket has the same."""
    own = set()
    for fd in os.listdir("/proc/%d/fd" % server.pid):
        try:
            own |= set(re.findall(r"socket:\[(\d+)\]", os.readlink("/proc/%d/fd/%s" % (server.pid, fd))))
        except OSError:
            pass
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f][1:]
    return {row[9] for row in rows if row[3] == "0A" and row[9] in own}


def watch(tap, what, addresses, change):
    watchers = [Connecting(a) for a in addresses]
    for w in watchers:
        w.__enter__()
    replies = []
    while len(replies) < ROUNDS or min(w.count + len(w.faults) for w in watchers) < ROUNDS:
        replies.append(change(len(replies)))
    for w in watchers:
        w.__exit__()
    for w in watchers:
        ok(tap, not w.faults, "%s: %s is never away" % (what, w.address), [w.count, w.faults[:3], replies[:2]])
    return replies


def setting(client, *pairs):
    reply = client.call("CONFIG", "SET", *pairs)
    return reply.text().decode()


def config(client, name):
    return client.call("CONFIG", "GET", name).kids[1].text().decode()


def check_refused(tap, server, client):
    here = (HERE, server.port)
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        taken.listen(1)
        used = str(taken.getsockname()[1])
        before = client.call("CONFIG", "GET", "*").raw(), inodes(server)
        cases = (("a port in use", ["port", used], "'port') - Unable to listen on this port. Check server logs."),
                 ("an address that is not ours", ["bind", HERE + " 192.0.2.77"], "'bind') - Failed to bind to specified addresses."),
                 ("an address twice", ["bind", HERE + " " + HERE], "'bind') - Failed to bind to specified addresses."),
                 ("no address at all", ["bind", "nonsense.invalid"], "'bind') - Failed to bind to specified addresses."),
                 ("both", ["bind", THERE + " " + HERE, "port", used], ""),
                 ("another option, before", ["port", str(free_port()), "locale-collate", "no_SUCH"], "'locale-collate') - Invalid locale name"),
                 ("another option, after", ["locale-collate", "no_SUCH", "bind", THERE], "'locale-collate') - Invalid locale name"),
                 ("what this libOS has not", ["bind", THERE, "libos-pcap", "/tmp/x", "timeout", "7"], "'libos-pcap') - this libOS has no frames"))
        for what, pairs, text in cases:
            with_tcp = what in ("a port in use", "an address that is not ours", "another option, after")
            change = lambda i: setting(client, *pairs)  # noqa: E731
            replies = watch(tap, "refused, " + what, [here, server.path], change) if with_tcp else [change(0)]
            ok(tap, all("CONFIG SET failed" in r and text in r for r in replies), "refused: %s" % what, replies[:1])
            after = client.call("CONFIG", "GET", "*").raw(), inodes(server)
            ok(tap, before == after, "refused, %s: configuration and sockets are those that were" % what, [before[1], after[1]])


def check_accepted(tap, server, client):
    port = server.port
    here, there = (HERE, port), (THERE, port)
    others = [free_port(), port]
    kept = inodes(server)
    replies = watch(tap, "addresses come and go", [here, server.path], lambda i: setting(client, "bind", (HERE, HERE + " " + THERE)[i % 2]))
    ok(tap, set(replies) == {"OK"} and kept <= inodes(server), "the socket of an address that stays is the same", [replies[:2], kept, inodes(server)])
    setting(client, "bind", HERE + " " + THERE)
    ok(tap, answers(here) and answers(there), "both are served")
    ok(tap, setting(client, "bind", HERE) == "OK" and not answers(there), "an address that goes is closed")
    replies = watch(tap, "ports come and go", [server.path], lambda i: setting(client, "port", str(others[i % 2])))
    replies.append(setting(client, "port", str(port)))
    ok(tap, set(replies) == {"OK"} and answers(here) and not answers((HERE, others[0])), "the last port is served, and no other", replies[:2])


def check_overlapping(tap, server, client):
    """The kernel does not let two listen on overlapping addresses."""
    here, there = (HERE, server.port), (THERE, server.port)
    kept = len(inodes(server))
    for bind, reached in (("0.0.0.0", [here, there]), (THERE, [there]), ("*", [here, there]), (HERE + " " + THERE, [here, there]), (HERE, [here])):
        reply = setting(client, "bind", bind)
        open_ones = [a for a in (here, there) if answers(a)]
        ok(tap, reply == "OK" and open_ones == reached and config(client, "bind") == bind, "bind %s in the place of what overlaps" % bind, [reply, open_ones])
    before = inodes(server)
    reply = setting(client, "bind", "0.0.0.0 " + HERE)
    ok(tap, "Failed to bind" in reply and inodes(server) == before and len(before) == kept, "what overlaps in itself is refused", [reply, before])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(here)
            other.listen(1)
            stolen = True
        except OSError:
            stolen = False
    ok(tap, not stolen, "another server does not get the port")
    setting(client, "port", "0")
    ok(tap, not answers(here) and not inodes(server) and client.call("PING").raw() == b"+PONG\r\n", "port 0 closes them, and the Unix socket stays")
    ok(tap, setting(client, "port", str(server.port)) == "OK" and answers(here), "and the port comes back")


need_server()
tap = Tap()
with Server(OURS, tcp=True) as server:
    client = server.client(20)
    check_refused(tap, server, client)
    check_accepted(tap, server, client)
    check_overlapping(tap, server, client)
tap.done()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Clients that the server ends: they are gone at once, with their memory and their descriptors, whatever they had not read; what the
kernel had of their replies arrives, and who ends itself hears of it."""
import os
import re
import socket
import time

from here import OURS, Server, Tap, need_server
from resp import encode

MB = 1 << 20
LONG = 16 * MB  # a reply of many values, so that all of it is its client's alone
PROMPT = 5  # seconds; a socket that drains has a minute


def ok(tap, passed, claim, notes=()):
    tap.ok(passed, claim, () if passed else notes)


def info(client, name):
    return int(re.search(r"^%s:(\d+)\r$" % name, client.call("INFO").text().decode(), re.M).group(1))


def descriptors(server):
    return len(os.listdir("/proc/%d/fd" % server.pid))


def id_of(client):
    return client.call("CLIENT", "ID").text().decode()


def wait_for(good):
    deadline = time.monotonic() + PROMPT
    while not good() and time.monotonic() < deadline:
        time.sleep(0.05)
    return good()


def owing_client(server, admin):
    """One that reads nothing of a long reply, which the server has made and the kernel cannot take."""
    client = server.client()
    number = id_of(client)
    before = info(admin, "mem_clients_normal")
    client.send(encode(["LRANGE", "l", "0", "-1"]))
    wait_for(lambda: info(admin, "mem_clients_normal") > before + LONG // 2)
    return client, number


def check_owing(tap, server, what, end):
    admin = server.client()
    memory = info(admin, "mem_clients_normal")  # answered, so accepted
    fds = descriptors(server)
    client, number = owing_client(server, admin)
    ok(tap, info(admin, "mem_clients_normal") > memory + LONG // 2, "%s: a reply that is not read takes memory" % what)
    end(admin, number)
    gone = wait_for(lambda: info(admin, "mem_clients_normal") < memory + MB)
    ok(tap, gone, "%s: its memory is free" % what, [memory, info(admin, "mem_clients_normal")])
    ok(tap, wait_for(lambda: descriptors(server) <= fds), "%s: its descriptor is closed" % what, [fds, descriptors(server)])
    client.close()
    admin.close()


def by_timeout(admin, number):
    admin.call("CONFIG", "SET", "timeout", "1")
    for _ in range(10):  # so that we do not idle ourselves
        time.sleep(0.3)
        admin.call("PING")
    admin.call("CONFIG", "SET", "timeout", "0")


def check_at_once(tap, server):
    """In one pipeline: what comes after the kill does not find the client any more."""
    admin, blocked, subscriber = server.client(), server.client(), server.client()
    numbers = [id_of(blocked), id_of(subscriber)]
    blocked.send(encode(["BLPOP", "queue", "0"]))
    subscriber.call("SUBSCRIBE", "news")
    wait_for(lambda: info(admin, "blocked_clients") == 1)
    lines = [["CLIENT", "KILL", "ID", n] for n in numbers]
    lines += [["CLIENT", "LIST"], ["CLIENT", "LIST", "ID"] + numbers, ["PUBLISH", "news", "x"], ["PUBSUB", "CHANNELS"], ["RPUSH", "queue", "x"],
              ["LLEN", "queue"], ["CLIENT", "KILL", "ID", numbers[0]], ["INFO", "clients"]]
    admin.send(b"".join(encode(words) for words in lines))
    replies = [admin.read() for _ in lines]
    text = replies[2].text().decode()
    ok(tap, [r.raw() for r in replies[:2]] == [b":1\r\n"] * 2, "two are killed", [r.raw() for r in replies])
    ok(tap, not any("id=%s " % n in text for n in numbers) and replies[3].text() == b"", "CLIENT LIST has them no more", [text, replies[3].raw()])
    ok(tap, replies[4].raw() == b":0\r\n" and not replies[5].kids, "nor has a channel", [replies[4].raw(), replies[5].raw()])
    ok(tap, replies[7].raw() == b":1\r\n", "nor is a list served to it", [replies[7].raw()])
    ok(tap, replies[8].raw() == b":0\r\n", "nor is it killed twice", [replies[8].raw()])
    ok(tap, b"connected_clients:1\r\nc" in replies[9].text() and b"blocked_clients:0\r\n" in replies[9].text(), "nor counted", [replies[9].text()])
    admin.call("DEL", "queue")
    for c in (admin, blocked, subscriber):
        c.close()


def rest_of(client):
    """All that arrives until the end, and whether it came in order."""
    data = client.buf[client.at:]
    client.sock.settimeout(PROMPT)
    try:
        while True:
            more = client.sock.recv(65536)
            if not more:
                return data, True
            data += more
    except (ConnectionResetError, socket.timeout):
        return data, False


def check_what_arrives(tap, server):
    admin, other = server.client(), server.client()
    number = id_of(other)
    other.send(encode(["ECHO", "hello"]))
    wait_for(lambda: re.search(r"id=%s .*cmd=echo" % number, admin.call("CLIENT", "LIST").text().decode()))
    admin.call("CLIENT", "KILL", "ID", number)
    got = rest_of(other)
    ok(tap, got == (b"$5\r\nhello\r\n", True), "a reply that was sent arrives, and then the end", [got])
    for c in (admin, other):
        c.close()


def check_itself(tap, server, form, words, reply):
    """words(id, address). All of a Unix socket have one address, so this one is alone."""
    me = server.client()
    wait_for(lambda: me.call("CLIENT", "LIST").text().count(b"\n") == 1)
    address = re.search(r" addr=(\S+)", me.call("CLIENT", "INFO").text().decode()).group(1)
    me.send(encode(words(id_of(me), address)) + encode(["PING"]))
    got = rest_of(me)
    ok(tap, got == (reply, True), "who kills itself %s gets the reply, and then the end" % form, [got])


need_server()
tap = Tap()
with Server(OURS, ["--client-output-buffer-limit", "normal 0 0 0"]) as server:
    first = server.client()
    for _ in range(LONG // (100 * 1000)):
        first.call("RPUSH", "l", *["x" * 1000 for _ in range(100)])
    first.close()
    check_owing(tap, server, "CLIENT KILL", lambda admin, number: admin.call("CLIENT", "KILL", "ID", number))
    check_owing(tap, server, "timeout", by_timeout)
    check_at_once(tap, server)
    check_what_arrives(tap, server)
    check_itself(tap, server, "by number", lambda number, _: ["CLIENT", "KILL", "ID", number, "SKIPME", "no"], b":1\r\n")
    check_itself(tap, server, "by address", lambda _, address: ["CLIENT", "KILL", address], b"+OK\r\n")
tap.done()

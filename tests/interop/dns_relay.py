#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 100
"""demi/examples/dns-relay between dig and a resolver of the test's own, on kernel sockets, io_uring and our own TCP/IP's UDP."""
import os
import random
import socket
import struct
import sys
import threading
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import EXAMPLES  # noqa: E402
from programs import need  # noqa: E402
from rig import DEVICES, LINUX4, RAW4, Rig, guarded, need_all, run_program  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PORT, RESOLVER_PORT = 5353, 5300


def name_of(message):
    """The question's name, and where its type begins."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]])
        at += message[at] + 1
    return b".".join(labels).lower().decode("latin-1"), at + 1


class Resolver:
    """Answers A queries by the first label: ttlN with that time to live, none with NXDOMAIN, silent not at all, late the second time
    only, lies with three forged answers before the true one. Counts, and remembers ids and ports."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LINUX4, RESOLVER_PORT))
        self.seen, self.asked = [], {}
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                message, who = self.socket.recvfrom(4096)
            except OSError:
                return
            try:
                self.answer(message, who)
            except (IndexError, ValueError):  # what the relay has let through is no query of dig's
                pass

    def answer(self, message, who):
        name, end = name_of(message)
        self.seen.append((struct.unpack(">H", message[:2])[0], who[1]))
        self.asked[name] = self.asked.get(name, 0) + 1
        first = name.split(".")[0]
        if first == "silent" or (first == "late" and self.asked[name] == 1):
            return
        ttl = int(first[3:]) if first.startswith("ttl") else 300
        question, opt = message[12:end + 4], b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if message[11] else b""
        record = b"\xc0\x0c\0\x01\0\x01" + struct.pack(">IH", ttl, 4) + bytes([192, 0, 2, self.asked[name] % 256])
        soa = b"\xc0\x0c\0\x06\0\x01" + struct.pack(">IH", 600, 22) + b"\0\0" + struct.pack(">IIIII", 1, 2, 3, 4, 60)
        none = first == "none"
        head = message[:2] + bytes([0x85, 0x83 if none else 0x80]) + struct.pack(">HHHH", 1, 0 if none else 1, 1 if none else 0, 1 if opt else 0)
        true = head + question + (soa if none else record) + opt
        if first == "lies":
            bad = record[:-4] + bytes([6, 6, 6, 6])
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            other.sendto(head + question + bad + opt, who)  # from another port
            other.close()
            self.socket.sendto(struct.pack(">H", (struct.unpack(">H", head[:2])[0] + 1) % 65536) + head[2:] + question + bad + opt, who)  # another id
            self.socket.sendto(head + question[:1] + b"X" + question[2:] + bad + opt, who)  # another question
            self.socket.sendto(head + question, who)  # the right one, but cut short: its records are missing
            return
        self.socket.sendto(true, who)


def dig(*words):
    status, said = run_program([need("dig"), "@" + RAW4, "-p", str(PORT), "+tries=3", "+time=5"] + list(words), 40)
    return said if status in (0, 9) else "status %s: %s" % (status, said)


def query(name, flags=0x0100, more=b"", additional=0, number=7):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"
    return struct.pack(">HHHHHH", number, flags, 1, 0, 0, additional) + labels + b"\0\x01\0\x01" + more


def sent(data, seconds=3.0):
    """The answer to a datagram, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(seconds)
        s.sendto(data, (RAW4, PORT))
        try:
            return s.recv(4096)
        except socket.timeout:
            return None


def check_dig(resolver):
    wrong = []
    for _ in range(50):  # until it listens
        if "192.0.2." in dig("+short", "+time=1", "+tries=1", "warm.test"):
            break
    for words in (("one.test",), ("two.test", "+nocookie"), ("three.test", "+noedns"), ("four.test", "+dnssec", "+nocookie")):
        said = dig(*words)
        if "status: NOERROR" not in said or "192.0.2.1" not in said or "WARNING" in said:
            wrong.append("%s: %s" % (" ".join(words), said))
    said = dig("none.test", "+nocookie")
    if "NXDOMAIN" not in said or "SOA" not in said:
        wrong.append("none: " + said)
    return wrong


def check_cache(resolver):
    wrong = []

    def ttl_of(name):
        for line in dig("+noall", "+answer", "+nocookie", name).splitlines():
            if "IN" in line.split():
                return int(line.split()[1]), line.split()[-1]
        return None, None
    first = ttl_of("ttl100.test")
    time.sleep(1.2)
    again = ttl_of("TTL100.Test")
    if first != (100, "192.0.2.1") or not again[0] or not 90 <= again[0] < 100 or again[1] != "192.0.2.1" or resolver.asked["ttl100.test"] != 1:
        wrong.append("kept: %s %s, asked %d times" % (first, again, resolver.asked["ttl100.test"]))
    dig("ttl100.test", "+noedns")
    dig("ttl100.test", "+nocookie", "+dnssec")
    if resolver.asked["ttl100.test"] != 3:
        wrong.append("other flags, another answer: asked %d times" % resolver.asked["ttl100.test"])
    ttl_of("ttl1.test")
    time.sleep(2.1)
    ttl_of("ttl1.test")
    ttl_of("ttl0.test")
    ttl_of("ttl0.test")
    dig("none.test", "+nocookie")
    if (resolver.asked["ttl1.test"], resolver.asked["ttl0.test"], resolver.asked["none.test"]) != (2, 2, 1):
        wrong.append("asked: %s" % resolver.asked)
    return wrong


def check_ids(resolver):
    """Nobody can guess what the resolver is asked with; each client gets its own id back."""
    before, wrong = len(resolver.seen), []
    for i in range(60):
        got = sent(query("id%d.test" % i, number=1000 + i))
        if not got or struct.unpack(">H", got[:2])[0] != 1000 + i:
            wrong.append("%d: %r" % (i, got))
    ids, ports = {pair[0] for pair in resolver.seen[before:]}, {pair[1] for pair in resolver.seen[before:]}
    if len(ids) < 55 or len(ports) < 8:
        wrong.append("%d ids, %d ports of 60" % (len(ids), len(ports)))
    return wrong


def check_lies(_resolver):
    """Answers of others, with another id or another question are none; the client hears what was asked for, or nothing."""
    got = sent(query("lies.test"), 8)
    if got is None or b"\x06\x06\x06\x06" in got:
        return ["%r" % (got,)]
    return []


def check_silence(resolver):
    wrong = []
    began = time.monotonic()
    got = sent(query("silent.test"), 20)
    if got is None or got[3] & 15 != 2 or resolver.asked["silent.test"] != 2:
        wrong.append("no SERVFAIL after %.1f s: %r, asked %s" % (time.monotonic() - began, got, resolver.asked.get("silent.test")))
    got = sent(query("late.test"), 20)
    if got is None or got[3] & 15 or resolver.asked["late.test"] != 2:
        wrong.append("the second try is not taken: %r" % (got,))
    return wrong


def check_bad(resolver):
    wrong, rng = [], random.Random(4)
    for claim, data, code in (("another opcode", query("a.test", 0x2000), 4), ("two questions", struct.pack(">HHHHHH", 7, 256, 2, 0, 0, 0) + query("a.test")[12:] * 2, 1),
                              ("no question", struct.pack(">HHHHHH", 7, 256, 0, 0, 0, 0), 1), ("a name that points", struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", 1),
                              ("a name cut short", struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"\x3fabc", 1), ("too long", query("a.test", more=b"x" * 600), 1)):
        got = sent(data)
        if got is None or got[3] & 15 != code or not got[2] & 0x80:
            wrong.append("%s: %r" % (claim, got))
    for claim, data in (("an answer", query("a.test", 0x8180)), ("a short one", b"\0" * 11), ("one byte", b"x")):
        if sent(data, 0.3) is not None:
            wrong.append(claim + " is answered")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(2000):
            data = bytearray(query("fuzz.test", more=b"\0\0\x29\x04\xd0\0\0\0\0\0\0", additional=1))
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            s.sendto(bytes(data[:rng.randrange(len(data) + 1)]), (RAW4, PORT))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        got = sent(query("alive.test"))
        if got and not got[3] & 15:
            return wrong
    return wrong + ["the next client is not served"]


def main():
    program, names, tap = os.path.join(EXAMPLES, "dns-relay"), ("posix", "uring", "packet"), Tap()
    if not os.path.exists(program):
        skip_all("no " + program)
    need("dig")
    for name in names:
        need_all(DEVICES[name])
    for name in names:
        with Rig(DEVICES[name]) as rig:
            resolver = Resolver()
            server = rig.start([program, RAW4, str(PORT), LINUX4, str(RESOLVER_PORT)], lambda p: True)
            checks = [("dig, in its ways to ask", check_dig)] + ([("what is kept, and for how long", check_cache)] if name == "posix" else []) + [("ids and ports", check_ids), ("what is no query", check_bad)]
            if name == "posix":
                checks += [("a resolver that is lied for", check_lies), ("a resolver that is silent or late", check_silence)]
            for claim, check in checks:
                guarded(tap, "%s: %s" % (name, claim), server, check, resolver)
            server.stop()
            resolver.socket.close()
    tap.done()


main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 100
"""demi/examples/memcache: what memcached's clients (python3-pymemcache, libmemcached-tools) and bare bytes make of it, on kernel
sockets, io_uring and our own TCP; answers compared with memcached's where it is there.
"""
import os
import random
import select
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(0, os.path.join(FOLDER, "..", "compat"))
from bindings import EXAMPLES  # noqa: E402
from programs import need  # noqa: E402
from rig import DEVICES, PATIENCE, RAW4, Rig, connect, die_with_parent, guarded, need_all, run_program  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

sys.path.append("/usr/lib/python3/dist-packages")  # where python3 is another one than Debian's
try:
    from pymemcache.client.base import Client
except ImportError:
    skip_all("no pymemcache (Debian package python3-pymemcache)")

PORT = 11211
LARGE = 1000000
# Each conversation is one connection's: what is said, and what memcached 1.6 answers; \r\n stands at each line's end.
CONVERSATIONS = (
    ("a value and its flags", "set a 7 0 3\nabc\nget a b", "STORED\nVALUE a 7 3\nabc\nEND"),
    ("pipelined in one breath", "set p 0 0 1\n1\nincr p 41\nget p\ndelete p\nget p", "STORED\n42\nVALUE p 0 2\n42\nEND\nDELETED\nEND"),
    ("add, replace, append, prepend", "set r 0 0 1\nx\ndelete r\nreplace r 0 0 1\nx\nadd r 5 0 1\nm\nadd r 0 0 1\ny\nappend r 0 0 1\nz\nprepend r 0 0 1\na\nget r\nappend none 0 0 1\nx",
     "STORED\nDELETED\nNOT_STORED\nSTORED\nNOT_STORED\nSTORED\nSTORED\nVALUE r 5 3\namz\nEND\nNOT_STORED"),
    ("counters", "set n 0 0 2\n10\ndecr n 11\nset n 0 0 20\n18446744073709551615\nincr n 2\nincr none 1\nset w 0 0 1\nx\nincr w 1\nincr n x",
     "STORED\n0\nSTORED\n1\nNOT_FOUND\nSTORED\nCLIENT_ERROR cannot increment or decrement non-numeric value\nCLIENT_ERROR invalid numeric delta argument"),
    ("noreply is silent", "set q 0 0 1 noreply\n1\nincr q 1 noreply\nget q\ndelete q noreply\nget q", "VALUE q 0 1\n2\nEND\nEND"),
    ("expired from the start, and by touch", "set e 0 -1 1\nx\nget e\nset e 0 100 1\nx\ntouch e -1\nget e\ntouch e 1", "STORED\nEND\nSTORED\nTOUCHED\nEND\nNOT_FOUND"),
    ("get and touch", "set g 3 100 1\nx\ngat -1 g\nget g\ngat 0 g", "STORED\nVALUE g 3 1\nx\nEND\nEND\nEND"),
    ("flush_all", "set f 0 0 1\nx\nflush_all\nget f\nset f 0 0 1\ny\nget f\nflush_all noreply\nget f", "STORED\nOK\nEND\nSTORED\nVALUE f 0 1\ny\nEND\nEND"),
    ("what is no command", "nonsense\nget\nget a\x01b\nset a\nverbosity 1", None),
    ("a key of 250 bytes, and one of 251", "set %s 0 0 1\nx\nget %s\nget %s" % ("k" * 250, "k" * 250, "k" * 251), "STORED\nVALUE %s 0 1\nx\nEND\nCLIENT_ERROR bad command line format" % ("k" * 250)),
    ("an empty value", "set v 0 0 0\n\nget v", "STORED\nVALUE v 0 0\n\nEND"),
    ("cas of what is not there", "delete c\ncas c 0 0 1 5\nx", "NOT_FOUND\nNOT_FOUND"),
    ("a value that is too large is skipped", "set l 0 0 2000000\n%s\nget l" % ("x" * 2000000), "SERVER_ERROR object too large for cache\nEND"),
)


def lines(text):
    return text.encode().replace(b"\n", b"\r\n")


def said(port, words, in_pieces=False):
    """What comes back for it until the connection ends, which quit asks for."""
    with connect(port) as stream:
        data, got = lines(words + "\nquit\n"), b""
        if in_pieces:
            for i in range(0, len(data), 7):
                stream.sendall(data[i:i + 7])
        else:
            stream.sendall(data)
        while True:
            try:
                some = stream.recv(1 << 16)
            except ConnectionResetError:
                some = b""
            if not some:
                return got
            got += some


def check_conversations(port):
    wrong = []
    for claim, words, answer in CONVERSATIONS:
        for in_pieces in (False, True) if len(words) < 1000 else (False,):
            got = said(port, words, in_pieces)
            if answer is None:
                if not got.startswith(b"ERROR\r\nERROR\r\nCLIENT_ERROR"):
                    wrong.append("%s: %r" % (claim, got))
            elif got != lines(answer + "\n"):
                wrong.append("%s: %r" % (claim, got[:400]))
    return wrong


def check_bad_bytes(port):
    """Whatever comes is answered or closed, and the next client is served."""
    rng, wrong = random.Random(3), []
    pieces = [b"get ", b"set a 0 0 ", b"\r\n", b"\n", b"99999999999999999999", b"-1", b"\0", b"gets", b" ", b"a" * 300, b"cas x 0 0 2 ", b"incr a ", b"stats\r\n", b"5\r\nabcde\r\n"]
    for data in [b"a" * 100000, b"get " + b"k " * 6000 + b"\r\n", b"set a 0 0 -1\r\n", b"set a 0 0 99999999999\r\n", b"set a 0 0 3\r\nabcdef\r\n", b"get a\0b\r\n"] + \
            [b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 40))) for _ in range(40)]:
        with connect(port) as stream:
            try:
                stream.sendall(data)
                stream.settimeout(0.05)
                while stream.recv(65536):
                    pass
            except OSError:
                pass
    if not said(port, "set alive 0 0 1\n1\nget alive").endswith(b"END\r\n"):
        wrong.append("the next client is not served")
    return wrong


def check_client(port):
    """pymemcache, as programs use it."""
    client, wrong = Client((RAW4, port), timeout=PATIENCE, connect_timeout=PATIENCE), []
    large = random.Random(1).randbytes(LARGE)
    client.set("large", large, noreply=False)
    client.set_many({"m%d" % i: b"v%d" % i * (i + 1) for i in range(100)}, noreply=False)
    many = client.get_many(["m%d" % i for i in range(120)] + ["large"] * 3)
    if many != dict({"m%d" % i: b"v%d" % i * (i + 1) for i in range(100)}, large=large):
        wrong.append("get_many: %d keys" % len(many))
    value, token = client.gets("m1")
    if (client.cas("m1", b"new", token, noreply=False), client.cas("m1", b"newer", token, noreply=False), client.get("m1")) != (True, False, b"new"):
        wrong.append("cas: %r" % client.get("m1"))
    client.set("n", "1", noreply=False)
    if (client.incr("n", 9), client.decr("n", 3), client.touch("n", 100, noreply=False), client.delete("n", noreply=False), client.get("n")) != (10, 7, True, True, None):
        wrong.append("numbers")
    client.set("soon", b"x", expire=1, noreply=False)
    deadline = time.monotonic() + 10
    while client.get("soon") is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    if client.get("soon") is not None:
        wrong.append("an item of one second does not expire")
    stats = {name.decode() if isinstance(name, bytes) else name: value for name, value in client.stats().items()}
    if not int(stats["curr_items"]) >= 101 or int(stats["limit_maxbytes"]) != 4 << 20 or int(stats["curr_connections"]) < 1:
        wrong.append(str(stats))
    client.close()
    return wrong


def check_bound(port):
    """Ten times what it may keep: it keeps what was used last, and what is asked for over and over."""
    client, wrong = Client((RAW4, port), timeout=PATIENCE), []
    client.set("wanted", b"w" * 1000, noreply=False)
    for i in range(400):
        client.set("bulk%d" % i, b"%d" % i * 25000, noreply=False)
        if client.get("wanted") != b"w" * 1000:
            return ["what is asked for over and over has gone after %d" % i]
    stats = client.stats()
    if int(stats[b"bytes"]) > int(stats[b"limit_maxbytes"]) or int(stats[b"evictions"]) < 300:
        wrong.append("bytes %s, evictions %s" % (stats[b"bytes"], stats[b"evictions"]))
    if client.get("bulk399") != b"399" * 25000 or client.get("bulk0") is not None:
        wrong.append("not the oldest have gone")
    client.close()
    return wrong


def check_unfinished(port):
    """Clients that begin values and never end them hold a quarter of the limit (4 MiB), and not a megabyte each; then they are gone."""
    streams = [connect(port) for _ in range(20)]
    try:
        for stream in streams:
            stream.sendall(b"set u 0 0 %d\r\n" % LARGE)
        waiting, refused = streams, 0
        while refused < 18:
            ready = select.select(waiting, [], [], PATIENCE)[0]
            if not ready:
                return ["%d of 20 are refused" % refused]
            for stream in ready:
                said_so = stream.recv(100)
                if said_so != b"SERVER_ERROR out of memory storing object\r\n":
                    return [repr(said_so)]
            waiting, refused = [s for s in waiting if s not in ready], refused + len(ready)
        if refused == 20:
            return ["nobody may store"]
    finally:
        for stream in streams:
            stream.close()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if said(port, "set u 0 0 1\nx").startswith(b"STORED"):
            return []
        time.sleep(0.05)
    return ["they are gone, and nobody may store"]


def check_slow_reader(port):
    """One that asks for a hundred megabytes and does not read is not served beyond a bound, and holds up nobody."""
    client = Client((RAW4, port), timeout=PATIENCE)
    client.set("big", b"b" * 900000, noreply=False)
    with connect(port) as stream:
        stream.sendall(b"get big\r\n" * 120)
        began = time.monotonic()
        for _ in range(50):
            if client.get("big") is None:
                return ["gone"]
        count, whole = 0, len(b"VALUE big 0 900000\r\n") + 900000 + len(b"\r\nEND\r\n")
        while count < 120 * whole:
            some = stream.recv(1 << 20)
            if not some:
                return ["the stream ended after %d bytes, %.1f s" % (count, time.monotonic() - began)]
            count += len(some)
    client.close()
    return []


def check_tools(port):
    """libmemcached's."""
    servers = "--servers=%s:%d" % (RAW4, port)
    wrong, name = [], "/etc/hostname"
    for words in ([need("memcping"), servers], [need("memccp"), servers, name], [need("memccat"), servers, "hostname"], [need("memcstat"), servers]):
        status, output = run_program(words)
        if status != 0 or (words[0].endswith("memccat") and open(name, encoding="utf-8").read().strip() not in output):
            wrong.append("%s: status %s: %s" % (words[0], status, output[:300]))
    return wrong


def check_against_memcached(port):
    """The same words to both."""
    theirs = subprocess.Popen([need("memcached"), "-u", "root", "-l", "127.0.0.1", "-p", str(PORT + 1), "-U", "0"], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    try:
        connect(PORT + 1, "127.0.0.1").close()
        wrong = []
        for claim, words, answer in CONVERSATIONS:
            if answer is None or len(words) > 1000000:
                continue
            with connect(PORT + 1, "127.0.0.1") as stream:
                stream.sendall(lines(words + "\nquit\n"))
                got = b""
                while True:
                    some = stream.recv(1 << 16)
                    if not some:
                        break
                    got += some
            if got != said(port, words):
                wrong.append("%s: memcached says %r, ours %r" % (claim, got[:300], said(port, words)[:300]))
        return wrong
    finally:
        theirs.terminate()
        theirs.wait()


def main():
    need("memcping")
    need("memcached")
    program = os.path.join(EXAMPLES, "memcache")
    if not os.path.exists(program):
        skip_all("no " + program)
    tap = Tap()
    names = ("posix", "uring", "packet")
    for name in names:
        need_all(DEVICES[name])
    for name in names:
        with Rig(DEVICES[name]) as rig:
            server = rig.start([program, RAW4, str(PORT), "4"], lambda p: True)
            checks = [("conversations, whole and in pieces", check_conversations), ("a client of Python's", check_client), ("within its memory", check_bound),
                      ("whatever comes", check_bad_bytes), ("who does not read", check_slow_reader),
                      ("who does not end what he stores", check_unfinished), ("libmemcached's tools", check_tools)]
            if name == "posix":
                checks.append(("memcached answers alike", check_against_memcached))
            for claim, check in checks:
                guarded(tap, "%s: %s" % (name, claim), server, check, PORT)
            server.stop()
    tap.done()


main()

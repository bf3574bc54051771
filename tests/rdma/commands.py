# SPDX-License-Identifier: MIT
"""Commands of a server through the library: commands.py ADDRESS PORT [valkey], or PATH 0 on shared memory. One line a claim on stdout, "ok ..." or "not ok ...":
sockets.py runs it in a guest, ../clients/shm_commands.py here."""
import hashlib
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from demi import Client, Gone  # noqa: E402

address, port = sys.argv[1], int(sys.argv[2])
valkey = "valkey" in sys.argv[3:]


def client():
    return Client(address, port, valkey)


def check(claim, fn):
    try:
        fine = fn()
    except Exception:
        fine = False
        print("# " + traceback.format_exc().replace("\n", "\n# "))
    print("%s %s" % ("ok" if fine else "not ok", claim), flush=True)


def a_value_of_10_mb():
    c, value = client(), os.urandom(1 << 20) * 10
    if c.call("SET", "big", value) != b"OK":
        return False
    back = c.call("GET", "big")
    fine = hashlib.sha256(back).digest() == hashlib.sha256(value).digest()
    c.call("DEL", "big")
    c.close()
    return fine


def pub_sub():
    s, p = client(), client()
    if s.call("SUBSCRIBE", "news") != [b"subscribe", b"news", 1]:
        return False
    counts = [p.call("PUBLISH", "news", "message %d" % i) for i in range(50)]
    heard = [s.reply() for _ in range(50)]
    s.close()
    p.close()
    return counts == [1] * 50 and heard == [[b"message", b"news", b"message %d" % i] for i in range(50)]


def a_blocking_command():
    b, p = client(), client()
    b.send("BLPOP", "queue", 0)
    silent = b.is_silent(0.3)
    p.call("RPUSH", "queue", "x")
    answer = b.reply()
    b.send("BLPOP", "queue", 0.2)
    late = b.reply()
    b.close()
    p.close()
    return silent and answer == [b"queue", b"x"] and late is None


def a_transaction():
    c = client()
    for words in (["MULTI"], ["SET", "a", 1], ["INCR", "a"]):
        c.call(*words)
    fine = c.call("EXEC") == [b"OK", 2]
    c.close()
    return fine


def who_is_killed_hears_of_it():
    a, b = client(), client()
    number = a.call("CLIENT", "ID")
    b.call("CLIENT", "KILL", "ID", number)
    try:
        a.call("PING")
        fine = False
    except (Gone, OSError):
        fine = True
    fine = fine and b.call("PING") == b"PONG"
    b.close()
    return fine


def the_listener_is_shown():
    c = client()
    lines = c.call("INFO", "server").decode().splitlines()
    c.close()
    return not valkey or any(line.startswith("listener4:name=rdma,") and line.endswith("port=%d" % port) for line in lines)


check("a value of 10 MB comes back", a_value_of_10_mb)
check("publish and subscribe", pub_sub)
check("a blocking command, and its end by time", a_blocking_command)
check("a transaction", a_transaction)
check("who is killed hears of it, and others do not", who_is_killed_hears_of_it)
check("INFO shows the listener", the_listener_is_shown)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 60
"""Commands over shared memory, by a client of the library: large values, publish and subscribe, commands that block (../rdma/commands.py); the whole list
of redis-benchmark by our load generator; clients that are killed in the middle of a request, of a reply, and while they wait."""
import os
import signal
import subprocess
import sys
import tempfile

from here import FOLDER, OURS, Server, Tap, info, need_server, run, skip_all, text_of, wait_until

RDMA = os.path.join(FOLDER, "..", "rdma")
BUILD = os.environ.get("BUILD", os.path.join(FOLDER, "..", "..", "build"))
LOAD = os.path.join(BUILD, "tools", "bench", "load")
# As src/redis-benchmark.c of 7.2.4 has them, but for PING_INLINE, which is no array of words.
LIST = ["ping", "SET key:%k %v", "GET key:%k", "INCR counter:%k", "LPUSH mylist %v", "RPUSH mylist %v", "LPOP mylist", "RPOP mylist", "SADD myset element:%m",
        "HSET myhash element:%m %v", "SPOP myset", "ZADD myzset %m element:%m", "ZPOPMIN myzset", "LPUSH mylist %v", "LRANGE mylist 0 99", "LRANGE mylist 0 299",
        "LRANGE mylist 0 499", "LRANGE mylist 0 599", "MSET" + " key:%k %v" * 10]


def victim(path, what):
    """In a process of its own: gets into the middle of something, says so, and is killed there."""
    sys.path.insert(0, RDMA)
    import demi
    c = demi.Client(path, 0)
    if what == "request":
        c.push(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$10000000\r\n" + b"x" * 3000000)
    elif what == "reply":
        c.send("GET", "big")
        c.parts = []
        c.more(10)
    elif what == "blocked":
        c.send("BLPOP", "nothing", 0)
        c.is_silent(0.05)
    elif what == "subscribed":
        c.call("SUBSCRIBE", "news")
    elif what == "transaction":
        c.call("WATCH", "k")
        c.call("MULTI")
        c.call("SET", "k", "half")
    print("there", flush=True)
    signal.pause()


def check_killed(tap, server, path):
    admin = server.client(20)
    admin.call("SET", "big", b"y" * 10000000)
    for what in ("request", "reply", "blocked", "subscribed", "transaction"):
        child = subprocess.Popen([sys.executable, __file__, "victim", path, what], stdout=subprocess.PIPE, env=dict(os.environ, LIBOS="shm"))
        said = child.stdout.readline()
        came = (path + ":0") in text_of(admin, "CLIENT", "LIST").decode()
        child.kill()
        child.wait()
        gone = wait_until(lambda: (path + ":0") not in text_of(admin, "CLIENT", "LIST").decode(), 20)
        tap.ok(said == b"there\n" and came and gone, "killed in the middle, %s: gone at once" % what, [] if came and gone else [said, came, gone])
    left = [info(admin, "blocked_clients", "clients"), info(admin, "pubsub_clients", "clients"), text_of(admin, "EXISTS", "half"), text_of(admin, "EXISTS", "k")]
    tap.ok(left[0] == "0" and left[2:] == [b"0", b"0"] and admin.call("PUBSUB", "NUMSUB", "news").kids[1].text() == b"0",
           "nothing of them is left: nobody waits, nobody listens, no half of a value", [] if left[0] == "0" else left)
    admin.close()


def check_list(tap, path):
    for words in LIST:
        status, text = run([LOAD, "-s", path, "-t", words, "-c", "20", "-n", "1000", "-r", "1000"], 30, env=dict(os.environ, LIBOS="shm"))
        tap.ok(status == 0, "redis-benchmark's " + words[:30].strip(), [] if status == 0 else text.splitlines()[-5:])


def main():
    need_server()
    for needed in (LOAD, os.path.join(BUILD, "libdemikernel.so")):
        if not os.path.exists(needed):
            skip_all("no " + needed)
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="demikv-test-") as folder:
        path = os.path.join(folder, "p")
        with Server(OURS, ["--shm-path", path]) as server:
            status, text = run([sys.executable, os.path.join(RDMA, "commands.py"), path, "0"], 60, env=dict(os.environ, LIBOS="shm"))
            cases = [line for line in text.splitlines() if line.startswith(("ok ", "not ok "))]
            for line in cases:
                tap.ok(line.startswith("ok "), line.split("ok ", 1)[1], [] if line.startswith("ok ") else text.splitlines())
            tap.ok(status == 0 and len(cases) == 6, "all of them were tried", [] if status == 0 else text.splitlines())
            check_list(tap, path)
            check_killed(tap, server, path)
            tap.ok(server.alive(), "the server lives", [] if server.alive() else server.log_tail())
    tap.done()


if sys.argv[1:2] == ["victim"]:
    victim(*sys.argv[2:])
else:
    main()

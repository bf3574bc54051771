#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""The server as a service among others: under the filter of system calls that Debian gives redis-server, which kills
for every call that is not in its list, and on a machine where nothing but libc is installed."""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import service_filter
from here import FOLDER, OURS, Server, Tap, info, need, need_server, run, wait_until
from resp import Client

need_server()
READELF = need("readelf")
FILTERED = [sys.executable, os.path.join(FOLDER, "service_filter.py")]
LIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
tap = Tap()


def libraries(path):
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", run([READELF, "-d", path])[1]))


def expand(name):
    """The calls that systemd means by a name like @system-service."""
    words = run(["systemd-analyze", "--no-pager", "syscall-filter", name])[1].splitlines()[1:]
    words = [word.strip() for word in words if word.strip() and not word.strip().startswith("#")]
    return set().union(*(expand(word) if word.startswith("@") else {word} for word in words))


def list_is_systemds():
    claim = "the list kept here is that of systemd 252"
    if not shutil.which("systemd-analyze") or not run(["systemd-analyze", "--version"])[1].startswith("systemd 252"):
        return tap.skip(claim, "no systemd 252 here")
    wanted = expand("@system-service") - expand("@privileged") - expand("@resources")
    differs = service_filter.allowed_names() ^ wanted
    return tap.ok(not differs, claim, [" ".join(sorted(differs))] if differs else [])


def load(server):
    """What a server does all day, wide rather than long."""
    c = server.client(20.0)
    for i in range(2000):
        c.call("SET", "key:%d" % i, "x" * (i % 3000), "EX", 1000)
    for i in range(0, 4000, 200):
        c.call("RPUSH", "list", *range(i, i + 200))
        c.call("SADD", "set", *range(i, i + 200))
        c.call("ZADD", "zset", *(word for n in range(i, i + 200) for word in (n, n)))
        c.call("HSET", "hash", *(word for n in range(i, i + 200) for word in (n, n)))
    for i in range(24):  # past 8 MiB the heap has a helper and asks for huge pages
        c.call("SET", "large:%d" % i, "y" * (1 << 20))
        c.call("GET", "large:%d" % i)
    c.call("SET", "huge", "z" * (8 << 20))
    c.call("APPEND", "huge", "z" * (8 << 20))
    clients = [Client(server.path, 20.0) for _ in range(200)]
    for other in clients:
        other.call("PING")
        other.close()


def transactions_and_waiting(server):
    c, other = server.client(20.0), server.client(20.0)
    c.call("MULTI")
    c.call("INCR", "n")
    c.call("RPUSH", "list", "1")
    c.call("EXEC")
    late = threading.Timer(0.2, lambda: other.call("RPUSH", "queue", "v"))
    late.start()
    c.call("BLPOP", "queue", 10)
    late.join()
    c.call("BLPOP", "queue", "0.05")
    other.call("SUBSCRIBE", "news")
    c.call("PUBLISH", "news", "v")


def lazy_free(server):
    c = server.client(20.0)
    c.call("UNLINK", "list", "set", "zset", "hash", "huge")
    c.call("FLUSHALL", "ASYNC")
    load(server)
    c.call("FLUSHALL", "SYNC")
    time.sleep(2.5)  # the heap gives back what its helper had brought


def every_setting_again(server):
    c = server.client(20.0)
    words = [node.text().decode() for node in c.call("CONFIG", "GET", "*").kids]
    for name, value in zip(words[::2], words[1::2]):
        c.call("CONFIG", "SET", name, value)
    for name, value in (("maxclients", "20000"), ("maxmemory", "1gb"), ("hz", "100"), ("loglevel", "verbose"),
                        ("activedefrag", "yes"), ("timeout", "100"), ("tcp-keepalive", "10")):
        c.call("CONFIG", "SET", name, value)


def telling(server):
    c = server.client(20.0)
    for words in (("INFO", "everything"), ("MEMORY", "STATS"), ("MEMORY", "DOCTOR"), ("MEMORY", "PURGE"),
                  ("LATENCY", "DOCTOR"), ("SLOWLOG", "GET"), ("CLIENT", "LIST"), ("CONFIG", "REWRITE"), ("TIME",),
                  ("DEBUG", "DIGEST"), ("SAVE",), ("BGSAVE",), ("LASTSAVE",)):
        c.call(*words)


def reload(server):
    load(server)
    server.client(60.0).call("DEBUG", "RELOAD")


def logging(server):
    c = server.client(20.0)
    for words in (("CONFIG", "SET", "appendonly", "yes"), ("SET", "logged", "1"), ("BGREWRITEAOF",)):
        c.call(*words)
        wait_until(lambda: info(c, "aof_rewrite_in_progress") == "0", 10)
    for words in (("CONFIG", "SET", "appendfsync", "always"), ("SET", "logged", "2"), ("DEBUG", "LOADAOF"), ("CONFIG", "SET", "appendonly", "no")):
        c.call(*words)


def survives(server, claim, work):
    notes = []
    try:
        work(server)
        server.client(20.0).call("PING")
    except Exception as why:  # whatever it is, the server's end is what is asked about
        notes = ["%s: %s" % (type(why).__name__, why)]
    if not server.alive() and server.process.returncode == -signal.SIGSYS:
        notes.append("killed for a system call that is not in the list: run it under strace -f")
    tap.ok(not notes and server.alive(), claim, notes)
    return server.alive()


def ends(server, claim, how):
    how()
    try:
        status = server.process.wait(20)
    except subprocess.TimeoutExpired:
        status = "still there"
    tap.ok(status == 0, claim, ["exit status %s" % status] + server.log_tail() if status else [])


def shutdown(server):
    try:
        server.client().call("SHUTDOWN", "NOSAVE")
    except Exception:  # the connection ends instead of an answer
        pass


WORK = (("load", load), ("transactions, waiting, messages", transactions_and_waiting), ("DEBUG RELOAD", reload),
        ("a log", logging), ("lazy freeing", lazy_free), ("every setting again", every_setting_again), ("what tells about it", telling))


def under_the_filter():
    status = run(FILTERED + [sys.executable, "-c", "import os; os.setpriority(0, 0, 5)"])[0]
    tap.ok(status == -signal.SIGSYS, "the filter kills for a priority", [] if status == -signal.SIGSYS else [status])
    status = run(FILTERED + [sys.executable, "-c", "import os; os.getpid()"])[0]
    tap.ok(status == 0, "and for nothing that is in the list", [status] if status else [])
    for end in ("after a signal", "after SHUTDOWN"):
        try:
            server = Server(OURS, ["--pidfile", "pid", "--logfile", "", "--unixsocketperm", "700"], True, FILTERED)
        except RuntimeError as why:
            tap.ok(False, "a server starts under the filter", [why])
            return
        with server:
            for claim, work in WORK:
                if not survives(server, "under the filter: %s, to end %s" % (claim, end), work):
                    return
            ends(server, "under the filter: it ends in order " + end,
                 server.process.terminate if end == "after a signal" else lambda: shutdown(server))


def answers_in_the_place_of_a_server():
    """Exit status and the stream as redis-server has them, whatever follows the word."""
    for words, status, stream, pattern in (
            (["-h"], 1, "stderr", r"^Usage: "), (["--help", "x"], 1, "stderr", r"^Usage: "),
            (["-v"], 0, "stdout", r"^Redis server v=7\."), (["--version", "x"], 0, "stdout", r"^Redis server v=7\."),
            (["--test-memory", "1"], 0, "stdout", r"Checkerboard fill \[50\].*Your memory passed this test"),
            (["--test-memory"], 1, "stderr", r"^Please specify the amount of memory to test in megabytes"),
            (["--test-memory", "many"], 1, "stderr", r"^Please specify"),
            (["--test-memory", "-1"], 1, "stderr", r"^Please specify"),
            (["--test-memory", "1", "2"], 1, "stderr", r"^Please specify")):
        done = subprocess.run([OURS] + words, capture_output=True, text=True, timeout=60)
        other = done.stdout if stream == "stderr" else done.stderr
        fine = done.returncode == status and re.search(pattern, getattr(done, stream), re.S) and not other
        tap.ok(fine, "%s answers as redis-server does" % " ".join(words), [] if fine else [done])
    done = subprocess.run([OURS, "--check-system"], capture_output=True, text=True, timeout=60)
    names = re.findall(r"^\[(.*)\]\.\.\.(?:OK|skipped|WARNING:)$", done.stdout, re.M)
    fine = names == ["slow-clocksource", "xen-clocksource", "overcommit", "THP"]
    fine = fine and done.returncode == (1 if "WARNING" in done.stdout else 0)
    tap.ok(fine, "--check-system makes redis-server's checks", [] if fine else [done])


def what_the_log_says():
    """Lines that supervisors and test suites look for, as redis-server 7.2 writes them."""
    with Server(OURS, tcp=True) as server:
        log = "\n".join(server.log_tail(100))
    for claim, pattern in (("its mode and port", r"\* Running mode=standalone, port=%d\.$" % server.port),
                           ("that it is initialized", r"\* Server initialized$"),
                           ("that it accepts on TCP", r"\* Ready to accept connections tcp$"),
                           ("that it accepts on a Unix socket", r"\* Ready to accept connections unix")):
        found = re.search(pattern, log, re.M)
        tap.ok(found, "the log says " + claim, [] if found else [log])
    done = subprocess.run([OURS, "--port", "x"], capture_output=True, text=True, timeout=60)
    fine = done.returncode == 1 and done.stderr.count("*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***") == 1
    tap.ok(fine, "a wrong directive is told in redis-server's frame, with the version", [] if fine else [done])


answers_in_the_place_of_a_server()
what_the_log_says()
for path in (OURS, os.path.join(os.path.dirname(OURS), "libdemikernel.so")):
    more = libraries(path) - LIBC
    tap.ok(not more, "%s needs no library but libc" % os.path.basename(path), more)
list_is_systemds()
if service_filter.missing():
    tap.skip("a server under the filter of a service", service_filter.missing())
else:
    under_the_filter()
tap.done()

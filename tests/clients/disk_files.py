#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 180
"""Files of the server: the loop's thread does nothing to a file (strace looks), whatever fails while the data is saved
leaves the file that was there (strace lets each call fail), and nobody is harmed by who goes while it lasts. By io_uring
where that may be used, and by threads; what strace is to see or to spoil is done by threads."""
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from here import FOLDER, OURS, Server, Tap, need, need_server
from tampering import Tampering, can_attach

need_server()
# A server that is traced while it ends cannot look for leaks: that needs ptrace, too.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
STRACE = need("strace")
tap = Tap()

LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. \w+ resumed>(.*))")
UNFINISHED = "<unfinished ...>"
NOT_ON_DISK = re.compile(r"/(dev|proc|sys)/|/memfd:|/anon_hugepage")


def random_text(size, seed):
    return random.Random(seed).randbytes(size)


def fill(client, megabytes):
    """Values that compression makes no smaller, of sizes below and above one write."""
    for i in range(megabytes):
        client.call("SET", "large:%d" % i, random_text((1 << 20) - 7 * i, i))
        for k in range(20):
            client.call("SET", "small:%d:%d" % (i, k), random_text(1 + 37 * k, k))
    client.call("RPUSH", "list", *range(2000))


def value_of(client, name):
    return client.call("GET", name).text()


def file_of(fd):
    """What strace -y says behind a descriptor: the path of a file on a disk, or None."""
    found = re.match(r"-?\w+<(/[^>]*)>", fd)
    return found.group(1) if found and not NOT_ON_DISK.match(found.group(1)) else None


def touches(call, rest, log):
    """Whether a call is something done to a file on a disk, the log excepted; the kernel's table of locks is no file."""
    if "F_OFD_GETLK" in rest:
        return False
    if rest.startswith('"') or rest.startswith("AT_FDCWD"):
        name = re.search(r'"([^"]*)"', rest)
        return not (name and NOT_ON_DISK.match(name.group(1)))
    path = file_of(rest)
    return path is not None and path != log


def calls_of(trace):
    """[thread, call, rest] of every call in the order of their beginnings; strace splits one that lasts in two lines."""
    calls, begun = [], {}
    for line in trace:
        found = LINE.match(line)
        if not found:
            continue
        thread, call, rest, more = int(found.group(1)), found.group(2), found.group(3), found.group(4)
        if call is None:
            if thread in begun:
                begun.pop(thread)[2] += more
            continue
        calls.append([thread, call, rest.replace(UNFINISHED, "")])
        if rest.endswith(UNFINISHED):
            begun[thread] = calls[-1]
    return calls


def calls_after(calls, log, begin):
    """Those that follow the line of the log that has `begin`, up to the end of the process."""
    for i, (_, call, rest) in enumerate(calls):
        if call.startswith("write") and file_of(rest) == log and begin in rest:
            return calls[i + 1:]
    raise RuntimeError("the log does not say " + begin)


def read_trace(path, pid):
    """All lines, once the tracer has written the last one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with open(path, errors="replace") as f:
            lines = f.readlines()
        if any(re.match(r"%d +\+\+\+ " % pid, line) for line in lines[-5:]):
            return lines
        time.sleep(0.05)
    return lines


def step_of(done):
    """What a call does for the file to be safe."""
    _, call, rest = done
    if call == "close" and file_of(rest) and "/temp-" in file_of(rest):
        return "close the file"
    if call == "rename" and "dump.rdb" in rest:
        return "rename"
    if call == "fsync" and file_of(rest):
        return "flush the file" if "/temp-" in file_of(rest) else "flush the folder"
    return None


def by_uring(client):
    """Whether io_uring does it, as INFO says once there has been a file."""
    return re.search(rb"disk[._]uring:(\d)", client.call("INFO", "demikernel").text()).group(1) == b"1"


def loop_leaves_files_alone(how):
    folder = tempfile.mkdtemp(prefix="demikv-trace-")
    trace = os.path.join(folder, "trace")
    # -D: the tracer is the grandchild, so that the process started is the server.
    wrap = [STRACE, "-D", "-f", "-y", "-s", "200", "-e", "trace=%file,%desc,io_uring_enter", "-o", trace]
    try:
        server = Server(OURS, ["--libos-files", how], wrap=wrap)
    except RuntimeError as e:
        shutil.rmtree(folder)
        return tap.skip(how + ": the loop's thread does nothing to files", "no strace here: %s" % str(e).splitlines()[-1])
    with server:
        c = server.client(60.0)
        fill(c, 4)
        before = hashlib.sha256(value_of(c, "large:3")).digest()
        for i in range(2):
            reply = c.call("DEBUG", "RELOAD").raw()
            tap.ok(reply == b"+OK\r\n", "DEBUG RELOAD %d" % (i + 1), [reply])
        tap.ok(hashlib.sha256(value_of(c, "large:3")).digest() == before, "the data came back")
        tap.ok(c.call("LLEN", "list").raw() == b":2000\r\n", "and the list")
        c.call("DEBUG", "RELOAD", "NOSAVE")
        uring = by_uring(c)
        pid, log, claimed = server.pid, server.log, server.dir
        os.kill(pid, signal.SIGTERM)
        server.process.wait(20)
        calls = calls_after(calls_of(read_trace(trace, pid)), log, "Ready to accept")
    shutil.rmtree(folder)
    theirs = {call for thread, call, rest in calls if thread != pid and touches(call, rest, log)}
    ours = [(call, rest) for thread, call, rest in calls if thread == pid and touches(call, rest, log)]
    at_the_end = lambda call, rest: (call == "unlink" and "/s.sock" in rest) or (call == "close" and file_of(rest) == claimed)
    ours = [(call, rest) for call, rest in ours if not at_the_end(call, rest)]
    tap.ok(not ours, how + ": the loop's thread does nothing to files", ["%s(%s" % call for call in ours[:20]])
    tap.ok(not (uring and how == "threads"), how + ": threads where they were asked for")
    wanted = {"openat", "rename", "close"} | (set() if uring else {"pwritev", "pread64", "fsync"})  # the kernel's own work
    tap.ok(theirs >= wanted and (not uring or "io_uring_enter" in {call for _, call, _ in calls}),
           how + ": others open, write, read, flush, rename and close them", [sorted(theirs)])
    opened = [rest for _, call, rest in calls if call == "openat" and re.match('AT_FDCWD.*"dump.rdb"', rest)]
    tap.ok(len(opened) == 3, "each reload opens the file", opened)
    said = [rest for thread, call, rest in calls if thread == pid and call.startswith("write") and file_of(rest) == log]
    tap.ok(any("DB saved" in rest for rest in said), "the loop's thread is seen: it writes the log", said[:20])
    steps = [step for step in map(step_of, calls) if step]
    order = ["flush the file", "close the file", "rename", "flush the folder"]
    tap.ok(steps == [step for step in order if not uring or "flush" not in step] * 2,
           "each save flushes, closes, renames, flushes the folder", steps)
    return None


def pipelines_and_other_clients():
    with Server(OURS) as server:
        a, b = server.client(60.0), server.client(60.0)
        fill(a, 8)
        a.send(b"SET k 1\r\nDEBUG RELOAD\r\nINCR k\r\nDEBUG RELOAD NOSAVE\r\nGET k\r\n")
        for _ in range(50):
            b.send(b"PING\r\n")
        replies = [a.read().raw() for _ in range(5)]
        tap.ok(replies == [b"+OK\r\n", b"+OK\r\n", b":2\r\n", b"+OK\r\n", b"$1\r\n1\r\n"], "what follows in a pipeline waits", replies)
        tap.ok([b.read().raw() for _ in range(50)] == [b"+PONG\r\n"] * 50, "and so does everybody else")


def log_of(server):
    with open(server.log, errors="replace") as f:
        return f.read()


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def save_fails(server, c, folder, doing, claim):
    """DEBUG RELOAD is refused; nothing is lost, in memory and on disk."""
    dump = os.path.join(folder, "dump.rdb")
    old = contents(dump) if os.path.isfile(dump) else None
    keys = c.call("DBSIZE").raw()
    reply = c.call("DEBUG", "RELOAD").raw()
    tap.ok(reply.startswith(b"-ERR"), claim + ": an error", [reply])
    tap.ok("Error saving the DB on disk, " + doing in log_of(server), claim + ": the log says what failed",
           server.log_tail(3))
    if old is not None:
        tap.ok(contents(dump) == old, claim + ": the file that was there is there")
    if os.path.isdir(folder):
        left = [name for name in os.listdir(folder) if name.startswith("temp-")]
        tap.ok(not left, claim + ": no temporary file stays", left)
    tap.ok(c.call("DBSIZE").raw() == keys, claim + ": no key is lost")


def reload_works(c, claim):
    reply = c.call("DEBUG", "RELOAD").raw()
    tap.ok(reply == b"+OK\r\n", claim, [reply])


def a_limit_of_size(how):
    with Server(OURS, ["--libos-files", how]) as server:
        c = server.client(60.0)
        c.call("SET", "k", "v")
        reload_works(c, "a small save")
        fill(c, 4)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        save_fails(server, c, server.dir, "writing: File too large", how + ": a file beyond the limit")
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        reload_works(c, "without the limit it works")


def a_full_disk(how):
    mount = tempfile.mkdtemp(prefix="demikv-full-")
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], check=False).returncode:
        os.rmdir(mount)
        return tap.skip("a full disk", "cannot mount a small one here")
    try:
        with Server(OURS, ["--dir", mount, "--libos-files", how]) as server:
            c = server.client(60.0)
            c.call("SET", "k", "v")
            reload_works(c, "a small save on a small disk")
            fill(c, 4)
            save_fails(server, c, mount, "writing: No space left on device", how + ": a full disk")
            c.call("FLUSHALL")
            reload_works(c, "with less data it works")
    finally:
        subprocess.run(["umount", mount], check=True)
        os.rmdir(mount)
    return None


def names_that_cannot_be():
    with Server(OURS, ["--enable-protected-configs", "yes"]) as server:
        c = server.client(60.0)
        c.call("SET", "k", "v")
        dump = os.path.join(server.dir, "dump.rdb")
        os.mkdir(dump)
        save_fails(server, c, server.dir, "renaming the temporary file: Is a directory", "a folder of the file's name")
        reply = c.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").raw()
        tap.ok(reply.startswith(b"-ERR") and "reading failed: Is a directory" in log_of(server), "a folder is not read",
               server.log_tail(3))
        os.rmdir(dump)
        reply = c.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").raw()
        tap.ok(reply.startswith(b"-ERR") and "opening dump.rdb: No such file" in log_of(server), "no file is said",
               server.log_tail(3))
        reload_works(c, "afterwards it works")
        folder = os.path.join(server.dir, "gone")
        os.mkdir(folder)
        c.call("CONFIG", "SET", "dir", folder)
        os.rmdir(folder)
        save_fails(server, c, folder, "opening the temporary file: No such file", "a working directory that is gone")


def files_with_faults():
    with Server(OURS) as server:
        c = server.client(60.0)
        fill(c, 2)
        reload_works(c, "a good file")
        dump = os.path.join(server.dir, "dump.rdb")
        good = contents(dump)
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        for bad, why in ((good[:len(good) // 2], "the data ends in the middle of a value"), (bytes(flipped), ""),
                         (b"", "the data ends in the middle of a value"), (b"X" * 100, "wrong signature")):
            with open(dump, "wb") as f:
                f.write(bad)
            told = log_of(server).count("Error loading the DB from disk at byte")
            reply = c.call("DEBUG", "RELOAD", "NOSAVE").raw()
            log = log_of(server)
            tap.ok(reply.startswith(b"-ERR") and log.count("Error loading the DB from disk at byte") == told + 1 and
                   why in log.splitlines()[-1], "a file of %d bytes with a fault is refused" % len(bad), server.log_tail(2))
        with open(dump, "wb") as f:
            f.write(good)
        reply = c.call("DEBUG", "RELOAD", "NOSAVE").raw()
        tap.ok(reply == b"+OK\r\n" and c.call("DBSIZE").raw() == b":43\r\n", "the good one is read", [reply])


# call, errno, of which file, what the log says. The folder is flushed when the new file is in its place already.
STEPS = (
    ("openat", "EACCES", "temp-%d.rdb", "opening the temporary file: Permission denied"),
    ("pwritev", "EDQUOT", "temp-%d.rdb", "writing: Disk quota exceeded"),
    ("pwritev", "EIO", "temp-%d.rdb", "writing: Input/output error"),
    ("fsync", "EIO", "temp-%d.rdb", "flushing the temporary file: Input/output error"),
    ("close", "ENOSPC", "temp-%d.rdb", "closing the temporary file: No space left on device"),
    ("close", "EIO", "temp-%d.rdb", "closing the temporary file: Input/output error"),
    ("rename", "EACCES", "temp-%d.rdb", "renaming the temporary file: Permission denied"),
)


def every_step_may_fail():
    with Server(OURS, ["--libos-files", "threads"]) as server:
        c = server.client(60.0)
        c.call("SET", "k", "v")
        reload_works(c, "before anything fails")
        if not can_attach(server):
            return tap.skip("every step may fail", "strace cannot attach here")
        for call, error, name, said in STEPS:
            c.call("INCR", "n")  # so that a new file would differ from the old one
            with Tampering(server, call, "error=" + error, [name % server.pid]):
                save_fails(server, c, server.dir, said, "%s of %s" % (error, call))
        with Tampering(server, "fsync", "error=EIO", [server.dir]):
            reply = c.call("DEBUG", "RELOAD").raw()
        tap.ok(reply.startswith(b"-ERR") and "flushing the folder: Input/output error" in log_of(server),
               "a folder that is not flushed is an error", [reply])
        for call, error, said in (("openat", "EACCES", "opening dump.rdb: Permission denied"),
                                  ("pread64", "EIO", "reading failed: Input/output error")):
            with Tampering(server, call, "error=" + error, ["dump.rdb"]):
                reply = c.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").raw()
            tap.ok(reply.startswith(b"-ERR") and said in log_of(server), "%s of %s while it is read" % (error, call), [reply])
        reload_works(c, "and after it")
    return None


def who_goes_meanwhile():
    """A disk that takes its time: clients wait, one of them goes, and a signal to end comes."""
    with Server(OURS, ["--libos-files", "threads"]) as server:
        a, b = server.client(60.0), server.client(60.0)
        a.call("SET", "k", "v")
        if not can_attach(server):
            return tap.skip("who goes meanwhile", "strace cannot attach here")
        with Tampering(server, "fsync", "delay_enter=700000", ["temp-%d.rdb" % server.pid]):
            begin = time.monotonic()
            a.send(b"DEBUG RELOAD\r\n")
            time.sleep(0.1)
            a.close()
            reply, lasted = b.call("GET", "k").raw(), time.monotonic() - begin
            tap.ok(reply == b"$1\r\nv\r\n" and lasted > 0.4, "another client is served when the disk is done", [reply, lasted])
            reply = b.call("CLIENT", "LIST").text()
            tap.ok(reply.count(b"\n") == 1, "who has gone is gone", [reply])
            tap.ok(os.path.isfile(os.path.join(server.dir, "dump.rdb")), "the file is written although nobody waits for it")
            os.remove(os.path.join(server.dir, "dump.rdb"))
            b.send(b"DEBUG RELOAD\r\n")
            time.sleep(0.1)
            os.kill(server.pid, signal.SIGTERM)
            reply, code = b.read().raw(), server.process.wait(20)
        tap.ok(reply == b"+OK\r\n" and code == 0, "a signal to end waits until the command has its reply", [reply, code])
        whole = contents(os.path.join(server.dir, "dump.rdb"))
        left = [name for name in os.listdir(server.dir) if name.startswith("temp-")]
        tap.ok(whole[:5] == b"REDIS" and whole[-9] == 0xff and not left, "and the file is whole", [whole[-20:], left])
    return None


def a_pipe_of_the_files_name():
    with Server(OURS) as server:
        c = server.client(20.0)
        os.mkfifo(os.path.join(server.dir, "dump.rdb"))
        reply = c.call("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").raw()
        tap.ok(reply.startswith(b"-ERR"), "a pipe that nobody writes to is no file", [reply])
        tap.ok(c.call("PING").raw() == b"+PONG\r\n", "and holds nobody up")


def without_io_uring():
    """A kernel that refuses it, and one that does not take everything any more: threads go on."""
    refuse = [STRACE, "-D", "-f", "-o", "/dev/null", "-e", "trace=io_uring_setup", "-e", "inject=io_uring_setup:error=EPERM"]
    try:
        server = Server(OURS, wrap=refuse)
    except RuntimeError as e:
        return tap.skip("without io_uring", "no strace here: %s" % str(e).splitlines()[-1])
    with server:
        c = server.client(60.0)
        fill(c, 2)
        reload_works(c, "an administrator who forbids io_uring")
        tap.ok(not by_uring(c), "has it done by threads")
    with Server(OURS) as server:
        c = server.client(60.0)
        fill(c, 4)
        reload_works(c, "a reload before")
        if not by_uring(c) or not can_attach(server):
            return tap.skip("a ring that ends", "no io_uring here")
        with Tampering(server, "io_uring_enter", "error=EAGAIN:when=3", []):
            reload_works(c, "a ring that ends in the middle")
        tap.ok(not by_uring(c) and c.call("DBSIZE").raw() == b":85\r\n", "threads go on, and nothing is lost")
        reload_works(c, "a reload after")
    return None


def a_filter_of_calls_means_threads():
    """Under a filter nothing is tried that it may kill for."""
    with Server(OURS, wrap=[sys.executable, os.path.join(FOLDER, "service_filter.py")]) as server:
        c = server.client(60.0)
        c.call("SET", "k", "v")
        reload_works(c, "under the filter of a service")
        tap.ok(not by_uring(c), "it is done by threads")


for backend in ("auto", "threads"):
    loop_leaves_files_alone(backend)
    a_limit_of_size(backend)
    a_full_disk(backend)
a_filter_of_calls_means_threads()
without_io_uring()
every_step_may_fail()
who_goes_meanwhile()
a_pipe_of_the_files_name()
pipelines_and_other_clients()
names_that_cannot_be()
files_with_faults()
tap.done()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A server that crashes says why in its log, soon, and ends by the signal that it was hit by."""
import ctypes
import os
import platform
import re
import resource
import signal
import socket
import sys
import time

from here import FOLDER, OURS, Server, Tap, need_server, skip_all

PARTS = ["=== REDIS BUG REPORT START: Cut & paste starting from here ===", "------ STACK TRACE ------",
         "------ INFO OUTPUT ------", "redis_version:7.2.4", "------ CLIENT LIST OUTPUT ------",
         "=== REDIS BUG REPORT END. Make sure to include from START to END. ==="]
TGKILL = {"x86_64": 234, "aarch64": 131}.get(platform.machine())
CURRENT = "------ CURRENT CLIENT INFO ------"


def connect(server):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(server.path)
    return s


def send(s, *words):
    words = [w.encode() for w in words]
    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))


def call(s, *words):
    send(s, *words)
    return s.recv(4096)


def report(server, begin):
    """Waits for the end: how it ended, after how long, and the log."""
    status = server.process.wait(30)
    with open(server.log, errors="replace") as f:
        return status, time.monotonic() - begin, f.read()


def check(tap, claim, status, want, seconds, text, wanted, unwanted=()):
    missing = [w for w in wanted if w not in text]
    extra = [u for u in unwanted if u in text]
    tap.ok(status == want and seconds < 10 and not missing and not extra, claim,
           ["ended with %s after %.2f s; missing %r, not wanted %r" % (status, seconds, missing, extra)])


def crash(tap, claim, hit, want, wanted, unwanted=(), args=(), before=(), wrap=()):
    server = Server(OURS, list(args), wrap=wrap)
    try:
        with connect(server) as s:
            for words in before:
                call(s, *words)
            call(s, "SET", "k", "v")
            begin = time.monotonic()
            hit(server, s)
            status, seconds, text = report(server, begin)
        check(tap, claim, status, want, seconds, text, wanted, unwanted)
    finally:
        server.stop()


def told(server):
    with open(server.log, errors="replace") as f:
        return f.read().count("--- WATCHDOG TIMER EXPIRED ---")


def watch(tap):
    """watchdog-period: a late loop is told once, with its stack; a loop in time, or without a watchdog, is not."""
    server = Server(OURS, [])
    try:
        with connect(server) as s:
            call(s, "DEBUG", "SLEEP", "0.5")
            tap.ok(told(server) == 0, "no watchdog unless asked for")
            bad = call(s, "CONFIG", "SET", "watchdog-period", "-1")
            tap.ok(bad.startswith(b"-ERR") and call(s, "CONFIG", "SET", "watchdog-period", "1") == b"+OK\r\n",
                   "watchdog-period is set while it runs", [bad])
            time.sleep(0.5)
            begin = time.monotonic()
            slept = call(s, "DEBUG", "SLEEP", "1")
            took = time.monotonic() - begin
            tap.ok(slept == b"+OK\r\n" and took >= 1, "who is looked at is not woken", [slept, took])
            with open(server.log, errors="replace") as f:
                log = f.read()
            wanted = r"# \n--- WATCHDOG TIMER EXPIRED ---\n\n------ STACK TRACE ------\nEIP:\n.*\n\nBacktrace:\n(?:.*\n)*?debug_sleep\+(?:.*\n)*?.*# --------\n"
            tap.ok(re.search(wanted, log) and call(s, "PING") == b"+PONG\r\n", "a late loop is told of with its stack, and goes on", log.splitlines()[-30:])
            before = told(server)
            call(s, "CONFIG", "SET", "watchdog-period", "0")
            call(s, "DEBUG", "SLEEP", "0.5")
            tap.ok(told(server) == before, "and no longer when it is off")
            call(s, "CONFIG", "SET", "watchdog-period", "200")
            send(s, "DEBUG", "SEGFAULT")
            status, seconds, text = report(server, time.monotonic())
        check(tap, "a server with a watchdog crashes as others do", status, -signal.SIGSEGV, seconds, text, PARTS)
    finally:
        server.stop()


def by_signal(sig):
    return lambda server, s: os.kill(server.pid, sig)


def by_debug(*words):
    return lambda server, s: send(s, "DEBUG", *words)


def in_another_thread(server, s):
    other = [int(t) for t in os.listdir("/proc/%d/task" % server.pid) if int(t) != server.pid][0]
    ctypes.CDLL(None).syscall(TGKILL, server.pid, other, int(signal.SIGSEGV))


def again_and_again(server, s):
    while server.alive():
        try:
            os.kill(server.pid, signal.SIGSEGV)
        except OSError:
            break
        time.sleep(0.002)


def in_transaction(server, s):
    call(s, "MULTI")
    call(s, "GET", "k")
    call(s, "DEBUG", "SEGFAULT")
    send(s, "EXEC")


def in_a_long_command(server, s):
    call(s, "SETRANGE", "long", "200000000", "x")
    call(s, "MULTI")
    for _ in range(300):
        call(s, "BITCOUNT", "long")
    send(s, "EXEC")
    time.sleep(0.3)
    os.kill(server.pid, signal.SIGSEGV)


need_server()
if not os.path.exists("/proc/self/exe"):
    skip_all("no /proc")
with open(OURS, "rb") as program:
    if re.search(b"__[at]san_init", program.read()):
        skip_all("a sanitizer has the signals")
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
tap = Tap()
for sig in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT):
    crash(tap, "%s from outside: reported, and ends by it" % sig.name, by_signal(sig), -sig,
          PARTS + ["Redis 7.2.4 crashed by signal: %d, si_code: 0" % sig, "Killed by PID: %d" % os.getpid()], [CURRENT])
crash(tap, "DEBUG SEGFAULT: where, who, what", by_debug("SEGFAULT"), -signal.SIGSEGV,
      PARTS + ["crashed by signal: 11, si_code: 2", "Accessing address: 0x", "Crashed running the instruction at: 0x",
               "debug_segfault", "run_plain", "worker_run", "------ REGISTERS ------", CURRENT, "argv[1]: 'SEGFAULT'",
               "cmd=debug", "------ FAST MEMORY TEST ------", "Fast memory test PASSED"])
crash(tap, "DEBUG PANIC", by_debug("PANIC"), -signal.SIGABRT,
      PARTS + ["Guru Meditation: DEBUG PANIC called at Unix time ", "server/cmd/debug.c", "argv[1]: 'PANIC'"])
crash(tap, "DEBUG ASSERT", by_debug("ASSERT"), -signal.SIGABRT,
      PARTS + ["=== ASSERTION FAILED ===", "'1 == 2' is not true", "debug_assert"])
crash(tap, "DEBUG OOM", by_debug("OOM"), -signal.SIGABRT, PARTS + ["OUT OF MEMORY. Allocating 9223372036854775807 bytes!"])
crash(tap, "in a transaction the command of its queue is named", in_transaction, -signal.SIGSEGV,
      PARTS + [CURRENT, "argv[1]: 'SEGFAULT'"])
crash(tap, "the keys of the command are described", in_a_long_command, -signal.SIGSEGV,
      PARTS + [CURRENT, "argv[0]: 'BITCOUNT'", "key 'long' found in DB containing the following object:",
               "Object type: 0 (string)", "(raw)"], args=["--crash-memcheck-enabled", "no"])
crash(tap, "crash-memcheck-enabled no", by_debug("SEGFAULT"), -signal.SIGSEGV, PARTS, ["FAST MEMORY TEST"],
      ["--crash-memcheck-enabled", "no"])
crash(tap, "crash-log-enabled no", by_signal(signal.SIGSEGV), -signal.SIGSEGV, [], ["BUG REPORT"],
      ["--crash-log-enabled", "no"])
crash(tap, "crash-log-enabled no, while it runs", by_signal(signal.SIGSEGV), -signal.SIGSEGV, [], ["BUG REPORT"],
      before=[("CONFIG", "SET", "crash-log-enabled", "no")])
crash(tap, "and yes again", by_signal(signal.SIGSEGV), -signal.SIGSEGV, PARTS, ["after all"],
      ["--crash-log-enabled", "no"], [("CONFIG", "SET", "crash-log-enabled", "yes")])
crash(tap, "crash-log-enabled no: a panic is told shortly", by_debug("PANIC"), -signal.SIGABRT, ["Guru Meditation"],
      ["STACK TRACE", "INFO OUTPUT"], ["--crash-log-enabled", "no"])
crash(tap, "use-exit-on-panic", by_debug("PANIC"), 1, PARTS + ["Guru Meditation"], [], ["--use-exit-on-panic", "yes"])
crash(tap, "hit again and again it still ends by the signal", again_and_again, -signal.SIGSEGV, PARTS[:1])
watch(tap)
crash(tap, "SIGTERM ends in order", by_signal(signal.SIGTERM), 0, ["ready to exit, bye bye"], ["BUG REPORT"])
if TGKILL:
    crash(tap, "a thread that helps crashes", in_another_thread, -signal.SIGSEGV, PARTS)
crash(tap, "under a service's filter of system calls, too", by_debug("SEGFAULT"), -signal.SIGSEGV, PARTS + ["test PASSED"],
      wrap=[sys.executable, os.path.join(FOLDER, "service_filter.py")])
crash(tap, "a large server's report takes no longer", by_debug("SEGFAULT"), -signal.SIGSEGV, PARTS + ["pages tested"], [],
      before=[("DEBUG", "POPULATE", "1000000"), ("DEBUG", "POPULATE", "100", "big", "3000000")])

tap.done()

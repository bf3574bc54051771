#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who is "local": loopback and Unix sockets are, everybody else is not, however the connection came and went.

Runs in a network namespace of its own, whose loopback device has two more addresses: whoever connects to one of them comes
from it, as from another host. A client may send a command and reset the connection at once; while the server sleeps in a
command that happens before it accepts, when the kernel does not know the peer's address any more.
"""
import os
import socket
import struct
import subprocess
import sys
import time

from here import OURS, Server, Tap, need, need_server, skip_all

HERE4, HERE6, THERE4, THERE6 = "127.0.0.1", "::1", "10.98.76.1", "fd00:98:76::1"
TRIES = 100


def enter_namespace():
    need("ip")
    unshare = need("unshare")
    if os.environ.get("LOCAL_PEERS_INSIDE"):
        for words in (["link", "set", "lo", "up"], ["addr", "add", THERE4 + "/32", "dev", "lo"],
                      ["addr", "add", THERE6 + "/128", "dev", "lo", "nodad"]):
            subprocess.run(["ip"] + words, check=False, stderr=subprocess.DEVNULL)
        return
    flags = ["--net"] if os.geteuid() == 0 else ["--net", "--user", "--map-root-user"]
    if subprocess.run([unshare] + flags + ["true"], stderr=subprocess.DEVNULL).returncode:
        skip_all("no network namespace may be made here")
    os.environ["LOCAL_PEERS_INSIDE"] = "1"
    os.execv(unshare, [unshare] + flags + [sys.executable, os.path.abspath(__file__)])


def request(*words):
    words = [w.encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def connect(server, host):
    if host == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(server.path)
        return s
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(10)
    s.connect((host, server.port))
    return s


def ask(server, host, *words):
    """The reply's first bytes; b"" when the connection was closed without one."""
    with connect(server, host) as s:
        try:
            s.sendall(request(*words))
            return s.recv(4096)
        except ConnectionResetError:
            return b""


def hit_and_run(server, host, *words):
    s = connect(server, host)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.sendall(request(*words))
    s.close()


def attack(server, host, *words):
    """Many times: while the server sleeps, so that it accepts what was reset already, and while it does not."""
    sleeper = connect(server, "unix")
    sleeper.sendall(request("DEBUG", "SLEEP", "0.3"))
    time.sleep(0.05)
    for _ in range(TRIES):
        hit_and_run(server, host, *words)
    assert sleeper.recv(100) == b"+OK\r\n"
    sleeper.close()
    for _ in range(TRIES):
        hit_and_run(server, host, *words)


ADDRESSES = ["--bind", HERE4, "-" + HERE6, THERE4, "-" + THERE6]


def server_with(*args):
    return Server(OURS, ADDRESSES + list(args), tcp=True)


def has(host):
    with socket.socket(socket.AF_INET6) as s:
        try:
            s.bind((host, 0))
            return True
        except OSError:
            return False


need_server()
enter_namespace()
tap = Tap()
SIX = has(HERE6) and has(THERE6)
LOCALS = ["unix", HERE4] + ([HERE6] if SIX else [])
REMOTES = [THERE4] + ([THERE6] if SIX else [])

with server_with("--enable-debug-command", "local", "--enable-protected-configs", "local") as server:
    for host in LOCALS:
        tap.ok(ask(server, host, "PING") == b"+PONG\r\n", "protected mode lets %s in" % host)
    for host in REMOTES:
        got = ask(server, host, "PING")
        tap.ok(got.startswith(b"-DENIED "), "protected mode refuses %s" % host, [got])
        attack(server, host, "CONFIG", "SET", "protected-mode", "no")
        got = ask(server, "unix", "CONFIG", "GET", "protected-mode")
        tap.ok(got.endswith(b"$3\r\nyes\r\n"), "nobody at %s turns it off and runs" % host, [got])
        attack(server, host, "SET", "stolen", "1")
        attack(server, host, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
        attack(server, host, "CONFIG", "SET", "dbfilename", "stolen.rdb")
        got = ask(server, "unix", "EXISTS", "stolen") + ask(server, "unix", "CONFIG", "GET", "dbfilename")
        tap.ok(got.startswith(b":0\r\n") and b"stolen" not in got, "nor runs anything else", [got])
    for host in LOCALS:
        hit = ask(server, host, "SET", "here", "1") == b"+OK\r\n" and ask(server, "unix", "DEL", "here") == b":1\r\n"
        tap.ok(hit, "%s is still served" % host)
    sleeper = connect(server, "unix")
    sleeper.sendall(request("DEBUG", "SLEEP", "0.3"))
    time.sleep(0.05)
    for _ in range(TRIES):
        hit_and_run(server, HERE4, "SET", "reset", "1")
    sleeper.recv(100)
    got = ask(server, "unix", "EXISTS", "reset")
    tap.ok(got == b":0\r\n", "a connection reset before it was accepted runs nothing", [got])

with server_with("--protected-mode", "no", "--enable-debug-command", "local", "--enable-protected-configs", "local",
                 "--enable-module-command", "local") as server:
    for what, words, good in (
            ("enable-debug-command", ("DEBUG", "SET-ACTIVE-EXPIRE", "1"), b"+OK\r\n"),
            ("enable-protected-configs", ("CONFIG", "SET", "dbfilename", "other.rdb"), b"+OK\r\n"),
            ("enable-module-command", ("MODULE", "LOAD", "/nonexistent"), None)):
        for host in LOCALS:
            if good:
                got = ask(server, host, *words)
                tap.ok(got == good, "%s local: %s may" % (what, host), [got])
        for host in REMOTES:
            got = ask(server, host, *words)
            tap.ok(got.startswith(b"-ERR "), "%s local: %s may not" % (what, host), [got])
            attack(server, host, *words)
    got = b"".join(ask(server, host, "CONFIG", "GET", "dbfilename") for host in ("unix", THERE4))
    tap.ok(got.count(b"other.rdb") == 2, "and the server lives", [got])

with server_with("--requirepass", "secret") as server:
    for host in LOCALS + REMOTES:
        got = ask(server, host, "PING")
        tap.ok(got.startswith(b"-NOAUTH "), "with a password %s is asked for it" % host, [got])

for option, words in (("enable-debug-command", ("DEBUG", "SET-ACTIVE-EXPIRE", "1")),
                      ("enable-protected-configs", ("CONFIG", "SET", "dbfilename", "other.rdb"))):
    for value in ("no", "yes"):
        with server_with("--protected-mode", "no", "--" + option, value) as server:
            for host in (HERE4, THERE4):
                got = ask(server, host, *words)
                want = b"+OK\r\n" if value == "yes" else b"-ERR "
                tap.ok(got.startswith(want), "%s %s holds for %s" % (option, value, host), [got])
tap.done()

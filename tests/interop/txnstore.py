#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""demi/examples/txnstore: three replicas and a client as processes, over kernel sockets. The one that leads is killed in the middle and comes
back from its log; no write is lost and none is made twice, and all three end with the same data."""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from tap import Tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
REPLICA, CLIENT = (os.path.join(BUILD, "examples", "txnstore-" + name) for name in ("replica", "client"))
OPS, KEYS = 3, 200


def free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Store:
    def __init__(self, libos):
        self.env = dict(os.environ, LIBOS=libos)
        self.folder = tempfile.mkdtemp(prefix="txnstore-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.ports = free_ports(3)
        self.addresses = ["127.0.0.1:%d" % port for port in self.ports]
        self.processes = [None] * 3
        self.clients = []

    def log(self, i):
        return os.path.join(self.folder, "log%d" % i)

    def replica(self, i, *words, log=None):
        return subprocess.Popen([REPLICA, str(i)] + self.addresses + [log or self.log(i)] + list(words), env=self.env, stderr=subprocess.PIPE, text=True)

    def start(self, i, *words):
        self.processes[i] = self.replica(i, *words)

    def client(self, *words):
        self.clients.append(subprocess.Popen([CLIENT] + self.addresses + [str(word) for word in words], env=self.env, stdout=subprocess.PIPE, text=True))
        return self.clients[-1]

    def said(self, *words):
        return self.client(*words).communicate(timeout=60)[0]

    def status(self):
        return [dict(re.findall(r"(\w+) (\w+)", line), role=line.split(" ")[1].rstrip(",")) for line in self.said("status").splitlines()]

    def leader(self):
        """Its number; None: there is none for ten seconds."""
        for _ in range(100):
            leaders = [i for i, one in enumerate(self.status()) if one["role"] == "leader"]
            if leaders:
                return leaders[0]
            time.sleep(0.1)
        return None

    def in_step(self):
        for _ in range(100):
            seen = self.status()
            if len({(one.get("applied"), one.get("digest")) for one in seen}) == 1 and seen[0].get("keys") != "0":
                return True
            time.sleep(0.1)
        return False

    def close(self):
        for process in self.processes + self.clients:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def check(tap, libos):
    store = Store(libos)
    try:
        refused = store.replica(0)
        why = refused.communicate(timeout=20)[1]
        tap.ok(refused.returncode == 1 and "cannot be used" in why, libos + ": a replica without its log does not start", [why])
        for i in range(3):
            store.start(i, "create")
        leader = store.leader()
        tap.ok(leader is not None, libos + ": one of three leads")
        load = store.client("run", 8, 3000, OPS, KEYS, "zipf", 20)
        time.sleep(0.5)
        store.processes[leader].kill()
        store.processes[leader].wait()
        time.sleep(0.5)
        store.start(leader)
        text = load.communicate(timeout=100)[0]
        counts = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)[,;]", text)}
        tap.ok(counts.get("committed", 0) + counts.get("unknown", 0) == 3000 and counts["committed"] > 2900, libos + ": clients go on while it is away", [text])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for port in store.ports:
                for junk in (b"", b"TXN", b"TXN\1" + os.urandom(30), os.urandom(9000)):
                    s.sendto(junk, ("127.0.0.1", port))
        tap.ok(store.in_step(), libos + ": all end with the same data", store.status())
        tap.ok(all(int(one["refused"]) >= 3 for one in store.status()), libos + ": what is no message is refused and counted", store.status())
        before = int(store.said("sum", KEYS))
        text = store.said("run", 4, 500, OPS, KEYS, "uniform")
        committed, unknown = int(re.search(r"(\d+) committed", text).group(1)), int(re.search(r"(\d+) unknown", text).group(1))
        grown = int(store.said("sum", KEYS)) - before
        tap.ok(committed * OPS <= grown <= (committed + unknown) * OPS, libos + ": each write is there, once", [text, grown])
        for process in store.processes:
            process.terminate()
        ends = [process.communicate(timeout=20)[1] for process in store.processes]
        tap.ok(all(p.returncode == 0 for p in store.processes) and all("ends: " in end for end in ends), libos + ": SIGTERM ends them in order", ends)
        other = store.replica(0, log=store.log(1))
        why = other.communicate(timeout=20)[1]
        tap.ok(other.returncode == 1 and "another replica's" in why, libos + ": another replica's log is refused", [why])
    finally:
        store.close()


tap = Tap()
for name in ("posix", "uring"):
    check(tap, name)
tap.done()

# SPDX-License-Identifier: MIT
"""Servers of a fleet: which there are, and what a test asks of them. Ours, Debian's redis-server, and whatever FLEET_ALSO names
(paths, separated by colons)."""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from resp import Client, Closed, Silent  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

PATIENCE = 60  # seconds; nothing is decided by them: who needs them all has failed
USUAL = ["--repl-diskless-sync-delay", "0", "--repl-timeout", "60", "--hz", "50", "--client-output-buffer-limit", "replica 256mb 64mb 60"]


class Kind:
    """A program: what it is called, and which RDB version it writes to a replica and reads."""

    def __init__(self, path, ours=False):
        said = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
        found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
        version = tuple(int(n) for n in found.groups()) if found else (7, 2, 4)
        self.path, self.ours = path, ours
        self.name = "ours" if ours else "redis " + ".".join(map(str, version))
        self.reads = 11 if version >= (7, 2) else 10
        self.writes = 10 if "demikv" in said.lower() else self.reads  # to who does not say what it reads
        self.version = version

    def may_follow(self, primary):
        return self.reads >= primary.writes


def kinds():
    """Ours first; without a program of redis-server's there is nothing to be compared with."""
    for path in (OURS, REDIS):
        if not os.access(path, os.X_OK):
            skip_all("no " + path)
    also = [path for path in os.environ.get("FLEET_ALSO", "").split(":") if path]
    return [Kind(OURS, ours=OURS != REDIS)] + [Kind(path) for path in [REDIS] + also]


class Node(Server):
    """A server that may replicate."""

    def __init__(self, kind, args=(), **more):
        self.kind = kind
        self.asker = None
        Server.__init__(self, kind.path, USUAL + list(args), tcp=True, **more)

    def ask(self, *words):
        """Over a connection that is kept."""
        for _ in range(2):
            if not self.asker:
                self.asker = Client(self.path, PATIENCE)
            try:
                return self.asker.call(*words)
            except Closed:
                self.asker = None
        raise Closed()

    def text(self, *words):
        return self.ask(*words).text()

    def info(self, section="replication"):
        out = {}
        for line in self.text("INFO", section).decode().splitlines():
            name, colon, value = line.partition(":")
            if colon:
                out[name] = value
        return out

    def offset(self):
        return int(self.info()["master_repl_offset"])

    def digest(self):
        return self.text("DEBUG", "DIGEST")

    def follow(self, port):
        self.ask("REPLICAOF", *(["NO", "ONE"] if port is None else ["127.0.0.1", str(port)]))

    def is_up(self):
        return self.info().get("master_link_status") == "up"

    def stats(self):
        """(sync_full, sync_partial_ok, sync_partial_err)"""
        stats = self.info("stats")
        return tuple(int(stats[name]) for name in ("sync_full", "sync_partial_ok", "sync_partial_err"))

    def stop(self):
        if self.asker:
            self.asker.close()
            self.asker = None
        if self.process and self.process.poll() is None:
            self.process.kill()  # a primary that is asked to end waits for its replicas
            self.process.wait()
        Server.stop(self)


def check(tap, passed, claim, *notes):
    """What is noted is told where it failed."""
    return tap.ok(passed, claim, [] if passed else notes)


def until(what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def in_step(primary, *followers, seconds=PATIENCE):
    """Whether all come to the primary's offset, with nobody writing."""
    return until(lambda: all(f.is_up() and f.offset() == primary.offset() for f in followers), seconds)


__all__ = ["Client", "Closed", "Kind", "Node", "OURS", "PATIENCE", "REDIS", "Silent", "Tap", "check", "in_step", "kinds", "skip_all", "until"]

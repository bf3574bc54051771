# SPDX-License-Identifier: MIT
"""Section shm: 64 bytes there and back beside a bare cache line (tests/bench/shm_bench.c), the server's clients over shared memory, and instructions
of a message, by callgrind."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile

import rig
from rig import Failed, load, start_server
from speed import mid
from table import Table, median

PROGRAM = os.path.join(rig.BUILD, "bench/shm_bench")
MESSAGES = 32 * 200
PARTS = [("receive", "a record in the ring to a completed pop"), ("send", "a push to its record, and its share of the flush"),
         ("echo", "pop waited for, push, wait, next pop")]
GOAL_PING, GOAL_P50_US, GOAL_RPS = 1.6, 1.2, 2.5e6


@contextlib.contextmanager
def on_shm():
    """Programs started here that say nothing of their libOS have shared memory."""
    before = os.environ.get("LIBOS")
    os.environ["LIBOS"] = "shm"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LIBOS"]
        else:
            os.environ["LIBOS"] = before


def pings(rounds):
    found = {}
    for _ in range(rounds):
        done = subprocess.run([PROGRAM, "ping"], capture_output=True, text=True, timeout=120)
        rows = re.findall(r"^(\w+): 64 bytes there and back (\d+) ns", done.stdout, re.M)
        if done.returncode or len(rows) != 3:
            raise Failed("shm_bench: " + (done.stdout + done.stderr)[-300:])
        for name, ns in rows:
            found.setdefault(name, []).append(int(ns))
    return {name: median(all_ns) for name, all_ns in found.items()}


def ping_table(bench):
    table = Table("Shared memory: 64 bytes there and back", ["", "ns", "of a line", "target", ""])
    found = pings(max(1, bench.rounds // 2))
    for name, what in (("line", "a cache line each way"), ("ring", "the ring alone"), ("demi", "demi_push() and demi_pop() at both ends")):
        times = found[name] / found["line"]
        table.judged(what, found[name], times, value=times, at_most=GOAL_PING if name == "demi" else None)
    return table


def server_table(bench):
    folder = tempfile.mkdtemp(prefix="demikv-bench-")
    path = os.path.join(folder, "p")
    found = {}
    server = start_server("demikv", rig.OURS, more=["--shm-path", path])
    try:
        for _ in bench.progress.rounds(bench.rounds):
            for conns, depth in ((1, 1), (50, 1), (50, 16)):
                with on_shm():
                    figures = load(server, "get", "-s", path, "-c", conns, "-P", depth, "-r", 100000, seconds=bench.burst)
                found.setdefault((server.name, (conns, depth)), []).append(figures)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("GET over shared memory (server and load on a core each)", ["connections, batch", "requests/s", "p50 us", "us CPU of the server", "target", ""])
    for key in ((1, 1), (50, 1), (50, 16)):
        rps, p50, cpu = (mid(found, server.name, key, f) for f in ("rps", "p50_us", "cpu_us"))
        goal = {"value": p50, "at_most": GOAL_P50_US} if key == (1, 1) else {"value": rps, "at_least": GOAL_RPS if key == (50, 1) else None}
        table.judged("%d, %d" % key, rps, p50, cpu, **goal)
    return table


def count(part):
    """Instructions a message, the program's own few included."""
    out = tempfile.mktemp(prefix="demikv-callgrind-")
    try:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=measured", "--callgrind-out-file=" + out, PROGRAM, "instructions", part,
                               str(MESSAGES)], capture_output=True, text=True, timeout=180)
        messages = re.search(r"^(\d+) messages", done.stdout, re.M)
        if done.returncode or not messages:
            raise Failed((done.stdout + done.stderr)[-300:])
        with open(out) as file:
            return int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M).group(1)) / int(messages.group(1))
    finally:
        if os.path.exists(out):
            os.unlink(out)


def instructions_table():
    table = Table("Shared memory: instructions a message of 64 bytes (callgrind)", ["", "instructions"])
    if not shutil.which("valgrind"):
        table.note("valgrind is not installed")
        return table
    for part, what in PARTS:
        table.row("%s: %s" % (part, what), count(part))
    return table


def section_shm(bench):
    yield ping_table(bench)
    yield server_table(bench)
    yield instructions_table()

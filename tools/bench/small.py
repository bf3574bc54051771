# SPDX-License-Identifier: MIT
"""What is not a whole server: sections echo, micro and instructions."""
import glob
import os
import re
import shutil
import subprocess
import tempfile

import rig
from rig import Failed, Target, load, new_port, start_server
from speed import mid, ratio, turns
from table import Table

CALLGRIND_REQUESTS = (4000, 24000)
DEPTH = 16


def start_echo(name, words):
    folder = tempfile.mkdtemp(prefix="demikv-bench-")
    port = new_port()
    target = Target(name, [w.format(port=port) for w in words], folder, ready="")
    target.port = port
    wait_for_port(target)
    return target


def wait_for_port(target):
    """Echo servers need not say that they are ready."""
    for _ in range(200):
        with rig.socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", target.port)) == 0:
                return
        rig.time.sleep(0.02)
    target.stop()
    raise Failed("%s does not listen" % target.name)


def section_echo(bench):
    """64 bytes there and back: the library against a loop written by hand."""
    words = {"epoll": [os.path.join(rig.BUILD, "tools/bench/epoll_echo"), "{port}"],
             "demi": [os.path.join(rig.BUILD, "examples/tcp-echo")] + bench.echo_words}
    servers = []
    found = {}
    try:
        for name in words:
            servers.append(start_echo(name, words[name]))
        for r in bench.progress.rounds(bench.rounds):
            for conns in (1, 50):
                for target in turns(servers, r):
                    found.setdefault((target.name, conns), []).append(
                        load(target, "echo", "-d", 64, "-c", conns, "--spin-us", 0, seconds=bench.burst))
    finally:
        for target in servers:
            target.stop()
    table = Table("Echo of 64 bytes over TCP", ["connections", "p50 us epoll", "p50 us demi", "us CPU epoll", "us CPU demi",
                                                "p50 ratio", "target", ""])
    for conns in (1, 50):
        figures = [mid(found, n, conns, f) for f in ("p50_us", "cpu_us") for n in ("epoll", "demi")]
        times = ratio(figures[1], figures[0])
        table.judged(str(conns), *figures, times, value=times, at_most=1.05 if conns == 1 else None)
    yield table


def section_micro(bench):
    """The programs of tests/bench, as they speak."""
    for path in sorted(glob.glob(os.path.join(rig.BUILD, "bench", "*"))):
        if not os.access(path, os.X_OK) or os.path.isdir(path):
            continue
        table = Table("Micro-benchmark " + os.path.basename(path), [])
        try:
            done = subprocess.run(rig.pinned(rig.SERVER_CPU) + [path], capture_output=True, text=True, timeout=120)
            for line in (done.stdout + done.stderr).splitlines():
                table.note(line)
        except subprocess.TimeoutExpired:
            table.note("ran out of time")
        yield table


def instructions(binary, test, requests):
    """Instructions of a whole server life with that many pipelined requests."""
    out = tempfile.mktemp(prefix="demikv-callgrind-")
    wrap = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out]
    target = start_server("callgrind", binary, wrap=wrap)
    try:
        spin_off(target)
        load(target, test, "-c", 1, "-P", DEPTH, "-n", requests, "-r", 1000, unix=True, measure_cpu=False)
    finally:
        folder = target.folder
        target.process.terminate()
        target.process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
    with open(out) as file:
        found = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M)
    os.unlink(out)
    if not found:
        raise Failed("callgrind counted nothing")
    return int(found.group(1))


def spin_off(target):
    """Turns of an idle loop are not the request's."""
    target.call("CONFIG", "SET", "libos-spin-us", "0")


def section_instructions(bench):
    """Callgrind's count for one pipelined request: the difference of a long and a short run."""
    if not shutil.which("valgrind"):
        table = Table("Instructions a request", [])
        table.note("valgrind is not installed")
        yield table
        return
    few, many = CALLGRIND_REQUESTS
    table = Table("Instructions a request at -P %d (callgrind, library and libc included)" % DEPTH,
                  ["test", "R7", "demikv", "demikv / R7"])
    for test in ("get", "set"):
        counts = []
        for binary in (rig.REDIS, rig.OURS):
            try:
                counts.append((instructions(binary, test, many) - instructions(binary, test, few)) / (many - few))
            except (Failed, OSError, subprocess.TimeoutExpired) as problem:
                table.note("%s: %s" % (os.path.basename(binary), problem))
                counts.append(None)
        table.row(test.upper(), *counts, ratio(counts[1], counts[0]))
    yield table

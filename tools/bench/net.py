# SPDX-License-Identifier: MIT
"""Our own network: sections wire, bypass, bulk and veth.

wire, bypass and bulk join two processes by net_memif, DPDK's shared-memory wire: no kernel is in the path, and none of it needs huge pages
or root. Both ends spin, one on each core. The bare device is measured in the same rounds (wire_echo.c). veth joins two network
namespaces (root): redis-benchmark on Linux's sockets at one end, a server at the other.

Polling processes never get real-time priority here: two of them would leave nothing for anybody else, this program included.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import rig
from rig import Failed, load, pinned
from speed import mid, ratio, turns
from table import Table

EAL = "--no-huge --no-pci -m 128 --no-shconf --vdev net_memif0,role=%s,socket=%s,socket-abstract=no"
SERVER_IP, CLIENT_IP, PORT = "10.9.0.1", "10.9.0.2", 7000
PATIENCE = 20
TOOLS = os.path.join(rig.BUILD, "tools/bench")
PLUGIN = os.path.join(rig.BUILD, "libdemikernel-dpdk.so")


def figures(text):
    return {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", text) if k != "test"}


class Memif:
    """A server process at one end of a memif, clients at the other, one after the other."""

    def __init__(self, words, ready, raw=False):
        if not os.path.exists(PLUGIN):
            raise Failed("no %s: apt-get install libdpdk-dev, and make" % os.path.basename(PLUGIN))
        self.folder = tempfile.mkdtemp(prefix="demikv-bench-")
        self.path = os.path.join(self.folder, "m")
        self.raw = raw
        self.log = os.path.join(self.folder, "log")
        words = [w.replace("EAL", EAL % ("server", self.path)) for w in words]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(pinned(rig.SERVER_CPU) + words, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment("server", SERVER_IP))
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(self.path) or ready not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = self.text()[-300:].strip()
                self.stop()
                raise Failed("%s does not start: %s" % (os.path.basename(words[0]), said))
            time.sleep(0.02)

    def text(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def environment(self, role, address):
        if self.raw:
            return None
        return dict(os.environ, LIBOS="dpdk", EAL=EAL % (role, self.path), ADDRESS=address + "/24", DEMI_PLUGIN_PATH=rig.BUILD)

    def client(self, *words):
        words = [str(w).replace("EAL", EAL % ("client", self.path)) for w in words]
        try:
            done = subprocess.run(pinned(rig.LOAD_CPU) + words, capture_output=True, text=True, timeout=PATIENCE,
                                  env=self.environment("client", CLIENT_IP))
        except subprocess.TimeoutExpired:
            raise Failed("%s ran out of time" % os.path.basename(words[0]))
        if done.returncode or "=" not in done.stdout:
            raise Failed("%s: %s" % (" ".join(words[:2]), (done.stderr or done.stdout).strip()[-300:]))
        return figures(done.stdout)

    def stop(self):
        rig.end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def memif(words, ready="", raw=False):
    """The wire is closed at the end of a `with`: each round has a new one, so that no end is better warmed than the other."""
    wire = Memif(words, ready, raw)
    try:
        yield wire
    finally:
        wire.stop()


def raw_echo(seconds, size):
    tool = os.path.join(TOOLS, "wire_echo")
    with memif([tool, "--plugin", PLUGIN, "--eal", "EAL", "--server"], raw=True) as wire:
        return wire.client(tool, "--plugin", PLUGIN, "--eal", "EAL", "--client", "--machine", "--size", size, "--seconds", seconds)


def netload(modes, seconds):
    tool = os.path.join(TOOLS, "netload")
    with memif([tool, "--server", SERVER_IP, str(PORT)], "ready") as wire:
        return {m: wire.client(tool, m, "--machine", "--seconds", seconds, SERVER_IP, PORT) for m in modes}


def section_wire(bench):
    """64 bytes there and back: bare frames, datagrams, a stream."""
    found = {}
    for _ in bench.progress.rounds(bench.rounds):
        found.setdefault("raw", []).append(raw_echo(bench.burst, 64))
        found.setdefault("raw, frames as long as UDP's", []).append(raw_echo(bench.burst, 106))
        for mode, got in netload(("--udp", "--tcp"), bench.burst).items():
            found.setdefault(mode, []).append(got)
    table = Table("Echo of 64 bytes between two processes over net_memif", ["what", "p50 us", "p99 us", "a second", "x bare frames", "target", ""])
    bare = sorted(f["p50_us"] for f in found["raw"])[len(found["raw"]) // 2]
    for what, goal in (("raw", None), ("raw, frames as long as UDP's", None), ("--udp", 1.25), ("--tcp", 1.4)):
        p50, p99, rps = (sorted(f[k] for f in found[what])[len(found[what]) // 2] for k in ("p50_us", "p99_us", "rps"))
        name = {"raw": "bare frames of 64 bytes", "--udp": "UDP", "--tcp": "TCP"}.get(what, "bare frames of 106 bytes, as long as UDP's")
        table.judged(name, p50, p99, rps, ratio(p50, bare), value=None if goal is None else p50 / bare, at_most=goal)
    table.note("medians of %d rounds; a message of 64 bytes is a frame of 106 under UDP and 130 under TCP with timestamps" % bench.rounds)
    yield table


def section_bypass(bench):
    """GET at -P 1: load generator and server with no kernel between them, and redis-server over loopback beside it."""
    words = [rig.OURS, "--port", str(PORT), "--save", "", "--protected-mode", "no", "--libos", "dpdk", "--libos-eal", "EAL",
             "--libos-address", SERVER_IP + "/24", "--dir", tempfile.gettempdir()]
    bench.fill(1000, 3)
    found = {}
    for r in bench.progress.rounds(bench.rounds):
        with memif(words, "eady to accept connections") as wire:
            for conns, depth in ((1, 1), (50, 1), (50, 16)):
                for test in ("set", "get"):
                    got = wire.client(rig.LOAD, "--machine", "-h", SERVER_IP, "-p", PORT, "-t", test, "-c", conns, "-P", depth, "--seconds",
                                      bench.burst, "--pid", wire.process.pid)
                    found.setdefault(("demikv", (test, conns, depth)), []).append(got)
        for target in turns([bench.redis, bench.ours], r):
            for conns, depth in ((1, 1), (50, 1), (50, 16)):
                for test in ("set", "get"):
                    name = "kernel" if target is bench.ours else target.name
                    found.setdefault((name, (test, conns, depth)), []).append(load(target, test, "-c", conns, "-P", depth, seconds=bench.burst))
    table = Table("GET and SET over net_memif, no kernel in the path; R7 and demikv over loopback beside it",
                  ["test", "connections", "-P", "rps R7", "rps demikv, loopback", "rps demikv, memif", "x R7", "p50 us R7", "p50 us loopback",
                   "p50 us memif", "p99 us memif", "target", ""])
    for test in ("get", "set"):
        for conns, depth in ((1, 1), (50, 1), (50, 16)):
            key = (test, conns, depth)
            rps = [mid(found, n, key, "rps") for n in ("redis", "kernel", "demikv")]
            p50 = [mid(found, n, key, "p50_us") for n in ("redis", "kernel", "demikv")]
            p99 = mid(found, "demikv", key, "p99_us")
            goal = {("get", 1, 1): {"value": p50[2], "at_most": 3.0}, ("get", 50, 1): {"value": rps[2], "at_least": 1e6}}.get(key, {"value": None})
            table.judged(test.upper(), str(conns), str(depth), *rps, ratio(rps[2], rps[0]), *p50, p99, **goal)
            if key == ("get", 50, 1):
                table.keep("rps_memif_get", rps[0], rps[2])
    table.note("targets: p50 of one connection at most 3 us; 50 connections at least 1,000,000 a second")
    yield table


def section_bulk(bench):
    """One flow of 256 KiB pushes."""
    rates = [netload(("--bulk",), bench.burst)["--bulk"]["gbits"] for _ in range(bench.rounds)]
    table = Table("One flow over net_memif, pushes of 256 KiB, acknowledged", ["MTU", "Gbit/s", "lowest", "highest", "target", ""])
    middle = sorted(rates)[len(rates) // 2]
    table.judged("1500", middle, min(rates), max(rates), value=middle, at_least=10.0)
    yield table


# --- veth ------------------------------------------------------------------------------------------------------------------------------

DEVICES = ("redis-server", "posix", "packet", "xdp native", "xdp skb", "dpdk net_af_packet", "dpdk net_af_xdp")


def section_veth(bench):
    """redis-benchmark from Linux's sockets over a veth pair."""
    if os.geteuid() != 0:
        raise Failed("veth wants root")
    found = {}
    for r in bench.progress.rounds(max(1, (bench.rounds + 1) // 2)):
        for device in turns(list(DEVICES), r):
            done = subprocess.run([sys.executable, os.path.join(rig.ROOT, "tools/bench/over_veth.py"), device, str(20000 if bench.quick else 60000)], capture_output=True, text=True,
                                  timeout=180, env=dict(os.environ, BUILD=rig.BUILD, DEMIKV_SERVER=rig.OURS))
            if done.returncode:
                found.setdefault((device, "why"), []).append((done.stderr or done.stdout).strip().splitlines()[-1][-120:])
                continue
            for line in done.stdout.splitlines():
                if line.startswith("test="):
                    found.setdefault((device, line.split()[0][5:]), []).append(figures(line))
    table = Table("redis-benchmark GET at -P 1 from Linux over veth", ["server", "rps, 1 connection", "p50 us", "rps, 50 connections", "p50 us", "x posix"])
    base = mid(found, "posix", "c50", "rps") if ("posix", "c50") in found else None
    best = {}
    for device in DEVICES:
        if (device, "c50") not in found:
            table.note("%s: %s" % (device, found.get((device, "why"), ["did not run"])[0]))
            continue
        cells = [mid(found, device, c, f) for c in ("c1", "c50") for f in ("rps", "p50_us")]
        table.row("redis-server 7.0.15" if device == "redis-server" else "demikv, " + device, *cells, ratio(cells[2], base))
        best[device] = cells
    bypass = {d: c for d, c in best.items() if d not in ("redis-server", "posix")}
    if bypass and "posix" in best:
        top = max(bypass, key=lambda d: bypass[d][2])
        table.missed += bypass[top][2] < best["posix"][2] or bypass[top][3] > best["posix"][3]
        table.note("target: the best bypassing device (%s here) at least as good as posix in rate and p50 at 50 connections: %s" %
                   (top, "ok" if bypass[top][2] >= best["posix"][2] and bypass[top][3] <= best["posix"][3] else "MISS"))
    yield table

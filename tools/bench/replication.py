# SPDX-License-Identifier: MIT
"""What replication costs: section replication. A full synchronisation, at rest and under writes to all keys; what each replica costs the primary per SET, and a replica
per command; how long a failover takes under redis-sentinel. Both ends ours beside both ends redis-server's, in one run.

Primary and replica share the machine's cores with the load, as they would on one host: only ratios mean anything."""
import os
import re
import socket
import subprocess
import threading
import time

import rig
from rig import Failed
from speed import ratio, turns
from table import Table, median

KEYS, QUICK_KEYS = 5000000, 50000
VALUE_SIZE = 64
PATIENCE = 180           # seconds for one synchronisation at rest
LOADED_SECONDS = 75      # within which one under load has to be in step
PROBE_SECONDS = 0.0014   # between two SETs of the one client more, which sees the gaps
SYNC_GOAL, GAP_GOAL_MS, GROWTH_GOAL = 0.4, 3.0, 1.10
STREAM_GOAL_MB, RATE_GOAL = 256, 0.75
FIRST_GOAL_US, NEXT_GOAL_US, APPLY_GOAL = 0.10, 0.05, 0.5
FAILOVER_GOAL = 1.1
SENTINEL = os.path.join(rig.ROOT, "tests", "fleet", "sentinel.py")
MORE = ["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"]


def status_mb(pid, field):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(field + r":\s+(\d+)", file.read()).group(1)) / 1024


def forget_peak(pid):
    with open("/proc/%d/clear_refs" % pid, "w") as file:
        file.write("5")


class Probe:
    """One client more, which writes all the time: the longest it had to wait."""

    def __init__(self, target):
        self.worst_ms, self.over = 0.0, False
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(target.path)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over:
            began = time.monotonic()
            self.sock.sendall(b"SET probe 1\r\n")
            self.sock.recv(64)
            self.worst_ms = max(self.worst_ms, (time.monotonic() - began) * 1000)
            time.sleep(PROBE_SECONDS)

    def end(self):
        self.over = True
        self.thread.join()
        self.sock.close()
        return self.worst_ms


class Pair:
    """A primary with keys, and an empty server to follow it."""

    def __init__(self, name, binary, keys):
        self.name, self.keys = name, keys
        self.primary = rig.start_server(name, binary, MORE, cpu=None)
        self.replicas = []
        self.binary = binary
        rig.fill(self.primary, "set", keys, VALUE_SIZE)

    def replica(self):
        server = rig.start_server(self.name, self.binary, MORE, cpu=None)
        self.replicas.append(server)
        return server

    def follow(self, server):
        server.call("REPLICAOF", "127.0.0.1", str(self.primary.port))

    def drop(self):
        for server in self.replicas:
            server.stop()
        self.replicas = []
        while self.primary.info("connected_slaves") != "0":
            time.sleep(0.02)

    def stop(self):
        for server in self.replicas:
            server.stop()
        self.primary.stop()


def is_up(server):
    return "master_link_status:up" in server.call("INFO", "replication")


def await_up(server, seconds):
    """Seconds until it is in step; None: it is not."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if is_up(server):
            return time.monotonic() - began
        time.sleep(0.02)
    return None


def at_rest(pair):
    """{figure: value} of one synchronisation."""
    server = pair.replica()
    forget_peak(pair.primary.pid)
    before = status_mb(pair.primary.pid, "VmRSS")
    cpu = [rig.cpu_ns(pair.primary.pid), rig.cpu_ns(server.pid)]
    probe = Probe(pair.primary)
    pair.follow(server)
    took = await_up(server, PATIENCE)
    gap = probe.end()
    found = {"took": took, "gap": gap, "growth": status_mb(pair.primary.pid, "VmHWM") / before, "primary": (rig.cpu_ns(pair.primary.pid) - cpu[0]) / 1e9,
             "replica": (rig.cpu_ns(server.pid) - cpu[1]) / 1e9}
    pair.drop()
    return found


class Writers:
    """20 connections that write to all keys, -P 16, until they are stopped."""

    def __init__(self, pair):
        self.process = subprocess.Popen(["redis-benchmark", "-s", pair.primary.path, "-c", "20", "-P", "16", "-t", "set", "-d", str(VALUE_SIZE), "-r", str(pair.keys), "-n", "2000000000", "-q"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        rig.end(self.process)


def commands(server):
    return int(server.info("total_commands_processed"))


def rate_of(server, seconds):
    began, before = time.monotonic(), commands(server)
    time.sleep(seconds)
    return (commands(server) - before) / (time.monotonic() - began)


def under_load(pair, seconds):
    writers = Writers(pair)
    try:
        alone = rate_of(pair.primary, min(seconds / 10, 5))
        server = pair.replica()
        fulls, before, began = int(pair.primary.info("sync_full")), commands(pair.primary), time.monotonic()
        peak = 0
        pair.follow(server)
        while time.monotonic() - began < seconds and not is_up(server):
            peak = max(peak, int(pair.primary.info("mem_total_replication_buffers")))
            time.sleep(0.05)
        took = time.monotonic() - began if is_up(server) else None
        rate = (commands(pair.primary) - before) / (time.monotonic() - began)
        begun = int(pair.primary.info("sync_full")) - fulls
    finally:
        writers.stop()
    pair.drop()
    return {"took": took, "begun": begun, "peak": peak / 1e6, "rate": rate / alone}


def costs(pair, bench):
    """CPU us per SET with 0, 1 and 2 replicas, and of a replica per command."""
    found = {}
    count = 200000 if bench.quick else 2000000
    for replicas in range(3):
        if replicas:
            server = pair.replica()
            pair.follow(server)
            if await_up(server, PATIENCE) is None:
                raise Failed("%s: a replica is not in step" % pair.name)
        before = [(rig.cpu_ns(s.pid), commands(s)) for s in pair.replicas[:1]]
        burst = rig.load(pair.primary, "set", "-r", pair.keys, "-n", count, "-d", VALUE_SIZE, "-P", 16, "-c", 50, unix=True)
        found[replicas] = burst["cpu_us"]
        if replicas == 1:
            while pair.replicas[0].info("master_repl_offset") != pair.primary.info("master_repl_offset"):
                time.sleep(0.02)
            found["apply"] = (rig.cpu_ns(pair.replicas[0].pid) - before[0][0]) / 1e3 / max(commands(pair.replicas[0]) - before[0][1], 1)
    pair.drop()
    return found


def failover_seconds(binary):
    """Until the sentinels name another primary, after a SIGKILL; None: it cannot be had."""
    try:
        done = subprocess.run([SENTINEL], capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ, SENTINEL_NODES=binary))
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"# killed: another primary after ([\d.]+) s", done.stdout)
    return float(found.group(1)) if found else None


def medians(found):
    return {field: median(row[field] for row in found) for field in found[0]}


def section_replication(bench):
    keys = QUICK_KEYS if bench.quick else KEYS
    pairs = []
    try:
        for name, binary in (("redis", rig.REDIS), ("demikv", rig.OURS)):
            pairs.append(Pair(name, binary, keys))
        rest, loaded, cost = {}, {}, {}
        for r in bench.progress.rounds(min(bench.rounds, 3)):
            for pair in turns(pairs, r):
                rest.setdefault(pair.name, []).append(at_rest(pair))
                cost.setdefault(pair.name, []).append(costs(pair, bench))
        for pair in pairs:
            loaded[pair.name] = under_load(pair, 5 if bench.quick else LOADED_SECONDS)
    finally:
        for pair in pairs:
            pair.stop()
    yield table_of_rest(medians(rest["redis"]), medians(rest["demikv"]), keys)
    yield table_of_load(loaded["redis"], loaded["demikv"], keys)
    yield table_of_costs(medians(cost["redis"]), medians(cost["demikv"]))
    yield table_of_failover()


def table_of_rest(theirs, ours, keys):
    table = Table("A full synchronisation of %d keys, both ends alike" % keys, ["", "R7", "demikv", "demikv x R7", "target", ""])
    times = ratio(ours["took"], theirs["took"]) if ours["took"] and theirs["took"] else None
    table.judged("seconds until the link is up", theirs["took"], ours["took"], times, value=times, at_most=SYNC_GOAL)
    table.judged("the longest wait of a client, ms", theirs["gap"], ours["gap"], None, value=ours["gap"], at_most=GAP_GOAL_MS)
    table.judged("the primary's peak, of what it had", theirs["growth"], ours["growth"], None, value=ours["growth"], at_most=GROWTH_GOAL)
    table.row("CPU seconds of the primary, without a child", theirs["primary"], ours["primary"], None, "", "")
    table.row("CPU seconds of the replica", theirs["replica"], ours["replica"], ratio(ours["replica"], theirs["replica"]), "", "")
    return table


def table_of_load(theirs, ours, keys):
    table = Table("The same under writes to all %d keys, -P 16, 20 connections" % keys, ["", "R7", "demikv", "target", ""])
    table.row("seconds until the link is up; -: never", theirs["took"], ours["took"], "", "")
    table.judged("snapshots that were begun", theirs["begun"], ours["begun"], value=ours["begun"] if ours["took"] else None, at_most=1)
    table.judged("peak of the stream, MB", theirs["peak"], ours["peak"], value=ours["peak"], at_most=STREAM_GOAL_MB)
    table.judged("the primary's rate, of what it has alone", theirs["rate"], ours["rate"], value=ours["rate"], at_least=RATE_GOAL)
    return table


def table_of_costs(theirs, ours):
    table = Table("What replicas cost: SET, -P 16, 50 connections, us of CPU", ["", "R7", "demikv", "target", ""])
    table.row("the primary, without a replica", theirs[0], ours[0], "", "")
    for replicas, name, goal in ((1, "the first replica adds", FIRST_GOAL_US), (2, "the second adds", NEXT_GOAL_US)):
        more = [side[replicas] - side[replicas - 1] for side in (theirs, ours)]
        table.judged(name, *more, value=more[1], at_most=goal)
    times = ratio(ours["apply"], theirs["apply"])
    table.judged("a replica, per command", theirs["apply"], ours["apply"], value=times, at_most=APPLY_GOAL)
    table.note("the last target is of redis-server's")
    return table


def table_of_failover():
    theirs, ours = failover_seconds(rig.REDIS), failover_seconds(rig.OURS)
    table = Table("Failover under three redis-sentinels, down-after 2 s", ["", "R7", "demikv", "demikv x R7", "target", ""])
    times = ratio(ours, theirs) if ours and theirs else None
    table.judged("seconds from SIGKILL to another primary", theirs, ours, times, value=times, at_most=FAILOVER_GOAL)
    return table

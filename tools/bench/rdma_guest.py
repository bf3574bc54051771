# SPDX-License-Identifier: MIT
"""Section rdma, second half: over the kernel's RoCE device in software (rxe), in a guest (tests/guest). It is emulated, so times are its own
and only ratios say something: of a round trip to that of a bare verbs program (ibv_rc_pingpong, polling and sleeping: who polls keeps an
emulated device from its work), and of our server to Valkey's over the same device, where VALKEY_RDMA_SERVER names one that was built with
RDMA (or, before 9.0, with it as VALKEY_RDMA_MODULE)."""
import os
import re
import statistics
import sys

import rig
from rig import Failed
from table import Table

sys.path.insert(0, os.path.join(rig.ROOT, "tests", "rdma"))

ROUNDS, TIMES, AT_LEAST = 2000, 5, 0.85
LOADS = [("1 connection", "-c 1 -P 1 -n 2000"), ("20 connections", "-c 20 -P 1 -n 6000"), ("4 connections, 16 a batch", "-c 4 -P 16 -n 20000")]


class Bench:
    def __init__(self, wire, address):
        self.wire, self.address, self.port = wire, address, 7100
        self.env = "ulimit -l unlimited; export LIBOS=rdma DEVICE=rxe0 DEMI_PLUGIN_PATH=%s; " % rig.BUILD

    def found(self, pattern, script):
        status, output = self.wire.run(self.env + script, 90)
        found = re.search(pattern, output)
        if status or not found:
            raise Failed("%s: %s" % (script, output[-300:]))
        return float(found.group(1))

    def bare(self, sleeps):
        """Microseconds a round trip, by polling or by sleeping until something comes."""
        words = "-d rxe0 -g 1 -s 64 -n %d%s" % (ROUNDS, " -e" if sleeps else "")
        server = self.wire.start("ibv_rc_pingpong " + words)
        self.wire.wait_for("ss -ltn | grep -q :18515", 20)
        us = self.found(r"= ([\d.]+) usec/iter", "timeout 60 ibv_rc_pingpong %s %s" % (words, self.address))
        server.wait(20)
        return us

    def ours(self):
        self.port += 1
        words = "%s %d 64 %d" % (self.address, self.port, ROUNDS)
        program = os.path.join(rig.BUILD, "examples/tcp-ping-pong")
        server = self.wire.start(self.env + "exec %s --server %s" % (program, words))
        self.listens(self.port)
        us = self.found(r"p50 ([\d.]+) us", "timeout 60 %s --client %s" % (program, words))
        server.wait(20)
        return us

    def listens(self, port):
        if not self.wire.wait_for("rdma resource show cm_id | grep -q 'LISTEN.*:%d '" % port, 30):
            raise Failed("nobody listens at %d" % port)

    def rates(self, command, port):
        pid = os.path.join(self.wire.share, "bench-pid")
        server = self.wire.start("cd %s; ulimit -l unlimited; export DEMI_PLUGIN_PATH=%s; echo $$ >%s; exec %s" % (self.wire.share, rig.BUILD, pid, command))
        self.listens(port)
        program = "timeout 80 %s -h %s -p %d --valkey -t get -r 100 -d 64 --machine " % (rig.LOAD, self.address, port)
        try:
            return [statistics.median(self.found(r"rps=(\d+)", program + options) for _ in range(3)) for _, options in LOADS]
        finally:
            self.wire.run("kill -KILL $(cat %s)" % pid)
            server.wait(20)


def round_trips(bench):
    table = Table("RDMA in a guest: microseconds of a round trip of 64 bytes over rxe (medians of %d)" % TIMES,
                  ["", "ibv_rc_pingpong", "with -e", "demikv's library", "ratio of rates to the quicker one", "goal", ""])
    polls, sleeps, ours = [], [], []
    for _ in range(TIMES):
        polls.append(bench.bare(False))
        sleeps.append(bench.bare(True))
        ours.append(bench.ours())
    polls, sleeps, ours = statistics.median(polls), statistics.median(sleeps), statistics.median(ours)
    ratio = min(polls, sleeps) / ours
    table.judged("tcp-ping-pong", polls, sleeps, ours, ratio, value=ratio, at_least=AT_LEAST)
    return table


def servers(bench):
    table = Table("RDMA in a guest: GET of 64 bytes in Valkey's framing over rxe, requests a second (medians of 3)",
                  ["", "valkey-server", "demikv", "demikv x valkey", "goal", ""])
    theirs = [None] * len(LOADS)
    path = os.environ.get("VALKEY_RDMA_SERVER")
    if path:
        module = os.environ.get("VALKEY_RDMA_MODULE")
        rdma = "--loadmodule %s port=6390 bind=%s" % (module, bench.address) if module else "--rdma-port 6390 --rdma-bind %s" % bench.address
        theirs = bench.rates("%s --port 6399 --protected-mode no --save '' --appendonly no %s" % (path, rdma), 6390)
    else:
        table.note("VALKEY_RDMA_SERVER names no server of Valkey's that was built with RDMA")
    ours = bench.rates("%s --port 0 --rdma-port 6391 --rdma-bind %s --rdma-device rxe0 --protected-mode no --save ''" % (rig.OURS, bench.address), 6391)
    for (what, _), a, b in zip(LOADS, theirs, ours):
        table.judged(what, a, b, b / a if a else None, value=b / a if a else None, at_least=1 if a else None)
    return table


def tables():
    from wire import ADDRESS, Wire
    with Wire() as wire:
        if "rxe" not in wire.devices:
            raise Failed("the guest's kernel has no rxe")
        bench = Bench(wire, ADDRESS["rxe"])
        yield round_trips(bench)
        yield servers(bench)

# SPDX-License-Identifier: MIT
"""Append-only files: sections everysec, always and off (a server without files, beside an older one)."""
import os
import subprocess
import time

import disk
import rig
from disk import Beside, Servers, file_system, probe
from rig import Failed, load, start_server
from speed import CONNS, KEYS, TESTS, mid, ratio, turns
from table import Table, median

ON = ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
RECORD, RECORDS = 4935, 6000        # bytes of a value whose record has 5,000, and how many a second: 30 MB/s
STALL_ROUNDS, STALL_SECONDS = 3, 3.0
ALWAYS_VALUE, ALWAYS_SECONDS = 64, 1.0
LOG_SIZE = "1G"
DEMI_LOG = os.path.join(rig.BUILD, "tools/log/demi-log")
RAW_SECONDS = 0.3


# --- everysec -------------------------------------------------------------------------------------------------------------------

def four_servers(servers):
    """Both, without a log and with one."""
    return [servers.start(name + suffix, binary, *more) for name, binary in (("redis", rig.REDIS), ("demikv", rig.OURS))
            for suffix, more in (("", ()), ("+log", ON))]


def tax_table(bench, targets):
    found = {}
    for target in targets:
        rig.fill(target, "set", KEYS, 3)
    for r in bench.progress.rounds(bench.rounds):
        for target in turns(targets, r):
            found.setdefault((target.name, "set"), []).append(
                load(target, "set", *CONNS, "-P", 16, seconds=bench.burst, helpers=True))
    table = Table("appendfsync everysec, SET -P 16, 50 connections, TCP: server CPU per request",
                  ["test", "us R7 off", "us R7 on", "us demikv off", "us demikv on", "R7 adds", "demikv adds", "target", ""])
    off, on, ours_off, ours_on = (mid(found, t.name, "set", "cpu_us") for t in targets)
    table.judged("SET", off, on, ours_off, ours_on, on - off, ours_on - ours_off, value=ours_on - ours_off, at_most=0.08)
    off, on, ours_off, ours_on = (min(f["cpu_us"] for f in found[t.name, "set"]) for t in targets)
    table.row("least", off, on, ours_off, ours_on, on - off, ours_on - ours_off)
    table.note("medians of %d; of all threads; %s" % (bench.rounds, file_system()))
    return table


def longest_stall(target, seconds):
    """Milliseconds; and megabytes a second that were written meanwhile."""
    with Beside(target, "set", "-c", 8, "--rate", RECORDS, "-r", 10000, "-d", RECORD) as writing, probe(target) as gaps:
        time.sleep(seconds)
    return {"max_ms": gaps.figures["max_us"] / 1e3, "p999_ms": gaps.figures["p999_us"] / 1e3,
            "rate": writing.figures["rps"] * (RECORD + 65) / 1e6}


def stall_table(bench, targets):
    found, rounds = {}, min(STALL_ROUNDS, bench.rounds)
    for r in bench.progress.rounds(rounds):
        for target in turns(targets, r):
            found.setdefault((target.name, "set"), []).append(longest_stall(target, 1.2 if bench.quick else STALL_SECONDS))
    table = Table("appendfsync everysec, 30 MB/s of SET: the longest time that a client waits",
                  ["figure", "R7 off", "R7 on", "demikv off", "demikv on", "target", ""])
    for words, field, goal in (("ms, median of %d" % rounds, "max_ms", 1.0), ("p99.9 of round trips, ms", "p999_ms", None),
                               ("MB/s", "rate", None)):
        cells = [mid(found, t.name, "set", field) for t in targets]
        table.judged(words, *cells, value=cells[3], at_most=goal)
    table.row("least ms", *(min(f["max_ms"] for f in found[t.name, "set"]) for t in targets))
    table.note(file_system())
    return table


def section_everysec(bench):
    with Servers() as servers:
        targets = four_servers(servers)
        yield tax_table(bench, targets)
        yield stall_table(bench, targets)


# --- always ---------------------------------------------------------------------------------------------------------------------

def always_burst(bench, target):
    before = disk.counts()
    figures = load(target, "set", "-c", 50, "-r", KEYS, "-d", ALWAYS_VALUE, "--warmup", 0,
                   seconds=0.4 if bench.quick else ALWAYS_SECONDS, helpers=True)
    if before is not None:
        syncs, written = (now - then for now, then in zip(disk.counts(), before))
        figures["records"] = figures["replies"] / syncs if syncs else None
        figures["kib"] = written / 1024 / syncs if syncs else None
    return figures


def always_round(bench, targets, found, r):
    for target in turns(targets, r):
        found.setdefault((target.name, 50), []).append(always_burst(bench, target))
    found.setdefault("raw", []).append(disk.raw_sync_us(targets[0].folder, RAW_SECONDS))
    for target in turns(targets, r):
        for test in ("set", "ping"):
            found.setdefault((target.name, test), []).append(
                load(target, test, "-c", 1, "-d", ALWAYS_VALUE, "--spin-us", 0, seconds=RAW_SECONDS, helpers=True))


def always_table(found, rounds):
    table = Table("appendfsync always, SET of 64 bytes, 50 connections, TCP", ["figure", "R7", "demikv", "x R7", "target", ""])

    def both(field):
        return [mid(found, n, 50, field) for n in ("redis", "demikv")]
    for words, field, goals in (("requests/s", "rps", {"at_least": 1.4}), ("p50 us", "p50_us", {"at_most": 0.7}),
                                ("p99 us", "p99_us", {}), ("CPU us a request", "cpu_us", {})):
        r7, ours = both(field)
        table.judged(words, r7, ours, ratio(ours, r7), value=ratio(ours, r7), **goals)
    table.keep("always_rps", *both("rps"))
    r7, ours = (median([f.get("records") for f in found[n, 50]]) for n in ("redis", "demikv"))
    table.judged("records a sync", r7, ours, "", value=ours, at_least=40.0)
    table.note("medians of %d; syncs as the disk counts its flushes, those of others included; %s" % (rounds, file_system()))
    return table


def log_table(found, rounds):
    """The append-only file on a log queue (aof-device), in a file that was written in advance, beside Redis's files."""
    table = Table("appendfsync always on a log queue (aof-device), 50 connections", ["figure", "files", "a log", "x files", "target", ""])
    for words, field, goals in (("requests/s", "rps", {"at_least": 1.0}), ("p50 us", "p50_us", {}), ("p99 us", "p99_us", {}),
                                ("CPU us a request", "cpu_us", {})):
        files, log = (mid(found, n, 50, field) for n in ("demikv", "log"))
        table.judged(words, files, log, ratio(log, files), value=ratio(log, files), **goals)
    for words, field, goals in (("records a sync", "records", {}), ("KiB written a sync", "kib", {"at_most": 1.0})):
        files, log = (median([f.get(field) for f in found[n, 50]]) for n in ("demikv", "log"))
        table.judged(words, files, log, ratio(log, files), value=ratio(log, files), **goals)
    table.note("medians of %d; the log in a file of %s; flushes and bytes as the disk counts them, those of others included" % (rounds, LOG_SIZE))
    return table


def one_table(found, rounds):
    table = Table("appendfsync always, SET over one connection", ["figure", "us R7", "us demikv", "us demikv, a log", "target", ""])

    def both(what):
        return [what(n) for n in ("redis", "demikv", "log")]

    def times(name):
        """Of rounds, since a disk has its moods."""
        return median([s["p50_us"] / (p["p50_us"] + raw) for s, p, raw in zip(found[name, "set"], found[name, "ping"], found["raw"])])
    table.row("p50", *both(lambda n: mid(found, n, "set", "p50_us")))
    table.row("p50 of PING", *both(lambda n: mid(found, n, "ping", "p50_us")))
    table.row("a block of 4 KiB written and synced, O_DIRECT", *both(lambda _: median(found["raw"])))
    ratios = both(times)
    table.judged("p50 / (PING + sync), in a round", *ratios, value=ratios[1], at_most=1.15)
    table.note("medians of %d" % rounds)
    return table


def section_always(bench):
    found = {}
    with Servers() as servers:
        device = os.path.join(servers.folder, "device")
        subprocess.run([DEMI_LOG, "create", "--size", LOG_SIZE, device], check=True, stdout=subprocess.DEVNULL)
        targets = [servers.start(name, binary, *ON, "--appendfsync", "always", *more)
                   for name, binary, more in (("redis", rig.REDIS, ()), ("demikv", rig.OURS, ()),
                                              ("log", rig.OURS, ("--aof-device", "log:%s#aof" % device)))]
        for r in bench.progress.rounds(bench.rounds):
            always_round(bench, targets, found, r)
    yield always_table(found, bench.rounds)
    yield log_table(found, bench.rounds)
    yield one_table(found, bench.rounds)


# --- off ------------------------------------------------------------------------------------------------------------------------

def section_off(bench):
    """What the server costs that writes no files, beside another build of it: BASE=path of its demikv-server."""
    base = os.environ.get("BASE")
    if not base:
        print("\nsection off: BASE=path names the demikv-server that is compared with", flush=True)
        return
    base = os.path.join(rig.ROOT, base)
    if not os.access(base, os.X_OK):
        raise Failed("BASE: no %s" % base)
    targets, found = [], {}
    try:
        for name, binary in (("base", base), ("demikv", rig.OURS)):
            targets.append(start_server(name, binary))
            rig.fill(targets[-1], "set", KEYS, 3)
            targets[-1].call("CONFIG", "SET", "libos-spin-us", "0")
        for r in bench.progress.rounds(bench.rounds):
            for depth in (1, 16, 100):
                for test in TESTS:
                    for target in turns(targets, r):
                        found.setdefault((target.name, (test, depth)), []).append(
                            load(target, test, *CONNS, "-P", depth, seconds=bench.burst))
    finally:
        for target in targets:
            target.stop()
    table = Table("No files, beside an older build (%s): server CPU per request, 50 connections, TCP" % os.path.basename(base),
                  ["test", "us base", "us demikv", "demikv / base", "least / least", "target", ""])
    for depth in (1, 16, 100):
        for test in TESTS:
            before, now = (mid(found, n, (test, depth), "cpu_us") for n in ("base", "demikv"))
            least = [min(f["cpu_us"] for f in found[n, (test, depth)]) for n in ("base", "demikv")]
            table.judged("%s -P %d" % (test.upper(), depth), before, now, ratio(now, before), ratio(least[1], least[0]),
                         value=ratio(now, before), at_most=1.03)
    table.note("without spinning (libos-spin-us 0); medians of %d" % bench.rounds)
    yield table

# SPDX-License-Identifier: MIT
"""Clients and keys by the million: sections one, clients, keys, memory and growth."""
import resource
import socket
import time

from rig import Failed, cpu_ns, fill, load, start_null
from speed import mid, ratio, turns
from table import Table, median

IDLE_CLIENTS = 1000
MANY_CLIENTS = 10000
GROWTH_STEP = 250000
BIG, SMALL, ODD = 10000000, 1000000, 1400000


def section_one(bench):
    """One connection in the default configuration: what adaptive spinning is for."""
    bench.fill(SMALL, 3)
    null = start_null("get")
    found = {}
    try:
        for r in bench.progress.rounds(bench.rounds):
            for target in turns([bench.redis, bench.ours, null], r):
                found.setdefault((target.name, "get"), []).append(
                    load(target, "get", "-c", 1, "-r", SMALL, "--spin-us", 0, seconds=bench.burst))
    finally:
        null.stop()
    table = Table("One connection, -P 1, TCP, default configuration (the load sleeps, as clients do)",
                  ["figure", "R7", "demikv", "null", "x R7", "target", ""])
    for field, goal in (("p50_us", 0.65), ("p99_us", None), ("p999_us", None), ("cpu_us", None)):
        r7, ours, blank = (mid(found, n, "get", field) for n in ("redis", "demikv", "null"))
        table.judged(field.replace("_us", " us"), r7, ours, blank, ratio(ours, r7), value=ratio(ours, r7), at_most=goal)
        if field == "p50_us":
            table.keep("p50_one", r7, ours, blank)
    yield table


def connect_many(target, count):
    clients = []
    for _ in range(count):
        s = socket.socket()
        s.connect(("127.0.0.1", target.port))
        clients.append(s)
    return clients


def idle_percent(target, seconds):
    """CPU used while IDLE_CLIENTS are connected and silent."""
    clients = connect_many(target, IDLE_CLIENTS)
    time.sleep(1.0)
    before, began = cpu_ns(target.pid), time.monotonic()
    time.sleep(seconds)
    used = (cpu_ns(target.pid) - before) / 1e7 / (time.monotonic() - began)
    for s in clients:
        s.close()
    return used


def section_clients(bench):
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    seconds = 1.0 if bench.quick else 3.0
    table = Table("Many clients", ["figure", "R7", "demikv", "target", ""])
    idle = [idle_percent(t, seconds) for t in (bench.redis, bench.ours)]
    table.judged("%% CPU with %d silent clients" % IDLE_CLIENTS, "%.2f" % idle[0], "%.2f" % idle[1], value=idle[1],
                 at_most=0.5)
    table.note("R7 runs its timer ten times a second, ours does what it must: below 0.5 % is what we call 0 %.")
    served = {}
    for target in (bench.redis, bench.ours):
        try:
            served[target.name] = load(target, "get", "-c", MANY_CLIENTS, "-r", SMALL, seconds=2.0)
        except Failed as problem:
            table.note(str(problem))
    rps = [served.get(n, {}).get("rps") for n in ("redis", "demikv")]
    table.judged("GET/s over %d connections" % MANY_CLIENTS, *rps, value=ratio(*reversed(rps)) or 0, at_least=1.0)
    yield table


def get_cost(bench, rounds):
    found = {}
    for r in bench.progress.rounds(rounds):
        for target in turns([bench.redis, bench.ours], r):
            found.setdefault((target.name, "get"), []).append(
                load(target, "get", "-c", 50, "-P", 16, "-r", bench.filled, "-d", 16, seconds=bench.burst))
    return found


def section_keys(bench):
    """GET -P 16 with a million keys and with ten; 16-byte keys and values."""
    big = SMALL * 2 if bench.quick else BIG
    bench.fill(SMALL, 16)
    small = get_cost(bench, bench.rounds)
    bench.fill(big, 16)
    large = get_cost(bench, bench.rounds)
    bench.empty()
    table = Table("GET -P 16, 16-byte keys and values", ["keys", "rps R7", "rps demikv", "us R7", "us demikv", "value", "",
                                                         "target", ""])
    for keys, found in ((SMALL, small), (big, large)):
        figures = [mid(found, n, "get", f) for f in ("rps", "cpu_us") for n in ("redis", "demikv")]
        times = ratio(figures[1], figures[0])
        table.judged("{:,}".format(keys), *figures, times, "x R7", value=times,
                     at_least=2.8 if keys == big else None)
        if keys == BIG:
            table.keep("rps_keys", *figures[:2])
    growth = ratio(mid(large, "demikv", "get", "cpu_us"), mid(small, "demikv", "get", "cpu_us"))
    table.judged("cost, {:,} / {:,}".format(big, SMALL), "", "", "", "", growth, "", value=growth, at_most=1.2)
    yield table


def bytes_per_key(target, test, keys):
    target.call("FLUSHALL")
    time.sleep(0.3)
    before = int(target.info("used_memory"))
    fill(target, test, keys, 16)
    time.sleep(0.3) # tables that still move finish
    return (int(target.info("used_memory")) - before) / keys


def section_memory(bench):
    counts = (SMALL // 5, ODD // 5) if bench.quick else (SMALL, ODD)
    table = Table("Bytes a key, 16-byte key and value (INFO used_memory)", ["keys", "R7", "demikv", "x R7", "target", ""])
    for test, label, goal in (("set", "no expiry", 56), ("setex", "with expiry", 69)):
        means = {}
        for keys in counts:
            each = [bytes_per_key(t, test, keys) for t in (bench.redis, bench.ours)]
            means[keys] = each
            table.judged("{:,} {}".format(keys, label), "%.1f" % each[0], "%.1f" % each[1], ratio(each[1], each[0]),
                         value=each[1], at_most=goal)
        both = [sum(m[i] for m in means.values()) / len(means) for i in (0, 1)]
        table.row("mean, " + label, "%.1f" % both[0], "%.1f" % both[1], ratio(both[1], both[0]))
        table.keep("bytes_plain" if test == "set" else "bytes_expiry", *both)
    bench.empty()
    yield table


def longest_gap(target, keys):
    """Milliseconds; the keys come in short bursts, which neighbours cannot disturb."""
    worst = 0
    for first in range(0, keys, GROWTH_STEP):
        figures = load(target, "set", "-r", keys, "--sequential", "--first", first, "-n", GROWTH_STEP, "-d", 3, "-P", 16,
                       unix=True, is_short=True)
        worst = max(worst, figures["gap_us"] / 1e3)
    return worst


def section_growth(bench):
    """The longest silence of the server while its table grows from nothing."""
    keys = SMALL if bench.quick else 4 * SMALL
    rounds = min(3, bench.rounds)
    null = start_null("set", unix=True)
    gaps = {}
    try:
        for _ in bench.progress.rounds(rounds):
            for target in (bench.redis, bench.ours, null):
                if target is not null:
                    target.call("FLUSHALL")
                    time.sleep(0.5)
                gaps.setdefault(target.name, []).append(longest_gap(target, keys))
    finally:
        null.stop()
        bench.empty()
    table = Table("Longest time without any reply while {:,} keys come in (-P 16, 50 connections)".format(keys),
                  ["figure", "ms R7", "ms demikv", "ms null", "target", ""])
    best = [min(gaps[n]) for n in ("redis", "demikv", "null")]
    mids = [median(gaps[n]) for n in ("redis", "demikv", "null")]
    table.judged("median of %d" % rounds, *mids, value=mids[1], at_most=2.0)
    table.row("best", *best)
    if keys == 4 * SMALL:
        table.keep("silence_ms", *mids)
    table.note("The null server's gaps are the machine's: a neighbour took the core.")
    yield table

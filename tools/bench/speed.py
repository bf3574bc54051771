# SPDX-License-Identifier: MIT
"""Throughput and CPU per request: sections p1, p16, p100 and list."""
from rig import load, redis_benchmark, start_null
from table import Table, median

KEYS = 1000000
CONNS = ("-c", 50, "-r", KEYS)
TESTS = ("get", "set")
# redis-benchmark's default list, as its -t wants it; LRANGE's rates are a tenth of the others'.
LIST = ("ping_inline ping_mbulk set get incr lpush rpush lpop rpop sadd hset spop zadd zpopmin "
        "lrange_100 lrange_300 lrange_500 lrange_600 mset").split()


def turns(items, round_number):
    """The order of a round: each item is first once in a while."""
    at = round_number % len(items)
    return items[at:] + items[:at]


def bursts(bench, depth, unix, tests=TESTS):
    """{(server name, test): [figures]} of interleaved bursts, the null servers among them."""
    nulls = {test: start_null(test, unix) for test in tests}
    found = {}
    try:
        for r in bench.progress.rounds(bench.rounds):
            for test in tests:
                for target in turns([bench.redis, bench.ours, nulls[test]], r):
                    figures = load(target, test, *CONNS, "-P", depth, unix=unix, seconds=bench.burst)
                    found.setdefault((target.name, test), []).append(figures)
    finally:
        for target in nulls.values():
            target.stop()
    return found


def mid(found, name, test, field):
    return median([f[field] for f in found.get((name, test), [])])


def ratio(a, b):
    return a / b if a and b else None


def cpu_table(title, found, tests, at_most=None, null_at_most=None, keep=None):
    """CPU per request of the three, and the two ratios, with their goals where there are any. keep: README shows it."""
    table = Table(title, ["test", "us R7", "us demikv", "us null", "x R7", "target", "", "x null", "target", ""])
    for test in tests:
        r7, ours, null = (mid(found, n, test, "cpu_us") for n in ("redis", "demikv", "null"))
        table.row(test.upper(), r7, ours, null, *table.judge(ratio(ours, r7), at_most),
                  *table.judge(ratio(ours, null), null_at_most))
        if keep:
            table.keep(keep + test, r7, ours, null)
    return table


def rps_table(title, found, tests, goals, keep=None):
    table = Table(title, ["test", "rps R7", "rps demikv", "rps null", "x R7", "x null"] +
                  ["%s us %s" % (p, n) for p in ("p50", "p99", "p99.9") for n in ("R7", "demikv")] + ["target", ""])
    for test in tests:
        r7, ours, null = (mid(found, n, test, "rps") for n in ("redis", "demikv", "null"))
        times = [mid(found, n, test, f) for f in ("p50_us", "p99_us", "p999_us") for n in ("redis", "demikv")]
        table.judged(test.upper(), r7, ours, null, ratio(ours, r7), ratio(ours, null), *times, value=ratio(ours, r7),
                     at_least=goals.get(test))
        if keep:
            table.keep(keep + test, r7, ours, null)
    return table


def with_redis_benchmark(bench, depth, goals, unix=False, count=50000):
    """The same, seen by redis-benchmark (which itself is the limit at times)."""
    found = {}
    for r in bench.progress.rounds(bench.rounds):
        for target in turns([bench.redis, bench.ours], r):
            for test in TESTS:
                rows = redis_benchmark(target, "-t", test, "-n", count, "-P", depth, "-r", KEYS, unix=unix, is_short=True)
                found.setdefault((target.name, test), []).append(rows[test.upper()])
    where = "Unix socket" if unix else "TCP"
    table = Table("-P %d, 50 connections, %s, by redis-benchmark" % (depth, where),
                  ["test", "rps R7", "rps demikv", "x R7", "us CPU R7", "us CPU demikv", "CPU x R7", "target", ""])
    for test in TESTS:
        r7, ours = (mid(found, n, test, "rps") for n in ("redis", "demikv"))
        cpus = [mid(found, n, test, "cpu_us") for n in ("redis", "demikv")]
        table.judged(test.upper(), r7, ours, ratio(ours, r7), *cpus, ratio(cpus[1], cpus[0]), value=ratio(ours, r7),
                     at_least=goals.get(test))
    return table


def section_p1(bench):
    bench.fill(KEYS, 3)
    spin = bench.spin_off()
    found = bursts(bench, 1, False)
    table = cpu_table("-P 1, 50 connections, TCP: server CPU per request", found, TESTS, 0.95, 1.15, keep="cpu_p1_")
    if spin:
        table.note("without spinning (libos-spin-us 0), which is CPU time and no work; every other table has the default")
    yield table
    bench.spin_back(spin)
    found = bursts(bench, 1, False)
    yield rps_table("-P 1, 50 connections, TCP: requests a second", found, TESTS, {})
    found = bursts(bench, 1, True)
    yield rps_table("-P 1, 50 connections, Unix socket: requests a second", found, TESTS, {"get": 1.35, "set": 1.35})
    yield cpu_table("-P 1, 50 connections, Unix socket: server CPU per request", found, TESTS)
    yield with_redis_benchmark(bench, 1, {}, count=30000)
    yield with_redis_benchmark(bench, 1, {}, unix=True, count=30000)


def section_p16(bench):
    bench.fill(KEYS, 3)
    goals = {"get": 2.4, "set": 2.6}
    found = bursts(bench, 16, False)
    yield rps_table("-P 16, 50 connections, TCP: requests a second", found, TESTS, goals, keep="rps_p16_")
    yield cpu_table("-P 16, 50 connections, TCP: server CPU per request", found, TESTS)
    yield with_redis_benchmark(bench, 16, goals, count=200000)


def section_p100(bench):
    bench.fill(KEYS, 3)
    found = bursts(bench, 100, False)
    table = Table("-P 100, 50 connections, TCP: server CPU per request",
                  ["test", "us R7", "us demikv", "us null", "R7 / demikv", "target", ""])
    for test, goal in (("get", 4.0), ("set", 4.5)):
        r7, ours, null = (mid(found, n, test, "cpu_us") for n in ("redis", "demikv", "null"))
        table.judged(test.upper(), r7, ours, null, ratio(r7, ours), value=ratio(r7, ours), at_least=goal)
    yield table
    table = Table("-P 100: user-space part of a request", ["test", "us R7", "us demikv", "target", ""])
    for test, goal in (("get", 0.25), ("set", 0.30)):
        r7, ours = (sum(f["user_us"] * f["replies"] for f in found[n, test]) /
                    max(1, sum(f["replies"] for f in found[n, test])) for n in ("redis", "demikv"))
        table.judged(test.upper(), "%.3f" % r7, "%.3f" % ours, value=ours, at_most=goal)
    table.note("utime of all threads over all bursts, pop and push of the library included")
    yield table


def section_list(bench):
    """redis-benchmark's default list, test by test, so that the servers take turns at each."""
    rounds = max(1, (bench.rounds + 1) // 2)
    for depth, count, goal in ((1, 40000, 1.0), (16, 200000, 1.3)):
        found = {}
        bench.empty()
        for r in bench.progress.rounds(rounds):
            for test in LIST:
                n = count // (10 if "lrange" in test else 4 if test == "mset" else 1)
                for target in turns([bench.redis, bench.ours], r):
                    rows = redis_benchmark(target, "-t", test, "-n", n, "-P", depth, is_short=True)
                    found.setdefault((target.name, test), []).append(rows[test.upper()])
        table = Table("redis-benchmark's list at -P %d" % depth, ["test", "rps R7", "rps demikv", "x R7", "us CPU R7",
                                                                  "us CPU demikv", "target", ""])
        for test in LIST:
            r7, ours = (mid(found, n, test, "rps") for n in ("redis", "demikv"))
            cpus = [None if "lrange" in test else mid(found, n, test, "cpu_us") for n in ("redis", "demikv")]
            table.judged(test.upper(), r7, ours, ratio(ours, r7), *cpus, value=ratio(ours, r7), at_least=goal)
        table.note("redis-benchmark tops out at about 0.2 and 2.2 million a second here: see CPU per request, and the next table.")
        yield table
        if depth > 1:  # without pipelining it is the load generator that is measured: p1 tells what a request costs the server
            yield list_by_load(bench, depth, goal)


# What load.c knows of redis-benchmark's list, in its order.
LOAD_LIST = ["ping", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset", "spop", "zadd", "zpopmin", "lrange100", "mset"]


def list_by_load(bench, depth, goal):
    """The same commands from our own load generator, which costs less than the servers do."""
    found = {}
    bench.empty()
    for r in bench.progress.rounds(max(1, (bench.rounds + 1) // 2)):
        for test in LOAD_LIST:
            for target in turns([bench.redis, bench.ours], r):
                found.setdefault((target.name, test), []).append(load(target, test, "-P", depth, seconds=0.4))
    table = Table("The list at -P %d by our load generator" % depth,
                  ["test", "rps R7", "rps demikv", "x R7", "us CPU R7", "us CPU demikv", "target", ""])
    for test in LOAD_LIST:
        r7, ours = (mid(found, n, test, "rps") for n in ("redis", "demikv"))
        cpus = [mid(found, n, test, "cpu_us") for n in ("redis", "demikv")]
        table.judged(test.upper(), r7, ours, ratio(ours, r7), *cpus, value=ratio(ours, r7), at_least=goal)
    return table

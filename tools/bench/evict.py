# SPDX-License-Identifier: MIT
"""How good the keys are that eviction keeps: section evict. Both servers hold equally many keys of equal size, and are asked for
the same keys in the same order; who does not have one is given it, as a cache is. The traces: Zipf's (a few keys are asked
for often), and the same with scans in between, which ask for each of many other keys once. And how long a client waits while
keys go: it asks all the time, another one writes."""
import bisect
import random
import socket
import time

from disk import Beside, probe
from rig import Failed
from speed import mid, turns
from table import Table

POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random")
# Not volatile-ttl: how long a key is to live says nothing here of how often it is asked for, so who keeps exactly those that live
# longest keeps fewer of the popular. After 400,000 requests ours had 90.5 % of the longest-living that it had room for and
# 74.5 % hits, redis-server 7.2.4 84.6 and 76.4 (2026-11-28).
JUDGED = ("allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu")
UNIVERSE, HELD = 200000, 40000
SKEW = 0.99
VALUE = b"v" * 100
A_TIME = 100
SCAN_EACH, SCAN = 20000, 5000  # after so many requests one of so many keys
SECONDS = 12  # of a trace at least: the servers' clocks for LRU count seconds
# What waits: values of these sizes, so many a second, over as many keys, of which about a third are held; as many hashes as
# are worth a stall, each of so many fields.
WRITES = (("values of 100 bytes", 100, 60000), ("values of 10,000 bytes", 10000, 4000))
STALL_BYTES, STALL_HASHES, STALL_FIELDS = 64 << 20, 20, 50000
STALL_ROUNDS, STALL_SECONDS, STALL_MS, STARTS_SECONDS = 3, 3.0, 2.0, 60


class Connection:
    def __init__(self, target):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(target.path)
        self.got = b""

    def line(self):
        while b"\r\n" not in self.got:
            more = self.s.recv(1 << 16)
            if not more:
                raise Failed("the server is gone")
            self.got += more
        line, self.got = self.got.split(b"\r\n", 1)
        return line

    def bulk(self):
        """Whether there was a value."""
        n = int(self.line()[1:])
        if n < 0:
            return False
        while len(self.got) < n + 2:
            self.got += self.s.recv(1 << 16)
        self.got = self.got[n + 2:]
        return True


def packed(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def zipf(chance, count):
    """Numbers of keys, the first ones often; which key that is, a shuffle says."""
    sums, total = [], 0.0
    for i in range(1, UNIVERSE + 1):
        total += i ** -SKEW
        sums.append(total)
    names = list(range(UNIVERSE))
    chance.shuffle(names)
    return [names[min(bisect.bisect_left(sums, chance.random() * total), UNIVERSE - 1)] for _ in range(count)]


def with_scans(trace):
    mixed, other = [], UNIVERSE
    for first in range(0, len(trace), SCAN_EACH):
        mixed += trace[first:first + SCAN_EACH]
        mixed += range(other, other + SCAN)
        other += SCAN
    return mixed


def set_of(number, policy):
    key = b"key:%012d" % number
    if not policy.startswith("volatile"):
        return packed(b"SET", key, VALUE)
    # a key that is to live long is a popular one no more than any other
    return packed(b"SET", key, VALUE, b"EX", b"%d" % (10000 + number * 7919 % 100000))


def ready(target, policy):
    """Sets maxmemory to what HELD keys take."""
    target.call("CONFIG", "SET", "maxmemory", "0")
    target.call("FLUSHALL")
    c = Connection(target)
    for first in range(0, HELD, A_TIME):
        c.s.sendall(b"".join(set_of(i, policy) for i in range(first, first + A_TIME)))
        for _ in range(A_TIME):
            c.line()
    time.sleep(0.3)
    used = target.info("used_memory")
    target.call("FLUSHALL")
    time.sleep(0.3)
    target.call("CONFIG", "SET", "maxmemory-policy", policy)
    target.call("CONFIG", "SET", "maxmemory", used)
    return c


def ask(c, part, policy):
    """How many were there; the others are put there."""
    c.s.sendall(b"".join(packed(b"GET", b"key:%012d" % n) for n in part))
    there = [c.bulk() for _ in part]
    missing = list(dict.fromkeys(n for n, has in zip(part, there) if not has))
    c.s.sendall(b"".join(set_of(n, policy) for n in missing))
    for _ in missing:
        if not c.line().startswith(b"+"):
            raise Failed("SET is refused")
    return sum(there)


def replay(targets, trace, policy, seconds):
    """{name: (share that was there, of the second half; keys at the end)}"""
    connections = [ready(t, policy) for t in targets]
    hits = [0] * len(targets)
    began, half = time.monotonic(), len(trace) // 2
    for first in range(0, len(trace), A_TIME):
        part = trace[first:first + A_TIME]
        for i, c in enumerate(connections):
            n = ask(c, part, policy)
            hits[i] += n if first >= half else 0
        ahead = seconds * first / len(trace) - (time.monotonic() - began)
        if ahead > 0.05:
            time.sleep(ahead)
    found = {}
    for t, c, n in zip(targets, connections, hits):
        keys = int(t.call("DBSIZE").strip(":\r\n"))
        found[t.name] = (100.0 * n / (len(trace) - half), keys)
        t.call("CONFIG", "SET", "maxmemory", "0")
        c.s.close()
    return found


def fill_hashes(target):
    """Large values among the small ones: what goes is one of them now and then."""
    c = Connection(target)
    pairs = [b"f%06d" % i for i in range(STALL_FIELDS) for _ in (0, 1)]
    for h in range(STALL_HASHES):
        for first in range(0, len(pairs), 2000):
            c.s.sendall(packed(b"HSET", b"hash:%d" % h, *pairs[first:first + 2000]))
            c.line()
    c.s.close()


def longest_wait(target, policy, size, rate, seconds):
    """Milliseconds of a client that asks all the time while keys are written; how many went. policy None: none do."""
    target.call("CONFIG", "SET", "maxmemory", "0")
    target.call("FLUSHALL")
    fill_hashes(target)
    if policy:
        target.call("CONFIG", "SET", "maxmemory-policy", policy)
        target.call("CONFIG", "SET", "maxmemory", str(STALL_BYTES + int(target.info("used_memory"))))
    keys = 3 * STALL_BYTES // (size + 100)
    before = int(target.info("evicted_keys"))
    with Beside(target, "set", "-c", 8, "--rate", rate, "-r", keys, "-d", size), probe(target) as gaps:
        began = time.monotonic()  # the hashes, which nobody uses, are the first to go: the probe is there by then
        while policy and int(target.info("evicted_keys")) == before and time.monotonic() - began < STARTS_SECONDS:
            time.sleep(0.1)
        time.sleep(seconds)
    gone = int(target.info("evicted_keys")) - before
    target.call("CONFIG", "SET", "maxmemory", "0")
    if policy and not gone:
        raise Failed("%s evicted nothing" % target.name)
    return {"max_ms": gaps.figures["max_us"] / 1e3, "p999_ms": gaps.figures["p999_us"] / 1e3, "rate": gone / seconds}


def wait_table(bench, title, size, rate):
    """What others cost on this machine stands beside: the same without a limit."""
    targets, found, rounds = [bench.redis, bench.ours], {}, min(STALL_ROUNDS, bench.rounds)
    for r in bench.progress.rounds(rounds):
        for policy in (None, "allkeys-lru", "allkeys-lfu", "allkeys-random"):
            for target in turns(targets, r):
                found.setdefault((target.name, policy), []).append(longest_wait(target, policy, size, rate, 1.0 if bench.quick else STALL_SECONDS))
    table = Table("How long a client waits while {:,} {} a second are written and others go; with {} hashes of {:,} fields, ms, medians of {}".format(
        rate, title, STALL_HASHES, STALL_FIELDS, rounds), ["policy", "longest R7", "longest demikv", "p99.9 R7", "p99.9 demikv", "keys/s R7", "keys/s demikv", "target", ""])
    for policy in (None, "allkeys-lru", "allkeys-lfu", "allkeys-random"):
        cells = [mid(found, t.name, policy, field) for field in ("max_ms", "p999_ms", "rate") for t in targets]
        table.judged(policy or "none go", *cells, value=cells[1], at_most=STALL_MS if policy else None)
    return table


def section_evict(bench):
    count = 60000 if bench.quick else 400000
    trace = zipf(random.Random(1), count)
    for title, keys in (("Zipf, {:,} requests".format(count), trace), ("the same with scans in between", with_scans(trace))):
        table = Table("Hits in %% while eviction goes on: %s; %d of %d keys held" % (title, HELD, UNIVERSE),
                      ["policy", "R7", "demikv", "difference", "keys R7", "keys demikv", "target", ""])
        for policy in POLICIES:
            found = replay([bench.redis, bench.ours], keys, policy, 2 if bench.quick else SECONDS)
            r7, ours = found["redis"], found["demikv"]
            # at equal bytes of data: what more or fewer keys are worth is small beside what is judged
            table.judged(policy, r7[0], ours[0], ours[0] - r7[0], "{:,}".format(r7[1]), "{:,}".format(ours[1]),
                         value=ours[0] / r7[0], at_least=0.99 if policy in JUDGED else None)
        yield table
    for title, size, rate in WRITES:
        yield wait_table(bench, title, size, rate)
    bench.empty()
    for target in (bench.redis, bench.ours):
        target.call("CONFIG", "SET", "maxmemory-policy", "noeviction")

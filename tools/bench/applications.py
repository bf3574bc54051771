# SPDX-License-Identifier: MIT
"""What applications lean on: sections scripts, streams and users (rules of ACL)."""
import os
import subprocess
import time

import rig
from rig import Failed, load, pinned
from speed import mid, ratio, turns
from table import Table, median

CONNS = ("-c", 50)
DEPTH = ("-P", 16)
KEYS = 100000

# Words of a call: the script, then what follows EVALSHA's SHA; and the goal, as a ratio of rates.
SCRIPTS = (
    ("return 1", "return 1", "0", 2.0),
    ("one GET", "return redis.call('get', KEYS[1])", "1 key:%k", None),
    ("100 GET", "for i = 1, 100 do redis.call('get', KEYS[1]) end", "1 key:%k", 2.0),
    ("100 SET of a number", "for i = 1, 100 do redis.call('set', KEYS[1], i) end", "1 key:%k", None),
    ("100 strings built", "local s = '' for i = 1, 100 do s = s .. 'k' .. i end return #s", "0", 2.0),
    ("cjson both ways", "local t = cjson.decode(ARGV[1]) t.n = t.n + 1 return #cjson.encode(t)",
     '0 {"id":"0123456789","n":41,"tags":["a","b","c"],"deep":{"x":1.5,"y":[1,2,3]}}', None),
    ("cmsgpack both ways", "return #cmsgpack.unpack(cmsgpack.pack({1, 2, 'three', {four = 5}}))", "0", None),
    ("HGETALL of 10, and a loop", "local n = 0 for i, v in ipairs(redis.call('hgetall', KEYS[1])) do n = n + #v end return n", "1 hash", None),
)
STREAM = "XADD stream MAXLEN ~ 10000 * field %v"
STREAMS = (("XADD", STREAM, 1.8), ("XADD and XREADGROUP of it", STREAM + " ; XREADGROUP GROUP group one COUNT 1 STREAMS stream >", 1.8),
           ("XADD, XREADGROUP with NOACK", STREAM + " ; XREADGROUP GROUP group one COUNT 1 NOACK STREAMS stream >", None))
RULES = 100
JOBS = 10000


def measure(bench, tests, targets):
    """{(server name, test): [figures]}; tests: (name, server -> words)."""
    found = {}
    for r in bench.progress.rounds(bench.rounds):
        for name, words in tests:
            for target in turns(targets, r):
                found.setdefault((target.name, name), []).append(
                    load(target, words[target.name], *CONNS, *DEPTH, "-r", KEYS, seconds=bench.burst))
    return found


def compared(title, found, goals):
    table = Table(title, ["test", "rps R7", "rps demikv", "us CPU R7", "us CPU demikv", "rps x R7", "target", ""])
    for name, goal in goals:
        r7, ours = (mid(found, n, name, "rps") for n in ("redis", "demikv"))
        cpu = [mid(found, n, name, "cpu_us") for n in ("redis", "demikv")]
        table.judged(name, r7, ours, *cpu, ratio(ours, r7), value=ratio(ours, r7), at_least=goal)
    return table


def loaded(target, script):
    said = target.call("SCRIPT", "LOAD", script).split("\r\n")
    if len(said) < 2 or len(said[1]) != 40:
        raise Failed("%s: SCRIPT LOAD: %s" % (target.name, said[0]))
    return said[1]


def bullmq_seconds(target):
    """What BullMQ takes to add jobs and to do them; None where it is not installed (tests/software fetches it)."""
    modules = os.path.join(rig.BUILD, "software", "node_modules")
    if not os.path.isdir(os.path.join(modules, "bullmq")):
        return None
    target.call("FLUSHALL")
    done = subprocess.run(pinned(rig.LOAD_CPU) + ["node", os.path.join(rig.ROOT, "tools/bench/bullmq_jobs.js"), str(target.port), str(JOBS)],
                          capture_output=True, text=True, timeout=300, env=dict(os.environ, NODE_PATH=modules), check=False)
    if done.returncode:
        raise Failed("BullMQ against %s: %s" % (target.name, done.stderr.strip()[-300:]))
    return float(done.stdout)


def section_scripts(bench):
    targets = [bench.redis, bench.ours]
    bench.fill(KEYS, 3)
    for target in targets:
        target.call("HSET", "hash", *[word for i in range(10) for word in ("field%d" % i, "value%d" % i)])
    tests = [(name, {t.name: "EVALSHA %s %s" % (loaded(t, script), rest) for t in targets}) for name, script, rest, _ in SCRIPTS]
    found = measure(bench, tests, targets)
    table = compared("Scripts by EVALSHA, -P 16, 50 connections, TCP", found, [(name, goal) for name, _, _, goal in SCRIPTS])
    table.note("medians of %d" % bench.rounds)
    yield table
    times = {}
    for r in bench.progress.rounds(min(3, bench.rounds)):
        for target in turns(targets, r):
            times.setdefault(target.name, []).append(bullmq_seconds(target))
    bench.empty()
    r7, ours = (median(times[n]) for n in ("redis", "demikv"))
    table = Table("BullMQ: %s jobs added and done" % "{:,}".format(JOBS), ["figure", "R7", "demikv", "x R7", "target", ""])
    if r7 and ours:
        table.judged("seconds", r7, ours, ratio(ours, r7), value=ratio(ours, r7), at_most=1.0)
    table.note("medians of %d" % min(3, bench.rounds) if r7 and ours else "BullMQ is not there: tests/software/applications.py fetches it")
    yield table


def section_streams(bench):
    targets = [bench.redis, bench.ours]
    bench.empty()
    for target in targets:
        target.call("XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM")
    found = measure(bench, [(name, {t.name: words for t in targets}) for name, words, _ in STREAMS], targets)
    table = compared("Streams, -P 16, 50 connections, TCP", found, [(name, goal) for name, _, goal in STREAMS])
    table.note("medians of %d; a pair counts as two requests" % bench.rounds)
    yield table
    bench.empty()


def rules_set(target, count):
    """The default user, who may do everything; or may, by so many rules, do what is asked here."""
    rules = ["reset", "on", "nopass"]
    rules += ["~*", "&*", "+@all"] if not count else ["+@read", "+acl"] + ["~key%d:*" % i for i in range(count - 2)] + ["~key:*"]
    said = target.call("ACL", "SETUSER", "default", *rules)
    if not said.startswith("+OK"):
        raise Failed("%s: ACL SETUSER: %s" % (target.name, said.strip()))


def section_users(bench):
    bench.fill(KEYS, 3)
    found = {}
    targets = [bench.redis, bench.ours]
    try:
        for r in bench.progress.rounds(bench.rounds):
            for count in turns([0, RULES], r):
                for target in turns(targets, r):
                    rules_set(target, count)
                    found.setdefault((target.name, count), []).append(
                        load(target, "get", *CONNS, *DEPTH, "-r", KEYS, seconds=bench.burst))
    finally:
        for target in targets:
            rules_set(target, 0)
    table = Table("GET at -P 16 by a user with %d rules, 50 connections, TCP" % RULES, ["us CPU a request", "R7", "demikv", "x", "target", ""])
    free, bound = ([mid(found, n, count, "cpu_us") for n in ("redis", "demikv")] for count in (0, RULES))
    table.row("everything is allowed", *free, "")
    table.judged("%d rules" % RULES, *bound, ratio(bound[1], free[1]), value=ratio(bound[1], free[1]), at_most=1.03)
    table.note("medians of %d; x: demikv with rules to without" % bench.rounds)
    yield table

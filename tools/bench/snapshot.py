# SPDX-License-Identifier: MIT
"""Snapshots: sections save (SAVE and loading) and bgsave (what clients see of a BGSAVE)."""
import os
import time

import rig
from disk import Beside, Peak, Servers, file_system, probe
from rig import Failed, cpu_ns, fill, load
from speed import ratio, turns
from table import Table, median

KEYS, QUICK_KEYS = 10000000, 500000
MEMBERS, QUICK_MEMBERS = 5000000, 200000
VALUES, QUICK_VALUES, BIG = 1000, 100, 1000000
ROUNDS = 3
BASELINE_SECONDS = 1.0
SAVE_SECONDS = 180
BINARIES = (("redis", lambda: rig.REDIS), ("demikv", lambda: rig.OURS))


def rounds_of(bench):
    return min(ROUNDS, bench.rounds)


# --- save -----------------------------------------------------------------------------------------------------------------------

def measured(target, keys, action):
    """Keys a second and CPU time a key of what action does."""
    cpu, began = cpu_ns(target.pid), time.monotonic()
    action()
    return {"rate": keys / (time.monotonic() - began), "cpu_us": (cpu_ns(target.pid) - cpu) / 1e3 / keys}


def save(target):
    said = target.call("SAVE")
    if not said.startswith("+OK"):
        raise Failed("%s: SAVE: %s" % (target.name, said.strip()))


def into_page_cache(path):
    """Both files are loaded from memory, whatever was done about that when they were written."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def start_loaded(servers, name, binary, keys, cpu):
    """A server that has loaded its file, and what that took; its CPU time is all it has used so far."""
    into_page_cache(os.path.join(servers.folder, name, "dump.rdb"))
    target = servers.start(name, binary, cpu=cpu)
    found = {"rate": keys / target.ready_s, "cpu_us": cpu_ns(target.pid) / 1e3 / keys}
    if not target.call("DBSIZE").startswith(":%d\r" % keys):
        raise Failed("%s has not loaded its %d keys" % (name, keys))
    return target, found


def save_round(servers, name, binary, keys, found):
    target, loading = start_loaded(servers, name, binary, keys, rig.SERVER_CPU)
    found.setdefault((name, "load"), []).append(loading)
    found.setdefault((name, "save"), []).append(measured(target, keys, lambda: save(target)))
    servers.stop(name)
    if name == "demikv":  # redis-server loads with one
        _, loading = start_loaded(servers, name, binary, keys, None)
        found.setdefault((name, "load2"), []).append(loading)
        servers.stop(name)


def section_save(bench):
    keys = QUICK_KEYS if bench.quick else KEYS
    found = {}
    with Servers() as servers:
        for name, binary in BINARIES:
            target = servers.start(name, binary())
            fill(target, "set", keys, 16)
            save(target)
            servers.stop(name)
        for r in bench.progress.rounds(rounds_of(bench)):
            for name, binary in turns(list(BINARIES), r):
                save_round(servers, name, binary(), keys, found)
    yield save_table(found, keys)


def save_table(found, keys):
    def mid(name, what, field):
        return median([f[field] for f in found[name, what]])
    table = Table("SAVE and loading of {:,} keys, 16 + 16 bytes".format(keys), ["figure", "R7", "demikv", "value", "", "target", ""])
    for what, words in (("save", "SAVE"), ("load", "loading")):
        r7, ours = (mid(n, what, "rate") for n in ("redis", "demikv"))
        table.judged("%s on one core, keys/s" % words, r7, ours, ratio(ours, r7), "x R7", value=ratio(ours, r7), at_least=2.5)
        if keys == KEYS:
            table.keep("save_rate" if what == "save" else "load_rate", r7, ours)
        r7, ours = (mid(n, what, "cpu_us") for n in ("redis", "demikv"))
        per_core = ratio(1.0, ours)
        table.judged("%s, CPU us a key" % words, r7, ours, per_core, "M keys/s of CPU", value=per_core, at_least=3.0)
    ours = mid("demikv", "load2", "rate")
    gain = ratio(ours, mid("demikv", "load", "rate"))
    table.judged("loading with two cores, keys/s", None, ours, gain, "x one core", value=gain, at_least=1.6)
    table.note("medians of %d; %s; files are loaded from the page cache; redis-server loads on one core" % (len(found["demikv", "save"]), file_system()))
    return table


# --- bgsave ---------------------------------------------------------------------------------------------------------------------

class Case:
    """Data, and the load that writes them while they are saved: half of its commands are writes. gap_name: README shows its gap."""

    def __init__(self, words, fill_words, load_words, is_paced=False, gap_name=None):
        self.words, self.fill_words, self.load_words = words, fill_words, load_words
        self.is_paced, self.gap_name = is_paced, gap_name


def cases(quick):
    keys, members, values = (QUICK_KEYS, QUICK_MEMBERS, QUICK_VALUES) if quick else (KEYS, MEMBERS, VALUES)
    return (Case("{:,} keys, 16 + 16 bytes".format(keys), ("set", "-r", keys, "-n", keys, "-d", 16, "-P", 100),
                 ("mixed", "-c", 4, "-P", 128, "-r", keys, "-d", 16), gap_name="bgsave_gap_ms"),
            Case("a sorted set of {:,} members".format(members), ("zfill", "-r", members, "-n", members, "-P", 100),
                 ("zmixed", "-c", 8, "-P", 16, "-r", members)),
            Case("{:,} values of 1 MB, 100 commands/s".format(values),
                 ("set", "-r", values, "-n", values, "-d", BIG, "-c", 4, "--mixed-values"),
                 ("mixed", "-c", 4, "--rate", 50, "-r", values, "-d", BIG, "--mixed-values"), is_paced=True))


def in_progress(target):
    return "rdb_bgsave_in_progress:1" in target.call("INFO", "persistence")


def bgsave(target, peak):
    """Seconds that it took."""
    began = time.monotonic()
    said = target.call("BGSAVE")
    while said.startswith("+") and in_progress(target):
        if time.monotonic() > began + SAVE_SECONDS:
            raise Failed("%s: BGSAVE does not end" % target.name)
        peak.look()
        time.sleep(0.05)
    if "rdb_last_bgsave_status:ok" not in target.call("INFO", "persistence") or not said.startswith("+"):
        raise Failed("%s: BGSAVE failed: %s" % (target.name, said.strip()))
    return time.monotonic() - began


def bgsave_round(target, case):
    with Beside(target, *case.load_words) as before, probe(target) as calm:
        time.sleep(BASELINE_SECONDS)
    peak = Peak(target.pid)
    with Beside(target, *case.load_words) as during, probe(target) as gaps:
        seconds = bgsave(target, peak)
    copied = int(target.info("rdb_last_cow_size"))
    return {"seconds": seconds, "max_ms": gaps.figures["max_us"] / 1e3, "p999_ms": gaps.figures["p999_us"] / 1e3,
            "wait_ms": during.figures["max_us"] / 1e3, "calm_wait_ms": before.figures["max_us"] / 1e3,
            "calm_ms": calm.figures["max_us"] / 1e3, "memory": peak.before, "peak": peak.bytes(copied), "rps": before.figures["rps"],
            "kept": 100 * during.figures["rps"] / before.figures["rps"]}


def bgsave_case(bench, case):
    found = {}
    with Servers() as servers:
        targets = [servers.start(name, binary()) for name, binary in BINARIES]
        for target in targets:
            load(target, *case.fill_words, "--sequential", unix=True)
        for r in bench.progress.rounds(rounds_of(bench)):
            for target in turns(targets, r):
                found.setdefault(target.name, []).append(bgsave_round(target, case))
    return bgsave_table(case, found)


def growth_percent(rounds):
    """The highest peak beside what there was at first: a server may keep what it got in the first round for the next."""
    return 100 * (max(r["peak"] for r in rounds) / rounds[0]["memory"] - 1)


def bgsave_table(case, found):
    table = Table("BGSAVE of %s, half of the commands writes" % case.words, ["figure", "R7", "demikv", "target", ""])

    def both(field):
        return [median([f[field] for f in found[n]]) for n in ("redis", "demikv")]
    for words, field, goals in (("longest gap a client sees, ms", "max_ms", {"at_most": 3.0}),
                                ("p99.9 of its round trips, ms", "p999_ms", {}),
                                ("longest gap without BGSAVE, ms", "calm_ms", {}),
                                ("longest wait of those who write, ms", "wait_ms", {}),
                                ("the same without BGSAVE, ms", "calm_wait_ms", {}),
                                ("throughput kept, %", "kept", {"at_least": 75.0}),
                                ("commands/s without BGSAVE", "rps", {}), ("seconds", "seconds", {})):
        r7, ours = both(field)
        table.judged(words, r7, ours, value=ours, **goals)
    r7, ours = (growth_percent(found[n]) for n in ("redis", "demikv"))
    table.judged("growth of resident memory, most, %", r7, ours, value=ours, at_most=10.0)
    if case.gap_name:
        table.keep(case.gap_name, *both("max_ms"))
    table.note("medians of %d; %s" % (len(found["demikv"]), file_system()))
    if case.is_paced:
        table.note("more writes than the disk takes would have to be held, or wait")
    return table


def section_bgsave(bench):
    for case in cases(bench.quick):
        yield bgsave_case(bench, case)

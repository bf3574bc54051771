#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""INFO and MEMORY STATS beside redis-server's: the sections, their fields in their order, the kind of each value; TAP on stdout."""
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Closed, encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
import versions  # noqa: E402

# What ours has besides, and why.
BESIDES = {("Server", "demikv_version"): "redis_version is the version whose behaviour ours is",
           ("Stats", "evicted_scripts"): "Redis has it since 7.4, and the bound on what EVAL leaves, too"}
BESIDES_SECTION = "Demikernel"  # of the library below, with the counters that there are
# 7.0 has these not.
NEW = {"Server": {"listener0", "listener1"}, "Clients": {"total_blocking_keys", "total_blocking_keys_on_nokey"},
       "Stats": {"eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum", "instantaneous_eventloop_cycles_per_sec",
                 "instantaneous_eventloop_duration_usec", "acl_access_denied_auth", "acl_access_denied_cmd", "acl_access_denied_key",
                 "acl_access_denied_channel"}}
UNORDERED = {"Commandstats", "Latencystats"}  # there as its hash table has them
KINDS = (("integer", r"-?\d+"), ("float", r"-?\d+\.\d+"), ("percentage", r"-?\d+\.\d+%"), ("size", r"\d+B|\d+\.\d\d[KMGTP]"),
         ("time", r"\d+\.\d{6}"), ("fields", r"\w+=.*"))
PERCENTILES = " ".join("99.%06d" % (n * 10000 + 1) for n in range(32))  # as many as there may be
LONG = 16  # addresses to listen on: their line is longer than any


def kind_of(value):
    return next((kind for kind, form in reversed(KINDS) if re.fullmatch(form, value)), "text")


def shape(value):
    """Of `a=1,b=2.5`: the names, and the kinds of the values."""
    return [(part.partition("=")[0], kind_of(part.partition("=")[2])) for part in value.split(",")]


def sections(client, *words):
    text = client.call("INFO", *words).text().decode()
    found, title = {}, None
    for line in text.split("\r\n"):
        if line.startswith("# "):
            title = line[2:]
            found[title] = []
        elif line:
            found[title].append(tuple(line.split(":", 1)))
    return found


def prepare(server):
    """The same has happened to both."""
    client = server.client()
    for words in (["SET", "a", "b"], ["LPUSH", "a", "1"], ["LPUSH", "l", "1"], ["XNOSUCH"], ["AUTH", "x"], ["EXEC"], ["SETEX", "e", "100", "v"]):
        client.call(*words)
    return client


def compare_fields(tap, title, theirs, ours):
    new = NEW[title] if title in NEW and versions.expected("info " + title.lower()) else set()
    want = [name for name, _ in theirs]
    have = [name for name, _ in ours if name not in new and (title, name) not in BESIDES]
    if title in UNORDERED:
        want, have = sorted(want), sorted(have)
    notes = ["missing: " + name for name in want if name not in have] + ["besides: " + name for name in have if name not in want]
    tap.ok(want == have, "%s has redis-server's fields in their order" % title, notes or [] if want == have else [want, have])
    if new:
        tap.ok(new <= {name for name, _ in ours}, "%s: what 7.2 has is there" % title)
    values, notes = dict(ours), []
    for name, value in theirs:
        other = values.get(name, "")
        if kind_of(value) != kind_of(other):
            notes.append("%s: %r, ours %r" % (name, value, other))
        elif kind_of(value) == "fields" and shape(value) != shape(other):
            notes.append("%s: %r, ours %r" % (name, value, other))
    tap.ok(not notes, "%s: values are of the same kind" % title, notes)


def names_of_map(reply):
    return [k.text().decode() for k in reply.kids[::2]]


def check_memory_stats(tap, clients):
    theirs, ours = (names_of_map(c.call("MEMORY", "STATS")) for c in clients)
    tap.ok(theirs == ours, "MEMORY STATS has redis-server's fields in their order", [] if theirs == ours else [theirs, ours])


def check_listeners(tap, binary):
    """Every address, however many; the Unix socket."""
    addresses = ["127.0.0.%d" % (n + 1) for n in range(LONG)]
    with Server(binary, ["--bind"] + addresses + ["--protected-mode", "no"], tcp=True) as server:
        lines = dict(sections(server.client(), "server")["Server"])
        want = "name=tcp,%s,port=%d" % (",".join("bind=" + a for a in addresses), server.port)
        tap.ok(lines.get("listener0") == want and lines.get("listener1") == "name=unix,bind=" + server.path, "listeners: all addresses of each",
               [want, lines.get("listener0"), lines.get("listener1")])


def check_long_line(tap, server):
    client = server.client()
    client.call("CONFIG", "SET", "latency-tracking-info-percentiles", PERCENTILES)
    line = dict(sections(client, "latencystats")["Latencystats"])["latency_percentiles_usec_set"]
    tap.ok(line.count("=") == len(PERCENTILES.split()), "a line of %d percentiles is whole" % len(PERCENTILES.split()), [line])


def check_counts(tap, server):
    client, waiter = server.client(), server.client()
    stats = dict(sections(client, "stats")["Stats"])
    tap.ok(int(stats["eventloop_cycles"]) > 0 and int(stats["eventloop_duration_sum"]) > 0 and
           0 < int(stats["eventloop_duration_cmd_sum"]) <= int(stats["eventloop_duration_sum"]), "the loop's time contains the commands'",
           [stats["eventloop_cycles"], stats["eventloop_duration_sum"], stats["eventloop_duration_cmd_sum"]])
    waiter.send(encode(["BLPOP", "w1", "w2", "w1", "0"]))
    client.call("PING")
    for _ in range(100):
        clients = dict(sections(client, "clients")["Clients"])
        if clients["blocked_clients"] == "1":
            break
    tap.ok(clients["total_blocking_keys"] == "2" and clients["total_blocking_keys_on_nokey"] == "0", "keys that are waited for are counted once", [clients])
    client.call("CONFIG", "SET", "requirepass", "secret")
    client.call("AUTH", "wrong")
    denied = dict(sections(client, "stats")["Stats"])["acl_access_denied_auth"]
    client.call("CONFIG", "SET", "requirepass", "")
    tap.ok(denied == "1", "a wrong password is counted as denied", [] if denied == "1" else [denied])
    client.call("CONFIG", "RESETSTAT")
    stats = dict(sections(client, "stats")["Stats"])
    tap.ok(stats["acl_access_denied_auth"] == "0" and int(stats["eventloop_cycles"]) < 10, "CONFIG RESETSTAT begins anew")


def check_paused(tap, binary):
    """Whom CLIENT PAUSE holds waits like any other: counted, marked, not closed for being idle."""
    with Server(binary) as server:
        client, held = server.client(), server.client()
        client.call("CLIENT", "PAUSE", "60000", "WRITE")
        held.send(encode(["SET", "paused", "1"]))
        number = ""
        for _ in range(200):
            number = dict(sections(client, "clients")["Clients"])["blocked_clients"]
            if number == "1":
                break
        flags = [re.search(r"flags=(\w+)", line).group(1) for line in client.call("CLIENT", "LIST").text().decode().splitlines() if "cmd=set " in line]
        tap.ok((number, flags) == ("1", ["bU"]), binary + ": who is paused counts as blocked", [] if flags == ["bU"] else [number, flags])
        client.call("CONFIG", "SET", "timeout", "1")
        for _ in range(35):
            time.sleep(0.1)
            client.call("PING")
        client.call("CLIENT", "UNPAUSE")
        try:
            answer = held.read().raw()
        except (Closed, OSError):
            answer = b"closed"
        number = dict(sections(client, "clients")["Clients"])["blocked_clients"]
        tap.ok((answer, number) == (b"+OK\r\n", "0"), binary + ": who is paused is not idle", [] if number == "0" else [answer, number])


def check_long_request(tap, binary):
    """What a request of very many arguments took is free again once it has run."""
    with Server(binary) as server:
        client = server.client()
        used = lambda: int(dict(sections(client, "memory")["Memory"])["used_memory"])  # noqa: E731
        before = used()
        names = [str(n) for n in range(200000)]
        for words in (["SADD", "many"] + names, ["DEL"] + names, ["UNLINK", "many"]):
            client.call(*words)
        left = 0
        for _ in range(50):
            left = used() - before
            if left < 1 << 19:
                break
            time.sleep(0.1)
        tap.ok(left < 1 << 19, binary + ": a request of 200,000 arguments leaves no memory behind", [] if left < 1 << 19 else [before, left])


def check_loaded(tap, server):
    client = server.client()
    for words in (["FLUSHALL"], ["DEBUG", "SET-ACTIVE-EXPIRE", "0"], ["SET", "x", "1"], ["SET", "y", "2"], ["SET", "z", "3", "PX", "1"],
                  ["DEBUG", "SLEEP", "0.01"], ["DEBUG", "RELOAD"]):
        client.call(*words)
    found = dict(sections(client, "persistence")["Persistence"])
    tap.ok((found["rdb_last_load_keys_loaded"], found["rdb_last_load_keys_expired"]) == ("2", "1"), "what DEBUG RELOAD loaded and left out is told",
           [found["rdb_last_load_keys_loaded"], found["rdb_last_load_keys_expired"]])
    client.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")


# What may be asked for: sections by name, together, twice, in capitals, and what is none.
REQUESTS = [[], ["all"], ["everything"], ["default"], ["ALL"], ["Everything"], ["DeFault"], ["nosuch"], ["nosuch", "neither"], [""],
            ["server", "clients"], ["clients", "server"], ["server", "server"], ["server", "nosuch"], ["keyspace", "all"], ["default", "commandstats"],
            ["default", "all"], ["everything", "debug"], ["debug", "server"], ["module_list", "modules"], ["MODULE_LIST"], ["module_nosuch"], ["sentinel"]]


def check_requests(tap, clients, titles):
    """Which sections are told, and their fields."""
    for words in REQUESTS + [[title.lower()] for title in titles] + [[title] for title in titles] + [["debug"], ["Debug"]]:
        if "debug" in [word.lower() for word in words] and versions.expected("info debug"):
            continue
        there, here = (sections(c, *words) for c in clients)
        here.pop(BESIDES_SECTION, None)
        sides = []
        for found in (there, here):
            side = []
            for title, fields in found.items():
                names = [name for name, _ in fields if name not in NEW.get(title, ()) and (title, name) not in BESIDES]
                side.append((title, sorted(names) if title in UNORDERED else names))
            sides.append(side)
        tap.ok(sides[0] == sides[1], "INFO %s tells the same" % " ".join(words), [] if sides[0] == sides[1] else sides)


def check_debug(tap, server):
    client = server.client()
    client.send(encode(["PING"]) * 200 + encode(["DEBUG", "SLEEP", "0.12"]))  # longer than from one cron to the next
    for _ in range(201):
        client.read()
    client.call("PING")
    then = dict(sections(client, "debug")["Debug"])
    names = ["eventloop_duration_aof_sum", "eventloop_duration_cron_sum", "eventloop_duration_max", "eventloop_cmd_per_cycle_max"]
    tap.ok(list(then) == names, "Debug has 7.2's fields", [] if list(then) == names else [then])
    right = (int(then["eventloop_duration_max"]) >= 120000 and int(then["eventloop_cmd_per_cycle_max"]) >= 10 and
             int(then["eventloop_duration_cron_sum"]) > 0)
    tap.ok(right, "the longest turn, the one with most commands, the time of the cron", [] if right else [then])
    client.call("CONFIG", "RESETSTAT")
    after = dict(sections(client, "debug")["Debug"])
    right = int(after["eventloop_duration_max"]) < 120000 and int(after["eventloop_cmd_per_cycle_max"]) < 10
    tap.ok(right, "CONFIG RESETSTAT begins anew", [] if right else [after])
    turns = []
    for _ in range(5):  # a cron between the calls takes some of them for its next sample, but not each time
        client.call("CONFIG", "RESETSTAT")
        for _ in range(60):
            client.call("PING")
        time.sleep(0.25)
        turns.append(int(dict(sections(client, "stats")["Stats"])["instantaneous_eventloop_cycles_per_sec"]))
    tap.ok(min(turns) < 20, "a moment's turns are not taken for a second's", [] if min(turns) < 20 else turns)
    spent = lambda: int(dict(sections(client, "debug")["Debug"])["eventloop_duration_aof_sum"])  # noqa: E731
    before = spent()
    client.call("CONFIG", "SET", "appendonly", "yes")
    deadline = time.monotonic() + 20
    while spent() == 0 and time.monotonic() < deadline:
        client.call("SET", "k", "v")
    during = spent()
    client.call("CONFIG", "SET", "appendonly", "no")
    client.call("CONFIG", "RESETSTAT")
    right = before == 0 and during > 0 and spent() == 0
    tap.ok(right, "the time of the append-only file, until CONFIG RESETSTAT", [] if right else [before, during, spent()])


def check_errors(tap, clients):
    """Which errors count, as which, in which order."""
    found = []
    for client in clients:
        client.call("CONFIG", "RESETSTAT")
        client.call("SET", "a", "b")
        for words in (["LPUSH", "a", "1"], ["DEBUG", "ERROR", "ZZ x"], ["EXEC"], ["MULTI"], ["NOSUCH"], ["EXEC"], ["HELLO", "7"], ["RESTORE", "a", "0", "x"]):
            client.call(*words)
        found.append(sections(client, "errorstats")["Errorstats"])
    total = [dict(sections(client, "stats")["Stats"])["total_error_replies"] for client in clients]
    same = found[0] == found[1] and total[0] == total[1]
    tap.ok(same, "errorstats and their sum are redis-server's", [] if same else found + total)


def main():
    for binary in (REDIS, OURS):
        if not os.access(binary, os.X_OK):
            skip_all("no " + binary)
    tap = Tap()
    with Server(REDIS, tcp=True) as theirs, Server(OURS, tcp=True) as ours:
        clients = prepare(theirs), prepare(ours)
        there, here = (sections(c, "everything") for c in clients)
        have = [title for title in here if title != BESIDES_SECTION]
        tap.ok(have == list(there), "the sections are redis-server's", [] if have == list(there) else [list(there), list(here)])
        for title, fields in there.items():
            compare_fields(tap, title, fields, here.get(title, []))
        check_memory_stats(tap, clients)
        check_requests(tap, clients, list(there))
        check_long_line(tap, ours)
        check_counts(tap, ours)
        check_debug(tap, ours)
        check_loaded(tap, ours)
        check_errors(tap, clients)
    check_listeners(tap, OURS)
    for binary in (REDIS, OURS):
        check_paused(tap, binary)
        check_long_request(tap, binary)
    if versions.OLDER:
        tap.ok(not versions.unused("info"), "every difference between versions that is listed is there", versions.unused("info"))
    tap.done()


main()

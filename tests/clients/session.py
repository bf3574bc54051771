#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the README says of the server is so: its first session, typed into redis-cli, is answered as printed; the commands and
options that it calls missing are refused, as many are known as it says, and no other command of redis-server or option is missing.
"""
import os
import re
import signal

from here import OURS, REDIS, Server, Tap, info, need, need_server, run, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROMPT = "127.0.0.1:26700> "
OF_A_FAMILY = ("CACHING", "GETREDIR", "TRACKINGINFO", "SHARDNUMSUB")
# A value that asks for something, where "yes" does not.
ASKS = {"user": "alice on", "io-threads": "4", "tls-port": "6380", "replicaof": "127.0.0.1 1", "min-replicas-to-write": "1",
        "maxmemory-clients": "10mb", "bind-source-addr": "127.0.0.1", "socket-mark-id": "1", "watchdog-period": "10"}
CLI = need("redis-cli")
need_server()
with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as page:
    TEXT = page.read()


def sessions():
    """[[(command, printed), ...], ...] of the first session: the server is started again between one and the next."""
    found, within = [], False
    for line in TEXT[TEXT.index("## A first session"):TEXT.index("## Three ways")].splitlines():
        line = line[4:] if line.startswith("    ") else None
        if line is None or line.startswith("$ "):
            within = False
        elif line.startswith(PROMPT):
            if not within:
                found.append([])
            within = True
            found[-1].append((line[len(PROMPT):], []))
        elif within:
            found[-1][-1][1].append(line.rstrip())
    return found


def type_in(server, typed, which):
    status, output = run([CLI, "--no-raw", "-p", str(server.port)], input="".join(c + "\n" for c, _ in typed))
    got = [line.rstrip() for line in output.splitlines() if line.strip()]
    printed = [line for _, lines in typed for line in lines]
    tap.ok(status == 0 and got == printed, "part %d: each command of it is answered as printed" % which,
           [] if got == printed else ["printed: " + line for line in printed] + ["got:     " + line for line in got])


def again(server, how, args):
    """Ends it, and starts it in the same folder with other options."""
    server.process.send_signal(how)
    server.process.wait(60)
    server.args = args
    server.start()


def refused():
    """The second column of "What is missing": ([commands, each as its words], [options]). "all 15 commands in X" is not
    looked at here: they are in the count."""
    commands, options, family = [], [], []
    table = TEXT[TEXT.index("| missing |"):TEXT.index("Options that only tune")]
    for cell in re.findall(r"^\| [^|]* \| ([^|]*) \|$", table, re.M)[1:]:
        options += re.findall(r"`([^`]*)`", cell)
        for item in re.split(r", | and |; ?", re.sub(r"`[^`]*`", "", cell)):
            words = item.strip(" ,").split()
            if not words or not all(re.fullmatch(r"[A-Z_-]+", word) for word in words):
                continue
            if len(words) > 1:
                family = words[:1]  # CLIENT TRACKING, CACHING: the second is CLIENT's, too
            elif words[0] in OF_A_FAMILY:
                words = family + words
            commands.append(words)
    return commands, options


tap = Tap()
with Server(OURS, ["--save", "3600 1"], tcp=True) as server:
    parts = sessions()
    tap.ok(len(parts) == 3 and len(parts[0]) >= 8, "the README has a first session, of three parts", [len(part) for part in parts])
    type_in(server, parts[0], 1)
    again(server, signal.SIGINT, ["--save", "3600 1"])
    type_in(server, parts[1], 2)
    client = server.client()
    wait_until(lambda: info(client, "aof_rewrite_in_progress") == info(client, "aof_buffer_length") == "0")
    again(server, signal.SIGKILL, ["--appendonly", "yes"])
    type_in(server, parts[2], 3)

    client = server.client()
    commands, options = refused()
    tap.ok(len(commands) >= 10 and len(options) >= 10, "the README names what is missing",
           ["%d commands, %d options" % (len(commands), len(options))])
    known = []
    for words in commands:
        reply = client.call(*words)
        if not re.search(b"unknown (sub)?command|not supported", reply.raw()):
            known.append("%s: %s" % (" ".join(words), reply.raw().decode("utf-8", "replace")))
    tap.ok(not known, "the commands it calls missing are refused", known)

    count = int(client.call("COMMAND", "COUNT").text())
    everything = len(client.call("COMMAND", "LIST").kids)
    says = re.search(r"demikv knows (\d+)\s+\(with\s+subcommands: (\d+) of \d+\)", TEXT)
    tap.ok(says is not None and (int(says[1]), int(says[2])) == (count, everything), "as many are known as it says",
           ["README: %s; COMMAND COUNT %s, COMMAND LIST %s" % (says and says.groups(), count, everything)])

    named = {" ".join(words).lower() for words in commands}
    families = [letters.lower() for letters in re.findall(r"all \d+ (?:commands )?in ([A-Z]+)", TEXT)]
    if os.access(REDIS, os.X_OK):
        ours = {kid.text().decode().lower() for kid in client.call("COMMAND", "LIST").kids}
        with Server(REDIS) as redis:
            lacking = {kid.text().decode().lower() for kid in redis.client().call("COMMAND", "LIST").kids} - ours
        untold = sorted(name for name in lacking if name.replace("|", " ") not in named and name.split("|")[0] not in named
                        and not name.startswith(tuple(families)))
        tap.ok(len(families) == 2 and len(lacking) > 30 and not untold, "it names every command of redis-server that is missing", untold)
    else:
        tap.skip("it names every command of redis-server that is missing", "no " + REDIS)

    with open(os.path.join(ROOT, "server", "conf", "conf_table.c"), encoding="utf-8") as source:
        fixed = re.findall(r'^    \w+\("([\w-]+)".*\bCONF_FIXED\b', source.read(), re.M)
    told = [option.split(" ")[0] for option in options]
    untold = [name for name in fixed if name not in told and not ("*_cpulist" in told and name.endswith("_cpulist"))]
    tap.ok(len(fixed) > 10 and not untold, "it names every option that is refused", untold)

    taken = []
    for option in options:
        name, value = (option.split(" ", 1) + [None])[:2]
        if "*" in name:
            continue
        value = value or ASKS.get(name, "yes")
        status, output = run([OURS, "--port", "0", "--" + name] + value.split(" "), timeout=10)
        if status == 0 or status is None or "not supported" not in output:
            taken.append("%s %s: status %s" % (name, value, status))
    tap.ok(not taken, "the options it calls refused stop the start, and are named", taken)
tap.done()

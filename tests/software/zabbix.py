#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""zabbix-agent2's plugin for Redis: each of its keys, asked as its --test does."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from programs import need  # noqa: E402
from resp import Client  # noqa: E402

from programs_tap import PORT, ok, run, same  # noqa: E402

HERE = "tcp://127.0.0.1:%d" % PORT
SECTIONS = {"Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Cluster", "Keyspace"}


def item(folder, key):
    """What the agent says of a key: its kind and its value."""
    done = subprocess.run([need("zabbix_agent2"), "-c", os.path.join(folder, "agent.conf"), "-t", key], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    said = done.stdout[len(key):].strip()
    return said[1:-1].split("|", 1) if said.startswith("[") and "|" in said else ["", done.stdout + done.stderr]


def scenario():
    client = Client(("127.0.0.1", PORT), 20.0)
    for words in (["SET", "k", "v"], ["SET", "x", "v", "EX", "100"], ["CONFIG", "SET", "slowlog-log-slower-than", "0"], ["PING"]):
        client.call(*words)
    client.call("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "agent.conf"), "w", encoding="ascii") as conf:
            conf.write("Server=127.0.0.1\nHostname=test\nLogType=console\nControlSocket=%s/sock\n" % folder)
        same(item(folder, "redis.ping[%s]" % HERE), ["s", "1"], "redis.ping")
        same(item(folder, "redis.ping[tcp://127.0.0.1:1]"), ["s", "0"], "redis.ping where nobody is")
        kind, text = item(folder, "redis.info[%s]" % HERE)
        found = json.loads(text) if kind == "s" else {}
        ok(SECTIONS <= set(found), "redis.info", sorted(SECTIONS - set(found)), text[:300])
        same(found.get("Keyspace", {}).get("db0", {}).get("keys"), "2", "databases in it")
        same([found.get("Replication", {}).get("role"), found.get("Persistence", {}).get("loading")], ["master", "0"], "role and state in it")
        ok(int(found.get("Memory", {}).get("used_memory", 0)) > 100000, "memory in it")
        kind, text = item(folder, "redis.info[%s,,commandstats]" % HERE)
        ok("set" in text and "calls" in text, "redis.info of a section", text[:300])
        kind, text = item(folder, "redis.config[%s,,max*]" % HERE)
        same(json.loads(text).get("maxclients") if kind == "s" else text, "10000", "redis.config")
        kind, text = item(folder, "redis.slowlog.count[%s]" % HERE)
        ok(kind == "s" and int(text) >= 2, "redis.slowlog.count", kind, text[:300])


run(scenario)

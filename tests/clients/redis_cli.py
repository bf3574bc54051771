#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""redis-cli against our server: what a person types first, its scanning modes, and mass insertion."""
import os
import re
import select
import subprocess
import time

from here import OURS, Server, Tap, need, need_server, run
from resp import encode

CLI = need("redis-cli")
need_server()
tap = Tap()


def check(claim, words, pattern, server, **more):
    """One call of redis-cli whose output the pattern must be found in."""
    status, output = run([CLI, "-s", server.path] + words, timeout=30, **more)
    tap.ok(status == 0 and re.search(pattern, output, re.S), claim, [] if status == 0 and re.search(pattern, output, re.S)
           else ["redis-cli %s: status %s" % (" ".join(words), status)] + output.splitlines()[:12])


def check_endless(claim, words, pattern, server, seconds=30):
    """A mode that ends only when it is ended: as soon as it has said what it should."""
    output, deadline = b"", time.monotonic() + seconds
    with subprocess.Popen(["stdbuf", "-oL", CLI, "-s", server.path] + words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = None
        while not said and time.monotonic() < deadline:
            if not select.select([process.stdout], [], [], 0.1)[0]:
                continue
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                break
            output += part
            said = re.search(pattern, output.decode("utf-8", "replace"), re.S)
        ended = process.poll() is not None
        process.kill()
    good = said and not ended
    tap.ok(good, claim, [] if good else ["redis-cli %s: %s" % (" ".join(words), "ended" if ended else "ran"), output[:600]])


with Server(OURS, tcp=True) as server:
    client = server.client()
    check("ping answers PONG", ["ping"], r"^PONG\n$", server)
    check("a value comes back", ["set", "k", "hello world"], r"^OK\n$", server)
    check("with its spaces", ["get", "k"], r"^hello world\n$", server)
    check("TCP works as the socket does", ["-h", "127.0.0.1", "-p", str(server.port), "ping"], r"PONG", server)
    check("-3 shows maps", ["-3", "config", "get", "maxmemory"], r"maxmemory\n?.*0", server)
    check("info has its sections", ["info"], r"# Server\r?\nredis_version:7\..*# Clients.*# Memory.*# Keyspace", server)
    check("info everything too", ["info", "everything"], r"# Commandstats", server)
    check("an error is shown as one", ["get"], r"^ERR wrong number of arguments for 'get' command", server)
    check("-n chooses a database", ["-n", "3", "dbsize"], r"^0\n$", server)
    check("-r repeats", ["-r", "3", "incr", "counter"], r"^1\n2\n3\n$", server)
    check("commands come from standard input", [], r"PONG\nhi\n", server, input="PING\nECHO hi\n")
    check("a value is read with -x", ["-x", "set", "from-stdin"], r"^OK", server, input="typed")
    check("--raw keeps bytes", ["--raw", "get", "from-stdin"], r"^typed\n$", server)
    check("--csv quotes", ["--csv", "mget", "counter", "none"], r'^"3",NULL\n$', server)
    check("the fields that --stat reads are there", ["info", "clients"], r"connected_clients:\d+\r?\n.*blocked_clients:0",
          server)

    for i in range(300):
        client.call("SET", "user:%d" % i, "x" * (i % 50))
    client.call("RPUSH", "list", *map(str, range(100)))
    client.call("HSET", "hash", "f", "v", "g", "w")
    client.call("SADD", "set", "a", "b")
    client.call("ZADD", "zset", 1, "a", 2, "b")
    status, output = run([CLI, "-s", server.path, "--scan", "--pattern", "user:*"])
    tap.ok(status == 0 and len(set(output.split())) == 300, "--scan finds every key", [status, output[:300]]
           if len(set(output.split())) != 300 else [])
    check("--bigkeys reports each type", ["--bigkeys"],
          r"Biggest\s+list found.*list.*has 100 items.*Biggest\s+hash found.*Biggest\s+zset|Biggest list.*100 items", server)
    check("--memkeys measures keys", ["--memkeys"], r"Biggest\s+list", server)
    stream = b"".join(encode(["SET", "mass:%d" % i, i]) for i in range(5000))
    check("--pipe inserts thousands", ["--pipe"], r"errors: 0, replies: 5000", server, input=stream.decode())
    check("and they are there", ["get", "mass:4999"], r"^4999\n$", server)
    stream = b"".join(encode(["INCR", "user:1"]) for _ in range(10))
    status, output = run([CLI, "-s", server.path, "--pipe"], input=stream.decode())
    tap.ok("errors: 10, replies: 10" in output, "--pipe counts errors", [] if "errors: 10" in output else [output[:400]])
    check("--latency measures for its interval", ["--raw", "--latency", "-i", "0.3"], r"^\d+ \d+ \d+\.\d\d \d+\n$", server)
    check_endless("--latency-history begins anew each interval", ["--latency-history", "-i", "0.3"],
                  r"\n\d+ \d+ \d+\.\d\d \d+\n -- \d+\.\d\d seconds range\n\d+ \d+ \d+\.\d\d 1\n.*seconds range", server)
    check_endless("--stat has a line a time", ["--stat", "-i", "0.2"],
                  r"keys +mem +clients +blocked +requests +connections.*\n\d+ +[\d.]+[BKMG] +\d+ +0 +\d+ \(\+0\) +\d+ *\n"
                  r"\d+ +[\d.]+[BKMG] +\d+ +0 +\d+ \(\+\d+\)", server)
    check("--intrinsic-latency asks nobody", ["--intrinsic-latency", "1"], r"Max latency so far:.*total runs \(avg latency:", server)
    status, output = run([CLI, "-s", server.path, "--hotkeys"])
    refused = "ERR An LFU maxmemory policy is not selected, access frequency not tracked" in output
    tap.ok(refused, "--hotkeys needs a policy that counts", [] if refused else [status, output[:300]])
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    for _ in range(300):
        client.call("GET", "user:7")
    check("--hotkeys finds what is read most", ["--hotkeys"], r"-- summary --.*hot key found with counter: \d+\s+keyname: \S*user:7\b", server)
    client.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    check("command docs reach the hints", ["command", "docs", "get"], r"summary", server)
    check("quit ends the connection", ["quit"], r"^OK", server)
tap.done()

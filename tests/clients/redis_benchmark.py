#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""redis-benchmark's whole list, as users run it: every test must end, none with an error line."""
import re

from here import OURS, Server, Tap, need, need_server, run

BENCHMARK = need("redis-benchmark")
need_server()
TESTS = 19 # lines of the default list
RUNS = [
    ("the default list", ["-n", "5000"]),
    ("-P 16", ["-n", "5000", "-P", "16"]),
    ("-c 1", ["-n", "2000", "-c", "1"]),
    ("-c 500", ["-n", "5000", "-c", "500"]),
    ("values of 16 KiB", ["-n", "2000", "-d", "16384", "-t", "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,mset"]),
    ("100,000 random keys", ["-n", "5000", "-r", "100000"]),
    ("--threads 2", ["-n", "5000", "--threads", "2"]),
    ("-P 100 with random keys", ["-n", "20000", "-P", "100", "-r", "1000", "-t", "set,get,incr,lpush,hset,zadd,mset"]),
]
tap = Tap()
with Server(OURS, tcp=True) as server:
    for claim, options in RUNS:
        for where in (["-p", str(server.port)], ["-s", server.path]):
            if where[0] == "-s" and claim not in ("the default list", "-P 16"):
                continue
            server.client().call("FLUSHALL")
            status, output = run([BENCHMARK, "-q"] + where + options, timeout=120)
            lines = [line.split("\r")[-1].strip() for line in output.split("\n")]
            finished = [line for line in lines if "requests per second" in line]
            wrong = [line for line in re.split(r"[\r\n]", output) if re.search(r"error|err:|refused|WARN|abort", line, re.I)]
            want = TESTS if "-t" not in options else len(options[-1].split(","))
            passed = status == 0 and not wrong and len(finished) >= want
            over = "TCP" if where[0] == "-p" else "a Unix socket"
            tap.ok(passed, "%s over %s runs without an error line" % (claim, over), [] if passed else
                   ["status %s, %d of %d tests ended" % (status, len(finished), want)] + wrong[:5] + lines[-5:])
tap.done()

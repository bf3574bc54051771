#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One server at the far end of a veth pair, redis-benchmark at Linux's: a process of its own, because a network namespace is entered for life.

    over_veth.py DEVICE COUNT      DEVICE: redis-server, or a device of tests/interop/rig.py

Prints a line of name=value for 1 connection and one for 50.
"""
import os
import re
import signal
import sys

sys.path[0] = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tests", "interop")
import rig  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
name, count = sys.argv[1], int(sys.argv[2])
device = rig.DEVICES["posix" if name == "redis-server" else name]
if device.plugin and not os.path.exists(os.path.join(rig.BUILD, "libdemikernel-%s.so" % device.plugin)):
    sys.exit("no plug-in for " + name)
if name == "redis-server":
    rig.SERVER = os.environ.get("REDIS_SERVER", "/usr/bin/redis-server")
with rig.Rig(device) as wire:
    server = wire.server()
    os.sched_setaffinity(server.process.pid, {0})
    for conns in (1, 50):
        words = ["taskset", "-c", "1", "redis-benchmark", "-h", rig.RAW4, "-p", str(rig.PORT), "-t", "get", "-c", str(conns), "-n",
                 str(count // (4 if conns == 1 else 1)), "--csv"]
        status, text = rig.run_program(words, 60)
        row = re.search(r'^"GET[^"]*","([\d.]+)","[\d.]+","[\d.]+","([\d.]+)"', text, re.M)
        if status or not row:
            sys.exit("redis-benchmark over %s: %s" % (name, text[-200:]))
        print("test=c%d rps=%s p50_us=%.1f" % (conns, row.group(1), float(row.group(2)) * 1000), flush=True)

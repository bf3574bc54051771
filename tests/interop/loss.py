#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""Linux's TCP against ours over a wire that loses, doubles, reorders and spoils frames in both directions (libos/fault): slower it may
be, but every byte arrives as it was sent. Each fault by itself, so that a failure has a name, and then all of them."""
from rig import (PORT, RAW4, RAW6, check_benchmark, check_bulk, check_cli, check_echo, check_many, check_short, check_udp, guarded, run)

WIRES = {
    "1 % lost": ["loss_ppm: 10000"],
    # A burst counts frames, not time: what is left of one when its flow stands still takes a retransmission each, at twice the time.
    "bursts of 4 lost": ["loss_ppm: 1000", "loss_burst: 4"],
    "5 % late": ["reorder_ppm: 50000"],
    "2 % doubled": ["duplicate_ppm: 20000"],
    "0.5 % spoiled": ["corrupt_ppm: 5000"],
    "all of it": ["loss_ppm: 5000", "reorder_ppm: 20000", "duplicate_ppm: 10000", "corrupt_ppm: 2000"],
}


def wire(name):
    def checks(tap, rig, load):
        on = "%s, %s: " % (rig.device.name, name)
        rig.more = ["fault:", "  seed: 7"] + ["  " + line for line in WIRES[name]]
        server = rig.server()
        guarded(tap, on + "redis-cli", server, check_cli, rig)
        guarded(tap, on + "bulk both ways, every value as it was", server, check_bulk, rig, RAW4, 8)
        guarded(tap, on + "bulk both ways over IPv6", server, check_bulk, rig, RAW6, 4)
        guarded(tap, on + "100 short connections", server, check_short, rig, 100, False)
        if name == "all of it":
            guarded(tap, on + "200 connections at once", server, check_many, rig, 200)
            guarded(tap, on + "redis-benchmark", server, check_benchmark, rig, 500, ["-t", "set,get,mset,lrange_100"], 4)
        status = server.stop()
        tap.ok(status == 0, on + "the server ends in order", [] if status == 0 else ["status %s" % status] + server.tail())
        echo = rig.example("tcp-echo", PORT + 1)
        guarded(tap, on + "a stream echoed both ways at once", echo, check_echo, rig, PORT + 1, 4)
        echo.stop()
        if name == "all of it":
            echo = rig.example("udp-echo", PORT + 2)
            guarded(tap, on + "datagrams, in fragments, too: lost perhaps, never changed", echo, check_udp, rig, PORT + 2)
            echo.stop()
    return checks


run("packet", checks=[wire(name) for name in WIRES])

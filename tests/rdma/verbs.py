#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""The rig itself: the kernel's two RDMA devices in software answer the tools of rdma-core, in a guest."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import ADDRESS, ADDRESS6, DEVICES, Tap, Wire, need, why_not  # noqa: E402

tap = Tap()
need("rping")
need("ibv_rc_pingpong")
need("ss")
with Wire() as wire:
    for device in DEVICES:
        for family in (ADDRESS, ADDRESS6):
            claim = "rping over %s, %s" % (device, family[device])
            if device not in wire.devices:
                tap.skip(claim, why_not(device))
                continue
            server = wire.start("rping -s -a %s -C 20 -S 256" % family[device])
            wire.wait_for("rdma resource show cm_id | grep -q LISTEN")
            status, output = wire.run("rping -c -a %s -C 20 -S 256" % family[device])
            server.wait()
            tap.ok(status == 0, claim, [] if status == 0 else [output, server.output()])
    server = wire.start("ibv_rc_pingpong -d rxe0 -g 1 -n 100")
    wire.wait_for("ss -ltn | grep -q :18515")
    status, output = wire.run("ibv_rc_pingpong -d rxe0 -g 1 -n 100 %s" % ADDRESS["rxe"])
    server.wait()
    tap.ok(status == 0, "ibv_rc_pingpong over rxe", [] if status == 0 else [output, server.output()])
tap.done()

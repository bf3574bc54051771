#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""The plug-in on real devices: verbs_test.c, which runs over a double elsewhere, on rxe0 and siw0 of a guest."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import ADDRESS, BUILD, DEVICES, Tap, Wire, skip_all, why_not  # noqa: E402

tap = Tap()
program = os.path.join(BUILD, "tests", "tests", "rdma", "verbs_test")
if not os.path.exists(program):
    skip_all("built without RDMA (Debian packages libibverbs-dev, librdmacm-dev)")
with Wire() as wire:
    for device in DEVICES:
        if device not in wire.devices:
            tap.skip("the plug-in on " + device, why_not(device))
            continue
        status, output = wire.run("ulimit -l unlimited; CMOCKA_MESSAGE_OUTPUT=TAP VERBS_DEVICE=%s0 VERBS_ADDRESS=%s timeout 120 %s"
                                  % (device, ADDRESS[device], program), 150)
        cases = re.findall(r"^(not )?ok \d+ - (\w+)$", output, re.M)
        for bad, name in cases:
            tap.ok(not bad, "%s: %s" % (device, name[len("test_"):].replace("_", " ")))
        tap.ok(status == 0 and cases, "%s: all of them, to the end" % device, [] if status == 0 else [status, output[-3000:]])
        # What the kernel has of it afterwards.
        left = wire.must("rdma resource show qp; rdma resource show cm_id; rdma resource show mr").splitlines()
        left = [line for line in left if "comm verbs_test" in line]
        tap.ok(not left, "%s: the kernel keeps nothing of it" % device, left)
tap.done()

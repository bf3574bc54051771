#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 600
"""On the kernel's RDMA devices, rxe0 and siw0, in one guest: the plug-in by itself (verbs_test.c) and clients of Valkey's framing
(valkey_test.c), which run over a double elsewhere; then programs and servers of several processes (sockets.py). Both devices at once, as much
of it is waiting."""
import os
import re
import sys
import threading
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sockets  # noqa: E402
from wire import ADDRESS, BUILD, DEVICES, Tap, Wire, skip_all, why_not  # noqa: E402


class Shared(Tap):
    """Of two threads."""
    lock = threading.Lock()

    def ok(self, passed, claim, notes=()):
        with self.lock:
            return super().ok(passed, claim, notes)


tap = Shared()
TESTS = os.path.join(BUILD, "tests", "tests", "rdma")
if not os.path.exists(os.path.join(TESTS, "verbs_test")):
    skip_all("built without RDMA (Debian packages libibverbs-dev, librdmacm-dev)")


def check_cases(wire, device, name):
    status, output = wire.run("ulimit -l unlimited; CMOCKA_MESSAGE_OUTPUT=TAP VERBS_DEVICE=%s0 VERBS_ADDRESS=%s timeout 240 %s/%s"
                              % (device, ADDRESS[device], TESTS, name), 270)
    cases = re.findall(r"^(not )?ok \d+ - (\w+)$", output, re.M)
    for bad, case in cases:
        tap.ok(not bad, "%s: %s" % (device, case[len("test_"):].replace("_", " ")))
    tap.ok(status == 0 and cases, "%s: %s to its end" % (device, name), [] if status == 0 else [status, output[-3000:]])


def check(wire, device):
    check_cases(wire, device, "verbs_test")
    if device == "rxe":  # the other has no immediates, which Valkey's framing is made of
        check_cases(wire, device, "valkey_test")
    sockets.check(tap, wire, device)
    # What the kernel has of them afterwards.
    left = wire.must("rdma resource show qp; rdma resource show cm_id; rdma resource show mr").splitlines()
    left = [line for line in left if " %s0" % device in line and re.search(r"comm (verbs_test|valkey_test|demikv|load|tcp-|python)", line)]
    tap.ok(not left, "%s: the kernel keeps nothing of all this" % device, left)


def check_to_the_end(wire, device):
    try:
        check(wire, device)
    except Exception:
        tap.ok(False, "%s: to the end" % device, [traceback.format_exc()])


with Wire() as wire:
    threads = [threading.Thread(target=check_to_the_end, args=(wire, device)) for device in DEVICES if device in wire.devices]
    for device in DEVICES:
        if device not in wire.devices:
            tap.skip("RDMA on " + device, why_not(device))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
tap.done()
